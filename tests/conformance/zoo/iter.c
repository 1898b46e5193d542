/* SPDX-License-Identifier: Apache-2.0
 * The zoo's iterators: a copy of the list of what was there when they were opened. */
#include <sched.h>

#include "backend.h"

struct sb_iter {
	sb_backend *backend;
	pthread_t thread; /* that opened it */
	struct list entries;
	uint64_t at;
};

static bool copy_range(sb_backend *backend, const sb_iter_options *options, struct list *ret_copy)
{
	const struct list *all = &backend->entries;
	uint64_t from = options->lower.len ? list_find(all, options->lower) : 0;
	uint64_t to = options->upper.len ? list_find(all, options->upper) : all->count;

	if (IS(iterator_bounds_are_half_open) && options->upper.len && list_has(all, to, options->upper))
		to++;
	return list_copy(all, from < to ? from : to, to, ret_copy);
}

int32_t zoo_iter_open(sb_backend *backend, const sb_iter_options *options, sb_iter **ret_iter, sb_error *err)
{
	sb_iter *iter;

	if (IS(several_iterators_each_show_their_moment) && backend->iterating)
		return fail(err, SB_ERR_BUSY, "an iterator is open");
	iter = calloc(1, sizeof(*iter));
	if (!iter)
		return no_memory(err);
	if (!copy_range(backend, options, &iter->entries)) {
		free(iter);
		return no_memory(err);
	}
	iter->backend = backend;
	iter->thread = pthread_self();
	backend->iterating = true;
	*ret_iter = iter;
	return SB_OK;
}

static sb_entry entry_of(const struct entry *entry)
{
	sb_entry shown = {entry->key, entry->value, entry->expiry_ms};

	if (IS(entries_carried_to_memory_and_back_are_the_same) && entry->value.len > 1000)
		shown.expiry_ms = SB_NO_EXPIRY;
	return shown;
}

int32_t zoo_iter_next(sb_iter *iter, uint64_t max, sb_entry *entries, uint64_t *ret_count, sb_error *err)
{
	/* Shows what is there now. */
	const struct list *list =
		IS(iterator_shows_the_moment_it_was_opened) ? &iter->backend->entries : &iter->entries;
	uint64_t n = 0;

	if (IS(iterators_are_read_by_other_threads_during_writes) && !pthread_equal(iter->thread, pthread_self()))
		return fail(err, SB_ERR_INVALID, "an iterator is bound to its thread");
	if (IS(iterator_over_nothing_ends_at_once) && !iter->entries.count)
		return fail(err, SB_ERR_NOT_FOUND, "there is nothing to iterate over");
	if (IS(crashing))
		*(volatile int *)8 = 1;
	for (; n < max && iter->at < list->count; iter->at++)
		entries[n++] = entry_of(list->items[iter->at]);
	*ret_count = n;
	return SB_OK;
}

void zoo_iter_close(sb_iter *iter)
{
	if (IS(iterator_may_be_closed_half_way) && iter->at < iter->entries.count)
		*(volatile int *)8 = 1;
	iter->backend->iterating = false;
	list_done(&iter->entries);
	free(iter);
}
