/* See scheduler.h. */
#include "simulation/scheduler.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

#include "simulation/trace.h"

int __real_poll(struct pollfd *fds, nfds_t count, int timeout_ms);

#define STACK_BYTES ((size_t)512 << 10)
#define POINTS_MAX UINT64_C(3000000) /* of a run that takes some ten thousand */
#define CHANGE_WITHIN 20000u /* points: where priorities change */
#define JUMP_MAX_NS INT64_C(20000000000)
#define PATIENCE 3000u /* points in a row by priority, while others could run */

enum thread_state { READY, WAITING, POLLING, DONE, JOINED };

struct thread {
	ucontext_t context;
	void *stack;
	size_t stack_bytes;
	void *fake_stack; /* the address sanitizer's */
	void *(*run)(void *);
	void *argument;
	enum thread_state state;
	const void *object; /* WAITING */
	bool may_wake; /* WAITING: for no reason */
	struct pollfd *fds; /* POLLING */
	nfds_t fd_count;
	int64_t due_ns;
	uint64_t seen_changes; /* of descriptors, when it last looked */
	uint64_t priority;
};

static struct {
	struct scheduler_config config;
	struct rng rng;
	struct thread home; /* who called scheduler_run */
	struct thread threads[SCHEDULER_THREADS];
	unsigned count, current;
	bool running;
	enum sim_end end;
	uint64_t points, next_change, in_a_row, lowest_priority;
	uint64_t changes; /* of descriptors */
	int64_t now_ns;
} sim;

static _Noreturn void give_up(const char *what)
{
	fprintf(stderr, "simulation: %s: %s\n", what, strerror(errno));
	abort();
}

/* errno is the thread's own, and all contexts share one. */
static void switch_context(struct thread *from, struct thread *to, bool from_ends)
{
	const int saved_errno = errno;

#ifdef __SANITIZE_ADDRESS__
	__sanitizer_start_switch_fiber(from_ends ? NULL : &from->fake_stack, to->stack, to->stack_bytes);
#else
	(void)from_ends;
#endif
	if (swapcontext(&from->context, &to->context) != 0)
		give_up("cannot switch");
#ifdef __SANITIZE_ADDRESS__
	__sanitizer_finish_switch_fiber(from->fake_stack, NULL, NULL);
#endif
	errno = saved_errno;
}

static _Noreturn void go_home(enum sim_end end)
{
	sim.end = end;
	sim.running = false;
	switch_context(&sim.threads[sim.current], &sim.home, true);
	abort();
}

bool scheduler_is_running(void)
{
	return sim.running;
}

uint64_t scheduler_points(void)
{
	return sim.points;
}

struct rng *scheduler_rng(void)
{
	return &sim.rng;
}

int64_t scheduler_now_ns(void)
{
	return sim.now_ns;
}

void scheduler_set_now_ns(int64_t now_ns)
{
	sim.now_ns = now_ns;
}

/* ---- who goes on ---- */

static bool has_ready_descriptor(struct thread *thread)
{
	if (thread->seen_changes == sim.changes)
		return false;
	thread->seen_changes = sim.changes;
	return __real_poll(thread->fds, thread->fd_count, 0) > 0;
}

static bool can_run(struct thread *thread)
{
	if (thread->state == POLLING && (thread->due_ns <= sim.now_ns || has_ready_descriptor(thread)))
		thread->state = READY;
	return thread->state == READY;
}

static unsigned collect(unsigned ready[SCHEDULER_THREADS])
{
	unsigned n = 0;

	for (unsigned i = 0; i < sim.count; i++)
		if (can_run(&sim.threads[i]))
			ready[n++] = i;
	return n;
}

/* POSIX lets a wait on a condition end without a signal, so it does here. */
static void wake_spuriously(void)
{
	struct thread *thread = &sim.threads[rng_below(&sim.rng, sim.count)];

	if (!rng_chance(&sim.rng, sim.config.spurious_percent))
		return;
	if (thread->state == WAITING && thread->may_wake)
		thread->state = READY;
}

/* The host waits for a second at most where it has something to do; who waits for a minute waits for a word that has not come. */
static bool jump(void)
{
	int64_t due_ns = INT64_MAX;

	for (unsigned i = 0; i < sim.count; i++)
		if (sim.threads[i].state == POLLING && sim.threads[i].due_ns < due_ns)
			due_ns = sim.threads[i].due_ns;
	if (due_ns - sim.now_ns > JUMP_MAX_NS)
		return false;
	sim.now_ns = due_ns;
	return true;
}

static unsigned highest_priority(const unsigned *ready, unsigned n)
{
	unsigned best = ready[0];

	for (unsigned i = 1; i < n; i++)
		if (sim.threads[ready[i]].priority > sim.threads[best].priority)
			best = ready[i];
	return best;
}

/* Priorities change at their points, and when one thread has been running alone for so long that it may be waiting for another. */
static void change_priority(void)
{
	if (sim.points < sim.next_change && sim.in_a_row < PATIENCE)
		return;
	if (sim.points >= sim.next_change)
		sim.next_change = sim.config.changes
					  ? sim.points + 1 + rng_below(&sim.rng, CHANGE_WITHIN / sim.config.changes)
					  : UINT64_MAX;
	sim.threads[sim.current].priority = sim.lowest_priority--;
	sim.in_a_row = 0;
}

static unsigned choose(const unsigned *ready, unsigned n)
{
	if (sim.config.by_priority) {
		change_priority();
		return highest_priority(ready, n);
	}
	if (sim.threads[sim.current].state == READY && !rng_chance(&sim.rng, sim.config.switch_percent))
		return sim.current;
	return ready[rng_below(&sim.rng, n)];
}

