/* SPDX-License-Identifier: Apache-2.0
 *
 * From settings to an open database, and back.
 *
 * Invariant: struct engine may be half-built; engine_close() destroys what there
 * is, in the order that RocksDB asks for (handle, database, then what it was opened
 * with), so every failure of engine_open() ends in one call of it.
 *
 * The directory is scratch: after a crash the host fills an empty one from a
 * checkpoint. Hence no write-ahead log unless asked for, no fsync of writes, and a
 * directory that already holds a database is refused: taking it up would mix two
 * moments of the state. Only with SB_OPEN_FILES must it hold one, that of a checkpoint,
 * since an empty state in its place would be a loss without a word.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "rocksdb_private.h"

#define MIB (UINT64_C(1) << 20)

static const char default_family[] = "default";

/* In the order of the choices of "compression". */
static const int compression_codes[] = {rocksdb_no_compression, rocksdb_snappy_compression, rocksdb_lz4_compression,
					rocksdb_zstd_compression};

static const int compaction_codes[] = {
	[COMPACTION_LEVEL] = rocksdb_level_compaction,
	[COMPACTION_UNIVERSAL] = rocksdb_universal_compaction,
};

static int64_t setting(const struct sb_backend *backend, enum option option)
{
	return backend->settings.value[option];
}

/* The C API of 7.8 has no setters for these; RocksDB's own text form does. It
 * replaces all options, so it comes first. */
static int32_t create_options(struct sb_backend *backend, sb_error *err)
{
	int64_t purge_s = (setting(backend, OPTION_PURGE_INTERVAL) + 999) / 1000;
	rocksdb_options_t *plain = rocksdb_options_create();
	char *message = NULL;
	char text[128];

	backend->engine.options = rocksdb_options_create();
	snprintf(text, sizeof(text), "periodic_compaction_seconds=%lld;avoid_flush_during_shutdown=%s",
		 (long long)purge_s, setting(backend, OPTION_FLUSH_ON_CLOSE) ? "false" : "true");
	rocksdb_get_options_from_string(plain, text, backend->engine.options, &message);
	rocksdb_options_destroy(plain);
	return message ? errors_take(backend, "set the options of", message, err) : SB_OK;
}

/* Nothing in the directory but what a reader expects, and small logs. */
static void set_directory(struct sb_backend *backend)
{
	rocksdb_options_t *options = backend->engine.options;
	bool anew = !backend->read_only && !backend->from_files;

	rocksdb_options_set_create_if_missing(options, anew);
	rocksdb_options_set_error_if_exists(options, anew);
	rocksdb_options_set_paranoid_checks(options, 1);
	rocksdb_options_set_info_log_level(options, 2); /* warnings */
	rocksdb_options_set_max_log_file_size(options, 4 * MIB);
	rocksdb_options_set_keep_log_file_num(options, 2);
	/* Both would run a timer thread to write into LOG every ten minutes. */
	rocksdb_options_set_stats_dump_period_sec(options, 0);
	rocksdb_options_set_stats_persist_period_sec(options, 0);
	rocksdb_options_set_max_open_files(options, (int)setting(backend, OPTION_MAX_OPEN_FILES));
	/* Closing an iterator must not delete files on the thread that closes it. */
	rocksdb_options_set_avoid_unnecessary_blocking_io(options, 1);
	rocksdb_options_set_bytes_per_sync(options, 1 * MIB);
	if (setting(backend, OPTION_STATISTICS))
		rocksdb_options_enable_statistics(options);
}

static uint64_t bucket_count(uint64_t buffer_bytes)
{
	uint64_t count = buffer_bytes / 256; /* about one for each small entry */

	if (count < 1024)
		return 1024;
	return count > 4 * MIB ? 4 * MIB : count;
}

/* Writing a hashed memtable out sorts it, which is several times faster for one that fits the processor's cache. So there are more of them,
 * which together take what the options say: two less than by the figures, for each goes a little over its size, RocksDB counts only those
 * that wait to be written out, and sorting makes a list of all that do. */
static unsigned memtable_parts(const struct sb_backend *backend)
{
	return setting(backend, OPTION_MEMTABLE) == MEMTABLE_HASH_LINKEDLIST ? 4 : 1;
}

static int memtable_number(const struct sb_backend *backend)
{
	const int number = (int)setting(backend, OPTION_MAX_WRITE_BUFFER_NUMBER), parts = (int)memtable_parts(backend);

	return parts > 1 ? number * parts - 2 : number;
}

/* One writer at a time: without concurrent inserts the skip list remembers where
 * the last key went, which helps the sorted batches of a barrier. */
