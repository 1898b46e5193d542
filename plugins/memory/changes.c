/* SPDX-License-Identifier: Apache-2.0
 *
 * changes.c: the walk over what has changed since a mark; delta.h has the argument why it gives the right
 * content, snapshot.h why it may run beside the owner.
 *
 * The logged references lead all over the slabs, so each record is a cache miss. The walk looks ahead
 * in the log, first for the slab's descriptor, then for the record.
 */
#include "delta.h"
#include "error.h"

#include <stdlib.h>

#define SLABS_AHEAD 32u
#define RECORDS_AHEAD 16u

/* What the walk takes from one generation. */
struct part {
	struct generation *generation; /* for the owner */
	struct log_span deletes, puts;
	uint32_t from, to; /* epochs: what was written since is in the log of a later part */
};

struct sb_changes {
	struct view view;
	/* Written by the owner in changes_open only. */
	struct delta *delta;
	const struct arena *arena;
	uint32_t part_count;
	/* The walker's own. */
	bool at_puts;
	uint32_t part;
	struct log_cursor cursor;
	struct part parts[];
};

/* --- opening and freeing, on the owner's thread --- */

static void free_changes(struct view *view)
{
	sb_changes *changes = (sb_changes *)view;

	for (uint32_t i = 0; i < changes->part_count; ++i)
		delta_let_go(changes->delta, changes->parts[i].generation);
	free(changes);
}

static sb_changes *make_changes(struct delta *delta, struct generation *first)
{
	uint32_t part_count = 0;
	sb_changes *changes;
	size_t size_bytes;

	for (const struct generation *g = first; g; g = g->next)
		part_count++;
	size_bytes = (sizeof(*changes) + part_count * sizeof(struct part) + 63) & ~(size_t)63;
	changes = aligned_alloc(64, size_bytes);
	if (!changes)
		return NULL;
	memset(changes, 0, size_bytes);
	changes->delta = delta;
	changes->arena = delta->snapshot->arena;
	for (struct generation *g = first; g; g = g->next) {
		changes->parts[changes->part_count++] = (struct part){
			g,
			log_span(&g->deletes),
			log_span(&g->puts),
			g->epoch,
			g->next ? g->next->epoch : changes->arena->epoch,
		};
		delta_hold(g);
	}
	changes->cursor.chunk = changes->parts[0].deletes.first;
	return changes;
}

int32_t delta_changes_open(struct delta *delta, uint64_t since, const char *instance, sb_changes **ret_changes,
			   sb_error *err)
{
	struct generation *first;
	sb_changes *changes;

	/* The epoch comes before the search that counts, because it may forget marks. */
	if (delta_find(delta, since) && !snapshot_next_epoch(delta->snapshot))
		return error_epochs(err, instance);
	first = delta_find(delta, since);
	if (!first)
		return error_set(
			err, SB_ERR_NOT_FOUND, 0,
			"%s: what has changed since mark %llu is not known any more, because it was released, too "
			"much has changed, or memory was short; read everything instead",
			instance, (unsigned long long)since);
	changes = make_changes(delta, first);
	if (!changes)
		return error_no_memory(err, instance);
	snapshot_add_view(delta->snapshot, &changes->view, first->epoch, free_changes);
	*ret_changes = changes;
	return SB_OK;
}

/* --- walking, on any thread --- */

static void next_part(sb_changes *changes)
{
	changes->part++;
	if (changes->part == changes->part_count && !changes->at_puts) {
		changes->at_puts = true;
		changes->part = 0;
	}
	changes->cursor = (struct log_cursor){NULL, 0};
	if (changes->part < changes->part_count)
		changes->cursor.chunk = changes->at_puts ? changes->parts[changes->part].puts.first
							 : changes->parts[changes->part].deletes.first;
}

static uint64_t take_deletes(sb_changes *changes, uint64_t max, sb_op *ops)
{
	const struct part *part = &changes->parts[changes->part];
	uint64_t count = 0;
	sb_slice key;

	while (count < max && log_next_key(&part->deletes, &changes->cursor, &key))
		ops[count++] = (sb_op){.key = key, .kind = SB_OP_DELETE};
	return count;
}

/* The record at a logged reference, or NULL when there is none for this walk. Since it was logged, the slab may
 * have been given back, and have come back for records of another size. */
static const struct record *record_at(const sb_changes *changes, uint32_t ref)
{
	const struct slab *slab = arena_slab(changes->arena, ref_slab(ref));
	uint32_t granule = ref & (SLAB_BYTES / RECORD_GRANULE - 1);

	if (atomic_load_explicit(&slab->born, memory_order_relaxed) >= changes->view.epoch)
		return NULL;
	if (granule >= (uint32_t)slab->used * slab->stride || granule % slab->stride)
		return NULL;
	return arena_at(changes->arena, ref);
}

static bool is_wanted(const sb_changes *changes, const struct part *part, uint32_t state)
{
	uint32_t epoch = state_epoch(state);

	if (state & STATE_DEAD) /* since the walk was opened: then it was live, and written after the mark */
		return epoch >= changes->view.epoch;
	return epoch >= part->from && epoch < part->to;
}

static void look_ahead(const sb_changes *changes, const uint8_t *refs, uint64_t count)
{
	const struct record *record;
	uint32_t ref;

	__asm__ volatile(""); /* else gcc drops the prefetches; see table.c */
	if (count > SLABS_AHEAD) {
		memcpy(&ref, refs + SLABS_AHEAD * sizeof(ref), sizeof(ref));
		__builtin_prefetch(arena_slab(changes->arena, ref_slab(ref)));
	}
	if (count <= RECORDS_AHEAD)
		return;
	memcpy(&ref, refs + RECORDS_AHEAD * sizeof(ref), sizeof(ref));
	record = record_at(changes, ref);
	if (!record)
		return;
	__builtin_prefetch(record);
	__builtin_prefetch((const uint8_t *)record + 64); /* the value; what lies further the processor guesses */
}

static uint64_t take_puts(sb_changes *changes, uint64_t max, sb_op *ops)
{
	const struct part *part = &changes->parts[changes->part];
	uint64_t count = 0;
	sb_slice rest;

	while (count < max && (rest = log_rest(&part->puts, &changes->cursor)).len) {
		uint64_t ahead = rest.len / sizeof(uint32_t);

		for (; ahead && count < max; --ahead, rest.ptr += sizeof(uint32_t)) {
			const struct record *record;
			uint32_t ref, state;
			sb_entry entry;

			look_ahead(changes, rest.ptr, ahead);
			memcpy(&ref, rest.ptr, sizeof(ref));
			changes->cursor.at += (uint32_t)sizeof(ref);
			record = record_at(changes, ref);
			if (!record)
				continue;
			state = record_state(record);
			if (state == STATE_FREE || !is_wanted(changes, part, state))
				continue;
			entry = record_entry(record, state);
			ops[count++] = (sb_op){entry.key, entry.value, entry.expiry_ms, SB_OP_PUT, 0};
		}
	}
	return count;
}

int32_t delta_changes_next(sb_changes *changes, uint64_t max, sb_op *ops, uint64_t *ret_count, sb_error *err)
{
	uint64_t count = 0;

	(void)err;
	while (changes->part < changes->part_count) {
		if (changes->at_puts)
			count += take_puts(changes, max - count, ops + count);
		else
			count += take_deletes(changes, max - count, ops + count);
		if (count == max)
			break;
		next_part(changes);
	}
	*ret_count = count;
	return SB_OK;
}

void delta_changes_close(sb_changes *changes)
{
	snapshot_close_view(&changes->view);
}
