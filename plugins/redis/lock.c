/* SPDX-License-Identifier: Apache-2.0
 *
 * The place: who may use it, and what former owners left in it.
 *
 * The lock holds "TOKEN ID": the owner's token, and the number of the connection that it has to the lock's node, which bears the token as
 * its name. So whoever finds a lock asks the server whether that connection is there, and needs no lease, no
 * clock, and no waiting when a job was killed. Keys carry the token, so two owners never write to the same keys, even if one
 * is taken for dead while it is only cut off; it learns of that when it connects again, or by the number of its last batch (read.c).
 *
 * Taking a place over notes the former owner's token before it replaces the lock, in one transaction. Its keys are removed after
 * that, the numbers of its batches first: should it still be reading, it notices.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "redis_private.h"

#define REMOVED_AT_ONCE 500

struct owner {
	char token[TOKEN_CHARS + 1]; /* empty: nobody */
	char connection[24];
};

static enum outcome send_texts(struct sb_backend *backend, struct node *node, unsigned count, const char *const *texts,
			       sb_error *err)
{
	wire_command(&node->wire, count);
	for (unsigned i = 0; i < count; i++)
		wire_text(&node->wire, texts[i]);
	return nodes_send(backend, err);
}

static bool parse_owner(const redisReply *reply, struct owner *ret_owner)
{
	memset(ret_owner, 0, sizeof(*ret_owner));
	if (reply->type == REDIS_REPLY_NIL)
		return true;
	if (reply->len < TOKEN_CHARS + 2 || reply->len > TOKEN_CHARS + sizeof(ret_owner->connection) ||
	    reply->str[TOKEN_CHARS] != ' ')
		return false;
	memcpy(ret_owner->token, reply->str, TOKEN_CHARS);
	memcpy(ret_owner->connection, reply->str + TOKEN_CHARS + 1, reply->len - TOKEN_CHARS - 1);
	return true;
}

/* Watches the lock, so that the transaction that follows is void when somebody else is quicker. */
static enum outcome look(struct sb_backend *backend, struct node *node, struct owner *ret_owner, int64_t *ret_id,
			 sb_error *err)
{
	static const char *const client_id[] = {"CLIENT", "ID"};
	redisReply *lock, *id;
	enum outcome outcome;

	wire_command(&node->wire, 2);
	wire_text(&node->wire, "WATCH");
	wire_place(backend, &node->wire, "lock", "");
	wire_command(&node->wire, 2);
	wire_text(&node->wire, "GET");
	wire_place(backend, &node->wire, "lock", "");
	outcome = send_texts(backend, node, 2, client_id, err);
	if (outcome == DONE)
		outcome = nodes_skip(backend, node, err);
	if (outcome == DONE)
		outcome = nodes_expect(backend, node, REDIS_REPLY_STRING, true, &lock, err);
	if (outcome != DONE)
		return outcome;
	if (!parse_owner(lock, ret_owner))
		outcome = errors_unexpected(backend, "a lock of another form", err);
	freeReplyObject(lock);
	if (outcome == DONE)
		outcome = nodes_expect(backend, node, REDIS_REPLY_INTEGER, false, &id, err);
	if (outcome != DONE)
		return outcome;
	*ret_id = id->integer;
	freeReplyObject(id);
	return DONE;
}

static enum outcome check_dead(struct sb_backend *backend, struct node *node, const struct owner *owner, sb_error *err)
{
	const char *const list[] = {"CLIENT", "LIST", "ID", owner->connection};
	redisReply *reply;
	enum outcome outcome = send_texts(backend, node, 4, list, err);

	if (outcome == DONE)
		outcome = nodes_expect(backend, node, REDIS_REPLY_STRING, false, &reply, err);
	if (outcome != DONE)
		return outcome;
	if (strstr(reply->str, owner->token)) {
		errors_set(err, SB_ERR_BUSY,
			   "another job uses %s in Redis (connection %s): end it, or give this one another namespace",
			   backend->place, owner->connection);
		outcome = AGAIN; /* a process that was just killed is gone in a moment */
	}
	freeReplyObject(reply);
	return outcome;
}

