/* SPDX-License-Identifier: Apache-2.0
 *
 * backend.h: one instance, which is its index, its records, and who looks at them.
 */
#ifndef MEMORY_BACKEND_H
#define MEMORY_BACKEND_H

#include "delta.h"
#include "snapshot.h"
#include "table.h"

struct sb_backend {
	const sb_host *host;
	const char *instance;
	struct pages pages;
	struct arena arena;
	struct table table;
	struct snapshot snapshot;
	struct delta delta;
	uint64_t key_bytes, value_bytes;
	uint64_t purged;
	uint32_t sweep_slab, sweep_slot; /* where maintain() goes on */
	/* What a batch needs, kept for the next one. */
	uint64_t *hashes;
	struct large **larges;
	uint64_t scratch_capacity;
};

/* In the order of the declaration in plugin.c. */
enum backend_option { OPTION_INITIAL_CAPACITY, OPTION_HUGE_PAGES, OPTION_MEMORY_LIMIT, OPTION_COUNT };

int32_t backend_open(const sb_backend_config *config, sb_backend **ret_backend, sb_error *err);
void backend_close(sb_backend *backend);
int32_t backend_multi_get(sb_backend *backend, uint64_t n, const sb_slice *keys, sb_pin *pins, sb_error *err);
void backend_unpin(sb_backend *backend, uint64_t n, sb_pin *pins);
int32_t backend_write_batch(sb_backend *backend, uint64_t n, const sb_op *ops, sb_error *err);
int32_t backend_iter_open(sb_backend *backend, const sb_iter_options *options, sb_iter **ret_iter, sb_error *err);
int32_t backend_maintain(sb_backend *backend, uint64_t budget, uint64_t *ret_purged, sb_error *err);
int32_t backend_mark(sb_backend *backend, uint64_t *ret_mark, sb_error *err);
int32_t backend_changes_open(sb_backend *backend, uint64_t since, sb_changes **ret_changes, sb_error *err);
void backend_release(sb_backend *backend, uint64_t mark);
/* in_place.c */
int32_t backend_find(sb_backend *backend, uint64_t n, const sb_slice *keys, sb_place *places, sb_error *err);
int32_t backend_write(sb_backend *backend, sb_slice key, uint64_t value_len, sb_place *place, sb_error *err);
int32_t backend_finish(sb_backend *backend, uint64_t n, const sb_slice *keys, sb_place *places, sb_error *err);
int32_t backend_stats(sb_backend *backend, uint64_t capacity, sb_stat *stats, uint64_t *ret_count, sb_error *err);

/* Reserves all that one put needs, with hash also that of a new key, and makes the block of a large one; forgets the marks if there is no memory else. */
bool backend_reserve_put(sb_backend *backend, const sb_op *op, const uint64_t *hash, struct large **ret_large);
/* A record of the entry, in the log of changes but not yet in index and sums; a value without ptr leaves its bytes unset. There
 * is a reservation. */
uint32_t backend_new_record(sb_backend *backend, const sb_op *op, struct large *large);
/* For the sweep: a record at ref expires at that time. */
void backend_note_expiry(sb_backend *backend, uint32_t ref, int64_t expiry_ms);
/* Removes the entry at a place from index and sums, notes the deletion, and retires the record. There is a
 * reservation in limbo. */
void backend_remove(sb_backend *backend, const struct place *place);
/* The share of the limbo that a batch of n operations looks at. */
void backend_drain(sb_backend *backend, uint64_t n);
/* Forgets marks whose log is too long for this state. */
void backend_limit_log(sb_backend *backend);

#endif
