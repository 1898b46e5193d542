/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of the RocksDB backend share: the instance, its resolved
 * options, and the functions that one file has and another calls.
 *
 * A stored value is eight bytes of expiry, little-endian, then the user's value.
 * The prefix has a fixed width, so pins and entries point behind it into
 * RocksDB's own memory and nothing is copied to decode; SB_NO_EXPIRY is zero,
 * which every compression swallows.
 *
 * Functions carry the name of their file, never "rocksdb_", which is the prefix
 * of the library's C API.
 */
#ifndef ROCKSDB_PRIVATE_H
#define ROCKSDB_PRIVATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rocksdb/c.h>

#include "sb_plugin.h"

/* ---------------------------------------------------------------------------
 * options.c
 * ------------------------------------------------------------------------- */

/* The order of the declaration; sb_backend_config.options is indexed by it. */
enum option {
	OPTION_PRESET,
	OPTION_WRITE_BUFFER_SIZE,
	OPTION_MAX_WRITE_BUFFER_NUMBER,
	OPTION_BLOCK_CACHE_SIZE,
	OPTION_BLOOM_BITS,
	OPTION_COMPRESSION,
	OPTION_BLOCK_SIZE,
	OPTION_CACHE_INDEX_AND_FILTER_BLOCKS,
	OPTION_MEMTABLE,
	OPTION_MEMTABLE_BLOOM_PERCENT,
	OPTION_MAX_BACKGROUND_JOBS,
	OPTION_BACKGROUND_NICENESS,
	OPTION_MAX_OPEN_FILES,
	OPTION_TARGET_FILE_SIZE,
	OPTION_COMPACTION_STYLE,
	OPTION_COMPACTION_TRIGGER,
	OPTION_UNIVERSAL_MAX_SIZE_AMPLIFICATION,
	OPTION_LEVEL_COMPACTION_DYNAMIC_LEVEL_BYTES,
	OPTION_RATE_LIMIT,
	OPTION_PURGE_INTERVAL,
	OPTION_WAL,
	OPTION_FLUSH_ON_CLOSE,
	OPTION_STATISTICS,
	OPTION_COUNT
};

/* Every option is a number: a choice is the index into its names. */
struct settings {
	int64_t value[OPTION_COUNT];
};

/* Indices into the choices of OPTION_MEMTABLE and OPTION_COMPACTION_STYLE. */
enum memtable { MEMTABLE_AUTO, MEMTABLE_SKIPLIST, MEMTABLE_HASH_LINKEDLIST };
enum compaction_style { COMPACTION_UNIVERSAL, COMPACTION_LEVEL };

extern const sb_option *const options_declared[OPTION_COUNT];

/* What the user gave, else what the preset says, else the default; MEMTABLE_AUTO is one of the others by then. */
int32_t options_resolve(const sb_backend_config *config, struct settings *ret_settings, sb_error *err);

/* ---------------------------------------------------------------------------
 * The instance
 * ------------------------------------------------------------------------- */

/* What librocksdb handed out; each member is NULL or ours to destroy. */
struct engine {
	rocksdb_t *db;
	rocksdb_column_family_handle_t *family; /* "default": batched MultiGet asks for a handle */
	rocksdb_options_t *options; /* kept for the tickers that live in it */
	rocksdb_cache_t *cache;
	rocksdb_ratelimiter_t *limiter;
	rocksdb_readoptions_t *read_options;
	rocksdb_writeoptions_t *write_options;
};

/* Arrays for one multi_get, kept from call to call. */
struct lookup {
	const char **keys;
	size_t *key_sizes;
	rocksdb_pinnableslice_t **values;
	char **errors;
	uint64_t capacity;
};

/* Counted on the instance's own thread of the moment. */
struct counters {
	uint64_t gets;
	uint64_t gets_found;
	uint64_t puts;
	uint64_t deletes;
	uint64_t read_batches;
	uint64_t write_batches;
};

struct sb_backend {
	const sb_host *host;
	const char *instance;
	const char *dir;
	bool read_only;
	bool from_files; /* of a checkpoint: SB_OPEN_FILES */
	struct settings settings;
	struct engine engine;
	struct lookup lookup;
	rocksdb_writebatch_t *batch;
	uint8_t *encoded; /* a buffer in which batch.c lays expiry and value side by side */
	struct counters counters;
	_Atomic uint64_t purged; /* entries that compactions removed; their threads add */
};

/* ---------------------------------------------------------------------------
 * The encoding of a value
 * ------------------------------------------------------------------------- */

#define EXPIRY_BYTES 8u

static inline void expiry_store(uint8_t *to, int64_t expiry_ms)
{
	uint64_t bits = (uint64_t)expiry_ms;

	for (unsigned i = 0; i < EXPIRY_BYTES; i++)
		to[i] = (uint8_t)(bits >> (8 * i));
}

static inline int64_t expiry_load(const uint8_t *from)
{
	uint64_t bits = 0;

	for (unsigned i = 0; i < EXPIRY_BYTES; i++)
		bits |= (uint64_t)from[i] << (8 * i);
	return (int64_t)bits;
}

/* ---------------------------------------------------------------------------
 * errors.c
 * ------------------------------------------------------------------------- */

/* Fills err and returns code. */
int32_t errors_set(sb_error *err, int32_t code, int32_t sys_errno, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* Turns librocksdb's message into a status and a sentence, and frees the message.
 * doing completes "RocksDB cannot ... the state". */
int32_t errors_take(const struct sb_backend *backend, const char *doing, char *message, sb_error *err);

int32_t errors_no_memory(const struct sb_backend *backend, const char *doing, sb_error *err);

/* A stored value that is shorter than its expiry. */
int32_t errors_short_value(const struct sb_backend *backend, sb_slice key, sb_error *err);

/* ---------------------------------------------------------------------------
 * The rest, file by file
 * ------------------------------------------------------------------------- */

/* engine.c: the settings become RocksDB's, and the directory a database. */
int32_t engine_open(struct sb_backend *backend, sb_error *err);
void engine_close(struct sb_backend *backend);

/* ttl.c */
rocksdb_compactionfilterfactory_t *ttl_filter_factory(struct sb_backend *backend);

/* batch.c */
int32_t batch_multi_get(sb_backend *backend, uint64_t n, const sb_slice *keys, sb_pin *pins, sb_error *err);
void batch_unpin(sb_backend *backend, uint64_t n, sb_pin *pins);
int32_t batch_write(sb_backend *backend, uint64_t n, const sb_op *ops, sb_error *err);
int32_t batch_init(struct sb_backend *backend, sb_error *err);
void batch_done(struct sb_backend *backend);

/* iter.c */
int32_t iter_open(sb_backend *backend, const sb_iter_options *options, sb_iter **ret_iter, sb_error *err);
int32_t iter_next(sb_iter *iter, uint64_t max, sb_entry *entries, uint64_t *ret_count, sb_error *err);
void iter_close(sb_iter *iter);

/* files.c */
extern const sb_files_ops files_operations;

/* stats.c */
int32_t stats_read(sb_backend *backend, uint64_t capacity, sb_stat *stats, uint64_t *ret_count, sb_error *err);

/* backend.c */
int32_t backend_open(const sb_backend_config *config, sb_backend **ret_backend, sb_error *err);
void backend_close(sb_backend *backend);

#endif /* ROCKSDB_PRIVATE_H */
