/* See redis.h. Speaks to the server by itself, so that the tests do not need hiredis to look behind the backend's back. */
#include "support/redis.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SERVER "redis-server"
#define PATIENCE_MS 30000
#define SLOTS 16384

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "redis.c: %s: %s\n", what, strerror(errno));
	abort();
}

static bool find_in_path(const char *name, char *ret_file, size_t size)
{
	const char *path = getenv("PATH");

	while (path && *path) {
		const size_t len = strcspn(path, ":");

		snprintf(ret_file, size, "%.*s/%s", (int)len, path, name);
		if (access(ret_file, X_OK) == 0)
			return true;
		path += len + (path[len] == ':');
	}
	return false;
}

/* Debian's package redis-server starts a service; redis-tools has the same program, and what it is depends on the name that it is called by. */
static bool find_server(char *ret_file, size_t size)
{
	return find_in_path(SERVER, ret_file, size) || find_in_path("redis-check-rdb", ret_file, size);
}

bool redis_is_available(void)
{
	char file[512];

	return SB_HAVE_REDIS && find_server(file, sizeof(file));
}

/* --- the process --------------------------------------------------------------------- */

static void run(const struct redis_server *server)
{
	char port[16], file[512];
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	snprintf(port, sizeof(port), "%d", server->port);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!find_server(file, sizeof(file)))
		_exit(127);
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	execl(file, SERVER, "--port", port, "--bind", "127.0.0.1", "--unixsocket", server->socket, "--dir", server->dir,
	      "--save", "", "--appendonly", "no", "--daemonize", "no", "--logfile", "log",
	      server->port ? "--cluster-enabled" : "--always-show-logo", server->port ? "yes" : "no", (char *)NULL);
	_exit(127);
}

static int connect_to(const struct redis_server *server)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		die("socket");
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", server->socket);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	close(fd);
	return -1;
}

static void wait_until_it_answers(const struct redis_server *server)
{
	const struct timespec rest = {.tv_nsec = 5000000};

	for (int waited = 0; waited < PATIENCE_MS; waited += 5) {
		int fd = connect_to(server);

		if (fd >= 0) {
			close(fd);
			return;
		}
		nanosleep(&rest, NULL);
	}
	errno = ETIMEDOUT;
	die("redis-server does not answer");
}

void redis_start_again(struct redis_server *server)
{
	unlink(server->socket);
	server->pid = fork();
	if (server->pid < 0)
		die("fork");
	if (server->pid == 0)
		run(server);
	wait_until_it_answers(server);
}

static void prepare(struct redis_server *server, int port)
{
	memset(server, 0, sizeof(*server));
	strcpy(server->dir, "/tmp/sbhost-redis-XXXXXX");
	if (!mkdtemp(server->dir))
		die(server->dir);
	server->port = port;
	snprintf(server->socket, sizeof(server->socket), "%s/socket", server->dir);
	if (port)
		snprintf(server->option, sizeof(server->option), "port=%d", port);
	else
		snprintf(server->option, sizeof(server->option), "socket=%s", server->socket);
	server->profile = (struct profile){.name = port ? "redis cluster" : "redis", .plugin = "redis"};
	server->profile.options[0] = server->option;
}

void redis_start(struct redis_server *server)
{
	prepare(server, 0);
	redis_start_again(server);
}

void redis_kill(struct redis_server *server)
{
	if (server->pid <= 0)
		return;
	kill(server->pid, SIGKILL);
	waitpid(server->pid, NULL, 0);
	server->pid = 0;
}

void redis_stop(struct redis_server *server)
{
	static const char *const names[] = {"socket", "log", "nodes.conf", "dump.rdb"};
	char path[128];

	redis_kill(server);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", server->dir, names[i]);
		unlink(path);
	}
	rmdir(server->dir);
}

/* --- commands ------------------------------------------------------------------------ */

