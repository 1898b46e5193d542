/* SPDX-License-Identifier: Apache-2.0
 *
 * backend.c: opening and closing, reading and writing in batches.
 *
 * Both go through a batch in groups of TABLE_GROUP keys: hash them all and prefetch their
 * chunks, then prefetch the records that the chunks propose, then probe. At ten
 * million entries each of those is a cache miss of its own, and a group has them in
 * flight together.
 *
 * A write batch is all or nothing: it is checked first, then everything that can fail is
 * reserved (slots of each size, large blocks, room in the index, room in
 * limbo), and applying it cannot fail. What was reserved and not needed is not
 * given back: it is what the next batch will use. The log of changes needs no reservation: when there
 * is no memory for it, its marks are forgotten, and the batch goes on.
 */
#include "backend.h"
#include "error.h"

#include <stdlib.h>

#define KEY_BYTES_MAX (UINT64_C(1) << 20)
#define VALUE_BYTES_MAX ((UINT64_C(64) << 20) + 4096)
/* Records in limbo that are looked at for each operation, while an iterator is open
 * and most of them are still awaited, and else. */
#define DRAIN_SHARE 2u
#define DRAIN_FACTOR 4u

/* --- life --- */

static void set_options(sb_backend *backend, const sb_backend_config *config)
{
	backend->host = config->host;
	backend->instance = config->instance;
	backend->pages.huge = config->options[OPTION_HUGE_PAGES].i64 != 0;
	backend->pages.limit_bytes = (uint64_t)config->options[OPTION_MEMORY_LIMIT].i64;
}

int32_t backend_open(const sb_backend_config *config, sb_backend **ret_backend, sb_error *err)
{
	sb_backend *backend;

	if (config->flags & SB_OPEN_READ_ONLY)
		return error_set(err, SB_ERR_UNSUPPORTED, 0,
				 "%s: the memory backend keeps nothing in %s that could be opened read-only; restore "
				 "from a checkpoint instead",
				 config->instance, config->dir);
	if (config->option_count < OPTION_COUNT)
		return error_set(err, SB_ERR_INVALID, 0, "%s: got %llu options instead of %d", config->instance,
				 (unsigned long long)config->option_count, OPTION_COUNT);
	backend = aligned_alloc(64, sizeof(*backend));
	if (!backend)
		return error_no_memory(err, config->instance);
	memset(backend, 0, sizeof(*backend));
	set_options(backend, config);
	snapshot_init(&backend->snapshot, &backend->arena, &backend->delta);
	delta_init(&backend->delta, &backend->snapshot, &backend->pages);
	if (!arena_init(&backend->arena, &backend->pages) ||
	    !table_init(&backend->table, &backend->arena, &backend->pages,
			(uint64_t)config->options[OPTION_INITIAL_CAPACITY].i64)) {
		backend_close(backend);
		return error_no_memory(err, config->instance);
	}
	*ret_backend = backend;
	return SB_OK;
}

static void free_scratch(sb_backend *backend)
{
	pages_free(&backend->pages, backend->hashes, backend->scratch_capacity * sizeof(*backend->hashes));
	pages_free(&backend->pages, backend->larges, backend->scratch_capacity * sizeof(*backend->larges));
	backend->hashes = NULL;
	backend->larges = NULL;
	backend->scratch_capacity = 0;
}

void backend_close(sb_backend *backend)
{
	snapshot_done(&backend->snapshot);
	delta_done(&backend->delta);
	table_done(&backend->table);
	arena_done(&backend->arena);
	free_scratch(backend);
	free(backend);
}

/* --- reading --- */

static void answer(sb_backend *backend, struct lookup_group *group, sb_pin *pins)
{
	memset(pins, 0, group->count * sizeof(*pins));
	for (uint32_t i = 0; i < group->count; ++i) {
		const struct record *record = table_lookup_record(&backend->table, group, i);
		sb_entry entry;

		if (!record)
			continue;
		entry = record_entry(record, record_state(record));
		pins[i].value = entry.value;
		pins[i].expiry_ms = entry.expiry_ms;
		pins[i].found = 1;
		snapshot_pin(&backend->snapshot, &pins[i]);
		__builtin_prefetch(entry.value.ptr + entry.value.len); /* the caller reads it next */
	}
}

