/* Seeded random numbers for checks and tests (splitmix64): the same on every machine, for ever, so
 * that a seed repeats a run. */
#ifndef KIT_RNG_H
#define KIT_RNG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rng {
	uint64_t seed; /* as given, for the message */
	uint64_t state;
};

void rng_init(struct rng *rng, uint64_t seed);
uint64_t rng_next(struct rng *rng);
/* 0 .. bound - 1; bound > 0. */
uint64_t rng_below(struct rng *rng, uint64_t bound);
bool rng_chance(struct rng *rng, unsigned percent);
void rng_bytes(struct rng *rng, void *bytes, size_t len);

#endif
