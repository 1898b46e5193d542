/* From the working set to the backend: eviction, flush, and the thaw after a barrier.
 *
 * Operations go in batches, each in key order when the backend is ordered: RocksDB's memtable takes a sorted batch three to four
 * times as fast as an unsorted one. What is written from the lists comes key group by key group,
 * so only what one batch has of a group is left to sort. A thaw, whose slices are small, sorts some thousands ahead on their list: then each slice goes
 * on in the memtable where the last one ended.
 *
 * Between keyed_state_freeze and keyed_state_release the backend is on its way to the content that it had at the barrier: what is
 * frozen may be written at any time and in any order, what is dirty may not. Eviction then takes what is clean or frozen.
 * Copies of frozen entries come on top of the budget, up to a bound, since what they stand for is in use. Where neither
 * suffices the thaw goes on at once: the batches wait for it, and memory stays bounded. */
#include <stdlib.h>

#include "base/error.h"
#include "base/slice.h"
#include "state/keyed_state_private.h"

#define WRITE_OPS 4096u
#define SORT_ENTRIES 8192u /* a millisecond's work */
#define OVER_BYTES ((uint64_t)64 << 20) /* and a quarter of the budget */
#define SHRINK_ROUNDS 2u
/* How many slots a batch looks at for room while what is dirty must stay: when few entries may go, looking for them would take longer
 * than making more. */
#define SEALED_STEPS (4 * WRITE_OPS)

static int32_t reserve_writes(struct keyed_state *ks, sb_error *err)
{
	if (!ks->write_ops)
		ks->write_ops = malloc(WRITE_OPS * sizeof(*ks->write_ops));
	if (!ks->writes)
		ks->writes = malloc(WRITE_OPS * sizeof(*ks->writes));
	return ks->write_ops && ks->writes ? SB_OK : error_no_memory(err);
}

static sb_op op_of(const struct entry *entry)
{
	if (!(entry->flags & ENTRY_PRESENT))
		return (sb_op){.kind = SB_OP_DELETE, .key = entry_key(entry)};
	return (sb_op){
		.kind = SB_OP_PUT, .key = entry_key(entry), .value = entry_value(entry), .expiry_ms = entry->expiry_ms};
}

static uint32_t group_of(const struct ordered_entry *write)
{
	return composed_key_group(entry_key(write->entry));
}

/* Entries of one group that stand together. */
static void sort_groups(struct ordered_entry *writes, uint64_t n)
{
	uint64_t begin = 0;

	for (uint64_t i = 1; i <= n; i++) {
		if (i < n && group_of(&writes[i]) == group_of(&writes[begin]))
			continue;
		key_order_sort(writes + begin, i - begin);
		begin = i;
	}
}

/* Writes writes[0..n), all changed, and marks them clean. */
static int32_t write_entries(struct keyed_state *ks, uint64_t n, sb_error *err)
{
	struct instance *backend = ks->config.backend;
	int32_t status;

	if (n == 0)
		return SB_OK;
	write_hold_wait(ks->config.hold);
	for (uint64_t i = 0; i < n; i++)
		ks->write_ops[i] = op_of(ks->writes[i].entry);
	status = CALL_PLUGIN(&backend->calls, "write_batch", err,
			     ks->ops->write_batch(backend->backend, n, ks->write_ops, err));
	if (status != SB_OK)
		return instance_fault(backend, "write_batch", status, err);
	for (uint64_t i = 0; i < n; i++)
		working_set_mark_clean(&ks->set, ks->writes[i].entry);
	ks->stats.written_back += n;
	return SB_OK;
}

/* Up to max entries from the lists *list to end; *list moves on to where the next ones are. */
static uint64_t gather(struct keyed_state *ks, const struct change_set *changes, uint32_t *list, uint32_t end,
		       uint64_t max)
{
	uint64_t n = 0;

	for (; *list < end; ++*list) {
		for (struct entry *entry = changes->lists[*list].first; entry; entry = entry->changed_next) {
			if (n == max)
				return n;
			__builtin_prefetch(entry->changed_next);
			__builtin_prefetch((const uint8_t *)entry->changed_next + 64);
			ks->writes[n++].entry = entry;
		}
	}
	return n;
}

