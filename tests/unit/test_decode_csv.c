/* The CSV side of core/stream/decode.h. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/json_write.h"
#include "base/slice.h"
#include "stream/decode.h"

static const sb_field purchase[] = {
	{.struct_size = sizeof(sb_field), .type = SB_TYPE_STRING, .flags = SB_FIELD_KEY, .name = "user_id"},
	{.struct_size = sizeof(sb_field), .type = SB_TYPE_F64, .name = "amount"},
	{.struct_size = sizeof(sb_field), .type = SB_TYPE_TIME, .flags = SB_FIELD_OPTIONAL, .name = "timestamp"},
	{.struct_size = sizeof(sb_field), .type = SB_TYPE_I64, .flags = SB_FIELD_OPTIONAL, .name = "count"},
	{.struct_size = sizeof(sb_field), .type = SB_TYPE_BOOL, .flags = SB_FIELD_OPTIONAL, .name = "gift"},
	{.struct_size = sizeof(sb_field), .type = SB_TYPE_STRING, .flags = SB_FIELD_OPTIONAL, .name = "note"},
};

enum { USER, AMOUNT, TIMESTAMP, COUNT, GIFT, NOTE, FIELDS };

static struct decoder *decoder;
static struct arena arena;
static struct decode_fault fault;
static sb_value values[FIELDS];
static sb_error err = ERROR_INIT;

static int32_t make(char delimiter, const char *header, const char *const *maps)
{
	struct decoder_config config = {.format = FORMAT_CSV,
					.fields = purchase,
					.field_count = FIELDS,
					.maps = maps,
					.delimiter = delimiter,
					.has_header = header != NULL};
	int32_t status;

	while (maps && maps[config.map_count])
		config.map_count++;
	decoder_free(decoder);
	decoder = NULL;
	status = decoder_new(&config, &decoder, &err);
	if (status == SB_OK && header)
		status = decoder_set_header(decoder, slice_of_text(header), &err);
	return status;
}

static void set_up(void)
{
	cr_assert_eq(make(',', "user_id,amount,timestamp,count,gift,note\r\n", NULL), SB_OK, "%s", err.message);
}

static void tear_down(void)
{
	decoder_free(decoder);
	arena_done(&arena);
}

TestSuite(decode_csv, .init = set_up, .fini = tear_down);

static enum decode_result decode_bytes(const void *bytes, size_t len)
{
	static uint8_t *copy; /* of that size, for the sanitizer; lives as long as the values */

	free(copy);
	copy = malloc(len ? len : 1);
	memcpy(copy, bytes, len);
	memset(&fault, 0, sizeof(fault));
	return decoder_decode(decoder, slice_of(copy, len), &arena, values, &fault);
}

static enum decode_result decode_text(const char *text)
{
	return decode_bytes(text, strlen(text));
}

static void assert_text(unsigned field, const char *expected)
{
	cr_assert_eq(values[field].len, strlen(expected), "%.*s", (int)values[field].len, values[field].as.ptr);
	cr_assert_eq(memcmp(values[field].as.ptr, expected, strlen(expected)), 0);
}

static void assert_fault(const char *text, const char *reason)
{
	cr_assert_eq(decode_text(text), DECODE_BAD, "%s", text);
	cr_assert_str_eq(fault.reason, reason, "%s: %s", text, fault.detail);
}

Test(decode_csv, a_row_becomes_its_fields)
{
	const char *ends[] = {"", "\n", "\r\n"};

	for (unsigned i = 0; i < 3; i++) {
		char text[100];

		snprintf(text, sizeof(text), "u1,12.5,2024-02-29,-3,true,a note%s", ends[i]);
		cr_assert_eq(decode_text(text), DECODE_EVENT, "%s", fault.detail);
		assert_text(USER, "u1");
		cr_assert_eq(values[AMOUNT].as.f64, 12.5);
		cr_assert_eq(values[TIMESTAMP].as.i64, INT64_C(1709164800000));
		cr_assert_eq(values[COUNT].as.i64, -3);
		cr_assert_eq(values[GIFT].as.i64, 1);
		assert_text(NOTE, "a note");
	}
}

Test(decode_csv, quotes_hold_delimiters_line_ends_and_quotes)
{
	cr_assert_eq(decode_text("\"a,b\",\"1\",,,,\"he said \"\"no\"\"\r\nand left\"\r\n"), DECODE_EVENT, "%s",
		     fault.detail);
	assert_text(USER, "a,b");
	cr_assert_eq(values[AMOUNT].as.f64, 1);
	assert_text(NOTE, "he said \"no\"\r\nand left");
	cr_assert_eq(decode_text("\"\"\"\",1,,,,\"\"\"\"\"\"\n"), DECODE_EVENT);
	assert_text(USER, "\"");
	assert_text(NOTE, "\"\"");
}

