/* SPDX-License-Identifier: Apache-2.0
 *
 * test_memory_walk.c: what the memory backend does with records that an open iterator has yet to show: it puts the
 * old version aside and changes them where they lie, if nobody else wants them. The oracle is a copy of the content at
 * iter_open. The thread test is tests/tsan/memory_iter_race.c.
 *
 * SBHOST_TEST_SEED repeats a run of the random test; a failure prints its seed.
 */
#include "../../plugins/memory/backend.h"
#include "kit/write_in_place.h"
#include "support/memory.h"
#include "support/rng.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#define IDS 4000u
#define VALUE_BYTES_MAX 9000u
#define BATCH_MAX 100u
#define ITERS 3u
#define PINS 4u

static sb_iter *iter_open(struct memory_backend *f)
{
	const sb_iter_options range = {.struct_size = sizeof(range)};
	sb_iter *iter;

	cr_assert_eq(f->ops->iter_open(f->backend, &range, &iter, &f->err), SB_OK);
	return iter;
}

static sb_slice key_of(const uint32_t *id)
{
	return (sb_slice){(const uint8_t *)id, sizeof(*id)};
}

static void put(struct memory_backend *f, uint32_t id, uint8_t byte, uint64_t len)
{
	uint8_t value[256];
	sb_op op = {.key = key_of(&id), .value = {value, len}, .kind = SB_OP_PUT};

	memset(value, byte, len);
	cr_assert_eq(f->ops->write_batch(f->backend, 1, &op, &f->err), SB_OK, "%s", f->err.message);
}

static void put_all(struct memory_backend *f, uint32_t count, uint8_t byte)
{
	for (uint32_t id = 0; id < count; ++id)
		put(f, id, byte, 80);
}

static void delete (struct memory_backend *f, uint32_t id)
{
	const sb_op op = {.key = key_of(&id), .kind = SB_OP_DELETE};

	cr_assert_eq(f->ops->write_batch(f->backend, 1, &op, &f->err), SB_OK);
}

static sb_pin get(struct memory_backend *f, uint32_t id)
{
	const sb_slice key = key_of(&id);
	sb_pin pin;

	cr_assert_eq(f->ops->multi_get(f->backend, 1, &key, &pin, &f->err), SB_OK);
	return pin;
}

static const uint8_t *where(struct memory_backend *f, uint32_t id)
{
	sb_pin pin = get(f, id);

	cr_assert(pin.found);
	f->ops->unpin(f->backend, 1, &pin);
	return pin.value.ptr;
}

static double stat_of(struct memory_backend *f, const char *name)
{
	sb_stat stats[32];
	uint64_t count;

	cr_assert_eq(f->ops->stats(f->backend, 32, stats, &count, &f->err), SB_OK);
	for (uint64_t i = 0; i < count; ++i) {
		if (!strcmp(stats[i].name, name))
			return stats[i].value;
	}
	cr_assert_fail("no stat %s", name);
	return 0;
}

/* How many entries it still shows; all must have that byte. */
static uint64_t count_rest(struct memory_backend *f, sb_iter *iter, uint8_t byte)
{
	uint64_t count, total = 0;
	sb_entry entries[77];

	do {
		cr_assert_eq(f->ops->iter_next(iter, 77, entries, &count, &f->err), SB_OK);
		for (uint64_t i = 0; i < count; ++i)
			cr_assert(entries[i].value.len && entries[i].value.ptr[0] == byte &&
				  entries[i].value.ptr[entries[i].value.len - 1] == byte);
		total += count;
	} while (count);
	return total;
}

Test(memory_walk, records_ahead_of_a_walk_are_changed_where_they_lie)
{
	const uint8_t *before;
	struct memory_backend f;
	sb_iter *iter;

	memory_open(&f, 0);
	put_all(&f, IDS, 1);
	iter = iter_open(&f);
	before = where(&f, IDS - 1);
	put(&f, IDS - 1, 2, 80);
	cr_assert_eq(where(&f, IDS - 1), before);
	put(&f, IDS - 1, 3, 78);
	cr_assert_eq(where(&f, IDS - 1), before);
	cr_assert_eq(count_rest(&f, iter, 1), IDS);
	f.ops->iter_close(iter);
	memory_close(&f);
}

