/* Keys that were chosen to collide. Key groups come from a hash that is fixed for ever, so whoever knows it can find keys that agree in as many of
 * its bits as a table uses. Tables hash with a secret of their own, and in them such keys lie as far apart as any others. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/slice.h"
#include "state/working_set.h"

#define KEYS 1500u /* in 2048 slots and more */
#define SLOTS 4096u
#define KEY_BYTES 16u
#define SECRETS 8u

static char keys[KEYS][KEY_BYTES];

static sb_slice key_of(uint32_t i)
{
	return slice_of(keys[i], strlen(keys[i]));
}

/* Keys whose hash under seed 0 has nothing but zeros in all the bits that choose a slot. */
static void find_keys(void)
{
	uint32_t found = 0;

	for (uint64_t n = 0; found < KEYS; n++) {
		snprintf(keys[found], KEY_BYTES, "user-%llu", (unsigned long long)n);
		found += (key_hash(key_of(found)) & (SLOTS - 1)) == 0;
	}
}

/* The steps from their homes to where the entries lie, together. */
static uint64_t count_probes(const struct working_set *set)
{
	uint64_t steps = 0;

	cr_assert_lt(set->mask, SLOTS);
	for (uint64_t i = 0; i <= set->mask; i++)
		if (set->slots[i])
			steps += (i - working_set_at(set, i)->hash) & set->mask;
	return steps;
}

static uint64_t fill_and_count(bool keyed)
{
	struct working_set set;
	sb_error err = ERROR_INIT;
	uint64_t steps;

	cr_assert_eq(working_set_init(&set, KEY_GROUPS_DEFAULT, &err), SB_OK, "%s", err.message);
	cr_assert_eq(working_set_reserve(&set, KEYS, &err), SB_OK);
	for (uint32_t i = 0; i < KEYS; i++) {
		uint64_t hash = keyed ? working_set_hash(&set, 0, key_of(i)) : key_hash(key_of(i));

		cr_assert(working_set_find_or_add(&set, hash, 0, 0, 0, key_of(i), 8));
	}
	steps = count_probes(&set);
	working_set_done(&set);
	return steps;
}

TestSuite(hash_flood, .init = find_keys);

/* The flood is one: else the test below would show nothing. */
Test(hash_flood, chosen_keys_pile_up_under_the_hash_that_they_were_chosen_for)
{
	cr_assert_eq(fill_and_count(false), (uint64_t)KEYS * (KEYS - 1) / 2);
}

Test(hash_flood, chosen_keys_spread_under_a_secret)
{
	for (unsigned i = 0; i < SECRETS; i++) {
		const uint64_t steps = fill_and_count(true);

		/* At the load of 3/4 that is allowed at most, linear probing takes 1.5 steps a key. */
		cr_assert_lt(steps, 6 * KEYS, "%llu steps for %u keys", (unsigned long long)steps, KEYS);
	}
}

Test(hash_flood, every_table_has_a_secret_of_its_own)
{
	struct working_set a, b;
	sb_error err = ERROR_INIT;

	cr_assert_eq(working_set_init(&a, KEY_GROUPS_DEFAULT, &err), SB_OK, "%s", err.message);
	cr_assert_eq(working_set_init(&b, KEY_GROUPS_DEFAULT, &err), SB_OK, "%s", err.message);
	cr_assert_neq(working_set_hash(&a, 0, key_of(0)), working_set_hash(&b, 0, key_of(0)));
	cr_assert_neq(working_set_hash(&a, 0, key_of(0)), working_set_hash(&a, 1, key_of(0)));
	working_set_done(&a);
	working_set_done(&b);
}
