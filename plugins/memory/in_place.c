/* SPDX-License-Identifier: Apache-2.0
 *
 * in_place.c: values changed where they lie (sb.inplace/1).
 *
 * A place names its record by reference: records stay where they are until maintain moves them, which nobody calls in a
 * round. It also keeps where the index names the record, so that a copy can take its place without a second lookup;
 * that is void once a block of the index has grown, which an insertion of the same round can do.
 *
 * A record that nobody else looks at is handed out writable by find, and its round costs two visits: find reads it, and
 * finish sets expiry and epoch, and logs the change if it is the first since the mark. One that an open iterator has yet
 * to show is put aside for it, or gets a copy, when, and only if, it is asked for; walks over changes need no care, because
 * they pass by what was put aside, and the epoch that they go by is else set by finish: until then they pass by, or show the copy's original.
 *
 * Invariant: between find and finish a writable place's record is the one that the index names, and nobody else
 * looks at its value. Both can only be changed by calls that the ABI forbids meanwhile, or by a view of
 * other keys, which reads no more of this record than key and state.
 */
#include "backend.h"
#include "error.h"

#include <assert.h>

/* owner[]: the record's reference, and where the index names it, or 0 if it does not yet. */
enum { OWNER_REF, OWNER_AT };

static uint32_t ref_of(const sb_place *place)
{
	return (uint32_t)place->owner[OWNER_REF];
}

/* The index's own word for the record; in a round in which a block of it grew it has to be looked up. */
static uint32_t *name_of(const sb_backend *backend, sb_slice key, const sb_place *place)
{
	struct place at;
	bool found;

	if (place->owner[OWNER_AT] && backend->table.moves == backend->round_moves)
		return (uint32_t *)(uintptr_t)place->owner[OWNER_AT];
	found = table_find(&backend->table, table_hash(&backend->table, key), key, &at);
	assert(found);
	(void)found;
	return &at.chunk->refs[at.slot];
}

static struct record *record_of(const sb_backend *backend, const sb_place *place)
{
	return arena_at(&backend->arena, ref_of(place));
}

/* Everything but kind, and where the index names the record. */
static inline void point_at(sb_place *place, uint32_t ref, const struct record *record, bool writable)
{
	sb_entry entry = record_entry(record, record_state(record));

	place->value = record_bytes_at(record, (uint64_t)(entry.value.ptr - (const uint8_t *)record));
	place->value_len = entry.value.len;
	place->expiry_ms = entry.expiry_ms;
	place->owner[OWNER_REF] = ref;
	place->flags = SB_PLACE_FOUND | (writable ? SB_PLACE_WRITABLE : 0);
}

/* --- find --- */

static inline void answer(const struct snapshot *snapshot, const struct lookup_group *group, sb_place *places)
{
	const bool unseen = snapshot_is_unseen(snapshot);

	for (uint32_t i = 0; i < group->count; ++i) {
		const struct record *record = group->records[i];
		sb_place *place = &places[i];
		uint32_t ref;

		if (__builtin_expect(!record, 0)) {
			*place = (sb_place){0};
			continue;
		}
		ref = *group->at[i];
		point_at(place, ref, record, unseen || snapshot_lets_write(snapshot, ref, record_state(record)));
		place->owner[OWNER_AT] = (uintptr_t)group->at[i];
		place->kind = 0;
		__builtin_prefetch(place->value + place->value_len - 1); /* the caller reads it next */
	}
}

int32_t backend_find(sb_backend *backend, uint64_t n, const sb_slice *keys, sb_place *places, sb_error *err)
{
	const struct lookup_group *group;
	struct lookup lookup;

	(void)err;
	backend->round_moves = backend->table.moves;
	table_lookup_begin(&lookup, &backend->table, n, keys);
	while ((group = table_lookup_next(&lookup))) {
		answer(&backend->snapshot, group, places);
		places += group->count;
	}
	return SB_OK;
}

/* --- write --- */

static void replace(sb_backend *backend, const sb_op *op, struct large *large, sb_place *place)
{
	uint32_t *name = name_of(backend, op->key, place), old = *name;

	assert(old == ref_of(place));
	*name = backend_new_record(backend, op, large);
	point_at(place, *name, arena_at(&backend->arena, *name), true);
	snapshot_retire(&backend->snapshot, old);
}

/* Puts the place's entry into a record of its own, copied from where it lies now, if anywhere. Whoever holds a pin cannot have
 * seen that one. */