/* The walker's user may still look at what it was given last. */
Test(memory_walk, records_in_a_slab_that_is_being_shown_are_left_alone)
{
	sb_entry entries[10];
	struct memory_backend f;
	uint64_t count;
	sb_iter *iter;
	uint32_t id;

	memory_open(&f, 0);
	put_all(&f, IDS, 1);
	iter = iter_open(&f);
	cr_assert_eq(f.ops->iter_next(iter, 10, entries, &count, &f.err), SB_OK);
	cr_assert_eq(count, 10);
	memcpy(&id, entries[9].key.ptr, sizeof(id));
	put(&f, id, 2, 80);
	cr_assert_eq(entries[9].value.ptr[0], 1);
	cr_assert_neq(where(&f, id), entries[9].value.ptr);
	cr_assert_eq(count_rest(&f, iter, 1), IDS - 10);
	f.ops->iter_close(iter);
	memory_close(&f);
}

/* Put aside, then deleted while a pin keeps it from being given back: the iterator got it once already. */
Test(memory_walk, what_was_put_aside_and_dies_under_a_pin_is_shown_once)
{
	struct memory_backend f;
	sb_iter *iter;
	sb_pin pin;

	memory_open(&f, 0);
	put_all(&f, IDS, 1);
	iter = iter_open(&f);
	put(&f, IDS - 1, 2, 80);
	pin = get(&f, IDS - 1);
	delete (&f, IDS - 1);
	cr_assert_eq(pin.value.ptr[0], 2);
	cr_assert_eq(count_rest(&f, iter, 1), IDS);
	f.ops->unpin(f.backend, 1, &pin);
	f.ops->iter_close(iter);
	memory_close(&f);
}

/* The version between the two belongs to the second iterator alone, and that one finds it where it lies. */
Test(memory_walk, a_second_iterator_shows_what_the_first_has_put_aside)
{
	sb_iter *first, *second;
	struct memory_backend f;

	memory_open(&f, 0);
	put_all(&f, IDS, 1);
	first = iter_open(&f);
	put_all(&f, IDS, 2);
	second = iter_open(&f);
	put_all(&f, IDS / 2, 3);
	for (uint32_t id = IDS / 2; id < IDS; ++id)
		delete (&f, id);
	cr_assert_eq(count_rest(&f, second, 2), IDS);
	cr_assert_eq(count_rest(&f, first, 1), IDS);
	f.ops->iter_close(first);
	f.ops->iter_close(second);
	memory_close(&f);
}

Test(memory_walk, without_memory_for_old_versions_records_move_as_far_as_they_can)
{
	const uint8_t *before;
	struct memory_backend f;
	sb_iter *iter;

	memory_open(&f, 0);
	put_all(&f, IDS, 1);
	iter = iter_open(&f);
	f.backend->pages.limit_bytes = f.backend->pages.mapped_bytes + (1 << 16) - 1;
	before = where(&f, IDS - 1);
	put(&f, IDS - 1, 2, 80); /* there are free slots in the area at hand, and no room for a chunk */
	cr_assert_neq(where(&f, IDS - 1), before);
	cr_assert_eq(count_rest(&f, iter, 1), IDS);
	f.ops->iter_close(iter);
	memory_close(&f);
}

/* A walk that keeps up hands its chunks back, so that they do not add up to what was changed. */
Test(memory_walk, chunks_that_were_walked_are_filled_again)
{
	enum { COUNT = 60000 };
	sb_entry entries[64];
	struct memory_backend f;
	uint64_t count, total = 0;
	double most = 0;
	sb_iter *iter;
	uint32_t id = COUNT;

	memory_open(&f, 0);
	put_all(&f, COUNT, 1);
	iter = iter_open(&f);
	do {
		cr_assert_eq(f.ops->iter_next(iter, 64, entries, &count, &f.err), SB_OK);
		total += count;
		for (uint32_t i = 0; i < 32 && id; ++i)
			put(&f, --id, 2, 80);
		if (stat_of(&f, "retained_bytes") > most)
			most = stat_of(&f, "retained_bytes");
	} while (count);
	cr_assert_eq(total, COUNT);
	cr_assert(most > 0 && most < 10 * 65536, "%.0f bytes", most);
	f.ops->iter_close(iter);
	cr_assert_eq(f.ops->maintain(f.backend, COUNT, &count, &f.err), SB_OK);
	cr_assert_eq(stat_of(&f, "retained_bytes"), 0);
	memory_close(&f);
}

