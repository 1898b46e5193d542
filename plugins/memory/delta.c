/* SPDX-License-Identifier: Apache-2.0
 *
 * delta.c: marks and their logs; see delta.h. The walk is in changes.c.
 */
#include "delta.h"

#include <assert.h>

/* A log of half as many changes as there are entries, or a quarter of their bytes, is worth less than everything anew;
 * but a small state may turn over quickly. */
#define ENTRIES_MIN 4096u
#define BYTES_MIN (UINT64_C(1) << 20)
/* Keys that are deleted over and over are found among so many; what is not found is logged once more. */
#define RECENT_KEYS 16384u
#define RECENT_WAYS 4u

void delta_init(struct delta *delta, struct snapshot *snapshot, struct pages *pages)
{
	delta->snapshot = snapshot;
	delta->pages = pages;
}

void delta_done(struct delta *delta)
{
	delta_forget(delta);
	assert(!delta->held_bytes);
}

/* --- generations --- */

static uint64_t log_bytes(const struct generation *generation)
{
	return sizeof(*generation) + generation->puts.size_bytes + generation->deletes.size_bytes;
}

static void generation_free(struct delta *delta, struct generation *generation)
{
	log_done(&generation->puts, delta->pages);
	log_done(&generation->deletes, delta->pages);
	pages_free(delta->pages, generation, sizeof(*generation));
}

static void forget_recent(struct delta *delta)
{
	pages_free(delta->pages, delta->recent, RECENT_KEYS * sizeof(*delta->recent));
	delta->recent = NULL;
}

static void drop_oldest(struct delta *delta)
{
	struct generation *generation = delta->oldest;

	delta->oldest = generation->next;
	if (!delta->oldest) {
		delta->newest = NULL;
		delta->since = EPOCH_NONE;
		forget_recent(delta);
	}
	delta->mark_count--;
	delta->entries -= generation->puts.entries + generation->deletes.entries;
	delta->size_bytes -= log_bytes(generation);
	generation->listed = false;
	if (generation->walks)
		delta->held_bytes += log_bytes(generation);
	else
		generation_free(delta, generation);
}

struct generation *delta_find(const struct delta *delta, uint64_t mark)
{
	struct generation *generation = delta->oldest;

	while (generation && generation->mark != mark)
		generation = generation->next;
	return generation;
}

void delta_hold(struct generation *generation)
{
	generation->walks++;
}

void delta_let_go(struct delta *delta, struct generation *generation)
{
	assert(generation->walks);
	if (--generation->walks || generation->listed)
		return;
	delta->held_bytes -= log_bytes(generation);
	generation_free(delta, generation);
}

uint64_t delta_bytes(const struct delta *delta)
{
	return delta->size_bytes + delta->held_bytes + (delta->recent ? RECENT_KEYS * sizeof(*delta->recent) : 0);
}

/* --- marks --- */

uint64_t delta_mark(struct delta *delta)
{
	uint64_t mark = ++delta->last_mark;
	struct generation *generation;

	/* Without an epoch or memory of its own, the changes go on into the log of the mark before. */
	if (!snapshot_next_epoch(delta->snapshot))
		return mark;
	generation = pages_alloc(delta->pages, sizeof(*generation));
	if (!generation)
		return mark;
	memset(generation, 0, sizeof(*generation));
	generation->mark = mark;
	generation->epoch = delta->snapshot->arena->epoch;
	generation->listed = true;
	if (delta->newest)
		delta->newest->next = generation;
	else
		delta->oldest = generation;
	delta->newest = generation;
	delta->since = generation->epoch;
	forget_recent(delta);
	delta->size_bytes += log_bytes(generation);
	if (++delta->mark_count > MARKS_MAX)
		drop_oldest(delta);
	return mark;
}

void delta_release(struct delta *delta, uint64_t mark)
{
	while (delta->oldest && delta->oldest->mark < mark)
		drop_oldest(delta);
}

bool delta_forget(struct delta *delta)
{
	if (!delta->oldest)
		return false;
	while (delta->oldest)
		drop_oldest(delta);
	return true;
}

void delta_limit(struct delta *delta, uint64_t entry_count, uint64_t payload_bytes)
{
	while (delta->entries > ENTRIES_MIN + entry_count / 2 || delta->size_bytes > BYTES_MIN + payload_bytes / 4)
		drop_oldest(delta);
}

/* --- logging --- */

/* The youngest generation's log is short of this change, and so are all that are open towards it. */
static void account(struct delta *delta, bool added, uint64_t bytes_before)
{
	if (!added) {
		delta_forget(delta);
		return;
	}
	delta->entries++;
	delta->size_bytes += log_bytes(delta->newest) - bytes_before;
}

void delta_log_put(struct delta *delta, uint32_t ref)
{
	uint64_t before = log_bytes(delta->newest);

	account(delta, log_add_ref(&delta->newest->puts, delta->pages, ref), before);
}

/* The keys that are remembered for the hash, the last one first, or NULL if there is no memory for that. */
static const uint8_t **recent_at(struct delta *delta, uint64_t hash)
{
	if (!delta->recent) {
		delta->recent = pages_alloc(delta->pages, RECENT_KEYS * sizeof(*delta->recent));
		if (!delta->recent)
			return NULL;
		memset(delta->recent, 0, RECENT_KEYS * sizeof(*delta->recent));
	}
	return &delta->recent[hash % (RECENT_KEYS / RECENT_WAYS) * RECENT_WAYS];
}

void delta_deleted(struct delta *delta, sb_slice key, uint64_t hash)
{
	const uint8_t **recent = recent_at(delta, hash), *logged;
	uint64_t before = log_bytes(delta->newest);

	for (uint32_t way = 0; recent && way < RECENT_WAYS && recent[way]; ++way) {
		if (log_holds_key(recent[way], key))
			return;
	}
	logged = log_add_key(&delta->newest->deletes, delta->pages, key);
	if (logged && recent) {
		memmove(recent + 1, recent, (RECENT_WAYS - 1) * sizeof(*recent));
		recent[0] = logged;
	}
	account(delta, logged != NULL, before);
}