static enum outcome replace(struct sb_backend *backend, struct node *node, const struct owner *former, int64_t id,
			    sb_error *err)
{
	static const char *const exec[] = {"EXEC"};
	bool is_ours = strcmp(former->token, backend->token) == 0;
	unsigned queued = former->token[0] && !is_ours ? 2 : 1;
	char owner[TOKEN_CHARS + 24];
	redisReply *reply;
	enum outcome outcome;

	snprintf(owner, sizeof(owner), "%s %" PRId64, backend->token, id);
	wire_command(&node->wire, 1);
	wire_text(&node->wire, "MULTI");
	if (queued == 2) {
		wire_command(&node->wire, 3);
		wire_text(&node->wire, "SADD");
		wire_place(backend, &node->wire, "old", "");
		wire_text(&node->wire, former->token);
	}
	wire_command(&node->wire, 3);
	wire_text(&node->wire, "SET");
	wire_place(backend, &node->wire, "lock", "");
	wire_text(&node->wire, owner);
	outcome = send_texts(backend, node, 1, exec, err);
	for (unsigned i = 0; outcome == DONE && i < 1 + queued; i++)
		outcome = nodes_skip(backend, node, err);
	if (outcome == DONE)
		outcome = nodes_expect(backend, node, REDIS_REPLY_ARRAY, true, &reply, err);
	if (outcome != DONE)
		return outcome;
	if (reply->type == REDIS_REPLY_NIL) {
		errors_set(err, SB_ERR_BUSY,
			   "another job took %s in Redis at the same moment: give each one a namespace",
			   backend->place);
		outcome = AGAIN;
	}
	freeReplyObject(reply);
	return outcome;
}

enum outcome lock_hold(struct sb_backend *backend, sb_error *err)
{
	struct owner owner;
	struct node *node;
	int64_t id;
	enum outcome outcome = nodes_of_place(backend, &node, err);

	if (outcome != DONE || (backend->owns_place && !node->is_new))
		return outcome;
	outcome = look(backend, node, &owner, &id, err);
	if (outcome != DONE)
		return outcome;
	if (strcmp(owner.token, backend->token) != 0) {
		if (backend->owns_place)
			return errors_break(
				backend, owner.token[0] ? "another job has taken its place" : "its lock is gone", err);
		outcome = owner.token[0] ? check_dead(backend, node, &owner, err) : DONE;
	}
	if (outcome == DONE)
		outcome = replace(backend, node, &owner, id, err);
	if (outcome != DONE)
		return outcome;
	backend->owns_place = true;
	node->is_new = false;
	return DONE;
}

/* Before a group's first write: whoever cleans up must know of it. */
enum outcome lock_register_groups(struct sb_backend *backend, uint64_t n, const sb_op *ops, sb_error *err)
{
	unsigned count = 0;
	struct node *node;
	enum outcome outcome = nodes_of_place(backend, &node, err);

	for (uint64_t i = 0; outcome == DONE && i < n; i++) {
		unsigned group = group_of(ops[i].key);
		char text[8];

		if (backend->groups[group].is_used)
			continue;
		backend->groups[group].is_used = true; /* if this fails, a group too many is looked into */
		snprintf(text, sizeof(text), "%04x", group);
		wire_command(&node->wire, 3);
		wire_text(&node->wire, "SADD");
		wire_place(backend, &node->wire, "groups.", backend->token);
		wire_text(&node->wire, text);
		count++;
	}
	if (outcome == DONE && count)
		outcome = nodes_send(backend, err);
	while (outcome == DONE && count-- > 0)
		outcome = nodes_skip(backend, node, err);
	return outcome;
}

/* ---------------------------------------------------------------------------
 * Cleaning up
 * ------------------------------------------------------------------------- */

static enum outcome read_set(struct sb_backend *backend, const char *name, const char *suffix, redisReply **ret_members,
			     sb_error *err)
{
	struct node *node;
	enum outcome outcome = nodes_of_place(backend, &node, err);

	if (outcome != DONE)
		return outcome;
	wire_command(&node->wire, 2);
	wire_text(&node->wire, "SMEMBERS");
	wire_place(backend, &node->wire, name, suffix);
	outcome = nodes_send(backend, err);
	return outcome == DONE ? nodes_expect_texts(backend, node, ret_members, err) : outcome;
}

static enum outcome unlink_key(struct sb_backend *backend, const char *token, unsigned group, char kind, sb_error *err)
{
	struct node *node;
	enum outcome outcome = nodes_route(backend, token, group, &node, err);

	if (outcome != DONE)
		return outcome;
	wire_command(&node->wire, 2);
	wire_text(&node->wire, "UNLINK");
	wire_key(backend, &node->wire, token, group, kind, (sb_slice){0});
	outcome = nodes_send(backend, err);
	return outcome == DONE ? nodes_skip(backend, node, err) : outcome;
}

