/* libFuzzer on the decoder: the first byte chooses the format, the rest is one record, decoded twice (the second time by the
 * shape that the first left behind), with the same answer both times.
 *
 *   clang -g -O1 -fsanitize=fuzzer,address,undefined -D_GNU_SOURCE -Icore -Iinclude tests/fuzz/fuzz_decode.c \
 *     core/stream/decode*.c core/base/[!l]*.c -lxxhash -lm -o fuzz_decode */
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct decoder *decoders[3];
	struct arena arena = ARENA_INIT;
	struct decode_fault fault[2];
	sb_value values[2][FIELDS];
	enum decode_result result[2];
	size_t resume = 0;
	unsigned kind;

	if (size == 0)
		return 0;
	kind = data[0] % 3;
	if (!decoders[kind])
		decoders[kind] = new_decoder(kind);
	data++;
	size--;
	if (decoder_split(decoders[kind], slice_of(data, size), &resume) > size)
		abort();
	for (unsigned i = 0; i < 2; i++) {
		result[i] = decoder_decode(decoders[kind], slice_of(data, size), &arena, values[i], &fault[i]);
		if (result[i] == DECODE_EVENT)
			check_values(values[i]);
	}
	if (result[0] != result[1] || (result[0] == DECODE_BAD && strcmp(fault[0].detail, fault[1].detail) != 0))
		abort();
	arena_done(&arena);
	return 0;
}
