/* SPDX-License-Identifier: Apache-2.0
 *
 * Purging what has expired, in portions, and the figures.
 *
 * A round walks all keys, a portion a call, fetches their expiries alone, and deletes what lies at or below the horizon, and
 * what Redis has dropped by itself from the sorted sets. It does not begin while nothing can have expired: the earliest expiry of
 * all entries is known, from the last round and from what was put since, and never too late.
 */
#include <stdlib.h>
#include <string.h>

#include "redis_private.h"

#define PORTION_MAX 16384u

/* Deletions to come; keys lie one behind the other in bytes. */
struct expired {
	sb_op *ops;
	uint64_t count;
	uint8_t *bytes;
	size_t used, room;
};

static int32_t no_memory(const struct sb_backend *backend, sb_error *err)
{
	errors_no_memory(backend, err);
	return err->code;
}

static void lower(int64_t *earliest_ms, int64_t expiry_ms)
{
	if (expiry_ms < *earliest_ms)
		*earliest_ms = expiry_ms;
}

void maintain_saw_put(struct sb_backend *backend, int64_t expiry_ms)
{
	if (expiry_ms == SB_NO_EXPIRY)
		return;
	lower(&backend->earliest_ms, expiry_ms);
	lower(&backend->earliest_seen_ms, expiry_ms);
}

/* Keys are kept by where they begin, since bytes may move. */
static bool note(struct expired *expired, sb_slice key)
{
	if (!expired->bytes || expired->room - expired->used < key.len) {
		size_t room = 2 * (expired->used + key.len);
		uint8_t *bytes = realloc(expired->bytes, room);

		if (!bytes)
			return false;
		expired->bytes = bytes;
		expired->room = room;
	}
	memcpy(expired->bytes + expired->used, key.ptr, key.len);
	expired->used += key.len;
	expired->ops[expired->count++] = (sb_op){.kind = SB_OP_DELETE, .key = {NULL, key.len}};
	return true;
}

static void point_at_keys(struct expired *expired)
{
	const uint8_t *at = expired->bytes;

	for (uint64_t i = 0; i < expired->count; i++) {
		expired->ops[i].key.ptr = at;
		at += expired->ops[i].key.len;
	}
}

/* The key right behind this one is itself and a zero byte. */
static bool remember_place(struct sb_backend *backend, sb_slice key)
{
	uint8_t *place = realloc(backend->sweep_key, key.len + 1);

	if (!place)
		return false;
	memcpy(place, key.ptr, key.len);
	place[key.len] = 0;
	backend->sweep_key = place;
	backend->sweep_len = key.len + 1;
	return true;
}

static void end_round(struct sb_backend *backend)
{
	backend->sweep_len = 0;
	backend->earliest_ms = backend->earliest_seen_ms;
	backend->earliest_seen_ms = INT64_MAX;
}

static int32_t walk(struct sb_backend *backend, sb_iter *iter, uint64_t budget, int64_t horizon_ms,
		    struct expired *expired, sb_error *err)
{
	while (budget-- > 0) {
		sb_entry entry;
		uint64_t count;
		int32_t status = iter_next(iter, 1, &entry, &count, err);

		if (status != SB_OK)
			return status;
		if (count == 0) {
			end_round(backend);
			return SB_OK;
		}
		if (entry.expiry_ms != SB_NO_EXPIRY && entry.expiry_ms <= horizon_ms) {
			if (!note(expired, entry.key))
				return no_memory(backend, err);
		} else if (entry.expiry_ms != SB_NO_EXPIRY) {
			lower(&backend->earliest_seen_ms, entry.expiry_ms);
		}
		if (budget == 0 && !remember_place(backend, entry.key))
			return no_memory(backend, err);
	}
	return SB_OK;
}

static int32_t sweep(struct sb_backend *backend, uint64_t budget, int64_t horizon_ms, struct expired *expired,
		     sb_error *err)
{
	const sb_iter_options from = {
		.struct_size = sizeof(from),
		.flags = SB_ITER_SHORT,
		.lower = {backend->sweep_key, backend->sweep_len},
	};
	sb_iter *iter;
	int32_t status = iter_open(backend, &from, &iter, err);

	if (status != SB_OK)
		return status;
	iter_want_expiries_only(iter);
	status = walk(backend, iter, budget, horizon_ms, expired, err);
	iter_close(iter);
	if (status != SB_OK)
		return status;
	point_at_keys(expired);
	return write_batch(backend, expired->count, expired->ops, err);
}

int32_t maintain_run(sb_backend *backend, uint64_t budget, uint64_t *ret_purged, sb_error *err)
{
	int64_t horizon_ms = backend->host->expiry_horizon_ms(backend->host);
	struct expired expired = {0};
	int32_t status;

	*ret_purged = 0;
	if (budget > PORTION_MAX)
		budget = PORTION_MAX;
	if (budget == 0 || (backend->sweep_len == 0 && backend->earliest_ms > horizon_ms))
		return SB_OK;
	expired.ops = calloc(budget, sizeof(*expired.ops));
	if (!expired.ops)
		return no_memory(backend, err);
	status = sweep(backend, budget, horizon_ms, &expired, err);
	if (status == SB_OK) {
		backend->counters.deletes -= expired.count; /* the host's are counted, not ours */
		backend->counters.purged += expired.count;
		*ret_purged = expired.count;
	} else {
		/* What was met is not deleted: the round begins again. */
		backend->sweep_len = 0;
		backend->earliest_ms = INT64_MIN;
	}
	free(expired.ops);
	free(expired.bytes);
	return status;
}

/* ---------------------------------------------------------------------------
 * Figures: what the server holds is for the server to say
 * ------------------------------------------------------------------------- */

int32_t maintain_stats(sb_backend *backend, uint64_t capacity, sb_stat *stats, uint64_t *ret_count, sb_error *err)
{
	const struct counters *counters = &backend->counters;
	const sb_stat all[] = {
		{"gets", (double)counters->gets, "", SB_METRIC_COUNTER, 0},
		{"puts", (double)counters->puts, "", SB_METRIC_COUNTER, 0},
		{"deletes", (double)counters->deletes, "", SB_METRIC_COUNTER, 0},
		{"purged", (double)counters->purged, "entries", SB_METRIC_COUNTER, 0},
		{"round_trips", (double)counters->round_trips, "", SB_METRIC_COUNTER, 0},
		{"retries", (double)counters->retries, "", SB_METRIC_COUNTER, 0},
		{"connects", (double)counters->connects, "", SB_METRIC_COUNTER, 0},
		{"nodes", (double)backend->node_count, "", SB_METRIC_GAUGE, 0},
	};
	uint64_t count = sizeof(all) / sizeof(all[0]);

	(void)err;
	for (uint64_t i = 0; i < count && i < capacity; i++)
		stats[i] = all[i];
	*ret_count = count;
	return SB_OK;
}
