/* The JSON side of core/stream/decode.h: what it takes, what it refuses and why. Random records are in test_decode_json_random.c. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/slice.h"
#include "stream/decode.h"
#include "support/purchase_decoder.h"

static enum decode_result decode_text(const char *text)
{
	return decode_bytes(text, strlen(text));
}

Test(decode_json, all_fields_are_decoded)
{
	cr_assert_eq(decode_text("{\"user_id\":\"user-7\",\"amount\":123.45,\"timestamp\":1699564823,\"count\":-3,"
				 "\"gift\":true,\"product_id\":\"p\"}\n"),
		     DECODE_EVENT);
	assert_string(values[USER], "user-7", 6);
	cr_assert_eq(values[AMOUNT].as.f64, 123.45);
	cr_assert_eq(values[AMOUNT].len, 0);
	cr_assert_eq(values[TIMESTAMP].as.i64, INT64_C(1699564823000));
	cr_assert_eq(values[COUNT].as.i64, -3);
	cr_assert_eq(values[GIFT].as.i64, 1);
}

/* ---- the grammar: a table in the spirit of JSONTestSuite, each value standing in an unmapped and a mapped place ---- */

#define TEXT(literal) literal, sizeof(literal) - 1

static const struct {
	const char *value;
	size_t len;
} valid_values[] = {
	{TEXT("0")},
	{TEXT("-0")},
	{TEXT("1")},
	{TEXT("-1")},
	{TEXT("123456789012345678901234567890")},
	{TEXT("0.5")},
	{TEXT("-0.5")},
	{TEXT("1e3")},
	{TEXT("1E3")},
	{TEXT("1e+3")},
	{TEXT("1e-3")},
	{TEXT("0e0")},
	{TEXT("1.5e300")},
	{TEXT("1e999")},
	{TEXT("0.000000000000000000000000000001")},
	{TEXT("true")},
	{TEXT("false")},
	{TEXT("null")},
	{TEXT("\"\"")},
	{TEXT("\"a\"")},
	{TEXT("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"")},
	{TEXT("\"\\u0000\"")},
	{TEXT("\"\\u00e9\\u20AC\"")},
	{TEXT("\"\\ud83d\\ude00\"")},
	{TEXT("\"\x7f\"")},
	{TEXT("\"\xc3\xa9\"")},
	{TEXT("\"\xe2\x82\xac\"")},
	{TEXT("\"\xf0\x9f\x98\x80\"")},
	{TEXT("\"\xf4\x8f\xbf\xbf\"")},
	{TEXT("\"\xef\xbf\xbf\"")},
	{TEXT("\"}\"")},
	{TEXT("[]")},
	{TEXT("[ ]")},
	{TEXT("[1]")},
	{TEXT("[1,2 , 3]")},
	{TEXT("[[],{}]")},
	{TEXT("{}")},
	{TEXT("{ }")},
	{TEXT("{\"a\":1}")},
	{TEXT("{\"a\":{\"b\":[null,true,\"x\"]}}")},
	{TEXT("{\"a\":1,\"a\":2}")},
	{TEXT("{\"\":0}")},
	{TEXT("\t\r\n 1 \t\r\n")},
	{TEXT("\"exactly sixteen.\"")},
	{TEXT("\"more than sixteen bytes, plain\"")},
	{TEXT("\"sixteen bytes or more, then \\u00e9 and more\"")},
	{TEXT("[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]")},
};

static const struct {
	const char *value;
	size_t len;
	const char *reason;
} invalid_values[] = {
	{TEXT(""), "invalid-json"},
	{TEXT("01"), "invalid-json"},
	{TEXT("-"), "invalid-json"},
	{TEXT("-01"), "invalid-json"},
	{TEXT("+1"), "invalid-json"},
	{TEXT("1."), "invalid-json"},
	{TEXT(".5"), "invalid-json"},
	{TEXT("1e"), "invalid-json"},
	{TEXT("1e+"), "invalid-json"},
	{TEXT("1.e1"), "invalid-json"},
	{TEXT("0x10"), "invalid-json"},
	{TEXT("1 2"), "invalid-json"},
	{TEXT("--1"), "invalid-json"},
	{TEXT("1_000"), "invalid-json"},
	{TEXT("NaN"), "invalid-json"},
	{TEXT("Infinity"), "invalid-json"},
	{TEXT("-Infinity"), "invalid-json"},
	{TEXT("nan"), "invalid-json"},
	{TEXT("True"), "invalid-json"},
	{TEXT("tru"), "invalid-json"},
	{TEXT("truee"), "invalid-json"},
	{TEXT("nul"), "invalid-json"},
	{TEXT("undefined"), "invalid-json"},
	{TEXT("'a'"), "invalid-json"},
	{TEXT("\""), "invalid-json"},
	{TEXT("\"a"), "invalid-json"},
	{TEXT("\"\\\""), "invalid-json"},
	{TEXT("\"\\a\""), "invalid-json"},
	{TEXT("\"\\u\""), "invalid-json"},
	{TEXT("\"\\u00\""), "invalid-json"},
	{TEXT("\"\\u00g0\""), "invalid-json"},
	{TEXT("\"\\U0041\""), "invalid-json"},
	{TEXT("\"\\ud800\""), "invalid-json"},
	{TEXT("\"\\udc00\""), "invalid-json"},
	{TEXT("\"\\ud800\\u0041\""), "invalid-json"},
	{TEXT("\"\\ud800\\ud800\""), "invalid-json"},
	{TEXT("\"\\\0\""), "invalid-json"},
	{TEXT("\"a\tb\""), "invalid-json"},
	{TEXT("\"a\nb\""), "invalid-json"},
	{TEXT("\"a\0b\""), "invalid-json"},
	{TEXT("\"\x1f\""), "invalid-json"},
	{TEXT("\0"), "invalid-json"},
	{TEXT("\"\x80\""), "invalid-utf8"},
	{TEXT("\"\xff\""), "invalid-utf8"},
	{TEXT("\"\xc0\x80\""), "invalid-utf8"},
	{TEXT("\"\xc3\""), "invalid-utf8"},
	{TEXT("\"\xe0\x80\x80\""), "invalid-utf8"},
	{TEXT("\"\xed\xa0\x80\""), "invalid-utf8"},
	{TEXT("\"\xe2\x82\""), "invalid-utf8"},
	{TEXT("\"\xf0\x80\x80\x80\""), "invalid-utf8"},
	{TEXT("\"\xf4\x90\x80\x80\""), "invalid-utf8"},
	{TEXT("\"\xf8\x88\x80\x80\x80\""), "invalid-utf8"},
	{TEXT("\"sixteen bytes or more \xff\""), "invalid-utf8"},
	{TEXT("\xc3\xa9"), "invalid-json"},
	{TEXT("["), "invalid-json"},
	{TEXT("]"), "invalid-json"},
	{TEXT("[1"), "invalid-json"},
	{TEXT("[1,]"), "invalid-json"},
	{TEXT("[,1]"), "invalid-json"},
	{TEXT("[1 2]"), "invalid-json"},
	{TEXT("[1}"), "invalid-json"},
	{TEXT("{"), "invalid-json"},
	{TEXT("{\"a\"}"), "invalid-json"},
	{TEXT("{\"a\":}"), "invalid-json"},
	{TEXT("{\"a\":1,}"), "invalid-json"},
	{TEXT("{,}"), "invalid-json"},
	{TEXT("{a:1}"), "invalid-json"},
	{TEXT("{1:1}"), "invalid-json"},
	{TEXT("{\"a\":1]"), "invalid-json"},
	{TEXT("{\"a\" 1}"), "invalid-json"},
	{TEXT("{\"a\":1"), "invalid-json"},
	{TEXT("{\"\xff\":1}"), "invalid-utf8"},
	{TEXT("1/**/"), "invalid-json"},
	{TEXT("\xef\xbb\xbf"
	      "1"),
	 "invalid-json"},
	{TEXT("\f1"), "invalid-json"},
	{TEXT("\v1"), "invalid-json"},
	{TEXT("\xc2\xa0"
	      "1"),
	 "invalid-json"},
	{TEXT("[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]"), "too-deep"},
};

static size_t compose(char *out, const char *before, const char *value, size_t len, const char *behind)
{
	size_t start = strlen(before), end = strlen(behind);

	memcpy(out, before, start);
	memcpy(out + start, value, len);
	memcpy(out + start + len, behind, end);
	return start + len + end;
}

static const char head[] = "{\"user_id\":\"u\",\"amount\":1,\"other\":";

Test(decode_json, every_valid_value_is_accepted_where_it_is_not_asked_for)
{
	char text[256];

	for (size_t i = 0; i < sizeof(valid_values) / sizeof(valid_values[0]); i++) {
		const char *tails[] = {"}", " } \n", ",\"count\":2}"};

		for (size_t t = 0; t < 3; t++) {
			size_t len = compose(text, head, valid_values[i].value, valid_values[i].len, tails[t]);

			cr_assert_eq(decode_bytes(text, len), DECODE_EVENT, "%.*s: %s", (int)len, text, fault.detail);
		}
	}
}

Test(decode_json, every_invalid_value_is_refused_where_it_is_not_asked_for)
{
	char text[256];

	for (size_t i = 0; i < sizeof(invalid_values) / sizeof(invalid_values[0]); i++) {
		const char *tails[] = {"}", ",\"count\":2}"};

		for (size_t t = 0; t < 2; t++) {
			size_t len = compose(text, head, invalid_values[i].value, invalid_values[i].len, tails[t]);

			cr_assert_eq(decode_bytes(text, len), DECODE_BAD, "%.*s", (int)len, text);
			cr_assert_str_eq(fault.reason, invalid_values[i].reason, "%.*s: %s", (int)len, text,
					 fault.detail);
		}
	}
}

Test(decode_json, an_invalid_value_is_refused_in_every_mapped_field)
{
	const char *heads[] = {
		"{\"amount\":1,\"user_id\":", "{\"user_id\":\"u\",\"amount\":",
		"{\"user_id\":\"u\",\"amount\":1,\"timestamp\":", "{\"user_id\":\"u\",\"amount\":1,\"count\":",
		"{\"user_id\":\"u\",\"amount\":1,\"gift\":"};
	char text[256];

	for (size_t h = 0; h < FIELDS; h++) {
		for (size_t i = 0; i < sizeof(invalid_values) / sizeof(invalid_values[0]); i++) {
			size_t len = compose(text, heads[h], invalid_values[i].value, invalid_values[i].len, "}");

			cr_assert_eq(decode_bytes(text, len), DECODE_BAD, "%.*s", (int)len, text);
		}
	}
}

Test(decode_json, what_is_no_object_is_refused)
{
	const char *texts[] = {"1",
			       "\"a\"",
			       "[]",
			       "null",
			       "true",
			       "}",
			       "{",
			       "{}}",
			       "{}{}",
			       "{} x",
			       "x{}",
			       "{}\"}\"",
			       "{\"user_id\":\"u\",\"amount\":1}}",
			       "[{}]",
			       "{]",
			       ",{}",
			       "{,\"a\":1}",
			       "{\"user_id\":\"u\",\"amount\":1",
			       "{\"user_id\":\"u\" \"amount\":1}",
			       "{\"user_id\":\"u\",,\"amount\":1}",
			       "{\"user_id\":\"u\",\"amount\":1,}",
			       "{\"user_id\"\"u\",\"amount\":1}",
			       "{\"user_id\":\"u\",\"amount\":{\"a\":1}",
			       "{\"user_id\":\"u\",\"amount\":1,\"x\":{}",
			       "{\"user_id\":\"u\",\"amount\":1,\"x\":[{}"};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		/* Twice: with what the shape has learnt from the record before, too. */
		decode_text("{\"user_id\":\"u\",\"amount\":1,\"x\":1}");
		cr_assert_eq(decode_text(texts[i]), DECODE_BAD, "%s", texts[i]);
		cr_assert_str_eq(fault.reason, "invalid-json", "%s: %s", texts[i], fault.reason);
	}
}

Test(decode_json, a_blank_line_is_nothing)
{
	cr_assert_eq(decode_text(""), DECODE_NOTHING);
	cr_assert_eq(decode_text("\n"), DECODE_NOTHING);
	cr_assert_eq(decode_text(" \t\r\n"), DECODE_NOTHING);
}

/* ---- fields ---- */

static void assert_fault(const char *text, const char *reason, const char *detail)
{
	cr_assert_eq(decode_text(text), DECODE_BAD, "%s", text);
	cr_assert_str_eq(fault.reason, reason, "%s: %s", text, fault.detail);
	if (detail)
		cr_assert_str_eq(fault.detail, detail);
}

Test(decode_json, a_wrong_type_is_named_with_field_and_position)
{
	assert_fault("{\"user_id\":\"u\",\"amount\":\"12\"}", "wrong-type",
		     "field 'amount': expected a number, found a string at byte 24");
	assert_fault("{\"user_id\":\"u\",\"amount\":1,\"timestamp\":1e30}", "out-of-range",
		     "field 'timestamp': the time at byte 38 is beyond the years 0000 to 9999");
	assert_fault("{\"user_id\":\"u\",\"amount\":1,\"timestamp\":\"noon\"}", "invalid-time",
		     "field 'timestamp': expected an RFC 3339 time, a date or a number at byte 38");
	assert_fault("{\"user_id\":5,\"amount\":12}", "wrong-type",
		     "field 'user_id': expected a string, found a number at byte 11");
	assert_fault("{\"user_id\":[],\"amount\":12}", "wrong-type", NULL);
	assert_fault("{\"user_id\":\"u\",\"amount\":true}", "wrong-type", NULL);
	assert_fault("{\"user_id\":\"u\",\"amount\":1,\"gift\":1}", "wrong-type", NULL);
	assert_fault("{\"user_id\":\"u\",\"amount\":1,\"count\":1.0}", "wrong-type", NULL);
	assert_fault("{\"user_id\":\"u\",\"amount\":1,\"count\":1e3}", "wrong-type", NULL);
	assert_fault("{\"user_id\":\"u\",\"amount\":1,\"count\":\"1\"}", "wrong-type", NULL);
	assert_fault("{\"user_id\":\"u\",\"amount\":1,\"timestamp\":{}}", "wrong-type", NULL);
}

Test(decode_json, integers_are_exact_to_the_last_one)
{
	static const struct {
		const char *text;
		int64_t value;
	} cases[] = {{"9223372036854775807", INT64_MAX},
		     {"-9223372036854775808", INT64_MIN},
		     {"9007199254740993", INT64_C(9007199254740993)},
		     {"999999999999999999", INT64_C(999999999999999999)},
		     {"1000000000000000000", INT64_C(1000000000000000000)},
		     {"-0", 0},
		     {"0", 0}};
	char text[128];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(text, sizeof(text), "{\"user_id\":\"u\",\"amount\":1,\"count\":%s}", cases[i].text);
		cr_assert_eq(decode_text(text), DECODE_EVENT, "%s", text);
		cr_assert_eq(values[COUNT].as.i64, cases[i].value, "%s", text);
	}
	assert_fault("{\"user_id\":\"u\",\"amount\":1,\"count\":9223372036854775808}", "out-of-range", NULL);
	assert_fault("{\"user_id\":\"u\",\"amount\":1,\"count\":-9223372036854775809}", "out-of-range", NULL);
	assert_fault("{\"user_id\":\"u\",\"amount\":1,\"count\":100000000000000000000000}", "out-of-range", NULL);
}

