/* What the kit's bench holds an operator's calls against: each call that does not fit what the operator declares is a verdict with a sentence. The zoo
 * has an operator for each rule; here are all ways to break one, by calls of the test's own. */
#include <criterion/criterion.h>
#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include "base/slice.h"
#include "conformance/profiles.h"
#include "kit/bench.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define OPERATOR SB_BUILD_DIR "/tests/zoo/libgood_operator.so"

/* Of the zoo's operator: state 0 is a struct, state 1 is raw; it emits a string, an f64 and an i64. */
enum { COUNT_STATE, NOTES_STATE, STATES };

static struct bench bench;
static struct trial trial;
static struct witness *witness;
static struct events events;
static struct io io;
static jmp_buf verdict;

static void take_verdict(const struct trial *ended)
{
	(void)ended;
	longjmp(verdict, 1);
}

static void set_up(void)
{
	io_init_system(&io);
	witness = witness_new();
	trial = (struct trial){.plugin = OPERATOR,
			       .plugin_dir = SB_PLUGIN_DIR,
			       .seed = 1,
			       .dir = "/tmp",
			       .io = &io,
			       .witness = witness,
			       .end = take_verdict};
	cr_assert_eq(setjmp(verdict), 0, "%s", witness->sentence);
	bench_init(&bench, &trial);
	events_make(&bench, &events, 4, false);
	bench.events = events.events;
	bench.event_count = 2;
}

static void tear_down(void)
{
	events_done(&events);
	bench_done(&bench);
	witness_free(witness);
}

TestSuite(kit_bench, .init = set_up, .fini = tear_down);

/* --- calls that do not fit ----------------------------------------------------------- */

static int32_t emit(const sb_value *user, sb_value sum)
{
	const sb_value record[3] = {*user, sum, {.as = {.i64 = 1}}};

	return bench.task.emit(&bench.task, 0, record);
}

static const sb_value ann = {.as = {.ptr = (const uint8_t *)"ann"}, .len = 3};
static const sb_value one = {.as = {.f64 = 1}};

#define MISTAKE(name, call)                                                                                            \
	static void name(void)                                                                                         \
	{                                                                                                              \
		call;                                                                                                  \
	}

MISTAKE(upsert_of_an_unknown_state, bench.task.state_upsert(&bench.task, STATES, 0, NULL))
MISTAKE(upsert_of_a_raw_state, bench.task.state_upsert(&bench.task, NOTES_STATE, 0, NULL))
MISTAKE(upsert_for_no_event, bench.task.state_upsert(&bench.task, COUNT_STATE, 2, NULL))
MISTAKE(upsert_outside, (bench.events = NULL, bench.task.state_upsert(&bench.task, COUNT_STATE, 0, NULL)))
MISTAKE(peek_at_an_unknown_state, bench.task.state_peek(&bench.task, 9, 0))
MISTAKE(deletion_for_no_event, bench.task.state_delete(&bench.task, COUNT_STATE, 7))
MISTAKE(put_into_a_struct_state,
	bench.task.raw_put(&bench.task, COUNT_STATE, 0, slice_of_text("s"), slice_of_text("v"), 0))
MISTAKE(put_under_a_long_sub_key,
	bench.task.raw_put(&bench.task, NOTES_STATE, 0, slice_of("", (512u << 10) + 1), slice_of_text("v"), 0))
MISTAKE(put_under_a_sub_key_at_null,
	bench.task.raw_put(&bench.task, NOTES_STATE, 0, slice_of(NULL, 3), slice_of_text("v"), 0))
MISTAKE(put_of_a_value_at_null,
	bench.task.raw_put(&bench.task, NOTES_STATE, 0, slice_of_text("s"), slice_of(NULL, 4), 0))
MISTAKE(put_with_a_ttl_below_all,
	bench.task.raw_put(&bench.task, NOTES_STATE, 0, slice_of_text("s"), slice_of_text("v"), SB_TTL_JOB - 1))
MISTAKE(record_outside, (bench.events = NULL, emit(&ann, one)))
MISTAKE(record_for_no_event, (bench.event_count = 0, emit(&ann, one)))
MISTAKE(record_without_a_value, emit(&ann, (sb_value){.len = SB_NULL}))
MISTAKE(record_at_null, emit(&(sb_value){.len = 2}, one))
MISTAKE(record_that_is_not_utf8, emit(&(sb_value){.as = {.ptr = (const uint8_t *)"\xff\xfe"}, .len = 2}, one))
MISTAKE(record_of_no_number, emit(&ann, (sb_value){.as = {.f64 = NAN}}))

