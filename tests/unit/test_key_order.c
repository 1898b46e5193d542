/* Sorting entries by their keys, against comparing whole keys. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/slice.h"
#include "state/key_order.h"
#include "support/rng.h"

#define ENTRIES 500u
#define KEY_MAX 32u

static struct entry *entries[ENTRIES];
static struct ordered_entry order[ENTRIES];

static int compare(const void *a, const void *b)
{
	const struct entry *const *x = a, *const *y = b;

	return slice_compare(entry_key(*x), entry_key(*y));
}

/* Keys of the given beginning and up to tail_max random bytes of an alphabet behind it. */
static void expect_sorted(struct rng *rng, uint64_t n, uint32_t common, uint32_t tail_max, uint32_t alphabet)
{
	const struct entry *expected[ENTRIES];

	for (uint64_t i = 0; i < n; i++) {
		memset(entries[i]->key, 0xab, common);
		entries[i]->key_len = common + (uint32_t)rng_below(rng, tail_max + 1);
		for (uint32_t at = common; at < entries[i]->key_len; at++)
			entries[i]->key[at] = (uint8_t)(0 - rng_below(rng, alphabet));
		order[i].entry = entries[i];
		expected[i] = entries[i];
	}
	qsort(expected, n, sizeof(expected[0]), compare);
	key_order_sort(order, n);
	for (uint64_t i = 0; i < n; i++)
		cr_assert(slice_equal(entry_key(order[i].entry), entry_key(expected[i])), "seed %llu",
			  (unsigned long long)rng->seed);
}

static void set_up(void)
{
	for (uint64_t i = 0; i < ENTRIES; i++) {
		entries[i] = calloc(1, sizeof(struct entry) + KEY_MAX);
		cr_assert_not_null(entries[i]);
	}
}

static void tear_down(void)
{
	for (uint64_t i = 0; i < ENTRIES; i++)
		free(entries[i]);
}

TestSuite(key_order, .init = set_up, .fini = tear_down);

Test(key_order, of_a_list_is_that_of_its_first_entries_and_the_rest_stays)
{
	struct changed_list list = {0};
	const struct entry *before = NULL;
	uint64_t n = 0;

	for (uint64_t i = 0; i < 10; i++) {
		entries[i]->key[0] = (uint8_t)(9 - i);
		entries[i]->key_len = 1;
		entries[i]->changed_prev = list.last;
		*(list.last ? &list.last->changed_next : &list.first) = entries[i];
		list.last = entries[i];
	}
	cr_assert_eq(key_order_sort_list(&list, order, 7), 7);
	for (const struct entry *at = list.first; at; before = at, at = at->changed_next, n++) {
		cr_assert_eq(at->changed_prev, before);
		cr_assert_eq(at->key[0], n < 7 ? 3 + n : 9 - n);
	}
	cr_assert_eq(n, 10);
	cr_assert_eq(list.last, before);
	cr_assert_eq(key_order_sort_list(&list, order, 10), 10);
	cr_assert_eq(list.first->key[0], 0);
	cr_assert_eq(list.last->key[0], 9);
	cr_assert_null(list.last->changed_next);
}

Test(key_order, is_that_of_the_whole_keys)
{
	static const uint32_t alphabets[] = {1, 2, 3, 256};
	struct rng rng;

	rng_init(&rng, rng_test_seed(1));
	for (uint32_t round = 0; round < 200; round++)
		expect_sorted(&rng, rng_below(&rng, ENTRIES + 1), (uint32_t)rng_below(&rng, 13),
			      (uint32_t)rng_below(&rng, 19), alphabets[round % 4]);
}
