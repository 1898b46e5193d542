/* SPDX-License-Identifier: Apache-2.0
 *
 * test_memory_delta.c: marks and changes (sb.delta/1) of the memory backend. The oracle is the definition: the
 * content at a mark, with the changes applied in their order, is the content at changes_open. Content is what an
 * iterator shows, which other tests vouch for. The thread test is tests/tsan/memory_delta_race.c.
 *
 * SBHOST_TEST_SEED repeats a run of the random test; a failure prints its seed.
 */
#include "../../plugins/memory/backend.h"
#include "kit/write_in_place.h"
#include "support/memory.h"
#include "support/rng.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#define IDS 12000u
#define KEY_BYTES_MAX 300u
#define VALUE_BYTES_MAX 10000u
#define BATCH_MAX 400u

/* What a key has; hash 0: nothing. */
struct entry {
	uint64_t hash;
	int64_t expiry_ms;
};

struct content {
	struct entry entries[IDS];
};

/* --- keys and contents --- */

static sb_slice key_of(uint32_t id, uint8_t *buffer)
{
	uint64_t len = 4 + (id % 61 ? id % 23 : KEY_BYTES_MAX - 4); /* some too long for a slot */

	memset(buffer, (int)(id & 0xff), len);
	memcpy(buffer, &id, sizeof(id));
	return (sb_slice){buffer, len};
}

static uint32_t id_of(sb_slice key)
{
	uint8_t buffer[KEY_BYTES_MAX];
	sb_slice expected;
	uint32_t id;

	cr_assert_geq(key.len, sizeof(id));
	memcpy(&id, key.ptr, sizeof(id));
	cr_assert_lt(id, IDS);
	expected = key_of(id, buffer);
	cr_assert_eq(key.len, expected.len);
	cr_assert(!memcmp(key.ptr, buffer, key.len));
	return id;
}

static struct entry entry_of(sb_slice value, int64_t expiry_ms)
{
	uint64_t hash = UINT64_C(14695981039346656037) + value.len;

	for (uint64_t i = 0; i < value.len; ++i)
		hash = (hash ^ value.ptr[i]) * UINT64_C(1099511628211);
	return (struct entry){hash | 1, expiry_ms};
}

static void read_content(struct memory_backend *f, struct content *ret_content)
{
	sb_iter_options range = {.struct_size = sizeof(range)};
	sb_entry entries[100];
	uint64_t count;
	sb_iter *iter;

	memset(ret_content, 0, sizeof(*ret_content));
	cr_assert_eq(f->ops->iter_open(f->backend, &range, &iter, &f->err), SB_OK, "%s", f->err.message);
	do {
		cr_assert_eq(f->ops->iter_next(iter, 100, entries, &count, &f->err), SB_OK);
		for (uint64_t i = 0; i < count; ++i)
			ret_content->entries[id_of(entries[i].key)] = entry_of(entries[i].value, entries[i].expiry_ms);
	} while (count);
	f->ops->iter_close(iter);
}

static bool same_content(const struct content *a, const struct content *b)
{
	for (uint32_t id = 0; id < IDS; ++id) {
		if (a->entries[id].hash == b->entries[id].hash && a->entries[id].expiry_ms == b->entries[id].expiry_ms)
			continue;
		cr_log_error("id %u: hash %llx, wanted %llx", id, (unsigned long long)a->entries[id].hash,
			     (unsigned long long)b->entries[id].hash);
		return false;
	}
	return true;
}

/* --- writing --- */

static void put(struct memory_backend *f, uint32_t id, uint64_t value_len, uint8_t byte, int64_t expiry_ms)
{
	static uint8_t value[VALUE_BYTES_MAX];
	uint8_t key[KEY_BYTES_MAX];
	sb_op op = {.key = key_of(id, key), .value = {value, value_len}, .expiry_ms = expiry_ms, .kind = SB_OP_PUT};

	memset(value, byte, value_len);
	cr_assert_eq(f->ops->write_batch(f->backend, 1, &op, &f->err), SB_OK, "%s", f->err.message);
}