Test(decode_json, doubles_are_correctly_rounded)
{
	const char *texts[] = {"0.1",
			       "1e23",
			       "9007199254740993",
			       "5e-324",
			       "2.2250738585072011e-308",
			       "1.7976931348623157e308",
			       "123456789012345678901234567890",
			       "1e-400",
			       "0.30000000000000004",
			       "9007199254740992.5",
			       "1234567890.123456789",
			       "-0.0",
			       "-0",
			       "100000000000000000000000.5"};
	char text[128];

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		double expected = strtod(texts[i], NULL);

		snprintf(text, sizeof(text), "{\"user_id\":\"u\",\"amount\":%s}", texts[i]);
		cr_assert_eq(decode_text(text), DECODE_EVENT, "%s", text);
		cr_assert_eq(memcmp(&values[AMOUNT].as.f64, &expected, sizeof(expected)), 0, "%s", text);
	}
	assert_fault("{\"user_id\":\"u\",\"amount\":1e309}", "out-of-range", NULL);
	assert_fault("{\"user_id\":\"u\",\"amount\":-1e309}", "out-of-range", NULL);
}

Test(decode_json, a_missing_or_null_required_field_is_a_fault_and_an_optional_one_is_null)
{
	assert_fault("{}", "missing-field", "field 'user_id': the record has no value for it");
	assert_fault("{\"user_id\":\"u\"}", "missing-field", NULL);
	assert_fault("{\"user_id\":\"u\",\"amount\":null}", "missing-field", NULL);
	cr_assert_eq(decode_text("{\"user_id\":\"u\",\"amount\":1,\"timestamp\":null}"), DECODE_EVENT);
	cr_assert_eq(values[TIMESTAMP].len, SB_NULL);
	cr_assert_eq(values[COUNT].len, SB_NULL);
	cr_assert_eq(values[GIFT].len, SB_NULL);
}

