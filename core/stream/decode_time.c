/* See decode_time.h. Exact: a number is taken by its digits, never through a double. */
#include "stream/decode_time.h"

#include "base/clock.h"

#define MS_PER_DAY INT64_C(86400000)

static const struct {
	const char *name;
	const char *expected;
} formats[] = {
	[TIME_AUTO] = {"auto", "an RFC 3339 time, a date or a number"},
	[TIME_SECONDS] = {"s", "a number of seconds"},
	[TIME_MILLISECONDS] = {"ms", "a number of milliseconds"},
	[TIME_MICROSECONDS] = {"us", "a number of microseconds"},
	[TIME_NANOSECONDS] = {"ns", "a number of nanoseconds"},
	[TIME_RFC3339] = {"rfc3339", "an RFC 3339 time with its zone"},
	[TIME_YYYYMMDD] = {"yyyymmdd", "a date as YYYYMMDD"},
};

bool time_format_parse(const char *name, enum time_format *ret_format)
{
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		if (strcmp(formats[i].name, name) == 0) {
			*ret_format = (enum time_format)i;
			return true;
		}
	}
	return false;
}

const char *time_format_expected(enum time_format format)
{
	return formats[format].expected;
}

static enum time_result in_range(int64_t ms, int64_t *ret_ms)
{
	if (ms < TIME_MIN_MS || ms > TIME_MAX_MS)
		return TIME_RANGE;
	*ret_ms = ms;
	return TIME_OK;
}

/* ---- numbers ---- */

/* value = significand * 10^exponent, and a little more when inexact. */
struct scientific {
	unsigned __int128 significand; /* at most 30 digits */
	int64_t exponent;
	bool inexact;
};

static int64_t exponent_of(const uint8_t *p, const uint8_t *end)
{
	bool negative = *p == '-';
	int64_t value = 0;

	p += *p == '-' || *p == '+';
	for (; p < end; p++)
		if (value < 100000000)
			value = value * 10 + (*p - '0');
	return negative ? -value : value;
}

static struct scientific scientific_of(const struct decimal *d)
{
	const uint8_t *p = d->text.ptr + d->negative, *end = d->text.ptr + d->text.len;
	struct scientific s = {0};
	bool in_fraction = false;
	unsigned digits = 0;

	for (; p < end && (*p | 0x20) != 'e'; p++) {
		if (*p == '.') {
			in_fraction = true;
		} else if (digits < 30) {
			s.significand = s.significand * 10 + (*p - '0');
			digits += s.significand != 0;
			s.exponent -= in_fraction;
		} else {
			s.inexact |= *p != '0';
			s.exponent += !in_fraction;
		}
	}
	if (p < end)
		s.exponent += exponent_of(p + 1, end);
	return s;
}

/* The integer part of |value| * 10^shift, or limit when it is not below it; limit is at most 10^18. */
static uint64_t scaled(const struct scientific *s, int shift, uint64_t limit, bool *ret_exact)
{
	unsigned __int128 value = s->significand;
	int64_t exponent = s->exponent + shift;

	*ret_exact = !s->inexact;
	if (value == 0)
		return 0;
	for (; exponent > 0; exponent--) {
		if (value >= limit)
			return limit;
		value *= 10;
	}
	for (; exponent < 0 && value; exponent++) {
		if (value % 10)
			*ret_exact = false;
		value /= 10;
	}
	return value < limit ? (uint64_t)value : limit;
}

static enum time_format unit_by_size(const struct scientific *s)
{
	bool exact;
	uint64_t size = scaled(s, 0, UINT64_C(100000000000000000), &exact);

	if (size < UINT64_C(100000000000))
		return TIME_SECONDS;
	if (size < UINT64_C(100000000000000))
		return TIME_MILLISECONDS;
	return size < UINT64_C(100000000000000000) ? TIME_MICROSECONDS : TIME_NANOSECONDS;
}

static enum time_result from_scientific(const struct scientific *s, bool negative, enum time_format format,
					int64_t *ret_ms)
{
	static const int shifts[] = {
		[TIME_SECONDS] = 3, [TIME_MILLISECONDS] = 0, [TIME_MICROSECONDS] = -3, [TIME_NANOSECONDS] = -6};
	bool exact;
	int64_t ms;

	if (format == TIME_AUTO)
		format = unit_by_size(s);
	ms = (int64_t)scaled(s, shifts[format], UINT64_C(1000000000000000), &exact);
	if (negative)
		ms = -ms - !exact;
	return in_range(ms, ret_ms);
}

static enum time_result from_date(int64_t year, unsigned month, unsigned day, int64_t *ret_days)
{
	static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	if (month < 1 || month > 12 || day < 1 || day > days[month - 1] + (unsigned)(leap && month == 2))
		return TIME_INVALID;
	*ret_days = time_days_from_civil(year, month, day);
	return TIME_OK;
}

static enum time_result from_yyyymmdd(uint64_t number, int64_t *ret_ms)
{
	int64_t days;

	if (from_date((int64_t)(number / 10000), (unsigned)(number / 100 % 100), (unsigned)(number % 100), &days) !=
	    TIME_OK)
		return TIME_INVALID;
	*ret_ms = days * MS_PER_DAY;
	return TIME_OK;
}

