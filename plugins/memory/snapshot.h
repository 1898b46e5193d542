/* SPDX-License-Identifier: Apache-2.0
 *
 * snapshot.h: who may still look at a record: pins, views, and the limbo of
 * records that were replaced or deleted while somebody could. A view is an iterator (iter.c), or a
 * walk over the changes since a mark (changes.c).
 *
 * Iterators. Opening one takes the next epoch E, and from then on the slabs of that
 * moment (born < E) are sealed for it: the owner puts no new record there, and changes no byte of one
 * in them but its state word, unless it has claimed it. A put that may not change the record writes the new version to an
 * unsealed slab and marks the old record dead with the current epoch; a
 * delete only marks. The iterator walks slabs by their number, skips those born at or
 * after E, and shows a record when it is live with an epoch before E, or died at an epoch >= E. So it shows
 * exactly the moment of iter_open, whatever becomes of the index meanwhile,
 * and opening costs a few splices of lists. When it has walked past a slab, and
 * its user has asked for more (and so let go of the entries), it publishes its
 * progress, and the slab is unsealed: the owner overwrites in place again, and takes
 * its dead records out of limbo. The walker copies nothing, and writes to no
 * record, so that walking does not take cache lines from the owner.
 *
 * Claims. A new place for each record that is written under a walk would be a cache miss more, and one more for the old place,
 * when it is given back. So one iterator, the first that is opened while no other view is (saving), has the owner put old versions
 * aside (saved.h): a copy in a chunk that both have in their caches, after which the record is claimed and
 * changed where it lies. A claimed record is live with an epoch >= E: the iterator passes it by, and shows the copy
 * instead. If it dies and has to stay, for a pin or a later view, the bit STATE_SAVED tells the iterator that it had it. Records
 * that others await as well, that have a block of their own, or lie in the slabs that the walker is at
 * (from progress to reached) are not claimed but moved, and so is everything when there is no memory for copies.
 *
 * Memory order. The walker reads a record's bytes only in slabs that are sealed for
 * it. They were written before iter_open (same thread, or ordered by whoever
 * hands the iterator over), and are next written after the owner has read progress
 * (acquire) that the walker published after its last read (release). The
 * state word may change under the walker's eyes, from live to dead (at an epoch >= E: it is
 * shown either way) or, for one that died before E, to free (it is skipped either
 * way); so relaxed loads suffice for it. Or it is claimed: the owner makes claims odd, and then reads reached;
 * the walker publishes reached, and then reads claims, all four sequentially consistent. So either the owner sees that the slab is
 * reached, and claims nothing in it, or the walker sees that a claim is under way, waits until it is over, and reads the state
 * that it left (released by claims). A slab's born is read likewise: for
 * a sealed slab it is constant, and for any other one every value it takes is >= E.
 * iter_close publishes the end of all slabs and then, with release, closed; the
 * owner frees the iterator after it has read that with acquire.
 *
 * Walks over changes. They seal slabs as iterators do, so no slot is given out again under them, but let go of none
 * before they are closed. They want only records written since their mark. So one that is live with an
 * epoch before the mark, or at or after E (it was that old at E, and has been overwritten since), may be
 * written where it lies: the walk reads at most its state word, and passes it by whatever it finds there.
 *
 * Locks. There are none, so there is no lock order. What the walker waits for is one claim, some nanoseconds of the owner in which it
 * calls nobody.
 *
 * Pins. A pin carries the number of its generation; a record that dies while pins are
 * out waits in limbo until all generations up to that moment are released. So pins that
 * overlap without end do not retain without end. A pin that is held does hold up
 * everything that dies meanwhile, whether it names it or not.
 *
 * Invariant: a record is given back to the arena only when no pin of its
 * generation or an earlier one is out and no open view still has to show it.
 *
 * Owner thread only, but for iter_next, iter_close and snapshot_close_view().
 */
#ifndef MEMORY_SNAPSHOT_H
#define MEMORY_SNAPSHOT_H

#include "arena.h"
#include "saved.h"

#define PIN_GENERATIONS 64u

struct view {
	/* The owner's. */
	struct view *next_open;
	void (*free)(struct view *view);
	uint32_t epoch; /* shows the moment before it */
	uint32_t since; /* shows what was written at or after it; EPOCH_NONE: everything */
	/* From the walker to the owner, on a line of their own. */
	_Alignas(64) _Atomic uint32_t progress; /* slabs below this one are done with */
	_Atomic uint32_t closed;
};

