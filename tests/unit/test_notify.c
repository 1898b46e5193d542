/* What a service manager is told, by a manager of the test's own: a socket that the environment names. */
#include <criterion/criterion.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "host/notify.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define SECOND_NS INT64_C(1000000000)

static char path[64];
static int manager;

/* abstract: a name without a file. */
static void listen_at(const char *name, bool abstract)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", name);
	if (abstract)
		address.sun_path[0] = 0;
	manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	cr_assert(manager >= 0 && bind(manager, (struct sockaddr *)&address, len) == 0);
}

static void set_up(void)
{
	snprintf(path, sizeof(path), "/tmp/sbhost-notify-%d", (int)getpid());
	unlink(path);
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
}

static void tear_down(void)
{
	unlink(path);
}

TestSuite(notify, .init = set_up, .fini = tear_down);

static void expect_told(const char *text)
{
	char said[64] = "";
	ssize_t n = recv(manager, said, sizeof(said) - 1, 0);

	cr_expect_str_eq(n > 0 ? said : "", text);
}

static struct notify begin(const char *address, const char *usec, const char *pid)
{
	struct notify notify;

	if (address)
		setenv("NOTIFY_SOCKET", address, 1);
	if (usec)
		setenv("WATCHDOG_USEC", usec, 1);
	if (pid)
		setenv("WATCHDOG_PID", pid, 1);
	notify_init(&notify, 5 * SECOND_NS);
	return notify;
}

Test(notify, manager_is_told_what_there_is_to_tell)
{
	struct notify notify;

	listen_at(path, false);
	notify = begin(path, NULL, NULL);
	notify_tell(&notify, "READY=1");
	expect_told("READY=1");
	notify_alive(&notify, 90 * SECOND_NS, 1, 0);
	expect_told(""); /* nobody asked for pings */
	notify_done(&notify);
	cr_expect_eq(notify.fd, -1);
	notify_done(&notify);
}

Test(notify, abstract_names_are_understood)
{
	struct notify notify;
	char name[64];

	snprintf(name, sizeof(name), "@sbhost-notify-%d", (int)getpid());
	listen_at(name, true);
	notify = begin(name, NULL, NULL);
	notify_tell(&notify, "STOPPING=1");
	expect_told("STOPPING=1");
	notify_done(&notify);
}

Test(notify, nobody_is_told_when_nobody_asks)
{
	char far[200];
	const char *const nobody[] = {NULL, "", "relative/path", far, "/tmp/sbhost-notify-that-nobody-made"};

	memset(far, 'x', sizeof(far) - 1);
	far[0] = '/';
	far[sizeof(far) - 1] = 0;
	for (size_t i = 0; i < LENGTH(nobody); i++) {
		struct notify notify = begin(nobody[i], "1000000", NULL);

		cr_expect_eq(notify.fd, -1, "%zu", i);
		cr_expect_eq(notify.ping_ns, 0, "%zu", i);
		notify_tell(&notify, "READY=1");
		notify_alive(&notify, 90 * SECOND_NS, 1, 0);
		notify_done(&notify);
	}
}

Test(notify, pings_are_for_the_process_that_is_asked_and_half_as_far_apart)
{
	char mine[24];
	const struct {
		const char *usec, *pid;
		int64_t ping_ns;
	} cases[] = {
		{"2000000", NULL, SECOND_NS}, {"2000000", mine, SECOND_NS},	 {"2000000", "1", 0}, {"0", mine, 0},
		{"a while", mine, 0},	      {"18446744073709551615", mine, 0},
	};

	snprintf(mine, sizeof(mine), "%d", (int)getpid());
	listen_at(path, false);
	for (size_t i = 0; i < LENGTH(cases); i++) {
		struct notify notify;

		unsetenv("WATCHDOG_PID");
		notify = begin(path, cases[i].usec, cases[i].pid);
		cr_expect_eq(notify.ping_ns, cases[i].ping_ns, "%zu", i);
		notify_done(&notify);
	}
}

/* A manager that hears nothing ends the job: so what hangs is not to be heard. */
Test(notify, job_that_moves_or_has_nothing_to_do_is_alive)
{
	struct notify notify;

	listen_at(path, false);
	notify = begin(path, "2000000", NULL);
	notify_alive(&notify, 5 * SECOND_NS, 10, 3);
	expect_told("WATCHDOG=1"); /* the first events */
	notify_alive(&notify, 5 * SECOND_NS + 1, 20, 3);
	expect_told(""); /* too early */
	notify_alive(&notify, 6 * SECOND_NS, 20, 3);
	expect_told("WATCHDOG=1");
	notify_alive(&notify, 7 * SECOND_NS, 20, 3);
	expect_told(""); /* the same events, and more wait */
	notify_alive(&notify, 8 * SECOND_NS, 20, 0);
	expect_told("WATCHDOG=1"); /* nothing waits */
	notify_alive(&notify, 9 * SECOND_NS, 21, 3);
	expect_told("WATCHDOG=1");
	notify_done(&notify);
}
