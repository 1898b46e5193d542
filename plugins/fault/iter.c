/* SPDX-License-Identifier: Apache-2.0
 *
 * Iterators. Those of an inner backend with stable ones are passed through. Of another one all entries in range are
 * copied when the iterator is opened: for a rehearsal that is good enough, and the host then checkpoints as it always does.
 *
 * A stale iterator shows a moment that was kept before some earlier write: an inner iterator over everything, which is filtered
 * by the range. It needs stable ones, and is kept only when the options ask for staleness.
 */
#include <stdlib.h>
#include <string.h>

#include "fault_private.h"

#define COPY_ENTRIES 256

struct copied {
	sb_entry *entries;
	uint64_t count, room;
};

struct sb_iter {
	struct sb_backend *backend; /* its plan and its tally; its inner backend's calls */
	struct dice dice;
	sb_iter *inner; /* NULL when the entries were copied */
	bool filter; /* inner covers more than the range */
	struct copied copied;
	uint64_t next; /* of the copied ones */
	bool ended;
	sb_slice lower, upper; /* in bounds */
	uint8_t bounds[];
};

static bool is_stable(const struct sb_backend *backend)
{
	return (backend->inner.flags & SB_BACKEND_STABLE_ITER) != 0;
}

static bool may_be_stale(const struct sb_backend *backend)
{
	const struct plan *plan = &backend->plan;

	return is_stable(backend) && (plan->chance[FAULT_STALE_ITERATOR] > 0 || plan->nth[FAULT_STALE_ITERATOR]);
}

int32_t iter_keep_past(struct sb_backend *backend, sb_error *err)
{
	const sb_iter_options everything = {.struct_size = sizeof(everything)};

	if (!may_be_stale(backend) || backend->past)
		return SB_OK;
	return backend->inner.ops->iter_open(backend->inner.backend, &everything, &backend->past, err);
}

/* ---------------------------------------------------------------------------
 * Copying
 * ------------------------------------------------------------------------- */

static bool append(struct copied *copied, const sb_entry *entry)
{
	uint8_t *bytes;

	if (copied->count == copied->room) {
		uint64_t room = copied->room ? 2 * copied->room : COPY_ENTRIES;
		sb_entry *more = realloc(copied->entries, room * sizeof(*more));

		if (!more)
			return false;
		copied->entries = more;
		copied->room = room;
	}
	bytes = malloc(entry->key.len + entry->value.len + 1);
	if (!bytes)
		return false;
	memcpy(bytes, entry->key.ptr, entry->key.len);
	if (entry->value.len)
		memcpy(bytes + entry->key.len, entry->value.ptr, entry->value.len);
	copied->entries[copied->count++] = (sb_entry){
		.key = {bytes, entry->key.len},
		.value = {bytes + entry->key.len, entry->value.len},
		.expiry_ms = entry->expiry_ms,
	};
	return true;
}

static int32_t copy_all(sb_iter *iter, sb_iter *inner, sb_error *err)
{
	const sb_backend_ops *ops = iter->backend->inner.ops;
	sb_entry entries[COPY_ENTRIES];
	uint64_t count;

	do {
		int32_t status = ops->iter_next(inner, COPY_ENTRIES, entries, &count, err);

		if (status != SB_OK)
			return status;
		for (uint64_t i = 0; i < count; i++)
			if (!append(&iter->copied, &entries[i]))
				return fault_error(err, SB_ERR_NO_MEMORY,
						   "the fault backend has no memory to copy %s for an iterator: wrap a "
						   "backend with stable ones",
						   iter->backend->instance);
	} while (count);
	return SB_OK;
}

/* ---------------------------------------------------------------------------
 * Opening and closing
 * ------------------------------------------------------------------------- */

static int32_t open_inner(sb_iter *iter, const sb_iter_options *options, sb_error *err)
{
	struct sb_backend *backend = iter->backend;
	sb_iter *inner;
	int32_t status;

	if (backend->past && dice_fault(backend, &backend->dice, FAULT_STALE_ITERATOR)) {
		iter->inner = backend->past;
		iter->filter = true;
		backend->past = NULL;
		return SB_OK;
	}
	status = backend->inner.ops->iter_open(backend->inner.backend, options, &inner, err);
	if (status != SB_OK)
		return status;
	if (is_stable(backend)) {
		iter->inner = inner;
		return SB_OK;
	}
	status = copy_all(iter, inner, err);
	backend->inner.ops->iter_close(inner);
	return status;
}

