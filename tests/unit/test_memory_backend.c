/* SPDX-License-Identifier: Apache-2.0
 *
 * test_memory_backend.c: what the memory backend promises beyond what the
 * conformance suite asks of every backend: stable iterators over a changing
 * table, memory given back, all or nothing under a memory limit, and records of every
 * form. The thread tests are in tests/tsan/memory_iter_race.c.
 *
 * SBHOST_TEST_SEED repeats a run of the model test; a failure prints its seed.
 */
#include "../../plugins/memory/probe.h"
#include "support/memory.h"

#include <sb_plugin.h>

#include <criterion/criterion.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int32_t put_expiring(struct memory_backend *f, sb_slice key, sb_slice value, int64_t expiry_ms)
{
	sb_op op = {.key = key, .value = value, .expiry_ms = expiry_ms, .kind = SB_OP_PUT};

	return f->ops->write_batch(f->backend, 1, &op, &f->err);
}

static sb_slice text(const char *bytes)
{
	return (sb_slice){(const uint8_t *)bytes, strlen(bytes)};
}

static void put(struct memory_backend *f, const char *key, const char *value)
{
	cr_assert_eq(put_expiring(f, text(key), text(value), SB_NO_EXPIRY), SB_OK);
}

static void delete_key(struct memory_backend *f, const char *key)
{
	sb_op op = {.key = text(key), .kind = SB_OP_DELETE};

	cr_assert_eq(f->ops->write_batch(f->backend, 1, &op, &f->err), SB_OK);
}

static sb_pin get(struct memory_backend *f, sb_slice key)
{
	sb_pin pin;

	cr_assert_eq(f->ops->multi_get(f->backend, 1, &key, &pin, &f->err), SB_OK);
	return pin;
}

static bool same(sb_slice a, sb_slice b)
{
	return a.len == b.len && (!a.len || !memcmp(a.ptr, b.ptr, a.len));
}

