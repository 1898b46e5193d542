/* SPDX-License-Identifier: Apache-2.0
 *
 * Purging of expired entries, by compaction filter: a compaction reads every
 * entry of its input anyway, so leaving out the expired ones costs a comparison.
 *
 * Why a horizon and not the clock: RocksDB calls a compaction filter without
 * regard to snapshots. What it removes is gone for every later reader, also for one
 * that wants an earlier moment: a checkpoint of the files, or a replay from older
 * offsets under event time. (An open iterator is safe, since it holds the files
 * and memtables of its moment.) So only the host can say what nobody will want any
 * more, and it says so by expiry_horizon_ms(), which never goes back: what is dead
 * when a compaction begins is dead when it ends, and asking once for each
 * compaction is enough.
 *
 * A removed entry becomes a tombstone as long as deeper levels may hold an older
 * value of its key, so purging never brings an old value back.
 *
 * When: entries leave with the compactions that writing causes. A file
 * that no write touches would keep its dead for ever, therefore purge_interval has
 * files of that age compacted too. The backend has no maintain(): a sweep would
 * read on the event thread what a compaction reads on RocksDB's own.
 */
#include <stdlib.h>

#include "rocksdb_private.h"

static const char name[] = "sbhost.expiry";

/* The filter of one compaction, used by one thread. */
struct filter {
	struct sb_backend *backend;
	int64_t horizon_ms;
	uint64_t purged;
};

static const char *filter_name(void *state)
{
	(void)state;
	return name;
}

static unsigned char is_purged(void *state, int level, const char *key, size_t key_len, const char *value,
			       size_t value_len, char **new_value, size_t *new_value_len, unsigned char *value_changed)
{
	struct filter *filter = state;

	(void)level;
	(void)key;
	(void)key_len;
	(void)new_value;
	(void)new_value_len;
	*value_changed = 0;
	if (value_len < EXPIRY_BYTES)
		return 0; /* Not ours to judge: reading it reports the corruption. */

	int64_t expiry_ms = expiry_load((const uint8_t *)value);

	if (expiry_ms == SB_NO_EXPIRY || expiry_ms > filter->horizon_ms)
		return 0;
	filter->purged++;
	return 1;
}

static void filter_free(void *state)
{
	struct filter *filter = state;

	atomic_fetch_add_explicit(&filter->backend->purged, filter->purged, memory_order_relaxed);
	free(filter);
}

/* Runs on RocksDB's threads. Without memory there is no filter, and a later
 * compaction purges. */
static rocksdb_compactionfilter_t *filter_new(void *state, rocksdb_compactionfiltercontext_t *context)
{
	struct sb_backend *backend = state;
	struct filter *filter = calloc(1, sizeof(*filter));

	(void)context;
	if (!filter)
		return NULL;
	filter->backend = backend;
	filter->horizon_ms = backend->host->expiry_horizon_ms(backend->host);
	return rocksdb_compactionfilter_create(filter, filter_free, is_purged, filter_name);
}

/* The backend outlives the database, and so the factory. */
static void factory_free(void *state)
{
	(void)state;
}

rocksdb_compactionfilterfactory_t *ttl_filter_factory(struct sb_backend *backend)
{
	return rocksdb_compactionfilterfactory_create(backend, factory_free, filter_new, filter_name);
}
