/* See fault_job.h. */
#include "fault_job.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#endif

#include "base/cleanup.h"
#include "base/error.h"
#include "fault/checkpoint_fixture.h"
#include "fault/loose_disk.h"
#include "fault/starve.h"

#define PATIENCE_S 100 /* for what takes milliseconds; who hangs is found by it */

/* What the child tells, in memory that both see. */
struct report {
	enum job_end end;
	sb_error error, differs;
	int descriptors_lost;
	bool has_leaks, starved;
	struct failing_io failing;
};

static void must(bool fine, const char *what)
{
	if (fine)
		return;
	fprintf(stderr, "fault job: cannot %s: %s\n", what, strerror(errno));
	abort();
}

/* Without waiting for the disk, thousands of runs take seconds. */
static int no_fsync(struct io *io, int fd)
{
	(void)io;
	(void)fd;
	return 0;
}

void fault_arm(struct failing_io *failing, const struct fault *fault)
{
	static struct io_ops ops;

	failing_io_init(failing);
	ops = *failing->system.ops;
	ops.fsync = no_fsync;
	failing->system.ops = &ops;
	if (fault->power_cut) {
		loose_disk_init(&failing->system, FAULT_STATE);
		failing->before_kill = loose_disk_cut;
	}
	failing_io_arm(failing, fault->nth, fault->failure);
	failing->sticky = fault->sticky;
	failing->under = FAULT_CHECKPOINTS;
	failing->only_under = fault->checkpoints_only;
}

bool fault_has_leaks(void)
{
#ifdef __SANITIZE_ADDRESS__
	return __lsan_do_recoverable_leak_check() != 0;
#else
	return false;
#endif
}

static enum job_end run_job(const struct fault_job *job, struct io *io, int log_fd, sb_error *err)
{
	struct job_input inputs[] = {{.kind = SOURCE_FILE, .path = FAULT_FILE}, {.kind = SOURCE_STDIN}};
	const char *const options[] = {"forget=" FAULT_FORGET_TEXT};
	struct clock clock;
	struct log log = {.fd = log_fd, .level = SB_LOG_INFO, .clock = &clock};
	const struct job_config config = {
		.io = io,
		.clock = &clock,
		.log = &log,
		.plugin_dir = SB_PLUGIN_DIR,
		.backend = job->mode->backend,
		.backend_options = &job->backend_option,
		.backend_option_count = job->backend_option ? 1 : 0,
		.operator= SB_TEST_PLUGIN_DIR "/libcounting_operator.so",
		.operator_options = options,
		.operator_option_count = 1,
		.inputs = inputs,
		.input_count = 2,
		.delimiter = ',',
		.output = FAULT_OUTPUT,
		.dead_letters = FAULT_DEAD_LETTERS,
		.state_dir = FAULT_STATE,
		.checkpoint_dir = FAULT_CHECKPOINTS,
		.checkpoint_interval_ms = 1,
		.max_failed_checkpoints = FAULT_FAILED_MAX,
		.codec = CODEC_LZ4,
		.keep = job->keep,
		.full_checkpoints = job->mode->full,
		.restore = job->restore_id ? RESTORE_ID : RESTORE_LATEST,
		.restore_id = job->restore_id,
		.parallelism = 2,
		.cache_bytes = 1 << 20,
	};

	clock_init_system(&clock);
	return job_run(&config, err);
}

static int32_t compare_newest(const struct fault_job *job, sb_error *err)
{
	struct checkpoint_contents_config config = {
		.log = &silent_log, .plugin_dir = SB_PLUGIN_DIR, .source_plugin = job->mode->backend};
	struct checkpoint_contents *contents;
	struct checkpoint_reader *reader;
	uint64_t damaged = 0;
	struct clock clock;
	struct io io;
	int32_t status;

	io_init_system(&io);
	clock_init_system(&clock);
	config.io = &io;
	config.clock = &clock;
	TRY(checkpoint_store_open(&io, &silent_log, FAULT_CHECKPOINTS, false, false, &config.store, err));
	status = checkpoint_store_open_newest(config.store, NULL, false, &reader, &damaged, err);
	if (status == SB_OK)
		status = checkpoint_contents_open(&config, reader, &contents, err);
	if (status == SB_OK) {
		status = fault_compare(job->file, job->stream, contents, err);
		checkpoint_contents_close(contents);
	}
	if (status == SB_OK && damaged)
		status = error_set(err, SB_ERR_INTERNAL, "a damaged checkpoint was left where it was");
	checkpoint_store_close(config.store);
	return status;
}