/* Returns when it is the current thread's turn again. */
static void reschedule(void)
{
	unsigned ready[SCHEDULER_THREADS];
	struct thread *before = &sim.threads[sim.current];
	unsigned n, next;

	wake_spuriously();
	while ((n = collect(ready)) == 0)
		if (!jump())
			go_home(SIM_DEADLOCK);
	next = choose(ready, n);
	sim.in_a_row = next == sim.current ? sim.in_a_row + 1 : 0;
	if (next == sim.current)
		return;
	sim.current = next;
	trace_add(next, sim.now_ns, "runs", NULL, 0, 0);
	switch_context(before, &sim.threads[next], before->state == DONE);
}

void scheduler_point(const char *what, const char *text, int64_t a, int64_t b)
{
	sim.now_ns += 1 + (int64_t)rng_below(&sim.rng, (uint64_t)sim.config.step_ns);
	trace_add(sim.current, sim.now_ns, what, text, a, b);
	sim.points++;
	if (sim.config.at_point)
		sim.config.at_point(sim.points);
	if (sim.points == sim.config.crash_at)
		scheduler_crash();
	if (sim.points == POINTS_MAX)
		go_home(SIM_ENDLESS);
	reschedule();
}

void scheduler_crash(void)
{
	trace_add(sim.current, sim.now_ns, "crash", NULL, 0, 0);
	go_home(SIM_CRASHED);
}

/* ---- waiting ---- */

void scheduler_wait_for(const void *object, bool may_wake_spuriously)
{
	struct thread *thread = &sim.threads[sim.current];

	thread->state = WAITING;
	thread->object = object;
	thread->may_wake = may_wake_spuriously;
	reschedule();
}

void scheduler_wake(const void *object, bool all)
{
	unsigned waiting[SCHEDULER_THREADS];
	unsigned n = 0;

	for (unsigned i = 0; i < sim.count; i++)
		if (sim.threads[i].state == WAITING && sim.threads[i].object == object)
			waiting[n++] = i;
	if (n && !all) {
		waiting[0] = waiting[rng_below(&sim.rng, n)];
		n = 1;
	}
	for (unsigned i = 0; i < n; i++)
		sim.threads[waiting[i]].state = READY;
}

int scheduler_poll(struct pollfd *fds, nfds_t count, int64_t due_ns)
{
	struct thread *thread = &sim.threads[sim.current];
	int n;

	while ((n = __real_poll(fds, count, 0)) == 0 && sim.now_ns < due_ns) {
		thread->state = POLLING;
		thread->fds = fds;
		thread->fd_count = count;
		thread->due_ns = due_ns;
		thread->seen_changes = sim.changes;
		reschedule();
	}
	return n;
}

void scheduler_descriptors_changed(void)
{
	sim.changes++;
}

/* ---- threads ---- */

static void begin_thread(void)
{
	struct thread *thread = &sim.threads[sim.current];

#ifdef __SANITIZE_ADDRESS__
	const void *bottom;
	size_t size;

	__sanitizer_finish_switch_fiber(NULL, &bottom, &size);
	if (sim.current == 0) { /* only home can have come here first */
		sim.home.stack = (void *)bottom;
		sim.home.stack_bytes = size;
	}
#endif
	thread->run(thread->argument);
	thread->state = DONE;
	scheduler_wake(thread, true);
	if (sim.current == 0)
		go_home(SIM_DONE);
	reschedule();
	abort();
}

/* One that has been joined leaves its place. */
static struct thread *take_place(void)
{
	unsigned number = 0;

	while (number < sim.count && sim.threads[number].state != JOINED)
		number++;
	if (number == SCHEDULER_THREADS)
		abort();
	if (number == sim.count)
		sim.count++;
	return &sim.threads[number];
}

unsigned scheduler_create(void *(*run)(void *), void *argument)
{
	struct thread *thread = take_place();

	*thread = (struct thread){
		.run = run, .argument = argument, .stack_bytes = STACK_BYTES, .priority = UINT64_C(1) << 62};
	thread->priority += rng_below(&sim.rng, UINT64_C(1) << 32);
	thread->stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (thread->stack == MAP_FAILED || getcontext(&thread->context) != 0)
		give_up("cannot make a thread");
	thread->context.uc_stack.ss_sp = thread->stack;
	thread->context.uc_stack.ss_size = STACK_BYTES;
	thread->context.uc_link = NULL;
	makecontext(&thread->context, begin_thread, 0);
	return (unsigned)(thread - sim.threads);
}

void scheduler_join(unsigned thread)
{
	while (sim.threads[thread].state != DONE)
		scheduler_wait_for(&sim.threads[thread], false);
	munmap(sim.threads[thread].stack, STACK_BYTES);
	sim.threads[thread].state = JOINED;
}

struct first_thread {
	void (*main)(void *);
	void *argument;
};

static void *run_first(void *argument)
{
	const struct first_thread *first = argument;

	first->main(first->argument);
	return NULL;
}

enum sim_end scheduler_run(const struct scheduler_config *config, void (*main)(void *), void *argument)
{
	struct first_thread first = {main, argument};

	sim.config = *config;
	rng_init(&sim.rng, config->seed);
	sim.count = sim.current = 0;
	sim.points = sim.in_a_row = 0;
	sim.lowest_priority = UINT64_C(1) << 61;
	sim.next_change = config->changes ? 1 + rng_below(&sim.rng, CHANGE_WITHIN / config->changes) : UINT64_MAX;
	sim.running = true;
	scheduler_create(run_first, &first);
	switch_context(&sim.home, &sim.threads[0], false);
	return sim.end;
}
