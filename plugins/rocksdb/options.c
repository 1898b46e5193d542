/* SPDX-License-Identifier: Apache-2.0
 *
 * The options of the RocksDB backend: their declaration, the four presets, and
 * how both become one table of numbers.
 *
 * Invariant: an option that a preset decides has no default text and a row in
 * the table of presets; every other one has a default. So each option ends up
 * with a value, and what the user gives always wins.
 *
 * The presets carry the figures that RocksDB's users know, but for the compression, which was measured (README.md); they differ in how
 * much memory they take. A preset's write buffers may all be full at once, so it
 * costs about size x number + cache for each instance.
 */
#include "rocksdb_private.h"

#define KIB INT64_C(1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define TIB (1024 * GIB)
#define DAY_MS (INT64_C(24) * 60 * 60 * 1000)

#define OPTION(kind, option_name, text, sentence, ...)                                                                 \
	{                                                                                                              \
		.struct_size = sizeof(sb_option), .type = (kind), .name = (option_name), .default_text = (text),       \
		.doc = (sentence), __VA_ARGS__                                                                         \
	}
#define RANGE(lowest, highest, unit_name) .min = (lowest), .max = (highest), .unit = (unit_name)

static const char *const presets[] = {"balanced", "low-latency", "high-throughput", "large-state", NULL};
static const char *const compressions[] = {"none", "snappy", "lz4", "zstd", NULL};
static const char *const memtables[] = {"auto", "skiplist", "hash-linkedlist", NULL};
static const char *const compaction_styles[] = {"universal", "level", NULL};

#define PRESET_COUNT 4

/* Indices into compressions. */
#define LZ4 2
#define ZSTD 3

static const struct figures {
	enum option option;
	int64_t by_preset[PRESET_COUNT];
} preset_figures[] = {
	{OPTION_WRITE_BUFFER_SIZE, {64 * MIB, 128 * MIB, 256 * MIB, 256 * MIB}},
	{OPTION_MAX_WRITE_BUFFER_NUMBER, {3, 4, 6, 8}},
	{OPTION_BLOCK_CACHE_SIZE, {128 * MIB, 512 * MIB, 1 * GIB, 2 * GIB}},
	{OPTION_BLOOM_BITS, {10, 10, 10, 10}},
	{OPTION_COMPRESSION, {LZ4, LZ4, LZ4, ZSTD}},
	/* Outside of the cache, filters and indices of a large state grow without a bound. */
	{OPTION_CACHE_INDEX_AND_FILTER_BLOCKS, {0, 0, 0, 1}},
};

