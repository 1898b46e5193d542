/* SPDX-License-Identifier: Apache-2.0
 *
 * Iterators. A RocksDB iterator holds the files and memtables of the moment that it
 * was created, so it is a stable view without a snapshot, and no compaction, nor
 * its filter, changes what it shows. It may be read and closed on another thread
 * than its instance's; it reads nothing of the instance but names and the database.
 *
 * To create one over a hashed memtable sorts all of that, which may take a second. Then opening only takes a snapshot,
 * and the iterator is left to the first iter_next(), that is, to the checkpoint's thread. A compaction in between may purge what
 * expired below the horizon, which iterators may leave out anyway.
 *
 * Several entries a call must stay valid together, while RocksDB keeps only the
 * current one. They are copied into a buffer of the iterator's. RocksDB's pin_data
 * would spare the copy, but it holds every block that the iterator has passed until
 * it is closed (a full checkpoint would pull the state into memory) and wants keys
 * stored without delta encoding. The copy was measured: see the README.
 *
 * The buffer is fixed, so entries handed out never move. The last entry of a call
 * is not copied: it is handed out where RocksDB holds it, and the step to the next
 * is put off to the next call. So an entry of any size fits, and one that is larger
 * than the buffer is never copied at all.
 */
#include <stdlib.h>
#include <string.h>

#include "rocksdb_private.h"

#define LONG_BUFFER_BYTES ((size_t)256 << 10)
#define SHORT_BUFFER_BYTES ((size_t)4 << 10)
#define READAHEAD_BYTES ((size_t)1 << 20)

struct sb_iter {
	const struct sb_backend *backend; /* for what never changes: names, the database */
	rocksdb_readoptions_t *options;
	const rocksdb_snapshot_t *snapshot;
	rocksdb_iterator_t *position;
	bool started;
	uint8_t *bounds; /* lower, then upper; options point into it */
	bool step_due; /* the entry at position was handed out in place */
	size_t buffer_size;
	uint8_t buffer[];
};

static int32_t copy_bounds(struct sb_iter *iter, const sb_iter_options *options, sb_error *err)
{
	size_t lower = options->lower.len;
	size_t upper = options->upper.len;

	iter->bounds = malloc(lower + upper + 1);
	if (!iter->bounds)
		return errors_no_memory(iter->backend, "iterate over", err);
	if (lower) {
		memcpy(iter->bounds, options->lower.ptr, lower);
		rocksdb_readoptions_set_iterate_lower_bound(iter->options, (const char *)iter->bounds, lower);
	}
	if (upper) {
		memcpy(iter->bounds + lower, options->upper.ptr, upper);
		rocksdb_readoptions_set_iterate_upper_bound(iter->options, (const char *)iter->bounds + lower, upper);
	}
	return SB_OK;
}

/* Under a hashed memtable only a total order shows every key. A long scan reads
 * ahead and must not push the working set out of the cache; a short one is part
 * of the working set. */
static void set_scanning(rocksdb_readoptions_t *options, bool short_scan)
{
	rocksdb_readoptions_set_total_order_seek(options, 1);
	rocksdb_readoptions_set_background_purge_on_iterator_cleanup(options, 1);
	if (short_scan)
		return;
	rocksdb_readoptions_set_fill_cache(options, 0);
	rocksdb_readoptions_set_readahead_size(options, READAHEAD_BYTES);
}

static void create(struct sb_iter *iter)
{
	const struct engine *engine = &iter->backend->engine;

	iter->position = rocksdb_create_iterator_cf(engine->db, iter->options, engine->family);
}

int32_t iter_open(sb_backend *backend, const sb_iter_options *options, sb_iter **ret_iter, sb_error *err)
{
	bool short_scan = (options->flags & SB_ITER_SHORT) != 0;
	size_t buffer_size = short_scan ? SHORT_BUFFER_BYTES : LONG_BUFFER_BYTES;
	struct sb_iter *iter = malloc(sizeof(*iter) + buffer_size);

	if (!iter)
		return errors_no_memory(backend, "iterate over", err);
	*iter = (struct sb_iter){
		.backend = backend,
		.options = rocksdb_readoptions_create(),
		.buffer_size = buffer_size,
	};
	set_scanning(iter->options, short_scan);

	int32_t status = copy_bounds(iter, options, err);

	if (status != SB_OK) {
		iter_close(iter);
		return status;
	}
	if (backend->settings.value[OPTION_MEMTABLE] == MEMTABLE_HASH_LINKEDLIST && !short_scan) {
		iter->snapshot = rocksdb_create_snapshot(backend->engine.db);
		rocksdb_readoptions_set_snapshot(iter->options, iter->snapshot);
	} else {
		create(iter);
	}
	*ret_iter = iter;
	return SB_OK;
}

void iter_close(sb_iter *iter)
{
	if (!iter)
		return;
	if (iter->position)
		rocksdb_iter_destroy(iter->position);
	if (iter->snapshot)
		rocksdb_release_snapshot(iter->backend->engine.db, iter->snapshot);
	rocksdb_readoptions_destroy(iter->options);
	free(iter->bounds);
	free(iter);
}

/* Brings position to the first entry that was not handed out. */
static void settle(struct sb_iter *iter)
{
	if (!iter->position)
		create(iter);
	if (!iter->started)
		rocksdb_iter_seek_to_first(iter->position); /* honours the lower bound */
	else if (iter->step_due)
		rocksdb_iter_next(iter->position);
	iter->started = true;
	iter->step_due = false;
}

static int32_t look(const struct sb_iter *iter, sb_entry *ret_entry, sb_error *err)
{
	size_t key_size;
	size_t size;
	const uint8_t *key = (const uint8_t *)rocksdb_iter_key(iter->position, &key_size);
	const uint8_t *stored = (const uint8_t *)rocksdb_iter_value(iter->position, &size);

	if (size < EXPIRY_BYTES)
		return errors_short_value(iter->backend, (sb_slice){key, key_size}, err);
	*ret_entry = (sb_entry){
		.key = {key, key_size},
		.value = {stored + EXPIRY_BYTES, size - EXPIRY_BYTES},
		.expiry_ms = expiry_load(stored),
	};
	return SB_OK;
}

static sb_slice copy(uint8_t *to, sb_slice from)
{
	memcpy(to, from.ptr, from.len);
	return (sb_slice){to, from.len};
}

/* RocksDB ends a walk in the same way at the end and at an error. */
static int32_t check_end(const struct sb_iter *iter, sb_error *err)
{
	char *message = NULL;

	rocksdb_iter_get_error(iter->position, &message);
	return message ? errors_take(iter->backend, "iterate over", message, err) : SB_OK;
}

int32_t iter_next(sb_iter *iter, uint64_t max, sb_entry *entries, uint64_t *ret_count, sb_error *err)
{
	size_t used = 0;
	uint64_t count = 0;

	if (max == 0) {
		*ret_count = 0;
		return SB_OK;
	}
	settle(iter);
	while (rocksdb_iter_valid(iter->position)) {
		sb_entry *entry = &entries[count];
		int32_t status = look(iter, entry, err);

		if (status != SB_OK)
			return status;
		count++;
		if (count == max || entry->key.len + entry->value.len > iter->buffer_size - used) {
			iter->step_due = true;
			*ret_count = count;
			return SB_OK;
		}
		entry->key = copy(iter->buffer + used, entry->key);
		used += entry->key.len;
		entry->value = copy(iter->buffer + used, entry->value);
		used += entry->value.len;
		rocksdb_iter_next(iter->position);
	}

	int32_t status = check_end(iter, err);

	if (status == SB_OK)
		*ret_count = count;
	return status;
}
