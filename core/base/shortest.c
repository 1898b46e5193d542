/* The shortest decimal that reads back as the same double, by one multiplication of 64 by 128 bits for each bound of the interval
 * that rounds to it: Raffaello Giulietti's Schubfach ("The Schubfach way to render doubles", 2020). Of several shortest ones
 * it is the closest. */
#include "base/shortest.h"

#include <string.h>

#define FRACTION_BITS 52
#define EXPONENT_BIAS (1023 + FRACTION_BITS)
#define FIRST_POWER (-292)

struct power {
	uint64_t high, low;
};

/* scripts/make-powers-of-ten wrote them. */
static const struct power powers[] = {
#include "base/powers_of_ten.inc"
};

/* floor(log2(10^e)), floor(log10(2^e)) and floor(log10(3/4 * 2^e)), for all exponents that occur. Shifts of negative numbers are
 * arithmetic with every compiler that we have. */
static int floor_log2_of_power10(int e)
{
	return (e * 1741647) >> 19;
}

static int floor_log10_of_power2(int e)
{
	return (e * 1262611) >> 22;
}

static int floor_log10_of_power2_lower(int e)
{
	return (e * 1262611 - 524031) >> 22;
}

/* The upper 64 bits of g * c, the lowest bit set when something non-zero is cut off: so comparisons stay right. */
static uint64_t multiply_to_odd(struct power g, uint64_t c)
{
	unsigned __int128 low = (unsigned __int128)g.low * c;
	unsigned __int128 product = (unsigned __int128)g.high * c + (uint64_t)(low >> 64);

	return (uint64_t)(product >> 64) | ((uint64_t)product > 1);
}

static uint64_t bits_of(double value)
{
	uint64_t bits;

	memcpy(&bits, &value, sizeof(bits));
	return bits;
}

/* All in quarters of the decimal's unit 10^k. */
struct interval {
	uint64_t lower, value, upper;
};

/* Of the two neighbours with that unit, the one inside; of two, the closer one. */
static uint64_t choose(const struct interval *v)
{
	uint64_t s = v->value / 4, middle = 4 * s + 2;
	int below = v->lower <= 4 * s, above = 4 * s + 4 <= v->upper;

	if (below != above)
		return s + (uint64_t)above;
	return s + (v->value > middle || (v->value == middle && (s & 1)));
}

struct shortest shortest_of(double magnitude)
{
	const uint64_t bits = bits_of(magnitude);
	const uint64_t fraction = bits & ((UINT64_C(1) << FRACTION_BITS) - 1), exponent = bits >> FRACTION_BITS;
	const uint64_t c = exponent ? fraction | UINT64_C(1) << FRACTION_BITS : fraction;
	const int q = exponent ? (int)exponent - EXPONENT_BIAS : 1 - EXPONENT_BIAS;
	const int narrow = fraction == 0 && exponent > 1; /* the next smaller double is only half as far away */
	const int k = narrow ? floor_log10_of_power2_lower(q) : floor_log10_of_power2(q);
	const int h = q + floor_log2_of_power10(-k) + 1;
	const struct power g = powers[-k - FIRST_POWER];
	const uint64_t odd = c & 1; /* the bounds themselves round to the even neighbour */
	const struct interval v = {
		.lower = multiply_to_odd(g, (4 * c - 2 + (uint64_t)narrow) << h) + odd,
		.value = multiply_to_odd(g, 4 * c << h),
		.upper = multiply_to_odd(g, (4 * c + 2) << h) - odd,
	};
	uint64_t tens = v.value / 40;

	if (v.value >= 40) {
		int below = v.lower <= 40 * tens, above = 40 * tens + 40 <= v.upper;

		if (below != above)
			return (struct shortest){.digits = tens + (uint64_t)above, .exponent = k + 1};
	}
	return (struct shortest){.digits = choose(&v), .exponent = k};
}