enum time_result time_from_decimal(const struct decimal *number, enum time_format format, int64_t *ret_ms)
{
	struct scientific s;

	if (format == TIME_RFC3339)
		return TIME_INVALID;
	if (format == TIME_YYYYMMDD) {
		if (!number->integer || number->negative || number->digits != 8)
			return TIME_INVALID;
		return from_yyyymmdd(number->mantissa, ret_ms);
	}
	if (number->integer && number->digits <= 14 && !number->negative &&
	    (format == TIME_MILLISECONDS || (format == TIME_AUTO && number->mantissa >= UINT64_C(100000000000))))
		return in_range((int64_t)number->mantissa, ret_ms);
	if (number->integer && number->digits <= 11 && !number->negative &&
	    (format == TIME_SECONDS || format == TIME_AUTO))
		return in_range((int64_t)number->mantissa * 1000, ret_ms);
	s = scientific_of(number);
	return from_scientific(&s, number->negative, format, ret_ms);
}

/* ---- texts ---- */

/* Reads count digits at p; no value above 9999 comes out, and any other character leads to a value above. */
static unsigned digits_at(const uint8_t *p, unsigned count)
{
	unsigned value = 0;

	for (unsigned i = 0; i < count; i++) {
		if (!is_digit(p[i]))
			return 99999;
		value = value * 10 + (unsigned)(p[i] - '0');
	}
	return value;
}

static enum time_result parse_date(const uint8_t *p, int64_t *ret_days)
{
	unsigned year = digits_at(p, 4);

	if (year > 9999 || p[4] != '-' || p[7] != '-')
		return TIME_INVALID;
	return from_date(year, digits_at(p + 5, 2), digits_at(p + 8, 2), ret_days);
}

/* "Z", "z" or "+hh:mm", to the end of the text. */
static enum time_result parse_zone(const uint8_t *p, const uint8_t *end, int64_t *ret_minutes)
{
	unsigned hours, minutes;

	if (end - p == 1 && (*p | 0x20) == 'z') {
		*ret_minutes = 0;
		return TIME_OK;
	}
	if (end - p != 6 || (*p != '+' && *p != '-') || p[3] != ':')
		return TIME_INVALID;
	hours = digits_at(p + 1, 2);
	minutes = digits_at(p + 4, 2);
	if (hours > 23 || minutes > 59)
		return TIME_INVALID;
	*ret_minutes = (int64_t)(hours * 60 + minutes) * (*p == '-' ? -1 : 1);
	return TIME_OK;
}

/* The first three digits of a fraction; NULL when there is none behind the point. */
static const uint8_t *parse_fraction(const uint8_t *p, const uint8_t *end, int64_t *ret_ms)
{
	int64_t weight = 100;
	const uint8_t *first = p;

	*ret_ms = 0;
	for (; p < end && is_digit(*p); p++) {
		*ret_ms += (*p - '0') * weight;
		weight /= 10;
	}
	return p > first ? p : NULL;
}

static enum time_result parse_rfc3339(sb_slice text, int64_t *ret_ms)
{
	const uint8_t *p = text.ptr, *end = text.ptr + text.len;
	unsigned hour, minute, second;
	int64_t days, zone, minutes, fraction = 0;

	if (text.len < 20 || parse_date(p, &days) != TIME_OK || ((p[10] | 0x20) != 't' && p[10] != ' ') ||
	    p[13] != ':' || p[16] != ':')
		return TIME_INVALID;
	hour = digits_at(p + 11, 2);
	minute = digits_at(p + 14, 2);
	second = digits_at(p + 17, 2);
	if (hour > 23 || minute > 59 || second > 60)
		return TIME_INVALID;
	p += 19;
	if (*p == '.') {
		p = parse_fraction(p + 1, end, &fraction);
		if (!p)
			return TIME_INVALID;
	}
	if (parse_zone(p, end, &zone) != TIME_OK)
		return TIME_INVALID;
	minutes = days * 1440 + hour * 60 + minute - zone;
	if (second == 60) {
		if ((minutes % 1440 + 1440) % 1440 != 1439)
			return TIME_INVALID;
		second = 59;
		fraction = 999;
	}
	return in_range(minutes * 60000 + (int64_t)second * 1000 + fraction, ret_ms);
}

enum time_result time_from_text(sb_slice text, enum time_format format, int64_t *ret_ms)
{
	const uint8_t *end = text.ptr + text.len;
	struct decimal number;
	int64_t days;

	if (text.len == 0)
		return TIME_INVALID;
	if (format != TIME_RFC3339 && decimal_scan(text.ptr, end, true, &number) == end)
		return time_from_decimal(&number, format, ret_ms);
	if (format == TIME_AUTO && text.len == 10 && parse_date(text.ptr, &days) == TIME_OK) {
		*ret_ms = days * MS_PER_DAY;
		return TIME_OK;
	}
	if (format == TIME_AUTO || format == TIME_RFC3339)
		return parse_rfc3339(text, ret_ms);
	return TIME_INVALID;
}
