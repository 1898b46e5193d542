/* SPDX-License-Identifier: Apache-2.0
 *
 * Connections, and which of them a key belongs to.
 *
 * A call writes its commands into the wires of the nodes that they concern, sends all wires, and takes the replies in the order in which
 * each node was asked: one round trip, however many commands. When anything goes wrong, whoever may still owe a reply is disconnected
 * and the call is attempted anew from its beginning, which is why every attempt is one that may be made twice.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "redis_private.h"

#define PAUSE_FIRST_MS 10
#define PAUSE_MAX_MS 1000

static const char *text_option(const struct sb_backend *backend, enum option option)
{
	const sb_option_value *value = &backend->options[option];

	return value->is_set && value->text.len ? (const char *)value->text.ptr : NULL;
}

/* ---------------------------------------------------------------------------
 * Connecting
 * ------------------------------------------------------------------------- */

static void disconnect(struct node *node)
{
	if (node->context)
		redisFree(node->context);
	node->context = NULL;
	wire_done(&node->wire);
}

static struct node *add_node(struct sb_backend *backend, const char *host, int port)
{
	struct node *node;

	for (uint32_t i = 0; i < backend->node_count; i++) {
		node = backend->nodes[i];
		if (host && node->host && node->port == port && strcmp(node->host, host) == 0)
			return node;
	}
	node = backend->node_count < NODES_MAX ? calloc(1, sizeof(*node)) : NULL;
	if (!node)
		return NULL;
	node->host = host ? strdup(host) : NULL;
	node->port = port;
	if (host && !node->host) {
		free(node);
		return NULL;
	}
	backend->nodes[backend->node_count++] = node;
	return node;
}

static enum outcome greet(struct sb_backend *backend, struct node *node, sb_error *err)
{
	const char *username = text_option(backend, OPTION_USERNAME), *password = text_option(backend, OPTION_PASSWORD);
	int64_t db = backend->options[OPTION_DB].i64;
	unsigned replies = 1;
	enum outcome outcome;

	if (password) {
		wire_command(&node->wire, username ? 3 : 2);
		wire_text(&node->wire, "AUTH");
		if (username)
			wire_text(&node->wire, username);
		wire_text(&node->wire, password);
		replies++;
	}
	if (db) {
		wire_command(&node->wire, 2);
		wire_text(&node->wire, "SELECT");
		wire_number(&node->wire, db);
		replies++;
	}
	/* Whoever finds our lock sees by it that we live. */
	wire_command(&node->wire, 3);
	wire_text(&node->wire, "CLIENT");
	wire_text(&node->wire, "SETNAME");
	wire_text(&node->wire, backend->token);
	outcome = nodes_send(backend, err);
	while (outcome == DONE && replies-- > 0)
		outcome = nodes_skip(backend, node, err);
	return outcome;
}

static enum outcome connect_node(struct sb_backend *backend, struct node *node, sb_error *err)
{
	int64_t ms = backend->options[OPTION_TIMEOUT].i64;
	const struct timeval timeout = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
	enum outcome outcome;

	if (node->context)
		return DONE;
	node->context = node->host ? redisConnectWithTimeout(node->host, node->port, timeout)
				   : redisConnectUnixWithTimeout(text_option(backend, OPTION_SOCKET), timeout);
	if (!node->context)
		return errors_no_memory(backend, err);
	if (node->context->err || redisSetTimeout(node->context, timeout) != REDIS_OK) {
		outcome = errors_connection(backend, node, node->context, err);
		disconnect(node);
		return outcome;
	}
	if (node->host)
		redisEnableKeepAlive(node->context);
	node->is_new = true;
	backend->counters.connects++;
	return DONE;
}

/* What lies in the wire is for after the greeting. */
static enum outcome reach(struct sb_backend *backend, struct node *node, sb_error *err)
{
	bool was_connected = node->context != NULL;
	struct wire waiting = node->wire;
	enum outcome outcome;

	if (was_connected)
		return DONE;
	outcome = connect_node(backend, node, err);
	if (outcome != DONE)
		return outcome;
	node->wire = (struct wire){0};
	outcome = greet(backend, node, err);
	free(node->wire.bytes);
	node->wire = waiting;
	return outcome;
}

/* ---------------------------------------------------------------------------
 * Sending and receiving
 * ------------------------------------------------------------------------- */

