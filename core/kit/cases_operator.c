/* Operators: what they must keep whatever they compute. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/slice.h"
#include "kit/bench.h"
#include "kit/other_host.h"

#define EVENTS 600

static void check_same(struct bench *b, struct hash128 a, struct hash128 other, const char *what)
{
	if (a.low != other.low || a.high != other.high)
		trial_fail(b->trial, "state and records differ %s", what);
}

static struct hash128 run_all(struct bench *b, const struct events *events, uint64_t step)
{
	bench_clear(b);
	bench_run(b, events->events, events->count, step);
	return bench_digest(b);
}

static void reopen(struct bench *b)
{
	bench_close(b);
	bench_must_open(b);
}

/* --- events ------------------------------------------------------------------------- */

/* An operator may say of an event that it cannot accept it; that stops the job, so it is worth a warning. */
void case_valid_events_are_processed(struct bench *b)
{
	char refused[WITNESS_SENTENCE_BYTES] = "";
	struct events events;

	events_make(b, &events, EVENTS, true);
	for (uint64_t at = 0; at < events.count; at += 16) {
		sb_error err = ERROR_INIT;
		const uint64_t n = events.count - at < 16 ? events.count - at : 16;
		const int32_t status = bench_process(b, events.events + at, n, &err);

		if (status == SB_OK)
			continue;
		subject_check_error(b->trial, "process", status, &err);
		if (status != SB_ERR_DATA)
			trial_fail(b->trial, "process of valid events: status %d, %s", status, err.message);
		snprintf(refused, sizeof(refused), "%s", err.message);
	}
	events_done(&events);
	if (refused[0])
		trial_warn(b->trial, "it refuses events that its declaration allows, which stops a job: %s", refused);
}

void case_batches_may_be_split_anywhere(struct bench *b)
{
	static const uint64_t steps[] = {1, 7, 64, 333};
	struct hash128 whole;
	struct events events;

	events_make(b, &events, EVENTS, false);
	whole = run_all(b, &events, EVENTS);
	for (unsigned i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		char what[64];

		snprintf(what, sizeof(what), "when %d events come in batches of %" PRIu64, EVENTS, steps[i]);
		reopen(b);
		check_same(b, whole, run_all(b, &events, steps[i]), what);
	}
	events_done(&events);
}

void case_the_same_events_give_the_same_result(struct bench *b)
{
	struct hash128 first;
	struct events events;

	events_make(b, &events, EVENTS, false);
	first = run_all(b, &events, 50);
	for (unsigned i = 0; i < 3; i++) {
		reopen(b);
		b->clock.now_ns += INT64_C(86400000000000); /* a replay happens later */
		check_same(b, first, run_all(b, &events, 50), "when the same events come a day later");
	}
	events_done(&events);
}

void case_operators_know_nothing_of_each_other(struct bench *b)
{
	struct bench other;
	struct hash128 alone;
	struct events events;

	events_make(b, &events, EVENTS, false);
	alone = run_all(b, &events, 20);
	reopen(b);
	bench_clear(b);
	bench_init(&other, b->trial);
	for (uint64_t at = 0; at < events.count; at += 20) {
		bench_run(b, events.events + at, 20, 20);
		bench_run(&other, events.events + events.count - 20 - at, 20, 20);
	}
	check_same(b, alone, bench_digest(b), "when another instance is at work");
	bench_done(&other);
	events_done(&events);
}

/* The bench holds every call against the declaration. */
void case_calls_name_what_is_declared(struct bench *b)
{
	struct events events;

	events_make(b, &events, EVENTS, false);
	run_all(b, &events, 33);
	events_done(&events);
}

void case_records_fit_their_fields(struct bench *b)
{
	struct events events;

	events_make(b, &events, EVENTS, false);
	run_all(b, &events, 100);
	events_done(&events);
}

/* --- snapshots ------------------------------------------------------------------------ */

struct writing {
	sb_writer writer;
	struct buffer bytes;
	uint64_t calls, fail_at; /* the call that fails, from 1; 0: none */
};

static int32_t write_part(sb_writer *writer, sb_slice bytes, sb_error *err)
{
	struct writing *w = writer->context;

	if (++w->calls == w->fail_at)
		return error_set(err, SB_ERR_NO_SPACE, "the kit's writer is full");
	buffer_append_slice(&w->bytes, bytes);
	return buffer_check(&w->bytes, err);
}