/* Writes up to max (<= WRITE_OPS) entries from the lists *list to end. */
static int32_t write_lists(struct keyed_state *ks, const struct change_set *changes, uint32_t *list, uint32_t end,
			   uint64_t max, sb_error *err)
{
	uint64_t n = gather(ks, changes, list, end, max);

	if (ks->config.backend->component->flags & SB_BACKEND_ORDERED)
		sort_groups(ks->writes, n);
	return write_entries(ks, n, err);
}

int32_t write_back_all(struct keyed_state *ks, sb_error *err)
{
	const struct change_set *dirty = working_set_dirty(&ks->set);
	uint32_t list = 0;

	TRY(reserve_writes(ks, err));
	while (dirty->count)
		TRY(write_lists(ks, dirty, &list, ks->set.list_count, WRITE_OPS, err));
	return SB_OK;
}

int32_t write_back_raw(struct keyed_state *ks, uint32_t key_group, sb_error *err)
{
	const struct change_set *changes = ks->sealed ? working_set_frozen(&ks->set) : working_set_dirty(&ks->set);
	uint32_t list = changed_list_index(key_group, CHANGED_RAW);
	const uint32_t end = list + 1;

	TRY(reserve_writes(ks, err));
	while (list < end)
		TRY(write_lists(ks, changes, &list, end, WRITE_OPS, err));
	return SB_OK;
}

/* Something is frozen. */
static int32_t sort_ahead(struct keyed_state *ks, sb_error *err)
{
	struct changed_list *lists = ks->set.changes[~ks->set.epoch & 1].lists;

	if (!(ks->config.backend->component->flags & SB_BACKEND_ORDERED)) {
		ks->thaw_sorted = working_set_frozen(&ks->set)->count;
		return SB_OK;
	}
	if (!ks->sort_scratch)
		ks->sort_scratch = malloc(SORT_ENTRIES * sizeof(*ks->sort_scratch));
	if (!ks->sort_scratch)
		return error_no_memory(err);
	while (!lists[ks->thaw_list].first)
		ks->thaw_list++;
	ks->thaw_sorted = key_order_sort_list(&lists[ks->thaw_list], ks->sort_scratch, SORT_ENTRIES);
	return SB_OK;
}

int32_t write_back_thaw(struct keyed_state *ks, uint64_t max, sb_error *err)
{
	const struct change_set *frozen = working_set_frozen(&ks->set);

	TRY(reserve_writes(ks, err));
	while (frozen->count && max) {
		uint64_t n = max < WRITE_OPS ? max : WRITE_OPS;

		if (ks->thaw_sorted == 0)
			TRY(sort_ahead(ks, err));
		n = n < ks->thaw_sorted ? n : ks->thaw_sorted;
		ks->thaw_sorted -= n;
		max -= n;
		TRY(write_entries(ks, gather(ks, frozen, &ks->thaw_list, ks->set.list_count, n), err));
	}
	return SB_OK;
}

static uint64_t own_bytes(const struct keyed_state *ks)
{
	return ks->set.bytes - ks->set.copy_bytes;
}

/* Takes clean victims out at once and collects changed ones, up to WRITE_OPS of them, until the set without them fits target. */
static uint64_t collect_victims(struct keyed_state *ks, uint64_t target, uint64_t *steps)
{
	const uint32_t spare = ENTRY_LEAVING | (ks->sealed ? working_set_dirty_flag(&ks->set) : 0);
	uint64_t changed = 0, leaving_bytes = 0;
	struct entry *victim;

	while (changed < WRITE_OPS && own_bytes(ks) > target + leaving_bytes &&
	       (victim = working_set_next_victim(&ks->set, spare, steps))) {
		if (!(victim->flags & ENTRY_CHANGED)) {
			if (victim->flags & ENTRY_PRESENT)
				ks->complete = false;
			working_set_remove(&ks->set, victim);
			continue;
		}
		victim->flags |= ENTRY_LEAVING;
		leaving_bytes += working_set_entry_bytes(victim);
		ks->writes[changed++].entry = victim;
	}
	return changed;
}

