/* See redis_proxy.h. */
#include "support/redis_proxy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define CHUNK 65536

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "redis_proxy.c: %s: %s\n", what, strerror(errno));
	abort();
}

static int open_socket(const char *path, struct sockaddr_un *ret_address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		die("socket");
	*ret_address = (struct sockaddr_un){.sun_family = AF_UNIX};
	snprintf(ret_address->sun_path, sizeof(ret_address->sun_path), "%s", path);
	return fd;
}

/* --- replies ------------------------------------------------------------------------- */

/* Where the reply that begins at `at` ends; 0 when it is not all there. */
static uint64_t end_of_reply(const uint8_t *bytes, uint64_t len, uint64_t at)
{
	const uint8_t *line_end = at < len ? memchr(bytes + at, '\n', len - at) : NULL;
	uint64_t end = line_end ? (uint64_t)(line_end - bytes) + 1 : 0;
	long n = line_end ? strtol((const char *)bytes + at + 1, NULL, 10) : 0;

	if (!line_end)
		return 0;
	if (bytes[at] == '$')
		return n < 0 ? end : end + (uint64_t)n + 2 <= len ? end + (uint64_t)n + 2 : 0;
	for (long i = 0; bytes[at] == '*' && i < n && end; i++)
		end = end_of_reply(bytes, len, end);
	return end;
}

static const struct proxy_trouble *trouble_of(const struct redis_proxy *proxy, uint64_t number, const uint8_t *bytes,
					      uint64_t len)
{
	for (unsigned i = 0; i < PROXY_TROUBLES; i++) {
		const struct proxy_trouble *trouble = &proxy->troubles[i];

		if (trouble->at ? number == trouble->at || (number > trouble->at && trouble->from_then_on)
				: trouble->when && memmem(bytes, len, trouble->when, strlen(trouble->when)))
			return trouble;
	}
	return NULL;
}

/* --- connections --------------------------------------------------------------------- */

static void hang_up(struct proxy_connection *c)
{
	close(c->client);
	close(c->server);
	free(c->bytes);
	*c = (struct proxy_connection){.client = -1, .server = -1};
}

