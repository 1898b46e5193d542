/* SPDX-License-Identifier: Apache-2.0
 *
 * What the ABI costs in front of RocksDB: the same batches of 256 through the
 * plugin's write_batch, multi_get and iter_next, and through RocksDB's C API called
 * directly, with the plugin's default options set by hand.
 *
 * Both databases hold the same seeded keys and see the same seeded operations. The
 * two sides take turns, each round begins with no compaction running, and the
 * medians are compared. Values carry eight bytes more behind the ABI (the expiry).
 *
 * Usage: rocksdb_abi PLUGIN DIRECTORY [KEYS [OPERATIONS]]
 */
#include <dlfcn.h>
#include <errno.h>
#include <rocksdb/c.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "sb_plugin.h"

#define KEY_BYTES 16u
#define VALUE_BYTES 80u
#define BATCH 256u
#define ROUNDS 5
#define SCAN_BATCH 1024u
#define OPTION_LIMIT 64u

enum work { WORK_WRITE, WORK_READ, WORK_SCAN, WORK_COUNT };

static const char *const work_names[WORK_COUNT] = {"write_batch", "multi_get", "iterate"};

/* One batch of keys and values, made anew from a seed on both sides. */
struct batch {
	uint8_t keys[BATCH][KEY_BYTES];
	uint8_t values[BATCH][VALUE_BYTES];
};

struct side {
	const char *name;
	void *state;
	void (*write)(void *state, const struct batch *batch);
	uint64_t (*read)(void *state, const struct batch *batch); /* a sum over the values */
	uint64_t (*scan)(void *state);
	void (*settle)(void *state);
	double seconds[WORK_COUNT][ROUNDS];
};

static void die(const char *what, const char *why)
{
	fprintf(stderr, "rocksdb_abi: %s: %s\n", what, why);
	exit(1);
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* Key number i: four bytes as of a key group and state, then digits mixed so that
 * neighbours in number are none in order. */
static void make_key(uint8_t *to, uint64_t i)
{
	uint64_t mixed = i * UINT64_C(0x9e3779b97f4a7c15);

	to[0] = 0;
	to[1] = (uint8_t)(mixed & 127);
	to[2] = 0;
	to[3] = 1;
	for (unsigned byte = 0; byte < 8; byte++)
		to[4 + byte] = (uint8_t)(mixed >> (56 - 8 * byte));
	memcpy(to + 12, "user", 4);
}

static void make_batch(struct batch *batch, uint64_t *seed, uint64_t keys)
{
	for (unsigned i = 0; i < BATCH; i++) {
		make_key(batch->keys[i], next_random(seed) % keys);
		for (unsigned at = 0; at < VALUE_BYTES; at += 8) {
			uint64_t bits = next_random(seed) & UINT64_C(0x0f0f0f0f0f0f0f0f); /* compresses somewhat */

			memcpy(batch->values[i] + at, &bits, 8);
		}
	}
}

/* ---------------------------------------------------------------------------
 * Through the ABI
 * ------------------------------------------------------------------------- */

struct plugin_side {
	const sb_backend_ops *ops;
	sb_backend *backend;
};

static int64_t no_horizon(const sb_host *host)
{
	(void)host;
	return INT64_MIN;
}

static void check(int32_t status, const sb_error *err)
{
	if (status != SB_OK)
		die("backend", err->message);
}

static void plugin_write(void *state, const struct batch *batch)
{
	struct plugin_side *side = state;
	sb_error err = {.struct_size = sizeof(err)};
	sb_op ops[BATCH];

	for (unsigned i = 0; i < BATCH; i++)
		ops[i] = (sb_op){
			.key = {batch->keys[i], KEY_BYTES},
			.value = {batch->values[i], VALUE_BYTES},
			.expiry_ms = 1699564823000,
			.kind = SB_OP_PUT,
		};
	check(side->ops->write_batch(side->backend, BATCH, ops, &err), &err);
}

static uint64_t plugin_read(void *state, const struct batch *batch)
{
	struct plugin_side *side = state;
	sb_error err = {.struct_size = sizeof(err)};
	sb_slice keys[BATCH];
	sb_pin pins[BATCH];
	uint64_t sum = 0;

	for (unsigned i = 0; i < BATCH; i++)
		keys[i] = (sb_slice){batch->keys[i], KEY_BYTES};
	check(side->ops->multi_get(side->backend, BATCH, keys, pins, &err), &err);
	for (unsigned i = 0; i < BATCH; i++)
		sum += pins[i].found ? pins[i].value.ptr[0] + pins[i].value.len : 0;
	side->ops->unpin(side->backend, BATCH, pins);
	return sum;
}

static uint64_t plugin_scan(void *state)
{
	static sb_entry entries[SCAN_BATCH];
	struct plugin_side *side = state;
	sb_error err = {.struct_size = sizeof(err)};
	sb_iter_options options = {.struct_size = sizeof(options)};
	sb_iter *iter;
	uint64_t count = 1;
	uint64_t sum = 0;

	check(side->ops->iter_open(side->backend, &options, &iter, &err), &err);
	while (count > 0) {
		check(side->ops->iter_next(iter, SCAN_BATCH, entries, &count, &err), &err);
		for (uint64_t i = 0; i < count; i++)
			sum += entries[i].value.ptr[0] + entries[i].value.len;
	}
	side->ops->iter_close(iter);
	return sum;
}

static void pause_briefly(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 20 * 1000 * 1000}, NULL);
}

