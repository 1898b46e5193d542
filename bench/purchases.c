/* Seeded purchases as NDJSON on standard output: the input of bench/pipeline.
 *
 *   purchases USERS uniform|zipf|each EVENTS SEED
 *
 * each goes through all users, scattered, then begins again.  * zipf draws ranks with exponent 0.99 (as YCSB does: Gray et al., "Quickly generating billion-record synthetic
 * databases"), scattered over the users so that the popular ones are no neighbours. */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define THETA 0.99
#define FIRST_SECOND UINT64_C(1699000000)

static uint64_t state;

/* SplitMix64 */
static uint64_t next_random(void)
{
	uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static double next_unit(void)
{
	return (double)(next_random() >> 11) * 0x1p-53;
}

struct zipf {
	double users, zeta, alpha, eta;
};

static struct zipf zipf_of(uint64_t users)
{
	struct zipf z = {.users = (double)users, .alpha = 1 / (1 - THETA)};

	for (uint64_t i = 1; i <= users; i++)
		z.zeta += pow((double)i, -THETA);
	z.eta = (1 - pow(2 / z.users, 1 - THETA)) / (1 - (1 + pow(0.5, THETA)) / z.zeta);
	return z;
}

static uint64_t next_zipf(const struct zipf *z)
{
	double u = next_unit(), scaled = u * z->zeta;

	if (scaled < 1)
		return 0;
	if (scaled < 1 + pow(0.5, THETA))
		return 1;
	return (uint64_t)(z->users * pow(z->eta * u - z->eta + 1, z->alpha));
}

int main(int argc, char **argv)
{
	uint64_t users, events;
	bool skewed, in_turn;
	struct zipf zipf;

	if (argc != 5 ||
	    (strcmp(argv[2], "uniform") != 0 && strcmp(argv[2], "zipf") != 0 && strcmp(argv[2], "each") != 0)) {
		fprintf(stderr, "usage: purchases USERS uniform|zipf|each EVENTS SEED\n");
		return 2;
	}
	users = strtoull(argv[1], NULL, 10);
	skewed = argv[2][0] == 'z';
	in_turn = argv[2][0] == 'e';
	events = strtoull(argv[3], NULL, 10);
	state = strtoull(argv[4], NULL, 10);
	zipf = zipf_of(skewed ? users : 2);
	for (uint64_t i = 0; i < events; i++) {
		uint64_t rank = skewed ? next_zipf(&zipf) : in_turn ? i % users : next_random() % users;
		/* The factor is a prime, so that every user is visited once. */
		uint64_t user = skewed || in_turn ? rank * UINT64_C(2147483659) % users : rank;
		uint64_t cents = 100 + next_random() % 99900;

		printf("{\"user_id\":\"user-%llu\",\"amount\":%llu.%02llu,\"timestamp\":%llu}\n",
		       (unsigned long long)user, (unsigned long long)(cents / 100), (unsigned long long)(cents % 100),
		       (unsigned long long)(FIRST_SECOND + i / 1000));
	}
	return ferror(stdout) || fflush(stdout) != 0;
}
