/* SPDX-License-Identifier: Apache-2.0
 *
 * maintain.c: upkeep in small portions: what has expired goes, what was retained
 * and is not needed any more is given back, sparse slabs are emptied into others, and the
 * index shrinks after mass deletions. And the figures.
 *
 * The sweep walks slabs in the order of their memory with a cursor that outlives the
 * call. A slab knows a lower bound of its records' expiries, so one in which nothing
 * can have expired costs one look at its descriptor.
 */
#include "backend.h"
#include "error.h"

/* Entries' worth of work for each record that compaction moves: it probes the index. */
#define MOVE_COST 4u
/* Less free memory than that is not worth a move: a move counts as a change, and would fill the deltas of a small
 * state with entries that nobody has written. */
#define COMPACT_BYTES_MIN (UINT64_C(1) << 20)

static void spend(uint64_t *budget, uint64_t cost)
{
	*budget -= cost < *budget ? cost : *budget;
}

static bool slab_in_use(const struct slab *slab)
{
	return atomic_load_explicit(&slab->born, memory_order_relaxed) != BORN_NEVER;
}

/* --- expiry --- */

static void purge(sb_backend *backend, sb_slice key)
{
	struct place place;

	if (!table_find(&backend->table, table_hash(&backend->table, key), key, &place))
		return;
	backend_remove(backend, &place);
	backend->purged++;
}

/* From the cursor to the end of its slab; true when it got there. */
static bool sweep_slab(sb_backend *backend, uint32_t id, int64_t horizon_ms, uint64_t *budget)
{
	struct slab *slab = arena_slab(&backend->arena, id);

	if (backend->sweep_slot == 0) {
		/* Nothing is touched without budget: an earliest expiry that was reset and not found again would hide the slab. */
		if (!*budget)
			return false;
		if (slab->min_expiry_ms > horizon_ms)
			return true;
		slab->min_expiry_ms = INT64_MAX; /* found out anew on the way */
	}
	for (; backend->sweep_slot < slab->used; ++backend->sweep_slot) {
		const struct record *record =
			arena_at(&backend->arena, slab_ref(id, backend->sweep_slot * slab->stride));
		uint32_t state = record_state(record);
		sb_entry entry;

		if (!*budget)
			return false;
		spend(budget, 1);
		if (!state_is_live(state))
			continue;
		entry = record_entry(record, state);
		if (entry.expiry_ms == SB_NO_EXPIRY)
			continue;
		if (entry.expiry_ms > horizon_ms) {
			if (entry.expiry_ms < slab->min_expiry_ms)
				slab->min_expiry_ms = entry.expiry_ms;
			continue;
		}
		purge(backend, entry.key);
		if (!slab_in_use(slab))
			return true; /* that was its last record, and its memory is gone */
	}
	return true;
}

/* --- compaction --- */

/* Worth it when the slab is at most three quarters full and its class has an eighth of its slots
 * free: a slot won costs at most three moves, and what iterators leave behind does not add up. */
static bool is_sparse(const sb_backend *backend, uint32_t id)
{
	const struct slab *slab = arena_slab(&backend->arena, id);
	const struct slab_class *cls = &backend->arena.classes[slab->class];

	return slab->taken && slab->taken <= slab->slot_count / 4 * 3 && slab->list_epoch >= cls->ready_since &&
	       cls->ready_free > cls->slot_total / 8 + cls->floor + slab->slot_count &&
	       (uint64_t)cls->ready_free * class_bytes(slab->class) >= COMPACT_BYTES_MIN &&
	       !backend->snapshot.pin_count && !arena_is_sealed(&backend->arena, id);
}

static void move_record(sb_backend *backend, uint32_t from, uint32_t class)
{
	struct record *old = arena_at(&backend->arena, from), *new;
	sb_slice key = record_entry(old, record_state(old)).key;
	struct place place;
	uint32_t to, epoch_before;

	if (!table_find(&backend->table, table_hash(&backend->table, key), key, &place))
		return;
	to = arena_take(&backend->arena, class, &epoch_before);
	new = arena_at(&backend->arena, to);
	memcpy(record_bytes_at(new, RECORD_KEY_OFFSET), record_bytes_at(old, RECORD_KEY_OFFSET),
	       class_bytes(class) - RECORD_KEY_OFFSET);
	new->packed = old->packed;
	/* For whoever logs changes this is one (delta.h), and for an open view, which does not look here, it is none of its
	 * records (snapshot_lets_write). */
	record_set_state(new, state_live(backend->arena.epoch, record_state(old) & KEY_MASK));
	delta_written(&backend->delta, to, epoch_before);
	place_set_ref(&place, to);
	if (arena_slab(&backend->arena, ref_slab(from))->min_expiry_ms <
	    arena_slab(&backend->arena, ref_slab(to))->min_expiry_ms)
		arena_slab(&backend->arena, ref_slab(to))->min_expiry_ms =
			arena_slab(&backend->arena, ref_slab(from))->min_expiry_ms;
	/* A handle's block has moved along: make the old slot an ordinary one. */
	record_set_state(old, STATE_DEAD | state_live(backend->arena.epoch, 1));
}

