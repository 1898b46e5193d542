/* Decimal digits without a loop: eight at a time, in the lanes of one 64-bit number. Printing digit by digit costs
 * a multiplication, a subtraction and a store for each; here three steps of halving serve all eight.
 *
 * All stores are whole: each function may write behind the end that it returns, as far as it says. */
#ifndef BASE_DIGITS_H
#define BASE_DIGITS_H

#include <stdint.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the first digit lies in the lowest byte");

#define DIGITS_ROOM 24 /* bytes that digits_put may write */

/* The eight digits of a value below 10^8, one in each byte, as numbers. */
static inline uint64_t digits_split8(uint32_t value)
{
	uint64_t lanes = value / 10000 | (uint64_t)(value % 10000) << 32;
	uint64_t upper = (lanes * 10486 >> 20) & UINT64_C(0x0000007f0000007f); /* lanes / 100 */

	lanes = upper | (lanes - 100 * upper) << 16;
	upper = (lanes * 103 >> 10) & UINT64_C(0x000f000f000f000f); /* lanes / 10 */
	return upper | (lanes - 10 * upper) << 8;
}

/* Exactly eight digits of a value below 10^8, with leading zeros. */
static inline uint8_t *digits_put8(uint8_t *out, uint32_t value)
{
	uint64_t text = digits_split8(value) | UINT64_C(0x3030303030303030);

	memcpy(out, &text, 8);
	return out + 8;
}

/* The last count (1 to 8) digits of a value below 10^8; writes eight bytes. */
static inline uint8_t *digits_put_last(uint8_t *out, uint32_t value, unsigned count)
{
	uint64_t text = (digits_split8(value) | UINT64_C(0x3030303030303030)) >> (64 - 8 * count);

	memcpy(out, &text, 8);
	return out + count;
}

/* As many digits as a value below 10^8 has; writes eight bytes. */
static inline uint8_t *digits_put_short(uint8_t *out, uint32_t value)
{
	uint64_t digits = digits_split8(value);
	unsigned zeros = (unsigned)__builtin_ctzll(digits | UINT64_C(1) << 56) / 8;
	uint64_t text = (digits | UINT64_C(0x3030303030303030)) >> (8 * zeros);

	memcpy(out, &text, 8);
	return out + (8 - zeros);
}

/* As many digits as the value has. */
static inline uint8_t *digits_put(uint8_t *out, uint64_t value)
{
	uint64_t upper;

	if (value < 100000000)
		return digits_put_short(out, (uint32_t)value);
	upper = value / 100000000;
	if (upper < 100000000) {
		out = digits_put_short(out, (uint32_t)upper);
	} else {
		out = digits_put_short(out, (uint32_t)(upper / 100000000));
		out = digits_put8(out, (uint32_t)(upper % 100000000));
	}
	return digits_put8(out, (uint32_t)(value % 100000000));
}

#endif