Test(decode_csv, a_field_without_text_is_no_value_but_a_quoted_one_is_empty)
{
	cr_assert_eq(decode_text("u,1,,,,\n"), DECODE_EVENT);
	for (unsigned i = TIMESTAMP; i < FIELDS; i++)
		cr_assert_eq(values[i].len, SB_NULL);
	cr_assert_eq(decode_text("\"\",1,,,,\"\"\n"), DECODE_EVENT);
	cr_assert_eq(values[USER].len, 0);
	cr_assert_eq(values[NOTE].len, 0);
	assert_fault(",1,,,,\n", "missing-field");
	assert_fault("u,,,,,\n", "missing-field");
	assert_fault("u,\"\",,,,\n", "wrong-type");
}

Test(decode_csv, fewer_columns_are_missing_fields_and_more_are_invalid)
{
	cr_assert_eq(decode_text("u,1\n"), DECODE_EVENT);
	assert_fault("u\n", "missing-field");
	assert_fault("u,1,,,,,\n", "invalid-csv");
	assert_fault("u,1,,,,n,more\n", "invalid-csv");
}

Test(decode_csv, malformed_quoting_is_refused)
{
	const char *wrong[] = {"u\"x,1\n",	   "\"u\"x,1\n",   "\"u,1\n",  "\"u\" ,1\n", " \"u\",1\n",
			       "u,1,,,,\"a\"\"\n", "u,1,,,,a\"\n", "u\rx,1\n", "\"",	     "\"\"\""};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_fault(wrong[i], "invalid-csv");
}

Test(decode_csv, types_are_checked)
{
	assert_fault("u,x,,,,\n", "wrong-type");
	cr_assert_str_eq(fault.detail, "field 'amount': expected a number, found other text at byte 2");
	assert_fault("u,nan,,,,\n", "wrong-type");
	assert_fault("u,inf,,,,\n", "wrong-type");
	assert_fault("u,-Infinity,,,,\n", "wrong-type");
	assert_fault("u,0x10,,,,\n", "wrong-type");
	assert_fault("u,1e999,,,,\n", "out-of-range");
	assert_fault("u,1,,1.5,,\n", "wrong-type");
	assert_fault("u,1,,9223372036854775808,,\n", "out-of-range");
	assert_fault("u,1,,,yes,\n", "wrong-type");
	assert_fault("u,1,yesterday,,,\n", "invalid-time");
	assert_fault("u,1,1e30,,,\n", "out-of-range");
	assert_fault("u\xff,1,,,,\n", "invalid-utf8");
	assert_fault("u,1,,,,\xc3\n", "invalid-utf8");
	cr_assert_eq(decode_text("u, 0012.50 ,,007,1,\n"), DECODE_EVENT, "%s", fault.detail);
	cr_assert_eq(values[AMOUNT].as.f64, 12.5);
	cr_assert_eq(values[COUNT].as.i64, 7);
	cr_assert_eq(values[GIFT].as.i64, 1);
	cr_assert_eq(decode_text("u,1,,-00000000000000000000009223372036854775808,false,\n"), DECODE_EVENT);
	cr_assert_eq(values[COUNT].as.i64, INT64_MIN);
	cr_assert_eq(values[GIFT].as.i64, 0);
	cr_assert_eq(decode_text("u,1,,,0,\n"), DECODE_EVENT);
	cr_assert_eq(values[GIFT].as.i64, 0);
}

Test(decode_csv, blank_lines_are_nothing)
{
	cr_assert_eq(decode_text("\n"), DECODE_NOTHING);
	cr_assert_eq(decode_text("\r\n"), DECODE_NOTHING);
	cr_assert_eq(decode_text(""), DECODE_NOTHING);
}

Test(decode_csv, any_character_delimits)
{
	cr_assert_eq(make('\t', "user_id\tamount\n", NULL), SB_OK);
	cr_assert_eq(decode_text("a b\t2\n"), DECODE_EVENT);
	assert_text(USER, "a b");
	cr_assert_eq(make(';', "user_id;amount\n", NULL), SB_OK);
	cr_assert_eq(decode_text("a,b;2\n"), DECODE_EVENT);
	assert_text(USER, "a,b");
	cr_assert_eq(make('"', NULL, NULL), SB_ERR_CONFIG);
	cr_assert_eq(make('\n', NULL, NULL), SB_ERR_CONFIG);
	cr_assert_eq(make('\xe9', NULL, NULL), SB_ERR_CONFIG);
}

