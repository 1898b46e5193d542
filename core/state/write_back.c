/* From the working set to the backend: eviction and flush.
 *
 * Operations go in batches, in key order when the backend is ordered: RocksDB's memtable
 * takes a sorted batch three to four times as fast as an unsorted one. */
#include <stdlib.h>

#include "base/error.h"
#include "base/slice.h"
#include "state/keyed_state_private.h"

#define WRITE_OPS 4096u
#define HELD_BYTES ((uint64_t)64 << 20)

static int32_t reserve_writes(struct keyed_state *ks, uint64_t n, sb_error *err)
{
	struct entry **entries;
	sb_op *ops;

	if (!ks->write_ops) {
		ops = malloc(WRITE_OPS * sizeof(*ops));
		if (!ops)
			return error_no_memory(err);
		ks->write_ops = ops;
	}
	if (n <= ks->write_cap)
		return SB_OK;
	n = n < WRITE_OPS ? WRITE_OPS : n + n / 2;
	entries = realloc(ks->write_entries, n * sizeof(*entries));
	if (!entries)
		return error_no_memory(err);
	ks->write_entries = entries;
	ks->write_cap = n;
	return SB_OK;
}

static int compare_keys(const void *a, const void *b)
{
	return slice_compare(entry_key(*(struct entry *const *)a), entry_key(*(struct entry *const *)b));
}

static sb_op op_of(const struct entry *entry)
{
	if (!(entry->flags & ENTRY_PRESENT))
		return (sb_op){.kind = SB_OP_DELETE, .key = entry_key(entry)};
	return (sb_op){
		.kind = SB_OP_PUT, .key = entry_key(entry), .value = entry_value(entry), .expiry_ms = entry->expiry_ms};
}

/* Writes write_entries[0..n), all dirty, and marks them clean. */
static int32_t write_entries(struct keyed_state *ks, uint64_t n, sb_error *err)
{
	struct instance *backend = ks->config.backend;

	if (n)
		write_hold_wait(ks->config.hold);
	if (backend->component->flags & SB_BACKEND_ORDERED)
		qsort(ks->write_entries, n, sizeof(*ks->write_entries), compare_keys);
	for (uint64_t done = 0; done < n;) {
		uint64_t count = n - done < WRITE_OPS ? n - done : WRITE_OPS;
		int32_t status;

		for (uint64_t i = 0; i < count; i++)
			ks->write_ops[i] = op_of(ks->write_entries[done + i]);
		instance_expect(err);
		status = ks->ops->write_batch(backend->backend, count, ks->write_ops, err);
		if (status != SB_OK)
			return instance_fault(backend, "write_batch", status, err);
		for (uint64_t i = 0; i < count; i++)
			working_set_mark_clean(&ks->set, ks->write_entries[done + i]);
		done += count;
		ks->stats.written_back += count;
	}
	return SB_OK;
}

static uint64_t collect_dirty(struct keyed_state *ks, enum dirty_kind kind, uint64_t n)
{
	for (struct entry *entry = ks->set.dirty[kind].first; entry; entry = entry->dirty_next)
		ks->write_entries[n++] = entry;
	return n;
}

int32_t write_back_all(struct keyed_state *ks, sb_error *err)
{
	uint64_t n;

	TRY(reserve_writes(ks, working_set_dirty_count(&ks->set), err));
	n = collect_dirty(ks, DIRTY_RAW, collect_dirty(ks, DIRTY_STRUCT, 0));
	return n ? write_entries(ks, n, err) : SB_OK;
}

int32_t write_back_raw(struct keyed_state *ks, sb_error *err)
{
	uint64_t n;

	TRY(reserve_writes(ks, ks->set.dirty[DIRTY_RAW].count, err));
	n = collect_dirty(ks, DIRTY_RAW, 0);
	return n ? write_entries(ks, n, err) : SB_OK;
}

/* Takes clean victims out at once and collects dirty ones, up to WRITE_OPS of them, until the set without them fits target. */
static uint64_t collect_victims(struct keyed_state *ks, uint64_t target)
{
	uint64_t dirty = 0, leaving_bytes = 0;
	struct entry *victim;

	while (dirty < WRITE_OPS && ks->set.bytes > target + leaving_bytes &&
	       (victim = working_set_next_victim(&ks->set))) {
		if (!(victim->flags & ENTRY_DIRTY)) {
			working_set_remove(&ks->set, victim);
			continue;
		}
		victim->flags |= ENTRY_LEAVING;
		leaving_bytes += working_set_entry_bytes(victim);
		ks->write_entries[dirty++] = victim;
	}
	return dirty;
}

/* An eighth more than is needed goes at once, so that the next batches find room. A table that is over the
 * budget all by itself ends the loop with an empty set. */
static int32_t shrink_to_budget(struct keyed_state *ks, sb_error *err)
{
	uint64_t target = ks->config.cache_bytes - ks->config.cache_bytes / 8;

	TRY(reserve_writes(ks, WRITE_OPS, err));
	while (ks->set.bytes > target && ks->set.count) {
		uint64_t dirty = collect_victims(ks, target);

		TRY(write_entries(ks, dirty, err));
		for (uint64_t i = 0; i < dirty; i++)
			working_set_remove(&ks->set, ks->write_entries[i]);
	}
	return SB_OK;
}

/* While writes are held back entries stay, over the budget, too, up to a bound. */
static bool may_put_off(const struct keyed_state *ks)
{
	return write_hold_is_set(ks->config.hold) && ks->set.bytes <= 2 * ks->config.cache_bytes + HELD_BYTES;
}

int32_t write_back_evict(struct keyed_state *ks, sb_error *err)
{
	if (may_put_off(ks))
		return SB_OK;
	if (ks->config.cache_bytes == 0) {
		TRY(write_back_all(ks, err));
		working_set_clear(&ks->set);
		return SB_OK;
	}
	return ks->set.bytes > ks->config.cache_bytes ? shrink_to_budget(ks, err) : SB_OK;
}