Test(decode_json, a_second_member_of_a_field_is_a_fault_however_it_is_spelt)
{
	assert_fault("{\"user_id\":\"u\",\"amount\":1,\"amount\":1}", "duplicate-field", NULL);
	assert_fault("{\"user_id\":\"u\",\"amount\":1,\"\\u0061mount\":1}", "duplicate-field", NULL);
	assert_fault("{\"user_id\":\"u\",\"amount\":1,\"count\":null,\"count\":1}", "duplicate-field", NULL);
	/* Also where the shape predicts it. */
	decode_text("{\"amount\":1,\"user_id\":\"u\"}");
	assert_fault("{\"user_id\":\"u\" ,\"user_id\":\"u\"}", "duplicate-field", NULL);
}

Test(decode_json, names_match_after_unescaping_and_by_all_bytes)
{
	cr_assert_eq(decode_text("{\"user\\u005fid\":\"u\",\"\\u0061\\u006dount\":2}"), DECODE_EVENT);
	cr_assert_eq(values[AMOUNT].as.f64, 2);
	assert_fault("{\"User_Id\":\"u\",\"amount\":1}", "missing-field", NULL);
	assert_fault("{\"user_id\\u0000\":\"u\",\"amount\":1}", "missing-field", NULL);
}

Test(decode_json, escapes_are_resolved)
{
	cr_assert_eq(decode_text("{\"user_id\":\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0000\\u00e9\\u20aC\\ud83d\\uDE00z\","
				 "\"amount\":1}"),
		     DECODE_EVENT);
	assert_string(values[USER], TEXT("a\"\\/\b\f\n\r\t\0\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z"));
}

