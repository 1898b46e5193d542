/* The strict pull parser: what it takes, what it refuses, and that the cutting of the input into pieces changes
 * nothing. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/slice.h"
#include "checkpoint/json_pull.h"

struct pieces {
	const char *text;
	size_t len, at, step;
	uint64_t fills, fail_at; /* the fill that fails; 0: none */
};

static int32_t fill(void *context, sb_slice *ret_piece, sb_error *err)
{
	struct pieces *pieces = context;
	size_t left = pieces->len - pieces->at;
	size_t len = left < pieces->step ? left : pieces->step;

	if (++pieces->fills == pieces->fail_at)
		return error_set(err, SB_ERR_IO, "a loose cable");
	*ret_piece = slice_of(pieces->text + pieces->at, len);
	pieces->at += len;
	return SB_OK;
}

/* Every token on a line of its own; false on the first failure. */
static bool describe_pieces(struct pieces *pieces, struct buffer *out, sb_error *err)
{
	static const char marks[] = "{}[]m\"#tfn$";
	struct json_pull pull;
	enum json_token token;
	sb_slice piece;

	buffer_clear(out);
	json_pull_init(&pull, fill, pieces, "text", 0);
	do {
		if (json_pull_next(&pull, &token, err) != SB_OK)
			return false;
		buffer_printf(out, "%c", marks[token]);
		if (token == JSON_MEMBER)
			buffer_append(out, pull.name, pull.name_len);
		if (token == JSON_NUMBER)
			buffer_append(out, pull.number, pull.number_len);
		while (token == JSON_STRING) {
			if (json_pull_piece(&pull, &piece, err) != SB_OK)
				return false;
			if (piece.len == 0)
				break;
			buffer_append_slice(out, piece);
		}
		buffer_append_byte(out, '\n');
	} while (token != JSON_END);
	return true;
}

static bool describe(const char *text, size_t step, struct buffer *out, sb_error *err)
{
	struct pieces pieces = {.text = text, .len = strlen(text), .step = step};

	return describe_pieces(&pieces, out, err);
}

static const char sample[] =
	" {\"a\": [1, -2.5e+10, 3E-1, true, false, null, \"x\\n\\u20ac\\ue000\\u00e9\\uD83d\\uDe00\xc3\xa9\"],\r"
	"\t\"\": {}, \"A\": [], \"\\u0041b\" :0 } \n";

Test(json_pull, gives_the_same_tokens_in_every_chunking)
{
	static const char expected[] =
		"{\nma\n[\n#1\n#-2.5e+10\n#3E-1\nt\nf\nn\n\"x\n\xe2\x82\xac\xee\x80\x80\xc3\xa9\xf0\x9f\x98\x80\xc3\xa9\n]\n"
		"m\n{\n}\nmA\n[\n]\nmAb\n#0\n}\n$\n";
	struct buffer out = BUFFER_INIT;
	sb_error err = ERROR_INIT;

	for (size_t step = 1; step <= sizeof(sample); step++) {
		cr_assert(describe(sample, step, &out, &err), "%s", err.message);
		cr_assert(slice_equal_text(buffer_slice(&out), expected), "in pieces of %zu: %s", step,
			  buffer_text(&out));
	}
	buffer_done(&out);
}

Test(json_pull, refuses_all_that_rfc_8259_does_not_have)
{
	static const char *const wrong[] = {
		"",
		" ",
		"{",
		"[",
		"[1",
		"[1,]",
		"[,1]",
		"{,}",
		"{\"a\"}",
		"{\"a\":}",
		"{\"a\":1,}",
		"{a:1}",
		"{'a':1}",
		"[1 2]",
		"1 2",
		"{} x",
		"01",
		"-",
		"1.",
		".5",
		"1e",
		"+1",
		"0x1",
		"1e+",
		"NaN",
		"Infinity",
		"nul",
		"trve",
		"\"a\n\"",
		"True",
		"truex",
		"\"",
		"\"a",
		"\"\n\"",
		"\"\\x\"",
		"\"\\u12\"",
		"\"\\ud800\"",
		"\"\\udc00\"",
		"\"\\ud800\\u0041\"",
		"[1}",
		"{\"a\":1]",
		"// x\n1",
		"[1]]",
		"\"\t\"",
		"{\"a\" 1}",
		"--1",
		"1-1",
		"[\"a\":1]",
		"{\"\\ud800\":1}",
		"{\"\xff\":1}",
		"{\"\x01\":1}",
		"\"\\u00g0\"",
		"\"\\u00/0\"",
		"\"\\u00:0\"",
		"\"\\u00`0\"",
		"\"\\ud800x\"",
		"\"\\ud800\\n\"",
		"\"\\ud800\\ue000\"",
		":",
	};
	struct buffer out = BUFFER_INIT;
	sb_error err = ERROR_INIT;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		for (size_t step = 1; step < 40; step += 13) {
			cr_assert(!describe(wrong[i], step, &out, &err), "taken: %s", wrong[i]);
			cr_assert_eq(err.code, SB_ERR_CORRUPT);
		}
	buffer_done(&out);
}