static int32_t snapshot(struct bench *b, struct writing *w, sb_error *err)
{
	w->writer = (sb_writer){.struct_size = sizeof(sb_writer), .context = w, .write = write_part};
	w->calls = 0;
	instance_expect(err);
	return CALL(b->trial->witness, &b->component->operator, snapshot, b->instance->operator, & w->writer, err);
}

static void must_snapshot(struct bench *b, struct writing *w)
{
	sb_error err = ERROR_INIT;

	memset(w, 0, sizeof(*w));
	if (snapshot(b, w, &err) != SB_OK)
		trial_fail(b->trial, "snapshot: %s", err.message);
}

static int32_t restore(struct bench *b, uint64_t n, const sb_slice *parts, sb_error *err)
{
	instance_expect(err);
	return CALL(b->trial->witness, &b->component->operator, restore, b->instance->operator, n, parts, err);
}

static void must_restore(struct bench *b, uint64_t n, const sb_slice *parts)
{
	sb_error err = ERROR_INIT;

	if (restore(b, n, parts, &err) != SB_OK)
		trial_fail(b->trial, "restore of %" PRIu64 " parts: %s", n, err.message);
}

/* Half of the events, a new instance, the other half: keyed state stays, as the host restores it by itself. */
void case_a_snapshot_brings_everything_back(struct bench *b)
{
	const uint64_t half = EVENTS / 2;
	struct hash128 whole;
	struct events events;
	struct writing w;
	sb_slice part;

	events_make(b, &events, EVENTS, false);
	whole = run_all(b, &events, 30);
	reopen(b);
	bench_clear(b);
	bench_run(b, events.events, half, 30);
	must_snapshot(b, &w);
	reopen(b);
	part = buffer_slice(&w.bytes);
	must_restore(b, 1, &part);
	bench_run(b, events.events + half, EVENTS - half, 30);
	check_same(b, whole, bench_digest(b), "when the job is stopped and restored half way");
	buffer_done(&w.bytes);
	events_done(&events);
}

void case_a_writer_that_fails_fails_the_snapshot(struct bench *b)
{
	struct events events;
	struct writing w;
	uint64_t calls;

	events_make(b, &events, 100, false);
	run_all(b, &events, 30);
	must_snapshot(b, &w);
	calls = w.calls;
	for (uint64_t at = 1; at <= calls && at <= 50; at++) {
		sb_error err = ERROR_INIT;
		int32_t status;

		w.fail_at = at;
		status = snapshot(b, &w, &err);
		if (status == SB_OK)
			trial_fail(b->trial,
				   "write %" PRIu64 " of %" PRIu64 " failed, and snapshot says that all is well", at,
				   calls);
		subject_check_error(b->trial, "snapshot", status, &err);
	}
	/* It can go on, and be asked again. */
	bench_run(b, events.events, events.count, 30);
	w.fail_at = 0;
	buffer_clear(&w.bytes);
	if (calls) {
		sb_error err = ERROR_INIT;

		if (snapshot(b, &w, &err) != SB_OK)
			trial_fail(b->trial, "snapshot after one that failed: %s", err.message);
	}
	buffer_done(&w.bytes);
	events_done(&events);
}

/* It may refuse them, or make of them what it can, and must live. */
static void restore_damaged(struct bench *b, sb_slice part)
{
	sb_error err = ERROR_INIT;
	int32_t status;

	reopen(b);
	status = restore(b, 1, &part, &err);
	if (status != SB_OK)
		subject_check_error(b->trial, "restore", status, &err);
}

void case_damaged_snapshots_are_survived(struct bench *b)
{
	struct events events;
	struct writing w;
	sb_slice whole;

	events_make(b, &events, 200, false);
	run_all(b, &events, 30);
	must_snapshot(b, &w);
	whole = buffer_slice(&w.bytes);
	for (uint64_t len = 0; len < whole.len; len += 1 + whole.len / 64) {
		/* Memory of exactly that length, so that a look beyond it is seen. */
		uint8_t *cut = malloc(len ? len : 1);

		if (!cut)
			trial_fail(b->trial, "out of memory");
		if (len)
			memcpy(cut, whole.ptr, len);
		restore_damaged(b, slice_of(len ? cut : NULL, len));
		free(cut);
	}
	for (unsigned i = 0; i < 64 && whole.len; i++) {
		const uint64_t at = rng_below(&b->rng, whole.len);
		const uint8_t bit = (uint8_t)(1u << rng_below(&b->rng, 8));

		w.bytes.data[at] ^= bit;
		restore_damaged(b, whole);
		w.bytes.data[at] ^= bit;
	}
	buffer_done(&w.bytes);
	events_done(&events);
}