/* By how much copies, or writes that are held back, may outgrow the budget: seconds of new entries. Whoever
 * fills that faster waits for a backend that is behind anyway, and more memory would only put it off. */
static uint64_t bytes_over(const struct keyed_state *ks)
{
	return ks->config.cache_bytes / 4 + OVER_BYTES;
}

/* The most that writes which are held back, or frozen, may make of the set. */
static uint64_t bytes_max(const struct keyed_state *ks)
{
	return ks->config.cache_bytes + bytes_over(ks);
}

/* How often WRITE_OPS entries may be evicted behind one batch. What grew while writes were held back would take seconds all at
 * once; several times what a batch adds wins the race as well. */
static uint64_t rounds_per_batch(const struct keyed_state *ks)
{
	return ks->set.bytes > bytes_max(ks) ? UINT64_MAX : SHRINK_ROUNDS;
}

/* Once begun it goes on, batch by batch, until an eighth of the budget is free, so that victims come in numbers that are worth
 * sorting. A table that is over the budget all by itself ends the loop with an empty set, and is made smaller. */
static int32_t shrink_to_budget(struct keyed_state *ks, sb_error *err)
{
	uint64_t target = ks->config.cache_bytes - ks->config.cache_bytes / 8;
	uint64_t steps = SEALED_STEPS;

	TRY(reserve_writes(ks, err));
	for (uint64_t rounds = rounds_per_batch(ks); rounds && own_bytes(ks) > target && ks->set.count && steps;
	     rounds--) {
		uint64_t changed;

		if (!ks->sealed)
			steps = 2 * (ks->set.mask + 1);
		changed = collect_victims(ks, target, &steps);
		if (ks->config.backend->component->flags & SB_BACKEND_ORDERED)
			key_order_sort(ks->writes, changed);
		TRY(write_entries(ks, changed, err));
		ks->complete = ks->complete && changed == 0;
		for (uint64_t i = 0; i < changed; i++)
			working_set_remove(&ks->set, ks->writes[i].entry);
	}
	ks->shrinking = own_bytes(ks) > target && ks->set.count;
	if (!ks->shrinking)
		working_set_trim(&ks->set);
	return SB_OK;
}

/* While writes are held back entries stay, over the budget, too, up to a bound. But where struct states are changed in place
 * nothing stays: a barrier must find nothing to freeze, because there is no holding back what is changed after it. */
static bool may_put_off(const struct keyed_state *ks)
{
	return !ks->in_place.ops && write_hold_is_set(ks->config.hold) && ks->set.bytes <= bytes_max(ks);
}

static int32_t evict_while_sealed(struct keyed_state *ks, sb_error *err)
{
	const uint64_t budget = ks->config.cache_bytes;

	if (budget && own_bytes(ks) > budget)
		TRY(shrink_to_budget(ks, err));
	if (own_bytes(ks) > budget || ks->set.copy_bytes > bytes_over(ks))
		TRY(write_back_thaw(ks, WRITE_OPS, err));
	return SB_OK;
}

int32_t write_back_evict(struct keyed_state *ks, sb_error *err)
{
	if (ks->sealed)
		return evict_while_sealed(ks, err);
	if (may_put_off(ks))
		return SB_OK;
	if (ks->config.cache_bytes == 0) {
		TRY(write_back_all(ks, err));
		ks->complete = false;
		working_set_clear(&ks->set);
		return SB_OK;
	}
	return ks->shrinking || ks->set.bytes > ks->config.cache_bytes ? shrink_to_budget(ks, err) : SB_OK;
}
