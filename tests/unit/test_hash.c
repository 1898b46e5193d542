/* Key groups and digests: what checkpoints rest on. */
#include <criterion/criterion.h>

#include "base/hash.h"
#include "base/slice.h"
#include "support/rng.h"

Test(hash, key_hash_is_xxh3_for_ever)
{
	/* XXH3, 64 bits, seed 0, of nothing: as xxHash publishes it. */
	cr_assert_eq(key_hash(slice_of(NULL, 0)), UINT64_C(0x2d06800538d394c2));
	cr_assert_eq(key_hash(slice_of_text("")), UINT64_C(0x2d06800538d394c2));
}

static void check_groups(uint32_t tasks, uint32_t groups)
{
	cr_assert_eq(key_group_begin(0, tasks, groups), 0);
	cr_assert_eq(key_group_begin(tasks, tasks, groups), groups);
	for (uint32_t task = 0; task < tasks; task++) {
		uint32_t begin = key_group_begin(task, tasks, groups), end = key_group_begin(task + 1, tasks, groups);

		cr_assert_lt(begin, end, "task %u of %u has no group of %u", task, tasks, groups);
		for (uint32_t group = begin; group < end; group++)
			cr_assert_eq(key_group_task(group, tasks, groups), task);
	}
}

Test(hash, every_group_has_exactly_one_task_and_every_task_a_range)
{
	for (uint32_t tasks = 1; tasks <= KEY_GROUPS_DEFAULT; tasks++)
		check_groups(tasks, KEY_GROUPS_DEFAULT);
	check_groups(3, 100);
	check_groups(99, 100);
	check_groups(7, KEY_GROUPS_MAX);
	check_groups(KEY_GROUPS_MAX, KEY_GROUPS_MAX);
}

Test(hash, ranges_differ_by_one_group_at_most)
{
	for (uint32_t tasks = 1; tasks <= KEY_GROUPS_DEFAULT; tasks++) {
		for (uint32_t task = 0; task < tasks; task++) {
			uint32_t size = key_group_begin(task + 1, tasks, KEY_GROUPS_DEFAULT) -
					key_group_begin(task, tasks, KEY_GROUPS_DEFAULT);

			cr_assert(size == KEY_GROUPS_DEFAULT / tasks || size == KEY_GROUPS_DEFAULT / tasks + 1);
		}
	}
}

Test(hash, key_groups_are_in_range_and_all_in_use)
{
	uint32_t seen[KEY_GROUPS_DEFAULT] = {0};
	struct rng rng;

	rng_init(&rng, rng_test_seed(1));
	cr_assert_eq(key_group_of(0, KEY_GROUPS_DEFAULT), 0);
	cr_assert_eq(key_group_of(UINT64_MAX, KEY_GROUPS_DEFAULT), KEY_GROUPS_DEFAULT - 1);
	cr_assert_eq(key_group_of(UINT64_MAX, 1), 0);
	cr_assert_eq(key_group_of(UINT64_MAX, KEY_GROUPS_MAX), KEY_GROUPS_MAX - 1);
	for (int i = 0; i < 20000; i++) {
		uint64_t id = rng_next(&rng);
		uint32_t group = key_group_of(key_hash(slice_of(&id, sizeof(id))), KEY_GROUPS_DEFAULT);

		cr_assert_lt(group, KEY_GROUPS_DEFAULT);
		seen[group]++;
	}
	for (uint32_t group = 0; group < KEY_GROUPS_DEFAULT; group++)
		cr_assert(seen[group] > 80 && seen[group] < 260, "group %u has %u of 20000 keys", group, seen[group]);
}

static bool equal(struct hash128 a, struct hash128 b)
{
	return a.low == b.low && a.high == b.high;
}

Test(hash, sum_of_digests_is_the_same_in_any_order)
{
	struct hash128 hashes[64], forward = {0, 0}, shuffled = {0, 0}, grouped = {0, 0};
	struct rng rng;

	rng_init(&rng, rng_test_seed(2));
	for (uint64_t i = 0; i < 64; i++) {
		hashes[i] = hash128_of(slice_of(&i, sizeof(i)));
		forward = hash128_add(forward, hashes[i]);
	}
	for (uint64_t i = 63; i > 0; i--) {
		uint64_t k = rng_below(&rng, i + 1);
		struct hash128 kept = hashes[i];

		hashes[i] = hashes[k];
		hashes[k] = kept;
	}
	for (uint64_t i = 0; i < 64; i++)
		shuffled = hash128_add(hashes[i], shuffled);
	for (uint64_t i = 0; i < 64; i += 2)
		grouped = hash128_add(grouped, hash128_add(hashes[i], hashes[i + 1]));
	cr_assert(equal(forward, shuffled));
	cr_assert(equal(forward, grouped));
}

Test(hash, addition_carries_and_wraps)
{
	const struct hash128 most = {UINT64_MAX, UINT64_MAX}, one = {1, 0}, half = {UINT64_MAX, 0};

	cr_assert(equal(hash128_add(most, one), (struct hash128){0, 0}));
	cr_assert(equal(hash128_add(half, one), (struct hash128){0, 1}));
	cr_assert(equal(hash128_add(half, half), (struct hash128){UINT64_MAX - 1, 1}));
}
