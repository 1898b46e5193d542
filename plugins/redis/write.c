/* SPDX-License-Identifier: Apache-2.0
 *
 * Writing a batch.
 *
 * On a single server a batch is one transaction. In a cluster it is one for each key group, sent together: Redis has none
 * that spans groups. Puts and deletes may be repeated, so a batch whose fate is unknown, because the connection broke or a group moved, is
 * sent again, whole. When that does not help and some of it may have been applied, the instance is broken: every later call fails, so nobody
 * ever reads half a batch, and the job goes back to its checkpoint. A batch that was refused before anything was applied
 * (memory, rights) has changed nothing, and the instance lives on.
 *
 * Each put is given to Redis with a time to drop it by itself: its expiry, and the margin on top, because Redis goes by its own clock and
 * the host by its horizon. That is done only while the horizon is within half the margin of the server's clock; so never when
 * the job's time is that of old events, nor while a state is loaded. Upkeep purges those.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "redis_private.h"

/* An operation, by the transaction that it belongs to. */
struct place {
	uint64_t index;
	unsigned unit;
};

struct batch {
	uint64_t n;
	const sb_op *ops;
	struct place *order; /* by unit, then as they came */
	int64_t server_ms; /* 0: no key is dropped by Redis itself */
	bool may_be_applied; /* some of it, by this attempt or one before */
};

static int compare_places(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	if (x->unit != y->unit)
		return x->unit < y->unit ? -1 : 1;
	return x->index < y->index ? -1 : x->index > y->index;
}

/* ---------------------------------------------------------------------------
 * Asking
 * ------------------------------------------------------------------------- */

static enum outcome learn_time(struct sb_backend *backend, struct batch *batch, sb_error *err)
{
	int64_t margin_ms = backend->options[OPTION_EXPIRY_MARGIN].i64, server_ms;
	struct node *node;
	enum outcome outcome;

	batch->server_ms = 0;
	if (margin_ms == 0)
		return DONE;
	outcome = nodes_of_place(backend, &node, err);
	if (outcome == DONE)
		outcome = read_server_time(backend, node, &server_ms, err);
	if (outcome == DONE && backend->host->expiry_horizon_ms(backend->host) >= server_ms - margin_ms / 2)
		batch->server_ms = server_ms;
	return outcome;
}

/* 0: Redis is to keep it. */
static int64_t drop_time(const struct sb_backend *backend, const struct batch *batch, int64_t expiry_ms)
{
	int64_t margin_ms = backend->options[OPTION_EXPIRY_MARGIN].i64;

	if (batch->server_ms == 0 || expiry_ms == SB_NO_EXPIRY || expiry_ms < batch->server_ms - margin_ms / 2 ||
	    expiry_ms > INT64_MAX / 2)
		return 0;
	return expiry_ms + margin_ms;
}

static void add_put(struct sb_backend *backend, const struct batch *batch, struct node *node, const sb_op *op,
		    unsigned group, sb_slice member)
{
	int64_t drop_ms = drop_time(backend, batch, op->expiry_ms);

	wire_command(&node->wire, drop_ms ? 5 : 3);
	wire_text(&node->wire, "SET");
	wire_key(backend, &node->wire, backend->token, group, 'k', member);
	wire_value(&node->wire, op->expiry_ms, op->value);
	if (drop_ms) {
		wire_text(&node->wire, "PXAT");
		wire_number(&node->wire, drop_ms);
		if (drop_ms < backend->native_earliest_ms)
			backend->native_earliest_ms = drop_ms;
	}
	wire_command(&node->wire, 4);
	wire_text(&node->wire, "ZADD");
	wire_key(backend, &node->wire, backend->token, group, 'i', (sb_slice){0});
	wire_text(&node->wire, "0");
	wire_bytes(&node->wire, member);
	maintain_saw_put(backend, op->expiry_ms);
}