/* With another number of tasks an instance takes over none or several of the former ones' parts. */
void case_parts_may_be_none_or_several(struct bench *b)
{
	struct events events;
	struct writing w[3];
	sb_slice parts[3];

	events_make(b, &events, 300, false);
	for (unsigned i = 0; i < 3; i++) {
		reopen(b);
		bench_run(b, events.events + 100 * i, 100, 25);
		must_snapshot(b, &w[i]);
		parts[i] = buffer_slice(&w[i].bytes);
	}
	for (unsigned n = 0; n <= 3; n++) {
		reopen(b);
		must_restore(b, n, parts);
		bench_run(b, events.events, 50, 25);
	}
	for (unsigned i = 0; i < 3; i++)
		buffer_done(&w[i].bytes);
	events_done(&events);
}

/* --- the ABI, options, the process ---------------------------------------------------- */

void case_an_operator_knows_no_other_extensions(struct bench *b)
{
	static const char *const ids[] = {"sb.nothing/1", "x", ""};

	for (unsigned i = 0; b->component->operator.extension && i<sizeof(ids) / sizeof(ids[0]); i++)
		if (b->component->operator.extension(ids[i]))
			trial_fail(b->trial, "it answers to the extension \"%s\", which nobody has defined", ids[i]);
}

struct later_config {
	sb_operator_config known;
	uint64_t later[8];
};

void case_a_newer_host_is_fine_for_operators(struct bench *b)
{
	struct later_config config = {.known = {.struct_size = sizeof(config),
						.task = &b->task,
						.instance = "operator-0",
						.options = b->options.values,
						.option_count = b->options.count}};
	sb_operator *kept = b->instance->operator;
	sb_error err = ERROR_INIT;
	struct other_host host;
	struct events events;
	int32_t status;

	memset(config.later, 0xDB, sizeof(config.later));
	other_host_init(&host, true, b->trial->seed);
	config.known.host = &host.known;
	b->task.struct_size = sizeof(sb_task) + 64;
	events_make(b, &events, 100, false);
	CALL_VOID(b->trial->witness, &b->component->operator, close, kept);
	status = CALL(b->trial->witness, &b->component->operator, open, &config.known, &b->instance->operator, & err);
	if (status != SB_OK)
		trial_fail(b->trial, "open: status %d, %s", status, err.message);
	bench_run(b, events.events, events.count, 10);
	CALL_VOID(b->trial->witness, &b->component->operator, close, b->instance->operator);
	b->instance->operator= NULL;
	b->task.struct_size = sizeof(sb_task);
	reopen(b);
	events_done(&events);
}

static void live(void *arg)
{
	struct bench *b = arg;
	struct events events;
	struct writing w;

	rng_init(&b->rng, b->trial->seed);
	bench_must_open(b);
	events_make(b, &events, 60, false);
	run_all(b, &events, 10);
	if (b->component->operator.snapshot) {
		must_snapshot(b, &w);
		buffer_done(&w.bytes);
	}
	events_done(&events);
	bench_close(b);
}

static void must_not_grow(struct bench *b, enum process_leak leak)
{
	bench_close(b);
	process_must_not_grow(b->trial, leak, "a life from open to close", live, b);
	bench_must_open(b);
}

void case_an_operator_gives_memory_back(struct bench *b)
{
	must_not_grow(b, LEAK_MEMORY);
}

void case_an_operator_closes_descriptors(struct bench *b)
{
	must_not_grow(b, LEAK_DESCRIPTORS);
}

void case_an_operator_ends_threads(struct bench *b)
{
	must_not_grow(b, LEAK_THREADS);
}

void case_an_operator_leaves_the_process_alone(struct bench *b)
{
	bench_close(b);
	live(b);
	process_must_be_alike(b->trial, &b->before);
	bench_must_open(b);
}

void case_an_operator_prints_nothing(struct bench *b)
{
	struct process_state now;

	bench_close(b);
	live(b);
	process_look(b->trial, &now);
	if (now.printed_bytes)
		trial_fail(b->trial, "it printed %llu bytes on the standard streams, which are not its own",
			   (unsigned long long)now.printed_bytes);
	bench_must_open(b);
}
