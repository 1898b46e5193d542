/* The controlling thread: signals, the checkpoint timer, results, progress. It waits in one poll and decides; the work is
 * done elsewhere.
 *
 * A job that ends well (input ended, limit reached, first signal) ends with a final checkpoint, so nothing is repeated at the next
 * start. The first signal also gives both back their default action: a second one ends the process at once. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/error.h"
#include "host/job_private.h"
#include "host/profile_report.h"
#include "host/progress.h"

enum phase { RUNNING, STOPPING, FINAL_CHECKPOINT, FINISHED };

struct control {
	struct job *job;
	int signal_fd;
	enum phase phase;
	int64_t next_checkpoint_ns;
	uint64_t failed_checkpoints; /* in a row */
	uint64_t seen_at_request; /* records taken when the last checkpoint was asked for */
	uint64_t covered; /* records that the last good checkpoint covers */
	bool has_mark;
	uint64_t checkpoints; /* that succeeded */
	int64_t checkpoint_ns; /* what writing them took */
	struct progress progress;
};

static int64_t now_ns(const struct control *c)
{
	return clock_monotonic_ns(c->job->config->clock);
}

static int open_signal_fd(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGTERM);
	return signalfd(-1, set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void give_signals_back(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static void take_signal(struct control *c)
{
	struct signalfd_siginfo info;

	if (read(c->signal_fd, &info, sizeof(info)) != sizeof(info))
		return;
	progress_clear(&c->progress);
	LOG(c->job->config->log, SB_LOG_INFO, "Stopping after a final checkpoint; a second signal ends at once",
	    LOG_S("signal", sigabbrev_np((int)info.ssi_signo)));
	give_signals_back();
	notify_tell(&c->job->notify, "STOPPING=1");
	if (c->phase == RUNNING) {
		c->phase = STOPPING;
		pipeline_request_stop(c->job->pipeline);
	}
}

static uint64_t records_taken(const struct control *c)
{
	struct pipeline_progress progress;

	pipeline_get_progress(c->job->pipeline, &progress);
	return progress.decoded + progress.bad_records;
}

static void request_checkpoint(struct control *c)
{
	c->seen_at_request = records_taken(c);
	c->next_checkpoint_ns = now_ns(c) + c->job->config->checkpoint_interval_ms * 1000000;
	pipeline_request_checkpoint(c->job->pipeline);
}

/* bytes is what was written: the file, and what was copied to shared/. What was linked there, the backend had written anyhow. */
static void log_checkpoint(const struct control *c, const struct checkpoint_result *result)
{
	static const char *const kinds[] = {[CUT_ENTRIES] = "full", [CUT_CHANGES] = "delta", [CUT_FILES] = "files"};
	const struct log *log = c->job->config->log;
	const double pause_ms = (double)result->pause_ns / 1e6;
	const int64_t thaw_ms = result->thaw_ns / 1000000;
	const int64_t duration_ms = result->duration_ns / 1000000;

	if (result->mode == CUT_FILES)
		LOG(log, SB_LOG_INFO, "Checkpoint created", LOG_S("id", result->id), LOG_S("kind", kinds[result->mode]),
		    LOG_I("files", result->files), LOG_I("files_reused", result->files_reused),
		    LOG_I("bytes", result->file_bytes + result->copied_bytes),
		    LOG_I("bytes_linked", result->linked_bytes), LOG_F("pause_ms", pause_ms, 3),
		    LOG_I("thaw_ms", thaw_ms), LOG_I("duration_ms", duration_ms));
	else
		LOG(log, SB_LOG_INFO, "Checkpoint created", LOG_S("id", result->id), LOG_S("kind", kinds[result->mode]),
		    LOG_I("entries", result->totals.entries), LOG_I("bytes", result->file_bytes),
		    LOG_F("pause_ms", pause_ms, 3), LOG_I("thaw_ms", thaw_ms), LOG_I("duration_ms", duration_ms));
}

/* The checkpoint counts whether or not this can be noted down, so the job goes on, and the next one tries again. */
static void mark_checkpoint(struct control *c)
{
	sb_error err = ERROR_INIT;

	if (c->has_mark)
		return;
	c->has_mark = state_dir_mark_checkpoint(c->job, &err) == SB_OK;
	if (!c->has_mark)
		LOG(c->job->config->log, SB_LOG_WARN,
		    "Cannot note that there is a checkpoint; were all of them lost, the next start would not miss them",
		    LOG_S("error", err.message));
}

static void take_success(struct control *c, const struct checkpoint_result *result)
{
	c->failed_checkpoints = 0;
	c->checkpoints++;
	c->checkpoint_ns += result->duration_ns;
	c->covered = c->seen_at_request;
	log_checkpoint(c, result);
	mark_checkpoint(c);
}

static int32_t take_result(struct control *c, const struct checkpoint_result *result, sb_error *err)
{
	const struct job_config *config = c->job->config;

	progress_clear(&c->progress);
	if (result->status == SB_OK) {
		take_success(c, result);
		return SB_OK;
	}
	c->failed_checkpoints++;
	LOG(config->log, SB_LOG_ERROR, "Checkpoint failed; the last good one still counts",
	    LOG_I("failed_in_a_row", c->failed_checkpoints), LOG_S("error", result->error.message));
	if (c->phase == FINAL_CHECKPOINT || c->failed_checkpoints > config->max_failed_checkpoints) {
		*err = result->error;
		return error_prefix(err, c->phase == FINAL_CHECKPOINT ? "the final checkpoint failed"
								      : "too many checkpoints failed in a row");
	}
	return SB_OK;
}

/* True when there is nothing that the last checkpoint (or the restored one) does not cover. */
static bool is_covered(const struct control *c)
{
	return records_taken(c) == c->covered && (c->covered || c->job->restored_id[0]);
}

static void advance(struct control *c, const struct pipeline_status *status)
{
	if (status->checkpoint_running)
		return;
	if (c->phase == FINAL_CHECKPOINT) {
		c->phase = FINISHED;
		return;
	}
	if (status->input_ended) {
		c->phase = FINAL_CHECKPOINT;
		if (is_covered(c))
			c->phase = FINISHED;
		else
			request_checkpoint(c);
		return;
	}
	if (c->phase == RUNNING && c->job->config->checkpoint_interval_ms && now_ns(c) >= c->next_checkpoint_ns) {
		if (!is_covered(c))
			request_checkpoint(c);
		else
			c->next_checkpoint_ns = now_ns(c) + c->job->config->checkpoint_interval_ms * 1000000;
	}
}

static int wait_ms(const struct control *c, const struct pipeline_status *status)
{
	int64_t due_ns = progress_due_ns(&c->progress);
	int64_t wait_ns;

	if (c->job->notify.ping_ns && c->job->notify.next_ping_ns < due_ns)
		due_ns = c->job->notify.next_ping_ns;

	if (c->job->config->checkpoint_interval_ms && !status->checkpoint_running && c->phase == RUNNING &&
	    c->next_checkpoint_ns < due_ns)
		due_ns = c->next_checkpoint_ns;
	if (due_ns == INT64_MAX)
		return -1;
	wait_ns = due_ns - now_ns(c);
	return wait_ns <= 0 ? 0 : (int)((wait_ns + 999999) / 1000000 < 60000 ? (wait_ns + 999999) / 1000000 : 60000);
}

/* What was decoded and not processed waits. During the final checkpoint nothing does, so it may take as long as it takes. */
static void say_alive(struct control *c)
{
	struct pipeline_progress progress;

	if (c->job->notify.ping_ns == 0)
		return;
	pipeline_get_progress(c->job->pipeline, &progress);
	notify_alive(&c->job->notify, now_ns(c), progress.events, progress.decoded - progress.events);
}

static int32_t step(struct control *c, sb_error *err)
{
	struct pipeline_status status;

	pipeline_poll(c->job->pipeline, &status);
	if (status.failed) {
		*err = status.error;
		return status.error.code;
	}
	if (status.has_result)
		TRY(take_result(c, &status.result, err));
	advance(c, &status);
	progress_show(&c->progress, c->job->pipeline);
	say_alive(c);
	if (c->phase != FINISHED) {
		struct pollfd fds[] = {
			{.fd = pipeline_event_fd(c->job->pipeline), .events = POLLIN},
			{.fd = c->signal_fd, .events = POLLIN},
		};

		if (poll(fds, 2, wait_ms(c, &status)) > 0 && fds[1].revents)
			take_signal(c);
	}
	return SB_OK;
}

int32_t control_run(struct job *job, sb_error *err)
{
	struct control c = {.job = job, .has_mark = job->restored_id[0] != 0};
	sigset_t set;
	int32_t status = SB_OK;

	c.signal_fd = open_signal_fd(&set);
	if (c.signal_fd < 0)
		return error_set_errno(err, errno, "cannot create a signalfd");
	c.next_checkpoint_ns = now_ns(&c) + job->config->checkpoint_interval_ms * 1000000;
	progress_init(&c.progress, job->config);
	notify_tell(&job->notify, "READY=1");
	while (status == SB_OK && c.phase != FINISHED)
		status = step(&c, err);
	progress_clear(&c.progress);
	if (status == SB_OK)
		progress_summarize(&c.progress, job->pipeline);
	if (status == SB_OK && job->config->profile) {
		pipeline_stop(job->pipeline);
		profile_report(job->config, job->pipeline, c.checkpoints, c.checkpoint_ns);
	}
	close(c.signal_fd);
	return status;
}
