/* A JSON decoder for purchases, as the tests of the grammar and those with random records share it. A header of statics, because
 * test_decode_json_portable.c compiles both with a decoder of its own. */
#ifndef SUPPORT_PURCHASE_DECODER_H
#define SUPPORT_PURCHASE_DECODER_H

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/slice.h"
#include "stream/decode.h"

static const sb_field purchase[] = {
	{.struct_size = sizeof(sb_field), .type = SB_TYPE_STRING, .flags = SB_FIELD_KEY, .name = "user_id"},
	{.struct_size = sizeof(sb_field), .type = SB_TYPE_F64, .name = "amount"},
	{.struct_size = sizeof(sb_field), .type = SB_TYPE_TIME, .flags = SB_FIELD_OPTIONAL, .name = "timestamp"},
	{.struct_size = sizeof(sb_field), .type = SB_TYPE_I64, .flags = SB_FIELD_OPTIONAL, .name = "count"},
	{.struct_size = sizeof(sb_field), .type = SB_TYPE_BOOL, .flags = SB_FIELD_OPTIONAL, .name = "gift"},
};

enum { USER, AMOUNT, TIMESTAMP, COUNT, GIFT, FIELDS };

static struct decoder *decoder;
static struct arena arena;
static struct decode_fault fault;
static sb_value values[FIELDS];

static struct decoder *new_decoder(const char *const *maps, uint64_t map_count)
{
	struct decoder_config config = {.format = FORMAT_NDJSON,
					.fields = purchase,
					.field_count = FIELDS,
					.maps = maps,
					.map_count = map_count};
	sb_error err = ERROR_INIT;
	struct decoder *made = NULL;

	cr_assert_eq(decoder_new(&config, &made, &err), SB_OK, "%s", err.message);
	return made;
}

static void set_up(void)
{
	decoder = new_decoder(NULL, 0);
}

static void tear_down(void)
{
	decoder_free(decoder);
	arena_done(&arena);
}

TestSuite(decode_json, .init = set_up, .fini = tear_down);

/* From a heap block of exactly that size, so that a sanitizer sees every read beyond it. */
static enum decode_result decode_bytes(const void *bytes, size_t len)
{
	static uint8_t *copy;
	enum decode_result result;

	free(copy);
	copy = malloc(len ? len : 1);
	memcpy(copy, bytes, len);
	memset(&fault, 0, sizeof(fault));
	result = decoder_decode(decoder, slice_of(copy, len), &arena, values, &fault);
	cr_assert_eq(result == DECODE_BAD, fault.reason != NULL);
	if (result != DECODE_EVENT) {
		free(copy);
		copy = NULL;
	}
	return result;
}

static void assert_string(sb_value value, const char *expected, size_t len)
{
	cr_assert_eq(value.len, len);
	cr_assert_eq(memcmp(value.as.ptr, expected, len), 0);
}

#endif