/* Whatever it is in the middle of: what cannot be read is no statement about the text. */
Test(json_pull, a_piece_that_cannot_be_read_ends_it_with_that_error)
{
	struct buffer out = BUFFER_INIT;
	uint64_t fail_at = 0;
	bool fine;

	do {
		struct pieces pieces = {.text = sample, .len = strlen(sample), .step = 1, .fail_at = ++fail_at};
		sb_error err = ERROR_INIT;

		fine = describe_pieces(&pieces, &out, &err);
		cr_assert(fine || (err.code == SB_ERR_IO && strcmp(err.message, "a loose cable") == 0), "fill %llu: %s",
			  (unsigned long long)fail_at, err.message);
		cr_assert_eq(fine, pieces.fills < fail_at);
	} while (!fine);
	cr_assert_eq(fail_at, strlen(sample) + 2, "each character, and the end, is a fill");
	buffer_done(&out);
}

/* In the middle of any token, name, escape or literal. */
Test(json_pull, every_truncation_is_refused)
{
	struct buffer out = BUFFER_INIT;

	for (size_t len = 0; sample[len] != '}' || sample[len + 1] != ' '; len++) {
		struct pieces pieces = {.text = sample, .len = len, .step = 1};
		sb_error err = ERROR_INIT;

		cr_assert(!describe_pieces(&pieces, &out, &err), "%.*s", (int)len, sample);
		cr_assert_eq(err.code, SB_ERR_CORRUPT);
	}
	buffer_done(&out);
}

Test(json_pull, a_nul_is_a_character_that_belongs_nowhere)
{
	static const struct pieces wrong[] = {
		{.text = "1\0", .len = 2}, {.text = "\0", .len = 1}, {.text = "\"\\\0\"", .len = 4}};
	struct buffer out = BUFFER_INIT;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct pieces pieces = wrong[i];
		sb_error err = ERROR_INIT;

		pieces.step = 10;
		cr_assert(!describe_pieces(&pieces, &out, &err), "taken: %zu", i);
		cr_assert_eq(err.code, SB_ERR_CORRUPT);
	}
	buffer_done(&out);
}

Test(json_pull, bounds_depth_names_and_numbers)
{
	struct buffer out = BUFFER_INIT, text = BUFFER_INIT;
	sb_error err = ERROR_INIT;

	for (int i = 0; i < JSON_PULL_DEPTH_MAX + 1; i++)
		buffer_append_byte(&text, '[');
	cr_assert(!describe(buffer_text(&text), 7, &out, &err));
	cr_assert(strstr(err.message, "nesting"), "%s", err.message);
	buffer_clear(&text);
	buffer_printf(&text, "{\"%0*d\":1}", JSON_PULL_NAME_MAX + 1, 0);
	cr_assert(!describe(buffer_text(&text), 7, &out, &err));
	buffer_clear(&text);
	buffer_printf(&text, "1%0*d", JSON_PULL_NUMBER_MAX, 0);
	cr_assert(!describe(buffer_text(&text), 7, &out, &err));
	buffer_done(&text);
	buffer_done(&out);
}

static void open_text(struct json_pull *pull, struct pieces *pieces, const char *text)
{
	*pieces = (struct pieces){.text = text, .len = strlen(text), .step = 3};
	json_pull_init(pull, fill, pieces, "text", 100);
}

Test(json_pull, reads_64_bit_integers_exactly_or_not_at_all)
{
	struct json_pull pull;
	struct pieces pieces;
	sb_error err = ERROR_INIT;
	int64_t i64;
	uint64_t u64;

	open_text(&pull, &pieces, "-9223372036854775808");
	cr_assert(json_read_i64(&pull, &i64, &err) == SB_OK && i64 == INT64_MIN);
	open_text(&pull, &pieces, "9007199254740993");
	cr_assert(json_read_i64(&pull, &i64, &err) == SB_OK && i64 == INT64_C(9007199254740993));
	open_text(&pull, &pieces, "18446744073709551615");
	cr_assert(json_read_u64(&pull, &u64, &err) == SB_OK && u64 == UINT64_MAX);
	open_text(&pull, &pieces, "9223372036854775808");
	cr_assert_eq(json_read_i64(&pull, &i64, &err), SB_ERR_CORRUPT);
	open_text(&pull, &pieces, "1.0");
	cr_assert_eq(json_read_i64(&pull, &i64, &err), SB_ERR_CORRUPT);
	open_text(&pull, &pieces, "-1");
	cr_assert_eq(json_read_u64(&pull, &u64, &err), SB_ERR_CORRUPT);
}

