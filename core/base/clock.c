/* See clock.h. */
#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static int64_t system_wall_ns(struct clock *clock)
{
	struct timespec now;

	(void)clock;
	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int64_t system_monotonic_ns(struct clock *clock)
{
	struct timespec now;

	(void)clock;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t clock_thread_cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int64_t file_wall_ns(struct clock *clock)
{
	FILE *file = fopen((const char *)clock->context, "re");
	long long ms = 0;

	if (file) {
		if (fscanf(file, "%lld", &ms) != 1)
			ms = 0;
		fclose(file);
	}
	return (int64_t)ms * 1000000;
}

void clock_init_system(struct clock *clock)
{
	char *fake = getenv("SBHOST_FAKE_CLOCK_FILE");

	clock->wall_ns = fake ? file_wall_ns : system_wall_ns;
	clock->monotonic_ns = system_monotonic_ns;
	clock->context = fake;
}

static int64_t fake_now_ns(struct clock *clock)
{
	return ((struct fake_clock *)clock->context)->now_ns;
}

void fake_clock_init(struct fake_clock *fake, int64_t now_ns)
{
	fake->clock = (struct clock){.wall_ns = fake_now_ns, .monotonic_ns = fake_now_ns, .context = fake};
	fake->now_ns = now_ns;
}

int64_t time_days_from_civil(int64_t year, unsigned month, unsigned day)
{
	/* Count years from March, so that the leap day is the last of its year; then days by eras of 400 years. */
	int64_t y = month <= 2 ? year - 1 : year;
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t year_of_era = y - era * 400;
	int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
	int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

	return era * 146097 + day_of_era - 719468;
}

static uint8_t *put_digits(uint8_t *at, uint64_t value, int digits)
{
	for (int i = digits - 1; i >= 0; i--) {
		at[i] = (uint8_t)('0' + value % 10);
		value /= 10;
	}
	return at + digits;
}

/* Years beyond four digits get a sign and as many as they need, as ISO 8601 has it for far dates. */
static uint8_t *put_year(uint8_t *at, int64_t year)
{
	uint64_t magnitude = year < 0 ? 0 - (uint64_t)year : (uint64_t)year;
	int digits = 4;

	if (year < 0 || year > 9999)
		*at++ = year < 0 ? '-' : '+';
	for (uint64_t rest = magnitude / 10000; rest; rest /= 10)
		digits++;
	return put_digits(at, magnitude, digits);
}

static uint8_t *put_date(uint8_t *at, int64_t days)
{
	int64_t z = days + 719468;
	int64_t era = (z >= 0 ? z : z - 146096) / 146097;
	int64_t day_of_era = z - era * 146097;
	int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	int64_t shifted = (5 * day_of_year + 2) / 153;
	int64_t month = shifted < 10 ? shifted + 3 : shifted - 9;

	at = put_year(at, year_of_era + era * 400 + (month <= 2));
	*at++ = '-';
	at = put_digits(at, (uint64_t)month, 2);
	*at++ = '-';
	return put_digits(at, (uint64_t)(day_of_year - (153 * shifted + 2) / 5 + 1), 2);
}

/* Written by hand: every emitted record has a time, and printf costs more than all the rest of it. */
static void append_time(struct buffer *out, int64_t units, int64_t units_per_second, int digits)
{
	int64_t per_day = units_per_second * 86400;
	int64_t days = units / per_day;
	int64_t rest = units % per_day;
	uint64_t second;
	uint8_t *at = buffer_reserve(out, 48);

	if (!at)
		return;
	if (rest < 0) {
		rest += per_day;
		days--;
	}
	second = (uint64_t)(rest / units_per_second);
	at = put_date(at, days);
	*at++ = 'T';
	at = put_digits(at, second / 3600, 2);
	*at++ = ':';
	at = put_digits(at, second / 60 % 60, 2);
	*at++ = ':';
	at = put_digits(at, second % 60, 2);
	if (digits) {
		*at++ = '.';
		at = put_digits(at, (uint64_t)(rest % units_per_second), digits);
	}
	*at++ = 'Z';
	out->len = (size_t)(at - out->data);
}

void time_append_rfc3339(struct buffer *out, int64_t unix_ns, int fraction_digits)
{
	if (fraction_digits == 9)
		append_time(out, unix_ns, 1000000000, 9);
	else /* the last millisecond that has begun, before 1970, too */
		append_time(out, unix_ns / 1000000 - (unix_ns % 1000000 < 0), 1000, fraction_digits ? 3 : 0);
}

void time_append_rfc3339_ms(struct buffer *out, int64_t unix_ms)
{
	append_time(out, unix_ms, 1000, 3);
}