Test(decode_csv, blanks_delimit_and_quotes_are_text)
{
	size_t resume = 0;

	cr_assert_eq(make(DELIMITER_WHITESPACE, "\t user_id  amount \r\n", NULL), SB_OK);
	cr_assert_eq(decoder_split(decoder, slice_of_text("\"u 1\n2\"\n"), &resume), 5);
	cr_assert_eq(decode_text("  \"u\"\t\t 2.5 \r\n"), DECODE_EVENT, "%s", fault.detail);
	assert_text(USER, "\"u\"");
	cr_assert_eq(values[AMOUNT].as.f64, 2.5);
	cr_assert_eq(decode_text("   \r\n"), DECODE_NOTHING);
	assert_fault("u\n", "missing-field");
	assert_fault("u 1 2\n", "invalid-csv");
}

/* ---- headers and maps ---- */

Test(decode_csv, names_of_a_header_are_trimmed_and_unquoted)
{
	cr_assert_eq(make(',', " amount ,\"x\"\"y\",\" user_id\"\n", NULL), SB_OK, "%s", err.message);
	cr_assert_eq(decode_text("1,2,u\n"), DECODE_EVENT);
	assert_text(USER, "u");
	cr_assert_eq(make(',', " amount ,\"x\"\"y\",\" user_id\"\n", (const char *[]){"note=x\"y", NULL}), SB_OK, "%s",
		     err.message);
	cr_assert_eq(decode_text("1,2,u\n"), DECODE_EVENT);
	assert_text(NOTE, "2");
}

Test(decode_csv, a_column_that_the_header_lacks_or_has_twice_is_refused)
{
	cr_assert_eq(make(',', "user_id,price\n", NULL), SB_ERR_CONFIG);
	cr_assert(strstr(err.message, "user_id, price") && strstr(err.message, "--map amount="), "%s", err.message);
	cr_assert_eq(make(',', "user_id,amount,amount\n", NULL), SB_ERR_CONFIG);
	cr_assert_eq(make(',', "user_id,amount,x,x\n", NULL), SB_OK);
	cr_assert_eq(make(',', "user_id,amount\n", (const char *[]){"note=remark", NULL}), SB_ERR_CONFIG);
	cr_assert_eq(make(',', "user_id,amount\n", (const char *[]){"amount=1", NULL}), SB_ERR_CONFIG);
	cr_assert_eq(make(',', "user_id,,amount,\n", NULL), SB_OK);
	cr_assert_eq(make(',', "user_id,amount\n", (const char *[]){"note=3", NULL}), SB_ERR_CONFIG);
	cr_assert(strstr(err.message, "should come from column '3'"), "%s", err.message);
	cr_assert_eq(make(',', "\n", NULL), SB_ERR_CONFIG);
	cr_assert_eq(make(',', "user_id,\"amount\n", NULL), SB_ERR_CONFIG);
}

/* As many of its names as make a sentence. */
Test(decode_csv, a_long_header_is_not_repeated_whole)
{
	char header[2000] = "first";

	for (unsigned i = 0; i < 100; i++)
		snprintf(header + strlen(header), 20, ",column_%u", i);
	cr_assert_eq(make(',', header, NULL), SB_ERR_CONFIG);
	cr_assert(strstr(err.message, "it has: first, column_0, column_1, "), "%s", err.message);
	cr_assert(strstr(err.message, ". Name the right one with --map user_id="), "%s", err.message);
	cr_assert_null(strstr(err.message, "column_50"), "%s", err.message);
}

static void assert_header_refused(sb_slice line, const char *words)
{
	cr_assert_eq(decoder_set_header(decoder, line, &err), SB_ERR_CONFIG);
	cr_assert(strstr(err.message, words), "%s", err.message);
}

Test(decode_csv, what_can_be_no_header_is_refused_in_words)
{
	const uint64_t len = RECORD_MAX_BYTES + 1;
	uint8_t *line = calloc(1, len);

	cr_assert(line);
	memset(line, 'a', len);
	assert_header_refused(slice_of(line, len), "the header is longer than");
	assert_header_refused(slice_of("user_id,\0,amount", 16), "NUL");
	assert_header_refused(slice_of_text("user_id,\xff,amount"), "cannot be read");
	assert_header_refused(slice_of_text("\r\n"), "is empty");
	free(line);
}

