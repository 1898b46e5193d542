/* Clocks and times as text, against a calendar that counts year by year. */
#include <criterion/criterion.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "support/rng.h"

static struct buffer out;

static void tear_down(void)
{
	buffer_done(&out);
}

TestSuite(clock, .fini = tear_down);

static bool is_leap(int64_t year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static unsigned days_in(int64_t year, unsigned month)
{
	static const unsigned days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

	return days[month - 1] + (month == 2 && is_leap(year));
}

/* Days since 1970-01-01 to a date: whole cycles of 400 years (146097 days) first, then step by step. */
static void slow_date(int64_t days, int64_t *year, unsigned *month, unsigned *day)
{
	int64_t cycles = days / 146097 - (days % 146097 < 0);

	*year = 1970 + 400 * cycles;
	days -= cycles * 146097;
	for (; days >= 365 + is_leap(*year); ++*year)
		days -= 365 + is_leap(*year);
	for (*month = 1; days >= days_in(*year, *month); ++*month)
		days -= days_in(*year, *month);
	*day = (unsigned)days + 1;
}

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

static void slow_text(int64_t units, int64_t per_second, int digits, char *text)
{
	int64_t seconds = floor_div(units, per_second);
	int64_t fraction = (int64_t)(units - (__int128)seconds * per_second);
	int64_t days = floor_div(seconds, 86400), year;
	int second = (int)(seconds - days * 86400);
	unsigned month, day;

	slow_date(days, &year, &month, &day);
	if (year >= 0 && year <= 9999)
		text += sprintf(text, "%04lld", (long long)year);
	else
		text += sprintf(text, "%c%04lld", year < 0 ? '-' : '+', llabs((long long)year));
	text += sprintf(text, "-%02u-%02uT%02d:%02d:%02d", month, day, second / 3600, second / 60 % 60, second % 60);
	if (digits)
		text += sprintf(text, ".%0*lld", digits, (long long)fraction);
	strcpy(text, "Z");
}

static int64_t pick_i64(struct rng *rng)
{
	static const int64_t edges[] = {INT64_MIN, INT64_MIN + 1, INT64_MAX, INT64_MAX - 1, -1, 0,
					1,	   999,		  -1000,     -1001};

	if (rng_chance(rng, 5))
		return edges[rng_below(rng, sizeof(edges) / sizeof(edges[0]))];
	/* Of every magnitude. */
	return (int64_t)rng_next(rng) >> rng_below(rng, 63);
}

static const char *milliseconds(int64_t ms)
{
	buffer_clear(&out);
	time_append_rfc3339_ms(&out, ms);
	return buffer_text(&out);
}

static const char *nanoseconds(int64_t ns, int digits)
{
	buffer_clear(&out);
	time_append_rfc3339(&out, ns, digits);
	return buffer_text(&out);
}

Test(clock, milliseconds_of_the_whole_range_are_those_of_a_slow_calendar)
{
	char expected[64];
	struct rng rng;

	rng_init(&rng, rng_test_seed(1));
	for (int i = 0; i < 20000; i++) {
		int64_t ms = pick_i64(&rng);

		slow_text(ms, 1000, 3, expected);
		cr_assert_str_eq(milliseconds(ms), expected, "%lld", (long long)ms);
	}
}

Test(clock, nanoseconds_of_the_whole_range_are_those_of_a_slow_calendar)
{
	char expected[64];
	struct rng rng;

	rng_init(&rng, rng_test_seed(2));
	for (int i = 0; i < 20000; i++) {
		int64_t ns = pick_i64(&rng);

		slow_text(ns, 1000000000, 9, expected);
		cr_assert_str_eq(nanoseconds(ns, 9), expected, "%lld", (long long)ns);
		slow_text(floor_div(ns, 1000000), 1000, 3, expected);
		cr_assert_str_eq(nanoseconds(ns, 3), expected, "%lld", (long long)ns);
		slow_text(floor_div(ns, 1000000000), 1, 0, expected);
		cr_assert_str_eq(nanoseconds(ns, 0), expected, "%lld", (long long)ns);
	}
}

Test(clock, well_known_times)
{
	cr_assert_str_eq(nanoseconds(1731165623123456789, 9), "2024-11-09T15:20:23.123456789Z");
	cr_assert_str_eq(nanoseconds(0, 0), "1970-01-01T00:00:00Z");
	cr_assert_str_eq(nanoseconds(-1, 3), "1969-12-31T23:59:59.999Z");
	cr_assert_str_eq(milliseconds(951782400000), "2000-02-29T00:00:00.000Z");
	cr_assert_str_eq(milliseconds(253402300799999), "9999-12-31T23:59:59.999Z");
	cr_assert_str_eq(milliseconds(253402300800000), "+10000-01-01T00:00:00.000Z");
	cr_assert_str_eq(milliseconds(-62167219200000), "0000-01-01T00:00:00.000Z");
	cr_assert_str_eq(milliseconds(-62167219200001), "-0001-12-31T23:59:59.999Z");
	cr_assert_str_eq(milliseconds(INT64_MAX), "+292278994-08-17T07:12:55.807Z");
	cr_assert_str_eq(milliseconds(INT64_MIN), "-292275055-05-16T16:47:04.192Z");
}

Test(clock, times_are_appended)
{
	buffer_clear(&out);
	buffer_append_text(&out, "at ");
	time_append_rfc3339_ms(&out, 0);
	buffer_append_text(&out, "!");
	cr_assert_str_eq(buffer_text(&out), "at 1970-01-01T00:00:00.000Z!");
}

Test(clock, days_of_every_date_from_year_minus_4_to_2500_are_counted_one_by_one)
{
	int64_t expected = time_days_from_civil(-4, 1, 1);

	for (int64_t year = -4; year <= 2500; year++)
		for (unsigned month = 1; month <= 12; month++)
			for (unsigned day = 1; day <= days_in(year, month); day++, expected++)
				cr_assert_eq(time_days_from_civil(year, month, day), expected);
	cr_assert_eq(time_days_from_civil(1970, 1, 1), 0);
	cr_assert_eq(time_days_from_civil(-4, 1, 1), -719528 - 366 - 3 * 365);
}

Test(clock, fake_clock_stands_still_until_it_is_moved)
{
	struct fake_clock fake;

	fake_clock_init(&fake, 5000000);
	cr_assert_eq(clock_wall_ns(&fake.clock), 5000000);
	cr_assert_eq(clock_wall_ms(&fake.clock), 5);
	cr_assert_eq(clock_monotonic_ns(&fake.clock), 5000000);
	fake.now_ns += 1;
	cr_assert_eq(clock_monotonic_ns(&fake.clock), 5000001);
}

Test(clock, wall_clock_can_be_read_from_a_file)
{
	char path[] = "/tmp/sbhost-clock-XXXXXX";
	int fd = mkstemp(path);
	struct clock clock;

	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, "1234\n", 5), 5);
	setenv("SBHOST_FAKE_CLOCK_FILE", path, 1);
	clock_init_system(&clock);
	cr_assert_eq(clock_wall_ms(&clock), 1234);
	cr_assert_eq(pwrite(fd, "99999", 5, 0), 5);
	cr_assert_eq(clock_wall_ms(&clock), 99999);
	close(fd);
	unlink(path);
}