static const sb_option declared[OPTION_COUNT] = {
	[OPTION_PRESET] = OPTION(SB_OPTION_CHOICE, "preset", "balanced",
				 "Figures for the options that have no default of their own.", .choices = presets),
	[OPTION_WRITE_BUFFER_SIZE] =
		OPTION(SB_OPTION_SIZE, "write_buffer_size", NULL,
		       "Memory that gathers writes before they go to a file; the preset decides when it is not given.",
		       RANGE(64 * KIB, 64 * GIB, "bytes")),
	[OPTION_MAX_WRITE_BUFFER_NUMBER] = OPTION(
		SB_OPTION_I64, "max_write_buffer_number", NULL,
		"Write buffers that may exist at once, those being written out included; the preset decides when "
		"it is not given.",
		RANGE(2, 64, NULL)),
	[OPTION_BLOCK_CACHE_SIZE] =
		OPTION(SB_OPTION_SIZE, "block_cache_size", NULL,
		       "Memory for uncompressed blocks, 0 for none; the preset decides when it is not given.",
		       RANGE(0, 4 * TIB, "bytes")),
	[OPTION_BLOOM_BITS] =
		OPTION(SB_OPTION_I64, "bloom_bits", NULL,
		       "Bits of Bloom filter for each key, 0 for none; the preset decides when it is not given.",
		       RANGE(0, 32, "bits")),
	[OPTION_COMPRESSION] =
		OPTION(SB_OPTION_CHOICE, "compression", NULL,
		       "How blocks are compressed; the preset decides when it is not given.", .choices = compressions),
	[OPTION_BLOCK_SIZE] = OPTION(SB_OPTION_SIZE, "block_size", "4KiB",
				     "Uncompressed size of a block, the unit of reading and caching.",
				     RANGE(1 * KIB, 16 * MIB, "bytes")),
	[OPTION_CACHE_INDEX_AND_FILTER_BLOCKS] =
		OPTION(SB_OPTION_BOOL, "cache_index_and_filter_blocks", NULL,
		       "Keep indices and filters in the block cache, so that its size bounds them; the preset decides "
		       "when it is not given.",
		       .unit = NULL),
	[OPTION_MEMTABLE] =
		OPTION(SB_OPTION_CHOICE, "memtable", "auto",
		       "Form of the write buffer; hash-linkedlist finds and takes single keys faster, and is slow to "
		       "write out and to begin to iterate; auto takes it when the operator scans no state.",
		       .choices = memtables),
	[OPTION_MEMTABLE_BLOOM_PERCENT] = OPTION(
		SB_OPTION_I64, "memtable_bloom_percent", "2",
		"Share of the write buffer given to a Bloom filter of its keys, 0 for none.", RANGE(0, 25, "percent")),
	[OPTION_MAX_BACKGROUND_JOBS] =
		OPTION(SB_OPTION_I64, "max_background_jobs", "2",
		       "Flushes and compactions at once; the threads are shared by all instances of the process.",
		       RANGE(1, 256, NULL)),
	[OPTION_BACKGROUND_NICENESS] =
		OPTION(SB_OPTION_I64, "background_niceness", "10",
		       "How far the threads of flushes and compactions stand back where processors are short, in "
		       "steps of nice(1); the first instance of the process decides.",
		       RANGE(0, 19, NULL)),
	[OPTION_MAX_OPEN_FILES] =
		OPTION(SB_OPTION_I64, "max_open_files", "-1",
		       "Files kept open, -1 for all, which reads fastest and needs a file limit to match.",
		       RANGE(-1, 10000000, NULL)),
	[OPTION_TARGET_FILE_SIZE] =
		OPTION(SB_OPTION_SIZE, "target_file_size", "64MiB", "Size at which a compaction begins the next file.",
		       RANGE(64 * KIB, 64 * GIB, "bytes")),
	[OPTION_COMPACTION_STYLE] = OPTION(
		SB_OPTION_CHOICE, "compaction_style", "universal",
		"universal writes less, so checkpoints cost what changed, and needs up to three times the space; "
		"level keeps the space small.",
		.choices = compaction_styles),
	[OPTION_COMPACTION_TRIGGER] =
		OPTION(SB_OPTION_I64, "compaction_trigger", "0",
		       "Files of level 0, or with universal sorted runs, that start a compaction; 0: 8 with "
		       "universal, 4 with level.",
		       RANGE(0, 64, NULL)),
	[OPTION_UNIVERSAL_MAX_SIZE_AMPLIFICATION] =
		OPTION(SB_OPTION_I64, "universal_max_size_amplification", "200",
		       "Share of the oldest run that all younger ones may reach before universal merges them all.",
		       RANGE(10, 10000, "percent")),
	[OPTION_LEVEL_COMPACTION_DYNAMIC_LEVEL_BYTES] =
		OPTION(SB_OPTION_BOOL, "level_compaction_dynamic_level_bytes", "true",
		       "Fit the sizes of the levels to the last one, which saves space.", .unit = NULL),
	[OPTION_RATE_LIMIT] = OPTION(SB_OPTION_SIZE, "rate_limit", "0",
				     "Bytes a second that flushes and compactions may write, 0 for no limit.",
				     RANGE(0, 1 * TIB, "bytes/s")),
	[OPTION_PURGE_INTERVAL] =
		OPTION(SB_OPTION_DURATION, "purge_interval", "24h",
		       "Age at which a file is compacted for the sake of its expired entries, 0 for never.",
		       RANGE(0, 3650 * DAY_MS, "ms")),
	[OPTION_WAL] = OPTION(SB_OPTION_BOOL, "wal", "false",
			      "Write a log ahead of the write buffer; recovery does not need it, checkpoints carry it.",
			      .unit = NULL),
	[OPTION_FLUSH_ON_CLOSE] =
		OPTION(SB_OPTION_BOOL, "flush_on_close", "true",
		       "Write the write buffers out when closing, so that the directory can be looked at afterwards.",
		       .unit = NULL),
	[OPTION_STATISTICS] =
		OPTION(SB_OPTION_BOOL, "statistics", "false",
		       "Let RocksDB count hits, stalls and bytes, for some percent of the speed.", .unit = NULL),
};