static void append(char **text, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void append(char **text, const char *format, ...)
{
	char *longer, *more;
	va_list arguments;

	va_start(arguments, format);
	if (vasprintf(&more, format, arguments) < 0 || asprintf(&longer, "%s%s", *text ? *text : "", more) < 0)
		die("asprintf");
	va_end(arguments);
	free(more);
	free(*text);
	*text = longer;
}

static void read_reply(FILE *from, char **text)
{
	char line[256];
	long n;

	if (!fgets(line, sizeof(line), from))
		die("the server hung up");
	line[strcspn(line, "\r\n")] = 0;
	n = strtol(line + 1, NULL, 10);
	if (line[0] == '-') {
		fprintf(stderr, "redis.c: the server says %s\n", line + 1);
		abort();
	} else if (line[0] == '*') {
		for (long i = 0; i < n; i++) {
			read_reply(from, text);
			append(text, "\n");
		}
	} else if (line[0] == '$' && n >= 0) {
		char *bytes = calloc((size_t)n + 3, 1);

		if (!bytes || fread(bytes, 1, (size_t)n + 2, from) != (size_t)n + 2)
			die("a reply is cut short");
		bytes[n] = 0;
		append(text, "%s", bytes);
		free(bytes);
	} else {
		append(text, "%s", line[0] == '$' ? "(nil)" : line + 1);
	}
}

char *redis_ask(const struct redis_server *server, const char *command)
{
	int fd = connect_to(server);
	FILE *stream = fd < 0 ? NULL : fdopen(fd, "r+");
	char *text = NULL;

	if (!stream)
		die("the server cannot be reached");
	fprintf(stream, "%s\r\n", command);
	fflush(stream);
	append(&text, "%s", "");
	read_reply(stream, &text);
	fclose(stream);
	return text;
}

static void tell(const struct redis_server *server, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void tell(const struct redis_server *server, const char *format, ...)
{
	va_list arguments;
	char *command;

	va_start(arguments, format);
	if (vasprintf(&command, format, arguments) < 0)
		die("vasprintf");
	va_end(arguments);
	free(redis_ask(server, command));
	free(command);
}

/* --- a cluster ----------------------------------------------------------------------- */

/* A port that nobody uses now, and whose neighbour for the cluster's own traffic (10000 above) exists. */
static int free_port(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	int port;

	do {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		address.sin_port = 0;
		if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
		    getsockname(fd, (struct sockaddr *)&address, &len) < 0)
			die("no free port");
		port = ntohs(address.sin_port);
		close(fd);
	} while (port > 55535);
	return port;
}

static void wait_until_they_agree(const struct redis_server servers[REDIS_NODES])
{
	const struct timespec rest = {.tv_nsec = 20000000};

	for (int waited = 0; waited < PATIENCE_MS; waited += 20) {
		int ready = 0;

		for (int i = 0; i < REDIS_NODES; i++) {
			char *info = redis_ask(&servers[i], "CLUSTER INFO");

			ready += strstr(info, "cluster_state:ok") && strstr(info, "cluster_known_nodes:3");
			free(info);
		}
		if (ready == REDIS_NODES)
			return;
		nanosleep(&rest, NULL);
	}
	errno = ETIMEDOUT;
	die("the cluster does not come about");
}

void redis_cluster_start(struct redis_server servers[REDIS_NODES])
{
	for (int i = 0; i < REDIS_NODES; i++) {
		prepare(&servers[i], free_port());
		redis_start_again(&servers[i]);
		tell(&servers[i], "CLUSTER ADDSLOTSRANGE %d %d", SLOTS * i / REDIS_NODES,
		     SLOTS * (i + 1) / REDIS_NODES - 1);
		tell(&servers[i], "CLUSTER SET-CONFIG-EPOCH %d", i + 1);
	}
	for (int i = 1; i < REDIS_NODES; i++)
		tell(&servers[0], "CLUSTER MEET 127.0.0.1 %d", servers[i].port);
	wait_until_they_agree(servers);
}
