/* SPDX-License-Identifier: Apache-2.0
 *
 * snapshot.h: who may still look at a record: pins, iterators, and the limbo of
 * records that were replaced or deleted while somebody could.
 *
 * Iterators. Opening one takes the next epoch E, and from then on the slabs of that
 * moment (born < E) are sealed for it: the owner changes no byte of a record in
 * them but its state word, and puts no new record there. A put writes the new version to an
 * unsealed slab and marks the old record dead with the current epoch; a
 * delete only marks. The iterator walks slabs by their number, skips those born at or
 * after E, and shows a record when it is live or died at an epoch >= E. So it shows
 * exactly the moment of iter_open, whatever becomes of the index meanwhile,
 * and opening costs a few splices of lists. When it has walked past a slab, and
 * its user has asked for more (and so let go of the entries), it publishes its
 * progress, and the slab is unsealed: the owner overwrites in place again, and takes
 * its dead records out of limbo. Nothing is copied, and the walker writes to no
 * record, so that walking does not take cache lines from the owner.
 *
 * Memory order. The walker reads a record's bytes only in slabs that are sealed for
 * it. They were written before iter_open (same thread, or ordered by whoever
 * hands the iterator over), and are next written after the owner has read progress
 * (acquire) that the walker published after its last read (release). The
 * state word may change under the walker's eyes, from live to dead (at an epoch >= E: it is
 * shown either way) or, for one that died before E, to free (it is skipped either
 * way); so relaxed loads suffice for it. A slab's born is read likewise: for
 * a sealed slab it is constant, and for any other one every value it takes is >= E.
 * iter_close publishes the end of all slabs and then, with release, closed; the
 * owner frees the iterator after it has read that with acquire.
 *
 * Locks. There are none, so there is no lock order.
 *
 * Pins. A pin carries the number of its generation; a record that dies while pins are
 * out waits in limbo until all generations up to that moment are released. So pins that
 * overlap without end do not retain without end. A pin that is held does hold up
 * everything that dies meanwhile, whether it names it or not.
 *
 * Invariant: a record is given back to the arena only when no pin of its
 * generation or an earlier one is out and no open iterator still has to show it.
 *
 * Owner thread only, but for iter_next and iter_close.
 */
#ifndef MEMORY_SNAPSHOT_H
#define MEMORY_SNAPSHOT_H

#include "arena.h"

#define PIN_GENERATIONS 64u

struct sb_iter {
	/* Written by the owner in iter_open only. */
	const struct arena *arena;
	struct sb_iter *next_open;
	uint32_t epoch;
	uint32_t slab_end;
	uint8_t *bounds;
	sb_slice lower, upper;
	/* The walker's own. */
	uint32_t slab;
	uint32_t slot;
	/* From the walker to the owner, on a line of their own. */
	_Alignas(64) _Atomic uint32_t progress; /* slabs below this one are done with */
	_Atomic uint32_t closed;
};

struct dead {
	uint32_t ref;
	uint32_t epoch;
	uint64_t generation; /* of the youngest pin that may see it, or 0 */
};

struct snapshot {
	struct arena *arena;
	struct sb_iter *open; /* iterators that were not reaped yet */
	uint32_t open_count;
	struct dead *limbo;
	uint64_t limbo_count, limbo_capacity;
	uint64_t limbo_cursor;
	uint64_t retained_bytes; /* of the records in limbo */
	uint64_t pin_count;
	uint64_t pins[PIN_GENERATIONS];
	uint64_t generation, oldest_generation;
	bool retired_pinned; /* something waits for pins of the current generation */
};

void snapshot_init(struct snapshot *snapshot, struct arena *arena);
/* All iterators are closed and all pins released. */
void snapshot_done(struct snapshot *snapshot);

/* Whether the record may be written where it lies, or its slot given out again. */
bool snapshot_may_write(const struct snapshot *snapshot, uint32_t ref);
/* The arena's question; see arena.h. */
bool snapshot_sealed(const void *snapshot, const struct slab *slab, uint32_t id);

/* Room for count calls of snapshot_retire(). */
bool snapshot_reserve(struct snapshot *snapshot, uint64_t count);
/* Takes a record that the index does not name any more: gives it back at once if
 * nobody may look at it, or keeps it in limbo. */
void snapshot_retire(struct snapshot *snapshot, uint32_t ref);
/* Frees closed iterators, and looks at up to budget records in limbo. */
void snapshot_drain(struct snapshot *snapshot, uint64_t budget);
/* Closes a batch of retirements: later pins shall not hold them up. */
void snapshot_end_batch(struct snapshot *snapshot);

void snapshot_pin(struct snapshot *snapshot, sb_pin *pin);
void snapshot_unpin(struct snapshot *snapshot, const sb_pin *pin);

int32_t snapshot_iter_open(struct snapshot *snapshot, const sb_iter_options *options, const char *instance,
			   sb_iter **ret_iter, sb_error *err);
/* Any thread, one at a time for one iterator. */
int32_t snapshot_iter_next(sb_iter *iter, uint64_t max, sb_entry *entries, uint64_t *ret_count, sb_error *err);
void snapshot_iter_close(sb_iter *iter);

#endif
