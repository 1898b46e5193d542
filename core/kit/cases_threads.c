/* Threads: what the ABI promises about them. The thread sanitizer watches these, too
 * (tests/tsan/conformance_*.c). */
#include <pthread.h>
#include <stdlib.h>

#include "base/slice.h"
#include "kit/iter_check.h"
#include "kit/storm.h"

static pthread_t start(struct subject *s, void *(*body)(void *), void *arg)
{
	pthread_t thread;

	CHECK(s, pthread_create(&thread, NULL, body, arg) == 0, "cannot start a thread");
	return thread;
}

static void *run_storm(void *arg)
{
	storm_run(arg, 100);
	return NULL;
}

/* One after the other, with the join in between that orders them. */
void case_calls_may_come_from_different_threads(struct subject *s)
{
	struct storm *storm = storm_new(s, 300, 1000);

	for (unsigned i = 0; i < 10; i++) {
		pthread_join(start(s, run_storm, storm), NULL);
		storm_run(storm, 20);
	}
	storm_free(storm);
}

static void *run_instance(void *arg)
{
	struct subject *s = arg;
	struct storm *storm = storm_new(s, 300, 1000);

	storm_run(storm, 300);
	storm_free(storm);
	subject_check_all(s);
	return NULL;
}

void case_instances_are_used_at_the_same_time(struct subject *s)
{
	struct subject others[2];
	pthread_t threads[2];

	for (unsigned i = 0; i < 2; i++) {
		subject_init(&others[i], s->trial, s->rng.seed + 1 + i);
		threads[i] = start(s, run_instance, &others[i]);
	}
	run_instance(s);
	for (unsigned i = 0; i < 2; i++) {
		pthread_join(threads[i], NULL);
		subject_done(&others[i]);
	}
}

struct reader {
	struct iter_check check;
	uint64_t step;
	_Atomic bool done;
};

static void *read_to_the_end(void *arg)
{
	struct reader *reader = arg;

	while (iter_check_step(&reader->check, reader->step))
		;
	iter_check_close(&reader->check);
	atomic_store(&reader->done, true);
	return NULL;
}

/* What a checkpoint does: the event thread opens, another one reads and closes, and the
 * writes go on all the while. Two at once, one of them over a range. */
void case_iterators_are_read_by_other_threads_during_writes(struct subject *s)
{
	static const uint8_t lower[] = {0, 1}, upper[] = {0, 3};
	struct storm *storm;
	struct reader *readers;

	storm = storm_new(s, 4000, 2000);
	readers = calloc(2, sizeof(*readers));
	CHECK(s, readers, "out of memory");
	for (unsigned i = 0; i < 150; i++)
		storm_write(storm);
	for (unsigned round = 0; round < 12; round++) {
		pthread_t threads[2];

		readers[0].step = 1 + rng_below(&s->rng, ITER_CHECK_STEP_MAX);
		readers[1].step = 1 + rng_below(&s->rng, 10);
		iter_check_open(&readers[0].check, s, slice_of(NULL, 0), slice_of(NULL, 0));
		storm_write(storm);
		iter_check_open(&readers[1].check, s, slice_of(lower, 2), slice_of(upper, 2));
		for (unsigned i = 0; i < 2; i++) {
			atomic_store(&readers[i].done, false);
			threads[i] = start(s, read_to_the_end, &readers[i]);
		}
		do {
			storm_run(storm, 10);
		} while (!atomic_load(&readers[0].done) || !atomic_load(&readers[1].done));
		for (unsigned i = 0; i < 2; i++)
			pthread_join(threads[i], NULL);
	}
	storm_free(storm);
	free(readers);
}
