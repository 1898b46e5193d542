/* SPDX-License-Identifier: Apache-2.0
 *
 * saved.c: see saved.h.
 */
#include "saved.h"

/* --- the owner's side --- */

static void free_chunk(struct saved *saved, struct saved_chunk *chunk)
{
	pages_free(saved->pages, chunk, SAVED_CHUNK_BYTES);
	saved->chunk_count--;
}

/* One of the chunks that the walker has let go of, if there is any; further ones are given back. */
static struct saved_chunk *take_back(struct saved *saved)
{
	uint64_t let_go = atomic_load_explicit(&saved->let_go, memory_order_acquire);
	struct saved_chunk *taken = NULL;

	for (; saved->taken_back < let_go; ++saved->taken_back) {
		struct saved_chunk *chunk = saved->oldest;

		saved->oldest = atomic_load_explicit(&chunk->next, memory_order_relaxed);
		if (taken)
			free_chunk(saved, chunk);
		else
			taken = chunk;
	}
	return taken;
}

static struct saved_chunk *make_chunk(struct saved *saved)
{
	struct saved_chunk *chunk = take_back(saved);

	if (!chunk) {
		chunk = pages_alloc(saved->pages, SAVED_CHUNK_BYTES);
		if (!chunk)
			return NULL;
		saved->chunk_count++;
	}
	atomic_store_explicit(&chunk->next, NULL, memory_order_relaxed);
	chunk->used = 0;
	return chunk;
}

bool saved_reserve(struct saved *saved, uint64_t size_bytes)
{
	struct saved_chunk *chunk;

	if (saved->last && saved->last->used + size_bytes <= SAVED_CAPACITY)
		return true;
	chunk = make_chunk(saved);
	if (!chunk)
		return false;
	if (saved->last)
		atomic_store_explicit(&saved->last->next, chunk, memory_order_release);
	else
		atomic_store_explicit(&saved->first, saved->oldest = chunk, memory_order_release);
	saved->last = chunk;
	return true;
}

void saved_done(struct saved *saved)
{
	while (saved->oldest) {
		struct saved_chunk *chunk = saved->oldest;

		saved->oldest = atomic_load_explicit(&chunk->next, memory_order_relaxed);
		free_chunk(saved, chunk);
	}
}

/* --- the walker's side --- */

const struct record *saved_next(struct saved *saved, bool to_end)
{
	const struct saved_chunk *next;

	if (!saved->at_chunk)
		saved->at_chunk = atomic_load_explicit(&saved->first, memory_order_acquire);
	if (!saved->at_chunk)
		return NULL;
	for (;;) {
		next = atomic_load_explicit(&saved->at_chunk->next, memory_order_acquire);
		if (!next && !to_end)
			return NULL;
		if (saved->at < saved->at_chunk->used)
			break;
		if (!next)
			return NULL;
		saved->at_chunk = next;
		saved->at = 0;
		saved->passed++;
	}
	const struct record *record = (const struct record *)(saved->at_chunk->bytes + saved->at);

	saved->at += (uint32_t)(record_size(record, record_state(record)) + 15) & ~15u;
	return record;
}

void saved_let_go(struct saved *saved)
{
	atomic_store_explicit(&saved->let_go, saved->passed, memory_order_release);
}
