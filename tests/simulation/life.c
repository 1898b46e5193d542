/* See life.h. */
#include "simulation/life.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "host/job.h"
#include "simulation/backend_calls.h"
#include "simulation/bugs.h"
#include "simulation/system_calls.h"
#include "simulation/trace.h"

#define START_CALLS 70u /* about so many calls on files come before the first record */
#define START_POINTS 150u
#define WALL_OFFSET_NS INT64_C(1764000000000000000)

/* ---- what is to happen ---- */

/* From 1 to limit, small ones as often as large ones. */
static uint64_t draw_magnitude(struct rng *rng, uint64_t limit)
{
	uint64_t bound = limit;

	while (bound > 8 && rng_chance(rng, 50))
		bound /= 4;
	return 1 + rng_below(rng, bound);
}

static void draw_schedule(struct life *life, struct rng *rng)
{
	static const unsigned percents[] = {100, 50, 10, 2};
	static const int64_t steps_ns[] = {1000, 10000, 50000, 300000};
	static const unsigned idle_percents[] = {0, 3, 10, 40};

	life->scheduler = (struct scheduler_config){
		.seed = rng_next(rng),
		.by_priority = rng_chance(rng, 40),
		.switch_percent = percents[rng_below(rng, 4)],
		.changes = 1 + (unsigned)rng_below(rng, 20),
		.step_ns = steps_ns[rng_below(rng, 4)],
		.spurious_percent = rng_chance(rng, 30) ? 2 : 0,
	};
	life->feed_every = 1 + rng_below(rng, 60);
	life->feed_bytes = 1 + rng_below(rng, rng_chance(rng, 50) ? 60 : 6000);
	life->idle_percent = idle_percents[rng_below(rng, 4)];
}