Test(decode_json, a_string_that_the_record_ends_in_is_refused)
{
	assert_fault("{\"user_id\":\"a}", "invalid-json", "a string is not closed at byte 14");
	assert_fault("{\"user_id\":\"\\}", "invalid-json", "invalid escape in a string at byte 12");
	assert_fault("{\"user_id\":\"\\u12}", "invalid-json", "invalid escape in a string at byte 12");
	assert_fault("{\"user_id\":\"\\ud800}", "invalid-json", "invalid escape in a string at byte 12");
	assert_fault("{\"user_id\":\"\\ud800\\}", "invalid-json", "invalid escape in a string at byte 12");
	assert_fault("{\"user_id\":\"\\ud800\\u}", "invalid-json", "invalid escape in a string at byte 12");
}

Test(decode_json, blanks_around_a_record_are_not_a_part_of_it)
{
	cr_assert_eq(decode_text(" \t{\"user_id\":\"u\",\"amount\":2} \r\n"), DECODE_EVENT, "%s", fault.detail);
	cr_assert_eq(values[AMOUNT].as.f64, 2);
}

Test(decode_json, a_name_may_be_empty)
{
	for (unsigned round = 0; round < 2; round++) {
		cr_assert_eq(decode_text("{\"\":1,\"user_id\":\"u\",\"amount\":2}"), DECODE_EVENT, "%s", fault.detail);
		cr_assert_eq(values[AMOUNT].as.f64, 2);
	}
}

