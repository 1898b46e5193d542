/* Seeded random numbers: see rng.h. */
#include "kit/rng.h"

#include <string.h>

void rng_init(struct rng *rng, uint64_t seed)
{
	rng->seed = seed;
	rng->state = seed;
}

uint64_t rng_next(struct rng *rng)
{
	uint64_t z = rng->state += UINT64_C(0x9E3779B97F4A7C15);

	z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
	return z ^ (z >> 31);
}

uint64_t rng_below(struct rng *rng, uint64_t bound)
{
	return (uint64_t)(((unsigned __int128)rng_next(rng) * bound) >> 64);
}

bool rng_chance(struct rng *rng, unsigned percent)
{
	return rng_below(rng, 100) < percent;
}

void rng_bytes(struct rng *rng, void *bytes, size_t len)
{
	uint8_t *at = bytes;

	while (len > 0) {
		uint64_t word = rng_next(rng);
		size_t part = len < sizeof(word) ? len : sizeof(word);

		memcpy(at, &word, part);
		at += part;
		len -= part;
	}
}