static bool plugin_is_busy(struct plugin_side *side)
{
	sb_error err = {.struct_size = sizeof(err)};
	sb_stat stats[64];
	uint64_t count;
	double busy = 0;

	check(side->ops->stats(side->backend, 64, stats, &count, &err), &err);
	for (uint64_t i = 0; i < count && i < 64; i++) {
		if (strcmp(stats[i].name, "compactions_running") == 0 || strcmp(stats[i].name, "flushes_running") == 0)
			busy += stats[i].value;
	}
	return busy > 0;
}

static void plugin_settle(void *state)
{
	while (plugin_is_busy(state))
		pause_briefly();
}

/* Sizes with a unit and choices by name: as much of the host's parser as the
 * declared defaults need. */
static void parse_default(const sb_option *option, sb_option_value *ret_value)
{
	char *end;

	*ret_value = (sb_option_value){0};
	if (!option->default_text)
		return;
	ret_value->is_set = 1;
	ret_value->i64 = strtoll(option->default_text, &end, 10);
	if (strcmp(end, "KiB") == 0)
		ret_value->i64 <<= 10;
	if (strcmp(end, "MiB") == 0)
		ret_value->i64 <<= 20;
	if (strcmp(end, "h") == 0)
		ret_value->i64 *= 3600 * 1000;
	if (option->type == SB_OPTION_BOOL)
		ret_value->i64 = strcmp(option->default_text, "true") == 0;
	for (int64_t i = 0; option->type == SB_OPTION_CHOICE && option->choices[i]; i++) {
		if (strcmp(option->choices[i], option->default_text) == 0)
			ret_value->i64 = i;
	}
}

static void plugin_open(struct plugin_side *side, const sb_host *host, const char *path, const char *dir)
{
	sb_error err = {.struct_size = sizeof(err)};
	sb_option_value values[OPTION_LIMIT];
	void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);

	if (!library)
		die(path, dlerror());

	const sb_plugin *(*entry)(const sb_host *, sb_error *);

	*(void **)&entry = dlsym(library, "sb_plugin_entry_v1");

	const sb_component *component = entry(host, &err)->components[0];

	for (uint64_t i = 0; i < component->option_count; i++)
		parse_default(component->options[i], &values[i]);
	side->ops = component->ops;
	check(side->ops->open(&(sb_backend_config){.struct_size = sizeof(sb_backend_config),
						   .host = host,
						   .instance = "backend-0",
						   .dir = dir,
						   .options = values,
						   .option_count = component->option_count},
			      &side->backend, &err),
	      &err);
}

/* ---------------------------------------------------------------------------
 * Directly
 * ------------------------------------------------------------------------- */

struct direct_side {
	rocksdb_t *db;
	rocksdb_column_family_handle_t *family;
	rocksdb_options_t *options;
	rocksdb_cache_t *cache;
	rocksdb_readoptions_t *read_options;
	rocksdb_writeoptions_t *write_options;
	rocksdb_writebatch_t *batch;
};

static void check_message(const char *message)
{
	if (message)
		die("librocksdb", message);
}

static void direct_write(void *state, const struct batch *batch)
{
	struct direct_side *side = state;
	char *message = NULL;

	rocksdb_writebatch_clear(side->batch);
	for (unsigned i = 0; i < BATCH; i++)
		rocksdb_writebatch_put(side->batch, (const char *)batch->keys[i], KEY_BYTES,
				       (const char *)batch->values[i], VALUE_BYTES);
	rocksdb_write(side->db, side->write_options, side->batch, &message);
	check_message(message);
}