int32_t iter_open(sb_backend *backend, const sb_iter_options *options, sb_iter **ret_iter, sb_error *err)
{
	uint64_t lower = options->lower.len, upper = options->upper.len;
	int32_t status = dice_call(backend, &backend->dice, FAULT_ITER_OPEN, err);
	sb_iter *iter;

	if (status != SB_OK)
		return status;
	iter = calloc(1, sizeof(*iter) + lower + upper);
	if (!iter)
		return fault_error(err, SB_ERR_NO_MEMORY, "the fault backend has no memory to read %s: free some",
				   backend->instance);
	iter->backend = backend;
	/* From its number, not from the instance's dice: the iterators leave those alone. */
	iter->dice.state = backend->plan.seed ^ ++backend->iterators << 32;
	iter->lower = (sb_slice){iter->bounds, lower};
	iter->upper = (sb_slice){iter->bounds + lower, upper};
	if (lower)
		memcpy(iter->bounds, options->lower.ptr, lower);
	if (upper)
		memcpy(iter->bounds + lower, options->upper.ptr, upper);
	status = open_inner(iter, options, err);
	if (status != SB_OK) {
		iter_close(iter);
		return status;
	}
	*ret_iter = iter;
	return SB_OK;
}

void iter_close(sb_iter *iter)
{
	if (iter->inner)
		iter->backend->inner.ops->iter_close(iter->inner);
	for (uint64_t i = 0; i < iter->copied.count; i++)
		free((void *)iter->copied.entries[i].key.ptr);
	free(iter->copied.entries);
	free(iter);
}

/* ---------------------------------------------------------------------------
 * Reading
 * ------------------------------------------------------------------------- */

static bool is_below(sb_slice key, sb_slice bound)
{
	int order = memcmp(key.ptr, bound.ptr, key.len < bound.len ? key.len : bound.len);

	return order < 0 || (order == 0 && key.len < bound.len);
}

static bool is_wanted(const sb_iter *iter, sb_slice key)
{
	return !(iter->lower.len && is_below(key, iter->lower)) && (!iter->upper.len || is_below(key, iter->upper));
}

static uint64_t take_copied(sb_iter *iter, uint64_t max, sb_entry *entries)
{
	uint64_t left = iter->copied.count - iter->next;
	uint64_t count = left < max ? left : max;

	if (count)
		memcpy(entries, iter->copied.entries + iter->next, count * sizeof(*entries));
	iter->next += count;
	return count;
}

/* Goes on until something is wanted, since no entries mean the end. */
static int32_t take_inner(sb_iter *iter, uint64_t max, sb_entry *entries, uint64_t *ret_count, sb_error *err)
{
	uint64_t count, wanted = 0;

	do {
		int32_t status = iter->backend->inner.ops->iter_next(iter->inner, max, entries, &count, err);

		if (status != SB_OK)
			return status;
		if (!iter->filter) {
			*ret_count = count;
			return SB_OK;
		}
		for (uint64_t i = 0; i < count; i++)
			if (is_wanted(iter, entries[i].key))
				entries[wanted++] = entries[i];
	} while (count && !wanted);
	*ret_count = wanted;
	return SB_OK;
}

int32_t iter_next(sb_iter *iter, uint64_t max, sb_entry *entries, uint64_t *ret_count, sb_error *err)
{
	struct sb_backend *backend = iter->backend;
	int32_t status = dice_call(backend, &iter->dice, FAULT_ITER_NEXT, err);

	if (status != SB_OK)
		return status;
	iter->ended |= dice_fault(backend, &iter->dice, FAULT_SHORT_ITERATOR);
	if (iter->ended) {
		*ret_count = 0;
		return SB_OK;
	}
	if (iter->inner)
		return take_inner(iter, max, entries, ret_count, err);
	*ret_count = take_copied(iter, max, entries);
	return SB_OK;
}