static int32_t rewrite(sb_backend *backend, sb_slice key, uint64_t value_len, int64_t expiry_ms, sb_place *place,
		       sb_error *err)
{
	const sb_op op = {key, {place->value, value_len}, expiry_ms, SB_OP_PUT, 0};
	const bool is_new = !(place->flags & SB_PLACE_FOUND);
	uint64_t hash = is_new ? table_hash(&backend->table, key) : 0;
	struct large *large;

	if (!backend_reserve_put(backend, &op, is_new ? &hash : NULL, &large))
		return error_no_memory(err, backend->instance);
	if (is_new) {
		uint32_t ref = backend_new_record(backend, &op, large);

		point_at(place, ref, arena_at(&backend->arena, ref), true);
		table_insert(&backend->table, hash, ref);
		backend->key_bytes += key.len;
		backend->value_bytes += value_len;
	} else {
		replace(backend, &op, large, place);
	}
	return SB_OK;
}

/* Whether the record can be changed where it lies: the iterator that forbade it has gone on since, or what it wants of it is put aside. */
static bool unlock(sb_backend *backend, const sb_place *place)
{
	struct record *record = record_of(backend, place);
	uint32_t ref = ref_of(place), state = record_state(record);

	if (snapshot_may_write(&backend->snapshot, ref, state))
		return true;
	if (!snapshot_save(&backend->snapshot, ref, record))
		return false;
	delta_written(&backend->delta, ref, state_epoch(state)); /* finish will not tell */
	return true;
}

int32_t backend_write(sb_backend *backend, sb_slice key, uint64_t value_len, sb_place *place, sb_error *err)
{
	if (!(place->flags & SB_PLACE_FOUND))
		return rewrite(backend, key, value_len, place->expiry_ms, place, err);
	if (place->flags & SB_PLACE_WRITABLE || unlock(backend, place)) {
		place->flags |= SB_PLACE_WRITABLE;
		return SB_OK;
	}
	return rewrite(backend, key, place->value_len, place->expiry_ms, place, err);
}

/* --- finish --- */

/* An expiry that the header has no room for moves the entry to a block of its own. */
static int32_t finish_put(sb_backend *backend, sb_slice key, sb_place *place, sb_error *err)
{
	int64_t expiry_ms = place->expiry_ms, before;
	struct record *record = record_of(backend, place);
	uint32_t state = record_state(record);

	if (state & KEY_MASK) {
		if (!record_holds_expiry(expiry_ms))
			return rewrite(backend, key, place->value_len, expiry_ms, place, err);
		before = record_expiry(record);
		record_set_meta(record, place->value_len, expiry_ms);
	} else {
		before = record_large(record)->expiry_ms;
		record_large(record)->expiry_ms = expiry_ms;
	}
	delta_written(&backend->delta, ref_of(place), state_epoch(state));
	record_set_state(record, state_live(backend->arena.epoch, state & KEY_MASK));
	/* A later expiry, the usual case, keeps the slab's bound as true as it was. */
	if (expiry_ms < before || before == SB_NO_EXPIRY)
		backend_note_expiry(backend, ref_of(place), expiry_ms);
	return SB_OK;
}

static int32_t finish_delete(sb_backend *backend, sb_slice key, const sb_place *place, sb_error *err)
{
	struct place at;

	if (!(place->flags & SB_PLACE_FOUND) ||
	    !table_find(&backend->table, table_hash(&backend->table, key), key, &at))
		return SB_OK;
	if (!snapshot_reserve(&backend->snapshot, 1) &&
	    !(delta_forget(&backend->delta) && snapshot_reserve(&backend->snapshot, 1)))
		return error_no_memory(err, backend->instance);
	backend_remove(backend, &at);
	return SB_OK;
}

static int32_t finish_one(sb_backend *backend, uint64_t i, sb_slice key, sb_place *place, sb_error *err)
{
	switch (place->kind) {
	case 0:
		return SB_OK;
	case SB_OP_DELETE:
		return finish_delete(backend, key, place, err);
	case SB_OP_PUT:
		if (place->flags & SB_PLACE_WRITABLE)
			return finish_put(backend, key, place, err);
		return error_set(err, SB_ERR_INVALID, 0, "%s: place %llu of the round was written and is not writable",
				 backend->instance, (unsigned long long)i);
	default:
		return error_set(err, SB_ERR_INVALID, 0, "%s: place %llu of the round has the unknown kind %u",
				 backend->instance, (unsigned long long)i, place->kind);
	}
}

int32_t backend_finish(sb_backend *backend, uint64_t n, const sb_slice *keys, sb_place *places, sb_error *err)
{
	for (uint64_t i = 0; i < n; ++i) {
		int32_t status = finish_one(backend, i, keys[i], &places[i], err);

		if (status != SB_OK)
			return status;
	}
	backend_drain(backend, n);
	snapshot_end_batch(&backend->snapshot);
	backend_limit_log(backend);
	return SB_OK;
}