Test(decode_csv, columns_go_by_number_without_a_header)
{
	cr_assert_eq(make(',', NULL, (const char *[]){"user_id=3", "amount=1", NULL}), SB_OK, "%s", err.message);
	cr_assert_eq(decode_text("2.5,x,u,whatever,follows\n"), DECODE_EVENT);
	assert_text(USER, "u");
	cr_assert_eq(values[AMOUNT].as.f64, 2.5);
	cr_assert_eq(make(',', NULL, (const char *[]){"user_id=3", "amount=03", NULL}), SB_ERR_CONFIG);
	cr_assert(strstr(err.message, "column 3 is mapped twice"), "%s", err.message);
	cr_assert_eq(make(',', NULL, (const char *[]){"user_id=3", NULL}), SB_ERR_CONFIG);
	cr_assert(strstr(err.message, "--map amount="), "%s", err.message);
	cr_assert_eq(make(',', NULL, (const char *[]){"user_id=3", "amount=0", NULL}), SB_ERR_CONFIG);
	cr_assert_eq(make(',', NULL, (const char *[]){"user_id=3", "amount=price", NULL}), SB_ERR_CONFIG);
	cr_assert_eq(make(',', NULL, (const char *[]){"user_id=3", "amount=99999999999", NULL}), SB_ERR_CONFIG);
}

/* ---- splitting ---- */

Test(decode_csv, a_record_is_split_the_same_however_its_bytes_arrive)
{
	static const char *const texts[] = {"a,b\n",
					    "\"a\nb\",c\r\n",
					    "a,\"x\"\"\n\"\"y\"\n",
					    "a\"b\nnext\"\n",
					    "\"a\"b\"\nc\n",
					    "\"\"\n\"\n",
					    ",\"\n\"\n",
					    "\n",
					    "\"\n\n\n\"\n"};
	static const size_t lengths[] = {4, 9, 12, 4, 6, 3, 5, 1, 6};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		sb_slice all = slice_of_text(texts[i]);
		size_t resume = 0, carry = 0, len = 0;

		cr_assert_eq(decoder_split(decoder, all, &resume), lengths[i], "%s", texts[i]);
		resume = 0;
		for (size_t n = 0; len == 0 && n <= all.len; n++) /* one more byte behind the same beginning */
			len = decoder_split(decoder, slice_of(all.ptr, n), &resume);
		cr_assert_eq(len, lengths[i], "%s", texts[i]);
		len = 0;
		for (size_t n = 0; n < all.len && len == 0; n++) { /* the beginning not kept */
			carry = decoder_split_carry(carry);
			len = decoder_split(decoder, slice_of(all.ptr + n, 1), &carry) ? n + 1 : 0;
		}
		cr_assert_eq(len, lengths[i], "%s", texts[i]);
	}
}

/* ---- a real file ---- */

Test(decode_csv, the_cdnow_sample_adds_up)
{
	const char *maps[] = {"user_id=customer_id", "amount=dollar_value", "timestamp=date:yyyymmdd", NULL};
	FILE *file = fopen(SB_SOURCE_DIR "/../shared/data/cdnow_master.txt", "rb");
	char line[256];
	double sum = 0;
	unsigned events = 0;

	if (!file)
		cr_skip_test("the sample is not on this machine");
	cr_assert_not_null(fgets(line, sizeof(line), file));
	cr_assert_eq(make(DELIMITER_WHITESPACE, line, maps), SB_OK, "%s", err.message);
	while (fgets(line, sizeof(line), file)) {
		cr_assert_eq(decode_text(line), DECODE_EVENT, "%s: %s", line, fault.detail);
		sum += values[AMOUNT].as.f64;
		cr_assert(values[TIMESTAMP].as.i64 >= INT64_C(852076800000));
		events++;
	}
	cr_assert_eq(events, 69659);
	cr_assert_float_eq(sum, 2500315.63, 0.001);
	fclose(file);
}

/* ---- noise ---- */

Test(decode_csv, random_bytes_never_crash_and_never_get_through_as_invalid_text)
{
	static const char alphabet[] = "a,\"\"\n\r 1.\xc3\xa9-";
	uint64_t state = 12345;
	char text[40];

	for (unsigned i = 0; i < 100000; i++) {
		size_t len = 0;

		for (size_t n = (state >> 33) % sizeof(text); len < n; len++) {
			state = state * UINT64_C(6364136223846793005) + 1442695040888963407u;
			text[len] = alphabet[(state >> 33) % (sizeof(alphabet) - 1)];
		}
		state = state * UINT64_C(6364136223846793005) + 1442695040888963407u;
		if (decode_bytes(text, len) == DECODE_EVENT)
			cr_assert(utf8_is_valid(slice_of(values[USER].as.ptr, values[USER].len)));
		arena_reset(&arena);
	}
}
