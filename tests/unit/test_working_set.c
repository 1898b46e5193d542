/* The working set's table, lists and accounts. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/slice.h"
#include "state/working_set.h"
#include "support/rng.h"

#define KEYS 400u
#define KEY_GROUPS 128u

static struct working_set set;
static sb_error err = ERROR_INIT;
static uint64_t empty_bytes;

static void set_up(void)
{
	cr_assert_eq(working_set_init(&set, KEY_GROUPS, &err), SB_OK, "%s", err.message);
	empty_bytes = set.bytes;
}

static void tear_down(void)
{
	working_set_done(&set);
}

TestSuite(working_set, .init = set_up, .fini = tear_down);

static sb_slice key_of(uint32_t id, char text[16])
{
	return slice_of(text, (uint64_t)snprintf(text, 16, "key-%u", id));
}

static struct entry *add(uint32_t id, uint64_t hash, uint32_t inline_bytes)
{
	struct entry *entry;
	char text[16];

	cr_assert_eq(working_set_reserve(&set, 1, &err), SB_OK);
	entry = working_set_find_or_add(&set, hash, 1, 7, 9, key_of(id, text), inline_bytes);
	cr_assert_not_null(entry);
	return entry;
}

static void mark_dirty(struct entry *entry)
{
	cr_assert_eq(working_set_mark_dirty(&set, entry, &err), SB_OK);
}

static struct entry *next_victim(void)
{
	uint64_t steps = 2 * (set.mask + 1);

	return working_set_next_victim(&set, ENTRY_LEAVING, &steps);
}

static struct entry *find(uint32_t id, uint64_t hash)
{
	char text[16];

	return working_set_find(&set, hash, 1, key_of(id, text));
}

static uint64_t count_slots(void)
{
	uint64_t n = 0;

	for (uint64_t i = 0; i <= set.mask; i++)
		n += working_set_at(&set, i) != NULL;
	return n;
}

/* Every entry can be reached from its home without an empty slot on the way. */
static void check_table(void)
{
	cr_assert_eq(count_slots(), set.count);
	for (uint64_t i = 0; i <= set.mask; i++)
		for (uint64_t at = set.slots[i] ? working_set_at(&set, i)->hash & set.mask : i; at != i;
		     at = (at + 1) & set.mask)
			cr_assert_not_null(working_set_at(&set, at), "a hole in a probe chain");
}

/* Every changed entry is on one list, that of its set, key group and kind; so is every copy. */
static uint64_t check_lists(int index, uint64_t *ret_copy_bytes)
{
	const uint32_t flag = index ? ENTRY_CHANGED_1 : ENTRY_CHANGED_0;
	uint64_t copies = 0, n = 0;

	for (uint32_t i = 0; i < set.list_count; i++) {
		const struct changed_list *list = &set.changes[index].lists[i];
		const struct entry *before = NULL;

		for (const struct entry *at = list->first; at; before = at, at = at->changed_next, n++) {
			cr_assert_eq(at->changed_prev, before);
			cr_assert_eq(at->flags & ENTRY_CHANGED, flag);
			cr_assert_eq(composed_key_group(entry_key(at)), i / CHANGED_KINDS);
			if (at->flags & ENTRY_COPY) {
				copies++;
				*ret_copy_bytes += working_set_entry_bytes(at);
			}
		}
		cr_assert_eq(list->last, before);
	}
	cr_assert_eq(set.changes[index].count, n);
	return n - copies;
}

static void check_accounts(void)
{
	uint64_t bytes = (set.mask + 1) * sizeof(*set.slots);
	uint64_t marked = 0, copy_bytes = 0;

	for (uint64_t i = 0; i <= set.mask; i++) {
		const struct entry *entry = working_set_at(&set, i);

		if (!entry)
			continue;
		marked += entry->flags & ENTRY_CHANGED ? 1 : 0;
		bytes += working_set_entry_bytes(entry);
	}
	cr_assert_eq(check_lists(0, &copy_bytes) + check_lists(1, &copy_bytes), marked);
	cr_assert_eq(set.copy_bytes, copy_bytes);
	cr_assert_eq(set.bytes, bytes + copy_bytes);
}

static void remove_entry(struct entry *entry)
{
	working_set_mark_clean(&set, entry);
	working_set_remove(&set, entry);
}