Test(json_pull, compares_names_case_by_case_and_names_the_byte)
{
	struct json_pull pull;
	struct pieces pieces;
	sb_error err = ERROR_INIT;

	open_text(&pull, &pieces, "{\"id\":1}");
	cr_assert_eq(json_read(&pull, JSON_OBJECT_BEGIN, &err), SB_OK);
	cr_assert_eq(json_read_member(&pull, "ID", &err), SB_ERR_CORRUPT);
	cr_assert_str_eq(err.message, "text is damaged: member \"id\" where \"ID\" should be at byte 106");
}

Test(json_pull, copies_any_value_as_its_text)
{
	struct buffer text = BUFFER_INIT;
	struct json_pull pull;
	struct pieces pieces;
	sb_error err = ERROR_INIT;

	open_text(&pull, &pieces, "{\"a\":  [1, {\"b\":\"]\\\"\"} ] ,\"c\":-2}");
	cr_assert_eq(json_read(&pull, JSON_OBJECT_BEGIN, &err), SB_OK);
	cr_assert_eq(json_read_member(&pull, "a", &err), SB_OK);
	cr_assert_eq(json_read_value(&pull, &text, &err), SB_OK, "%s", err.message);
	cr_assert(slice_equal_text(buffer_slice(&text), "[1, {\"b\":\"]\\\"\"} ]"), "%s", buffer_text(&text));
	cr_assert_eq(json_read_member(&pull, "c", &err), SB_OK);
	cr_assert_eq(json_read_value(&pull, &text, &err), SB_OK);
	cr_assert(slice_equal_text(buffer_slice(&text), "-2"));
	buffer_done(&text);
}

Test(json_pull, refuses_text_with_nul_or_broken_utf8_or_too_long)
{
	struct buffer text = BUFFER_INIT;
	struct json_pull pull;
	struct pieces pieces;
	sb_error err = ERROR_INIT;

	open_text(&pull, &pieces, "\"a\\u0000b\"");
	cr_assert_eq(json_read_text(&pull, &text, 100, &err), SB_ERR_CORRUPT);
	open_text(&pull, &pieces, "\"\xc3\"");
	cr_assert_eq(json_read_text(&pull, &text, 100, &err), SB_ERR_CORRUPT);
	open_text(&pull, &pieces, "\"12345\"");
	cr_assert_eq(json_read_text(&pull, &text, 4, &err), SB_ERR_CORRUPT);
	open_text(&pull, &pieces, "\"12345\"");
	cr_assert_eq(json_read_text(&pull, &text, 5, &err), SB_OK);
	buffer_done(&text);
}

enum reading { MEMBER, I64, U64, F64, BOOL, STRING, VALUE };

static int32_t read_as(struct json_pull *pull, enum reading reading, struct buffer *text, sb_error *err)
{
	int64_t i64;
	uint64_t u64;
	double f64;
	bool truth;

	switch (reading) {
	case MEMBER:
		return json_read_member(pull, "a", err);
	case I64:
		return json_read_i64(pull, &i64, err);
	case U64:
		return json_read_u64(pull, &u64, err);
	case F64:
		return json_read_f64(pull, &f64, err);
	case BOOL:
		return json_read_bool(pull, &truth, err);
	case STRING:
		return json_read_text(pull, text, 100, err);
	default:
		return json_read_value(pull, text, err);
	}
}

