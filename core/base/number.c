/* See number.h. The C locale is never set, so printf and strtod use '.' here. */
#include "base/number.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/digits.h"
#include "base/shortest.h"
#include "base/slice.h"

static char *format_u64_backwards(char *end, uint64_t value)
{
	do {
		*--end = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	return end;
}

void number_append_u64(struct buffer *out, uint64_t value)
{
	char text[24];
	char *start = format_u64_backwards(text + sizeof(text), value);

	buffer_append(out, start, (size_t)(text + sizeof(text) - start));
}

void number_append_i64(struct buffer *out, int64_t value)
{
	char text[24];
	uint64_t magnitude = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
	char *start = format_u64_backwards(text + sizeof(text), magnitude);

	if (value < 0)
		*--start = '-';
	buffer_append(out, start, (size_t)(text + sizeof(text) - start));
}

/* Amounts of money are the common case: value is i/100 for an integer of at most 15
 * digits. Two decimals of up to 15 digits never read as the same double, so when i/100
 * reads back as value it is the shortest, once trailing zeros are off. NULL: it is no such number. */
static uint8_t *put_hundredths(uint8_t *out, double magnitude)
{
	int64_t hundredths;

	if (!(magnitude < 1e13))
		return NULL;
	hundredths = (int64_t)(magnitude * 100.0 + 0.5);
	if ((double)hundredths / 100.0 != magnitude)
		return NULL;
	out = digits_put(out, (uint64_t)hundredths / 100);
	if (hundredths % 100) {
		*out++ = '.';
		out = digits_put_last(out, (uint32_t)(hundredths % 100), 2);
		out -= out[-1] == '0';
	}
	return out;
}

static uint8_t *put_zeros(uint8_t *out, int count)
{
	for (; count > 0; count--)
		*out++ = '0';
	return out;
}

static uint8_t *put_point_and(uint8_t *out, const uint8_t *digits, int count)
{
	if (count <= 0)
		return out;
	*out++ = '.';
	memcpy(out, digits, (size_t)count);
	return out + count;
}

/* digits (count of them), the first of which stands for 10^exponent, in the form that printf's %g gives to so many digits, or to
 * 15 when there are fewer. */
static uint8_t *put_decimal(uint8_t *out, const uint8_t *digits, int count, int exponent)
{
	int whole = exponent + 1; /* digits before the point */

	if (exponent >= -4 && exponent < 0) {
		*out++ = '0';
		*out++ = '.';
		out = put_zeros(out, -whole);
		memcpy(out, digits, (size_t)count);
		return out + count;
	}
	if (exponent < 0 || exponent >= (count > 15 ? count : 15))
		whole = 1;
	memcpy(out, digits, (size_t)(whole < count ? whole : count));
	out = put_zeros(out + (whole < count ? whole : count), whole - count);
	out = put_point_and(out, digits + whole, count - whole);
	if (whole == exponent + 1)
		return out;
	*out++ = 'e';
	*out++ = exponent < 0 ? '-' : '+';
	if (exponent < 0)
		exponent = -exponent;
	return exponent < 100 ? digits_put_last(out, (uint32_t)exponent, 2) : digits_put(out, (uint64_t)exponent);
}

uint8_t *number_put_f64(uint8_t *out, double value)
{
	const double magnitude = fabs(value);
	uint8_t digits[DIGITS_ROOM];
	struct shortest shortest;
	uint8_t *end;
	int count;

	if (signbit(value))
		*out++ = '-';
	end = put_hundredths(out, magnitude);
	if (end)
		return end;
	shortest = shortest_of(magnitude);
	for (; shortest.digits % 10 == 0; shortest.exponent++)
		shortest.digits /= 10;
	count = (int)(digits_put(digits, shortest.digits) - digits);
	return put_decimal(out, digits, count, count - 1 + shortest.exponent);
}

void number_append_f64(struct buffer *out, double value)
{
	uint8_t text[NUMBER_F64_ROOM];

	buffer_append(out, text, (size_t)(number_put_f64(text, value) - text));
}

void number_append_f64_fixed(struct buffer *out, double value, int decimals)
{
	buffer_printf(out, "%.*f", decimals, value);
}

bool number_parse_u64(sb_slice text, uint64_t *ret_value)
{
	uint64_t value = 0;

	if (text.len == 0 || text.len > 20)
		return false;
	for (uint64_t i = 0; i < text.len; i++) {
		unsigned digit = (unsigned)text.ptr[i] - '0';

		if (digit > 9 || __builtin_mul_overflow(value, 10u, &value) ||
		    __builtin_add_overflow(value, digit, &value))
			return false;
	}
	*ret_value = value;
	return true;
}

bool number_parse_i64(sb_slice text, int64_t *ret_value)
{
	bool negative = text.len && text.ptr[0] == '-';
	uint64_t magnitude;

	if (negative) {
		text.ptr++;
		text.len--;
	}
	if (!number_parse_u64(text, &magnitude) || magnitude > (uint64_t)INT64_MAX + negative)
		return false;
	*ret_value = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
	return true;
}

/* [-]digits[.digits][(e|E)[+|-]digits], nothing else: strtod alone would take hex, "inf" and leading blanks. */
static bool is_decimal(sb_slice text)
{
	uint64_t i = text.len && text.ptr[0] == '-';
	uint64_t digits = 0;

	for (; i < text.len && (unsigned)text.ptr[i] - '0' <= 9; i++)
		digits++;
	if (i < text.len && text.ptr[i] == '.')
		for (i++; i < text.len && (unsigned)text.ptr[i] - '0' <= 9; i++)
			digits++;
	if (digits == 0)
		return false;
	if (i == text.len)
		return true;
	if (text.ptr[i] != 'e' && text.ptr[i] != 'E')
		return false;
	i++;
	if (i < text.len && (text.ptr[i] == '+' || text.ptr[i] == '-'))
		i++;
	if (i == text.len)
		return false;
	for (; i < text.len; i++)
		if ((unsigned)text.ptr[i] - '0' > 9)
			return false;
	return true;
}

static double pow10_exact(unsigned n)
{
	static const double powers[] = {1e0,  1e1,  1e2,  1e3,	1e4,  1e5,  1e6,  1e7,	1e8,  1e9,  1e10, 1e11,
					1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

	return powers[n];
}

/* Up to 15 digits and a power of ten up to 22 are both exact doubles, so one division
 * is correctly rounded (Clinger's fast path). No exponent part here. */
static bool parse_f64_fast(sb_slice text, double *ret_value)
{
	bool negative = text.ptr[0] == '-';
	uint64_t mantissa = 0;
	unsigned digits = 0, decimals = 0;
	bool in_fraction = false;

	for (uint64_t i = negative; i < text.len; i++) {
		uint8_t c = text.ptr[i];

		if (c == '.') {
			in_fraction = true;
			continue;
		}
		if ((unsigned)c - '0' > 9 || ++digits > 15)
			return false;
		mantissa = mantissa * 10 + (c - '0');
		decimals += in_fraction;
	}
	*ret_value = (double)mantissa / pow10_exact(decimals);
	if (negative)
		*ret_value = -*ret_value;
	return true;
}

bool number_parse_f64(sb_slice text, double *ret_value)
{
	char stack[64];
	char *copy = stack;
	double value;

	if (!is_decimal(text))
		return false;
	if (parse_f64_fast(text, ret_value))
		return true;
	if (text.len >= sizeof(stack))
		copy = malloc(text.len + 1);
	if (!copy)
		return false;
	memcpy(copy, text.ptr, text.len);
	copy[text.len] = 0;
	value = strtod(copy, NULL);
	if (copy != stack)
		free(copy);
	if (!isfinite(value))
		return false;
	*ret_value = value;
	return true;
}

struct unit {
	const char *name;
	int64_t factor;
};

static bool parse_with_unit(sb_slice text, const struct unit *units, int64_t *ret_value)
{
	uint64_t digits = 0;
	int64_t value;

	while (digits < text.len && (unsigned)text.ptr[digits] - '0' <= 9)
		digits++;
	if (!number_parse_i64(slice_of(text.ptr, digits), &value))
		return false;
	for (; units->name; units++) {
		if (slice_equal_text(slice_of(text.ptr + digits, text.len - digits), units->name))
			return !__builtin_mul_overflow(value, units->factor, ret_value);
	}
	return false;
}

bool number_parse_size(sb_slice text, int64_t *ret_bytes)
{
	static const struct unit units[] = {{"", 1},
					    {"B", 1},
					    {"KiB", INT64_C(1) << 10},
					    {"MiB", INT64_C(1) << 20},
					    {"GiB", INT64_C(1) << 30},
					    {"TiB", INT64_C(1) << 40},
					    {"KB", 1000},
					    {"MB", 1000000},
					    {"GB", 1000000000},
					    {"TB", INT64_C(1000000000000)},
					    {NULL, 0}};

	return parse_with_unit(text, units, ret_bytes);
}

bool number_parse_duration(sb_slice text, int64_t *ret_ms)
{
	static const struct unit units[] = {{"ms", 1},	    {"s", 1000},     {"m", 60000},
					    {"h", 3600000}, {"d", 86400000}, {NULL, 0}};

	if (slice_equal_text(text, "0")) {
		*ret_ms = 0;
		return true;
	}
	return parse_with_unit(text, units, ret_ms);
}