static uint64_t direct_read(void *state, const struct batch *batch)
{
	struct direct_side *side = state;
	const char *keys[BATCH];
	size_t sizes[BATCH];
	rocksdb_pinnableslice_t *values[BATCH];
	char *messages[BATCH];
	uint64_t sum = 0;

	for (unsigned i = 0; i < BATCH; i++) {
		keys[i] = (const char *)batch->keys[i];
		sizes[i] = KEY_BYTES;
	}
	rocksdb_batched_multi_get_cf(side->db, side->read_options, side->family, BATCH, keys, sizes, values, messages,
				     false);
	for (unsigned i = 0; i < BATCH; i++) {
		size_t size;

		check_message(messages[i]);
		if (!values[i])
			continue;
		sum += (uint8_t)rocksdb_pinnableslice_value(values[i], &size)[0];
		sum += size;
		rocksdb_pinnableslice_destroy(values[i]);
	}
	return sum;
}

static uint64_t direct_scan(void *state)
{
	struct direct_side *side = state;
	rocksdb_readoptions_t *options = rocksdb_readoptions_create();
	uint64_t sum = 0;

	rocksdb_readoptions_set_fill_cache(options, 0);
	rocksdb_readoptions_set_readahead_size(options, 1 << 20);

	rocksdb_iterator_t *iter = rocksdb_create_iterator_cf(side->db, options, side->family);

	for (rocksdb_iter_seek_to_first(iter); rocksdb_iter_valid(iter); rocksdb_iter_next(iter)) {
		size_t size;

		rocksdb_iter_key(iter, &size);
		sum += (uint8_t)rocksdb_iter_value(iter, &size)[0];
		sum += size;
	}
	rocksdb_iter_destroy(iter);
	rocksdb_readoptions_destroy(options);
	return sum;
}

static void direct_settle(void *state)
{
	struct direct_side *side = state;
	uint64_t compactions = 1;
	uint64_t flushes = 1;

	for (;;) {
		rocksdb_property_int_cf(side->db, side->family, "rocksdb.num-running-compactions", &compactions);
		rocksdb_property_int_cf(side->db, side->family, "rocksdb.num-running-flushes", &flushes);
		if (compactions + flushes == 0)
			return;
		pause_briefly();
	}
}

static void direct_configure(struct direct_side *side)
{
	rocksdb_block_based_table_options_t *tables = rocksdb_block_based_options_create();

	side->options = rocksdb_options_create();
	side->cache = rocksdb_cache_create_lru((size_t)128 << 20);
	rocksdb_options_set_create_if_missing(side->options, 1);
	rocksdb_options_set_write_buffer_size(side->options, (size_t)64 << 20);
	rocksdb_options_set_max_write_buffer_number(side->options, 3);
	rocksdb_options_set_allow_concurrent_memtable_write(side->options, 0);
	rocksdb_options_set_memtable_whole_key_filtering(side->options, 1);
	rocksdb_options_set_memtable_prefix_bloom_size_ratio(side->options, 0.02);
	rocksdb_options_set_compression(side->options, rocksdb_lz4_compression);
	rocksdb_options_set_level_compaction_dynamic_level_bytes(side->options, 1);
	rocksdb_options_set_bytes_per_sync(side->options, 1 << 20);
	rocksdb_block_based_options_set_block_cache(tables, side->cache);
	rocksdb_block_based_options_set_filter_policy(tables, rocksdb_filterpolicy_create_bloom_full(10));
	rocksdb_options_set_block_based_table_factory(side->options, tables);
	rocksdb_block_based_options_destroy(tables);
}

static void direct_open(struct direct_side *side, const char *dir)
{
	const char *names[] = {"default"};
	char *message = NULL;

	direct_configure(side);

	const rocksdb_options_t *options[] = {side->options};

	side->db = rocksdb_open_column_families(side->options, dir, 1, names, options, &side->family, &message);
	check_message(message);
	side->read_options = rocksdb_readoptions_create();
	side->write_options = rocksdb_writeoptions_create();
	rocksdb_writeoptions_disable_WAL(side->write_options, 1);
	side->batch = rocksdb_writebatch_create();
}

static void direct_close(struct direct_side *side)
{
	rocksdb_column_family_handle_destroy(side->family);
	rocksdb_close(side->db);
	rocksdb_options_destroy(side->options);
	rocksdb_cache_destroy(side->cache);
	rocksdb_readoptions_destroy(side->read_options);
	rocksdb_writeoptions_destroy(side->write_options);
	rocksdb_writebatch_destroy(side->batch);
}

