/* core/base/number.h: exact in both directions. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/number.h"
#include "base/slice.h"

static uint64_t next_random(void)
{
	static uint64_t state = 20241109;

	state = state * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return state ^ state >> 29;
}

static void assert_round_trip(double value)
{
	struct buffer text = BUFFER_INIT;
	double got;

	number_append_f64(&text, value);
	cr_assert_leq(text.len, 24);
	cr_assert(number_parse_f64(buffer_slice(&text), &got), "%s", buffer_text(&text));
	cr_assert_eq(memcmp(&got, &value, sizeof(value)), 0, "%s for %a", buffer_text(&text), value);
	buffer_done(&text);
}

Test(number, random_doubles_read_back_to_the_last_bit)
{
	for (unsigned i = 0; i < 100000; i++) {
		uint64_t bits = next_random();
		double value;

		if (i % 10 == 0)
			bits &= UINT64_C(0x800fffffffffffff); /* subnormal */
		memcpy(&value, &bits, sizeof(value));
		if (isfinite(value))
			assert_round_trip(value);
	}
	assert_round_trip(0.0);
	assert_round_trip(-0.0);
	assert_round_trip(5e-324);
	assert_round_trip(1.7976931348623157e308);
	assert_round_trip(9007199254740993.0);
	assert_round_trip(0.1 + 0.2);
}

static void assert_f64_text(double value, const char *expected)
{
	struct buffer text = BUFFER_INIT;

	number_append_f64(&text, value);
	cr_assert_str_eq(buffer_text(&text), expected);
	buffer_done(&text);
}

Test(number, doubles_are_written_as_short_as_can_be)
{
	assert_f64_text(0, "0");
	assert_f64_text(-0.0, "-0");
	assert_f64_text(0.1, "0.1");
	assert_f64_text(-12.5, "-12.5");
	assert_f64_text(1234.56, "1234.56");
	assert_f64_text(100, "100");
	assert_f64_text(0.01, "0.01");
	assert_f64_text(0.30000000000000004, "0.30000000000000004");
}

/* The digits of a decimal text, without point, sign and zeros at either end. */
static unsigned digits_of(const char *text)
{
	unsigned count = 0, zeros = 0;

	for (; *text && *text != 'e'; text++) {
		if (*text < '0' || *text > '9')
			continue;
		zeros = *text == '0' ? zeros + 1 : 0;
		count += count || *text != '0';
	}
	return count - (zeros < count ? zeros : 0);
}

Test(number, no_text_of_fewer_digits_reads_back_and_none_of_as_many_is_closer)
{
	char best[64], shorter[64];

	for (unsigned i = 0; i < 50000; i++) {
		uint64_t bits = next_random();
		struct buffer text = BUFFER_INIT;
		unsigned digits;
		double value;

		if (i % 4 == 0)
			bits &= UINT64_C(0xfff0000000000000); /* a power of two, whose neighbours are not equally far */
		memcpy(&value, &bits, sizeof(value));
		if (i % 4 == 1)
			value = (double)(bits % 100000000) / 1000.0;
		if (!isfinite(value) || value == 0)
			continue;
		number_append_f64(&text, value);
		digits = digits_of(buffer_text(&text));
		snprintf(shorter, sizeof(shorter), "%.*e", digits > 1 ? (int)digits - 2 : 0, value);
		cr_assert(digits == 1 || strtod(shorter, NULL) != value, "%s for %s", buffer_text(&text), shorter);
		snprintf(best, sizeof(best), "%.*e", (int)digits - 1, value);
		if (strtod(best, NULL) == value) /* printf's is the closest of that length */
			cr_assert_eq(digits_of(best), digits, "%s for %s", buffer_text(&text), best);
		buffer_done(&text);
	}
}

Test(number, doubles_have_the_form_of_percent_g)
{
	assert_f64_text(123456789012345680.0, "1.2345678901234568e+17");
	assert_f64_text(1234567890123456.0, "1234567890123456");
	assert_f64_text(100000000000000.0, "100000000000000");
	assert_f64_text(1e15, "1e+15");
	assert_f64_text(1e22, "1e+22");
	assert_f64_text(0.0001, "0.0001");
	assert_f64_text(0.00001, "1e-05");
	assert_f64_text(1.5e-7, "1.5e-07");
	assert_f64_text(0.125, "0.125");
	assert_f64_text(-1e-300, "-1e-300");
	assert_f64_text(1.7976931348623157e308, "1.7976931348623157e+308");
	assert_f64_text(5e-324, "5e-324");
	assert_f64_text(-98765.4321, "-98765.4321");
}

Test(number, fixed_decimals_are_correctly_rounded)
{
	struct buffer text = BUFFER_INIT;

	number_append_f64_fixed(&text, 2.5, 0);
	buffer_append_byte(&text, ' ');
	number_append_f64_fixed(&text, 1.005, 2);
	buffer_append_byte(&text, ' ');
	number_append_f64_fixed(&text, 0.125, 2);
	buffer_append_byte(&text, ' ');
	number_append_f64_fixed(&text, -1234.5, 2);
	cr_assert_str_eq(buffer_text(&text), "2 1.00 0.12 -1234.50");
	buffer_done(&text);
}

