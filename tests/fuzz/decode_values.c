/* Decodes what stands on standard input and says what it became, for a reference in another language to judge:
 * tests/integration/test_decode_reference.py.
 *
 * In: records, each with its length as four bytes before it, since a bad one may hold a line feed. Out: a line for each; "event" and the
 * fields' values (a string and a double as the hex of their bytes, an integer and a truth as a number, "-" for none), or "nothing", or "bad". */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/slice.h"
#include "stream/decode.h"

#define FIELDS 4

static const sb_field fields[FIELDS] = {
	{.struct_size = sizeof(sb_field), .type = SB_TYPE_STRING, .flags = SB_FIELD_KEY, .name = "a"},
	{.struct_size = sizeof(sb_field), .type = SB_TYPE_F64, .flags = SB_FIELD_OPTIONAL, .name = "b"},
	{.struct_size = sizeof(sb_field), .type = SB_TYPE_I64, .flags = SB_FIELD_OPTIONAL, .name = "c"},
	{.struct_size = sizeof(sb_field), .type = SB_TYPE_BOOL, .flags = SB_FIELD_OPTIONAL, .name = "d"},
};

static void print_hex(const void *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		printf("%02x", ((const uint8_t *)bytes)[i]);
}

static void print_value(uint32_t type, const sb_value *value)
{
	putchar(' ');
	if (value->len == SB_NULL) {
		putchar('-');
	} else if (type == SB_TYPE_STRING) {
		putchar('"');
		print_hex(value->as.ptr, value->len);
	} else if (type == SB_TYPE_F64) {
		print_hex(&value->as.f64, sizeof(value->as.f64));
	} else {
		printf("%" PRId64, value->as.i64);
	}
}

static int answer(struct decoder *decoder, sb_slice record, struct arena *arena)
{
	struct decode_fault fault;
	sb_value values[FIELDS];
	enum decode_result result = decoder_decode(decoder, record, arena, values, &fault);

	if (result == DECODE_NO_MEMORY)
		return -1;
	fputs(result == DECODE_EVENT ? "event" : result == DECODE_NOTHING ? "nothing" : "bad", stdout);
	for (unsigned i = 0; result == DECODE_EVENT && i < FIELDS; i++)
		print_value(fields[i].type, &values[i]);
	putchar('\n');
	arena_reset(arena);
	return 0;
}

/* Each record in a block of its own size, so that a sanitizer sees every byte read beyond it. */
static int answer_next(struct decoder *decoder, uint32_t len, struct arena *arena)
{
	uint8_t *bytes = malloc(len ? len : 1);
	int status = bytes && fread(bytes, 1, len, stdin) == len ? answer(decoder, slice_of(bytes, len), arena) : -1;

	free(bytes);
	return status;
}

int main(void)
{
	struct decoder_config config = {.format = FORMAT_NDJSON, .fields = fields, .field_count = FIELDS};
	struct arena arena = ARENA_INIT;
	struct decoder *decoder = NULL;
	sb_error err = ERROR_INIT;
	uint32_t len;
	int status = 0;

	if (decoder_new(&config, &decoder, &err) != SB_OK)
		return 1;
	while (status == 0 && fread(&len, sizeof(len), 1, stdin) == 1)
		status = answer_next(decoder, len, &arena);
	decoder_free(decoder);
	arena_done(&arena);
	return status == 0 && fflush(stdout) == 0 ? 0 : 1;
}