Test(decode_json, records_of_changing_shapes_decode_alike)
{
	const char *shapes[] = {
		"{\"user_id\":\"u1\",\"amount\":1.5,\"x\":[1],\"count\":4}",
		"{\"amount\":1.5,\"user_id\":\"u1\",\"count\":4}",
		"{ \"user_id\": \"u1\", \"amount\": 1.5, \"count\": 4 }",
		"{\"count\":4,\"amount\":1.5,\"user_id\":\"u1\"}",
		"{\"user_id\" : \"u1\" ,\n\"amount\":1.5\t,\"a\":{},\"count\":4 }",
		"{\"user_id\":\"u1\",\"amount\":1.5,\"count\":4,\"a name that is longer than a prefix can be\":0}"};

	for (unsigned i = 0; i < 200; i++) {
		const char *shape = shapes[(i + i / 6) % 6];

		cr_assert_eq(decode_text(shape), DECODE_EVENT, "%s: %s", shape, fault.detail);
		assert_string(values[USER], "u1", 2);
		cr_assert_eq(values[AMOUNT].as.f64, 1.5);
		cr_assert_eq(values[COUNT].as.i64, 4);
	}
}

Test(decode_json, many_members_are_fine)
{
	struct buffer text = BUFFER_INIT;

	for (unsigned round = 0; round < 2; round++) {
		buffer_clear(&text);
		buffer_append_byte(&text, '{');
		for (unsigned i = 0; i < 1000; i++)
			buffer_printf(&text, "\"m%u\":%u,", i, i);
		buffer_append_text(&text, "\"user_id\":\"u\",\"amount\":1}");
		cr_assert_eq(decode_bytes(text.data, text.len), DECODE_EVENT);
	}
	buffer_done(&text);
}

