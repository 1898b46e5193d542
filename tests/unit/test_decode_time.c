/* core/stream/decode_time.h: the formats of time, exact to the millisecond below. */
#include <criterion/criterion.h>

#include "base/clock.h"
#include "stream/decode_time.h"

static void assert_time(const char *text, enum time_format format, int64_t expected)
{
	int64_t ms = -1;

	cr_assert_eq(time_from_text(slice_of_text(text), format, &ms), TIME_OK, "%s", text);
	cr_assert_eq(ms, expected, "%s: %lld", text, (long long)ms);
}

static void assert_refused(const char *text, enum time_format format, enum time_result expected)
{
	int64_t ms = 77;

	cr_assert_eq(time_from_text(slice_of_text(text), format, &ms), expected, "%s", text);
	cr_assert_eq(ms, 77, "%s changed the output", text);
}

Test(decode_time, rfc3339_is_read_in_all_its_forms)
{
	assert_time("1970-01-01T00:00:00Z", TIME_AUTO, 0);
	assert_time("2024-11-09T15:20:23.123456789Z", TIME_RFC3339, INT64_C(1731165623123));
	assert_time("2024-11-09t15:20:23.1z", TIME_RFC3339, INT64_C(1731165623100));
	assert_time("2024-11-09 15:20:23Z", TIME_AUTO, INT64_C(1731165623000));
	assert_time("2024-11-09T16:50:23+01:30", TIME_AUTO, INT64_C(1731165623000));
	assert_time("2024-11-09T14:20:23-01:00", TIME_AUTO, INT64_C(1731165623000));
	assert_time("2024-11-09T15:20:23-00:00", TIME_AUTO, INT64_C(1731165623000));
	assert_time("1969-12-31T23:59:59.999Z", TIME_AUTO, -1);
	assert_time("1969-12-31T23:59:59.9991Z", TIME_AUTO, -1);
	assert_time("0000-01-01T00:00:00Z", TIME_AUTO, TIME_MIN_MS);
	assert_time("9999-12-31T23:59:59.9999Z", TIME_AUTO, TIME_MAX_MS);
	assert_time("2024-02-29T00:00:00Z", TIME_AUTO, INT64_C(1709164800000));
	assert_time("2024-02-29", TIME_AUTO, INT64_C(1709164800000));
}

Test(decode_time, a_leap_second_becomes_the_last_millisecond_of_its_day)
{
	assert_time("2016-12-31T23:59:60Z", TIME_AUTO, INT64_C(1483228799999));
	assert_time("2016-12-31T23:59:60.5Z", TIME_AUTO, INT64_C(1483228799999));
	assert_time("2017-01-01T00:59:60+01:00", TIME_AUTO, INT64_C(1483228799999));
	assert_refused("2016-12-31T12:00:60Z", TIME_AUTO, TIME_INVALID);
	assert_refused("2016-12-31T23:59:61Z", TIME_AUTO, TIME_INVALID);
}