struct walk {
	struct rng rng;
	bool present[KEYS];
	struct entry *entries[KEYS];
	uint64_t hashes[KEYS];
	uint8_t values[KEYS];
	uint32_t inline_bytes[KEYS];
};

static void step(struct walk *walk)
{
	uint32_t id = (uint32_t)rng_below(&walk->rng, KEYS);
	struct entry *entry = find(id, walk->hashes[id]);

	cr_assert_eq(entry != NULL, walk->present[id], "seed %llu", (unsigned long long)walk->rng.seed);
	if (!entry) {
		entry = add(id, walk->hashes[id], walk->inline_bytes[id]);
		walk->entries[id] = entry;
		walk->present[id] = true;
		walk->values[id] = 0;
		cr_assert_eq(entry->flags, 0);
		cr_assert_eq(entry->value_len, walk->inline_bytes[id]);
		for (uint64_t i = 0; i < entry->value_len; i++)
			cr_assert_eq(entry->value[i], 0, "a new value is not zeroed");
		return;
	}
	cr_assert_eq(entry, walk->entries[id], "an entry moved");
	if (entry->value_len)
		cr_assert_eq(entry->value[entry->value_len - 1], walk->values[id]);
	switch (rng_below(&walk->rng, 4)) {
	case 0:
		remove_entry(entry);
		walk->present[id] = false;
		break;
	case 1:
		mark_dirty(entry);
		if (!walk->inline_bytes[id] && !entry->value_len)
			walk->values[id] = 0; /* the copy took it */
		break;
	case 2:
		working_set_mark_clean(&set, entry);
		break;
	default:
		walk->values[id] = (uint8_t)rng_next(&walk->rng);
		if (walk->inline_bytes[id]) {
			entry->value[entry->value_len - 1] = walk->values[id];
		} else {
			uint8_t bytes[900];
			uint64_t len = 1 + rng_below(&walk->rng, sizeof(bytes));

			memset(bytes, walk->values[id], len);
			cr_assert_eq(working_set_set_value(&set, entry, slice_of(bytes, len), &err), SB_OK);
			cr_assert_eq(entry->value_len, len);
		}
	}
}

/* What was frozen before is written first, copies and all. */
static void freeze(struct walk *walk)
{
	for (uint32_t i = 0; i < set.list_count; i++)
		while (working_set_frozen(&set)->lists[i].first)
			working_set_mark_clean(&set, working_set_frozen(&set)->lists[i].first);
	cr_assert_eq(working_set_frozen(&set)->count, 0, "seed %llu", (unsigned long long)walk->rng.seed);
	working_set_freeze(&set);
}

/* collisions: how many different hashes there are. */
static void compare_with_model(uint64_t seed, uint64_t collisions)
{
	static const uint32_t sizes[] = {0, 1, 24, 500, 5000};
	static struct walk walk;

	memset(&walk, 0, sizeof(walk));
	rng_init(&walk.rng, rng_test_seed(seed));
	for (uint32_t i = 0; i < KEYS; i++) {
		/* Homes around the end of the table, so that chains wrap; high halves may be the same, too. */
		uint64_t home = (uint64_t)0 - 20 + rng_below(&walk.rng, collisions);

		walk.hashes[i] = (rng_below(&walk.rng, 3) << 32) | (home & 0xffffffff);
		walk.inline_bytes[i] = sizes[rng_below(&walk.rng, sizeof(sizes) / sizeof(sizes[0]))];
	}
	for (int i = 0; i < 20000; i++) {
		step(&walk);
		if (rng_chance(&walk.rng, 1))
			freeze(&walk);
		if (i % 250 == 0) {
			check_table();
			check_accounts();
		}
	}
	for (uint32_t i = 0; i < KEYS; i++)
		cr_assert_eq(find(i, walk.hashes[i]), walk.present[i] ? walk.entries[i] : NULL);
}

Test(working_set, equals_a_map_when_all_hashes_collide)
{
	compare_with_model(1, 1);
}

Test(working_set, equals_a_map_when_hashes_crowd_around_the_end_of_the_table)
{
	compare_with_model(2, 60);
}

Test(working_set, equals_a_map_when_hashes_spread)
{
	compare_with_model(3, 100000);
}

