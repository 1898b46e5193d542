/* See notify.h. */
#include "host/notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/number.h"
#include "base/slice.h"

/* A path, or "@name" in the abstract namespace. */
static int connect_to(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const size_t len = strlen(path);
	int fd;

	if (len == 0 || len >= sizeof(address.sun_path) || (path[0] != '/' && path[0] != '@'))
		return -1;
	memcpy(address.sun_path, path, len);
	if (path[0] == '@')
		address.sun_path[0] = 0;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0 &&
	    connect(fd, (struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) != 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static uint64_t number_of(const char *name)
{
	const char *text = getenv(name);
	uint64_t number = 0;

	return text && number_parse_u64(slice_of_text(text), &number) ? number : 0;
}

void notify_init(struct notify *notify, int64_t now_ns)
{
	const char *path = getenv("NOTIFY_SOCKET");
	const uint64_t usec = number_of("WATCHDOG_USEC"), pid = number_of("WATCHDOG_PID");

	*notify = (struct notify){.fd = path ? connect_to(path) : -1};
	if (notify->fd < 0 || usec == 0 || usec > INT64_MAX / 1000 || (pid && pid != (uint64_t)getpid()))
		return;
	notify->ping_ns = (int64_t)usec * 1000 / 2;
	notify->next_ping_ns = now_ns;
}

void notify_done(struct notify *notify)
{
	if (notify->fd >= 0)
		close(notify->fd);
	notify->fd = -1;
}

void notify_tell(const struct notify *notify, const char *text)
{
	ssize_t sent;

	if (notify->fd < 0)
		return;
	do
		sent = send(notify->fd, text, strlen(text), MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
}

void notify_alive(struct notify *notify, int64_t now_ns, uint64_t events, uint64_t waiting)
{
	if (notify->ping_ns == 0 || now_ns < notify->next_ping_ns)
		return;
	notify->next_ping_ns = now_ns + notify->ping_ns;
	if (waiting && events == notify->events)
		return;
	notify->events = events;
	notify_tell(notify, "WATCHDOG=1");
}