Test(decode_time, what_is_no_time_is_refused)
{
	const char *wrong[] = {"",
			       "T",
			       "2024",
			       "2024-11",
			       "2024-11-09T",
			       "2024-11-09T15:20:23",
			       "2024-11-09T15:20Z",
			       "2024-11-09T15:20:23.Z",
			       "2024-11-09T15:20:23.5",
			       "2024-11-09T15:20:23x",
			       "2024-11-09T15.20:23Z",
			       "2024-11-09T15:20.23Z",
			       "2024.11-09T15:20:23Z",
			       "2024-11.09T15:20:23Z",
			       "2024-11-09_15:20:23Z",
			       "2024-11-09T15:20:23*01:30",
			       "2024-11-09T15:20:23+01.30",
			       "2024-11-09T24:00:00Z",
			       "2024-11-09T15:60:00Z",
			       "2024-13-09T15:20:23Z",
			       "2024-00-09T15:20:23Z",
			       "2024-11-31T15:20:23Z",
			       "2023-02-29T00:00:00Z",
			       "1900-02-29T00:00:00Z",
			       "2024-11-00T00:00:00Z",
			       "2024-11-09T15:20:23+1:00",
			       "2024-11-09T15:20:23+24:00",
			       "2024-11-09T15:20:23+01:60",
			       "2024-11-09T15:20:23+0100",
			       "2024-11-09T15:20:23ZZ",
			       "2024-11-09T15:20:23Z ",
			       " 2024-11-09T15:20:23Z",
			       "20241109T152023Z",
			       "-024-11-09T15:20:23Z",
			       "2024/11/09T15:20:23Z",
			       "2024-11-09_15:20:23Z",
			       "2024-11-09T15:20:23\xc3\xa9",
			       "2024-1a-09T15:20:23Z",
			       "tomorrow"};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_refused(wrong[i], TIME_RFC3339, TIME_INVALID);
	assert_refused("2024-11-09", TIME_RFC3339, TIME_INVALID);
	assert_refused("2023-02-29", TIME_AUTO, TIME_INVALID);
	assert_refused("1e", TIME_AUTO, TIME_INVALID);
	assert_refused("NaN", TIME_SECONDS, TIME_INVALID);
	assert_refused("2024-11-09T15:20:23Z", TIME_SECONDS, TIME_INVALID);
	assert_refused("1731165623", TIME_RFC3339, TIME_INVALID);
	assert_refused("9999-12-31T23:59:59-00:01", TIME_AUTO, TIME_RANGE);
	assert_refused("0000-01-01T00:00:00+00:01", TIME_AUTO, TIME_RANGE);
}

Test(decode_time, the_unit_of_a_number_follows_from_its_size)
{
	assert_time("0", TIME_AUTO, 0);
	assert_time("1731165623", TIME_AUTO, INT64_C(1731165623000));
	assert_time("99999999999", TIME_AUTO, INT64_C(99999999999000));
	assert_time("100000000000", TIME_AUTO, INT64_C(100000000000));
	assert_time("1731165623123", TIME_AUTO, INT64_C(1731165623123));
	assert_time("99999999999999", TIME_AUTO, INT64_C(99999999999999));
	assert_time("100000000000000", TIME_AUTO, INT64_C(100000000000));
	assert_time("1731165623123999", TIME_AUTO, INT64_C(1731165623123));
	assert_time("99999999999999999", TIME_AUTO, INT64_C(99999999999999));
	assert_time("100000000000000000", TIME_AUTO, INT64_C(100000000000));
	assert_time("1731165623123999999", TIME_AUTO, INT64_C(1731165623123));
	assert_time("-99999999999", TIME_MILLISECONDS, INT64_C(-99999999999));
	assert_time("-1", TIME_AUTO, -1000);
	assert_time("-1731165623123", TIME_AUTO, INT64_C(-1731165623123));
}

Test(decode_time, units_are_taken_as_told_and_fractions_rounded_down)
{
	assert_time("1731165623", TIME_SECONDS, INT64_C(1731165623000));
	assert_time("1731165623", TIME_MILLISECONDS, 1731165623);
	assert_time("1731165623", TIME_MICROSECONDS, 1731165);
	assert_time("1731165623", TIME_NANOSECONDS, 1731);
	assert_time("1731165623.1239", TIME_SECONDS, INT64_C(1731165623123));
	assert_time("1731165623.123", TIME_AUTO, INT64_C(1731165623123));
	assert_time("0.0009", TIME_SECONDS, 0);
	assert_time("-0.0009", TIME_SECONDS, -1);
	assert_time("-0.001", TIME_SECONDS, -1);
	assert_time("-0.00100000000000000000000000000000000000000000001", TIME_SECONDS, -2);
	assert_time("-1.5", TIME_MILLISECONDS, -2);
	assert_time("-1", TIME_NANOSECONDS, -1);
	assert_time("-0.0", TIME_SECONDS, 0);
	assert_time("1.731165623e9", TIME_SECONDS, INT64_C(1731165623000));
	assert_time("1.731165623E+9", TIME_SECONDS, INT64_C(1731165623000));
	assert_time("1731165623123e-3", TIME_SECONDS, INT64_C(1731165623123));
	assert_time("1e-400", TIME_SECONDS, 0);
	assert_time("-1e-400", TIME_SECONDS, -1);
	assert_time("0e999999999999", TIME_SECONDS, 0);
	assert_time("1731165623.12300000000000000000000000000000000000", TIME_SECONDS, INT64_C(1731165623123));
	assert_time("1731165623123456789012345678901234567890e-36", TIME_SECONDS, 1731165);
}

