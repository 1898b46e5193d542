/* libFuzzer on the decoder: the first byte chooses the format, the rest is one record. A decoder that has seen all records so far, and
 * predicts by the shape of the last one, gives it twice the answer that a new one gives, which can only scan: verdict,
 * sentence, and values to the last bit.
 *
 * scripts/fuzz builds it with clang and lets it run; tests/unit/test_decode_fuzz.c gives it seeded records in every test run. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/json_write.h"
#include "base/slice.h"
#include "stream/decode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FIELDS 5

static const sb_field fields[FIELDS] = {
	{.struct_size = sizeof(sb_field), .type = SB_TYPE_STRING, .flags = SB_FIELD_KEY, .name = "a"},
	{.struct_size = sizeof(sb_field), .type = SB_TYPE_F64, .flags = SB_FIELD_OPTIONAL, .name = "b"},
	{.struct_size = sizeof(sb_field), .type = SB_TYPE_TIME, .flags = SB_FIELD_OPTIONAL, .name = "c"},
	{.struct_size = sizeof(sb_field), .type = SB_TYPE_I64, .flags = SB_FIELD_OPTIONAL, .name = "d"},
	{.struct_size = sizeof(sb_field), .type = SB_TYPE_BOOL, .flags = SB_FIELD_OPTIONAL, .name = "e"},
};

static struct decoder *new_decoder(unsigned kind)
{
	static const char delimiters[] = {',', DELIMITER_WHITESPACE};
	struct decoder_config config = {.format = kind ? FORMAT_CSV : FORMAT_NDJSON,
					.fields = fields,
					.field_count = FIELDS,
					.delimiter = delimiters[kind > 1],
					.has_header = kind > 0};
	sb_error err = ERROR_INIT;
	struct decoder *decoder = NULL;

	if (decoder_new(&config, &decoder, &err) != SB_OK)
		abort();
	if (kind && decoder_set_header(decoder, slice_of_text(kind > 1 ? "a b c d e\n" : "a,b,c,d,e\n"), &err) != SB_OK)
		abort();
	return decoder;
}

static void check_values(const sb_value *values)
{
	if (values[0].len == SB_NULL || !utf8_is_valid(slice_of(values[0].as.ptr, values[0].len)))
		abort();
	if (values[4].len != SB_NULL && (uint64_t)values[4].as.i64 > 1)
		abort();
}

struct answer {
	enum decode_result result;
	sb_value values[FIELDS];
	struct decode_fault fault;
};

static void decode(struct decoder *decoder, sb_slice record, struct arena *arena, struct answer *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->result = decoder_decode(decoder, record, arena, ret->values, &ret->fault);
	if (ret->result == DECODE_EVENT)
		check_values(ret->values);
}

static bool is_same_value(const sb_field *field, const sb_value *a, const sb_value *b)
{
	if (a->len != b->len || a->len == SB_NULL)
		return a->len == b->len;
	if (field->type == SB_TYPE_STRING)
		return slice_equal(slice_of(a->as.ptr, a->len), slice_of(b->as.ptr, b->len));
	return memcmp(&a->as, &b->as, sizeof(a->as)) == 0;
}

static void check_same(const struct answer *a, const struct answer *b)
{
	if (a->result != b->result)
		abort();
	if (a->result == DECODE_BAD &&
	    (strcmp(a->fault.reason, b->fault.reason) != 0 || strcmp(a->fault.detail, b->fault.detail) != 0))
		abort();
	for (unsigned i = 0; a->result == DECODE_EVENT && i < FIELDS; i++)
		if (!is_same_value(&fields[i], &a->values[i], &b->values[i]))
			abort();
}

static void check_record(struct decoder *experienced, struct decoder *fresh, sb_slice record)
{
	struct arena arena = ARENA_INIT;
	struct answer first, expected, again;
	size_t resume = 0;

	if (decoder_split(experienced, record, &resume) > record.len)
		abort();
	decode(experienced, record, &arena, &first);
	decode(fresh, record, &arena, &expected);
	check_same(&first, &expected);
	decode(experienced, record, &arena, &again); /* now by this record's own shape */
	check_same(&again, &expected);
	arena_done(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct decoder *decoders[3];
	struct decoder *fresh;
	unsigned kind;

	if (size == 0)
		return 0;
	kind = data[0] % 3;
	if (!decoders[kind])
		decoders[kind] = new_decoder(kind);
	fresh = new_decoder(kind);
	check_record(decoders[kind], fresh, slice_of(data + 1, size - 1));
	decoder_free(fresh);
	return 0;
}