static _Noreturn void be_the_job(const struct fault_job *job, struct report *report, int input_fd, int log_fd)
{
	sigset_t set;
	int before;

	signal(SIGPIPE, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	alarm(PATIENCE_S);
	must(chdir(job->dir) == 0 && dup2(input_fd, STDIN_FILENO) == STDIN_FILENO, "move into the job's directory");
	close(input_fd);
	fault_arm(&report->failing, &job->fault);
	before = (int)count_names("/proc/self/fd", "");
	if (job->starve_at)
		starve_arm(job->starve_at, job->starve_on);
	report->end = run_job(job, &report->failing.io, log_fd, &report->error);
	if (job->starve_at) {
		starve_disarm();
		report->starved = starve_hit();
	}
	report->descriptors_lost = (int)count_names("/proc/self/fd", "") - before;
	report->has_leaks = fault_has_leaks();
	if (job->compare && report->end == JOB_DONE)
		compare_newest(job, &report->differs);
	if (job->fault.power_cut)
		loose_disk_cut();
	_exit(0);
}

/* --- the parent: feeds the stream by what the log says ---------------------------- */

struct feeding {
	const struct fault_job *job;
	uint32_t next; /* record */
	int fd; /* -1: closed */
};

static void feed(struct feeding *feeding)
{
	const struct fault_input *stream = feeding->job->stream;
	uint32_t end = feeding->next + FAULT_PORTION;
	int64_t from;

	if (feeding->fd < 0)
		return;
	if (end > feeding->job->stream_end)
		end = feeding->job->stream_end;
	from = fault_input_end(stream, feeding->next);
	/* A job that has ended already wants no more: EPIPE is fine. */
	if (write(feeding->fd, stream->text.data + from, (size_t)(fault_input_end(stream, end) - from)) < 0)
		must(errno == EPIPE, "feed the job");
	feeding->next = end;
	if (end == feeding->job->stream_end) {
		close(feeding->fd);
		feeding->fd = -1;
	}
}

static unsigned count_lines(const char *text, const char *message)
{
	unsigned found = 0;

	for (; (text = strstr(text, message)); text += strlen(message))
		found++;
	return found;
}

static void follow_log(struct feeding *feeding, int log_fd, struct fault_outcome *outcome)
{
	unsigned answered = 0;
	char bytes[4096];
	ssize_t n;

	feed(feeding);
	while ((n = read(log_fd, bytes, sizeof(bytes))) > 0) {
		const char *text;

		buffer_append(&outcome->log, bytes, (size_t)n);
		text = buffer_text(&outcome->log);
		must(text, "keep the log");
		outcome->created = count_lines(text, "Checkpoint created ");
		outcome->failed = count_lines(text, "Checkpoint failed;");
		for (; answered < outcome->created + outcome->failed; answered++)
			feed(feeding);
	}
	if (feeding->fd >= 0)
		close(feeding->fd);
}

static void take_report(const struct report *report, struct fault_outcome *outcome)
{
	outcome->end = report->end;
	outcome->error = report->error;
	outcome->differs = report->differs;
	outcome->descriptors_lost = report->descriptors_lost;
	outcome->has_leaks = report->has_leaks;
	outcome->starved = report->starved;
	outcome->hit = report->failing.hit;
	outcome->hit_inside = report->failing.hit_inside;
	outcome->hit_call = report->failing.hit_call;
	outcome->calls = report->failing.calls;
}

void fault_job_run(const struct fault_job *job, struct fault_outcome *ret_outcome)
{
	struct report *report = mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct feeding feeding = {.job = job, .next = job->stream_begin};
	int input[2], log[2];
	pid_t child;

	must(report != MAP_FAILED && pipe(input) == 0 && pipe(log) == 0, "make pipes");
	signal(SIGPIPE, SIG_IGN);
	report->error.struct_size = report->differs.struct_size = sizeof(sb_error);
	report->end = JOB_FAILED;
	*ret_outcome = (struct fault_outcome){0};
	child = fork();
	must(child >= 0, "fork");
	if (child == 0) {
		close(input[1]);
		close(log[0]);
		be_the_job(job, report, input[0], log[1]);
	}
	close(input[0]);
	close(log[1]);
	feeding.fd = input[1];
	follow_log(&feeding, log[0], ret_outcome);
	close(log[0]);
	must(waitpid(child, &ret_outcome->wait_status, 0) == child, "wait for the job");
	take_report(report, ret_outcome);
	munmap(report, sizeof(*report));
}

void fault_outcome_done(struct fault_outcome *outcome)
{
	buffer_done(&outcome->log);
}

uint64_t fault_logged_id(const struct fault_outcome *outcome, const char *message)
{
	const char *at = outcome->log.len ? (const char *)outcome->log.data : "";
	const char *last = NULL;

	while ((at = strstr(at, message)))
		last = at++;
	last = last ? strstr(last, "id=checkpoint-") : NULL;
	return last ? strtoull(last + strlen("id=checkpoint-"), NULL, 10) : 0;
}