/* Empties a slab into the others of its class. */
static void compact(sb_backend *backend, uint32_t id, uint64_t *budget)
{
	struct arena *arena = &backend->arena;
	struct slab *slab = arena_slab(arena, id);
	uint32_t taken = slab->taken, used = slab->used, stride = slab->stride;
	bool dead = false;

	for (uint32_t slot = 0; slot < used; ++slot)
		dead |= (record_state(arena_at(arena, slab_ref(id, slot * stride))) & STATE_DEAD) != 0;
	spend(budget, used / MOVE_COST + taken * MOVE_COST);
	if (dead)
		return; /* limbo names its records by where they lie */
	arena_withdraw(arena, id);
	for (uint32_t slot = 0; slot < used; ++slot) {
		uint32_t ref = slab_ref(id, slot * stride);

		if (state_is_live(record_state(arena_at(arena, ref))))
			move_record(backend, ref, slab->class);
	}
	arena_restore(arena, id);
	for (uint32_t slot = 0; slot < used && slab_in_use(slab); ++slot) {
		uint32_t ref = slab_ref(id, slot * stride);

		if (record_state(arena_at(arena, ref)) & STATE_DEAD)
			arena_give(arena, ref);
	}
}

/* --- the round --- */

static void visit_slabs(sb_backend *backend, uint64_t budget)
{
	int64_t horizon_ms = backend->host->expiry_horizon_ms(backend->host);
	uint32_t end = arena_slab_end(&backend->arena);

	for (uint32_t visited = 0; budget && visited <= end; ++visited) {
		uint32_t id = backend->sweep_slab;

		if (id >= end) {
			backend->sweep_slab = backend->sweep_slot = 0;
			continue;
		}
		if (slab_in_use(arena_slab(&backend->arena, id))) {
			if (!sweep_slab(backend, id, horizon_ms, &budget))
				return;
		}
		spend(&budget, 1); /* only now, so that a budget of one gets on, too */
		backend->sweep_slab++;
		backend->sweep_slot = 0;
		if (!slab_in_use(arena_slab(&backend->arena, id)))
			continue;
		if (!arena_slab(&backend->arena, id)->taken)
			arena_release_slab(&backend->arena, id);
		else if (is_sparse(backend, id))
			compact(backend, id, &budget);
	}
}

int32_t backend_maintain(sb_backend *backend, uint64_t budget, uint64_t *ret_purged, sb_error *err)
{
	uint64_t before = backend->purged;

	/* No more can be purged than there are entries. */
	if (budget > backend->table.count + backend->snapshot.limbo_count + 65536)
		budget = backend->table.count + backend->snapshot.limbo_count + 65536;
	snapshot_drain(&backend->snapshot, budget);
	if (!snapshot_reserve(&backend->snapshot, budget) &&
	    !(delta_forget(&backend->delta) && snapshot_reserve(&backend->snapshot, budget)))
		return error_no_memory(err, backend->instance);
	visit_slabs(backend, budget);
	snapshot_end_batch(&backend->snapshot);
	backend_limit_log(backend);
	table_shrink(&backend->table, budget / 16 + 1);
	*ret_purged = backend->purged - before;
	return SB_OK;
}

/* --- figures --- */

static uint64_t memory_bytes(const sb_backend *backend)
{
	return sizeof(*backend) + arena_bytes(&backend->arena) + table_bytes(&backend->table) +
	       backend->snapshot.limbo_capacity * sizeof(struct dead) + snapshot_saved_bytes(&backend->snapshot) +
	       delta_bytes(&backend->delta) + backend->scratch_capacity * (sizeof(uint64_t) + sizeof(void *));
}

int32_t backend_stats(sb_backend *backend, uint64_t capacity, sb_stat *stats, uint64_t *ret_count, sb_error *err)
{
	const struct table *table = &backend->table;

	(void)err;
	snapshot_drain(&backend->snapshot, 0);
	const sb_stat all[] = {
		{"entries", (double)table->count, "entries", SB_METRIC_GAUGE, 0},
		{"key_bytes", (double)backend->key_bytes, "bytes", SB_METRIC_GAUGE, 0},
		{"value_bytes", (double)backend->value_bytes, "bytes", SB_METRIC_GAUGE, 0},
		{"memory_bytes", (double)memory_bytes(backend), "bytes", SB_METRIC_GAUGE, 0},
		{"record_bytes", (double)arena_bytes(&backend->arena), "bytes", SB_METRIC_GAUGE, 0},
		{"index_bytes", (double)table_bytes(table), "bytes", SB_METRIC_GAUGE, 0},
		{"retained_bytes",
		 (double)(backend->snapshot.retained_bytes + snapshot_saved_bytes(&backend->snapshot)), "bytes",
		 SB_METRIC_GAUGE, 0},
		{"purged", (double)backend->purged, "entries", SB_METRIC_COUNTER, 0},
		{"load", (double)table->count / (double)table->slot_count, "", SB_METRIC_GAUGE, 0},
		{"iterators", (double)backend->snapshot.open_count, "", SB_METRIC_GAUGE, 0},
		{"pins", (double)backend->snapshot.pin_count, "", SB_METRIC_GAUGE, 0},
		{"marks", (double)backend->delta.mark_count, "", SB_METRIC_GAUGE, 0},
		{"logged_changes", (double)backend->delta.entries, "entries", SB_METRIC_GAUGE, 0},
		{"log_bytes", (double)delta_bytes(&backend->delta), "bytes", SB_METRIC_GAUGE, 0},
	};
	uint64_t count = sizeof(all) / sizeof(all[0]);

	for (uint64_t i = 0; i < count && i < capacity; ++i)
		stats[i] = all[i];
	*ret_count = count;
	return SB_OK;
}