/* False when there is nobody to take it. */
static bool send_all(int fd, const void *bytes, uint64_t len)
{
	for (uint64_t done = 0; done < len;) {
		ssize_t n = send(fd, (const uint8_t *)bytes + done, len - done, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		done += (uint64_t)n;
	}
	return true;
}

/* False when the connection has been closed. */
static bool pass_reply(struct redis_proxy *proxy, struct proxy_connection *c, const uint8_t *bytes, uint64_t len)
{
	const struct proxy_trouble *trouble = trouble_of(proxy, atomic_fetch_add(&proxy->replies, 1) + 1, bytes, len);
	bool sent = true;

	if (trouble && trouble->at)
		atomic_store(&proxy->hit, true);
	if (!trouble)
		sent = send_all(c->client, bytes, len);
	else if (trouble->reply)
		sent = send_all(c->client, trouble->reply, strlen(trouble->reply));
	if (sent && (!trouble || trouble->reply))
		return true;
	hang_up(c);
	return false;
}

static void take_from_server(struct redis_proxy *proxy, struct proxy_connection *c)
{
	uint8_t *bytes = realloc(c->bytes, c->len + CHUNK + 1);
	ssize_t n = bytes ? recv(c->server, bytes + c->len, CHUNK, 0) : -1;
	uint64_t from = 0, end;

	if (!bytes)
		die("realloc");
	c->bytes = bytes;
	if (n <= 0) {
		hang_up(c);
		return;
	}
	c->len += (uint64_t)n;
	bytes[c->len] = 0;
	while ((end = end_of_reply(bytes, c->len, from)) != 0) {
		if (!pass_reply(proxy, c, bytes + from, end - from))
			return;
		from = end;
	}
	memmove(bytes, bytes + from, c->len - from);
	c->len -= from;
}

static void take_from_client(struct proxy_connection *c)
{
	uint8_t bytes[CHUNK];
	ssize_t n = recv(c->client, bytes, sizeof(bytes), 0);

	if (n <= 0 || !send_all(c->server, bytes, (uint64_t)n))
		hang_up(c);
}

static void take_connection(struct redis_proxy *proxy)
{
	static const int at_once = 1;
	struct sockaddr_un address;
	struct proxy_connection *c = proxy->connections;

	while (c < proxy->connections + PROXY_CONNECTIONS && c->client >= 0)
		c++;
	if (c == proxy->connections + PROXY_CONNECTIONS)
		die("too many connections");
	c->client = accept(proxy->listener, NULL, NULL);
	if (c->client < 0)
		die("accept");
	/* Or each small reply waits for the acknowledgement of the one before. Of no meaning to a socket with a path. */
	setsockopt(c->client, IPPROTO_TCP, TCP_NODELAY, &at_once, sizeof(at_once));
	c->server = open_socket(proxy->server_path, &address);
	if (connect(c->server, (struct sockaddr *)&address, sizeof(address)) != 0)
		hang_up(c); /* there is no server, as the client will see */
}

/* A connection that one side's bytes have closed is not looked at for the other's. */
static void serve(struct redis_proxy *proxy, const struct pollfd *fds)
{
	for (unsigned i = 0; i < PROXY_CONNECTIONS; i++) {
		struct proxy_connection *c = &proxy->connections[i];

		if (c->server >= 0 && c->server == fds[2 * i + 1].fd && fds[2 * i + 1].revents)
			take_from_server(proxy, c);
		if (c->client >= 0 && c->client == fds[2 * i].fd && fds[2 * i].revents)
			take_from_client(c);
	}
}

static void *run(void *arg)
{
	struct redis_proxy *proxy = arg;

	for (;;) {
		struct pollfd fds[2 * PROXY_CONNECTIONS + 2];

		for (unsigned i = 0; i < PROXY_CONNECTIONS; i++) {
			fds[2 * i] = (struct pollfd){.fd = proxy->connections[i].client, .events = POLLIN};
			fds[2 * i + 1] = (struct pollfd){.fd = proxy->connections[i].server, .events = POLLIN};
		}
		fds[2 * PROXY_CONNECTIONS] = (struct pollfd){.fd = proxy->listener, .events = POLLIN};
		fds[2 * PROXY_CONNECTIONS + 1] = (struct pollfd){.fd = proxy->stop_fds[0], .events = POLLIN};
		if (poll(fds, sizeof(fds) / sizeof(fds[0]), -1) < 0 && errno != EINTR)
			die("poll");
		if (fds[2 * PROXY_CONNECTIONS + 1].revents)
			return NULL;
		serve(proxy, fds);
		if (fds[2 * PROXY_CONNECTIONS].revents)
			take_connection(proxy);
	}
}

/* --- life ---------------------------------------------------------------------------- */

static int listen_on_a_port(int *ret_port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, len) != 0 || listen(fd, PROXY_CONNECTIONS) != 0 ||
	    getsockname(fd, (struct sockaddr *)&address, &len) != 0)
		die("no port");
	*ret_port = ntohs(address.sin_port);
	return fd;
}

static int listen_on_a_path(const char *path)
{
	struct sockaddr_un address;
	int fd = open_socket(path, &address);

	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 || listen(fd, PROXY_CONNECTIONS) != 0)
		die(path);
	return fd;
}

void redis_proxy_start(struct redis_proxy *proxy, const char *path, const char *server_path)
{
	int port;

	memset(proxy, 0, sizeof(*proxy));
	proxy->server_path = server_path;
	for (unsigned i = 0; i < PROXY_CONNECTIONS; i++)
		proxy->connections[i] = (struct proxy_connection){.client = -1, .server = -1};
	if (path) {
		snprintf(proxy->path, sizeof(proxy->path), "%s", path);
		snprintf(proxy->option, sizeof(proxy->option), "socket=%s", path);
		proxy->listener = listen_on_a_path(path);
	} else {
		proxy->listener = listen_on_a_port(&port);
		snprintf(proxy->option, sizeof(proxy->option), "port=%d", port);
	}
	if (pipe(proxy->stop_fds) != 0 || pthread_create(&proxy->thread, NULL, run, proxy) != 0)
		die("cannot start");
}

void redis_proxy_stop(struct redis_proxy *proxy)
{
	close(proxy->stop_fds[1]);
	pthread_join(proxy->thread, NULL);
	close(proxy->stop_fds[0]);
	close(proxy->listener);
	for (unsigned i = 0; i < PROXY_CONNECTIONS; i++)
		if (proxy->connections[i].client >= 0)
			hang_up(&proxy->connections[i]);
	if (proxy->path[0])
		unlink(proxy->path);
}

void redis_proxy_plan(struct redis_proxy *proxy, const struct proxy_trouble troubles[PROXY_TROUBLES])
{
	memcpy(proxy->troubles, troubles, sizeof(proxy->troubles));
	atomic_store(&proxy->hit, false);
	atomic_store(&proxy->replies, 0);
}