/* What was shown and then moved ahead of the walk by compaction is nothing to it. */
Test(memory_walk, entries_that_compaction_has_moved_are_not_shown_again)
{
	enum { COUNT = 60000, SHOWN = 40000 };
	bool *shown = calloc(COUNT, sizeof(*shown));
	sb_entry entries[100];
	struct memory_backend f;
	uint64_t count;
	sb_iter *iter;

	memory_open(&f, 0);
	put_all(&f, COUNT, 1);
	iter = iter_open(&f);
	put(&f, COUNT, 2, 80); /* into a slab behind all others, where compaction goes on */
	for (uint32_t i = 0; i < SHOWN; i += 100) {
		cr_assert_eq(f.ops->iter_next(iter, 100, entries, &count, &f.err), SB_OK);
		for (uint64_t j = 0; j < count; ++j) {
			uint32_t id;

			memcpy(&id, entries[j].key.ptr, sizeof(id));
			shown[id] = true;
		}
	}
	for (uint32_t id = 0; id < COUNT; ++id) {
		if (shown[id] && id % 8)
			delete (&f, id);
	}
	cr_assert_eq(f.ops->maintain(f.backend, 10 * COUNT, &count, &f.err), SB_OK);
	for (uint32_t id = 0; id < COUNT; ++id)
		put(&f, id, 3, 80);
	cr_assert_eq(count_rest(&f, iter, 1), COUNT - SHOWN);
	f.ops->iter_close(iter);
	memory_close(&f);
	free(shown);
}

/* --- random operations against copies --- */

struct entry {
	uint32_t version; /* 0: not there */
	int64_t expiry_ms;
};

struct walk {
	sb_iter *iter;
	struct entry expected[IDS];
	bool seen[IDS];
};

struct pinned {
	sb_pin pin;
	uint32_t id, version;
};

struct model {
	struct memory_backend f;
	struct rng rng;
	uint32_t next_version;
	uint32_t iter_max, pin_max; /* of this stretch */
	struct entry entries[IDS];
	struct walk walks[ITERS];
	struct pinned pins[PINS];
	uint64_t seen_saved;
};

static uint32_t draw(struct model *m, uint32_t below)
{
	return (uint32_t)rng_below(&m->rng, below);
}

static uint64_t len_of(uint32_t id, uint32_t version)
{
	if (id % 89 == 0)
		return 8500 + version % 100; /* a block of its own */
	return id % 4 ? 80 : version % 120;
}

static void fill(uint8_t *value, uint32_t id, uint32_t version)
{
	memset(value, (int)(version % 251 + id % 3), len_of(id, version));
}

static bool value_is(sb_slice value, uint32_t id, uint32_t version)
{
	uint8_t expected[VALUE_BYTES_MAX];

	fill(expected, id, version);
	return value.len == len_of(id, version) && (!value.len || !memcmp(value.ptr, expected, value.len));
}

static void write_some(struct model *m)
{
	static uint8_t values[BATCH_MAX][VALUE_BYTES_MAX];
	const struct write_in_place with = {.ops = m->f.ops, .inplace = m->f.inplace, .backend = m->f.backend};
	uint32_t n = 1 + draw(m, BATCH_MAX), deletions = 2 + draw(m, 30), ids[BATCH_MAX];
	const char *failure = NULL;
	sb_op ops[BATCH_MAX];

	for (uint32_t i = 0; i < n; ++i) {
		struct entry *entry;

		ids[i] = draw(m, IDS);
		entry = &m->entries[ids[i]];
		ops[i] = (sb_op){.key = key_of(&ids[i]), .kind = SB_OP_DELETE};
		*entry = (struct entry){0, SB_NO_EXPIRY};
		if (draw(m, deletions) == 0)
			continue;
		entry->version = ++m->next_version;
		entry->expiry_ms = draw(m, 3) ? SB_NO_EXPIRY : m->f.horizon_ms + draw(m, 3000);
		if (draw(m, 100) == 0)
			entry->expiry_ms = INT64_C(1) << 60; /* more than a header has room for */
		fill(values[i], ids[i], entry->version);
		ops[i].kind = SB_OP_PUT;
		ops[i].value = (sb_slice){values[i], len_of(ids[i], entry->version)};
		ops[i].expiry_ms = entry->expiry_ms;
	}
	if (draw(m, 2))
		failure = write_in_place(&with, n, ops);
	else
		cr_assert_eq(m->f.ops->write_batch(m->f.backend, n, ops, &m->f.err), SB_OK);
	cr_assert_null(failure, "%s", failure);
}

