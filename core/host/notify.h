/* What a service manager is told (the protocol of sd_notify(3)): ready, stopping, and that the job is alive. Nothing at all when nobody asks,
 * which the environment says (NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID). */
#ifndef HOST_NOTIFY_H
#define HOST_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

struct notify {
	int fd; /* -1: nobody asks */
	int64_t ping_ns; /* between two; 0: none are wanted */
	int64_t next_ping_ns;
	uint64_t events; /* processed, at the last ping */
};

/* now_ns is of the monotonic clock, as below. */
void notify_init(struct notify *notify, int64_t now_ns);
void notify_done(struct notify *notify);
/* "READY=1" and the like. Best effort: a manager that does not listen is no failure of the job. */
void notify_tell(const struct notify *notify, const char *text);
/* Pings when it is time and the job moves, or has nothing to do: events were processed since the last ping, or none are waiting. */
void notify_alive(struct notify *notify, int64_t now_ns, uint64_t events, uint64_t waiting);

#endif