/* ---------------------------------------------------------------------------
 * Measuring
 * ------------------------------------------------------------------------- */

static void load(struct side *side, uint64_t keys)
{
	struct batch batch;
	uint64_t seed = 1;

	make_batch(&batch, &seed, keys);
	for (uint64_t i = 0; i < keys; i += BATCH) {
		for (unsigned at = 0; at < BATCH; at++)
			make_key(batch.keys[at], (i + at) % keys);
		side->write(side->state, &batch);
	}
	side->settle(side->state);
}

/* Batches are made outside of the measured time. */
static uint64_t run(struct side *side, enum work work, int round, uint64_t keys, uint64_t operations)
{
	struct batch batch;
	uint64_t seed = UINT64_C(0x5bd1e995) + (uint64_t)round * 1000003;
	uint64_t sum = 0;
	double seconds = 0;

	side->settle(side->state);
	for (uint64_t done = 0; done < operations; done += work == WORK_SCAN ? operations : BATCH) {
		make_batch(&batch, &seed, keys);

		double start = now();

		if (work == WORK_WRITE)
			side->write(side->state, &batch);
		else
			sum += work == WORK_READ ? side->read(side->state, &batch) : side->scan(side->state);
		seconds += now() - start;
	}
	side->seconds[work][round] = seconds;
	return sum;
}

static int compare(const void *a, const void *b)
{
	double left = *(const double *)a;
	double right = *(const double *)b;

	return (left > right) - (left < right);
}

static double median(double *seconds)
{
	qsort(seconds, ROUNDS, sizeof(*seconds), compare);
	return seconds[ROUNDS / 2];
}

static void report(struct side *abi, struct side *direct, uint64_t keys, uint64_t operations)
{
	printf("%-12s %12s %12s %8s\n", "", "ABI M/s", "direct M/s", "ratio");
	for (int work = 0; work < WORK_COUNT; work++) {
		double count = (double)(work == WORK_SCAN ? keys : operations) / 1e6;
		double abi_rate = count / median(abi->seconds[work]);
		double direct_rate = count / median(direct->seconds[work]);

		printf("%-12s %12.3f %12.3f %8.3f\n", work_names[work], abi_rate, direct_rate, abi_rate / direct_rate);
	}
}

static void measure(struct side *abi, struct side *direct, uint64_t keys, uint64_t operations)
{
	for (int round = 0; round < ROUNDS; round++) {
		for (int work = 0; work < WORK_COUNT; work++) {
			/* Who goes first changes, so that neither always finds the warmer machine. */
			struct side *first = round % 2 ? direct : abi;
			struct side *second = round % 2 ? abi : direct;
			uint64_t sum = run(first, work, round, keys, operations);

			if (sum != run(second, work, round, keys, operations))
				die(work_names[work], "the two sides returned different values");
		}
	}
}

static const char *make_dir(char *path, size_t size, const char *parent, const char *name)
{
	snprintf(path, size, "%s/%s", parent, name);
	if (mkdir(path, 0700) < 0)
		die(path, strerror(errno));
	return path;
}

int main(int argc, char **argv)
{
	if (argc < 3)
		die("usage", "rocksdb_abi PLUGIN DIRECTORY [KEYS [OPERATIONS]]");

	uint64_t keys = argc > 3 ? strtoull(argv[3], NULL, 10) : 1000000;
	uint64_t operations = argc > 4 ? strtoull(argv[4], NULL, 10) : 256000;
	sb_host host = {.struct_size = sizeof(host), .abi_major = SB_ABI_MAJOR, .expiry_horizon_ms = no_horizon};
	struct plugin_side plugin;
	struct direct_side library;
	char abi_dir[4096];
	char direct_dir[4096];

	plugin_open(&plugin, &host, argv[1], make_dir(abi_dir, sizeof(abi_dir), argv[2], "abi"));
	direct_open(&library, make_dir(direct_dir, sizeof(direct_dir), argv[2], "direct"));

	struct side abi = {"abi", &plugin, plugin_write, plugin_read, plugin_scan, plugin_settle, {{0}}};
	struct side direct = {"direct", &library, direct_write, direct_read, direct_scan, direct_settle, {{0}}};

	load(&abi, keys);
	load(&direct, keys);
	measure(&abi, &direct, keys, operations);
	report(&abi, &direct, keys, operations);
	plugin.ops->close(plugin.backend);
	direct_close(&library);
	return 0;
}