Test(number, f64_takes_decimals_only)
{
	const char *right[] = {"0",
			       "-0",
			       "1.5",
			       "-1.5e10",
			       "1E+5",
			       "1e-5",
			       "00012",
			       "123456789012345678901234567890",
			       "0.000000000000000000000000000000000000000000000000000000000000000000000000000000000001",
			       "1e-400"};
	const char *wrong[] = {"",    "-",   "+1",	 " 1",	  "1 ",	 "e5",	  "1e",	 "1e+", "0x10",
			       "nan", "inf", "infinity", "1.5.2", "1,5", "1e309", "--1", "."};
	double value = 77;

	for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
		cr_assert(number_parse_f64(slice_of_text(right[i]), &value), "%s", right[i]);
		cr_assert_eq(value, strtod(right[i], NULL), "%s", right[i]);
	}
	value = 77;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		cr_assert_not(number_parse_f64(slice_of_text(wrong[i]), &value), "%s", wrong[i]);
	cr_assert_eq(value, 77);
}

Test(number, random_decimals_are_read_as_strtod_reads_them)
{
	char text[64];

	for (unsigned i = 0; i < 100000; i++) {
		double value;

		snprintf(text, sizeof(text), "%s%llu.%0*llu", i % 2 ? "-" : "",
			 (unsigned long long)(next_random() >> (i % 64)), 1 + (int)(i % 18),
			 (unsigned long long)(next_random() % 1000));
		cr_assert(number_parse_f64(slice_of_text(text), &value), "%s", text);
		cr_assert_eq(value, strtod(text, NULL), "%s", text);
	}
}

Test(number, integers_are_exact_up_to_their_ends)
{
	const int64_t numbers[] = {0, 1, -1, 10, -10, 99, 100, INT64_MAX, INT64_MIN, INT64_C(9007199254740993)};
	struct buffer text = BUFFER_INIT;
	uint64_t unsigned_value;
	int64_t value;

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		buffer_clear(&text);
		number_append_i64(&text, numbers[i]);
		cr_assert(number_parse_i64(buffer_slice(&text), &value));
		cr_assert_eq(value, numbers[i]);
	}
	buffer_clear(&text);
	number_append_u64(&text, UINT64_MAX);
	cr_assert_str_eq(buffer_text(&text), "18446744073709551615");
	cr_assert(number_parse_u64(buffer_slice(&text), &unsigned_value));
	cr_assert_eq(unsigned_value, UINT64_MAX);
	buffer_done(&text);
	cr_assert_not(number_parse_i64(slice_of_text("9223372036854775808"), &value));
	cr_assert_not(number_parse_i64(slice_of_text("-9223372036854775809"), &value));
	cr_assert_not(number_parse_i64(slice_of_text("-"), &value));
	cr_assert_not(number_parse_i64(slice_of_text(""), &value));
	cr_assert_not(number_parse_i64(slice_of_text("+1"), &value));
	cr_assert_not(number_parse_i64(slice_of_text("1.0"), &value));
	cr_assert_not(number_parse_u64(slice_of_text("18446744073709551616"), &unsigned_value));
	cr_assert_not(number_parse_u64(slice_of_text("-1"), &unsigned_value));
}

Test(number, sizes_have_units_of_both_kinds)
{
	int64_t bytes;

	cr_assert(number_parse_size(slice_of_text("4096"), &bytes) && bytes == 4096);
	cr_assert(number_parse_size(slice_of_text("64KiB"), &bytes) && bytes == 65536);
	cr_assert(number_parse_size(slice_of_text("10MB"), &bytes) && bytes == 10000000);
	cr_assert(number_parse_size(slice_of_text("1GiB"), &bytes) && bytes == INT64_C(1) << 30);
	cr_assert_not(number_parse_size(slice_of_text("10 MB"), &bytes));
	cr_assert_not(number_parse_size(slice_of_text("MB"), &bytes));
	cr_assert_not(number_parse_size(slice_of_text("-1"), &bytes) && bytes >= 0);
	cr_assert_not(number_parse_size(slice_of_text("9999999999TiB"), &bytes));
	cr_assert_not(number_parse_size(slice_of_text("1kib"), &bytes));
}

Test(number, durations_become_milliseconds)
{
	int64_t ms;

	cr_assert(number_parse_duration(slice_of_text("250ms"), &ms) && ms == 250);
	cr_assert(number_parse_duration(slice_of_text("30s"), &ms) && ms == 30000);
	cr_assert(number_parse_duration(slice_of_text("5m"), &ms) && ms == 300000);
	cr_assert(number_parse_duration(slice_of_text("24h"), &ms) && ms == 86400000);
	cr_assert(number_parse_duration(slice_of_text("7d"), &ms) && ms == 604800000);
	cr_assert(number_parse_duration(slice_of_text("0"), &ms) && ms == 0);
	cr_assert_not(number_parse_duration(slice_of_text("5"), &ms));
	cr_assert_not(number_parse_duration(slice_of_text(""), &ms));
	cr_assert_not(number_parse_duration(slice_of_text("-5s"), &ms));
	cr_assert_not(number_parse_duration(slice_of_text("999999999999999d"), &ms));
}
