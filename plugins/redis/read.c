/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading, and how we know that what we read is what we wrote.
 *
 * A server may forget: restarted from an older file, a replica that was promoted before it had everything, emptied by
 * somebody. So each unit keeps the number of the last batch that changed it, set in the same transaction, and every
 * read asks for that number behind the values, in the same round trip. Another number than the one we remember is
 * SB_ERR_IO, for good: the job starts again and rebuilds its state.
 *
 * Redis also drops keys whose time has come (write.c), by its own clock. Such a drop is right when the host's horizon has passed the
 * entry's expiry, that is, as long as the horizon is not further behind the server's clock than the margin. So reads ask for the time as well,
 * once any key has been given one.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "redis_private.h"

void read_touch(struct sb_backend *backend, unsigned unit)
{
	if (backend->groups[unit].is_touched)
		return;
	backend->groups[unit].is_touched = true;
	backend->touched[backend->touched_count++] = (uint16_t)unit;
}

void read_untouch(struct sb_backend *backend)
{
	for (uint32_t i = 0; i < backend->touched_count; i++)
		backend->groups[backend->touched[i]].is_touched = false;
	backend->touched_count = 0;
}

enum outcome read_ask_whether_whole(struct sb_backend *backend, sb_error *err)
{
	for (uint32_t i = 0; i < backend->touched_count; i++) {
		unsigned unit = backend->touched[i];
		struct node *node;
		enum outcome outcome = nodes_route(backend, backend->token, unit, &node, err);

		if (outcome != DONE)
			return outcome;
		wire_command(&node->wire, 2);
		wire_text(&node->wire, "GET");
		wire_key(backend, &node->wire, backend->token, unit, 's', (sb_slice){0});
		wire_command(&node->wire, 1);
		wire_text(&node->wire, "TIME");
	}
	return DONE;
}

enum outcome read_check_batch(struct sb_backend *backend, unsigned unit, const redisReply *reply, bool may_be_next,
			      sb_error *err)
{
	uint64_t expected = backend->groups[unit].batch, found = 0;

	if (reply->type == REDIS_REPLY_STRING)
		found = strtoull(reply->str, NULL, 10);
	if (found == expected || (may_be_next && found == expected + 1))
		return DONE;
	return errors_break(backend, "the server has lost writes: it was restarted, emptied or replaced", err);
}

/* [seconds, microseconds] */
static enum outcome take_time(struct sb_backend *backend, struct node *node, int64_t *ret_ms, sb_error *err)
{
	redisReply *reply;
	enum outcome outcome = nodes_expect(backend, node, REDIS_REPLY_ARRAY, false, &reply, err);

	if (outcome != DONE)
		return outcome;
	if (reply->elements == 2 && reply->element[0]->str && reply->element[1]->str)
		*ret_ms = strtoll(reply->element[0]->str, NULL, 10) * 1000 +
			  strtoll(reply->element[1]->str, NULL, 10) / 1000;
	else
		outcome = errors_unexpected(backend, "a time of another form", err);
	freeReplyObject(reply);
	return outcome;
}

enum outcome read_server_time(struct sb_backend *backend, struct node *node, int64_t *ret_ms, sb_error *err)
{
	enum outcome outcome;

	wire_command(&node->wire, 1);
	wire_text(&node->wire, "TIME");
	outcome = nodes_send(backend, err);
	return outcome == DONE ? take_time(backend, node, ret_ms, err) : outcome;
}

static enum outcome check_drops(struct sb_backend *backend, int64_t server_ms, sb_error *err)
{
	int64_t margin_ms = backend->options[OPTION_EXPIRY_MARGIN].i64;

	if (server_ms < backend->native_earliest_ms ||
	    backend->host->expiry_horizon_ms(backend->host) >= server_ms - margin_ms)
		return DONE;
	errors_set(
		err, SB_ERR_IO,
		"Redis may have dropped entries of %s that are still wanted, because the job's time is further behind the "
		"server's than expiry_margin: start the job again, with a larger margin, or with 0 for --ttl-clock event",
		backend->instance);
	return FAILED;
}

