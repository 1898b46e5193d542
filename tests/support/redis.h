/* A Redis server of the test's own, on a Unix socket in a directory of its own, or on loopback ports of the system's choice as a cluster; it
 * dies with the test. */
#ifndef SUPPORT_REDIS_H
#define SUPPORT_REDIS_H

#include <stdbool.h>
#include <sys/types.h>

#include "conformance/profiles.h"

#define REDIS_MISSING "Skipping Redis test (not available): apt-get install libhiredis-dev redis-tools"
#define REDIS_NODES 3

struct redis_server {
	char dir[64];
	char socket[96];
	char option[128]; /* "socket=..." or "port=..." */
	struct profile profile; /* the backend on it; options may be added behind the first one */
	pid_t pid;
	int port; /* of a cluster's node, else 0 */
};

/* Whether the backend was built, and a server is on this machine. */
bool redis_is_available(void);

/* Starts an empty one and waits until it answers; ends the process with a sentence if it does not. */
void redis_start(struct redis_server *server);
/* Once more in the same place, as empty as before. */
void redis_start_again(struct redis_server *server);
/* kill -9; the directory stays. */
void redis_kill(struct redis_server *server);
void redis_stop(struct redis_server *server);

/* Three nodes that share the slots; each one's option names itself. */
void redis_cluster_start(struct redis_server servers[REDIS_NODES]);

/* Sends one command, its words separated by spaces, and returns the reply in text, for the caller to free: numbers in decimals, the elements of
 * an array on a line each, "(nil)". An error ends the process. */
char *redis_ask(const struct redis_server *server, const char *command);

/* First in a Criterion test. */
#define NEED_REDIS()                                                                                                   \
	do {                                                                                                           \
		if (!redis_is_available())                                                                             \
			cr_skip_test(REDIS_MISSING);                                                                   \
	} while (0)

#endif
