/* core/stream/encode.h: what is written reads back as what was emitted. */
#include <cjson/cJSON.h>
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>

#include "base/error.h"
#include "base/number.h"
#include "base/slice.h"
#include "stream/encode.h"

static const sb_field outputs[] = {
	{.struct_size = sizeof(sb_field), .type = SB_TYPE_STRING, .name = "user_id"},
	{.struct_size = sizeof(sb_field), .type = SB_TYPE_I64, .name = "total_purchases"},
	{.struct_size = sizeof(sb_field), .type = SB_TYPE_F64, .decimals = 2, .name = "total_spent"},
	{.struct_size = sizeof(sb_field),
	 .type = SB_TYPE_F64,
	 .flags = SB_FIELD_OPTIONAL,
	 .decimals = -1,
	 .name = "share"},
	{.struct_size = sizeof(sb_field), .type = SB_TYPE_TIME, .flags = SB_FIELD_OPTIONAL, .name = "last"},
	{.struct_size = sizeof(sb_field), .type = SB_TYPE_BOOL, .flags = SB_FIELD_OPTIONAL, .name = "vip"},
};

enum { USER, TOTAL, SPENT, SHARE, LAST, VIP, FIELDS };

static struct encoder *encoder;
static struct buffer out;
static sb_error err = ERROR_INIT;
static sb_value values[FIELDS];

static sb_value text_value(const void *text, size_t len)
{
	return (sb_value){.as.ptr = text, .len = len};
}

static void set_up(void)
{
	cr_assert_eq(encoder_new(outputs, FIELDS, &encoder, &err), SB_OK);
	values[USER] = text_value("user-1", 6);
	values[TOTAL].as.i64 = 3;
	values[SPENT].as.f64 = 12.5;
	values[SHARE].as.f64 = 0.25;
	values[LAST].as.i64 = INT64_C(1731165623123);
	values[VIP].as.i64 = 1;
}

static void tear_down(void)
{
	encoder_free(encoder);
	buffer_done(&out);
}

TestSuite(encode, .init = set_up, .fini = tear_down);

static const char *append(void)
{
	buffer_clear(&out);
	cr_assert_eq(encoder_append(encoder, values, &out, &err), SB_OK, "%s", err.message);
	return buffer_text(&out);
}

Test(encode, a_line_has_all_fields_in_their_order)
{
	cr_assert_str_eq(append(), "{\"user_id\":\"user-1\",\"total_purchases\":3,\"total_spent\":12.50,\"share\":0.25,"
				   "\"last\":\"2024-11-09T15:20:23.123Z\",\"vip\":true}\n");
	cr_assert_eq(encoder_append(encoder, values, &out, &err), SB_OK);
	cr_assert_eq(memcmp(out.data, out.data + out.len / 2, out.len / 2), 0);
}

Test(encode, null_is_written_where_it_may_be)
{
	values[SHARE].len = values[LAST].len = values[VIP].len = SB_NULL;
	cr_assert_str_eq(append(), "{\"user_id\":\"user-1\",\"total_purchases\":3,\"total_spent\":12.50,\"share\":null,"
				   "\"last\":null,\"vip\":null}\n");
}

static void assert_refused(const char *name)
{
	buffer_clear(&out);
	buffer_append_text(&out, "before");
	cr_assert_eq(encoder_append(encoder, values, &out, &err), SB_ERR_DATA);
	cr_assert(strstr(err.message, name), "%s", err.message);
	cr_assert(slice_equal_text(buffer_slice(&out), "before"));
}

Test(encode, what_json_cannot_say_is_refused_and_leaves_no_trace)
{
	const double unspeakable[] = {NAN, INFINITY, -INFINITY};

	for (unsigned i = 0; i < 3; i++) {
		values[SPENT].as.f64 = unspeakable[i];
		assert_refused("total_spent");
		values[SPENT].as.f64 = 1;
		values[SHARE].as.f64 = unspeakable[i];
		assert_refused("share");
		values[SHARE].as.f64 = 1;
	}
	values[USER] = text_value("a\xff", 2);
	assert_refused("user_id");
	values[USER] = text_value("sixteen bytes or more \xed\xa0\x80", 25);
	assert_refused("user_id");
	values[USER] = text_value("u", 1);
	values[TOTAL].len = SB_NULL;
	assert_refused("total_purchases");
	values[TOTAL].len = 0;
	values[LAST].as.i64 = INT64_MAX;
	assert_refused("last");
}