static void pin_or_unpin(struct model *m)
{
	struct pinned *p = &m->pins[draw(m, PINS)];

	if (p->pin.found) {
		cr_assert(value_is(p->pin.value, p->id, p->version));
		m->f.ops->unpin(m->f.backend, 1, &p->pin);
		p->pin.found = 0;
	} else if (p < m->pins + m->pin_max) {
		p->id = draw(m, IDS);
		p->version = m->entries[p->id].version;
		p->pin = get(&m->f, p->id);
		cr_assert_eq(p->pin.found, p->version != 0);
	}
}

static void check_shown(struct walk *walk, const sb_entry *shown)
{
	uint32_t id;

	memcpy(&id, shown->key.ptr, sizeof(id));
	cr_assert(id < IDS && !walk->seen[id]);
	cr_assert(walk->expected[id].version && value_is(shown->value, id, walk->expected[id].version));
	cr_assert_eq(shown->expiry_ms, walk->expected[id].expiry_ms);
	walk->seen[id] = true;
}

static void open_walk(struct model *m, struct walk *walk)
{
	walk->iter = iter_open(&m->f);
	memcpy(walk->expected, m->entries, sizeof(m->entries));
	memset(walk->seen, 0, sizeof(walk->seen));
}

static void walk_on(struct model *m)
{
	struct walk *walk = &m->walks[draw(m, ITERS)];
	sb_entry entries[200];
	uint64_t count;

	if (!walk->iter) {
		if (walk < m->walks + m->iter_max)
			open_walk(m, walk);
		return;
	}
	m->seen_saved += m->f.backend->snapshot.saving == walk->iter && saved_bytes(&walk->iter->saved) > 0;
	cr_assert_eq(m->f.ops->iter_next(walk->iter, 1 + draw(m, 200), entries, &count, &m->f.err), SB_OK);
	for (uint64_t i = 0; i < count; ++i)
		check_shown(walk, &entries[i]);
	if (count && draw(m, 100))
		return;
	for (uint32_t id = 0; !count && id < IDS; ++id)
		cr_assert_eq(walk->seen[id], walk->expected[id].version != 0);
	m->f.ops->iter_close(walk->iter);
	walk->iter = NULL;
}

/* What is due may be gone or not; the model follows the backend. */
static void maintain(struct model *m)
{
	uint64_t purged;

	m->f.horizon_ms += draw(m, 100);
	cr_assert_eq(m->f.ops->maintain(m->f.backend, draw(m, 4000), &purged, &m->f.err), SB_OK);
	for (uint32_t id = 0; id < IDS; ++id) {
		struct entry *entry = &m->entries[id];
		sb_pin pin = get(&m->f, id);

		if (!pin.found && entry->expiry_ms != SB_NO_EXPIRY && entry->expiry_ms <= m->f.horizon_ms)
			*entry = (struct entry){0, SB_NO_EXPIRY};
		cr_assert_eq(pin.found, entry->version != 0);
		cr_assert(!pin.found || value_is(pin.value, id, entry->version));
		m->f.ops->unpin(m->f.backend, 1, &pin);
	}
}

Test(memory_walk, random_operations_agree_with_copies, .timeout = 300)
{
	uint64_t seed = rng_test_seed(4);
	struct model *m = calloc(1, sizeof(*m));

	fprintf(stderr, "memory_walk seed: SBHOST_TEST_SEED=%llu\n", (unsigned long long)seed);
	memory_open(&m->f, 0);
	m->f.horizon_ms = 0;
	rng_init(&m->rng, seed);
	for (uint32_t step = 0; step < 20000; ++step) {
		if (step % 500 == 0) {
			m->iter_max = 1 + draw(m, 4) / 2 * draw(m, ITERS);
			m->pin_max = draw(m, 2) * draw(m, PINS);
		}
		write_some(m);
		pin_or_unpin(m);
		walk_on(m);
		if (step % 50 == 0)
			maintain(m);
	}
	cr_assert_gt(m->seen_saved, 100); /* or it has tested something else */
	for (uint32_t i = 0; i < PINS; ++i)
		m->f.ops->unpin(m->f.backend, 1, &m->pins[i].pin);
	for (uint32_t i = 0; i < ITERS; ++i) {
		if (m->walks[i].iter)
			m->f.ops->iter_close(m->walks[i].iter);
	}
	memory_close(&m->f);
	free(m);
}
