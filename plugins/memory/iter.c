/* SPDX-License-Identifier: Apache-2.0
 *
 * iter.c: the iterators. They walk slabs, not the index, because the index may grow
 * under them; snapshot.h has the argument why that is safe on another thread.
 */
#include "error.h"
#include "snapshot.h"

#include <sched.h>
#include <stdlib.h>

/* --- opening, on the owner's thread --- */

static bool copy_bounds(sb_iter *iter, const sb_iter_options *options)
{
	sb_slice lower = options->lower, upper = options->upper;

	iter->bounds = malloc(lower.len + upper.len + 1);
	if (!iter->bounds)
		return false;
	if (lower.len)
		memcpy(iter->bounds, lower.ptr, lower.len);
	if (upper.len)
		memcpy(iter->bounds + lower.len, upper.ptr, upper.len);
	iter->lower = (sb_slice){iter->bounds, lower.len};
	iter->upper = (sb_slice){iter->bounds + lower.len, upper.len};
	return true;
}

static void free_iter(struct view *view)
{
	sb_iter *iter = (sb_iter *)view;

	saved_done(&iter->saved);
	free(iter->bounds);
	free(iter);
}

int32_t snapshot_iter_open(struct snapshot *snapshot, const sb_iter_options *options, const char *instance,
			   sb_iter **ret_iter, sb_error *err)
{
	sb_iter *iter = aligned_alloc(64, sizeof(*iter));

	if (!iter)
		return error_no_memory(err, instance);
	memset(iter, 0, sizeof(*iter));
	if (!copy_bounds(iter, options)) {
		free(iter);
		return error_no_memory(err, instance);
	}
	if (!snapshot_next_epoch(snapshot)) {
		free_iter(&iter->view);
		return error_epochs(err, instance);
	}
	iter->arena = snapshot->arena;
	iter->slab_end = arena_slab_end(snapshot->arena);
	iter->saved.pages = snapshot->arena->pages;
	iter->saves = !snapshot->open;
	if (iter->saves)
		snapshot->saving = iter;
	snapshot_add_view(snapshot, &iter->view, EPOCH_NONE, free_iter);
	*ret_iter = iter;
	return SB_OK;
}

/* --- walking, on any thread --- */

static int compare(sb_slice a, sb_slice b)
{
	int order = memcmp(a.ptr, b.ptr, a.len < b.len ? a.len : b.len);

	return order ? order : (a.len > b.len) - (a.len < b.len);
}

static bool wanted(const sb_iter *iter, sb_slice key)
{
	return (!iter->lower.len || compare(key, iter->lower) >= 0) &&
	       (!iter->upper.len || compare(key, iter->upper) < 0);
}

static bool visible(const sb_iter *iter, uint32_t state)
{
	bool is_newer = state_epoch(state) >= iter->view.epoch;

	if (state == STATE_FREE)
		return false;
	if (!(state & STATE_DEAD))
		return !is_newer; /* one that is was put aside */
	return is_newer && !(iter->saves && state & STATE_SAVED);
}

static bool shows_slab(const sb_iter *iter, uint32_t id)
{
	return atomic_load_explicit(&arena_slab(iter->arena, id)->born, memory_order_relaxed) < iter->view.epoch;
}

/* Tells the owner that the slab at hand is reached, and waits if it is in the middle of claiming a record, a matter of
 * some nanoseconds: then either it saw this, or its claim is seen here. */
static void reach(sb_iter *iter)
{
	uint32_t claims;

	atomic_store_explicit(&iter->reached, iter->slab, memory_order_seq_cst);
	claims = atomic_load_explicit(&iter->claims, memory_order_seq_cst);
	while (claims % 2 && atomic_load_explicit(&iter->claims, memory_order_acquire) == claims)
		sched_yield();
}

static void next_slab(sb_iter *iter)
{
	do
		iter->slab++;
	while (iter->slab < iter->slab_end && !shows_slab(iter, iter->slab));
	iter->slot = 0;
	reach(iter);
}

/* Takes what fits from the slab at hand; true when it is through with it. */
static bool walk_slab(sb_iter *iter, const struct slab *slab, uint64_t max, sb_entry *entries, uint64_t *count)
{
	uint32_t used = slab->used;

	for (; iter->slot < used; ++iter->slot) {
		const struct record *record = arena_at(iter->arena, slab_ref(iter->slab, iter->slot * slab->stride));
		uint32_t state = record_state(record);

		if (!visible(iter, state))
			continue;
		if (*count == max)
			return false;
		entries[*count] = record_entry(record, state);
		*count += wanted(iter, entries[*count].key);
	}
	return true;
}

static void take_saved(sb_iter *iter, uint64_t max, sb_entry *entries, uint64_t *count)
{
	const struct record *record;

	while (*count < max && (record = saved_next(&iter->saved, iter->slab == iter->slab_end))) {
		entries[*count] = record_entry(record, record_state(record));
		*count += wanted(iter, entries[*count].key);
	}
}

int32_t snapshot_iter_next(sb_iter *iter, uint64_t max, sb_entry *entries, uint64_t *ret_count, sb_error *err)
{
	uint64_t count = 0;

	(void)err;
	/* The entries of the last call are no longer looked at. */
	atomic_store_explicit(&iter->view.progress, iter->slab, memory_order_release);
	saved_let_go(&iter->saved);
	for (;;) {
		take_saved(iter, max, entries, &count);
		if (count == max || iter->slab == iter->slab_end)
			break;
		if (shows_slab(iter, iter->slab) &&
		    !walk_slab(iter, arena_slab(iter->arena, iter->slab), max, entries, &count))
			break;
		next_slab(iter);
	}
	*ret_count = count;
	return SB_OK;
}

void snapshot_iter_close(sb_iter *iter)
{
	snapshot_close_view(&iter->view);
}