Test(encode, strings_of_all_lengths_and_characters_read_back)
{
	static const char *const pieces[] = {"a",
					     "\"",
					     "\\",
					     "\n",
					     "\x01",
					     "\x1f",
					     "\x7f",
					     "/",
					     "\xc3\xa9",
					     "\xe2\x82\xac",
					     "\xf0\x9f\x98\x80",
					     "0123456789abcdef"};
	uint64_t state = 99;
	char text[512];

	for (unsigned i = 0; i < 20000; i++) {
		size_t len = 0;
		cJSON *tree;

		for (unsigned n = i % 23; n > 0; n--) {
			const char *piece;

			state = state * UINT64_C(6364136223846793005) + 1442695040888963407u;
			piece = (state >> 40) % 3 ? "b" : pieces[(state >> 33) % (sizeof(pieces) / sizeof(pieces[0]))];
			memcpy(text + len, piece, strlen(piece) + 1);
			len += strlen(piece);
		}
		text[len] = 0;
		values[USER] = text_value(text, len);
		tree = cJSON_ParseWithOpts(append(), NULL, false);
		cr_assert_not_null(tree, "%s", out.data);
		cr_assert_str_eq(cJSON_GetObjectItemCaseSensitive(tree, "user_id")->valuestring, text);
		cJSON_Delete(tree);
	}
	values[USER] = text_value("a\0b", 3);
	cr_assert(strstr(append(), "\"a\\u0000b\""));
}

Test(encode, integers_are_exact)
{
	values[TOTAL].as.i64 = INT64_MIN;
	cr_assert(strstr(append(), ":-9223372036854775808,"));
	values[TOTAL].as.i64 = INT64_MAX;
	cr_assert(strstr(append(), ":9223372036854775807,"));
}

/* As printf, which rounds the exact binary value, half to even. */
Test(encode, fixed_decimals_are_rounded_as_printf_does)
{
	uint64_t state = 4711;
	char expected[400];

	for (unsigned i = 0; i < 200000; i++) {
		double value;

		state = state * UINT64_C(6364136223846793005) + 1442695040888963407u;
		value = (double)(int64_t)(state >> 33) / (i % 2 ? 1000.0 : 8192.0) * (i % 3 ? 1 : -1);
		if (i % 7 == 0) /* halves, and the doubles beside them */
			value = nextafter((double)(state >> 44) + 0.005 * (double)(state % 200), i % 14 ? 0 : INFINITY);
		if (i % 5 == 0)
			value = (double)(state >> 50) / 8;
		values[SPENT].as.f64 = value;
		snprintf(expected, sizeof(expected), "\"total_spent\":%.2f,", value);
		cr_assert(strstr(append(), expected), "%s in %s", expected, out.data);
	}
}

Test(encode, extreme_numbers_are_written_in_full)
{
	const double extremes[] = {1.7976931348623157e308,
				   -1.7976931348623157e308,
				   5e-324,
				   -5e-324,
				   0.0,
				   -0.0,
				   1e15,
				   1e13,
				   9007199254740993.0,
				   0.125,
				   0.375,
				   1e22,
				   99999999999999.995,
				   1e-7};
	char expected[500];

	for (size_t i = 0; i < sizeof(extremes) / sizeof(extremes[0]); i++) {
		double got;
		const char *share;

		values[SPENT].as.f64 = values[SHARE].as.f64 = extremes[i];
		snprintf(expected, sizeof(expected), "\"total_spent\":%.2f,", extremes[i]);
		cr_assert(strstr(append(), expected), "%s in %s", expected, out.data);
		share = strstr((const char *)out.data, "\"share\":") + 8;
		cr_assert(number_parse_f64(slice_of(share, strcspn(share, ",")), &got));
		cr_assert_eq(memcmp(&got, &extremes[i], sizeof(got)), 0, "%s", share);
	}
}

Test(encode, shortest_numbers_read_back)
{
	uint64_t state = 31337;

	for (unsigned i = 0; i < 50000; i++) {
		double value, got;
		const char *share;

		state = state * UINT64_C(6364136223846793005) + 1442695040888963407u;
		value = (double)(state >> 30) / (i % 2 ? 100.0 : 1e7);
		values[SHARE].as.f64 = value;
		share = strstr(append(), "\"share\":") + 8;
		cr_assert(number_parse_f64(slice_of(share, strcspn(share, ",")), &got));
		cr_assert_eq(got, value, "%s", share);
	}
	values[SHARE].as.f64 = 1234.5;
	cr_assert(strstr(append(), ":1234.5,"));
	values[SHARE].as.f64 = 100;
	cr_assert(strstr(append(), ":100,"));
	values[SHARE].as.f64 = 0.01;
	cr_assert(strstr(append(), ":0.01,"));
}

Test(encode, times_of_all_years_are_rfc3339)
{
	static const struct {
		int64_t ms;
		const char *text;
	} cases[] = {{0, "1970-01-01T00:00:00.000Z"},
		     {-1, "1969-12-31T23:59:59.999Z"},
		     {INT64_C(-62167219200000), "0000-01-01T00:00:00.000Z"},
		     {INT64_C(-62162035200001), "0000-02-29T23:59:59.999Z"},
		     {INT64_C(253402300799999), "9999-12-31T23:59:59.999Z"},
		     {INT64_C(1709164800001), "2024-02-29T00:00:00.001Z"}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		values[LAST].as.i64 = cases[i].ms;
		cr_assert(strstr(append(), cases[i].text), "%s in %s", cases[i].text, out.data);
	}
}