Test(decode_time, numbers_beyond_the_years_are_refused)
{
	assert_time("253402300799999", TIME_MILLISECONDS, TIME_MAX_MS);
	assert_refused("253402300800000", TIME_MILLISECONDS, TIME_RANGE);
	assert_time("-62167219200000", TIME_MILLISECONDS, TIME_MIN_MS);
	assert_refused("-62167219200001", TIME_MILLISECONDS, TIME_RANGE);
	assert_refused("253402300800", TIME_SECONDS, TIME_RANGE);
	assert_refused("99999999999999", TIME_SECONDS, TIME_RANGE);
	assert_refused("1e400", TIME_AUTO, TIME_RANGE);
	assert_refused("1e999999999999999999999", TIME_SECONDS, TIME_RANGE);
	assert_refused("99999999999999999999999999999999999999999999999", TIME_NANOSECONDS, TIME_RANGE);
}

Test(decode_time, dates_of_eight_digits)
{
	assert_time("19970101", TIME_YYYYMMDD, INT64_C(852076800000));
	assert_time("20240229", TIME_YYYYMMDD, INT64_C(1709164800000));
	assert_time("00000101", TIME_YYYYMMDD, TIME_MIN_MS);
	assert_refused("20230229", TIME_YYYYMMDD, TIME_INVALID);
	assert_refused("1997011", TIME_YYYYMMDD, TIME_INVALID);
	assert_refused("199701011", TIME_YYYYMMDD, TIME_INVALID);
	assert_refused("-9970101", TIME_YYYYMMDD, TIME_INVALID);
	assert_refused("1997-01-01", TIME_YYYYMMDD, TIME_INVALID);
	assert_refused("1997010.1", TIME_YYYYMMDD, TIME_INVALID);
}

Test(decode_time, every_day_reads_back_as_it_was_written)
{
	struct buffer text = BUFFER_INIT;

	for (int64_t ms = TIME_MIN_MS; ms <= TIME_MAX_MS; ms += INT64_C(86400000) * 17 + 3723457) {
		int64_t got = 0;

		buffer_clear(&text);
		time_append_rfc3339_ms(&text, ms);
		cr_assert_eq(time_from_text(buffer_slice(&text), TIME_RFC3339, &got), TIME_OK, "%s",
			     buffer_text(&text));
		cr_assert_eq(got, ms);
	}
	buffer_done(&text);
}

Test(decode_time, format_names_are_known)
{
	enum time_format format;

	cr_assert(time_format_parse("auto", &format) && format == TIME_AUTO);
	cr_assert(time_format_parse("yyyymmdd", &format) && format == TIME_YYYYMMDD);
	cr_assert_not(time_format_parse("", &format));
	cr_assert_not(time_format_parse("S", &format));
}

Test(decode_time, a_number_is_no_rfc3339)
{
	const struct decimal number = {.integer = true, .mantissa = 20241109, .digits = 8};
	int64_t ms = 77;

	cr_assert_eq(time_from_decimal(&number, TIME_RFC3339, &ms), TIME_INVALID);
	cr_assert_eq(ms, 77);
}
