/* What is shown of a job's way: a bar where there is a terminal, lines in the log elsewhere, by a clock of the test's own and a pipeline that does
 * nothing but say how far it is. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "host/progress.h"
#include "stream/pipeline_private.h"
#include "stream/source.h"

#define SECOND_NS INT64_C(1000000000)

static struct fake_clock fake;
static struct log log_to_pipe;
static struct job_config config;
static struct pipeline pipeline;
static struct partition partition;
static struct task task;
static _Atomic int64_t position;
static int ends[2];

static void open_source(const char *options)
{
	struct source_config source = {.kind = SOURCE_GENERATOR, .clock = &fake.clock};
	sb_error err = ERROR_INIT;

	cr_assert_eq(generator_parse(options, &source.generator, &err), SB_OK, "%s", err.message);
	cr_assert_eq(source_open(&source, &partition.source, &err), SB_OK, "%s", err.message);
	cr_assert_eq(source_start(partition.source, 0, NULL, &err), SB_OK, "%s", err.message);
}

static void set_up(void)
{
	fake_clock_init(&fake, SECOND_NS);
	cr_assert_eq(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
	log_to_pipe = (struct log){.fd = ends[1], .level = SB_LOG_INFO, .clock = &fake.clock};
	config = (struct job_config){.clock = &fake.clock, .log = &log_to_pipe, .show_progress = true};
	pipeline.config.tasks = 1;
	pipeline.config.partitions = &partition;
	pipeline.config.partition_count = 1;
	pipeline.tasks = &task;
	pipeline.positions = &position;
}

static void tear_down(void)
{
	source_close(partition.source);
}

TestSuite(progress, .init = set_up, .fini = tear_down);

static const char *shown(void)
{
	static char text[4096];
	ssize_t n = read(ends[0], text, sizeof(text) - 1);

	text[n > 0 ? n : 0] = 0;
	return text;
}

static void move(struct progress *progress, int64_t ns, uint64_t events, int64_t to)
{
	fake.now_ns += ns;
	atomic_store(&task.events, events);
	atomic_store(&position, to);
	progress_show(progress, &pipeline);
}

Test(progress, bar_fills_and_tells_how_long_it_will_take)
{
	struct progress progress;
	const char *text;

	open_source("users=5,rate=0,count=1000");
	config.progress_bar = true;
	progress_init(&progress, &config);
	move(&progress, 0, 0, 0);
	cr_expect_str_empty(shown(), "it is too early");
	move(&progress, SECOND_NS, 500, 500);
	text = shown();
	cr_expect_not_null(strstr(text, "[###############...............]  50.0%  500 events  500/s  0:01 left"), "%s",
			   text);
	progress_clear(&progress);
	cr_expect_str_eq(shown(), "\r\033[K");
	progress_clear(&progress);
	cr_expect_str_empty(shown(), "there is no bar any more");
}

Test(progress, bar_without_an_end_tells_how_fast_it_goes)
{
	struct progress progress;
	const char *text;

	open_source("users=5,rate=0");
	config.progress_bar = true;
	progress_init(&progress, &config);
	move(&progress, 0, 0, 0);
	move(&progress, SECOND_NS / 2, 10, 10);
	text = shown();
	cr_expect_not_null(strstr(text, "10 events  20/s"), "%s", text);
	cr_expect_null(strstr(text, "left"), "%s", text);
	cr_expect_null(strstr(text, "%"), "%s", text);
}

Test(progress, log_gets_a_line_every_few_seconds)
{
	struct progress progress;
	const char *text;

	open_source("users=5,rate=0,count=1000");
	progress_init(&progress, &config);
	cr_expect_eq(progress_due_ns(&progress), 6 * SECOND_NS);
	move(&progress, SECOND_NS, 100, 100);
	cr_expect_str_empty(shown(), "it is too early");
	move(&progress, 4 * SECOND_NS, 500, 500);
	text = shown();
	cr_expect_not_null(strstr(text, "events=500 events_per_s=100 position=500 total=1000 seconds_left="), "%s",
			   text);
	cr_expect_eq(progress_due_ns(&progress), 11 * SECOND_NS);
}

Test(progress, line_without_an_end_and_a_standstill)
{
	struct progress progress;
	const char *text;

	open_source("users=5,rate=0");
	progress_init(&progress, &config);
	move(&progress, 5 * SECOND_NS, 0, 0);
	text = shown();
	cr_expect_not_null(strstr(text, "events=0 events_per_s=0 position=0"), "%s", text);
	cr_expect_null(strstr(text, "seconds_left"), "%s", text);
}

Test(progress, nothing_is_shown_to_who_does_not_ask_but_the_end)
{
	struct progress progress;
	const char *text;

	open_source("users=5,rate=0");
	config.show_progress = false;
	progress_init(&progress, &config);
	cr_expect_eq(progress_due_ns(&progress), INT64_MAX);
	move(&progress, 60 * SECOND_NS, 30, 30);
	cr_expect_str_empty(shown());
	progress_summarize(&progress, &pipeline);
	text = shown();
	cr_expect_not_null(strstr(text, "Finished  events=30 bad_records=0 seconds=60.000"), "%s", text);
}

Test(progress, job_that_took_no_time_has_no_pace)
{
	struct progress progress;
	const char *text;

	open_source("users=5,rate=0");
	progress_init(&progress, &config);
	progress_summarize(&progress, &pipeline);
	text = shown();
	cr_expect_not_null(strstr(text, "seconds=0.000 events_per_s=0"), "%s", text);
}