enum outcome read_check_whether_whole(struct sb_backend *backend, sb_error *err)
{
	for (uint32_t i = 0; i < backend->touched_count; i++) {
		unsigned unit = backend->touched[i];
		struct node *node;
		redisReply *reply;
		int64_t server_ms;
		enum outcome outcome = nodes_route(backend, backend->token, unit, &node, err);

		if (outcome == DONE)
			outcome = nodes_expect(backend, node, REDIS_REPLY_STRING, true, &reply, err);
		if (outcome != DONE)
			return outcome;
		outcome = read_check_batch(backend, unit, reply, false, err);
		freeReplyObject(reply);
		if (outcome == DONE)
			outcome = take_time(backend, node, &server_ms, err);
		if (outcome == DONE)
			outcome = check_drops(backend, server_ms, err);
		if (outcome != DONE)
			return outcome;
	}
	return DONE;
}

/* ---------------------------------------------------------------------------
 * multi_get: a pin's owner is the reply, which hiredis has copied out of the connection
 * ------------------------------------------------------------------------- */

struct lookup {
	uint64_t n;
	const sb_slice *keys;
	sb_pin *pins;
};

static enum outcome ask(struct sb_backend *backend, const struct lookup *lookup, sb_error *err)
{
	read_untouch(backend);
	for (uint64_t i = 0; i < lookup->n; i++) {
		unsigned group = group_of(lookup->keys[i]);
		struct node *node;
		enum outcome outcome;

		if (!backend->groups[group].is_used)
			continue;
		outcome = nodes_route(backend, backend->token, group, &node, err);
		if (outcome != DONE)
			return outcome;
		wire_command(&node->wire, 2);
		wire_text(&node->wire, "GET");
		wire_key(backend, &node->wire, backend->token, group, 'k',
			 (sb_slice){lookup->keys[i].ptr + GROUP_BYTES, lookup->keys[i].len - GROUP_BYTES});
		read_touch(backend, unit_of(backend, group));
	}
	return read_ask_whether_whole(backend, err);
}

static enum outcome take_pin(struct sb_backend *backend, sb_slice key, sb_pin *ret_pin, sb_error *err)
{
	struct node *node;
	redisReply *reply;
	enum outcome outcome = nodes_route(backend, backend->token, group_of(key), &node, err);

	if (outcome == DONE)
		outcome = nodes_expect(backend, node, REDIS_REPLY_STRING, true, &reply, err);
	if (outcome != DONE)
		return outcome;
	if (reply->type == REDIS_REPLY_NIL || reply->len < EXPIRY_BYTES) {
		if (reply->type != REDIS_REPLY_NIL)
			outcome = errors_unexpected(backend, "a value without an expiry", err);
		freeReplyObject(reply);
		return outcome;
	}
	*ret_pin = (sb_pin){
		.value = {(const uint8_t *)reply->str + EXPIRY_BYTES, reply->len - EXPIRY_BYTES},
		.expiry_ms = expiry_load(reply->str),
		.owner = reply,
		.found = 1,
	};
	return DONE;
}

static enum outcome look_up(struct sb_backend *backend, void *arg, sb_error *err)
{
	struct lookup *lookup = arg;
	enum outcome outcome = ask(backend, lookup, err);

	if (lookup->n)
		memset(lookup->pins, 0, lookup->n * sizeof(*lookup->pins));
	if (outcome == DONE && backend->touched_count)
		outcome = nodes_send(backend, err);
	for (uint64_t i = 0; outcome == DONE && i < lookup->n; i++)
		if (backend->groups[group_of(lookup->keys[i])].is_used)
			outcome = take_pin(backend, lookup->keys[i], &lookup->pins[i], err);
	if (outcome == DONE)
		outcome = read_check_whether_whole(backend, err);
	if (outcome != DONE)
		read_unpin(backend, lookup->n, lookup->pins);
	return outcome;
}

int32_t read_multi_get(sb_backend *backend, uint64_t n, const sb_slice *keys, sb_pin *pins, sb_error *err)
{
	struct lookup lookup = {.n = n, .keys = keys, .pins = pins};
	int32_t status = nodes_attempt(backend, true, look_up, &lookup, err);

	if (status == SB_OK)
		backend->counters.gets += n;
	return status;
}

void read_unpin(sb_backend *backend, uint64_t n, sb_pin *pins)
{
	(void)backend;
	for (uint64_t i = 0; i < n; i++)
		if (pins[i].owner)
			freeReplyObject(pins[i].owner);
}