/* hiredis writes without MSG_NOSIGNAL; a server that is gone must be an error to us, whatever the process does about SIGPIPE. */
static bool flush(struct node *node)
{
	static const struct timespec at_once = {0};
	sigset_t pipe, before;
	int done = 0, result = REDIS_OK;

	sigemptyset(&pipe);
	sigaddset(&pipe, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &pipe, &before);
	while (!done && result == REDIS_OK)
		result = redisBufferWrite(node->context, &done);
	if (result != REDIS_OK && errno == EPIPE) {
		sigtimedwait(&pipe, NULL, &at_once);
		errno = EPIPE;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return result == REDIS_OK;
}

enum outcome nodes_send(struct sb_backend *backend, sb_error *err)
{
	backend->counters.round_trips++;
	for (uint32_t i = 0; i < backend->node_count; i++) {
		struct node *node = backend->nodes[i];

		if (!node->context || !(node->wire.len || node->wire.no_memory))
			continue;
		if (node->wire.no_memory || redisAppendFormattedCommand(node->context, (const char *)node->wire.bytes,
									node->wire.len) != REDIS_OK)
			return errors_no_memory(backend, err);
		wire_done(&node->wire);
		if (!flush(node))
			return errors_connection(backend, node, node->context, err);
	}
	return DONE;
}

enum outcome nodes_take(struct sb_backend *backend, struct node *node, redisReply **ret_reply, sb_error *err)
{
	void *reply = NULL;

	if (!node->context || redisGetReply(node->context, &reply) != REDIS_OK || !reply)
		return errors_connection(backend, node, node->context, err);
	*ret_reply = reply;
	return DONE;
}

enum outcome nodes_expect(struct sb_backend *backend, struct node *node, int type, bool may_be_nil,
			  redisReply **ret_reply, sb_error *err)
{
	redisReply *reply;
	enum outcome outcome = nodes_take(backend, node, &reply, err);

	if (outcome != DONE)
		return outcome;
	if (reply->type == type || (may_be_nil && reply->type == REDIS_REPLY_NIL)) {
		*ret_reply = reply;
		return DONE;
	}
	outcome = reply->type == REDIS_REPLY_ERROR ? errors_reply(backend, reply->str, err)
						   : errors_unexpected(backend, "a reply of another type", err);
	freeReplyObject(reply);
	return outcome;
}

enum outcome nodes_expect_texts(struct sb_backend *backend, struct node *node, redisReply **ret_reply, sb_error *err)
{
	redisReply *reply;
	enum outcome outcome = nodes_expect(backend, node, REDIS_REPLY_ARRAY, false, &reply, err);

	if (outcome != DONE)
		return outcome;
	for (size_t i = 0; i < reply->elements; i++)
		if (reply->element[i]->type != REDIS_REPLY_STRING) {
			freeReplyObject(reply);
			return errors_unexpected(backend, "a set with something else than texts in it", err);
		}
	*ret_reply = reply;
	return DONE;
}

enum outcome nodes_skip(struct sb_backend *backend, struct node *node, sb_error *err)
{
	redisReply *reply;
	enum outcome outcome = nodes_take(backend, node, &reply, err);

	if (outcome != DONE)
		return outcome;
	if (reply->type == REDIS_REPLY_ERROR)
		outcome = errors_reply(backend, reply->str, err);
	freeReplyObject(reply);
	return outcome;
}

void nodes_reset(struct sb_backend *backend)
{
	for (uint32_t i = 0; i < backend->node_count; i++)
		disconnect(backend->nodes[i]);
	nodes_forget_slots(backend);
}

/* ---------------------------------------------------------------------------
 * The cluster
 * ------------------------------------------------------------------------- */

void nodes_forget_slots(struct sb_backend *backend)
{
	backend->slots_known = false;
}

/* CRC-16/XMODEM, as Redis places keys. */
static unsigned slot_of(const char *tag, size_t len)
{
	unsigned crc = 0;

	for (size_t i = 0; i < len; i++) {
		crc ^= (unsigned)(uint8_t)tag[i] << 8;
		for (unsigned bit = 0; bit < 8; bit++)
			crc = (crc & 0x8000 ? crc << 1 ^ 0x1021 : crc << 1) & 0xFFFF;
	}
	return crc % SLOT_COUNT;
}

/* [first slot, last slot, [host, port, ...], replicas...] */
static bool take_range(struct sb_backend *backend, const struct node *asked, const redisReply *range)
{
	const redisReply *primary = range->elements >= 3 ? range->element[2] : NULL;
	const char *host;
	struct node *node;

	if (!primary || primary->elements < 2 || range->element[1]->integer >= SLOT_COUNT ||
	    range->element[0]->integer < 0)
		return false;
	host = primary->element[0]->type == REDIS_REPLY_STRING && primary->element[0]->len ? primary->element[0]->str
											   : asked->host;
	node = host ? add_node(backend, host, (int)primary->element[1]->integer) : NULL;
	for (uint32_t i = 0; node && i < backend->node_count; i++) {
		if (backend->nodes[i] != node)
			continue;
		for (long long slot = range->element[0]->integer; slot <= range->element[1]->integer; slot++)
			backend->slots[slot] = (uint16_t)i;
	}
	return node != NULL;
}

static enum outcome ask_slots(struct sb_backend *backend, struct node *node, sb_error *err)
{
	redisReply *reply;
	enum outcome outcome = reach(backend, node, err);

	if (outcome != DONE)
		return outcome;
	wire_command(&node->wire, 2);
	wire_text(&node->wire, "CLUSTER");
	wire_text(&node->wire, "SLOTS");
	outcome = nodes_send(backend, err);
	if (outcome == DONE)
		outcome = nodes_expect(backend, node, REDIS_REPLY_ARRAY, false, &reply, err);
	if (outcome != DONE)
		return outcome;
	for (size_t i = 0; i < reply->elements && outcome == DONE; i++)
		if (!take_range(backend, node, reply->element[i]))
			outcome = errors_unexpected(backend, "slots that make no sense, or more than 256 nodes", err);
	backend->slots_known = outcome == DONE;
	freeReplyObject(reply);
	return outcome;
}

/* Any node will do; the first one that answers. Only called with empty wires. */
static enum outcome know_slots(struct sb_backend *backend, sb_error *err)
{
	enum outcome outcome = AGAIN;
	uint32_t count = backend->node_count;

	if (backend->slots_known)
		return DONE;
	for (uint32_t i = 0; i < count && outcome == AGAIN; i++)
		outcome = ask_slots(backend, backend->nodes[i], err);
	return outcome;
}

static enum outcome route(struct sb_backend *backend, const char *tag, size_t len, struct node **ret_node,
			  sb_error *err)
{
	struct node *node = backend->nodes[0];
	enum outcome outcome;

	if (backend->is_cluster) {
		outcome = know_slots(backend, err);
		if (outcome != DONE)
			return outcome;
		node = backend->nodes[backend->slots[slot_of(tag, len)]];
	}
	outcome = reach(backend, node, err);
	if (outcome == DONE)
		*ret_node = node;
	return outcome;
}

enum outcome nodes_route(struct sb_backend *backend, const char *token, unsigned group, struct node **ret_node,
			 sb_error *err)
{
	char tag[TOKEN_CHARS + 16];
	int len = snprintf(tag, sizeof(tag), "%.16s.%04x", token, group);

	return route(backend, tag, (size_t)len, ret_node, err);
}

enum outcome nodes_of_place(struct sb_backend *backend, struct node **ret_node, sb_error *err)
{
	const char *tag = strchr(backend->place, '{') + 1;

	return route(backend, tag, strlen(tag) - 1, ret_node, err);
}

/* ---------------------------------------------------------------------------
 * Attempts
 * ------------------------------------------------------------------------- */

static void pause_before(unsigned attempt)
{
	int64_t ms = attempt < 7 ? (int64_t)PAUSE_FIRST_MS << attempt : PAUSE_MAX_MS;
	struct timespec rest = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	while (nanosleep(&rest, &rest) != 0)
		;
}

int32_t nodes_attempt(struct sb_backend *backend, bool hold_place, attempt_fn attempt, void *arg, sb_error *err)
{
	unsigned retries = (unsigned)backend->options[OPTION_RETRIES].i64;

	for (unsigned tried = 0;; tried++) {
		enum outcome outcome = DONE;

		if (backend->is_broken)
			outcome = errors_break(backend, "an earlier call has said so", err);
		else if (hold_place)
			outcome = lock_hold(backend, err);
		if (outcome == DONE)
			outcome = attempt(backend, arg, err);
		if (outcome == DONE)
			return SB_OK;
		nodes_reset(backend);
		if (outcome == FAILED || tried == retries)
			return err->code;
		backend->counters.retries++;
		pause_before(tried);
	}
}

enum outcome nodes_open(struct sb_backend *backend, sb_error *err)
{
	const char *socket = text_option(backend, OPTION_SOCKET);
	const char *host = socket ? NULL : text_option(backend, OPTION_HOST);

	if (!socket && !host) {
		errors_set(err, SB_ERR_CONFIG, "Redis has no address for %s: give the option host or socket",
			   backend->instance);
		return FAILED;
	}
	return add_node(backend, host, (int)backend->options[OPTION_PORT].i64) ? DONE : errors_no_memory(backend, err);
}

void nodes_close(struct sb_backend *backend)
{
	for (uint32_t i = 0; i < backend->node_count; i++) {
		disconnect(backend->nodes[i]);
		free(backend->nodes[i]->wire.bytes);
		free(backend->nodes[i]->host);
		free(backend->nodes[i]);
	}
	backend->node_count = 0;
}
