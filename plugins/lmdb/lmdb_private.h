/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of the LMDB backend share: the instance, and the functions that one
 * file has and another calls. Functions carry the name of their file, never "mdb_",
 * which is the prefix of the library.
 *
 * A stored value is eight bytes of expiry, little-endian, then the user's value, so pins
 * and entries point into LMDB's map and nothing is copied to decode.
 *
 * Two databases lie in the one file: "entries" has the keys that LMDB takes as they are,
 * "tails" what is left of those that are too long for it (layers.c).
 */
#ifndef LMDB_PRIVATE_H
#define LMDB_PRIVATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <lmdb.h>

#include "sb_plugin.h"

/* The order of the declaration; sb_backend_config.options is indexed by it. */
enum option { OPTION_MAP_SIZE, OPTION_READ_AHEAD, OPTION_COUNT };

#define MIB (INT64_C(1) << 20)
#define MAP_BYTES_MIN MIB
#define MAP_BYTES_MAX (MIB << 26) /* half of what a process can address */

/* ---------------------------------------------------------------------------
 * Layers: where a key lies
 * ------------------------------------------------------------------------- */

#define NODE_KEY_BYTES 511u /* the longest key that LMDB takes, as Debian builds it */
#define LAYER_BYTES 8u /* a layer's number, big-endian, in front of each key of "tails" */
#define KEY_BYTES_MAX ((uint64_t)1 << 20) /* the ABI's */
#define LAYER_TOP UINT64_C(0)

/* How much of a key a node of that layer holds; one byte less than LMDB takes, see layers.c. */
static inline uint64_t layer_chunk(uint64_t layer)
{
	return NODE_KEY_BYTES - 1 - (layer == LAYER_TOP ? 0 : LAYER_BYTES);
}

#define DEPTH_MAX ((size_t)(KEY_BYTES_MAX / (NODE_KEY_BYTES - 1 - LAYER_BYTES) + 2))

/* The key of a node, in the layer's database: borrowed from the caller's key, or laid out in bytes. */
struct node {
	MDB_val key;
	uint8_t bytes[NODE_KEY_BYTES];
};

/* What a batch changes about layers, put back when the batch fails. */
struct layers {
	uint64_t newest;
	uint64_t links;
};

/* ---------------------------------------------------------------------------
 * The instance
 * ------------------------------------------------------------------------- */

/* A read transaction that pins point into. */
struct view {
	MDB_txn *txn;
	uint64_t pins;
};

struct counters {
	uint64_t gets;
	uint64_t puts;
	uint64_t deletes;
	uint64_t purged;
	uint64_t grown; /* times that the map was made larger */
};

struct sb_backend {
	const sb_host *host;
	const char *instance;
	const char *dir;
	bool read_only;
	bool read_ahead;
	uint64_t map_bytes;
	MDB_env *env;
	MDB_dbi entries;
	MDB_dbi tails;
	struct layers layers;
	uint64_t path[DEPTH_MAX]; /* layers on the way to the key at hand */
	struct view *view; /* of the present moment; NULL, or reset after a write, until somebody reads */
	bool view_is_reset;
	_Atomic uint64_t readers; /* iterators, and views of the past: while there are any, the map stays where it is */
	struct counters counters;

	/* maintain.c */
	uint8_t *sweep_key; /* where the next portion begins */
	uint64_t sweep_len;
	int64_t earliest_ms; /* nothing expires before */
	int64_t earliest_seen_ms; /* the same, of what this round has met and what was put meanwhile */
};

static inline MDB_dbi layer_dbi(const struct sb_backend *backend, uint64_t layer)
{
	return layer == LAYER_TOP ? backend->entries : backend->tails;
}

/* ---------------------------------------------------------------------------
 * The encoding of a value
 * ------------------------------------------------------------------------- */

#define EXPIRY_BYTES 8u

static inline void expiry_store(uint8_t *to, int64_t expiry_ms)
{
	for (unsigned i = 0; i < EXPIRY_BYTES; i++)
		to[i] = (uint8_t)((uint64_t)expiry_ms >> (8 * i));
}

