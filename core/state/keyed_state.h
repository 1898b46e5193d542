/* Keyed state of one task: what operators call, on top of a backend.
 *
 * Works in batches. begin gathers the keys of a batch, finds in the working set what is there and
 * fetches the rest with one multi_get; the operator then reads and changes entries in place; end
 * writes back what no longer fits. flush brings every change to the backend: after it,
 * an iterator over the backend shows the whole state.
 *
 * A barrier cannot wait for a flush. It freezes what is changed, which takes no time that grows with it, and the
 * batches behind it go on while thaw brings the frozen entries to the backend, some at a time. When none is left the backend has
 * exactly the state of the barrier: then the view of the checkpoint is opened, and release lets newer changes through.
 *
 * Expiry is decided here and nowhere else: an entry is expired for an event when its expiry is at or
 * before that event's clock. What the backend purges on its own is below the horizon, where nobody looks any more.
 *
 * A failed backend call leaves the working set in an unknown relation to the backend, so the first
 * failure is kept and every later call returns it: the run ends and restores. */
#ifndef STATE_KEYED_STATE_H
#define STATE_KEYED_STATE_H

#include "base/buffer.h"
#include "plugin/instance.h"
#include "state/schema.h"
#include "state/write_hold.h"

struct keyed_state;

struct keyed_state_config {
	struct instance *backend; /* open; outlives the keyed state */
	const struct schema *schema; /* outlives it, too */
	uint32_t key_groups;
	bool backend_empty; /* nothing was restored into it: it is not asked for what was never in the working set */
	uint64_t
		cache_bytes; /* budget of the working set, a quarter more and 64 MiB while a barrier thaws; 0: the batch at hand only */
	struct write_hold *
		hold; /* NULL: writes are never held back. While they are, the working set may outgrow its budget by the same */
};

struct keyed_state_stats {
	uint64_t gets, puts, deletes; /* by the operator */
	uint64_t hits, misses; /* of the working set */
	uint64_t written_back; /* operations sent to the backend */
	uint64_t cached_entries, cached_bytes, dirty_entries; /* frozen ones are dirty, too */
};

int32_t keyed_state_open(const struct keyed_state_config *config, struct keyed_state **ret_state, sb_error *err);
void keyed_state_close(struct keyed_state *ks);

/* events and hashes (key_hash of each key) stay valid until end. */
int32_t keyed_state_begin(struct keyed_state *ks, const sb_event *events, const uint64_t *hashes, uint64_t n,
			  sb_error *err);
int32_t keyed_state_end(struct keyed_state *ks, sb_error *err);
/* Not between freeze and release. */
int32_t keyed_state_flush(struct keyed_state *ks, sb_error *err);

/* Between batches. Nothing may be frozen still. */
void keyed_state_freeze(struct keyed_state *ks);
/* Writes up to max frozen entries. */
int32_t keyed_state_thaw(struct keyed_state *ks, uint64_t max, sb_error *err);
/* How many are left to write. */
uint64_t keyed_state_frozen(const struct keyed_state *ks);
void keyed_state_release(struct keyed_state *ks);

/* As in sb_task; between begin and end. */
void *keyed_state_upsert(struct keyed_state *ks, uint32_t state, uint64_t event, int32_t *ret_created);
const void *keyed_state_peek(struct keyed_state *ks, uint32_t state, uint64_t event);
int32_t keyed_state_delete(struct keyed_state *ks, uint32_t state, uint64_t event);
int32_t keyed_state_raw_get(struct keyed_state *ks, uint32_t state, uint64_t event, sb_slice sub_key,
			    sb_slice *ret_value, int32_t *ret_found);
int32_t keyed_state_raw_put(struct keyed_state *ks, uint32_t state, uint64_t event, sb_slice sub_key, sb_slice value,
			    int64_t ttl_ms);
int32_t keyed_state_raw_delete(struct keyed_state *ks, uint32_t state, uint64_t event, sb_slice sub_key);
int32_t keyed_state_raw_scan(struct keyed_state *ks, uint32_t state, uint64_t event, sb_slice prefix, sb_scan_fn fn,
			     void *arg);

/* SB_OK, or the first failure of a call above, whose cause is copied to err. */
int32_t keyed_state_failure(const struct keyed_state *ks, sb_error *err);

void keyed_state_get_stats(const struct keyed_state *ks, struct keyed_state_stats *ret_stats);

#endif