static void set_memtable(struct sb_backend *backend)
{
	rocksdb_options_t *options = backend->engine.options;
	const unsigned parts = memtable_parts(backend);
	uint64_t buffer_bytes = (uint64_t)setting(backend, OPTION_WRITE_BUFFER_SIZE) / parts;

	rocksdb_options_set_write_buffer_size(options, buffer_bytes);
	rocksdb_options_set_max_write_buffer_number(options, memtable_number(backend));
	rocksdb_options_set_allow_concurrent_memtable_write(options, 0);
	rocksdb_options_set_memtable_whole_key_filtering(options, 1);
	rocksdb_options_set_memtable_prefix_bloom_size_ratio(
		options, (double)setting(backend, OPTION_MEMTABLE_BLOOM_PERCENT) / 100);
	if (setting(backend, OPTION_MEMTABLE) == MEMTABLE_HASH_LINKEDLIST) {
		/* Hashing needs a prefix; the whole key is one that fits keys of any length. */
		rocksdb_options_set_prefix_extractor(options, rocksdb_slicetransform_create_noop());
		rocksdb_options_set_hash_link_list_rep(options, bucket_count(buffer_bytes));
	}
}

/* A whole filter is as large as a hundredth of its file: in a cache that cannot hold all of them each look-up would read and evict a MiB. In
 * partitions of a block each only what is asked for has to be there, and the small index of the partitions stays. */
static void set_partitions(rocksdb_block_based_table_options_t *tables)
{
	rocksdb_block_based_options_set_cache_index_and_filter_blocks(tables, 1);
	rocksdb_block_based_options_set_cache_index_and_filter_blocks_with_high_priority(tables, 1);
	rocksdb_block_based_options_set_pin_l0_filter_and_index_blocks_in_cache(tables, 1);
	rocksdb_block_based_options_set_pin_top_level_index_and_filter(tables, 1);
	rocksdb_block_based_options_set_index_type(tables, rocksdb_block_based_table_index_type_two_level_index_search);
	rocksdb_block_based_options_set_partition_filters(tables, 1);
}

static void set_tables(struct sb_backend *backend)
{
	rocksdb_block_based_table_options_t *tables = rocksdb_block_based_options_create();
	size_t cache_bytes = (size_t)setting(backend, OPTION_BLOCK_CACHE_SIZE);
	int64_t bloom_bits = setting(backend, OPTION_BLOOM_BITS);

	rocksdb_block_based_options_set_block_size(tables, (size_t)setting(backend, OPTION_BLOCK_SIZE));
	if (bloom_bits > 0)
		rocksdb_block_based_options_set_filter_policy(
			tables, rocksdb_filterpolicy_create_bloom_full((double)bloom_bits));
	if (setting(backend, OPTION_CACHE_INDEX_AND_FILTER_BLOCKS))
		set_partitions(tables);
	if (cache_bytes > 0) {
		backend->engine.cache = rocksdb_cache_create_lru(cache_bytes);
		rocksdb_block_based_options_set_block_cache(tables, backend->engine.cache);
	} else {
		rocksdb_block_based_options_set_no_block_cache(tables, 1);
	}
	rocksdb_options_set_block_based_table_factory(backend->engine.options, tables);
	rocksdb_block_based_options_destroy(tables);
}

/* Runs of like size are merged once eight of them have come together, so an entry is written again about as often as the
 * state is eight times larger than what a checkpoint adds: a few times. With levels every fourth flush meets the whole state,
 * or a tenth of it in every level. The price is space, and more Bloom filters to ask. */
static void set_style(struct sb_backend *backend)
{
	rocksdb_universal_compaction_options_t *universal = rocksdb_universal_compaction_options_create();
	rocksdb_options_t *options = backend->engine.options;
	int64_t style = setting(backend, OPTION_COMPACTION_STYLE);
	int64_t trigger = setting(backend, OPTION_COMPACTION_TRIGGER);

	if (trigger == 0)
		trigger = style == COMPACTION_UNIVERSAL ? 8 : 4;
	rocksdb_options_set_compaction_style(options, compaction_codes[style]);
	rocksdb_options_set_level0_file_num_compaction_trigger(options, (int)trigger);
	rocksdb_universal_compaction_options_set_max_size_amplification_percent(
		universal, (int)setting(backend, OPTION_UNIVERSAL_MAX_SIZE_AMPLIFICATION));
	rocksdb_options_set_universal_compaction_options(options, universal);
	rocksdb_universal_compaction_options_destroy(universal);
}

static void set_compaction(struct sb_backend *backend)
{
	rocksdb_options_t *options = backend->engine.options;
	int64_t rate = setting(backend, OPTION_RATE_LIMIT);

	rocksdb_options_set_compression(options, compression_codes[setting(backend, OPTION_COMPRESSION)]);
	set_style(backend);
	rocksdb_options_set_level_compaction_dynamic_level_bytes(
		options, setting(backend, OPTION_LEVEL_COMPACTION_DYNAMIC_LEVEL_BYTES) != 0);
	rocksdb_options_set_target_file_size_base(options, (uint64_t)setting(backend, OPTION_TARGET_FILE_SIZE));
	/* Level 1 as large as the four write buffers that start a compaction of level 0. */
	rocksdb_options_set_max_bytes_for_level_base(options, 4 * (uint64_t)setting(backend, OPTION_WRITE_BUFFER_SIZE));
	rocksdb_options_set_max_background_jobs(options, (int)setting(backend, OPTION_MAX_BACKGROUND_JOBS));
	rocksdb_options_compaction_readahead_size(options, 1 * MIB); /* for each run that is merged */
	rocksdb_options_set_compaction_filter_factory(options, ttl_filter_factory(backend));
	if (rate > 0) {
		backend->engine.limiter = rocksdb_ratelimiter_create(rate, 100 * 1000, 10);
		rocksdb_options_set_ratelimiter(options, backend->engine.limiter);
	}
}