Test(working_set, keys_of_one_hash_differ_by_state_length_and_bytes)
{
	static const sb_slice none;
	struct entry *a = working_set_find_or_add(&set, 5, 0, 1, 1, slice_of_text("a"), 8);
	struct entry *other_state = working_set_find_or_add(&set, 5, 1, 1, 2, slice_of_text("a"), 8);
	struct entry *longer = working_set_find_or_add(&set, 5, 0, 1, 1, slice_of_text("ab"), 8);
	struct entry *empty = working_set_find_or_add(&set, 5, 0, 1, 1, none, 8);

	cr_assert(a != other_state && a != longer && a != empty && longer != empty);
	cr_assert_eq(working_set_find_or_add(&set, 5, 0, 1, 1, slice_of_text("a"), 8), a);
	cr_assert_eq(working_set_find(&set, 5, 0, none), empty);
	cr_assert_null(working_set_find(&set, 5, 0, slice_of_text("b")));
	cr_assert_null(working_set_find(&set, UINT64_C(5) << 32 | 5, 0, slice_of_text("a")));
	cr_assert_eq(set.count, 4);
}

Test(working_set, entry_carries_its_composed_key)
{
	static const uint8_t expected[] = {0x12, 0x34, 0x03, 0xff, 'x', 0, 'y'};
	struct entry *entry = working_set_find_or_add(&set, 1, 0, 0x1234, 0x3ff, slice_of("x\0y", 3), 0);

	cr_assert(slice_equal(entry_key(entry), slice_of(expected, sizeof(expected))));
	cr_assert_eq(entry_value(entry).len, 0);
}

Test(working_set, inline_values_are_aligned_for_any_struct)
{
	for (uint32_t id = 0; id < 100; id++)
		cr_assert_eq((uintptr_t)add(id, id * 77, 1 + id)->value % 16, 0);
}

Test(working_set, table_grows_and_keeps_every_entry)
{
	enum { MANY = 20000 };
	uint64_t slots = set.mask + 1;

	for (uint32_t id = 0; id < MANY; id++)
		add(id, id * UINT64_C(0x9e3779b97f4a7c15), 8)->value[0] = (uint8_t)id;
	cr_assert_gt(set.mask + 1, slots);
	cr_assert_geq((set.mask + 1) * 3, set.count * 4, "too full");
	for (uint32_t id = 0; id < MANY; id++)
		cr_assert_eq(find(id, id * UINT64_C(0x9e3779b97f4a7c15))->value[0], (uint8_t)id);
	check_table();
	check_accounts();
}

Test(working_set, reserve_makes_room_for_all_at_once)
{
	cr_assert_eq(working_set_reserve(&set, 10000, &err), SB_OK);
	cr_assert_geq((set.mask + 1) * 3, 10000u * 4);
	cr_assert_eq(set.bytes, (set.mask + 1) * sizeof(*set.slots));
}

Test(working_set, bytes_return_to_the_tables_own_after_clear)
{
	uint8_t bytes[3000] = {0};

	for (uint32_t id = 0; id < 500; id++) {
		struct entry *entry = add(id, id * 31, id % 2 ? 2000 : 0);

		if (id % 2 == 0)
			cr_assert_eq(working_set_set_value(&set, entry, slice_of(bytes, id * 6), &err), SB_OK);
	}
	cr_assert_gt(set.bytes, empty_bytes);
	check_accounts();
	working_set_clear(&set);
	cr_assert_eq(set.count, 0);
	cr_assert_eq(count_slots(), 0);
	cr_assert_eq(set.bytes, empty_bytes);
	cr_assert_null(find(1, 31));
	/* What is added again is new, though its memory was used. */
	cr_assert_eq(add(1, 31, 2000)->flags, 0);
}

Test(working_set, lists_of_what_is_dirty_keep_the_order_and_are_of_their_kind)
{
	const struct changed_list *structs, *raws;
	struct entry *entries[6];

	for (uint32_t id = 0; id < 6; id++) {
		entries[id] = add(id, id, id % 2 ? 8 : 0);
		mark_dirty(entries[id]);
		mark_dirty(entries[id]);
	}
	structs = &working_set_dirty(&set)->lists[changed_list_index(7, CHANGED_STRUCT)];
	raws = &working_set_dirty(&set)->lists[changed_list_index(7, CHANGED_RAW)];
	cr_assert_eq(raws->first, entries[0]);
	cr_assert_eq(raws->first->changed_next, entries[2]);
	cr_assert_eq(raws->last, entries[4]);
	cr_assert_eq(structs->first, entries[1]);
	cr_assert_eq(structs->last, entries[5]);
	check_accounts();
	working_set_mark_clean(&set, entries[2]);
	working_set_mark_clean(&set, entries[2]);
	working_set_mark_clean(&set, entries[1]);
	working_set_mark_clean(&set, entries[5]);
	check_accounts();
	cr_assert_eq(working_set_dirty(&set)->count, 3);
}