int32_t backend_multi_get(sb_backend *backend, uint64_t n, const sb_slice *keys, sb_pin *pins, sb_error *err)
{
	struct lookup_group *group;
	struct lookup lookup;

	(void)err;
	table_lookup_begin(&lookup, &backend->table, n, keys);
	while ((group = table_lookup_next(&lookup))) {
		answer(backend, group, pins);
		pins += group->count;
	}
	return SB_OK;
}

void backend_unpin(sb_backend *backend, uint64_t n, sb_pin *pins)
{
	for (uint64_t i = 0; i < n; ++i) {
		if (pins[i].found)
			snapshot_unpin(&backend->snapshot, &pins[i]);
	}
}

/* --- writing: checking and reserving --- */

static int32_t check_op(const sb_backend *backend, uint64_t i, const sb_op *op, sb_error *err)
{
	unsigned long long index = i;

	if (op->kind != SB_OP_PUT && op->kind != SB_OP_DELETE)
		return error_set(err, SB_ERR_INVALID, 0, "%s: operation %llu of the batch has the unknown kind %u",
				 backend->instance, index, op->kind);
	if (op->key.len == 0 || op->key.len > KEY_BYTES_MAX)
		return error_set(err, SB_ERR_INVALID, 0,
				 "%s: operation %llu of the batch has a key of %llu bytes; 1 to 1048576 are allowed",
				 backend->instance, index, (unsigned long long)op->key.len);
	if (op->kind == SB_OP_PUT && op->value.len > VALUE_BYTES_MAX)
		return error_set(err, SB_ERR_INVALID, 0,
				 "%s: operation %llu of the batch has a value of %llu bytes; up to %llu are allowed",
				 backend->instance, index, (unsigned long long)op->value.len,
				 (unsigned long long)VALUE_BYTES_MAX);
	return SB_OK;
}

static bool reserve_scratch(sb_backend *backend, uint64_t n)
{
	uint64_t capacity = n < 256 ? 256 : n;

	if (n <= backend->scratch_capacity)
		return true;
	free_scratch(backend);
	backend->hashes = pages_alloc(&backend->pages, capacity * sizeof(*backend->hashes));
	if (!backend->hashes)
		return false;
	backend->larges = pages_alloc(&backend->pages, capacity * sizeof(*backend->larges));
	if (!backend->larges) {
		pages_free(&backend->pages, backend->hashes, capacity * sizeof(*backend->hashes));
		backend->hashes = NULL;
		return false;
	}
	backend->scratch_capacity = capacity;
	return true;
}

static uint32_t class_of_op(const sb_op *op)
{
	return class_of_entry(op->key.len, op->value.len, op->expiry_ms);
}

static bool reserve_slots(sb_backend *backend, uint64_t n, const sb_op *ops)
{
	uint64_t need[CLASS_COUNT] = {0};

	for (uint64_t i = 0; i < n; ++i) {
		if (ops[i].kind == SB_OP_PUT)
			need[class_of_op(&ops[i])]++;
	}
	for (uint32_t class = 0; class < CLASS_COUNT; ++class) {
		if (need[class] && !arena_reserve(&backend->arena, class, need[class]))
			return false;
	}
	return true;
}

static struct large *make_large(sb_backend *backend, const sb_op *op)
{
	struct large *large = arena_large(&backend->arena, op->key.len, op->value.len);

	if (!large)
		return NULL;
	large->expiry_ms = op->expiry_ms;
	if (op->value.ptr)
		memcpy(large->bytes, op->value.ptr, op->value.len);
	memcpy(large->bytes + op->value.len, op->key.ptr, op->key.len);
	return large;
}

/* larges[i] is the block of the i-th operation if it needs one. */
static bool make_larges(sb_backend *backend, uint64_t n, const sb_op *ops)
{
	for (uint64_t i = 0; i < n; ++i) {
		backend->larges[i] = NULL;
		if (ops[i].kind != SB_OP_PUT || !record_is_large(ops[i].key.len, ops[i].value.len, ops[i].expiry_ms))
			continue;
		backend->larges[i] = make_large(backend, &ops[i]);
		if (backend->larges[i])
			continue;
		while (i--) {
			if (backend->larges[i])
				arena_free_large(&backend->arena, backend->larges[i]);
		}
		return false;
	}
	return true;
}