Test(json_pull, says_what_is_there_and_what_should_be)
{
	static const struct {
		const char *text;
		enum reading reading;
		const char *says; /* NULL: it is fine */
	} cases[] = {
		{"1", MEMBER, "a number where member \"a\" should be"},
		{"\"1\"", I64, "a string where a number should be"},
		{"-0", I64, "-0 is no 64-bit integer"},
		{"-9223372036854775809", I64, "no 64-bit integer"},
		{"null", U64, "null where a number should be"},
		{"1e3", U64, "1e3 is no unsigned 64-bit integer"},
		{"{}", F64, "an object where a number should be"},
		{"1e999", F64, "1e999 is no 64-bit number"},
		{"-0.5", F64, NULL},
		{"0", BOOL, "a number where true or false should be"},
		{"true", BOOL, NULL},
		{"false", BOOL, NULL},
		{"[1]", STRING, "an array where a string should be"},
		{"\"\"", STRING, NULL},
		{"\"x\x01\"", STRING, "a raw control character"},
		{"\"x", STRING, "it ends too early"},
		{"", BOOL, "it ends too early"},
		{"[1,\"x\",{\"y\":[]}]", VALUE, NULL},
		{"[1,\"x", VALUE, "it ends too early"},
		{"[1,", VALUE, "it ends too early"},
		{" ", VALUE, "it ends too early"},
	};
	struct buffer out = BUFFER_INIT;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct json_pull pull;
		struct pieces pieces;
		sb_error err = ERROR_INIT;
		int32_t status;

		open_text(&pull, &pieces, cases[i].text);
		status = read_as(&pull, cases[i].reading, &out, &err);
		if (cases[i].says)
			cr_assert(status == SB_ERR_CORRUPT && strstr(err.message, cases[i].says), "%s: %s",
				  cases[i].text, err.message);
		else
			cr_assert_eq(status, SB_OK, "%s: %s", cases[i].text, err.message);
	}
	buffer_done(&out);
}

Test(json_pull, every_reading_passes_on_that_a_piece_cannot_be_read)
{
	static const char *const texts[] = {[I64] = "1", "1", "1", "true", "\"abc\"", "[\"abc\",{\"a\":1}]"};
	struct buffer out = BUFFER_INIT;

	for (enum reading reading = I64; reading <= VALUE; reading++)
		for (uint64_t fail_at = 1; fail_at <= 2; fail_at++) {
			struct json_pull pull;
			struct pieces pieces;
			sb_error err = ERROR_INIT;

			open_text(&pull, &pieces, texts[reading]);
			pieces.fail_at = fail_at;
			if (read_as(&pull, reading, &out, &err) != SB_OK)
				cr_assert_eq(err.code, SB_ERR_IO, "%s: %s", texts[reading], err.message);
			else
				cr_assert_lt(pieces.fills, fail_at, "%s", texts[reading]);
		}
	buffer_done(&out);
}

Test(json_pull, a_member_is_called_by_all_of_its_name)
{
	struct json_pull pull;
	struct pieces pieces;
	sb_error err = ERROR_INIT;

	open_text(&pull, &pieces, "{\"a\\u0000b\":1}");
	cr_assert_eq(json_read(&pull, JSON_OBJECT_BEGIN, &err), SB_OK);
	cr_assert_eq(json_read_member(&pull, "a", &err), SB_ERR_CORRUPT);
	open_text(&pull, &pieces, "{\"a\":1}");
	cr_assert_eq(json_read(&pull, JSON_OBJECT_BEGIN, &err), SB_OK);
	cr_assert_eq(json_read(&pull, JSON_NUMBER, &err), SB_ERR_CORRUPT);
	cr_assert(strstr(err.message, "member \"a\" where a number should be"), "%s", err.message);
}

/* What the consumer would refuse itself comes as it is; only a quote ends it. */
Test(json_pull, plain_pieces_are_what_lies_between_the_quotes)
{
	struct buffer out = BUFFER_INIT;
	sb_error err = ERROR_INIT;
	struct json_pull pull;
	struct pieces pieces;
	sb_slice piece;

	open_text(&pull, &pieces, "\"a\\nb\n\"");
	cr_assert_eq(json_read(&pull, JSON_STRING, &err), SB_OK);
	do {
		cr_assert_eq(json_pull_plain_piece(&pull, &piece, &err), SB_OK, "%s", err.message);
		buffer_append_slice(&out, piece);
	} while (piece.len);
	cr_assert(slice_equal_text(buffer_slice(&out), "a\\nb\n"), "%s", buffer_text(&out));
	cr_assert_eq(json_read(&pull, JSON_END, &err), SB_OK);
	open_text(&pull, &pieces, "\"ab");
	cr_assert_eq(json_read(&pull, JSON_STRING, &err), SB_OK);
	cr_assert_eq(json_pull_plain_piece(&pull, &piece, &err), SB_OK);
	cr_assert_eq(json_pull_plain_piece(&pull, &piece, &err), SB_ERR_CORRUPT);
	open_text(&pull, &pieces, "\"ab\"");
	pieces.fail_at = 2;
	cr_assert_eq(json_read(&pull, JSON_STRING, &err), SB_OK);
	cr_assert_eq(json_pull_plain_piece(&pull, &piece, &err), SB_OK);
	cr_assert_eq(json_pull_plain_piece(&pull, &piece, &err), SB_ERR_IO);
	buffer_done(&out);
}