static void add_delete(const struct sb_backend *backend, struct node *node, unsigned group, sb_slice member)
{
	wire_command(&node->wire, 2);
	wire_text(&node->wire, "UNLINK");
	wire_key(backend, &node->wire, backend->token, group, 'k', member);
	wire_command(&node->wire, 3);
	wire_text(&node->wire, "ZREM");
	wire_key(backend, &node->wire, backend->token, group, 'i', (sb_slice){0});
	wire_bytes(&node->wire, member);
}

/* The transaction that begins with the operation at `from`; *ret_end is where the next one begins. */
static enum outcome add_transaction(struct sb_backend *backend, const struct batch *batch, uint64_t from,
				    uint64_t *ret_end, sb_error *err)
{
	unsigned unit = batch->order[from].unit;
	struct node *node;
	enum outcome outcome = nodes_route(backend, backend->token, unit, &node, err);
	uint64_t at = from;

	if (outcome != DONE)
		return outcome;
	wire_command(&node->wire, 1);
	wire_text(&node->wire, "MULTI");
	for (; at < batch->n && batch->order[at].unit == unit; at++) {
		const sb_op *op = &batch->ops[batch->order[at].index];
		sb_slice member = {op->key.ptr + GROUP_BYTES, op->key.len - GROUP_BYTES};

		if (op->kind == SB_OP_PUT)
			add_put(backend, batch, node, op, group_of(op->key), member);
		else
			add_delete(backend, node, group_of(op->key), member);
	}
	wire_command(&node->wire, 4);
	wire_text(&node->wire, "SET");
	wire_key(backend, &node->wire, backend->token, unit, 's', (sb_slice){0});
	wire_number(&node->wire, (int64_t)backend->groups[unit].batch + 1);
	wire_text(&node->wire, "GET");
	wire_command(&node->wire, 1);
	wire_text(&node->wire, "EXEC");
	*ret_end = at;
	return DONE;
}

/* ---------------------------------------------------------------------------
 * The answers
 * ------------------------------------------------------------------------- */

static enum outcome check_results(struct sb_backend *backend, unsigned unit, const redisReply *results, sb_error *err)
{
	for (size_t i = 0; i < results->elements; i++)
		if (results->element[i]->type == REDIS_REPLY_ERROR)
			return errors_break(backend, results->element[i]->str, err);
	if (results->elements == 0)
		return errors_break(backend, "a transaction without results", err);
	return read_check_batch(backend, unit, results->element[results->elements - 1], true, err);
}

/* MULTI's answer, one for each command, and the results. What was refused on the way says why, EXEC only that. */
static enum outcome take_transaction(struct sb_backend *backend, struct batch *batch, unsigned unit, uint64_t ops,
				     sb_error *err)
{
	enum outcome refused = DONE, outcome;
	struct node *node;
	redisReply *reply;

	outcome = nodes_route(backend, backend->token, unit, &node, err);
	for (uint64_t i = 0; outcome == DONE && i < 2 + 2 * ops; i++) {
		outcome = nodes_take(backend, node, &reply, err);
		if (outcome != DONE)
			return outcome;
		if (reply->type == REDIS_REPLY_ERROR && refused == DONE)
			refused = errors_reply(backend, reply->str, err);
		freeReplyObject(reply);
	}
	if (outcome == DONE)
		outcome = nodes_take(backend, node, &reply, err);
	if (outcome != DONE)
		return outcome;
	if (reply->type == REDIS_REPLY_ARRAY) {
		batch->may_be_applied = true;
		outcome = check_results(backend, unit, reply, err);
	} else if (refused != DONE) {
		outcome = refused;
	} else {
		outcome = reply->type == REDIS_REPLY_ERROR ? errors_reply(backend, reply->str, err)
							   : errors_unexpected(backend, "no results", err);
	}
	freeReplyObject(reply);
	return outcome;
}

