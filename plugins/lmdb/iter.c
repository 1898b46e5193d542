/* SPDX-License-Identifier: Apache-2.0
 *
 * Iterators: a read transaction of their own, which shows the moment that it began and may be used
 * by another thread (MDB_NOTLS), and a cursor for each database.
 *
 * Entries point into the map: nothing is copied but keys of more than 510 bytes, which lie in pieces and are put together in a
 * buffer. The buffer holds one, so such an entry is the last of its call.
 *
 * Opening begins the transaction and nothing else. The first seek, which reads pages, is left to the first iter_next().
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lmdb_private.h"

struct sb_iter {
	struct sb_backend *backend; /* its names, its databases, and the count of readers */
	MDB_txn *txn;
	MDB_cursor *top; /* in "entries"; stays on the link while we are below it */
	MDB_cursor *deep; /* in "tails" */
	uint64_t *path; /* layers above and at the position; path[0] is LAYER_TOP */
	size_t depth, path_room;
	uint8_t *key; /* what the links on the path hold of the key, then the rest */
	size_t key_room;
	bool started, ended;
	sb_slice lower, upper; /* in bounds */
	uint8_t bounds[];
};

static uint64_t layer_now(const sb_iter *iter)
{
	return iter->path[iter->depth];
}

/* How many bytes of the key lie above a layer of that depth. */
static size_t bytes_above(size_t depth)
{
	return depth ? layer_chunk(LAYER_TOP) + (depth - 1) * layer_chunk(LAYER_TOP + 1) : 0;
}

static bool reserve(sb_iter *iter)
{
	size_t path_room = 2 * (iter->depth + 8);
	size_t key_room = bytes_above(path_room + 1) + NODE_KEY_BYTES;
	uint64_t *path;
	uint8_t *key;

	if (iter->depth + 1 < iter->path_room)
		return true;
	path = realloc(iter->path, path_room * sizeof(*path));
	if (!path)
		return false;
	iter->path = path;
	key = realloc(iter->key, key_room);
	if (!key)
		return false;
	iter->key = key;
	iter->path_room = path_room;
	iter->key_room = key_room;
	return true;
}

/* ---------------------------------------------------------------------------
 * Opening and closing
 * ------------------------------------------------------------------------- */

static int begin(sb_iter *iter)
{
	struct sb_backend *backend = iter->backend;
	int result;

	if (!reserve(iter))
		return ENOMEM;
	iter->path[0] = LAYER_TOP;
	result = mdb_txn_begin(backend->env, NULL, MDB_RDONLY, &iter->txn);
	if (result)
		return result;
	atomic_fetch_add_explicit(&backend->readers, 1, memory_order_relaxed);
	result = mdb_cursor_open(iter->txn, backend->entries, &iter->top);
	return result ? result : mdb_cursor_open(iter->txn, backend->tails, &iter->deep);
}

int32_t iter_open(sb_backend *backend, const sb_iter_options *options, sb_iter **ret_iter, sb_error *err)
{
	uint64_t lower = options->lower.len, upper = options->upper.len;
	sb_iter *iter = calloc(1, sizeof(*iter) + lower + upper);
	int result;

	if (!iter)
		return errors_no_memory(backend, "iterate over", err);
	iter->backend = backend;
	iter->lower = (sb_slice){iter->bounds, lower};
	iter->upper = (sb_slice){iter->bounds + lower, upper};
	if (lower)
		memcpy(iter->bounds, options->lower.ptr, lower);
	if (upper)
		memcpy(iter->bounds + lower, options->upper.ptr, upper);
	result = begin(iter);
	if (result) {
		iter_close(iter);
		return errors_take(backend, "iterate over", result, err);
	}
	*ret_iter = iter;
	return SB_OK;
}

/* Takes half-built ones. */
void iter_close(sb_iter *iter)
{
	if (iter->top)
		mdb_cursor_close(iter->top);
	if (iter->deep)
		mdb_cursor_close(iter->deep);
	if (iter->txn) {
		mdb_txn_abort(iter->txn);
		atomic_fetch_sub_explicit(&iter->backend->readers, 1, memory_order_release);
	}
	free(iter->path);
	free(iter->key);
	free(iter);
}

/* ---------------------------------------------------------------------------
 * Moving
 * ------------------------------------------------------------------------- */

static MDB_cursor *cursor_of(const sb_iter *iter)
{
	return iter->depth ? iter->deep : iter->top;
}

static bool is_outside(const sb_iter *iter, MDB_val key)
{
	return iter->depth && layers_number(key.mv_data) != layer_now(iter);
}

/* The bytes of the user's key that a node holds. */
static sb_slice chunk_of(const sb_iter *iter, MDB_val key)
{
	size_t head = iter->depth ? LAYER_BYTES : 0;

	return (sb_slice){(const uint8_t *)key.mv_data + head, key.mv_size - head};
}