/* Some entries of a group; *ret_more is false when it had none. */
static enum outcome remove_some(struct sb_backend *backend, const char *token, unsigned group, bool *ret_more,
				sb_error *err)
{
	struct node *node;
	redisReply *members;
	enum outcome outcome = nodes_route(backend, token, group, &node, err);

	if (outcome != DONE)
		return outcome;
	wire_command(&node->wire, 4);
	wire_text(&node->wire, "ZRANGE");
	wire_key(backend, &node->wire, token, group, 'i', (sb_slice){0});
	wire_number(&node->wire, 0);
	wire_number(&node->wire, REMOVED_AT_ONCE - 1);
	outcome = nodes_send(backend, err);
	if (outcome == DONE)
		outcome = nodes_expect_texts(backend, node, &members, err);
	if (outcome != DONE)
		return outcome;
	*ret_more = members->elements > 0;
	if (*ret_more) {
		wire_command(&node->wire, 1 + (unsigned)members->elements);
		wire_text(&node->wire, "UNLINK");
		for (size_t i = 0; i < members->elements; i++)
			wire_key(backend, &node->wire, token, group, 'k',
				 (sb_slice){(const uint8_t *)members->element[i]->str, members->element[i]->len});
		wire_command(&node->wire, 4);
		wire_text(&node->wire, "ZREMRANGEBYRANK");
		wire_key(backend, &node->wire, token, group, 'i', (sb_slice){0});
		wire_number(&node->wire, 0);
		wire_number(&node->wire, (int64_t)members->elements - 1);
		outcome = nodes_send(backend, err);
		for (unsigned i = 0; outcome == DONE && i < 2; i++)
			outcome = nodes_skip(backend, node, err);
	}
	freeReplyObject(members);
	return outcome;
}

static enum outcome remove_groups(struct sb_backend *backend, const char *token, const redisReply *groups,
				  sb_error *err)
{
	enum outcome outcome = unlink_key(backend, token, 0, 's', err);

	for (size_t i = 0; outcome == DONE && i < groups->elements; i++)
		outcome = unlink_key(backend, token, (unsigned)strtoul(groups->element[i]->str, NULL, 16) % GROUP_COUNT,
				     's', err);
	for (size_t i = 0; outcome == DONE && i < groups->elements; i++) {
		unsigned group = (unsigned)strtoul(groups->element[i]->str, NULL, 16) % GROUP_COUNT;
		bool more = true;

		while (outcome == DONE && more)
			outcome = remove_some(backend, token, group, &more, err);
	}
	return outcome;
}

/* All that was written under a token; *last, also what tells of it. */
static enum outcome remove_token(struct sb_backend *backend, const char *token, sb_error *err)
{
	struct node *node;
	redisReply *groups;
	enum outcome outcome = read_set(backend, "groups.", token, &groups, err);

	if (outcome != DONE)
		return outcome;
	outcome = remove_groups(backend, token, groups, err);
	freeReplyObject(groups);
	if (outcome == DONE)
		outcome = nodes_of_place(backend, &node, err);
	if (outcome != DONE)
		return outcome;
	wire_command(&node->wire, 2);
	wire_text(&node->wire, "UNLINK");
	wire_place(backend, &node->wire, "groups.", token);
	wire_command(&node->wire, 3);
	wire_text(&node->wire, "SREM");
	wire_place(backend, &node->wire, "old", "");
	wire_text(&node->wire, token);
	outcome = nodes_send(backend, err);
	for (unsigned i = 0; outcome == DONE && i < 2; i++)
		outcome = nodes_skip(backend, node, err);
	return outcome;
}

enum outcome lock_remove_old(struct sb_backend *backend, void *unused, sb_error *err)
{
	redisReply *tokens;
	enum outcome outcome = read_set(backend, "old", "", &tokens, err);

	(void)unused;
	if (outcome != DONE)
		return outcome;
	for (size_t i = 0; outcome == DONE && i < tokens->elements; i++)
		if (tokens->element[i]->len == TOKEN_CHARS)
			outcome = remove_token(backend, tokens->element[i]->str, err);
	freeReplyObject(tokens);
	return outcome;
}

/* The lock goes last: while it is there, the place is not empty. */
enum outcome lock_release(struct sb_backend *backend, void *unused, sb_error *err)
{
	struct node *node;
	enum outcome outcome = remove_token(backend, backend->token, err);

	(void)unused;
	if (outcome == DONE)
		outcome = nodes_of_place(backend, &node, err);
	if (outcome != DONE)
		return outcome;
	wire_command(&node->wire, 2);
	wire_text(&node->wire, "UNLINK");
	wire_place(backend, &node->wire, "lock", "");
	outcome = nodes_send(backend, err);
	return outcome == DONE ? nodes_skip(backend, node, err) : outcome;
}
