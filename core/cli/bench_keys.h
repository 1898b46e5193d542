/* The keys of "sbhost bench": which entry an operation touches, uniform or zipf 0.99, and what its key looks like.
 *
 * Seeded, so that every backend is asked the same questions. Zipf ranks are scattered over the numbers, since keys that are
 * often used do not lie side by side in real life. */
#ifndef CLI_BENCH_KEYS_H
#define CLI_BENCH_KEYS_H

#include <stdbool.h>
#include <stdint.h>

#include "state/composed_key.h"

#define BENCH_USER_KEY_BYTES 16
#define BENCH_KEY_BYTES (COMPOSED_PREFIX_BYTES + BENCH_USER_KEY_BYTES)
#define BENCH_KEYS_MAX UINT64_C(1000000000)

struct bench_keys {
	uint64_t count;
	uint64_t random; /* state of the generator */
	double zeta, zeta_two, eta; /* of the distribution; they depend on count alone */
};

/* Takes time that grows with count: a third of a second at ten million. */
void bench_keys_init(struct bench_keys *keys, uint64_t count, uint64_t seed);
/* 0 .. count - 1 */
uint64_t bench_keys_pick(struct bench_keys *keys, bool zipf);
/* Each number comes once as i goes from 0 to count - 1, in an order that is none. */
uint64_t bench_keys_scatter(const struct bench_keys *keys, uint64_t i);

/* "user-00000000042" */
void bench_key_text(uint64_t number, uint8_t text[BENCH_USER_KEY_BYTES]);
/* The number of that text; UINT64_MAX when it is none of ours. */
uint64_t bench_key_number(sb_slice text);

#endif
