/* See profile_report.h. Shares are of the time from the start of the threads to their end, nanoseconds those of all
 * tasks together for each event. The processor's row is what the system says of the thread: it lacks the time
 * in which others had the processor, which the stages cannot know of. */
#include "host/profile_report.h"

#include <stdio.h>
#include <unistd.h>

#include "base/table.h"

struct report {
	const struct log *log;
	struct table table; /* LOG_TEXT */
	int64_t elapsed_ns;
	uint64_t events;
};

static void add_row(struct report *r, const char *thread, const char *stage, int64_t ns, uint32_t threads)
{
	const double seconds = (double)ns / 1e9;
	const double share = r->elapsed_ns ? 100.0 * (double)ns / (double)r->elapsed_ns / threads : 0;
	const double ns_per_event = r->events ? (double)ns / (double)r->events : 0;

	if (r->log->format != LOG_TEXT) {
		LOG(r->log, SB_LOG_INFO, "Profile", LOG_S("thread", thread), LOG_S("stage", stage),
		    LOG_F("seconds", seconds, 3), LOG_F("share", share, 1), LOG_F("ns_per_event", ns_per_event, 1));
		return;
	}
	table_cell(&r->table, "%s", thread);
	table_cell(&r->table, "%s", stage);
	table_cell(&r->table, "%.3f", seconds);
	table_cell(&r->table, "%.1f%%", share);
	table_cell(&r->table, "%.1f", ns_per_event);
}

static const char *const stage_names[PROFILE_STAGES] = {
	[PROFILE_READ] = "read",     [PROFILE_DECODE] = "decode",	  [PROFILE_WAIT] = "wait",
	[PROFILE_STATE] = "state",   [PROFILE_OPERATOR] = "operator",	  [PROFILE_ENCODE] = "encode",
	[PROFILE_OUTPUT] = "output", [PROFILE_CHECKPOINT] = "checkpoint", [PROFILE_IDLE] = "idle",
};

#define READER_STAGES                                                                                                  \
	(1u << PROFILE_READ | 1u << PROFILE_DECODE | 1u << PROFILE_WAIT | 1u << PROFILE_CHECKPOINT | 1u << PROFILE_IDLE)
#define TASK_STAGES (((1u << PROFILE_STAGES) - 1) & ~(1u << PROFILE_READ | 1u << PROFILE_DECODE))

static void add_thread(struct report *r, const char *thread, uint32_t stages, const struct profile *profile,
		       uint32_t threads)
{
	for (unsigned i = 0; i < PROFILE_STAGES; i++)
		if (stages >> i & 1)
			add_row(r, thread, stage_names[i], profile->ns[i], threads);
	add_row(r, thread, "processor", profile->cpu_ns, threads);
}

static void write_table(const struct report *r, uint64_t checkpoints)
{
	struct buffer text = BUFFER_INIT;
	ssize_t n;

	buffer_printf(&text, "\nProfile: %llu events in %.3f s, %.0f a second; %llu checkpoints\n",
		      (unsigned long long)r->events, (double)r->elapsed_ns / 1e9,
		      r->elapsed_ns ? (double)r->events * 1e9 / (double)r->elapsed_ns : 0.0,
		      (unsigned long long)checkpoints);
	table_append(&r->table, "  ", &text);
	if (!text.failed) {
		n = write(r->log->fd, text.data, text.len);
		(void)n; /* nobody reads it: no reason to fail a job that is done */
	}
	buffer_done(&text);
}

void profile_report(const struct job_config *config, const struct pipeline *pipeline, uint64_t checkpoints,
		    int64_t checkpoint_ns)
{
	static const char *const titles[] = {"THREAD", "STAGE", "SECONDS", "SHARE", "NS/EVENT"};
	struct report r = {.log = config->log, .table = {.columns = 5, .right = 0x1c}};
	struct pipeline_profile profile;
	char tasks[32];

	pipeline_get_profile(pipeline, &profile);
	r.elapsed_ns = profile.elapsed_ns;
	r.events = profile.events;
	for (unsigned i = 0; i < 5; i++)
		table_cell(&r.table, "%s", titles[i]);
	if (config->parallelism == 1)
		snprintf(tasks, sizeof(tasks), "task");
	else
		snprintf(tasks, sizeof(tasks), "%u tasks", config->parallelism);
	add_thread(&r, "reader", READER_STAGES, &profile.reader, 1);
	add_thread(&r, tasks, TASK_STAGES, &profile.tasks, config->parallelism);
	add_row(&r, "checkpoints", "write", checkpoint_ns, 1);
	if (r.log->format == LOG_TEXT)
		write_table(&r, checkpoints);
	table_done(&r.table);
}