static bool holds(struct memory_backend *f, const char *key, const char *value)
{
	sb_pin pin = get(f, text(key));
	bool right = value ? pin.found && same(pin.value, text(value)) : !pin.found;

	f->ops->unpin(f->backend, 1, &pin);
	return right;
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

static uint64_t maintain(struct memory_backend *f, uint64_t budget)
{
	uint64_t purged;

	cr_assert_eq(f->ops->maintain(f->backend, budget, &purged, &f->err), SB_OK);
	return purged;
}

static sb_iter *iter_open(struct memory_backend *f, const char *lower, const char *upper)
{
	sb_iter_options range = {.struct_size = sizeof(range), .lower = text(lower), .upper = text(upper)};
	sb_iter *iter;

	cr_assert_eq(f->ops->iter_open(f->backend, &range, &iter, &f->err), SB_OK);
	return iter;
}

/* Entries i = 0 .. count - 1, all with one byte repeated as their value. */
static void put_many(struct memory_backend *f, uint32_t count, uint64_t value_len, uint8_t byte, int64_t expiry_ms)
{
	uint8_t *value = malloc(value_len + 1);

	memset(value, byte, value_len);
	for (uint32_t id = 0; id < count; ++id)
		cr_assert_eq(put_expiring(f, (sb_slice){(uint8_t *)&id, 4}, (sb_slice){value, value_len}, expiry_ms),
			     SB_OK, "%s", f->err.message);
	free(value);
}

static void delete_many(struct memory_backend *f, uint32_t first, uint32_t count)
{
	for (uint32_t id = first; id < first + count; ++id) {
		sb_op op = {.key = {(uint8_t *)&id, 4}, .kind = SB_OP_DELETE};

		cr_assert_eq(f->ops->write_batch(f->backend, 1, &op, &f->err), SB_OK);
	}
}

/* Counts what the iterator shows, all of which must have values of that byte. */
static uint64_t count_rest(struct memory_backend *f, sb_iter *iter, uint8_t byte)
{
	sb_entry entries[77];
	uint64_t count, total = 0;

	do {
		cr_assert_eq(f->ops->iter_next(iter, 77, entries, &count, &f->err), SB_OK);
		for (uint64_t i = 0; i < count; ++i) {
			cr_assert(entries[i].value.len);
			cr_assert_eq(entries[i].value.ptr[0], byte);
			cr_assert_eq(entries[i].value.ptr[entries[i].value.len - 1], byte);
		}
		total += count;
	} while (count);
	return total;
}

Test(memory_backend, both_probes_find_the_same_slots)
{
#if defined(__SSE2__)
	uint64_t seed = 1;

	for (int round = 0; round < 100000; ++round) {
		_Alignas(64) struct chunk chunk = {.passed = 0};

		for (uint32_t i = 0; i < CHUNK_SLOTS; ++i) {
			seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
			chunk.tags[i] = (uint8_t)(seed >> 62);
		}
		chunk.passed = chunk.reserved = 0x0101;
		for (uint8_t tag = 0; tag < 4; ++tag)
			cr_assert_eq(chunk_match_sse2(&chunk, tag), chunk_match_portable(&chunk, tag));
	}
#endif
}

Test(memory_backend, read_only_is_refused)
{
	struct memory_backend f = {.horizon_ms = INT64_MIN};

	cr_assert_eq(memory_try_open(&f, 0, SB_OPEN_READ_ONLY), SB_ERR_UNSUPPORTED);
	cr_assert(strstr(f.err.message, "read-only"));
}

Test(memory_backend, last_operation_of_a_key_counts)
{
	struct memory_backend f;

	memory_open(&f, 0);
	sb_op ops[] = {
		{.key = text("key1"), .value = text("a"), .kind = SB_OP_PUT},
		{.key = text("key1"), .kind = SB_OP_DELETE},
		{.key = text("key2"), .kind = SB_OP_DELETE},
		{.key = text("key2"), .value = text("b"), .kind = SB_OP_PUT},
		{.key = text("key2"), .value = text("c"), .kind = SB_OP_PUT},
	};
	cr_assert_eq(f.ops->write_batch(f.backend, 5, ops, &f.err), SB_OK);
	cr_assert(holds(&f, "key1", NULL) && holds(&f, "key2", "c"));
	memory_close(&f);
}

Test(memory_backend, batch_with_an_unknown_kind_changes_nothing)
{
	struct memory_backend f;

	memory_open(&f, 0);
	put(&f, "key1", "old");
	sb_op ops[] = {
		{.key = text("key1"), .value = text("new"), .kind = SB_OP_PUT},
		{.key = text("key2"), .value = text("new"), .kind = 7},
	};
	cr_assert_eq(f.ops->write_batch(f.backend, 2, ops, &f.err), SB_ERR_INVALID);
	cr_assert(holds(&f, "key1", "old") && holds(&f, "key2", NULL));
	memory_close(&f);
}

Test(memory_backend, batch_beyond_the_memory_limit_changes_nothing)
{
	const uint32_t count = 120000;
	uint32_t *ids = calloc(count, sizeof(*ids));
	sb_op *ops = calloc(count, sizeof(*ops));
	uint8_t value[200] = {2}, big[20000] = {2};
	struct memory_backend f;

	memory_open(&f, 24 << 20);
	put_many(&f, 1000, 200, 1, SB_NO_EXPIRY);
	for (uint32_t i = 0; i < count; ++i) {
		ids[i] = i;
		ops[i] = (sb_op){
			.key = {(uint8_t *)&ids[i], 4}, .value = {value, i % 10 ? 200 : 20000}, .kind = SB_OP_PUT};
		if (ops[i].value.len > 200)
			ops[i].value.ptr = big;
	}
	for (uint32_t n = count; n > 2000; n /= 2) {
		if (f.ops->write_batch(f.backend, n, ops, &f.err) == SB_OK)
			break;
		cr_assert_eq(f.err.code, SB_ERR_NO_MEMORY);
		cr_assert_eq(stat_of(&f, "entries"), 1000);
		sb_iter *iter = iter_open(&f, "", "");
		cr_assert_eq(count_rest(&f, iter, 1), 1000);
		f.ops->iter_close(iter);
	}
	memory_close(&f);
	free(ids);
	free(ops);
}

Test(memory_backend, entries_of_every_form_come_back)
{
	static const uint64_t key_lens[] = {1, 4, 20, 255, 256, 5000, 1 << 20};
	static const uint64_t value_lens[] = {0, 1, 80, 1008, 1024, 4000, 8100, 8192, 16384, 100000, 5000000};
	static const int64_t expiries[] = {SB_NO_EXPIRY,     1,		-5,	  1700000000123, (INT64_C(1) << 50) - 1,
					   INT64_C(1) << 50, INT64_MAX, INT64_MIN};
	uint8_t *key = malloc(1 << 20), *value = malloc(5000000);
	struct memory_backend f;

	memory_open(&f, 0);
	memset(key, 'k', 1 << 20);
	memset(value, 'v', 5000000);
	for (int round = 0; round < 2; ++round) {
		for (uint64_t i = 0; i < 7 * 11 * 8; ++i) {
			sb_slice k = {key, key_lens[i % 7]}, v = {value, value_lens[i / 7 % 11]};
			int64_t expiry_ms = expiries[i / 77];

			cr_assert_eq(put_expiring(&f, k, v, expiry_ms), SB_OK);
			sb_pin pin = get(&f, k);
			cr_assert(pin.found && same(pin.value, v));
			cr_assert_eq(pin.expiry_ms, expiry_ms);
			cr_assert_eq((uintptr_t)pin.value.ptr % 16, 0);
			f.ops->unpin(f.backend, 1, &pin);
		}
	}
	cr_assert_eq(stat_of(&f, "entries"), 7);
	memory_close(&f);
	free(key);
	free(value);
}

Test(memory_backend, pins_survive_overwrites)
{
	struct memory_backend f;

	memory_open(&f, 0);
	put(&f, "key1", "first");
	sb_pin first = get(&f, text("key1"));
	put(&f, "key1", "other");
	sb_pin second = get(&f, text("key1"));
	delete_key(&f, "key1");
	put(&f, "key1", "third");
	cr_assert(same(first.value, text("first")) && same(second.value, text("other")));
	f.ops->unpin(f.backend, 1, &first);
	put(&f, "key1", "after");
	cr_assert(same(second.value, text("other")));
	cr_assert(stat_of(&f, "retained_bytes") > 0);
	f.ops->unpin(f.backend, 1, &second);
	maintain(&f, 100);
	cr_assert_eq(stat_of(&f, "retained_bytes"), 0);
	cr_assert(holds(&f, "key1", "after"));
	memory_close(&f);
}

Test(memory_backend, pins_that_overlap_without_end_do_not_retain_without_end)
{
	struct memory_backend f;

	memory_open(&f, 0);
	put(&f, "key1", "value");
	sb_pin pin = get(&f, text("key1"));
	for (int i = 0; i < 10000; ++i) {
		put(&f, "key1", i % 2 ? "even" : "odd");
		sb_pin next = get(&f, text("key1"));
		f.ops->unpin(f.backend, 1, &pin);
		pin = next;
		cr_assert_lt(stat_of(&f, "retained_bytes"), 4096);
	}
	cr_assert(same(pin.value, text("even")));
	f.ops->unpin(f.backend, 1, &pin);
	memory_close(&f);
}

Test(memory_backend, iterator_shows_the_moment_it_was_opened)
{
	struct memory_backend f;

	memory_open(&f, 0);
	put_many(&f, 5000, 40, 1, SB_NO_EXPIRY);
	sb_iter *iter = iter_open(&f, "", "");
	put_many(&f, 20000, 40, 2, SB_NO_EXPIRY);
	delete_many(&f, 0, 3000);
	put_many(&f, 100, 9000, 3, SB_NO_EXPIRY);
	cr_assert_eq(count_rest(&f, iter, 1), 5000);
	f.ops->iter_close(iter);
	cr_assert_eq(stat_of(&f, "entries"), 17100);
	memory_close(&f);
}

Test(memory_backend, several_iterators_each_show_their_own_moment)
{
	enum { ITERS = 5 };
	sb_iter *iters[ITERS];
	struct memory_backend f;

	memory_open(&f, 0);
	for (uint8_t i = 0; i < ITERS; ++i) {
		put_many(&f, 1000u * (i + 1u), 24, i, SB_NO_EXPIRY);
		iters[i] = iter_open(&f, "", "");
	}
	delete_many(&f, 0, 1000 * ITERS);
	for (int i = ITERS - 1; i >= 0; i -= 2) {
		cr_assert_eq(count_rest(&f, iters[i], (uint8_t)i), 1000u * ((uint64_t)i + 1));
		f.ops->iter_close(iters[i]);
		maintain(&f, 100000);
	}
	for (int i = 1; i < ITERS; i += 2) {
		put_many(&f, 500, 24, 99, SB_NO_EXPIRY);
		cr_assert_eq(count_rest(&f, iters[i], (uint8_t)i), 1000u * ((uint64_t)i + 1));
		f.ops->iter_close(iters[i]);
	}
	memory_close(&f);
}

Test(memory_backend, iterator_keeps_within_its_bounds)
{
	sb_entry entries[10];
	struct memory_backend f;
	uint64_t count;

	memory_open(&f, 0);
	put(&f, "aaaa", "1");
	put(&f, "bbbb", "2");
	put(&f, "bbbbb", "3");
	put(&f, "cccc", "4");
	sb_iter *iter = iter_open(&f, "bbbb", "cccc");
	cr_assert_eq(f.ops->iter_next(iter, 10, entries, &count, &f.err), SB_OK);
	cr_assert_eq(count, 2);
	f.ops->iter_close(iter);
	memory_close(&f);
}

Test(memory_backend, closing_an_iterator_releases_what_it_retained)
{
	struct memory_backend f;

	memory_open(&f, 0);
	put_many(&f, 60000, 80, 1, SB_NO_EXPIRY);
	double before = stat_of(&f, "memory_bytes");
	sb_iter *iter = iter_open(&f, "", "");
	put_many(&f, 60000, 80, 2, SB_NO_EXPIRY);
	cr_assert(stat_of(&f, "retained_bytes") >= 60000 * 96);
	f.ops->iter_close(iter);
	for (int i = 0; i < 20; ++i)
		maintain(&f, 20000);
	cr_assert_eq(stat_of(&f, "retained_bytes"), 0);
	/* Free slabs may stay for the next time, but not as many as were needed. */
	cr_assert_lt(stat_of(&f, "memory_bytes"), before + (3 << 20));
	memory_close(&f);
}

Test(memory_backend, maintain_purges_up_to_the_horizon_only)
{
	struct memory_backend f;

	memory_open(&f, 0);
	cr_assert_eq(put_expiring(&f, text("due1"), text("v"), 1000), SB_OK);
	cr_assert_eq(put_expiring(&f, text("due2"), text("v"), 1001), SB_OK);
	cr_assert_eq(put_expiring(&f, text("late"), text("v"), 1002), SB_OK);
	put(&f, "ever", "v");
	cr_assert_eq(maintain(&f, 1000), 0);
	f.horizon_ms = 1001;
	cr_assert_eq(put_expiring(&f, text("due2"), text("renewed"), 5000), SB_OK);
	cr_assert_eq(maintain(&f, 1000), 1);
	cr_assert(holds(&f, "due1", NULL) && holds(&f, "due2", "renewed") && holds(&f, "late", "v") &&
		  holds(&f, "ever", "v"));
	f.horizon_ms = INT64_MAX;
	cr_assert_eq(maintain(&f, 1000) + maintain(&f, 1000), 2);
	cr_assert(holds(&f, "ever", "v"));
	cr_assert_eq(stat_of(&f, "purged"), 3);
	memory_close(&f);
}

Test(memory_backend, small_portions_of_upkeep_reach_every_entry)
{
	uint64_t purged = 0;
	struct memory_backend f;

	memory_open(&f, 0);
	put_many(&f, 5000, 30, 1, 77);
	f.horizon_ms = 77;
	for (int i = 0; i < 5000 && purged < 5000; ++i) {
		uint64_t step = maintain(&f, 10);

		cr_assert_leq(step, 10);
		purged += step;
	}
	cr_assert_eq(purged, 5000);
	cr_assert_eq(stat_of(&f, "entries"), 0);
	memory_close(&f);
}

Test(memory_backend, purging_spares_what_an_open_iterator_shows)
{
	struct memory_backend f;

	memory_open(&f, 0);
	put_many(&f, 3000, 30, 1, 77);
	sb_iter *iter = iter_open(&f, "", "");
	f.horizon_ms = 77;
	cr_assert_eq(maintain(&f, 100000), 3000);
	cr_assert_eq(count_rest(&f, iter, 1), 3000);
	f.ops->iter_close(iter);
	memory_close(&f);
}

Test(memory_backend, memory_shrinks_after_mass_deletions)
{
	struct memory_backend f;

	memory_open(&f, 0);
	put_many(&f, 200000, 80, 1, SB_NO_EXPIRY);
	double full = stat_of(&f, "memory_bytes");
	for (uint32_t id = 0; id < 200000; id += 10)
		delete_many(&f, id + 1, 9); /* leaves a tenth, spread over all slabs */
	for (int i = 0; i < 200; ++i)
		maintain(&f, 20000);
	cr_assert_lt(stat_of(&f, "memory_bytes"), full / 3);
	cr_assert_lt(stat_of(&f, "index_bytes"), 20000 * 24);
	sb_iter *iter = iter_open(&f, "", "");
	cr_assert_eq(count_rest(&f, iter, 1), 20000);
	f.ops->iter_close(iter);
	for (uint32_t id = 0; id < 200000; id += 10) {
		sb_pin pin = get(&f, (sb_slice){(uint8_t *)&id, 4});
		cr_assert(pin.found);
		f.ops->unpin(f.backend, 1, &pin);
	}
	memory_close(&f);
}

/* --- random operations against a model --- */

#define MODEL_KEYS 3000u
#define MODEL_ITERS 4
#define MODEL_PINS 16

struct model_entry {
	uint32_t version; /* 0: not there */
	int64_t expiry_ms;
};

struct model {
	struct memory_backend f;
	uint64_t seed;
	uint32_t next_version;
	struct model_entry entries[MODEL_KEYS];
	struct model_iter {
		sb_iter *iter;
		struct model_entry expected[MODEL_KEYS];
		bool seen[MODEL_KEYS];
	} iters[MODEL_ITERS];
	struct {
		sb_pin pin;
		uint32_t id, version;
	} pins[MODEL_PINS];
};

static uint64_t draw(struct model *m, uint64_t below)
{
	m->seed ^= m->seed << 13;
	m->seed ^= m->seed >> 7;
	m->seed ^= m->seed << 17;
	return (m->seed * UINT64_C(0x2545F4914F6CDD1D) >> 11) % below;
}

static uint64_t model_key(uint32_t id, uint8_t *key)
{
	uint64_t len = id % 50 ? 4 + id % 40 : 300;

	memset(key, (int)(id % 251), len);
	memcpy(key, &id, 4);
	return len;
}

static uint64_t model_value(uint32_t id, uint32_t version, uint8_t *value)
{
	uint64_t len = id % 61 == 0 ? 8100 + version % 200 : id % 5 ? 80 : version % 100;

	memset(value, (int)(version % 253), len);
	return len;
}

static bool value_is(sb_slice value, uint32_t id, uint32_t version)
{
	uint8_t expected[8400];

	return same(value, (sb_slice){expected, model_value(id, version, expected)});
}

static void model_write(struct model *m)
{
	static uint8_t keys[300][304], values[300][8400];
	uint64_t n = draw(m, 10) ? 1 + draw(m, 40) : 300, deletions = 2 + draw(m, 10);
	sb_op ops[300];

	for (uint64_t i = 0; i < n; ++i) {
		uint32_t id = (uint32_t)draw(m, MODEL_KEYS);
		struct model_entry *entry = &m->entries[id];

		ops[i] = (sb_op){.key = {keys[i], model_key(id, keys[i])}, .kind = SB_OP_DELETE};
		*entry = (struct model_entry){0, 0};
		if (draw(m, deletions) == 0)
			continue;
		entry->version = ++m->next_version;
		entry->expiry_ms = draw(m, 2) ? (int64_t)draw(m, 100000) : SB_NO_EXPIRY;
		ops[i].kind = SB_OP_PUT;
		ops[i].expiry_ms = entry->expiry_ms;
		ops[i].value = (sb_slice){values[i], model_value(id, entry->version, values[i])};
	}
	cr_assert_eq(m->f.ops->write_batch(m->f.backend, n, ops, &m->f.err), SB_OK);
}

static void model_pin(struct model *m)
{
	uint64_t i = draw(m, MODEL_PINS);
	uint8_t key[304];

	if (m->pins[i].pin.found)
		cr_assert(value_is(m->pins[i].pin.value, m->pins[i].id, m->pins[i].version));
	m->f.ops->unpin(m->f.backend, 1, &m->pins[i].pin);
	m->pins[i].pin.found = 0;
	if (draw(m, 3) == 0)
		return;
	m->pins[i].id = (uint32_t)draw(m, MODEL_KEYS);
	m->pins[i].version = m->entries[m->pins[i].id].version;
	m->pins[i].pin = get(&m->f, (sb_slice){key, model_key(m->pins[i].id, key)});
	cr_assert_eq(m->pins[i].pin.found != 0, m->pins[i].version != 0);
	if (m->pins[i].pin.found)
		cr_assert_eq(m->pins[i].pin.expiry_ms, m->entries[m->pins[i].id].expiry_ms);
}

static void model_check_entry(struct model_iter *it, const sb_entry *entry)
{
	uint8_t key[304];
	uint32_t id;

	memcpy(&id, entry->key.ptr, 4);
	cr_assert_lt(id, MODEL_KEYS);
	cr_assert(same(entry->key, (sb_slice){key, model_key(id, key)}));
	cr_assert(!it->seen[id] && it->expected[id].version);
	cr_assert(value_is(entry->value, id, it->expected[id].version));
	cr_assert_eq(entry->expiry_ms, it->expected[id].expiry_ms);
	it->seen[id] = true;
}

static void model_walk(struct model *m)
{
	struct model_iter *it = &m->iters[draw(m, MODEL_ITERS)];
	sb_entry entries[200];
	uint64_t count;

	if (!it->iter) {
		if (draw(m, 3))
			return;
		it->iter = iter_open(&m->f, "", "");
		memcpy(it->expected, m->entries, sizeof(m->entries));
		memset(it->seen, 0, sizeof(it->seen));
		return;
	}
	cr_assert_eq(m->f.ops->iter_next(it->iter, 1 + draw(m, 200), entries, &count, &m->f.err), SB_OK);
	for (uint64_t i = 0; i < count; ++i)
		model_check_entry(it, &entries[i]);
	if (count && draw(m, 60))
		return;
	for (uint32_t id = 0; !count && id < MODEL_KEYS; ++id)
		cr_assert_eq(it->seen[id], it->expected[id].version != 0);
	m->f.ops->iter_close(it->iter);
	it->iter = NULL;
}

/* What is due may be gone or not; the model follows the backend. */
static void model_maintain(struct model *m)
{
	m->f.horizon_ms += (int64_t)draw(m, 200);
	maintain(&m->f, draw(m, 2000));
	for (uint32_t id = 0; id < MODEL_KEYS; ++id) {
		struct model_entry *entry = &m->entries[id];
		uint8_t key[304];
		sb_pin pin = get(&m->f, (sb_slice){key, model_key(id, key)});

		if (entry->version && entry->expiry_ms != SB_NO_EXPIRY && entry->expiry_ms <= m->f.horizon_ms &&
		    !pin.found)
			*entry = (struct model_entry){0, 0};
		cr_assert_eq(pin.found != 0, entry->version != 0);
		if (pin.found)
			cr_assert(value_is(pin.value, id, entry->version));
		m->f.ops->unpin(m->f.backend, 1, &pin);
	}
}

Test(memory_backend, random_operations_agree_with_a_model, .timeout = 300)
{
	const char *given = getenv("SBHOST_TEST_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
	struct model *m = calloc(1, sizeof(*m));

	fprintf(stderr, "memory_backend model seed: SBHOST_TEST_SEED=%llu\n", (unsigned long long)seed);
	memory_open(&m->f, 0);
	m->f.horizon_ms = 0;
	m->seed = seed * 2 + 1;
	for (int step = 0; step < 12000; ++step) {
		model_write(m);
		model_pin(m);
		model_walk(m);
		if (step % 40 == 0)
			model_maintain(m);
	}
	for (int i = 0; i < MODEL_PINS; ++i)
		m->f.ops->unpin(m->f.backend, 1, &m->pins[i].pin);
	for (int i = 0; i < MODEL_ITERS; ++i) {
		if (m->iters[i].iter)
			m->f.ops->iter_close(m->iters[i].iter);
	}
	memory_close(&m->f);
	free(m);
}
