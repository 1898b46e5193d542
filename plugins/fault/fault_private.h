/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of the fault backend share: its options, the dice that decide, and the instance.
 */
#ifndef FAULT_PRIVATE_H
#define FAULT_PRIVATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sb_plugin.h"

/* What can go wrong. The first five fail a call; each has a chance and an Nth call. */
enum fault {
	FAULT_MULTI_GET,
	FAULT_WRITE_BATCH,
	FAULT_ITER_OPEN,
	FAULT_ITER_NEXT,
	FAULT_MAINTAIN,
	FAULT_TORN_BATCH,
	FAULT_LOST_WRITE,
	FAULT_STALE_ITERATOR,
	FAULT_SHORT_READ,
	FAULT_SHORT_ITERATOR,
	FAULT_DELAY,
	FAULT_COUNT
};

/* The order of the declaration: chances and Nth times by fault, then the rest. */
#define OPTION_CHANCE(fault) ((unsigned)(fault))
#define OPTION_NTH(fault) ((unsigned)FAULT_COUNT + (unsigned)(fault))
enum option {
	OPTION_INNER = 2 * FAULT_COUNT,
	OPTION_INNER_OPTIONS,
	OPTION_SEED,
	OPTION_DELAY,
	OPTION_STATUS,
	OPTION_COUNT
};

extern const sb_option *const options_declared[OPTION_COUNT];

struct plan {
	double chance[FAULT_COUNT];
	uint64_t nth[FAULT_COUNT]; /* 0: never */
	uint64_t seed;
	int64_t delay_ms;
	int32_t status; /* of an injected error */
};

/* One for the instance, and one for each iterator, which another thread may read. */
struct dice {
	uint64_t state;
};

/* Shared between threads: how often each fault could have come, and did. */
struct tally {
	_Atomic uint64_t times[FAULT_COUNT];
	_Atomic uint64_t injected[FAULT_COUNT];
};

struct sb_backend {
	const sb_host *host;
	const char *instance;
	const sb_backend_open_ops *opener;
	sb_inner_backend inner;
	bool is_open;
	struct plan plan;
	struct dice dice;
	struct tally tally;
	sb_iter *past; /* of the inner backend: what a stale iterator will show */
	uint64_t iterators;
	sb_op *kept; /* what a batch with lost writes has left */
	uint64_t kept_room;
};

/* dice.c */
uint64_t dice_roll(struct dice *dice);
/* Whether this fault comes now; counts. */
bool dice_fault(struct sb_backend *backend, struct dice *dice, enum fault fault);
void dice_delay(struct sb_backend *backend, struct dice *dice);
/* Delays, then fails if that is the fault's turn: SB_OK, or the status with err filled. */
int32_t dice_call(struct sb_backend *backend, struct dice *dice, enum fault fault, sb_error *err);
int32_t dice_fail(struct sb_backend *backend, enum fault fault, sb_error *err);
const char *dice_name(enum fault fault);
int32_t fault_error(sb_error *err, int32_t code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* backend.c */
int32_t backend_open(const sb_backend_config *config, sb_backend **ret_backend, sb_error *err);
void backend_close(sb_backend *backend);
int32_t backend_multi_get(sb_backend *backend, uint64_t n, const sb_slice *keys, sb_pin *pins, sb_error *err);
void backend_unpin(sb_backend *backend, uint64_t n, sb_pin *pins);
int32_t backend_write_batch(sb_backend *backend, uint64_t n, const sb_op *ops, sb_error *err);
int32_t backend_maintain(sb_backend *backend, uint64_t budget, uint64_t *ret_purged, sb_error *err);
int32_t backend_stats(sb_backend *backend, uint64_t capacity, sb_stat *stats, uint64_t *ret_count, sb_error *err);

/* iter.c */
int32_t iter_open(sb_backend *backend, const sb_iter_options *options, sb_iter **ret_iter, sb_error *err);
int32_t iter_next(sb_iter *iter, uint64_t max, sb_entry *entries, uint64_t *ret_count, sb_error *err);
void iter_close(sb_iter *iter);
/* Before a write: keeps hold of the moment, if a stale iterator may want it. */
int32_t iter_keep_past(struct sb_backend *backend, sb_error *err);

#endif