static void add_option(struct life *life, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add_option(struct life *life, const char *format, ...)
{
	va_list arguments;

	if (life->option_count == LIFE_OPTIONS_MAX)
		abort();
	va_start(arguments, format);
	vsnprintf(life->options[life->option_count++], LIFE_OPTION_BYTES, format, arguments);
	va_end(arguments);
}

/* Only faults that are reported: against a backend that lies there is no defence. */
static void draw_backend_faults(struct life *life, struct rng *rng)
{
	static const char *const calls[] = {"fail_multi_get", "fail_write_batch", "fail_iter_open",
					    "fail_iter_next", "fail_maintain",	  "torn_batch"};
	static const char *const errors[] = {"io", "no-space", "no-memory", "busy", "corrupt"};

	life->backend_fails = true;
	add_option(life, "error=%s", errors[rng_below(rng, 5)]);
	for (unsigned i = 0; i < 6; i++)
		if (rng_chance(rng, 40))
			add_option(life, "%s=0.0%u", calls[i], 1 + (unsigned)rng_below(rng, 9));
}

static void draw_backend(struct life *life, struct rng *rng, bool calm)
{
	static const char *const backends[] = {SB_PLUGIN_DIR "/libmemory_backend.so",
					       SB_TEST_PLUGIN_DIR "/liblist_backend.so",
					       SB_PLUGIN_DIR "/libfault_backend.so"};
	unsigned which = (unsigned)rng_below(rng, 5);

	life->backend = backends[which < 2 ? which : which == 2 ? 0 : 2];
	if (which < 3)
		return;
	life->with_files = rng_chance(rng, 60);
	add_option(life, "seed=%u", 1 + (unsigned)rng_below(rng, 1u << 30));
	add_option(life, "inner=%s", backends[rng_chance(rng, 25)]);
	if (rng_chance(rng, 50)) { /* points within its calls */
		add_option(life, "delay=1ms");
		add_option(life, "delay_chance=0.%u", 1 + (unsigned)rng_below(rng, 9));
	}
	if (!calm && rng_chance(rng, 30))
		draw_backend_faults(life, rng);
}

static void draw_job(struct life *life, struct rng *rng)
{
	static const int64_t intervals_ms[] = {1, 1, 2, 5, 30};
	static const uint64_t caches[] = {0, 2048, 65536, 16 << 20};

	life->full = rng_chance(rng, 25);
	life->metrics = rng_chance(rng, 20);
	life->parallelism = 1 + (uint32_t)rng_below(rng, 4);
	life->keep = 1 + rng_below(rng, 4);
	life->cache_bytes = caches[rng_below(rng, 4)];
	life->max_failed = rng_below(rng, 4);
	life->interval_ms = intervals_ms[rng_below(rng, 5)];
	life->codec = (unsigned)rng_below(rng, 3);
}

static void draw_faults(struct life *life, struct rng *rng)
{
	static const int codes[] = {EIO, ENOSPC, EINTR, EMFILE, DISK_SHORT, DISK_SHORT};

	life->faults.first = (rng_chance(rng, 40) ? 0 : START_CALLS) + draw_magnitude(rng, 400);
	life->faults.count = rng_chance(rng, 70) ? 1 : 1 + rng_below(rng, 40);
	life->faults.code = codes[rng_below(rng, 6)];
}

static void draw_end(struct life *life, struct rng *rng)
{
	const bool at_start = rng_chance(rng, 15);
	static const enum disk_cut cuts[] = {CUT_NOTHING, CUT_ALL, CUT_SOME, CUT_SOME};

	life->cut = cuts[rng_below(rng, 4)];
	switch (rng_below(rng, 6)) {
	case 0:
	case 1:
		life->scheduler.crash_at = (at_start ? 0 : START_POINTS) + draw_magnitude(rng, 8000);
		break;
	case 2:
	case 3:
		life->faults.crash_at = (at_start ? 0 : START_CALLS) + draw_magnitude(rng, 400);
		life->faults.crash_behind = rng_chance(rng, 50);
		break;
	case 4:
		life->terminate_at = draw_magnitude(rng, 4000);
		break;
	default:
		break;
	}
}

void life_draw(struct life *life, struct rng *rng, bool calm)
{
	*life = (struct life){0};
	draw_schedule(life, rng);
	draw_job(life, rng);
	draw_backend(life, rng, calm);
	if (rng_chance(rng, 20)) {
		life->shift_wall_at = draw_magnitude(rng, 3000);
		life->wall_shift_ns = (int64_t)rng_below(rng, 7200) * 1000000000 - INT64_C(3600000000000);
	}
	if (calm)
		return;
	draw_end(life, rng);
	if (rng_chance(rng, 25))
		draw_faults(life, rng);
}

void life_print(const struct life *life)
{
	const struct scheduler_config *scheduler = &life->scheduler;

	printf("run: %s", strrchr(life->backend, '/') + 1);
	for (unsigned i = 0; i < life->option_count; i++)
		printf(" %s", life->options[i]);
	printf("%s parallelism=%u %s codec=%u keep=%" PRIu64 " cache=%" PRIu64 " interval=%" PRId64 "ms idle=%u%%\n",
	       life->with_files ? " with files" : "", life->parallelism, life->full ? "full" : "incremental",
	       life->codec, life->keep, life->cache_bytes, life->interval_ms, life->idle_percent);
	printf("     by %s (%u%%, %u changes), step %" PRId64 " ns, crash at point %" PRIu64 " or call %" PRIu64
	       " with cut %d, calls %" PRIu64 " to %" PRIu64 " fail (%d), stop at %" PRIu64 "\n",
	       scheduler->by_priority ? "priority" : "chance", scheduler->switch_percent, scheduler->changes,
	       scheduler->step_ns, scheduler->crash_at, life->faults.crash_at, (int)life->cut, life->faults.first,
	       life->faults.first + life->faults.count, life->faults.code, life->terminate_at);
}

/* ---- the run ---- */

struct run {
	const struct life *life;
	const struct oracle *oracle;
	bool event_time;
	enum job_end end;
	sb_error error;
};

static const struct life *current; /* for at_point, which has no context */

static void at_point(uint64_t point)
{
	if (point == current->terminate_at)
		system_calls_terminate();
	if (point % current->feed_every == 0)
		system_calls_feed_stream(current->feed_bytes);
	if (point == current->shift_wall_at)
		system_calls_shift_wall(current->wall_shift_ns);
}

static void run_job(void *argument)
{
	struct run *run = argument;
	const struct life *life = run->life;
	const struct input *input = run->oracle->input;
	const char *const forget[] = {"forget=7"};
	const char *options[LIFE_OPTIONS_MAX];
	struct job_input inputs[PARTITIONS_MAX];
	struct log log = {.fd = SIM_LOG_FD, .level = SB_LOG_INFO, .clock = system_calls_clock()};
	const struct job_config config = {
		.io = disk_io(),
		.clock = system_calls_clock(),
		.log = &log,
		.plugin_dir = SB_PLUGIN_DIR,
		.backend = life->backend,
		.backend_options = options,
		.backend_option_count = life->option_count,
		.operator= SB_TEST_PLUGIN_DIR "/libcounting_operator.so",
		.operator_options = forget,
		.operator_option_count = 1,
		.inputs = inputs,
		.input_count = input->partition_count,
		.delimiter = ',',
		.output = LIFE_OUTPUT,
		.dead_letters = LIFE_DEAD_LETTERS,
		.state_dir = LIFE_STATE,
		.checkpoint_dir = LIFE_CHECKPOINTS,
		.checkpoint_interval_ms = life->interval_ms,
		.max_failed_checkpoints = life->max_failed,
		.codec = life->codec,
		.keep = life->keep,
		.full_checkpoints = life->full,
		.ttl_ms = input->ttl_ms,
		.event_time = run->event_time,
		.parallelism = life->parallelism,
		.cache_bytes = life->cache_bytes,
		.metrics_every = life->metrics ? 100 : 0,
	};

	for (unsigned i = 0; i < life->option_count; i++)
		options[i] = life->options[i];
	for (unsigned i = 0; i < input->partition_count; i++)
		inputs[i] = (struct job_input){.kind = input->partitions[i].is_stream ? SOURCE_STDIN : SOURCE_FILE,
					       .path = input->partitions[i].path};
	run->end = job_run(&config, &run->error);
}

/* Whoever sends the stream begins where the newest checkpoint ends. */
static void begin_stream(const struct input *input)
{
	const struct partition_input *stream = &input->partitions[0];
	AUTO(free_memory) struct cut_file *cut = NULL;
	char error[CUT_ERROR_BYTES];
	int64_t from = 0;

	if (!stream->is_stream)
		return;
	cut = calloc(1, sizeof(*cut));
	if (!cut)
		abort();
	if (cut_file_newest() && cut_file_read(input, cut_file_newest(), cut, error) &&
	    input_records_before(stream, cut->offsets[0]) >= 0)
		from = cut->offsets[0];
	system_calls_begin_stream(stream->text.data + from, stream->text.len - (size_t)from);
}

/* The newest checkpoint that the log tells of; counts them. */
static void read_log(struct oracle *oracle, struct life_end *end)
{
	static const char message[] = "Checkpoint created ";
	const char *text = buffer_text(system_calls_log());

	while (text && (text = strstr(text, message))) {
		uint64_t number;

		text += sizeof(message) - 1;
		if (sscanf(text, " id=checkpoint-%" SCNu64, &number) == 1) {
			end->checkpoints++;
			if (number > oracle->reported)
				oracle->reported = number;
		}
	}
}

static bool judge_end(const struct run *run, struct oracle *oracle, const struct life_end *end)
{
	const bool may_fail = end->failures || run->life->backend_fails;

	if (end->end == SIM_DEADLOCK || end->end == SIM_ENDLESS)
		snprintf(oracle->error, sizeof(oracle->error), "%s after %" PRIu64 " points",
			 end->end == SIM_DEADLOCK ? "nobody can run" : "the job does not end", end->points);
	else if (end->end == SIM_DONE && !end->done && !may_fail)
		snprintf(oracle->error, sizeof(oracle->error), "the job failed, though nothing else did: %.400s",
			 run->error.message);
	else
		return true;
	return false;
}

bool life_run(const struct life *life, struct oracle *oracle, bool event_time, struct rng *rng,
	      struct life_end *ret_end)
{
	struct run run = {.life = life, .oracle = oracle, .event_time = event_time, .error = ERROR_INIT};
	struct scheduler_config scheduler = life->scheduler;

	scheduler.at_point = at_point;
	current = life;
	bug_begin_run();
	backend_calls_begin(life->with_files);
	disk_io_begin(&life->faults);
	system_calls_begin(WALL_OFFSET_NS, life->idle_percent);
	begin_stream(oracle->input);
	*ret_end = (struct life_end){.end = scheduler_run(&scheduler, run_job, &run)};
	ret_end->done = ret_end->end == SIM_DONE && run.end == JOB_DONE;
	ret_end->points = scheduler_points();
	ret_end->failures = disk_io_failed();
	ret_end->terminated = life->terminate_at && ret_end->points >= life->terminate_at;
	disk_stop(ret_end->end == SIM_CRASHED ? life->cut : CUT_NOTHING, rng);
	read_log(oracle, ret_end);
	return judge_end(&run, oracle, ret_end) && oracle_check(oracle, ret_end->done && !ret_end->terminated);
}