/* For lookups and writes; an iterator has read options of its own. */
static void create_call_options(struct sb_backend *backend)
{
	struct engine *engine = &backend->engine;

	engine->read_options = rocksdb_readoptions_create();
	engine->write_options = rocksdb_writeoptions_create();
	rocksdb_writeoptions_set_sync(engine->write_options, 0);
	rocksdb_writeoptions_disable_WAL(engine->write_options, !setting(backend, OPTION_WAL));
}

/* RocksDB would create the directory, and so hide a mistaken path. */
static int32_t check_dir(const struct sb_backend *backend, sb_error *err)
{
	struct stat status;

	if (stat(backend->dir, &status) < 0)
		return errors_set(err, errno == ENOENT ? SB_ERR_NOT_FOUND : SB_ERR_IO, errno,
				  "RocksDB cannot open the state of %s in %s (%s): name a directory that exists and "
				  "that this user may enter",
				  backend->instance, backend->dir, strerror(errno));
	if (!S_ISDIR(status.st_mode))
		return errors_set(err, SB_ERR_IO, ENOTDIR,
				  "RocksDB cannot open the state of %s in %s, which is not a directory: name one",
				  backend->instance, backend->dir);
	return SB_OK;
}

static int32_t open_database(struct sb_backend *backend, sb_error *err)
{
	struct engine *engine = &backend->engine;
	const char *names[] = {default_family};
	const rocksdb_options_t *options[] = {engine->options};
	char *message = NULL;

	if (backend->read_only)
		engine->db = rocksdb_open_for_read_only_column_families(engine->options, backend->dir, 1, names,
									options, &engine->family, 0, &message);
	else
		engine->db = rocksdb_open_column_families(engine->options, backend->dir, 1, names, options,
							  &engine->family, &message);
	return message ? errors_take(backend, "open", message, err) : SB_OK;
}

struct opening {
	struct sb_backend *backend;
	sb_error *err;
	int32_t status;
};

static void *open_nicely(void *arg)
{
	struct opening *opening = arg;
	const int niceness = (int)setting(opening->backend, OPTION_BACKGROUND_NICENESS);

	/* Of this thread alone: Linux departs from POSIX there. Standing back is forbidden to nobody. */
	(void)setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + niceness);
	opening->status = open_database(opening->backend, opening->err);
	return NULL;
}

/* RocksDB starts its threads when a database is opened, and threads begin with the niceness of who starts them. So a
 * thread of its own opens it: niceness cannot be taken back without privileges, and the caller's is not ours to change. */
static int32_t open_standing_back(struct sb_backend *backend, sb_error *err)
{
	struct opening opening = {backend, err, SB_OK};
	pthread_t thread;
	int failure;

	if (setting(backend, OPTION_BACKGROUND_NICENESS) == 0)
		return open_database(backend, err);
	failure = pthread_create(&thread, NULL, open_nicely, &opening);
	if (failure)
		return errors_set(err, SB_ERR_IO, failure, "RocksDB cannot open the state of %s: no thread starts (%s)",
				  backend->instance, strerror(failure));
	pthread_join(thread, NULL);
	return opening.status;
}

int32_t engine_open(struct sb_backend *backend, sb_error *err)
{
	int32_t status = check_dir(backend, err);

	if (status == SB_OK)
		status = create_options(backend, err);
	if (status == SB_OK) {
		set_directory(backend);
		set_memtable(backend);
		set_tables(backend);
		set_compaction(backend);
		create_call_options(backend);
		status = open_standing_back(backend, err);
	}
	if (status != SB_OK)
		engine_close(backend);
	return status;
}

static void close_database(struct engine *engine)
{
	if (engine->family)
		rocksdb_column_family_handle_destroy(engine->family);
	if (!engine->db)
		return;
	/* Flushes first, unless flush_on_close says no, then waits for running jobs. */
	rocksdb_cancel_all_background_work(engine->db, 1);
	rocksdb_close(engine->db);
}

void engine_close(struct sb_backend *backend)
{
	struct engine *engine = &backend->engine;

	close_database(engine);
	if (engine->write_options)
		rocksdb_writeoptions_destroy(engine->write_options);
	if (engine->read_options)
		rocksdb_readoptions_destroy(engine->read_options);
	if (engine->options)
		rocksdb_options_destroy(engine->options);
	if (engine->limiter)
		rocksdb_ratelimiter_destroy(engine->limiter);
	if (engine->cache)
		rocksdb_cache_destroy(engine->cache);
	memset(engine, 0, sizeof(*engine));
}
