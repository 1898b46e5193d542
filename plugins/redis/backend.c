/* SPDX-License-Identifier: Apache-2.0
 *
 * The life of an instance: what server it is, whose place, and empty.
 */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "redis_private.h"

static int32_t check_options(const sb_backend_config *config, sb_error *err)
{
	const sb_slice name = config->options[OPTION_NAMESPACE].text;

	if (name.len == 0 || name.len > NAMESPACE_BYTES_MAX || strpbrk((const char *)name.ptr, "{}"))
		return errors_set(
			err, SB_ERR_CONFIG,
			"the option namespace is \"%.80s\", but must have 1 to %u characters and no braces: choose "
			"another",
			(const char *)name.ptr, NAMESPACE_BYTES_MAX);
	if (config->flags & (SB_OPEN_READ_ONLY | SB_OPEN_FILES))
		return errors_set(
			err, SB_ERR_UNSUPPORTED,
			"the Redis backend keeps nothing in %s, so %s cannot go on from it: restore a checkpoint "
			"with entries",
			config->dir, config->instance);
	return SB_OK;
}

/* FNV-1a: jobs in different directories have different places. */
static uint64_t hash(const char *text)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (; *text; text++)
		hash = (hash ^ (uint8_t)*text) * UINT64_C(0x100000001b3);
	return hash;
}

static int32_t name_place(struct sb_backend *backend, const sb_backend_config *config, sb_error *err)
{
	char dir[PATH_MAX];
	uint64_t token;

	if (!realpath(config->dir, dir))
		return errors_set(err, SB_ERR_IO, "the directory %s of %s cannot be resolved: see whether it is there",
				  config->dir, config->instance);
	if (getrandom(&token, sizeof(token), 0) != sizeof(token))
		return errors_set(err, SB_ERR_IO, "the system gives no random numbers for %s: try again",
				  config->instance);
	snprintf(backend->token, sizeof(backend->token), "%016" PRIx64, token);
	snprintf(backend->place, sizeof(backend->place), "%s:{%.63s.%016" PRIx64 "}",
		 (const char *)config->options[OPTION_NAMESPACE].text.ptr, config->instance, hash(dir));
	return SB_OK;
}

/* ---------------------------------------------------------------------------
 * What server it is
 * ------------------------------------------------------------------------- */

static const char *info_value(const char *info, const char *name)
{
	const char *at = strstr(info, name);

	return at ? at + strlen(name) : "";
}

static enum outcome judge(struct sb_backend *backend, const char *info, sb_error *err)
{
	const char *version = info_value(info, "\r\nredis_version:");
	long major = strtol(version, NULL, 10);
	const char *dot = strchr(version, '.');
	long minor = dot ? strtol(dot + 1, NULL, 10) : 0;

	if (major < 6 || (major == 6 && minor < 2)) {
		errors_set(err, SB_ERR_INCOMPATIBLE,
			   "the server is Redis %.8s, and %s needs 6.2 or later: use a newer one", version,
			   backend->instance);
		return FAILED;
	}
	if (strtoull(info_value(info, "\r\nmaxmemory:"), NULL, 10) &&
	    strncmp(info_value(info, "\r\nmaxmemory_policy:"), "noeviction", strlen("noeviction")) != 0) {
		errors_set(
			err, SB_ERR_CONFIG,
			"the server may evict keys when its memory is full, and the state of %s would be lost bit by bit: set "
			"its maxmemory-policy to noeviction",
			backend->instance);
		return FAILED;
	}
	backend->is_cluster = strncmp(info_value(info, "\r\nredis_mode:"), "cluster", strlen("cluster")) == 0;
	return DONE;
}

static enum outcome identify(struct sb_backend *backend, void *unused, sb_error *err)
{
	struct node *node;
	redisReply *reply;
	enum outcome outcome = nodes_of_place(backend, &node, err);

	(void)unused;
	if (outcome != DONE)
		return outcome;
	wire_command(&node->wire, 1);
	wire_text(&node->wire, "INFO");
	outcome = nodes_send(backend, err);
	if (outcome == DONE)
		outcome = nodes_expect(backend, node, REDIS_REPLY_STRING, false, &reply, err);
	if (outcome != DONE)
		return outcome;
	outcome = judge(backend, reply->str, err);
	freeReplyObject(reply);
	return outcome;
}

/* ---------------------------------------------------------------------------
 * Opening and closing
 * ------------------------------------------------------------------------- */

static int32_t start(struct sb_backend *backend, const sb_backend_config *config, sb_error *err)
{
	int32_t status = check_options(config, err);

	backend->host = config->host;
	backend->instance = config->instance;
	backend->options = config->options;
	backend->native_earliest_ms = backend->earliest_ms = backend->earliest_seen_ms = INT64_MAX;
	if (status == SB_OK)
		status = name_place(backend, config, err);
	if (status != SB_OK)
		return status;
	if (nodes_open(backend, err) != DONE)
		return err->code;
	status = nodes_attempt(backend, false, identify, NULL, err);
	return status == SB_OK ? nodes_attempt(backend, true, lock_remove_old, NULL, err) : status;
}

int32_t backend_open(const sb_backend_config *config, sb_backend **ret_backend, sb_error *err)
{
	struct sb_backend *backend = calloc(1, sizeof(*backend));
	int32_t status;

	if (!backend)
		return errors_set(err, SB_ERR_NO_MEMORY, "the Redis backend has no memory to open %s: free some",
				  config->instance);
	status = start(backend, config, err);
	if (status != SB_OK) {
		backend_close(backend);
		return status;
	}
	*ret_backend = backend;
	return SB_OK;
}

/* What cannot be removed now is removed when the place is next used. */
static void leave_place(struct sb_backend *backend)
{
	sb_error err = {.struct_size = sizeof(err)};

	if (nodes_attempt(backend, true, lock_release, NULL, &err) != SB_OK) {
		const sb_log_field field = {
			.name = "reason",
			.type = SB_TYPE_STRING,
			.value = {.as.ptr = (const uint8_t *)err.message, .len = strlen(err.message)},
		};

		backend->host->log(backend->host, SB_LOG_WARN, "Keys were left behind in Redis", &field, 1);
	}
}

/* Takes half-built ones. */
void backend_close(sb_backend *backend)
{
	if (backend->owns_place && !backend->is_broken)
		leave_place(backend);
	nodes_close(backend);
	free(backend->sweep_key);
	free(backend);
}