const sb_option *const options_declared[OPTION_COUNT] = {
	&declared[OPTION_PRESET],
	&declared[OPTION_WRITE_BUFFER_SIZE],
	&declared[OPTION_MAX_WRITE_BUFFER_NUMBER],
	&declared[OPTION_BLOCK_CACHE_SIZE],
	&declared[OPTION_BLOOM_BITS],
	&declared[OPTION_COMPRESSION],
	&declared[OPTION_BLOCK_SIZE],
	&declared[OPTION_CACHE_INDEX_AND_FILTER_BLOCKS],
	&declared[OPTION_MEMTABLE],
	&declared[OPTION_MEMTABLE_BLOOM_PERCENT],
	&declared[OPTION_MAX_BACKGROUND_JOBS],
	&declared[OPTION_BACKGROUND_NICENESS],
	&declared[OPTION_MAX_OPEN_FILES],
	&declared[OPTION_TARGET_FILE_SIZE],
	&declared[OPTION_COMPACTION_STYLE],
	&declared[OPTION_COMPACTION_TRIGGER],
	&declared[OPTION_UNIVERSAL_MAX_SIZE_AMPLIFICATION],
	&declared[OPTION_LEVEL_COMPACTION_DYNAMIC_LEVEL_BYTES],
	&declared[OPTION_RATE_LIMIT],
	&declared[OPTION_PURGE_INTERVAL],
	&declared[OPTION_WAL],
	&declared[OPTION_FLUSH_ON_CLOSE],
	&declared[OPTION_STATISTICS],
};

static void apply_preset(struct settings *settings, int64_t preset)
{
	for (size_t i = 0; i < sizeof(preset_figures) / sizeof(preset_figures[0]); i++)
		settings->value[preset_figures[i].option] = preset_figures[i].by_preset[preset];
}

int32_t options_resolve(const sb_backend_config *config, struct settings *ret_settings, sb_error *err)
{
	struct settings settings = {0};

	if (config->option_count != OPTION_COUNT)
		return errors_set(err, SB_ERR_INVALID, 0,
				  "RocksDB was handed %llu option values for %s and declares %d: a bug of the host",
				  (unsigned long long)config->option_count, config->instance, OPTION_COUNT);

	const sb_option_value *given = config->options;
	int64_t preset = given[OPTION_PRESET].i64;

	if (preset < 0 || preset >= PRESET_COUNT)
		return errors_set(err, SB_ERR_INVALID, 0, "RocksDB has no preset number %lld: a bug of the host",
				  (long long)preset);
	apply_preset(&settings, preset);
	for (int i = 0; i < OPTION_COUNT; i++) {
		if (given[i].is_set)
			settings.value[i] = given[i].i64;
	}
	if (settings.value[OPTION_MEMTABLE] == MEMTABLE_AUTO)
		settings.value[OPTION_MEMTABLE] =
			config->flags & SB_OPEN_NO_SHORT_ITER ? MEMTABLE_HASH_LINKEDLIST : MEMTABLE_SKIPLIST;
	*ret_settings = settings;
	return SB_OK;
}
