/* Stands between a backend and its Redis server and puts troubles in the place of chosen replies: a connection that breaks, an error, an answer of
 * another form. Replies are counted over all connections, from 1, in the order in which they pass.
 *
 * One thread of its own serves all connections; a plan is changed only while none of them waits for a reply. */
#ifndef SUPPORT_REDIS_PROXY_H
#define SUPPORT_REDIS_PROXY_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define PROXY_CONNECTIONS 8
#define PROXY_TROUBLES 4

struct proxy_connection {
	int client, server; /* -1: free */
	uint8_t *bytes; /* of the server, that make no whole reply yet */
	uint64_t len;
};

struct proxy_trouble {
	uint64_t at; /* number of the reply; 0: see when */
	bool from_then_on;
	const char *when; /* every reply with this in it; NULL, and at 0: none */
	const char *reply; /* takes its place; NULL: the connection is closed instead */
};

struct redis_proxy {
	char path[96]; /* its socket; empty: a port on loopback */
	char option[128]; /* "socket=..." or "port=..." */
	const char *server_path;
	int listener, stop_fds[2];
	pthread_t thread;
	struct proxy_connection connections[PROXY_CONNECTIONS];
	struct proxy_trouble troubles[PROXY_TROUBLES];
	_Atomic uint64_t replies;
	_Atomic bool hit;
};

/* Both paths are sockets; server_path outlives it. path NULL: a port of the system's choice. Ends the process when it cannot. */
void redis_proxy_start(struct redis_proxy *proxy, const char *path, const char *server_path);
void redis_proxy_stop(struct redis_proxy *proxy);
/* Counts anew, with these troubles, of which the first that fits counts. */
void redis_proxy_plan(struct redis_proxy *proxy, const struct proxy_trouble troubles[PROXY_TROUBLES]);

#endif
