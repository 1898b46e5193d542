/* See system_calls.h. */
#include "simulation/system_calls.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "simulation/bugs.h"
#include "simulation/scheduler.h"
#include "stream/source.h"

/* What lies in a pthread_mutex_t, and in a pthread_cond_t. */
struct mutex {
	uint32_t number, owner; /* 0: nobody */
};

struct condition {
	uint32_t number;
};

static_assert(sizeof(struct mutex) <= sizeof(pthread_mutex_t), "a mutex has room for ours");
static_assert(sizeof(struct condition) <= sizeof(pthread_cond_t), "a condition has room for ours");

static struct {
	uint32_t mutexes, conditions;
	int64_t wall_offset_ns;
	unsigned idle_percent;
	int signal_pipe[2];
	int stream_fd; /* to write into; -1: closed */
	const uint8_t *stream;
	size_t stream_left;
	struct buffer log;
} calls = {.signal_pipe = {-1, -1}, .stream_fd = -1};

void system_calls_begin(int64_t wall_offset_ns, unsigned idle_percent)
{
	calls.mutexes = calls.conditions = 0;
	calls.wall_offset_ns = wall_offset_ns;
	calls.idle_percent = idle_percent;
	buffer_clear(&calls.log);
}

struct buffer *system_calls_log(void)
{
	return &calls.log;
}

/* ---- threads ---- */

int __wrap_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes);
int __wrap_pthread_mutex_destroy(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex);
int __wrap_pthread_cond_init(pthread_cond_t *condition, const pthread_condattr_t *attributes);
int __wrap_pthread_cond_destroy(pthread_cond_t *condition);
int __wrap_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex);
int __wrap_pthread_cond_signal(pthread_cond_t *condition);
int __wrap_pthread_cond_broadcast(pthread_cond_t *condition);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument);
int __wrap_pthread_join(pthread_t thread, void **ret_result);
int __wrap_setpriority(__priority_which_t which, id_t who, int priority);

int __wrap_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes)
{
	(void)attributes;
	*(struct mutex *)mutex = (struct mutex){.number = ++calls.mutexes};
	return 0;
}

int __wrap_pthread_mutex_destroy(pthread_mutex_t *mutex)
{
	assert(((struct mutex *)mutex)->owner == 0);
	return 0;
}

/* Outside of a run, where a checkpoint's files are looked at, there is nobody else. */
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex)
{
	struct mutex *own = (struct mutex *)mutex;

	if (!scheduler_is_running())
		return 0;
	scheduler_point("lock", NULL, own->number, 0);
	if (bug_is_set(BUG_NO_MUTEX))
		return 0;
	while (own->owner)
		scheduler_wait_for(own, false);
	own->owner = 1;
	return 0;
}

static void unlock(struct mutex *mutex)
{
	mutex->owner = 0;
	scheduler_wake(mutex, true);
}

int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex)
{
	if (!scheduler_is_running())
		return 0;
	unlock((struct mutex *)mutex);
	scheduler_point("unlock", NULL, ((struct mutex *)mutex)->number, 0);
	return 0;
}

int __wrap_pthread_cond_init(pthread_cond_t *condition, const pthread_condattr_t *attributes)
{
	(void)attributes;
	*(struct condition *)condition = (struct condition){.number = ++calls.conditions};
	return 0;
}

int __wrap_pthread_cond_destroy(pthread_cond_t *condition)
{
	(void)condition;
	return 0;
}

int __wrap_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex)
{
	scheduler_point("wait", NULL, ((struct condition *)condition)->number, 0);
	unlock((struct mutex *)mutex);
	scheduler_wait_for(condition, true);
	return __wrap_pthread_mutex_lock(mutex);
}

static int wake(pthread_cond_t *condition, const char *what, bool all)
{
	if (!scheduler_is_running())
		return 0;
	scheduler_point(what, NULL, ((struct condition *)condition)->number, 0);
	if (bug_is_set(BUG_LOST_WAKE) && rng_below(scheduler_rng(), 50) == 0)
		return 0;
	scheduler_wake(condition, all);
	return 0;
}

int __wrap_pthread_cond_signal(pthread_cond_t *condition)
{
	return wake(condition, "signal", false);
}

int __wrap_pthread_cond_broadcast(pthread_cond_t *condition)
{
	return wake(condition, "broadcast", true);
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument)
{
	unsigned number = scheduler_create(run, argument);

	(void)attributes;
	*thread = (pthread_t)number;
	scheduler_point("create", NULL, number, 0);
	return 0;
}

int __wrap_pthread_join(pthread_t thread, void **ret_result)
{
	(void)ret_result; /* nobody asks */
	scheduler_point("join", NULL, (int64_t)thread, 0);
	scheduler_join((unsigned)thread);
	return 0;
}

int __wrap_setpriority(__priority_which_t which, id_t who, int priority)
{
	(void)which;
	(void)who;
	(void)priority;
	return 0;
}

/* ---- descriptors that are no files ---- */

int __real_poll(struct pollfd *fds, nfds_t count, int timeout_ms);
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout_ms);
int __wrap___poll_chk(struct pollfd *fds, nfds_t count, int timeout_ms, size_t size);
ssize_t __real_read(int fd, void *bytes, size_t len);
ssize_t __wrap_read(int fd, void *bytes, size_t len);
ssize_t __real_write(int fd, const void *bytes, size_t len);
ssize_t __wrap_write(int fd, const void *bytes, size_t len);
int __wrap_signalfd(int fd, const sigset_t *mask, int flags);
pid_t __wrap_getpid(void);

