/* SPDX-License-Identifier: Apache-2.0
 *
 * The figures of an instance: its own counters, RocksDB's properties, and, when the
 * option statistics is on, some of RocksDB's tickers.
 *
 * The tickers come as one text of some 200 lines, the only form that the C API of 7.8
 * has; reading it costs tens of microseconds, on a call that people make, not events.
 */
#include <stdlib.h>
#include <string.h>

#include "rocksdb_private.h"

struct figure {
	const char *name;
	const char *unit;
	const char *source; /* RocksDB's name for it */
};

static const struct figure properties[] = {
	{"entries_estimate", "entries", "rocksdb.estimate-num-keys"},
	{"sst_live_bytes", "bytes", "rocksdb.live-sst-files-size"},
	{"sst_total_bytes", "bytes", "rocksdb.total-sst-files-size"},
	{"level0_files", "", "rocksdb.num-files-at-level0"},
	{"memtable_bytes", "bytes", "rocksdb.cur-size-all-mem-tables"},
	{"memtable_pinned_bytes", "bytes", "rocksdb.size-all-mem-tables"},
	{"block_cache_bytes", "bytes", "rocksdb.block-cache-usage"},
	{"block_cache_pinned_bytes", "bytes", "rocksdb.block-cache-pinned-usage"},
	{"table_readers_bytes", "bytes", "rocksdb.estimate-table-readers-mem"},
	{"compaction_pending_bytes", "bytes", "rocksdb.estimate-pending-compaction-bytes"},
	{"compactions_running", "", "rocksdb.num-running-compactions"},
	{"flushes_running", "", "rocksdb.num-running-flushes"},
	{"write_stopped", "", "rocksdb.is-write-stopped"},
	{"background_errors", "", "rocksdb.background-errors"},
};

static const struct figure tickers[] = {
	{"block_cache_hits", "", "rocksdb.block.cache.hit"},
	{"block_cache_misses", "", "rocksdb.block.cache.miss"},
	{"bloom_useful", "", "rocksdb.bloom.filter.useful"},
	{"memtable_hits", "", "rocksdb.memtable.hit"},
	{"memtable_misses", "", "rocksdb.memtable.miss"},
	{"stall_micros", "us", "rocksdb.stall.micros"},
	{"flush_written_bytes", "bytes", "rocksdb.flush.write.bytes"},
	{"compaction_read_bytes", "bytes", "rocksdb.compact.read.bytes"},
	{"compaction_written_bytes", "bytes", "rocksdb.compact.write.bytes"},
};

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

/* Counts what does not fit, too. */
struct sink {
	sb_stat *stats;
	uint64_t capacity;
	uint64_t count;
};

static void add(struct sink *sink, uint32_t kind, const char *name, double value, const char *unit)
{
	if (sink->count < sink->capacity)
		sink->stats[sink->count] = (sb_stat){name, value, unit, kind, 0};
	sink->count++;
}

static void add_counters(struct sink *sink, const struct sb_backend *backend)
{
	const struct counters *counters = &backend->counters;

	add(sink, SB_METRIC_COUNTER, "gets", (double)counters->gets, "");
	add(sink, SB_METRIC_COUNTER, "puts", (double)counters->puts, "");
	add(sink, SB_METRIC_COUNTER, "deletes", (double)counters->deletes, "");
	add(sink, SB_METRIC_COUNTER, "gets_found", (double)counters->gets_found, "");
	add(sink, SB_METRIC_COUNTER, "read_batches", (double)counters->read_batches, "");
	add(sink, SB_METRIC_COUNTER, "write_batches", (double)counters->write_batches, "");
	add(sink, SB_METRIC_COUNTER, "purged", (double)atomic_load_explicit(&backend->purged, memory_order_relaxed),
	    "entries");
}

/* Every property answers as text, also the one (files of a level) that has no
 * integer form. */
static void add_property(struct sink *sink, const struct sb_backend *backend, const struct figure *property)
{
	char *text = rocksdb_property_value_cf(backend->engine.db, backend->engine.family, property->source);

	if (!text)
		return;
	add(sink, SB_METRIC_GAUGE, property->name, strtod(text, NULL), property->unit);
	rocksdb_free(text);
}

/* A line of the text reads "rocksdb.block.cache.hit COUNT : 12". */
static void add_ticker(struct sink *sink, const char *text, const struct figure *ticker)
{
	static const char middle[] = " COUNT : ";
	size_t len = strlen(ticker->source);

	for (const char *at = strstr(text, ticker->source); at; at = strstr(at + 1, ticker->source)) {
		if (strncmp(at + len, middle, sizeof(middle) - 1) != 0)
			continue;
		add(sink, SB_METRIC_COUNTER, ticker->name, strtod(at + len + sizeof(middle) - 1, NULL), ticker->unit);
		return;
	}
}

static void add_tickers(struct sink *sink, const struct sb_backend *backend)
{
	char *text = rocksdb_options_statistics_get_string(backend->engine.options);

	if (!text)
		return;
	for (size_t i = 0; i < LENGTH(tickers); i++)
		add_ticker(sink, text, &tickers[i]);
	rocksdb_free(text);
}

int32_t stats_read(sb_backend *backend, uint64_t capacity, sb_stat *stats, uint64_t *ret_count, sb_error *err)
{
	struct sink sink = {.stats = stats, .capacity = capacity};

	(void)err;
	add_counters(&sink, backend);
	for (size_t i = 0; i < LENGTH(properties); i++)
		add_property(&sink, backend, &properties[i]);
	if (backend->settings.value[OPTION_STATISTICS])
		add_tickers(&sink, backend);
	*ret_count = sink.count;
	return SB_OK;
}