/* The only one on the frozen list of that kind. */
static const struct entry *frozen(enum changed_kind kind)
{
	return working_set_frozen(&set)->lists[changed_list_index(7, kind)].first;
}

Test(working_set, frozen_entry_that_changes_leaves_a_copy_in_its_place)
{
	struct entry *inlined = add(1, 10, 8), *raw = add(2, 20, 0);
	const uint8_t *bytes;

	inlined->value[3] = 5;
	inlined->expiry_ms = 77;
	inlined->flags |= ENTRY_PRESENT;
	mark_dirty(inlined);
	mark_dirty(raw);
	cr_assert_eq(working_set_set_value(&set, raw, slice_of_text("before"), &err), SB_OK);
	bytes = raw->value;
	working_set_freeze(&set);
	cr_assert_eq(frozen(CHANGED_STRUCT), inlined);
	mark_dirty(inlined);
	mark_dirty(raw);
	inlined->value[3] = 6;
	inlined->expiry_ms = 88;
	cr_assert_eq(working_set_set_value(&set, raw, slice_of_text("afterwards"), &err), SB_OK);
	check_accounts();
	cr_assert_eq(working_set_frozen(&set)->count, 2);
	cr_assert_eq(working_set_dirty(&set)->count, 2);
	cr_assert_neq(frozen(CHANGED_STRUCT), inlined);
	cr_assert(slice_equal(entry_key(frozen(CHANGED_STRUCT)), entry_key(inlined)));
	cr_assert_eq(frozen(CHANGED_STRUCT)->value[3], 5);
	cr_assert_eq(frozen(CHANGED_STRUCT)->expiry_ms, 77);
	cr_assert(frozen(CHANGED_STRUCT)->flags & ENTRY_PRESENT);
	cr_assert(slice_equal(entry_value(frozen(CHANGED_RAW)), slice_of_text("before")));
	cr_assert_eq(frozen(CHANGED_RAW)->value, bytes, "a value that is replaced as a whole need not be copied");
	cr_assert_not(frozen(CHANGED_RAW)->flags & ENTRY_PRESENT);
	working_set_mark_clean(&set, (struct entry *)frozen(CHANGED_RAW));
	check_accounts(); /* the other copy goes with the set */
}

Test(working_set, clock_spares_what_was_used_lately_for_one_round)
{
	struct entry *used = add(1, 10, 8), *idle = add(2, 20, 8);

	used->flags |= ENTRY_REFERENCED;
	cr_assert_eq(next_victim(), idle);
	working_set_remove(&set, idle);
	cr_assert_eq(next_victim(), used, "the second round takes it");
	cr_assert_eq(used->flags & ENTRY_REFERENCED, 0);
}

Test(working_set, clock_finds_no_victim_among_none_and_among_those_that_leave)
{
	cr_assert_null(next_victim());
	add(1, 10, 8)->flags |= ENTRY_LEAVING;
	add(2, 20, 8)->flags |= ENTRY_LEAVING | ENTRY_REFERENCED;
	cr_assert_null(next_victim());
}

Test(working_set, clock_comes_by_every_entry_before_any_twice)
{
	for (uint32_t id = 0; id < 300; id++)
		add(id, id * 13, 8)->flags |= id % 3 ? ENTRY_REFERENCED : 0;
	for (uint32_t left = 300; left; left--) {
		struct entry *victim = next_victim();

		cr_assert_not_null(victim);
		victim->flags |= ENTRY_LEAVING;
	}
	cr_assert_null(next_victim());
}

Test(working_set, hash_is_of_state_and_bytes_and_differs_between_sets)
{
	struct working_set other;

	cr_assert_eq(working_set_init(&other, KEY_GROUPS, &err), SB_OK);
	cr_assert_eq(working_set_hash(&set, 1, slice_of_text("a")), working_set_hash(&set, 1, slice_of_text("a")));
	cr_assert_neq(working_set_hash(&set, 1, slice_of_text("a")), working_set_hash(&set, 2, slice_of_text("a")));
	cr_assert_neq(working_set_hash(&set, 1, slice_of_text("a")), working_set_hash(&other, 1, slice_of_text("a")));
	working_set_done(&other);
}
