/* SPDX-License-Identifier: Apache-2.0
 *
 * saved.h: the old versions that the owner puts aside for an iterator, so that it may change records where they lie
 * before the iterator has come to them. snapshot.h says when.
 *
 * They are images of records, one behind the other in a chain of chunks. The walker takes full chunks on its way, and
 * the last one when nothing is added any more; so the owner shares no line with it while it fills one.
 * Chunks that the walker has let go of are filled again: while it keeps up with the owner, the chain is a few
 * chunks long, and stays in the cache.
 *
 * Invariant: of a chunk with a next one, nothing changes before the walker has let go of it. Of the
 * last one the walker reads used and bytes only after the owner has added for the last time.
 */
#ifndef MEMORY_SAVED_H
#define MEMORY_SAVED_H

#include "pages.h"
#include "record.h"

#define SAVED_CHUNK_BYTES 65536u

struct saved_chunk {
	struct saved_chunk *_Atomic next;
	uint32_t used; /* bytes */
	_Alignas(16) uint8_t bytes[];
};

#define SAVED_CAPACITY (SAVED_CHUNK_BYTES - (uint32_t)sizeof(struct saved_chunk))

_Static_assert(SAVED_CAPACITY >= RECORD_MAX_BYTES, "every record fits into a chunk");

struct saved {
	/* The owner's. */
	struct pages *pages;
	struct saved_chunk *oldest, *last;
	uint64_t chunk_count, taken_back;
	/* From the owner to the walker. */
	struct saved_chunk *_Atomic first;
	/* From the walker to the owner, on a line of their own with the rest of the walker's. */
	_Alignas(64) _Atomic uint64_t let_go; /* chunks */
	/* The walker's own. */
	const struct saved_chunk *at_chunk;
	uint32_t at;
	uint64_t passed; /* chunks */
};

/* false: there is no memory. */
bool saved_reserve(struct saved *saved, uint64_t size_bytes);
/* Owner thread; the walker is done. */
void saved_done(struct saved *saved);

/* Any thread, as the walk: the next record, or NULL when there is none yet. to_end: nothing will be added any more. */
const struct record *saved_next(struct saved *saved, bool to_end);
/* The records that were taken are no longer looked at. */
void saved_let_go(struct saved *saved);

static inline uint64_t saved_bytes(const struct saved *saved)
{
	return saved->chunk_count * SAVED_CHUNK_BYTES;
}

/* There is a reservation. */
static inline void saved_add(struct saved *saved, const struct record *record, uint64_t size_bytes)
{
	struct saved_chunk *chunk = saved->last;

	memcpy(chunk->bytes + chunk->used, record, size_bytes);
	chunk->used += (uint32_t)(size_bytes + 15) & ~15u;
}

#endif