/* Into the layer that the link at hand leads to; the cursors stay where they are. */
static int enter(sb_iter *iter, MDB_val key, MDB_val value)
{
	if (value.mv_size != LAYER_BYTES)
		return MDB_CORRUPTED;
	if (!reserve(iter))
		return ENOMEM;
	memcpy(iter->key + bytes_above(iter->depth), chunk_of(iter, key).ptr, layer_chunk(layer_now(iter)));
	iter->path[++iter->depth] = layers_number(value.mv_data);
	return 0;
}

static int seek_node(sb_iter *iter, MDB_val *key, MDB_val *value, sb_slice rest, bool link)
{
	struct node node;

	*key = link ? layers_link(layer_now(iter), rest, &node) : layers_node(layer_now(iter), rest, &node);
	return mdb_cursor_get(cursor_of(iter), key, value, key->mv_size ? MDB_SET_RANGE : MDB_FIRST);
}

/* Out of the layer at hand, and to what comes behind its link. */
static int leave(sb_iter *iter, MDB_val *key, MDB_val *value)
{
	iter->depth--;
	if (iter->depth) {
		sb_slice chunk = {iter->key + bytes_above(iter->depth), layer_chunk(layer_now(iter))};
		int result = seek_node(iter, key, value, chunk, true);

		if (result)
			return result == MDB_NOTFOUND ? MDB_CORRUPTED : result;
	}
	return mdb_cursor_get(cursor_of(iter), key, value, MDB_NEXT);
}

/* From where a cursor came to stand to an entry: down links, and up from the ends of layers. */
static int settle(sb_iter *iter, int result, MDB_val *key, MDB_val *value)
{
	for (;;) {
		if (result && result != MDB_NOTFOUND)
			return result;
		if (iter->depth && (result || is_outside(iter, *key))) {
			result = leave(iter, key, value);
		} else if (result || !layers_is_link(*key)) {
			return result;
		} else {
			result = enter(iter, *key, *value);
			if (!result)
				result = seek_node(iter, key, value, (sb_slice){0}, false);
		}
	}
}

/* To the first entry at or behind the lower bound. */
static int seek(sb_iter *iter, MDB_val *key, MDB_val *value)
{
	sb_slice rest = iter->lower;

	for (;;) {
		uint64_t chunk = layer_chunk(layer_now(iter));
		bool long_rest = rest.len > chunk;
		int result = seek_node(iter, key, value, rest, long_rest);

		if (result || !long_rest || is_outside(iter, *key) || !layers_is_link(*key) ||
		    memcmp(chunk_of(iter, *key).ptr, rest.ptr, chunk) != 0)
			return settle(iter, result, key, value);
		result = enter(iter, *key, *value);
		if (result)
			return result;
		rest = (sb_slice){rest.ptr + chunk, rest.len - chunk};
	}
}

static int step(sb_iter *iter, MDB_val *key, MDB_val *value)
{
	if (!iter->started) {
		iter->started = true;
		return seek(iter, key, value);
	}
	return settle(iter, mdb_cursor_get(cursor_of(iter), key, value, MDB_NEXT), key, value);
}

/* ---------------------------------------------------------------------------
 * Reading
 * ------------------------------------------------------------------------- */

static sb_slice whole_key(sb_iter *iter, MDB_val key)
{
	sb_slice chunk = chunk_of(iter, key);
	size_t above = bytes_above(iter->depth);

	if (!above)
		return chunk;
	memcpy(iter->key + above, chunk.ptr, chunk.len);
	return (sb_slice){iter->key, above + chunk.len};
}

static bool is_below(sb_slice key, sb_slice bound)
{
	int order = memcmp(key.ptr, bound.ptr, key.len < bound.len ? key.len : bound.len);

	return order < 0 || (order == 0 && key.len < bound.len);
}

/* One entry, or ended. */
static int32_t read_one(sb_iter *iter, sb_entry *ret_entry, sb_error *err)
{
	MDB_val key, value;
	int result = step(iter, &key, &value);

	if (result && result != MDB_NOTFOUND)
		return errors_take(iter->backend, "iterate over", result, err);
	iter->ended = result == MDB_NOTFOUND;
	if (iter->ended)
		return SB_OK;
	ret_entry->key = whole_key(iter, key);
	if (iter->upper.len && !is_below(ret_entry->key, iter->upper))
		iter->ended = true;
	else if (!value_decode(value, &ret_entry->value, &ret_entry->expiry_ms))
		return errors_short_value(iter->backend, err);
	return SB_OK;
}

int32_t iter_next(sb_iter *iter, uint64_t max, sb_entry *entries, uint64_t *ret_count, sb_error *err)
{
	uint64_t count = 0;

	while (count < max && !iter->ended) {
		int32_t status = read_one(iter, &entries[count], err);

		if (status != SB_OK)
			return status;
		if (iter->ended)
			break;
		count++;
		if (iter->depth)
			break;
	}
	*ret_count = count;
	return SB_OK;
}
