/* The host's threads, one at a time, in an order that a seed decides, in a time that passes only when they say so.
 *
 * Each thread is a context of its own on one thread of the system, and runs until it comes to a point: a lock, a wait, a signal, a reading of the clock, a
 * call on a file (system_calls.c and disk_io.c put them there). At a point the scheduler notes what is about to happen and chooses who goes on.
 * So an order of events is a number, and comes again.
 *
 * Two ways of choosing, since they find different mistakes: by chance at each point, or by priorities that change at few points (after Burckhardt and
 * others, "A randomized scheduler with probabilistic guarantees of finding bugs", ASPLOS 2010). Time moves a little with each point; when
 * everybody waits, it jumps to the first that waits for a time. When there is none, or none soon,
 * somebody waits for a word that will not come: a deadlock, which ends the run.
 *
 * A crash leaves all threads where they are, for good: their stacks are never returned to. */
#ifndef SIMULATION_SCHEDULER_H
#define SIMULATION_SCHEDULER_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include "kit/rng.h"

#define SCHEDULER_THREADS 16u /* at once */

enum sim_end { SIM_DONE, SIM_CRASHED, SIM_DEADLOCK, SIM_ENDLESS };

struct scheduler_config {
	uint64_t seed;
	bool by_priority;
	unsigned switch_percent; /* by chance: how often another one may go on */
	unsigned changes; /* by priority: how often it changes */
	int64_t step_ns; /* the most that passes at a point */
	unsigned spurious_percent; /* waits on a condition that end for no reason, of a hundred decisions */
	uint64_t crash_at; /* point; 0: none */
	void (*at_point)(uint64_t point); /* NULL: nothing */
};

/* Runs main as the first thread, until it returns and no other is left, or until there is no way on. Once at a time. */
enum sim_end scheduler_run(const struct scheduler_config *config, void (*main)(void *), void *argument);
/* Whether a thread of a simulation is what runs here. */
bool scheduler_is_running(void);
/* Points so far in this run. */
uint64_t scheduler_points(void);
/* Of the run's seed; whatever the threads decide by chance. */
struct rng *scheduler_rng(void);

int64_t scheduler_now_ns(void);
void scheduler_set_now_ns(int64_t now_ns);

/* What the thread is about to do; another may come first. */
void scheduler_point(const char *what, const char *text, int64_t a, int64_t b);
/* The end of the run, here and now. */
_Noreturn void scheduler_crash(void);

/* For system_calls.c. The number of the new thread. */
unsigned scheduler_create(void *(*run)(void *), void *argument);
void scheduler_join(unsigned thread);
/* Waits until somebody wakes those who wait for object. */
void scheduler_wait_for(const void *object, bool may_wake_spuriously);
/* One of those that wait for object, or all of them. */
void scheduler_wake(const void *object, bool all);
/* Until one of them is ready, or it is as late as due_ns (INT64_MAX: never): how many are. */
int scheduler_poll(struct pollfd *fds, nfds_t count, int64_t due_ns);
/* A descriptor may have become ready. */
void scheduler_descriptors_changed(void);

#endif