static void put_range(struct memory_backend *f, uint32_t first, uint32_t count, uint64_t value_len, uint8_t byte)
{
	for (uint32_t id = first; id < first + count; ++id)
		put(f, id, value_len, byte, SB_NO_EXPIRY);
}

static void delete_range(struct memory_backend *f, uint32_t first, uint32_t count)
{
	for (uint32_t id = first; id < first + count; ++id) {
		uint8_t key[KEY_BYTES_MAX];
		sb_op op = {.key = key_of(id, key), .kind = SB_OP_DELETE};

		cr_assert_eq(f->ops->write_batch(f->backend, 1, &op, &f->err), SB_OK);
	}
}

static uint64_t maintain(struct memory_backend *f, uint64_t budget)
{
	uint64_t purged;

	cr_assert_eq(f->ops->maintain(f->backend, budget, &purged, &f->err), SB_OK);
	return purged;
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

/* --- marks and walks --- */

static uint64_t mark(struct memory_backend *f)
{
	uint64_t number;

	cr_assert_eq(f->delta->mark(f->backend, &number, &f->err), SB_OK);
	return number;
}

static bool is_known(struct memory_backend *f, uint64_t number)
{
	sb_changes *changes;
	int32_t status = f->delta->changes_open(f->backend, number, &changes, &f->err);

	if (status == SB_OK)
		f->delta->changes_close(changes);
	else
		cr_assert_eq(status, SB_ERR_NOT_FOUND);
	return status == SB_OK;
}

static sb_changes *changes_open(struct memory_backend *f, uint64_t since)
{
	sb_changes *changes;

	cr_assert_eq(f->delta->changes_open(f->backend, since, &changes, &f->err), SB_OK, "%s", f->err.message);
	return changes;
}

struct tally {
	uint64_t puts, deletes;
};

/* One call of changes_next, applied to the content; false at the end. */
static bool walk_some(struct memory_backend *f, sb_changes *changes, uint64_t max, struct content *content,
		      struct tally *tally)
{
	sb_op ops[100];
	uint64_t count;

	cr_assert_leq(max, 100);
	cr_assert_eq(f->delta->changes_next(changes, max, ops, &count, &f->err), SB_OK);
	cr_assert_leq(count, max);
	for (uint64_t i = 0; i < count; ++i) {
		uint32_t id = id_of(ops[i].key);

		if (ops[i].kind == SB_OP_DELETE) {
			content->entries[id] = (struct entry){0, 0};
			tally->deletes++;
			continue;
		}
		cr_assert_eq(ops[i].kind, SB_OP_PUT);
		content->entries[id] = entry_of(ops[i].value, ops[i].expiry_ms);
		tally->puts++;
	}
	return count > 0;
}

static struct tally walk_and_close(struct memory_backend *f, sb_changes *changes, struct content *content)
{
	struct tally tally = {0, 0};

	while (walk_some(f, changes, 64, content, &tally))
		;
	f->delta->changes_close(changes);
	return tally;
}

static struct content *new_content(void)
{
	struct content *content = calloc(1, sizeof(*content));

	cr_assert(content);
	return content;
}

/* --- what one walk shows --- */

struct deltas {
	struct memory_backend f;
	struct content *base, *now;
	uint64_t mark;
};

/* Marks the present content. */
static void begin(struct deltas *d)
{
	d->base = new_content();
	d->now = new_content();
	read_content(&d->f, d->base);
	d->mark = mark(&d->f);
}

/* The changes up to now are right. */
static struct tally check(struct deltas *d)
{
	struct tally tally;

	read_content(&d->f, d->now);
	tally = walk_and_close(&d->f, changes_open(&d->f, d->mark), d->base);
	cr_assert(same_content(d->base, d->now));
	return tally;
}

static void end(struct deltas *d)
{
	memory_close(&d->f);
	free(d->base);
	free(d->now);
}

Test(memory_delta, walk_shows_what_changed_and_no_more)
{
	struct deltas d;
	struct tally tally;

	memory_open(&d.f, 0);
	put_range(&d.f, 0, 8000, 40, 1);
	begin(&d);
	for (int i = 0; i < 5; ++i)
		put_range(&d.f, 100, 10, 40, (uint8_t)(2 + i)); /* many times */
	put_range(&d.f, 9000, 2, 40, 1);
	delete_range(&d.f, 500, 3);
	delete_range(&d.f, 11000, 3); /* not there */
	tally = check(&d);
	cr_assert_eq(tally.puts, 12);
	cr_assert_eq(tally.deletes, 3);
	end(&d);
}

Test(memory_delta, walk_over_nothing_ends_at_once)
{
	struct deltas d;
	struct tally tally;

	memory_open(&d.f, 0);
	put_range(&d.f, 0, 100, 40, 1);
	begin(&d);
	tally = check(&d);
	cr_assert_eq(tally.puts + tally.deletes, 0);
	end(&d);
}

Test(memory_delta, keys_deleted_and_put_again_or_put_and_deleted_end_as_they_are)
{
	struct deltas d;

	memory_open(&d.f, 0);
	put_range(&d.f, 0, 1000, 40, 1);
	begin(&d);
	delete_range(&d.f, 0, 500);
	put_range(&d.f, 100, 200, 60, 2);
	put_range(&d.f, 2000, 500, 40, 2);
	delete_range(&d.f, 2100, 300);
	put_range(&d.f, 2200, 50, 20, 3);
	check(&d);
	end(&d);
}

/* The log, and so the checkpoint, follows what changed and not how often. */
Test(memory_delta, keys_that_come_and_go_all_the_time_do_not_fill_the_log)
{
	struct tally tally;
	struct deltas d;

	memory_open(&d.f, 0);
	put_range(&d.f, 0, 5000, 40, 1);
	begin(&d);
	for (int i = 0; i < 100; ++i) {
		delete_range(&d.f, 100, 200);
		put_range(&d.f, 100, 200, 40, (uint8_t)i);
		put_range(&d.f, 1000, 200, i % 2 ? 90 : 20, (uint8_t)i);
	}
	tally = check(&d);
	cr_assert_eq(tally.deletes, 200);
	cr_assert_leq(tally.puts, 400 + 50);
	cr_assert_leq(stat_of(&d.f, "logged_changes"), 1500);
	end(&d);
}

Test(memory_delta, values_that_move_between_sizes_and_blocks_are_found)
{
	struct deltas d;

	memory_open(&d.f, 0);
	put_range(&d.f, 0, 300, 40, 1);
	begin(&d);
	for (uint32_t id = 0; id < 300; ++id) {
		put(&d.f, id, 9000, 2, 5);
		put(&d.f, id, id % 3 ? id : 9500, 3, id % 2 ? -1 : 7); /* an expiry before 1970 needs a block, too */
	}
	check(&d);
	end(&d);
}

/* The log names places in slabs that have come back with slots of another size. */
Test(memory_delta, places_that_are_used_anew_are_no_trap)
{
	struct deltas d;

	memory_open(&d.f, 0);
	put_range(&d.f, 0, 2000, 40, 1);
	begin(&d);
	put_range(&d.f, 0, 1500, 500, 2);
	delete_range(&d.f, 0, 1500);
	put_range(&d.f, 3000, 400, 4000, 3);
	put_range(&d.f, 4000, 1000, 20, 4);
	check(&d);
	end(&d);
}

Test(memory_delta, walk_shows_the_moment_of_changes_open_whatever_comes_later)
{
	struct tally tally = {0, 0};
	struct deltas d;
	sb_changes *changes;

	memory_open(&d.f, 0);
	put_range(&d.f, 0, 4000, 40, 1);
	begin(&d);
	put_range(&d.f, 0, 1000, 40, 2);
	delete_range(&d.f, 1000, 500);
	put_range(&d.f, 4000, 500, 40, 2);
	read_content(&d.f, d.now);
	changes = changes_open(&d.f, d.mark);
	walk_some(&d.f, changes, 100, d.base, &tally);
	put_range(&d.f, 0, 2000, 40, 3); /* dirty ones, deleted ones and clean ones */
	delete_range(&d.f, 100, 3000);
	put_range(&d.f, 100, 200, 80, 4);
	walk_some(&d.f, changes, 100, d.base, &tally);
	put_range(&d.f, 5000, 6000, 40, 3);
	delete_range(&d.f, 0, 100);
	d.f.delta->release(d.f.backend, UINT64_MAX); /* the walk keeps its log */
	for (int i = 0; i < 20; ++i)
		maintain(&d.f, 1000);
	walk_and_close(&d.f, changes, d.base);
	cr_assert(same_content(d.base, d.now));
	end(&d);
}

/* The host holds pins while it writes, so that what dies meanwhile is kept though no walk wants it. */
Test(memory_delta, walk_passes_by_versions_that_pins_keep)
{
	struct deltas d;
	sb_changes *changes;
	sb_slice keys[2];
	uint8_t buffers[2][KEY_BYTES_MAX];
	sb_pin pins[2];

	memory_open(&d.f, 0);
	put_range(&d.f, 0, 1000, 40, 1);
	begin(&d);
	put_range(&d.f, 0, 100, 40, 2);
	read_content(&d.f, d.now);
	changes = changes_open(&d.f, d.mark);
	put_range(&d.f, 50, 100, 40, 3); /* from 100 on where they lie */
	keys[0] = key_of(60, buffers[0]);
	keys[1] = key_of(120, buffers[1]);
	cr_assert_eq(d.f.ops->multi_get(d.f.backend, 2, keys, pins, &d.f.err), SB_OK);
	put_range(&d.f, 50, 100, 40, 4);
	delete_range(&d.f, 0, 200);
	walk_and_close(&d.f, changes, d.base);
	cr_assert(same_content(d.base, d.now));
	d.f.ops->unpin(d.f.backend, 2, pins);
	end(&d);
}

Test(memory_delta, what_upkeep_moves_or_purges_is_in_the_changes)
{
	struct deltas d;

	memory_open(&d.f, 0);
	for (uint32_t id = 0; id < IDS; ++id)
		put(&d.f, id, 100, 1, id % 8 == 1 ? 1000 : SB_NO_EXPIRY);
	begin(&d);
	for (uint32_t id = 0; id < IDS; id += 8)
		delete_range(&d.f, id, 1);
	d.f.horizon_ms = 1000;
	for (int i = 0; i < 100; ++i)
		maintain(&d.f, 5000);
	cr_assert_eq(stat_of(&d.f, "entries"), IDS / 4 * 3);
	check(&d);
	end(&d);
}

Test(memory_delta, smallest_budget_purges_everything_in_the_end)
{
	struct deltas d;
	uint64_t purged = 0;

	memory_open(&d.f, 0);
	for (uint32_t id = 0; id < 500; ++id)
		put(&d.f, id, 100, 1, 1000);
	begin(&d);
	d.f.horizon_ms = 1000;
	for (int i = 0; i < 20000; ++i)
		purged += maintain(&d.f, 1);
	cr_assert_eq(purged, 500);
	cr_assert_eq(check(&d).deletes, 500);
	end(&d);
}

/* --- marks --- */

Test(memory_delta, marks_rise_and_are_found_until_released)
{
	uint64_t marks[5];
	struct memory_backend f;

	memory_open(&f, 0);
	for (int i = 0; i < 5; ++i) {
		marks[i] = mark(&f);
		cr_assert(!i || marks[i] > marks[i - 1]);
	}
	f.delta->release(f.backend, marks[2]);
	for (int i = 0; i < 5; ++i)
		cr_assert_eq(is_known(&f, marks[i]), i >= 2);
	cr_assert(!is_known(&f, marks[4] + 1));
	f.delta->release(f.backend, marks[4] + 1);
	cr_assert(!is_known(&f, marks[4]));
	cr_assert_gt(mark(&f), marks[4]);
	memory_close(&f);
}

/* Checkpoints that failed: their marks stay, and changes since the last good one must be complete. */
Test(memory_delta, changes_since_an_old_mark_go_through_all_later_ones)
{
	struct deltas d;
	struct tally tally;
	uint64_t later;

	memory_open(&d.f, 0);
	put_range(&d.f, 0, 8000, 40, 1);
	begin(&d);
	for (uint8_t i = 0; i < 10; ++i) {
		put_range(&d.f, i * 50u, 100, 40, 2 + i);
		delete_range(&d.f, 1000 + i * 20u, 30);
		put_range(&d.f, 1000 + i * 20u, 5, 40, i);
		later = mark(&d.f);
	}
	put_range(&d.f, 0, 10, 40, 99);
	tally = check(&d);
	cr_assert_eq(tally.puts, 550 + 10 * 5); /* once each, though most were written between two pairs of marks */
	/* Now that d.base is the present content: */
	d.mark = later;
	check(&d);
	end(&d);
}

Test(memory_delta, mark_is_forgotten_when_too_much_has_changed_and_the_next_one_works)
{
	struct deltas d;
	uint64_t first;

	memory_open(&d.f, 0);
	put_range(&d.f, 0, 100, 40, 1);
	first = mark(&d.f);
	put_range(&d.f, 100, 11000, 40, 1);
	cr_assert(!is_known(&d.f, first));
	cr_assert_eq(stat_of(&d.f, "log_bytes"), 0);
	begin(&d);
	put_range(&d.f, 0, 3000, 40, 2);
	check(&d);
	end(&d);
}

Test(memory_delta, marks_that_nobody_releases_are_bounded)
{
	struct memory_backend f;
	uint64_t first, last = 0;

	memory_open(&f, 0);
	first = mark(&f);
	for (uint32_t i = 0; i < 1000; ++i) {
		last = mark(&f);
		put(&f, i, 10, 1, SB_NO_EXPIRY);
	}
	cr_assert(!is_known(&f, first));
	cr_assert(is_known(&f, last));
	cr_assert_leq(stat_of(&f, "marks"), 100);
	memory_close(&f);
}

/* false: there is no memory for it. */
static bool try_put(struct memory_backend *f, uint32_t id, uint64_t value_len)
{
	static const uint8_t value[VALUE_BYTES_MAX];
	uint8_t key[KEY_BYTES_MAX];
	sb_op op = {.key = key_of(id, key), .value = {value, value_len}, .kind = SB_OP_PUT};
	int32_t status = f->ops->write_batch(f->backend, 1, &op, &f->err);

	cr_assert(status == SB_OK || status == SB_ERR_NO_MEMORY);
	return status == SB_OK;
}

Test(memory_delta, mark_is_forgotten_when_there_is_no_memory_for_its_log)
{
	struct memory_backend f;
	uint32_t long_key = 0;
	uint64_t number;

	memory_open(&f, 9 << 19);
	put_range(&f, 1, 50, 40, 1);
	while (long_key < IDS && try_put(&f, long_key, VALUE_BYTES_MAX))
		long_key += 61;
	while (long_key < IDS && try_put(&f, long_key, 0))
		long_key += 61;
	cr_assert_lt(long_key, IDS);
	delete_range(&f, long_key - 61, 1); /* which is room for a mark, but not for its log */
	number = mark(&f);
	cr_assert(is_known(&f, number));
	put_range(&f, 1, 50, 40, 2);
	cr_assert(!is_known(&f, number));
	memory_close(&f);
}

/* A write may need the memory that the log has: the marks go, the write succeeds. */
Test(memory_delta, log_never_makes_a_write_fail)
{
	struct memory_backend f, without;
	uint32_t id = 0, id_without = 0;
	uint64_t number;

	memory_open(&f, 8 << 20);
	memory_open(&without, 8 << 20);
	number = mark(&f);
	while (id < IDS && try_put(&f, id, 2000))
		id++;
	while (id_without < IDS && try_put(&without, id_without, 2000))
		id_without++;
	cr_assert_lt(id, IDS);
	cr_assert_eq(id, id_without);
	cr_assert(!is_known(&f, number));
	memory_close(&f);
	memory_close(&without);
}

/* After four million views the epochs begin anew. That is too many to open, so the test moves on the clock. */
Test(memory_delta, nothing_is_lost_when_epochs_begin_anew)
{
	struct deltas d;
	uint64_t first;
	sb_changes *changes, *other;

	memory_open(&d.f, 0);
	d.f.backend->arena.epoch = EPOCH_LAST - 3;
	put_range(&d.f, 0, 4000, 40, 1);
	put_range(&d.f, 0, 50, 9000, 1);
	first = mark(&d.f);
	changes = changes_open(&d.f, first);
	d.f.backend->arena.epoch = EPOCH_LAST;
	/* No epoch is left while the walk is open, neither for a mark nor for another walk. */
	cr_assert(!is_known(&d.f, mark(&d.f)));
	cr_assert_eq(d.f.delta->changes_open(d.f.backend, first, &other, &d.f.err), SB_ERR_BUSY);
	d.f.delta->changes_close(changes);
	begin(&d);
	cr_assert_lt(d.f.backend->arena.epoch, 10);
	cr_assert(!is_known(&d.f, first));
	put_range(&d.f, 10, 100, 40, 2); /* these have the last epochs on them */
	delete_range(&d.f, 0, 5);
	check(&d);
	end(&d);
}

/* --- everything at random --- */

#define MARKS 6
#define WALKS 3

struct marked {
	uint64_t number; /* 0: none */
	struct content content;
};

struct walking {
	sb_changes *changes; /* NULL: none */
	struct content content, expected;
};

struct run {
	struct memory_backend f;
	struct rng rng;
	struct marked marks[MARKS];
	struct walking walks[WALKS];
	sb_iter *iter;
	sb_pin pin;
	uint32_t ids; /* in use; grows and shrinks */
	unsigned delete_percent;
	uint64_t walked, forgotten;
};

static uint64_t random_len(struct rng *rng, uint32_t id)
{
	if (id % 97 == 0)
		return rng_below(rng, VALUE_BYTES_MAX);
	return id % 3 ? 40 : rng_below(rng, 300);
}

static void write_some(struct run *r)
{
	static uint8_t keys[BATCH_MAX][KEY_BYTES_MAX], values[BATCH_MAX][VALUE_BYTES_MAX];
	uint64_t n = rng_chance(&r->rng, 10) ? BATCH_MAX : 1 + rng_below(&r->rng, 60);
	sb_op batch[BATCH_MAX];

	for (uint64_t i = 0; i < n; ++i) {
		uint32_t id = (uint32_t)rng_below(&r->rng, r->ids);

		batch[i] = (sb_op){.key = key_of(id, keys[i]), .kind = SB_OP_DELETE};
		if (rng_chance(&r->rng, r->delete_percent))
			continue;
		batch[i].kind = SB_OP_PUT;
		batch[i].value = (sb_slice){values[i], random_len(&r->rng, id)};
		batch[i].expiry_ms = rng_chance(&r->rng, 30) ? 1 + (int64_t)rng_below(&r->rng, 100000) : SB_NO_EXPIRY;
		memset(values[i], (int)rng_next(&r->rng), batch[i].value.len);
	}
	if (rng_chance(&r->rng, 50)) {
		const struct write_in_place with = {
			.ops = r->f.ops, .inplace = r->f.ops->extension(SB_EXT_INPLACE), .backend = r->f.backend};
		const char *failure = write_in_place(&with, n, batch);

		cr_assert_null(failure, "%s", failure);
		return;
	}
	cr_assert_eq(r->f.ops->write_batch(r->f.backend, n, batch, &r->f.err), SB_OK);
}

static void mark_or_release(struct run *r)
{
	struct marked *at = &r->marks[rng_below(&r->rng, MARKS)];

	if (!at->number) {
		read_content(&r->f, &at->content);
		at->number = mark(&r->f);
		return;
	}
	if (!rng_chance(&r->rng, 40))
		return;
	r->f.delta->release(r->f.backend, at->number);
	for (int i = 0; i < MARKS; ++i) {
		if (r->marks[i].number < at->number)
			r->marks[i].number = 0;
	}
}

static void start_walk(struct run *r, struct walking *walk)
{
	struct marked *since = &r->marks[rng_below(&r->rng, MARKS)];
	int32_t status;

	if (!since->number)
		return;
	status = r->f.delta->changes_open(r->f.backend, since->number, &walk->changes, &r->f.err);
	if (status == SB_ERR_NOT_FOUND) {
		since->number = 0;
		r->forgotten++;
		return;
	}
	cr_assert_eq(status, SB_OK, "%s", r->f.err.message);
	walk->content = since->content;
	read_content(&r->f, &walk->expected);
}

static void walk_on(struct run *r)
{
	struct walking *walk = &r->walks[rng_below(&r->rng, WALKS)];
	struct tally tally = {0, 0};
	bool given_up = rng_chance(&r->rng, 1);

	if (!walk->changes) {
		start_walk(r, walk);
		return;
	}
	if (!given_up && walk_some(&r->f, walk->changes, 1 + rng_below(&r->rng, 100), &walk->content, &tally))
		return;
	if (!given_up)
		cr_assert(same_content(&walk->content, &walk->expected), "seed %llu", (unsigned long long)r->rng.seed);
	r->f.delta->changes_close(walk->changes);
	walk->changes = NULL;
	r->walked += !given_up;
}

static void look_otherwise(struct run *r)
{
	sb_iter_options range = {.struct_size = sizeof(range)};
	uint8_t buffer[KEY_BYTES_MAX];
	sb_slice key = key_of((uint32_t)rng_below(&r->rng, r->ids), buffer);

	if (rng_chance(&r->rng, 50)) {
		if (r->iter)
			r->f.ops->iter_close(r->iter);
		r->iter = NULL;
		if (rng_chance(&r->rng, 20))
			cr_assert_eq(r->f.ops->iter_open(r->f.backend, &range, &r->iter, &r->f.err), SB_OK);
		return;
	}
	r->f.ops->unpin(r->f.backend, 1, &r->pin);
	r->pin.found = 0;
	if (rng_chance(&r->rng, 20))
		cr_assert_eq(r->f.ops->multi_get(r->f.backend, 1, &key, &r->pin, &r->f.err), SB_OK);
}

static void change_phase(struct run *r)
{
	static const uint32_t ids[] = {300, 3000, IDS};

	r->ids = ids[rng_below(&r->rng, 3)];
	r->delete_percent = rng_chance(&r->rng, 30) ? 80 : 5 + (unsigned)rng_below(&r->rng, 40);
	r->f.horizon_ms = r->f.horizon_ms < 0 ? 0 : r->f.horizon_ms + (int64_t)rng_below(&r->rng, 5000);
}

static void run(uint64_t seed, uint64_t steps)
{
	struct run *r = calloc(1, sizeof(*r));

	cr_assert(r);
	rng_init(&r->rng, rng_test_seed(seed));
	memory_open(&r->f, 0);
	for (uint64_t i = 0; i < steps; ++i) {
		uint64_t what = rng_below(&r->rng, 100);

		if (i % 400 == 0)
			change_phase(r);
		if (what < 50)
			write_some(r);
		else if (what < 55)
			mark_or_release(r);
		else if (what < 85)
			walk_on(r);
		else if (what < 95)
			maintain(&r->f, 1 + rng_below(&r->rng, 3000));
		else
			look_otherwise(r);
	}
	if (r->iter)
		r->f.ops->iter_close(r->iter);
	r->f.ops->unpin(r->f.backend, 1, &r->pin);
	for (int i = 0; i < WALKS; ++i) {
		if (r->walks[i].changes)
			r->f.delta->changes_close(r->walks[i].changes);
	}
	memory_close(&r->f);
	cr_assert_gt(r->walked, 5, "seed %llu: %llu walked, %llu forgotten", (unsigned long long)r->rng.seed,
		     (unsigned long long)r->walked, (unsigned long long)r->forgotten);
	cr_log_info("seed %llu: %llu walked, %llu forgotten", (unsigned long long)r->rng.seed,
		    (unsigned long long)r->walked, (unsigned long long)r->forgotten);
	free(r);
}

Test(memory_delta, changes_lead_from_the_content_of_any_mark_to_that_of_changes_open)
{
	for (uint64_t seed = 1; seed <= 4; ++seed)
		run(seed, 6000);
}