int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
	int64_t due_ns = INT64_MAX;

	if (!scheduler_is_running())
		return __real_poll(fds, count, timeout_ms);
	scheduler_point("poll", NULL, timeout_ms, 0);
	if (timeout_ms >= 0)
		due_ns = scheduler_now_ns() + timeout_ms * INT64_C(1000000);
	return scheduler_poll(fds, count, due_ns);
}

/* What a hardened build calls. */
int __wrap___poll_chk(struct pollfd *fds, nfds_t count, int timeout_ms, size_t size)
{
	(void)size;
	return __wrap_poll(fds, count, timeout_ms);
}

ssize_t __wrap_read(int fd, void *bytes, size_t len)
{
	if (scheduler_is_running())
		scheduler_point("read", NULL, 0, 0);
	return __real_read(fd, bytes, len);
}

static void keep_log(const void *bytes, size_t len)
{
	size_t begin = calls.log.len;

	buffer_append(&calls.log, bytes, len);
	if (scheduler_is_running())
		scheduler_point("log", buffer_text(&calls.log) + begin, 0, 0);
}

ssize_t __wrap_write(int fd, const void *bytes, size_t len)
{
	ssize_t n;

	if (fd == SIM_LOG_FD) {
		keep_log(bytes, len);
		return (ssize_t)len;
	}
	if (scheduler_is_running())
		scheduler_point("write", NULL, (int64_t)len, 0);
	if (bug_is_set(BUG_LOST_TELL) && rng_below(scheduler_rng(), 20) == 0)
		return (ssize_t)len;
	n = __real_write(fd, bytes, len);
	scheduler_descriptors_changed();
	return n;
}

/* A pipe instead: what is written into it is the signal. */
int __wrap_signalfd(int fd, const sigset_t *mask, int flags)
{
	(void)fd;
	(void)mask;
	(void)flags;
	if (calls.signal_pipe[1] >= 0)
		close(calls.signal_pipe[1]);
	if (pipe2(calls.signal_pipe, O_CLOEXEC | O_NONBLOCK) != 0)
		return -1;
	return calls.signal_pipe[0];
}

void system_calls_terminate(void)
{
	const struct signalfd_siginfo info = {.ssi_signo = SIGTERM};

	if (calls.signal_pipe[1] >= 0 && __real_write(calls.signal_pipe[1], &info, sizeof(info)) == sizeof(info))
		scheduler_descriptors_changed();
}

void system_calls_begin_stream(const void *bytes, size_t len)
{
	int ends[2];

	if (calls.stream_fd >= 0)
		close(calls.stream_fd);
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0 || dup2(ends[0], STDIN_FILENO) != STDIN_FILENO)
		abort();
	close(ends[0]);
	calls.stream_fd = ends[1];
	calls.stream = bytes;
	calls.stream_left = len;
}

void system_calls_feed_stream(size_t len)
{
	ssize_t n;

	if (calls.stream_fd < 0)
		return;
	n = __real_write(calls.stream_fd, calls.stream, len < calls.stream_left ? len : calls.stream_left);
	if (n > 0) {
		calls.stream += n;
		calls.stream_left -= (size_t)n;
	}
	if (calls.stream_left == 0) {
		close(calls.stream_fd);
		calls.stream_fd = -1;
	}
	scheduler_descriptors_changed();
}

/* Locks tell who holds them. */
pid_t __wrap_getpid(void)
{
	return 4242;
}

/* ---- time and chance ---- */

static int64_t wall_ns(struct clock *clock)
{
	(void)clock;
	if (scheduler_is_running())
		scheduler_point("wall", NULL, 0, 0);
	return scheduler_now_ns() + calls.wall_offset_ns;
}

static int64_t monotonic_ns(struct clock *clock)
{
	(void)clock;
	if (scheduler_is_running())
		scheduler_point("clock", NULL, 0, 0);
	return scheduler_now_ns();
}

struct clock *system_calls_clock(void)
{
	static struct clock clock = {.wall_ns = wall_ns, .monotonic_ns = monotonic_ns};

	return &clock;
}

void system_calls_shift_wall(int64_t by_ns)
{
	calls.wall_offset_ns += by_ns;
}

/* Plugins call these two as well, which the executable exports for that. */
ssize_t getrandom(void *bytes, size_t len, unsigned flags)
{
	(void)flags;
	rng_bytes(scheduler_rng(), bytes, len);
	return (ssize_t)len;
}

/* The fault backend's delays: so there are points inside of a backend's calls. */
int nanosleep(const struct timespec *time, struct timespec *ret_rest)
{
	int64_t ns = time->tv_sec * INT64_C(1000000000) + time->tv_nsec;

	(void)ret_rest;
	if (scheduler_is_running()) {
		scheduler_point("sleep", NULL, ns, 0);
		scheduler_poll(NULL, 0, scheduler_now_ns() + ns);
	}
	return 0;
}

/* ---- input that comes in dribs, as of a file that somebody still writes ---- */

enum source_status __real_source_next(struct source *source, struct source_record *ret_record, sb_error *err);
enum source_status __wrap_source_next(struct source *source, struct source_record *ret_record, sb_error *err);
int64_t __wrap_source_due_ns(const struct source *source);

enum source_status __wrap_source_next(struct source *source, struct source_record *ret_record, sb_error *err)
{
	enum source_status status;

	if (rng_chance(scheduler_rng(), calls.idle_percent)) {
		scheduler_point("idle", NULL, 0, 0);
		return SOURCE_IDLE;
	}
	status = __real_source_next(source, ret_record, err);
	if (status == SOURCE_RECORD)
		bug_note_record(source, ret_record->next_offset);
	return status;
}

int64_t __wrap_source_due_ns(const struct source *source)
{
	(void)source;
	return scheduler_now_ns() + (int64_t)rng_below(scheduler_rng(), 4000000);
}
