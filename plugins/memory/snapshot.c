/* SPDX-License-Identifier: Apache-2.0
 *
 * snapshot.c: see snapshot.h. The views themselves are in iter.c and changes.c.
 */
#include "snapshot.h"
#include "delta.h"

#include <assert.h>
#include <stdlib.h>

/* How many steps ahead of the drain records are prefetched. */
#define DRAIN_AHEAD 12u

void snapshot_init(struct snapshot *snapshot, struct arena *arena, struct delta *delta)
{
	snapshot->arena = arena;
	snapshot->delta = delta;
	snapshot->generation = snapshot->oldest_generation = 1;
	arena->snapshot = snapshot;
	arena->sealed = snapshot_sealed;
}

static void reap(struct snapshot *snapshot)
{
	struct view **link = &snapshot->open;

	while (*link) {
		struct view *view = *link;

		if (!atomic_load_explicit(&view->closed, memory_order_acquire)) {
			link = &view->next_open;
			continue;
		}
		*link = view->next_open;
		if (snapshot->saving && view == &snapshot->saving->view)
			snapshot->saving = NULL;
		view->free(view);
		if (!--snapshot->open_count)
			arena_unseal_all(snapshot->arena);
	}
}

void snapshot_done(struct snapshot *snapshot)
{
	reap(snapshot);
	assert(!snapshot->open && !snapshot->pin_count);
	pages_free(snapshot->arena->pages, snapshot->limbo, snapshot->limbo_capacity * sizeof(*snapshot->limbo));
}

/* --- who may look --- */

static bool is_sealed_for(const struct view *view, uint32_t born, uint32_t id)
{
	return born < view->epoch && id >= atomic_load_explicit(&view->progress, memory_order_acquire);
}

bool snapshot_sealed(const void *arg, const struct slab *slab, uint32_t id)
{
	const struct snapshot *snapshot = arg;
	uint32_t born = atomic_load_explicit(&slab->born, memory_order_relaxed);

	for (const struct view *view = snapshot->open; view; view = view->next_open) {
		if (is_sealed_for(view, born, id))
			return true;
	}
	return false;
}

static bool awaits(const struct view *view, uint32_t id, uint32_t epoch)
{
	if (epoch >= view->epoch || (view->since != EPOCH_NONE && epoch < view->since))
		return false;
	return id >= atomic_load_explicit(&view->progress, memory_order_acquire);
}

/* Answered from the record's own epoch, which is at hand, and not from its slab's, which is a cache miss. What was
 * written since the view was opened lies where the view does not look any more, or never did: for that slab was not
 * sealed. What is older lies where it lay then: what compaction moves gets the epoch of that moment. */
bool snapshot_lets_write(const struct snapshot *snapshot, uint32_t ref, uint32_t state)
{
	uint32_t epoch = state_epoch(state), id = ref_slab(ref);

	if (snapshot->pin_count)
		return false;
	for (const struct view *view = snapshot->open; view; view = view->next_open) {
		if (awaits(view, id, epoch))
			return false;
	}
	return true;
}

static bool others_await(const struct snapshot *snapshot, uint32_t id, uint32_t epoch)
{
	for (const struct view *view = snapshot->open; view; view = view->next_open) {
		if (view != &snapshot->saving->view && awaits(view, id, epoch))
			return true;
	}
	return false;
}

/* Puts the record aside, unless the walker has reached its slab. */
static bool claim(struct snapshot *snapshot, sb_iter *iter, uint32_t id, struct record *record)
{
	uint32_t state = record_state(record), claims = atomic_load_explicit(&iter->claims, memory_order_relaxed);
	uint64_t size_bytes = record_size(record, state);
	bool claimed;

	if (!saved_reserve(&iter->saved, size_bytes))
		return false;
	atomic_store_explicit(&iter->claims, claims + 1, memory_order_seq_cst);
	claimed = id > atomic_load_explicit(&iter->reached, memory_order_seq_cst);
	if (claimed) {
		saved_add(&iter->saved, record, size_bytes);
		record_set_state(record, state_live(snapshot->arena->epoch, state & KEY_MASK));
	}
	atomic_store_explicit(&iter->claims, claims + 2, memory_order_release);
	return claimed;
}

bool snapshot_save(struct snapshot *snapshot, uint32_t ref, struct record *record)
{
	uint32_t state = record_state(record), id = ref_slab(ref);
	sb_iter *iter = snapshot->saving;

	if (!iter || snapshot->pin_count || !(state & KEY_MASK) || others_await(snapshot, id, state_epoch(state)))
		return false;
	return claim(snapshot, iter, id, record);
}

uint64_t snapshot_saved_bytes(const struct snapshot *snapshot)
{
	return snapshot->saving ? saved_bytes(&snapshot->saving->saved) : 0;
}

/* Whether some view may still have to show a record that died at that epoch. */
static bool awaited(const struct snapshot *snapshot, const struct dead *dead)
{
	for (const struct view *view = snapshot->open; view; view = view->next_open) {
		if (dead->epoch >= view->epoch &&
		    ref_slab(dead->ref) >= atomic_load_explicit(&view->progress, memory_order_acquire))
			return true;
	}
	return false;
}

static bool pinned(const struct snapshot *snapshot, const struct dead *dead)
{
	return snapshot->pin_count && dead->generation >= snapshot->oldest_generation;
}

/* --- limbo --- */

static uint64_t record_footprint(const struct snapshot *snapshot, uint32_t ref)
{
	const struct record *record = arena_at(snapshot->arena, ref);
	uint64_t key_len = record_state(record) & KEY_MASK;

	if (!key_len)
		return HANDLE_BYTES + record_large(record)->size_bytes;
	return class_bytes(class_of(record_bytes(key_len, record->packed & VALUE_MASK)));
}

