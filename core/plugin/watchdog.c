/* See watchdog.h. */
#include "plugin/watchdog.h"

#include <assert.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

#include "base/error.h"
#include "plugin/instance.h"

#define LOOKS 4u /* in the time that a call may take */

struct watchdog {
	int64_t look_ns; /* between two */
	watchdog_hang_fn hang;
	void *context;
	pthread_mutex_t mutex; /* over all below */
	pthread_cond_t changed;
	struct instance *first;
	bool stopping;
	pthread_t thread;
};

/* The call that hangs, or NULL. */
static const char *look_at(const struct call_mark *mark, struct call_seen *seen)
{
	const char *call = atomic_load_explicit(&mark->call, memory_order_relaxed);
	uint32_t turn = atomic_load_explicit(&mark->turn, memory_order_relaxed);

	if (!call || !seen->looks || turn != seen->turn) {
		*seen = (struct call_seen){.turn = turn, .looks = call ? 1 : 0};
		return NULL;
	}
	return ++seen->looks > LOOKS ? call : NULL;
}

/* An operator that waits for its backend is not the one that hangs. */
static void look(const struct watchdog *watchdog)
{
	const struct instance *hanging = NULL;
	const char *where = NULL;

	for (struct instance *instance = watchdog->first; instance; instance = instance->next_watched) {
		const char *call = look_at(&instance->calls, &instance->seen_calls);
		const char *walk = look_at(&instance->walks, &instance->seen_walks);

		if ((call || walk) && (!hanging || instance->component->kind == SB_KIND_BACKEND)) {
			hanging = instance;
			where = call ? call : walk;
		}
	}
	if (hanging)
		watchdog->hang(watchdog->context, hanging, where);
}

static struct timespec after(int64_t ns)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	ns += time.tv_nsec;
	return (struct timespec){.tv_sec = time.tv_sec + ns / 1000000000, .tv_nsec = ns % 1000000000};
}

static void *run(void *argument)
{
	struct watchdog *watchdog = argument;

	pthread_mutex_lock(&watchdog->mutex);
	while (!watchdog->stopping) {
		struct timespec next = after(watchdog->look_ns);

		while (!watchdog->stopping && pthread_cond_timedwait(&watchdog->changed, &watchdog->mutex, &next) == 0)
			;
		if (!watchdog->stopping)
			look(watchdog);
	}
	pthread_mutex_unlock(&watchdog->mutex);
	return NULL;
}

int32_t watchdog_start(int64_t timeout_ms, watchdog_hang_fn hang, void *context, struct watchdog **ret_watchdog,
		       sb_error *err)
{
	struct watchdog *watchdog = calloc(1, sizeof(*watchdog));
	pthread_condattr_t monotonic;
	int sys_errno;

	if (!watchdog)
		return error_no_memory(err);
	watchdog->look_ns = timeout_ms * 1000000 / LOOKS;
	watchdog->hang = hang;
	watchdog->context = context;
	pthread_mutex_init(&watchdog->mutex, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&watchdog->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	sys_errno = pthread_create(&watchdog->thread, NULL, run, watchdog);
	if (sys_errno) {
		free(watchdog);
		return error_set_errno(err, sys_errno, "cannot start the thread that watches over the plugins");
	}
	*ret_watchdog = watchdog;
	return SB_OK;
}

void watchdog_stop(struct watchdog *watchdog)
{
	if (!watchdog)
		return;
	assert(!watchdog->first);
	pthread_mutex_lock(&watchdog->mutex);
	watchdog->stopping = true;
	pthread_cond_signal(&watchdog->changed);
	pthread_mutex_unlock(&watchdog->mutex);
	pthread_join(watchdog->thread, NULL);
	pthread_cond_destroy(&watchdog->changed);
	pthread_mutex_destroy(&watchdog->mutex);
	free(watchdog);
}

void watchdog_add(struct watchdog *watchdog, struct instance *instance)
{
	if (!watchdog)
		return;
	pthread_mutex_lock(&watchdog->mutex);
	instance->next_watched = watchdog->first;
	watchdog->first = instance;
	pthread_mutex_unlock(&watchdog->mutex);
}

void watchdog_remove(struct watchdog *watchdog, struct instance *instance)
{
	struct instance **link;

	if (!watchdog)
		return;
	pthread_mutex_lock(&watchdog->mutex);
	for (link = &watchdog->first; *link != instance; link = &(*link)->next_watched)
		;
	*link = instance->next_watched;
	pthread_mutex_unlock(&watchdog->mutex);
}
