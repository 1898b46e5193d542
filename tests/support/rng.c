/* The seed of a test: see rng.h. */
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
