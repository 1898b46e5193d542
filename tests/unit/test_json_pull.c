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
};

static int32_t fill(void *context, sb_slice *ret_piece, sb_error *err)
{
	struct pieces *pieces = context;
	size_t left = pieces->len - pieces->at;
	size_t len = left < pieces->step ? left : pieces->step;

	(void)err;
	*ret_piece = slice_of(pieces->text + pieces->at, len);
	pieces->at += len;
	return SB_OK;
}

/* Every token on a line of its own; false on the first failure. */
static bool describe(const char *text, size_t step, struct buffer *out, sb_error *err)
{
	static const char marks[] = "{}[]m\"#tfn$";
	struct pieces pieces = {.text = text, .len = strlen(text), .step = step};
	struct json_pull pull;
	enum json_token token;
	sb_slice piece;

	buffer_clear(out);
	json_pull_init(&pull, fill, &pieces, "text", 0);
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

Test(json_pull, gives_the_same_tokens_in_every_chunking)
{
	static const char text[] = " {\"a\": [1, -2.5e+10, true, false, null, \"x\\n\\u00e9\\ud83d\\ude00\xc3\xa9\"], "
				   "\"\": {}, \"A\": [], \"\\u0041b\" :0 } \n";
	static const char expected[] = "{\nma\n[\n#1\n#-2.5e+10\nt\nf\nn\n\"x\n\xc3\xa9\xf0\x9f\x98\x80\xc3\xa9\n]\n"
				       "m\n{\n}\nmA\n[\n]\nmAb\n#0\n}\n$\n";
	struct buffer out = BUFFER_INIT;
	sb_error err = ERROR_INIT;

	for (size_t step = 1; step <= sizeof(text); step++) {
		cr_assert(describe(text, step, &out, &err), "%s", err.message);
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
