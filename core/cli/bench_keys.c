/* See bench_keys.h. Zipf by the closed form of Gray and others ("Quickly generating billion-record synthetic databases",
 * SIGMOD 1994), which needs two powers a pick and no table. */
#include "cli/bench_keys.h"

#include <math.h>
#include <string.h>

#define THETA 0.99
#define SCATTER UINT64_C(2654435761) /* a prime above BENCH_KEYS_MAX, so it has no factor in common with count */

static const char key_start[] = "user-";
#define START_BYTES (sizeof(key_start) - 1)

/* splitmix64 */
static uint64_t next_random(struct bench_keys *keys)
{
	uint64_t z = keys->random += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

void bench_keys_init(struct bench_keys *keys, uint64_t count, uint64_t seed)
{
	*keys = (struct bench_keys){.count = count, .random = seed, .zeta_two = 1 + pow(0.5, THETA)};
	for (uint64_t i = 1; i <= count; i++)
		keys->zeta += pow((double)i, -THETA);
	keys->eta = (1 - pow(2.0 / (double)count, 1 - THETA)) / (1 - keys->zeta_two / keys->zeta);
}

uint64_t bench_keys_scatter(const struct bench_keys *keys, uint64_t i)
{
	return i * SCATTER % keys->count;
}

static uint64_t zipf_rank(const struct bench_keys *keys, double uniform)
{
	double scaled = uniform * keys->zeta;
	uint64_t rank;

	if (scaled < 1)
		return 0;
	if (scaled < keys->zeta_two)
		return 1;
	rank = (uint64_t)((double)keys->count * pow(keys->eta * uniform - keys->eta + 1, 1 / (1 - THETA)));
	return rank < keys->count ? rank : keys->count - 1;
}

uint64_t bench_keys_pick(struct bench_keys *keys, bool zipf)
{
	uint64_t random = next_random(keys);

	if (!zipf)
		return (uint64_t)((unsigned __int128)random * keys->count >> 64);
	return bench_keys_scatter(keys, zipf_rank(keys, (double)(random >> 11) * 0x1p-53));
}

void bench_key_text(uint64_t number, uint8_t text[BENCH_USER_KEY_BYTES])
{
	memcpy(text, key_start, START_BYTES);
	for (int i = BENCH_USER_KEY_BYTES - 1; i >= (int)START_BYTES; i--) {
		text[i] = (uint8_t)('0' + number % 10);
		number /= 10;
	}
}

uint64_t bench_key_number(sb_slice text)
{
	uint64_t number = 0;

	if (text.len != BENCH_USER_KEY_BYTES || memcmp(text.ptr, key_start, START_BYTES) != 0)
		return UINT64_MAX;
	for (size_t i = START_BYTES; i < BENCH_USER_KEY_BYTES; i++) {
		if (text.ptr[i] < '0' || text.ptr[i] > '9')
			return UINT64_MAX;
		number = number * 10 + (text.ptr[i] - '0');
	}
	return number;
}
