/* Seeded random numbers for tests (splitmix64): the same on every machine, for ever.
 *
 * A test names its own seed, so that a run repeats; SBHOST_TEST_SEED=<number> in the
 * environment takes its place, and SBHOST_TEST_SEED=random draws one. Whoever fails prints it. */
#ifndef SUPPORT_RNG_H
#define SUPPORT_RNG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rng {
	uint64_t seed; /* as given, for the message */
	uint64_t state;
};

/* The seed to use where the test would use own_seed. */
uint64_t rng_test_seed(uint64_t own_seed);
void rng_init(struct rng *rng, uint64_t seed);
uint64_t rng_next(struct rng *rng);
/* 0 .. bound - 1; bound > 0. */
uint64_t rng_below(struct rng *rng, uint64_t bound);
bool rng_chance(struct rng *rng, unsigned percent);
void rng_bytes(struct rng *rng, void *bytes, size_t len);

#endif