bool snapshot_reserve(struct snapshot *snapshot, uint64_t count)
{
	uint64_t need = snapshot->limbo_count + count, capacity = snapshot->limbo_capacity;
	struct dead *limbo;

	if (need <= capacity || (!snapshot->open && !snapshot->pin_count))
		return true;
	capacity = need + need / 2;
	limbo = pages_resize(snapshot->arena->pages, snapshot->limbo, snapshot->limbo_capacity * sizeof(*limbo),
			     capacity * sizeof(*limbo));
	if (!limbo)
		return false;
	snapshot->limbo = limbo;
	snapshot->limbo_capacity = capacity;
	return true;
}

void snapshot_retire(struct snapshot *snapshot, uint32_t ref)
{
	struct record *record = arena_at(snapshot->arena, ref);
	uint32_t state = record_state(record), saved;

	if (snapshot_may_write(snapshot, ref, state)) {
		arena_give(snapshot->arena, ref);
		return;
	}
	assert(snapshot->limbo_count < snapshot->limbo_capacity);
	saved = snapshot->saving && state_epoch(state) >= snapshot->saving->view.epoch ? STATE_SAVED : 0;
	record_set_state(record, STATE_DEAD | saved | state_live(snapshot->arena->epoch, state & KEY_MASK));
	snapshot->limbo[snapshot->limbo_count++] =
		(struct dead){ref, snapshot->arena->epoch, snapshot->pin_count ? snapshot->generation : 0};
	snapshot->retired_pinned |= snapshot->pin_count > 0;
	snapshot->retained_bytes += record_footprint(snapshot, ref);
}

/* The record that a step some way ahead will touch: the next in line, or the one that
 * takes the place of a record given back. */
static void prefetch_ahead(const struct snapshot *snapshot)
{
	const struct dead *limbo = snapshot->limbo;
	uint64_t next = snapshot->limbo_cursor + DRAIN_AHEAD, last = snapshot->limbo_count;

	__asm__ volatile(""); /* else gcc drops the call; see table.c */
	if (next < snapshot->limbo_count)
		__builtin_prefetch(arena_at(snapshot->arena, limbo[next].ref));
	if (last > DRAIN_AHEAD)
		__builtin_prefetch(arena_at(snapshot->arena, limbo[last - DRAIN_AHEAD].ref));
}

static void shrink_limbo(struct snapshot *snapshot)
{
	if (snapshot->limbo_count || snapshot->limbo_capacity < 65536)
		return;
	pages_free(snapshot->arena->pages, snapshot->limbo, snapshot->limbo_capacity * sizeof(*snapshot->limbo));
	snapshot->limbo = NULL;
	snapshot->limbo_capacity = 0;
}

void snapshot_drain(struct snapshot *snapshot, uint64_t budget)
{
	if (snapshot->open)
		reap(snapshot);
	for (; budget && snapshot->limbo_count; --budget) {
		struct dead *dead;

		if (snapshot->limbo_cursor >= snapshot->limbo_count)
			snapshot->limbo_cursor = 0;
		dead = &snapshot->limbo[snapshot->limbo_cursor];
		if (pinned(snapshot, dead) || awaited(snapshot, dead)) {
			snapshot->limbo_cursor++;
			continue;
		}
		prefetch_ahead(snapshot);
		snapshot->retained_bytes -= record_footprint(snapshot, dead->ref);
		arena_give(snapshot->arena, dead->ref);
		*dead = snapshot->limbo[--snapshot->limbo_count];
	}
	shrink_limbo(snapshot);
}

/* --- epochs and views --- */

bool snapshot_next_epoch(struct snapshot *snapshot)
{
	struct arena *arena = snapshot->arena;

	if (arena->epoch == EPOCH_LAST) {
		snapshot_drain(snapshot, snapshot->limbo_count);
		if (snapshot->open || snapshot->limbo_count)
			return false;
		delta_forget(snapshot->delta);
		arena_reset_epoch(arena);
	}
	arena->epoch++;
	return true;
}

void snapshot_add_view(struct snapshot *snapshot, struct view *view, uint32_t since, void (*free)(struct view *))
{
	view->epoch = snapshot->arena->epoch;
	view->since = since;
	view->free = free;
	view->next_open = snapshot->open;
	snapshot->open = view;
	snapshot->open_count++;
	arena_seal_all(snapshot->arena);
}

void snapshot_close_view(struct view *view)
{
	atomic_store_explicit(&view->progress, UINT32_MAX, memory_order_release);
	atomic_store_explicit(&view->closed, 1, memory_order_release);
}

/* --- pins --- */

void snapshot_end_batch(struct snapshot *snapshot)
{
	if (!snapshot->retired_pinned || snapshot->generation + 1 - snapshot->oldest_generation >= PIN_GENERATIONS)
		return; /* with all generations in use, the current one just lasts longer */
	snapshot->generation++;
	snapshot->pins[snapshot->generation % PIN_GENERATIONS] = 0;
	snapshot->retired_pinned = false;
}

void snapshot_pin(struct snapshot *snapshot, sb_pin *pin)
{
	pin->owner = (void *)(uintptr_t)snapshot->generation;
	snapshot->pins[snapshot->generation % PIN_GENERATIONS]++;
	snapshot->pin_count++;
}

void snapshot_unpin(struct snapshot *snapshot, const sb_pin *pin)
{
	uint64_t *count = &snapshot->pins[(uintptr_t)pin->owner % PIN_GENERATIONS];

	assert(*count && snapshot->pin_count);
	--*count;
	snapshot->pin_count--;
	while (snapshot->oldest_generation < snapshot->generation &&
	       !snapshot->pins[snapshot->oldest_generation % PIN_GENERATIONS])
		snapshot->oldest_generation++;
}
