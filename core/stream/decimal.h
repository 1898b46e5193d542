/* A decimal number as it stands in a record, scanned once: by JSON's grammar, or CSV's, which allows leading zeros. What
 * it becomes (an integer, a double, a time) is decided by the field it is for. */
#ifndef STREAM_DECIMAL_H
#define STREAM_DECIMAL_H

#include <stdbool.h>

#include "base/number.h"
#include "base/slice.h"

struct decimal {
	sb_slice text;
	uint64_t mantissa; /* the digits without point and exponent, when there are at most 19 */
	uint32_t digits; /* leading zeros included */
	uint32_t decimals; /* digits behind the point */
	bool negative;
	bool integer; /* neither point nor exponent */
	bool exponent;
};

static inline bool is_digit(uint8_t c)
{
	return (uint8_t)(c - '0') <= 9;
}

/* Passes over the digits at p, which it adds to *mantissa: eight bytes at a time, as lanes of one number, while so many
 * are left. How many of them are digits decides no branch, since in most inputs that is anyone's guess. */
static inline const uint8_t *decimal_scan_digits(const uint8_t *p, const uint8_t *end, uint64_t *mantissa)
{
	static const uint32_t powers[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000};

	while (end - p >= 8) {
		uint64_t lanes, others;
		unsigned n;

		memcpy(&lanes, p, 8);
		lanes ^= UINT64_C(0x3030303030303030); /* digits become 0 to 9 */
		others = (lanes | (lanes + UINT64_C(0x7676767676767676))) & UINT64_C(0x8080808080808080);
		n = others ? (unsigned)__builtin_ctzll(others) / 8 : 8;
		/* To the upper end, with zeros in front; in two steps, because one of 64 bits is none in C. */
		lanes = lanes << (4 * (8 - n)) << (4 * (8 - n));
		lanes = (lanes * 10 + (lanes >> 8)) & UINT64_C(0x00ff00ff00ff00ff);
		lanes = (lanes * 100 + (lanes >> 16)) & UINT64_C(0x0000ffff0000ffff);
		lanes = (lanes * 10000 + (lanes >> 32)) & UINT64_C(0x00000000ffffffff);
		*mantissa = *mantissa * powers[n] + lanes;
		p += n;
		if (n < 8)
			return p;
	}
	for (; p < end && is_digit(*p); p++)
		*mantissa = *mantissa * 10 + (uint64_t)(*p - '0');
	return p;
}

static inline const uint8_t *decimal_scan_exponent(const uint8_t *p, const uint8_t *end)
{
	const uint8_t *first;

	p++;
	if (p < end && (*p == '+' || *p == '-'))
		p++;
	first = p;
	while (p < end && is_digit(*p))
		p++;
	return p > first ? p : NULL;
}

/* Returns where the number ends, or NULL when there is none at p. */
static inline const uint8_t *decimal_scan(const uint8_t *p, const uint8_t *end, bool leading_zeros, struct decimal *ret)
{
	const uint8_t *start = p, *first;
	uint64_t mantissa = 0;

	*ret = (struct decimal){.negative = p < end && *p == '-', .integer = true};
	p += ret->negative;
	first = p;
	p = decimal_scan_digits(p, end, &mantissa);
	ret->digits = (uint32_t)(p - first);
	if (ret->digits == 0 || (!leading_zeros && *first == '0' && ret->digits > 1))
		return NULL;
	if (p < end && *p == '.') {
		first = ++p;
		p = decimal_scan_digits(p, end, &mantissa);
		ret->decimals = (uint32_t)(p - first);
		ret->digits += ret->decimals;
		ret->integer = false;
		if (p == first)
			return NULL;
	}
	if (p < end && (*p | 0x20) == 'e') {
		ret->integer = false;
		ret->exponent = true;
		p = decimal_scan_exponent(p, end);
		if (!p)
			return NULL;
	}
	ret->mantissa = mantissa;
	ret->text = slice_of(start, (size_t)(p - start));
	return p;
}

/* False: beyond int64_t. Only for an integer. */
static inline bool decimal_to_i64(const struct decimal *d, int64_t *ret)
{
	sb_slice text = d->text;
	uint64_t magnitude;

	if (d->digits <= 18) {
		*ret = d->negative ? -(int64_t)d->mantissa : (int64_t)d->mantissa;
		return true;
	}
	text.ptr += d->negative;
	text.len -= d->negative;
	while (text.len > 1 && *text.ptr == '0') {
		text.ptr++;
		text.len--;
	}
	if (!number_parse_u64(text, &magnitude) || magnitude > (uint64_t)INT64_MAX + d->negative)
		return false;
	*ret = d->negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
	return true;
}

/* Correctly rounded; false: beyond the largest double. An integer up to 2^53 and a power of ten up to 10^22 are both
 * exact doubles, so that one division rounds once (Clinger's fast path). */
static inline bool decimal_to_f64(const struct decimal *d, double *ret)
{
	static const double powers[] = {1e0,  1e1,  1e2,  1e3,	1e4,  1e5,  1e6,  1e7,	1e8,  1e9,
					1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19};

	if (!d->exponent && d->digits <= 19 && d->mantissa <= UINT64_C(1) << 53) {
		double value = (double)d->mantissa / powers[d->decimals];

		*ret = d->negative ? -value : value;
		return true;
	}
	return number_parse_f64(d->text, ret);
}

#endif
