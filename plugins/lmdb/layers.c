/* SPDX-License-Identifier: Apache-2.0
 *
 * Keys of any length in a tree that takes 511 bytes, in their order.
 *
 * A key of up to 510 bytes is a key of "entries", as it is. Of a longer one, "entries" has the first 510 bytes and a zero
 * byte: a link, whose value is the number of a layer. The rest lies in "tails" under that number and, again, up to 502 bytes, or
 * a link and so on. All keys that begin with the same 510 bytes share the layer, and nobody else is in it.
 *
 * Invariants. Only links are 511 bytes long, so they are told by their length. A link sorts right behind the key that ends
 * where it goes on, and before everything else that is larger: where the keys of its layer belong. So walking
 * links down as they come gives bytewise order (iter.c). A layer is never empty: the deletion that
 * empties it takes its link away, too. Numbers are never used twice.
 *
 * Hashing the rest would be shorter and lose the order; keeping all long keys of one beginning in one value would
 * make each write as dear as all of them together. A key of 1 MiB has 2,088 links, and takes some milliseconds: such keys are to
 * work, not to be fast.
 */
#include <string.h>

#include "lmdb_private.h"

static void number_store(uint8_t *to, uint64_t number)
{
	for (unsigned i = 0; i < LAYER_BYTES; i++)
		to[i] = (uint8_t)(number >> (8 * (LAYER_BYTES - 1 - i)));
}

uint64_t layers_number(const void *bytes)
{
	const uint8_t *from = bytes;
	uint64_t number = 0;

	for (unsigned i = 0; i < LAYER_BYTES; i++)
		number = number << 8 | from[i];
	return number;
}

bool layers_is_link(MDB_val key)
{
	return key.mv_size == NODE_KEY_BYTES;
}

static size_t lay_out(uint64_t layer, const uint8_t *rest, uint64_t len, struct node *node)
{
	size_t head = layer == LAYER_TOP ? 0 : LAYER_BYTES;

	if (head)
		number_store(node->bytes, layer);
	if (len)
		memcpy(node->bytes + head, rest, len);
	return head + len;
}

/* An empty rest gives where the layer begins. */
MDB_val layers_node(uint64_t layer, sb_slice rest, struct node *node)
{
	if (layer == LAYER_TOP)
		return (MDB_val){rest.len, (void *)rest.ptr};
	return (MDB_val){lay_out(layer, rest.ptr, rest.len, node), node->bytes};
}

MDB_val layers_link(uint64_t layer, sb_slice rest, struct node *node)
{
	size_t used = lay_out(layer, rest.ptr, layer_chunk(layer), node);

	node->bytes[used] = 0;
	return (MDB_val){used + 1, node->bytes};
}

static int follow(struct sb_backend *backend, MDB_txn *txn, uint64_t layer, sb_slice rest, uint64_t *ret_layer)
{
	struct node node;
	MDB_val key = layers_link(layer, rest, &node);
	MDB_val value;
	int result = mdb_get(txn, layer_dbi(backend, layer), &key, &value);

	if (result)
		return result;
	if (value.mv_size != LAYER_BYTES)
		return MDB_CORRUPTED;
	*ret_layer = layers_number(value.mv_data);
	return 0;
}

static int make_link(struct sb_backend *backend, MDB_txn *txn, uint64_t layer, sb_slice rest, uint64_t *ret_layer)
{
	uint8_t number[LAYER_BYTES];
	struct node node;
	MDB_val key = layers_link(layer, rest, &node);
	MDB_val value = {sizeof(number), number};
	int result;

	number_store(number, backend->layers.newest + 1);
	result = mdb_put(txn, layer_dbi(backend, layer), &key, &value, 0);
	if (result)
		return result;
	backend->layers.links++;
	*ret_layer = ++backend->layers.newest;
	return 0;
}

/* Goes down to the layer in which key ends, noting the way in backend->path. */
static int descend(struct sb_backend *backend, MDB_txn *txn, sb_slice key, bool create, size_t *ret_depth,
		   sb_slice *ret_rest)
{
	uint64_t *path = backend->path;
	size_t depth = 0;
	int result;

	path[0] = LAYER_TOP;
	while (key.len > layer_chunk(path[depth])) {
		result = follow(backend, txn, path[depth], key, &path[depth + 1]);
		if (result == MDB_NOTFOUND && create)
			result = make_link(backend, txn, path[depth], key, &path[depth + 1]);
		if (result)
			return result;
		key.ptr += layer_chunk(path[depth]);
		key.len -= layer_chunk(path[depth]);
		depth++;
	}
	*ret_depth = depth;
	*ret_rest = key;
	return 0;
}

int layers_get(struct sb_backend *backend, MDB_txn *txn, sb_slice key, MDB_val *ret_stored)
{
	struct node node;
	size_t depth;
	sb_slice rest;
	MDB_val at;
	int result = descend(backend, txn, key, false, &depth, &rest);

	if (result)
		return result;
	at = layers_node(backend->path[depth], rest, &node);
	return mdb_get(txn, layer_dbi(backend, backend->path[depth]), &at, ret_stored);
}

int layers_put(struct sb_backend *backend, MDB_txn *txn, sb_slice key, uint64_t size, uint8_t **ret_stored)
{
	struct node node;
	size_t depth;
	sb_slice rest;
	MDB_val at, value = {size, NULL};
	int result = descend(backend, txn, key, true, &depth, &rest);

	if (result)
		return result;
	at = layers_node(backend->path[depth], rest, &node);
	result = mdb_put(txn, layer_dbi(backend, backend->path[depth]), &at, &value, MDB_RESERVE);
	if (!result)
		*ret_stored = value.mv_data;
	return result;
}

/* MDB_NOTFOUND when nothing is left in it. */
static int look_into(struct sb_backend *backend, MDB_txn *txn, uint64_t layer)
{
	struct node node;
	MDB_val key = layers_node(layer, (sb_slice){0}, &node), value;
	MDB_cursor *cursor;
	int result = mdb_cursor_open(txn, backend->tails, &cursor);

	if (result)
		return result;
	result = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
	mdb_cursor_close(cursor);
	return !result && layers_number(key.mv_data) != layer ? MDB_NOTFOUND : result;
}

int layers_delete(struct sb_backend *backend, MDB_txn *txn, sb_slice key)
{
	const uint64_t *path = backend->path;
	struct node node;
	size_t depth;
	sb_slice rest;
	MDB_val at;
	int result = descend(backend, txn, key, false, &depth, &rest);

	if (result)
		return result;
	at = layers_node(path[depth], rest, &node);
	result = mdb_del(txn, layer_dbi(backend, path[depth]), &at, NULL);
	for (; !result && depth > 0; depth--) {
		result = look_into(backend, txn, path[depth]);
		if (result != MDB_NOTFOUND)
			return result;
		rest.ptr -= layer_chunk(path[depth - 1]);
		at = layers_link(path[depth - 1], rest, &node);
		result = mdb_del(txn, layer_dbi(backend, path[depth - 1]), &at, NULL);
		backend->layers.links--;
	}
	return result;
}