static bool reserve_one(sb_backend *backend, const sb_op *op, const uint64_t *hash, struct large **ret_large)
{
	struct large *large = NULL;

	if (!snapshot_reserve(&backend->snapshot, 1) || !arena_reserve(&backend->arena, class_of_op(op), 1) ||
	    (hash && !table_reserve(&backend->table, hash, 1)))
		return false;
	if (record_is_large(op->key.len, op->value.len, op->expiry_ms) && !(large = make_large(backend, op)))
		return false;
	*ret_large = large;
	return true;
}

bool backend_reserve_put(sb_backend *backend, const sb_op *op, const uint64_t *hash, struct large **ret_large)
{
	return reserve_one(backend, op, hash, ret_large) ||
	       (delta_forget(&backend->delta) && reserve_one(backend, op, hash, ret_large));
}

/* Deletions count as insertions: telling them apart would cost more than the room. */
static bool reserve(sb_backend *backend, uint64_t n, const sb_op *ops)
{
	if (!reserve_scratch(backend, n))
		return false;
	for (uint64_t i = 0; i < n; ++i)
		backend->hashes[i] = table_hash(&backend->table, ops[i].key);
	return snapshot_reserve(&backend->snapshot, n) && reserve_slots(backend, n, ops) &&
	       table_reserve(&backend->table, backend->hashes, n) && make_larges(backend, n, ops);
}

/* --- writing: applying --- */

void backend_note_expiry(sb_backend *backend, uint32_t ref, int64_t expiry_ms)
{
	struct slab *slab = arena_slab(&backend->arena, ref_slab(ref));

	if (expiry_ms != SB_NO_EXPIRY && expiry_ms < slab->min_expiry_ms)
		slab->min_expiry_ms = expiry_ms;
}

uint32_t backend_new_record(sb_backend *backend, const sb_op *op, struct large *large)
{
	uint32_t epoch_before, ref = arena_take(&backend->arena, class_of_op(op), &epoch_before);
	struct record *record = arena_at(&backend->arena, ref);

	if (large) {
		record_set_large(record, large);
		record_set_state(record, state_live(backend->arena.epoch, 0));
	} else {
		memcpy(record_bytes_at(record, RECORD_KEY_OFFSET), op->key.ptr, op->key.len);
		if (op->value.ptr)
			memcpy(record_bytes_at(record, record_value_offset(op->key.len)), op->value.ptr, op->value.len);
		record_set_meta(record, op->value.len, op->expiry_ms);
		record_set_state(record, state_live(backend->arena.epoch, op->key.len));
	}
	backend_note_expiry(backend, ref, op->expiry_ms);
	delta_written(&backend->delta, ref, epoch_before);
	return ref;
}

/* Changes the record where it lies, if nobody looks at it and the size allows it. */
static bool overwrite(sb_backend *backend, uint32_t ref, const sb_op *op, const sb_entry *old)
{
	struct record *record = arena_at(&backend->arena, ref);
	uint32_t state = record_state(record);

	if (!(state & KEY_MASK) || class_of_op(op) != class_of_entry(old->key.len, old->value.len, 0) ||
	    !(snapshot_may_write(&backend->snapshot, ref, state) || snapshot_save(&backend->snapshot, ref, record)))
		return false;
	delta_written(&backend->delta, ref, state_epoch(state));
	if (op->value.len)
		memcpy(record_bytes_at(record, record_value_offset(op->key.len)), op->value.ptr, op->value.len);
	record_set_meta(record, op->value.len, op->expiry_ms);
	record_set_state(record, state_live(backend->arena.epoch, op->key.len));
	/* A later expiry, the usual case, keeps the slab's bound as true as it was. */
	if (op->expiry_ms < old->expiry_ms || old->expiry_ms == SB_NO_EXPIRY)
		backend_note_expiry(backend, ref, op->expiry_ms);
	return true;
}