Test(decode_json, a_detail_has_no_control_characters)
{
	const char *texts[] = {"{\"a\"\x1b[2J}", "{\"user_id\":\"\2332J\"}", "\x1b{}", "{\x7f}"};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		cr_assert_eq(decode_text(texts[i]), DECODE_BAD);
		for (const char *at = fault.detail; *at; at++)
			cr_assert((uint8_t)*at >= 0x20 && (uint8_t)*at < 0x7f, "%s", fault.detail);
	}
}

Test(decode_json, a_record_beyond_the_limit_is_too_large)
{
	size_t len = RECORD_MAX_BYTES + 1;
	char *text = malloc(len);

	memset(text, ' ', len);
	text[0] = '{';
	text[len - 1] = '}';
	cr_assert_eq(decode_bytes(text, len), DECODE_BAD);
	cr_assert_str_eq(fault.reason, "too-large");
	free(text);
}

/* ---- maps ---- */

Test(decode_json, maps_rename_and_may_share_a_column)
{
	const char *maps[] = {"user_id=customer", "amount=n", "count=n", "timestamp=when:s"};

	decoder_free(decoder);
	decoder = new_decoder(maps, 4);
	cr_assert_eq(decode_text("{\"n\":12,\"customer\":\"c\",\"when\":\"1.5\",\"user_id\":7}"), DECODE_EVENT, "%s",
		     fault.detail);
	assert_string(values[USER], "c", 1);
	cr_assert_eq(values[AMOUNT].as.f64, 12);
	cr_assert_eq(values[COUNT].as.i64, 12);
	cr_assert_eq(values[TIMESTAMP].as.i64, 1500);
	cr_assert_eq(decode_text("{\"n\":\"12\",\"customer\":\"c\"}"), DECODE_BAD);
	cr_assert_str_eq(fault.detail, "field 'count': expected an integer, found a string at byte 5");
}

Test(decode_json, wrong_maps_are_refused_with_the_map_in_the_sentence)
{
	const char *wrong[][2] = {{"usr=x", NULL},
				  {"amount", NULL},
				  {"=x", NULL},
				  {"amount=", NULL},
				  {"timestamp=t:hours", NULL},
				  {"timestamp=:s", NULL},
				  {"amount=a", "amount=b"}};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct decoder_config config = {.format = FORMAT_NDJSON,
						.fields = purchase,
						.field_count = FIELDS,
						.maps = wrong[i],
						.map_count = wrong[i][1] ? 2 : 1};
		sb_error err = ERROR_INIT;
		struct decoder *made = NULL;

		cr_assert_eq(decoder_new(&config, &made, &err), SB_ERR_CONFIG);
		cr_assert_null(made);
		cr_assert(strstr(err.message, wrong[i][wrong[i][1] != NULL]), "%s", err.message);
	}
}

Test(decode_json, lines_are_split_and_searched_once)
{
	const char *text = "{}\n{\"a\":1}\nrest";
	size_t resume = 0;

	cr_assert_eq(decoder_split(decoder, slice_of_text(text), &resume), 3);
	resume = 0;
	cr_assert_eq(decoder_split(decoder, slice_of_text("rest"), &resume), 0);
	cr_assert_eq(resume, 4);
	cr_assert_eq(decoder_split(decoder, slice_of_text("rest"), &resume), 0);
	cr_assert_eq(resume, 4);
	cr_assert_eq(decoder_split(decoder, slice_of_text("rest of it\n"), &resume), 11);
}
