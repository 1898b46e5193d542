/* The life of an instance: it begins empty, and is alone in its world. */
#include <ctype.h>
#include <math.h>
#include <string.h>

#include "base/error.h"
#include "base/slice.h"
#include "kit/storm.h"

void case_opened_anew_it_is_empty(struct subject *s)
{
	uint8_t key[64];

	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < 200; i++)
			subject_put(s, key_of_number(key, 1, i), slice_of(&round, sizeof(round)), SB_NO_EXPIRY);
		subject_check_all(s);
		subject_reopen(s);
		CHECK(s, s->model.count == 0, "a bug of the case");
		subject_check_key(s, key_of_number(key, 1, 7));
		subject_check_all(s);
	}
}

void case_two_instances_know_nothing_of_each_other(struct subject *s)
{
	struct subject other;
	uint8_t key[64];

	subject_init(&other, s->trial, s->rng.seed + 1);
	for (unsigned i = 0; i < 300; i++) {
		sb_slice name = key_of_number(key, 1, i);

		subject_put(s, name, slice_of_text("first"), 1);
		subject_put(i % 2 ? &other : s, name, slice_of_text("second"), 2);
		if (i % 3 == 0)
			subject_delete(&other, name);
	}
	subject_check_all(s);
	subject_check_all(&other);
	subject_done(&other);
	subject_check_all(s);
}

#define CAPACITY 256

static void check_figure(struct subject *s, const sb_stat *stat)
{
	CHECK(s, stat->name && *stat->name, "a figure has no name");
	for (const char *c = stat->name; *c; c++)
		CHECK(s, islower((unsigned char)*c) || isdigit((unsigned char)*c) || *c == '_',
		      "the name of figure %s has other characters than a-z, 0-9 and _", stat->name);
	CHECK(s, stat->unit, "figure %s has no unit, not even an empty one", stat->name);
	CHECK(s, isfinite(stat->value), "figure %s is no number", stat->name);
	CHECK(s, stat->kind == SB_METRIC_COUNTER || stat->kind == SB_METRIC_GAUGE,
	      "figure %s is neither a counter nor a gauge", stat->name);
}

#define UNTOUCHED 0x5A

static bool is_untouched(const sb_stat *stat)
{
	const uint8_t *bytes = (const uint8_t *)stat;

	for (size_t i = 0; i < sizeof(*stat); i++)
		if (bytes[i] != UNTOUCHED)
			return false;
	return true;
}

void case_figures_have_names_and_fit_the_room(struct subject *s)
{
	sb_stat stats[CAPACITY + 1];
	sb_error err = ERROR_INIT;
	uint64_t count = 0, again = 0;
	int32_t status = SUBJECT_CALL(s, stats, s->backend, 0, NULL, &count, &err);
	uint8_t key[64];

	if (status == SB_ERR_UNSUPPORTED)
		return;
	CHECK(s, status == SB_OK, "stats without room: status %d, %s", status, err.message);
	CHECK(s, count <= CAPACITY, "%llu figures", (unsigned long long)count);
	for (unsigned i = 0; i < 100; i++)
		subject_put(s, key_of_number(key, 1, i), slice_of_text("value"), SB_NO_EXPIRY);

	memset(stats, UNTOUCHED, sizeof(stats));
	status = SUBJECT_CALL(s, stats, s->backend, count, stats, &again, &err);
	CHECK(s, status == SB_OK && again == count, "stats: status %d, %llu figures, then %llu", status,
	      (unsigned long long)count, (unsigned long long)again);
	CHECK(s, is_untouched(&stats[count]), "stats wrote beyond the room it had");
	for (uint64_t i = 0; i < count; i++) {
		check_figure(s, &stats[i]);
		for (uint64_t j = 0; j < i; j++)
			CHECK(s, strcmp(stats[i].name, stats[j].name) != 0, "two figures are called %s", stats[i].name);
	}
	if (count < 2)
		return;
	memset(stats, UNTOUCHED, sizeof(stats));
	status = SUBJECT_CALL(s, stats, s->backend, 1, stats, &again, &err);
	CHECK(s, status == SB_OK && again == count, "stats with room for one: status %d", status);
	CHECK(s, is_untouched(&stats[1]), "stats wrote beyond the room it had");
}

/* --- the process around it ----------------------------------------------------------- */

/* A life in short: open, some of everything, close. */
static void live(void *arg)
{
	struct subject *s = arg;
	struct storm *storm;

	subject_open(s);
	storm = storm_new(s, 100, 500);
	storm_run(storm, 60);
	storm_free(storm);
	subject_check_all(s);
	subject_close(s);
	model_clear(&s->model);
}

void case_the_process_is_left_alone(struct subject *s)
{
	subject_close(s);
	for (unsigned i = 0; i < 3; i++)
		live(s);
	process_must_be_alike(s->trial, &s->before);
	subject_open(s);
}

void case_nothing_is_printed(struct subject *s)
{
	struct process_state now;

	subject_close(s);
	live(s);
	process_look(s->trial, &now);
	CHECK(s, now.printed_bytes == 0, "it printed %llu bytes on the standard streams, which are not its own",
	      (unsigned long long)now.printed_bytes);
	subject_open(s);
}

/* Dice go back, so that each life is the same. */
static void live_again(void *arg)
{
	struct subject *s = arg;

	rng_init(&s->rng, s->trial->seed);
	live(s);
}

static void must_not_grow(struct subject *s, enum process_leak leak)
{
	subject_close(s);
	process_must_not_grow(s->trial, leak, "a life from open to close", live_again, s);
	subject_open(s);
}

void case_memory_is_given_back(struct subject *s)
{
	must_not_grow(s, LEAK_MEMORY);
}

void case_descriptors_are_closed(struct subject *s)
{
	must_not_grow(s, LEAK_DESCRIPTORS);
}

void case_threads_end(struct subject *s)
{
	must_not_grow(s, LEAK_THREADS);
}

/* A directory that is not there: whoever needs it fails, and must have given back what it had by then. */
static void fail_to_open(void *arg)
{
	struct subject *s = arg;
	sb_error err = ERROR_INIT;

	if (subject_open_at(s, "/nonexistent/sbhost", 0, &err) == SB_OK) {
		subject_close(s);
		return;
	}
	CHECK(s, strstr(err.message, "did not say why") == NULL, "%s", err.message);
}

void case_an_open_that_fails_leaves_nothing(struct subject *s)
{
	subject_close(s);
	process_must_not_grow(s->trial, LEAK_MEMORY, "an open that fails", fail_to_open, s);
	process_must_not_grow(s->trial, LEAK_DESCRIPTORS, "an open that fails", fail_to_open, s);
	process_must_not_grow(s->trial, LEAK_THREADS, "an open that fails", fail_to_open, s);
	subject_open(s);
}
