/* SPDX-License-Identifier: Apache-2.0
 *
 * in_place.c: values changed where they lie (sb.inplace/1).
 *
 * A place knows its record by address and by reference: records stay where they are until maintain moves them, which nobody calls
 * in a round. Where the index names it is looked up again in the rare case that a copy takes its place.
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

/* owner[]: the record, and its reference. */
enum { OWNER_RECORD, OWNER_REF };

static inline struct record *record_of(const sb_place *place)
{
	return (struct record *)(uintptr_t)place->owner[OWNER_RECORD];
}

static inline uint32_t ref_of(const sb_place *place)
{
	return (uint32_t)place->owner[OWNER_REF];
}

/* Everything but kind. */
static inline void point_at(sb_place *place, uint32_t ref, const struct record *record, bool writable)
{
	sb_entry entry = record_entry(record, record_state(record));

	place->value = record_bytes_at(record, (uint64_t)(entry.value.ptr - (const uint8_t *)record));
	place->value_len = entry.value.len;
	place->expiry_ms = entry.expiry_ms;
	place->owner[OWNER_RECORD] = (uintptr_t)record;
	place->owner[OWNER_REF] = ref;
	place->flags = SB_PLACE_FOUND | (uint32_t)writable * SB_PLACE_WRITABLE;
}

/* --- find --- */

static inline void answer(const struct table *table, const struct snapshot *snapshot, struct lookup_group *group,
			  sb_place *places)
{
	const bool unseen = snapshot_is_unseen(snapshot);

	for (uint32_t i = 0; i < group->count; ++i) {
		const struct record *record = table_lookup_record(table, group, i);
		sb_place *place = &places[i];

		if (__builtin_expect(!record, 0)) {
			*place = (sb_place){0};
			continue;
		}
		point_at(place, group->refs[i], record,
			 unseen || snapshot_lets_write(snapshot, group->refs[i], record_state(record)));
		place->kind = 0;
		__builtin_prefetch(place->value + place->value_len - 1); /* the caller reads it next */
	}
}

int32_t backend_find(sb_backend *backend, uint64_t n, const sb_slice *keys, sb_place *places, sb_error *err)
{
	struct lookup_group *group;
	struct lookup lookup;

	(void)err;
	table_lookup_begin(&lookup, &backend->table, n, keys);
	while ((group = table_lookup_next(&lookup))) {
		answer(&backend->table, &backend->snapshot, group, places);
		places += group->count;
	}
	return SB_OK;
}

/* --- write --- */

static void replace(sb_backend *backend, const sb_op *op, struct large *large, sb_place *place)
{
	uint32_t old = ref_of(place), ref;
	struct place at;
	bool found = table_find(&backend->table, table_hash(&backend->table, op->key), op->key, &at);

	assert(found && place_ref(&at) == old);
	(void)found;
	ref = backend_new_record(backend, op, large);
	place_set_ref(&at, ref);
	point_at(place, ref, arena_at(&backend->arena, ref), true);
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
	struct record *record = record_of(place);
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

/* Whether the bound of the slab, at or below the expiries in it, stays as true as it was. */
static inline bool keeps_bound(int64_t before, int64_t expiry_ms)
{
	return expiry_ms >= before && (before != SB_NO_EXPIRY || expiry_ms == SB_NO_EXPIRY);
}

/* The usual case: a record with a key of usual length that is written again after the mark and expires later than it did, or never. False:
 * it is another one, and nothing was done. */
static inline bool finish_usual_put(sb_backend *backend, const sb_place *place)
{
	struct record *record = record_of(place);
	uint32_t state;

	if (place->kind != SB_OP_PUT || place->flags != (SB_PLACE_FOUND | SB_PLACE_WRITABLE))
		return false;
	state = record_state(record);
	if (!(state & KEY_MASK) || !record_holds_expiry(place->expiry_ms) ||
	    !keeps_bound(record_expiry(record), place->expiry_ms) || delta_wants(&backend->delta, state_epoch(state)))
		return false;
	record_set_meta(record, place->value_len, place->expiry_ms);
	record_set_state(record, state_live(backend->arena.epoch, state & KEY_MASK));
	return true;
}

/* An expiry that the header has no room for moves the entry to a block of its own. */
static int32_t finish_put(sb_backend *backend, sb_slice key, sb_place *place, sb_error *err)
{
	int64_t expiry_ms = place->expiry_ms, before;
	struct record *record = record_of(place);
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
	if (!keeps_bound(before, expiry_ms))
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

static __attribute__((noinline)) int32_t finish_one(sb_backend *backend, uint64_t i, sb_slice key, sb_place *place,
						    sb_error *err)
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
		int32_t status;

		if (__builtin_expect(finish_usual_put(backend, &places[i]), 1))
			continue;
		status = finish_one(backend, i, keys[i], &places[i], err);
		if (status != SB_OK)
			return status;
	}
	backend_drain(backend, n);
	snapshot_end_batch(&backend->snapshot);
	backend_limit_log(backend);
	return SB_OK;
}
