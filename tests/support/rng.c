/* Seeded random numbers: see rng.h. */
#include "support/rng.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

uint64_t rng_test_seed(uint64_t own_seed)
{
	const char *text = getenv("SBHOST_TEST_SEED");
	struct timespec now;

	if (!text || !*text)
		return own_seed;
	if (strcmp(text, "random") != 0)
		return strtoull(text, NULL, 0);
	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

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
