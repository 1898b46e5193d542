/* SPDX-License-Identifier: Apache-2.0
 *
 * delta.h: which entries have changed since a mark, for checkpoints that hold no more than that.
 *
 * A mark begins an epoch and a generation. From then on, until the next mark, the generation logs
 * the reference (4 bytes) of each record that is written, and the key of each entry that is deleted
 * or purged. A record written twice is logged once: its state word holds the epoch of its
 * last write, and one at or after the mark says that it is in the log. A free slot keeps the epoch, so a key that is
 * deleted and put again and again does not fill the log either; and of deleted keys, a table of recent ones keeps most
 * duplicates out. So a write costs a comparison of a word that is at hand, and the first one to a record four
 * bytes; without a mark, the comparison fails at once.
 *
 * A walk over the changes since a mark takes the logs of all generations from that mark on as they are (spans),
 * opens a view (snapshot.h), and gives first all deletions, then a put for every record in the
 * logs that is live at that moment. No key is looked up:
 *
 * - The put of an entry's present content is right at any place behind the deletions, whatever has happened
 *   to it since the mark, and once more does no harm.
 * - An entry that is not there now, but was at the mark, has been deleted since, and so has its key in a log.
 * - An entry that is there and has been written since the mark lies at the last reference that was logged for it.
 *   What else lies at a logged reference was written after the mark, too, because a slot is only filled by
 *   a write, or by compaction, which counts as one (it moves at most three records for each one deleted).
 *
 * Invariant: while its generation is listed, the record at a logged reference, if there is one, has an epoch at or
 * after the mark. The view relies on it: records older than the mark are none of its business,
 * and are overwritten and freed under its eyes. Only what is dirty gets copied when it is written meanwhile.
 *
 * Marks may be forgotten at any time: when the log outgrows the state, when memory is short (so writing never fails
 * for the log's sake), when epochs begin anew. Nothing may be missing from a log, so the oldest go first, and
 * all of them when it is the youngest one that cannot go on.
 *
 * Owner thread only, but for changes_next and changes_close.
 */
#ifndef MEMORY_DELTA_H
#define MEMORY_DELTA_H

#include "log.h"
#include "snapshot.h"

/* More marks than that are not kept: each checkpoint that fails leaves one. */
#define MARKS_MAX 64u

struct generation {
	struct generation *next; /* the one after it */
	uint64_t mark;
	uint32_t epoch;
	uint32_t walks; /* that have a span of it */
	bool listed; /* not released or forgotten */
	struct log puts, deletes;
};

struct delta {
	struct snapshot *snapshot;
	struct pages *pages;
	struct generation *oldest, *newest; /* the listed ones */
	uint32_t mark_count;
	uint32_t since; /* epoch of the newest, or EPOCH_NONE: nothing is logged */
	uint64_t last_mark; /* number of the last mark, kept or not */
	uint64_t entries, size_bytes; /* of listed generations */
	uint64_t held_bytes; /* of others that are still walked */
	/* Where in the newest generation's log some of the deleted keys are, by their hash; or NULL. */
	const uint8_t **recent;
};

void delta_init(struct delta *delta, struct snapshot *snapshot, struct pages *pages);
/* All walks are closed and reaped. */
void delta_done(struct delta *delta);

/* If there is no memory for it, the mark is one that is forgotten already. */
uint64_t delta_mark(struct delta *delta);
void delta_release(struct delta *delta, uint64_t mark);
/* Forgets all marks; false: there are none. */
bool delta_forget(struct delta *delta);
/* Forgets the oldest marks until the log is in proportion to the state. */
void delta_limit(struct delta *delta, uint64_t entry_count, uint64_t payload_bytes);
uint64_t delta_bytes(const struct delta *delta);

/* Puts into the log. */
void delta_log_put(struct delta *delta, uint32_t ref);
/* An entry is deleted, while changes are logged. hash is any of the key that never changes. */
void delta_deleted(struct delta *delta, sb_slice key, uint64_t hash);

int32_t delta_changes_open(struct delta *delta, uint64_t since, const char *instance, sb_changes **ret_changes,
			   sb_error *err);
/* For changes.c: a walk takes part in a generation, and lets go of it. */
struct generation *delta_find(const struct delta *delta, uint64_t mark);
void delta_hold(struct generation *generation);
void delta_let_go(struct delta *delta, struct generation *generation);

/* Any thread, one at a time for one walk. */
int32_t delta_changes_next(sb_changes *changes, uint64_t max, sb_op *ops, uint64_t *ret_count, sb_error *err);
void delta_changes_close(sb_changes *changes);

static inline bool delta_is_logging(const struct delta *delta)
{
	return delta->since != EPOCH_NONE;
}

/* Whether a record that is written is to be logged. epoch_before is that of what lay there before (itself, or another record), if
 * known: what was written since the mark is in the log already. */
static inline bool delta_wants(const struct delta *delta, uint32_t epoch_before)
{
	return epoch_before < delta->since;
}

static inline void delta_written(struct delta *delta, uint32_t ref, uint32_t epoch_before)
{
	if (delta_wants(delta, epoch_before))
		delta_log_put(delta, ref);
}

#endif