struct sb_iter {
	struct view view;
	/* Written by the owner in iter_open only. */
	const struct arena *arena;
	uint32_t slab_end;
	bool saves; /* the owner puts old versions aside for it */
	uint8_t *bounds;
	sb_slice lower, upper;
	/* The walker's own. */
	uint32_t slab;
	uint32_t slot;
	/* From the walker to the owner: slabs above this one were not looked at yet. */
	_Atomic uint32_t reached;
	/* From the owner to the walker: odd while the owner is about to claim a record. */
	_Alignas(64) _Atomic uint32_t claims;
	struct saved saved;
};

struct delta;

struct dead {
	uint32_t ref;
	uint32_t epoch;
	uint64_t generation; /* of the youngest pin that may see it, or 0 */
};

struct snapshot {
	struct arena *arena;
	struct delta *delta; /* whose marks are forgotten when epochs begin anew */
	struct view *open; /* that were not reaped yet */
	uint32_t open_count;
	sb_iter *saving; /* the open one that old versions are put aside for, or NULL */
	struct dead *limbo;
	uint64_t limbo_count, limbo_capacity;
	uint64_t limbo_cursor;
	uint64_t retained_bytes; /* of the records in limbo */
	uint64_t pin_count;
	uint64_t pins[PIN_GENERATIONS];
	uint64_t generation, oldest_generation;
	bool retired_pinned; /* something waits for pins of the current generation */
};

void snapshot_init(struct snapshot *snapshot, struct arena *arena, struct delta *delta);
/* All views are closed and all pins released. */
void snapshot_done(struct snapshot *snapshot);

/* snapshot_may_write() while there are pins or views. */
bool snapshot_lets_write(const struct snapshot *snapshot, uint32_t ref, uint32_t state);
/* Lets the live record, which snapshot_may_write() forbids to write, be written where it lies all the same: true when its old version
 * could be put aside for the only one that wants it. That counts as a write at the present epoch. */
bool snapshot_save(struct snapshot *snapshot, uint32_t ref, struct record *record);
/* Of what was put aside and not taken yet. */
uint64_t snapshot_saved_bytes(const struct snapshot *snapshot);
/* The arena's question; see arena.h. */
bool snapshot_sealed(const void *snapshot, const struct slab *slab, uint32_t id);

/* Room for count calls of snapshot_retire(). */
bool snapshot_reserve(struct snapshot *snapshot, uint64_t count);
/* Takes a record that the index does not name any more: gives it back at once if
 * nobody may look at it, or keeps it in limbo. */
void snapshot_retire(struct snapshot *snapshot, uint32_t ref);
/* Frees closed views, and looks at up to budget records in limbo. */
void snapshot_drain(struct snapshot *snapshot, uint64_t budget);
/* Closes a batch of retirements: later pins shall not hold them up. */
void snapshot_end_batch(struct snapshot *snapshot);

/* Nobody but the owner looks at any record. */
static inline bool snapshot_is_unseen(const struct snapshot *snapshot)
{
	return !snapshot->pin_count && !snapshot->open;
}

/* Whether the live record, whose state is given, may be written where it lies or given back. */
static inline bool snapshot_may_write(const struct snapshot *snapshot, uint32_t ref, uint32_t state)
{
	return snapshot_is_unseen(snapshot) || snapshot_lets_write(snapshot, ref, state);
}

void snapshot_pin(struct snapshot *snapshot, sb_pin *pin);
void snapshot_unpin(struct snapshot *snapshot, const sb_pin *pin);

/* Begins the next epoch. There are four million; when they are used up, a moment without views and dead records is
 * needed to begin anew, and false means that this is not one. */
bool snapshot_next_epoch(struct snapshot *snapshot);
/* Opens a view at the present epoch, in which nothing has been written yet. free is called when it was closed. */
void snapshot_add_view(struct snapshot *snapshot, struct view *view, uint32_t since, void (*free)(struct view *));
/* Any thread. */
void snapshot_close_view(struct view *view);

int32_t snapshot_iter_open(struct snapshot *snapshot, const sb_iter_options *options, const char *instance,
			   sb_iter **ret_iter, sb_error *err);
/* Any thread, one at a time for one iterator. */
int32_t snapshot_iter_next(sb_iter *iter, uint64_t max, sb_entry *entries, uint64_t *ret_count, sb_error *err);
void snapshot_iter_close(sb_iter *iter);

#endif