/* All transactions are heard out, so that an answer that says no is not taken for one that was never heard. */
static enum outcome take_all(struct sb_backend *backend, struct batch *batch, sb_error *err)
{
	enum outcome first = DONE;

	for (uint64_t from = 0, end; from < batch->n; from = end) {
		sb_error later = {.struct_size = sizeof(later)};
		enum outcome outcome;

		for (end = from; end < batch->n && batch->order[end].unit == batch->order[from].unit;)
			end++;
		outcome = take_transaction(backend, batch, batch->order[from].unit, end - from,
					   first == DONE ? err : &later);
		if (first == DONE)
			first = outcome;
	}
	return first;
}

static bool is_connection_error(enum outcome outcome, const sb_error *err)
{
	return outcome == AGAIN && err->code == SB_ERR_IO;
}

static enum outcome write_once(struct sb_backend *backend, void *arg, sb_error *err)
{
	struct batch *batch = arg;
	enum outcome outcome = lock_register_groups(backend, batch->n, batch->ops, err);

	if (outcome == DONE)
		outcome = learn_time(backend, batch, err);
	for (uint64_t from = 0; outcome == DONE && from < batch->n;)
		outcome = add_transaction(backend, batch, from, &from, err);
	if (outcome != DONE)
		return outcome;
	outcome = nodes_send(backend, err);
	if (outcome == DONE)
		outcome = take_all(backend, batch, err);
	batch->may_be_applied |= is_connection_error(outcome, err);
	return outcome;
}

/* ---------------------------------------------------------------------------
 * The call
 * ------------------------------------------------------------------------- */

static int32_t check(const struct sb_backend *backend, uint64_t n, const sb_op *ops, sb_error *err)
{
	for (uint64_t i = 0; i < n; i++)
		if ((ops[i].kind != SB_OP_PUT && ops[i].kind != SB_OP_DELETE) || ops[i].key.len < GROUP_BYTES)
			return errors_set(err, SB_ERR_INVALID,
					  "operation %" PRIu64 " of a batch of %s has the kind %u and a key of %" PRIu64
					  " bytes, which the Redis backend does not know: a bug of the host",
					  i, backend->instance, ops[i].kind, ops[i].key.len);
	return SB_OK;
}

static void count(struct sb_backend *backend, const struct batch *batch)
{
	for (uint64_t i = 0; i < batch->n; i++) {
		backend->counters.puts += batch->ops[i].kind == SB_OP_PUT;
		backend->counters.deletes += batch->ops[i].kind == SB_OP_DELETE;
		if (i == 0 || batch->order[i].unit != batch->order[i - 1].unit)
			backend->groups[batch->order[i].unit].batch++;
	}
}

static int32_t write_ordered(struct sb_backend *backend, struct batch *batch, sb_error *err)
{
	int32_t status;

	for (uint64_t i = 0; i < batch->n; i++)
		batch->order[i] = (struct place){.index = i, .unit = unit_of(backend, group_of(batch->ops[i].key))};
	if (backend->is_cluster)
		qsort(batch->order, batch->n, sizeof(*batch->order), compare_places);
	status = nodes_attempt(backend, true, write_once, batch, err);
	if (status == SB_OK) {
		count(backend, batch);
	} else if (batch->may_be_applied && !backend->is_broken) {
		char why[160];

		memcpy(why, err->message, sizeof(why) - 1);
		why[sizeof(why) - 1] = 0;
		errors_break(backend, why, err);
		status = err->code;
	}
	return status;
}

int32_t write_batch(sb_backend *backend, uint64_t n, const sb_op *ops, sb_error *err)
{
	struct batch batch = {.n = n, .ops = ops};
	int32_t status = check(backend, n, ops, err);

	if (status != SB_OK || n == 0)
		return status;
	batch.order = calloc(n, sizeof(*batch.order));
	if (!batch.order) {
		errors_no_memory(backend, err);
		return err->code;
	}
	status = write_ordered(backend, &batch, err);
	free(batch.order);
	return status;
}
