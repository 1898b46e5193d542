/* The seed of a test. A test names its own, so that a run repeats; SBHOST_TEST_SEED=<number> in the
 * environment takes its place, and SBHOST_TEST_SEED=random draws one. Whoever fails prints it. */
#ifndef SUPPORT_RNG_H
#define SUPPORT_RNG_H

#include "kit/rng.h"

/* The seed to use where the test would use own_seed. */
uint64_t rng_test_seed(uint64_t own_seed);

#endif