static void put(sb_backend *backend, uint64_t hash, const sb_op *op, struct large *large)
{
	struct place place;
	uint32_t ref;
	sb_entry old;

	if (!table_find(&backend->table, hash, op->key, &place)) {
		table_insert(&backend->table, hash, backend_new_record(backend, op, large));
		backend->key_bytes += op->key.len;
		backend->value_bytes += op->value.len;
		return;
	}
	ref = place_ref(&place);
	old = record_entry(arena_at(&backend->arena, ref), record_state(arena_at(&backend->arena, ref)));
	backend->value_bytes += op->value.len - old.value.len;
	if (!large && overwrite(backend, ref, op, &old))
		return;
	place_set_ref(&place, backend_new_record(backend, op, large));
	snapshot_retire(&backend->snapshot, ref);
}

void backend_remove(sb_backend *backend, const struct place *place)
{
	uint32_t ref = place_ref(place);
	const struct record *record = arena_at(&backend->arena, ref);
	sb_entry entry = record_entry(record, record_state(record));

	backend->key_bytes -= entry.key.len;
	backend->value_bytes -= entry.value.len;
	if (delta_is_logging(&backend->delta))
		delta_deleted(&backend->delta, entry.key, table_hash(&backend->table, entry.key));
	table_remove(&backend->table, place);
	snapshot_retire(&backend->snapshot, ref);
}

void backend_drain(sb_backend *backend, uint64_t n)
{
	snapshot_drain(&backend->snapshot, backend->snapshot.open ? n / DRAIN_SHARE + 1 : n * DRAIN_FACTOR + 1);
}

void backend_limit_log(sb_backend *backend)
{
	delta_limit(&backend->delta, backend->table.count, backend->key_bytes + backend->value_bytes);
}

static void apply_group(sb_backend *backend, uint32_t n, const sb_op *ops, const uint64_t *hashes,
			struct large **larges)
{
	table_prefetch_group(&backend->table, n, hashes);
	for (uint32_t i = 0; i < n; ++i) {
		struct place place;

		if (ops[i].kind == SB_OP_PUT)
			put(backend, hashes[i], &ops[i], larges[i]);
		else if (table_find(&backend->table, hashes[i], ops[i].key, &place))
			backend_remove(backend, &place);
	}
}

int32_t backend_write_batch(sb_backend *backend, uint64_t n, const sb_op *ops, sb_error *err)
{
	for (uint64_t i = 0; i < n; ++i) {
		int32_t status = check_op(backend, i, &ops[i], err);

		if (status != SB_OK)
			return status;
	}
	backend_drain(backend, n);
	if (!reserve(backend, n, ops) && !(delta_forget(&backend->delta) && reserve(backend, n, ops)))
		return error_no_memory(err, backend->instance);
	for (uint64_t i = 0; i < n; i += TABLE_GROUP)
		apply_group(backend, n - i < TABLE_GROUP ? (uint32_t)(n - i) : TABLE_GROUP, ops + i,
			    backend->hashes + i, backend->larges + i);
	snapshot_end_batch(&backend->snapshot);
	backend_limit_log(backend);
	return SB_OK;
}

int32_t backend_iter_open(sb_backend *backend, const sb_iter_options *options, sb_iter **ret_iter, sb_error *err)
{
	snapshot_drain(&backend->snapshot, 0); /* frees closed iterators, and so the slabs that they sealed */
	return snapshot_iter_open(&backend->snapshot, options, backend->instance, ret_iter, err);
}

/* --- marks and changes --- */

int32_t backend_mark(sb_backend *backend, uint64_t *ret_mark, sb_error *err)
{
	(void)err;
	snapshot_drain(&backend->snapshot, 0);
	*ret_mark = delta_mark(&backend->delta);
	return SB_OK;
}

int32_t backend_changes_open(sb_backend *backend, uint64_t since, sb_changes **ret_changes, sb_error *err)
{
	snapshot_drain(&backend->snapshot, 0);
	return delta_changes_open(&backend->delta, since, backend->instance, ret_changes, err);
}

void backend_release(sb_backend *backend, uint64_t mark)
{
	snapshot_drain(&backend->snapshot, 0);
	delta_release(&backend->delta, mark);
}