static const struct {
	void (*make)(void);
	const char *says;
} mistakes[] = {
	{upsert_of_an_unknown_state, "state_upsert names state 2, and it declares 2"},
	{upsert_of_a_raw_state, "state_upsert names state notes, which is of the other kind"},
	{upsert_for_no_event, "state_upsert names event 2 of a batch of 2"},
	{upsert_outside, "it called state_upsert outside of process()"},
	{peek_at_an_unknown_state, "state_peek names state 9"},
	{deletion_for_no_event, "state_delete names event 7"},
	{put_into_a_struct_state, "raw_put names state count, which is of the other kind"},
	{put_under_a_long_sub_key, "raw_put has a sub-key of 524289 bytes"},
	{put_under_a_sub_key_at_null, "raw_put has a sub-key of 3 bytes"},
	{put_of_a_value_at_null, "raw_put has a value of 4 bytes at NULL"},
	{put_with_a_ttl_below_all, "raw_put has ttl_ms"},
	{record_outside, "emit names event 0"},
	{record_for_no_event, "emit names event 0 of a batch of 0"},
	{record_without_a_value, "it emitted no value for sum, which is not optional"},
	{record_at_null, "what it emitted for user is not UTF-8"},
	{record_that_is_not_utf8, "what it emitted for user is not UTF-8"},
	{record_of_no_number, "what it emitted for sum is no finite number"},
};

Test(kit_bench, each_call_that_does_not_fit_is_a_verdict)
{
	for (volatile size_t i = 0; i < LENGTH(mistakes); i++) {
		witness_clear(witness);
		bench.events = events.events;
		bench.event_count = 2;
		if (setjmp(verdict) == 0) {
			mistakes[i].make();
			cr_expect(false, "mistake %zu is none to the bench: %s", i, mistakes[i].says);
			continue;
		}
		cr_expect_eq(atomic_load(&witness->verdict), VERDICT_FAILED);
		cr_expect_not_null(strstr(witness->sentence, mistakes[i].says), "mistake %zu: %s instead of %s", i,
				   witness->sentence, mistakes[i].says);
	}
}

/* --- calls that do ------------------------------------------------------------------- */

Test(kit_bench, struct_is_there_until_it_is_deleted_and_made_anew_after_that)
{
	int32_t created = -1;
	int64_t *count;

	cr_expect_null(bench.task.state_peek(&bench.task, COUNT_STATE, 0));
	cr_expect_eq(bench.task.state_delete(&bench.task, COUNT_STATE, 0), SB_OK); /* of nothing */
	count = bench.task.state_upsert(&bench.task, COUNT_STATE, 0, &created);
	cr_assert_not_null(count);
	cr_expect_eq(created, 1);
	*count = 42;
	cr_expect_eq(bench.task.state_upsert(&bench.task, COUNT_STATE, 0, &created), count);
	cr_expect_eq(created, 0);
	cr_expect_eq(bench.task.state_peek(&bench.task, COUNT_STATE, 0), count);
	cr_expect_eq(bench.task.state_delete(&bench.task, COUNT_STATE, 0), SB_OK);
	cr_expect_null(bench.task.state_peek(&bench.task, COUNT_STATE, 0));
	count = bench.task.state_upsert(&bench.task, COUNT_STATE, 0, &created);
	cr_expect_eq(created, 1);
	cr_expect_eq(*count, 0, "what was deleted has come back");
}

static int32_t note_entry(void *arg, sb_slice sub_key, sb_slice value)
{
	char *text = arg;
	const size_t len = strlen(text);

	snprintf(text + len, 64 - len, "%.*s=%.*s;", (int)sub_key.len, (const char *)sub_key.ptr, (int)value.len,
		 (const char *)value.ptr);
	return SB_OK;
}

static int32_t stop_at_once(void *arg, sb_slice sub_key, sb_slice value)
{
	(void)arg;
	(void)sub_key;
	(void)value;
	return SB_ERR_BUSY;
}

Test(kit_bench, raw_state_is_put_got_scanned_and_deleted)
{
	sb_task *task = &bench.task;
	char seen[64] = "";
	int32_t found;
	sb_slice value;

	cr_expect_eq(task->raw_get(task, NOTES_STATE, 0, slice_of_text("a1"), &value, &found), SB_OK);
	cr_expect_eq(found, 0);
	task->raw_put(task, NOTES_STATE, 0, slice_of_text("a1"), slice_of_text("x"), SB_TTL_JOB);
	task->raw_put(task, NOTES_STATE, 0, slice_of_text("a2"), slice_of_text("y"), 5);
	task->raw_put(task, NOTES_STATE, 0, slice_of_text("b"), slice_of(NULL, 0), SB_TTL_NONE);
	task->raw_get(task, NOTES_STATE, 0, slice_of_text("a1"), &value, &found);
	cr_expect(found && slice_equal(value, slice_of_text("x")));
	cr_expect_eq(task->raw_scan(task, NOTES_STATE, 0, slice_of_text("a"), note_entry, seen), SB_OK);
	cr_expect_str_eq(seen, "a1=x;a2=y;");
	cr_expect_eq(task->raw_scan(task, NOTES_STATE, 0, slice_of(NULL, 0), stop_at_once, NULL), SB_ERR_BUSY);
	task->raw_delete(task, NOTES_STATE, 0, slice_of_text("a1"));
	task->raw_get(task, NOTES_STATE, 0, slice_of_text("a1"), &value, &found);
	cr_expect_eq(found, 0);
}