static inline int64_t expiry_load(const uint8_t *from)
{
	uint64_t bits = 0;

	for (unsigned i = 0; i < EXPIRY_BYTES; i++)
		bits |= (uint64_t)from[i] << (8 * i);
	return (int64_t)bits;
}

/* False when it is too short to hold an expiry. */
static inline bool value_decode(MDB_val stored, sb_slice *ret_value, int64_t *ret_expiry_ms)
{
	const uint8_t *bytes = stored.mv_data;

	if (stored.mv_size < EXPIRY_BYTES)
		return false;
	*ret_expiry_ms = expiry_load(bytes);
	*ret_value = (sb_slice){bytes + EXPIRY_BYTES, stored.mv_size - EXPIRY_BYTES};
	return true;
}

/* ---------------------------------------------------------------------------
 * File by file
 * ------------------------------------------------------------------------- */

/* errors.c: each fills err and returns the status. doing completes "LMDB cannot ... the state". */
int32_t errors_set(sb_error *err, int32_t code, int32_t sys_errno, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
int32_t errors_take(const struct sb_backend *backend, const char *doing, int result, sb_error *err);
int32_t errors_no_memory(const struct sb_backend *backend, const char *doing, sb_error *err);
int32_t errors_short_value(const struct sb_backend *backend, sb_error *err);
int32_t errors_long_key(const struct sb_backend *backend, uint64_t len, sb_error *err);

/* environment.c: the file and its map. */
int32_t environment_open(struct sb_backend *backend, sb_error *err);
void environment_close(struct sb_backend *backend);
/* Makes the map larger when it is half full, or full, and nobody reads; else leaves it. */
int32_t environment_make_room(struct sb_backend *backend, bool full, bool *ret_grown, sb_error *err);
uint64_t environment_used_bytes(const struct sb_backend *backend);

/* layers.c: all return LMDB's results. key has at most KEY_BYTES_MAX bytes. */
MDB_val layers_node(uint64_t layer, sb_slice rest, struct node *node);
MDB_val layers_link(uint64_t layer, sb_slice rest, struct node *node);
bool layers_is_link(MDB_val key);
uint64_t layers_number(const void *bytes);
int layers_get(struct sb_backend *backend, MDB_txn *txn, sb_slice key, MDB_val *ret_stored);
/* *ret_stored: size bytes to be written to before the next call. */
int layers_put(struct sb_backend *backend, MDB_txn *txn, sb_slice key, uint64_t size, uint8_t **ret_stored);
int layers_delete(struct sb_backend *backend, MDB_txn *txn, sb_slice key);

/* batch.c */
int32_t batch_multi_get(sb_backend *backend, uint64_t n, const sb_slice *keys, sb_pin *pins, sb_error *err);
void batch_unpin(sb_backend *backend, uint64_t n, sb_pin *pins);
int32_t batch_write(sb_backend *backend, uint64_t n, const sb_op *ops, sb_error *err);
void batch_done(struct sb_backend *backend);

/* iter.c */
int32_t iter_open(sb_backend *backend, const sb_iter_options *options, sb_iter **ret_iter, sb_error *err);
int32_t iter_next(sb_iter *iter, uint64_t max, sb_entry *entries, uint64_t *ret_count, sb_error *err);
void iter_close(sb_iter *iter);

/* maintain.c */
int32_t maintain_run(sb_backend *backend, uint64_t budget, uint64_t *ret_purged, sb_error *err);
void maintain_saw_put(struct sb_backend *backend, int64_t expiry_ms);
int32_t maintain_stats(sb_backend *backend, uint64_t capacity, sb_stat *stats, uint64_t *ret_count, sb_error *err);

/* backend.c */
int32_t backend_open(const sb_backend_config *config, sb_backend **ret_backend, sb_error *err);
void backend_close(sb_backend *backend);

#endif /* LMDB_PRIVATE_H */
