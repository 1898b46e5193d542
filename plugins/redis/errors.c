/* SPDX-License-Identifier: Apache-2.0
 *
 * What Redis or the connection says, as outcomes and sentences. Redis begins an error with a word in capitals; what is not in
 * the table is final.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "redis_private.h"

struct cause {
	const char *word;
	enum outcome outcome;
	int32_t code;
	const char *remedy;
};

static const char restart[] = "start the job again, which rebuilds the state from the newest valid checkpoint";
static const char wait_for_it[] = "wait until the server or the cluster is ready";

static const struct cause causes[] = {
	{"MOVED", AGAIN, SB_ERR_BUSY, wait_for_it},
	{"ASK", AGAIN, SB_ERR_BUSY, wait_for_it},
	{"TRYAGAIN", AGAIN, SB_ERR_BUSY, wait_for_it},
	{"CLUSTERDOWN", AGAIN, SB_ERR_BUSY, wait_for_it},
	{"LOADING", AGAIN, SB_ERR_BUSY, wait_for_it},
	{"MASTERDOWN", AGAIN, SB_ERR_BUSY, wait_for_it},
	{"READONLY", AGAIN, SB_ERR_BUSY, "name the primary, not a replica"},
	{"BUSY", AGAIN, SB_ERR_BUSY, "end the script that the server runs"},
	{"OOM", FAILED, SB_ERR_NO_SPACE, "raise maxmemory of the server"},
	{"MISCONF", FAILED, SB_ERR_NO_SPACE, "mend the server's persistence, or turn it off: this state needs none"},
	{"NOAUTH", FAILED, SB_ERR_CONFIG, "give the option password"},
	{"WRONGPASS", FAILED, SB_ERR_CONFIG, "mend the options username and password"},
	{"NOPERM", FAILED, SB_ERR_CONFIG, "give this user the commands and keys that the README lists"},
	{"WRONGTYPE", FAILED, SB_ERR_CORRUPT, restart},
};

static const struct cause unforeseen = {"", FAILED, SB_ERR_IO, "see whether it is Redis 6.2 or later"};

static const struct cause *find_cause(const char *text)
{
	for (size_t i = 0; i < sizeof(causes) / sizeof(causes[0]); i++) {
		size_t len = strlen(causes[i].word);

		if (strncmp(text, causes[i].word, len) == 0 && (text[len] == ' ' || text[len] == 0))
			return &causes[i];
	}
	return &unforeseen;
}

int32_t errors_set(sb_error *err, int32_t code, const char *format, ...)
{
	va_list arguments;

	err->code = code;
	err->sys_errno = 0;
	err->flags = 0;
	va_start(arguments, format);
	vsnprintf(err->message, sizeof(err->message), format, arguments);
	va_end(arguments);
	return code;
}

enum outcome errors_reply(const struct sb_backend *backend, const char *text, sb_error *err)
{
	const struct cause *cause = find_cause(text);

	errors_set(err, cause->code, "Redis refused a command for %s (%.200s): %s", backend->instance, text,
		   cause->remedy);
	if (cause->outcome == AGAIN || cause->code == SB_ERR_NO_SPACE)
		err->flags = SB_ERROR_RETRYABLE;
	return cause->outcome;
}

enum outcome errors_connection(const struct sb_backend *backend, const struct node *node, const redisContext *context,
			       sb_error *err)
{
	int error = errno;
	const char *said = context && context->err ? context->errstr : strerror(error);

	if (node->host)
		errors_set(
			err, SB_ERR_IO,
			"the connection of %s to Redis at %s:%d failed (%s): see whether the server runs, and whether the "
			"options host and port name it",
			backend->instance, node->host, node->port, said);
	else
		errors_set(
			err, SB_ERR_IO,
			"the connection of %s to Redis at %s failed (%s): see whether the server runs, and whether the option "
			"socket names it",
			backend->instance, (const char *)backend->options[OPTION_SOCKET].text.ptr, said);
	err->sys_errno = context && context->err == REDIS_ERR_IO ? error : 0;
	err->flags = SB_ERROR_RETRYABLE;
	return AGAIN;
}

enum outcome errors_unexpected(const struct sb_backend *backend, const char *what, sb_error *err)
{
	errors_set(err, SB_ERR_CORRUPT, "Redis holds or answered %s for %s, which nobody wrote: %s", what,
		   backend->instance, restart);
	return FAILED;
}

enum outcome errors_no_memory(const struct sb_backend *backend, sb_error *err)
{
	errors_set(err, SB_ERR_NO_MEMORY, "the Redis backend has no memory for a call of %s: free some",
		   backend->instance);
	return FAILED;
}

enum outcome errors_break(struct sb_backend *backend, const char *why, sb_error *err)
{
	backend->is_broken = true;
	errors_set(err, SB_ERR_IO, "the state of %s in Redis is not what was written (%s): %s", backend->instance, why,
		   restart);
	return FAILED;
}
