/* The commands that write where checkpoints lie (export, import, prune), one of whose calls on files fails. Whatever happens to them, an
 * export is whole or not there, and a job finds the checkpoints that it had, or the imported one, and goes on from it. */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "cli/checkpoint_tools.h"
#include "fault/checkpoint_fixture.h"
#include "fault/fault_rig.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define SHORT_FORM 10u /* cases of each command */

enum command { EXPORT, IMPORT, PRUNE, COMMANDS };

static const char *const command_names[] = {"export", "import", "prune"};

static const struct fault failures[] = {
	{.failure = EIO},
	{.failure = ENOSPC},
	{.failure = EINTR},
	{.failure = EMFILE},
	{.failure = EDQUOT},
	{.failure = ENOMEM},
	{.failure = FAIL_SHORT},
	{.failure = FAIL_KILL},
	{.failure = EIO | FAIL_AFTER},
	{.failure = EIO, .sticky = true},
};

struct parameters {
	unsigned mode, command;
};

/* What the command's process tells, in memory that both see. */
struct report {
	int status; /* its exit status */
	int descriptors_lost;
	bool has_leaks;
	struct failing_io failing;
};

struct campaign {
	struct fault_rig rig;
	enum command command;
	struct report *report;
	uint64_t calls, cases, failed, killed;
};

static const char *describe(const struct campaign *c, const struct fault *fault)
{
	static char text[256];

	snprintf(text, sizeof(text), "%s %s: call %" PRIu64 " (%s), failure %d%s", c->rig.mode.name,
		 command_names[c->command], fault->nth, failing_io_call_name(c->report->failing.hit_call),
		 fault->failure, fault->sticky ? ", for good" : "");
	return text;
}

static void ignore_checked(void *context, uint64_t bytes)
{
	(void)context;
	(void)bytes;
}

static int run_tool(const struct campaign *c, struct io *io, enum command command, const char *word, const char *file)
{
	struct tool tool = {.name = "test",
			    .words = {word, file},
			    .word_count = 2,
			    .checkpoint_dir = FAULT_CHECKPOINTS,
			    .plugin_dir = SB_PLUGIN_DIR,
			    .source_plugin = c->rig.mode.backend,
			    .keep = 1,
			    .codec = CODEC_LZ4,
			    .io = *io,
			    .watch = {.checked = ignore_checked},
			    .log = silent_log,
			    .err = ERROR_INIT};
	int status;

	clock_init_system(&tool.clock);
	status = command == EXPORT   ? checkpoint_export_command(&tool)
		 : command == IMPORT ? checkpoint_import_command(&tool)
				     : checkpoint_prune_command(&tool);
	buffer_done(&tool.out);
	return status;
}

/* In a process of its own: it may be killed, and a backend that has been opened leaves threads behind. */
static int run_command(struct campaign *c, const char *dir, enum command command, const char *word, const char *file,
		       const struct fault *fault)
{
	struct report *report = c->report;
	pid_t child = fork();
	int status;

	cr_assert_geq(child, 0);
	if (child == 0) {
		int null = open("/dev/null", O_WRONLY | O_CLOEXEC), before;

		dup2(null, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
		if (chdir(dir) != 0)
			abort();
		fault_arm(&report->failing, fault);
		before = (int)count_names("/proc/self/fd", "");
		report->status = run_tool(c, &report->failing.io, command, word, file);
		report->descriptors_lost = (int)count_names("/proc/self/fd", "") - before;
		report->has_leaks = fault_has_leaks();
		_exit(0);
	}
	cr_assert_eq(waitpid(child, &status, 0), child);
	return status;
}

static void run_clean(struct campaign *c, const char *dir, enum command command, const char *word, const char *file)
{
	cr_assert_eq(run_command(c, dir, command, word, file, &(struct fault){0}), 0);
	cr_assert_eq(c->report->status, EXIT_DONE, "%s %s", c->rig.mode.name, command_names[command]);
}

static bool is_there(const struct campaign *c, const char *name)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", c->rig.run, name);
	return access(path, F_OK) == 0;
}

/* An export is taken up where there is nothing else. */
static void move_export_in(const struct campaign *c, const char *name)
{
	sb_error err = ERROR_INIT;
	char from[512], to[512];
	struct io io;

	io_init_system(&io);
	snprintf(to, sizeof(to), "%s/" FAULT_CHECKPOINTS, c->rig.run);
	cr_assert_eq(io_empty_dir(&io, to, NULL, &err), SB_OK);
	snprintf(from, sizeof(from), "%s/%s", c->rig.run, name);
	snprintf(to, sizeof(to), "%s/" FAULT_CHECKPOINTS "/%s.json", c->rig.run, c->rig.newest.id);
	cr_assert_eq(io_rename_new(&io, from, to, &err), SB_OK, "%s", err.message);
}

static void prepare(struct campaign *c, char *word, size_t size)
{
	fault_rig_reset(&c->rig, false);
	snprintf(word, size, "latest");
	if (c->command != IMPORT)
		return;
	snprintf(word, size, "taken.json");
	run_clean(c, c->rig.run, EXPORT, c->rig.older.id, word);
}

static void check_job(struct campaign *c, const struct fault *fault, bool done)
{
	struct fault_job job = fault_rig_job(&c->rig);
	struct fault_outcome outcome;
	uint64_t restored;

	job.compare = true;
	fault_job_run(&job, &outcome);
	restored = fault_logged_id(&outcome, "Restoring from checkpoint ");
	cr_assert(outcome.wait_status == 0 && outcome.end == JOB_DONE, "%s: the next start: %s\n%s", describe(c, fault),
		  outcome.error.message, (char *)outcome.log.data);
	cr_assert_eq(outcome.differs.code, SB_OK, "%s: %s\n%s", describe(c, fault), outcome.differs.message,
		     (char *)outcome.log.data);
	if (c->command == IMPORT && done)
		cr_assert_gt(restored, c->rig.newest.number, "%s", describe(c, fault));
	else if (c->command == IMPORT)
		cr_assert_geq(restored, c->rig.newest.number, "%s", describe(c, fault));
	else
		cr_assert_eq(restored, c->rig.newest.number, "%s", describe(c, fault));
	fault_outcome_done(&outcome);
}

static void check(struct campaign *c, const struct fault *fault, int wait_status)
{
	const bool killed = WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == FAILING_IO_KILL_STATUS;
	const bool done = !killed && c->report->status == EXIT_DONE;

	c->killed += killed;
	c->failed += !killed && !done;
	cr_assert(killed ? fault->failure == FAIL_KILL : wait_status == 0, "%s crashed", describe(c, fault));
	cr_assert(killed || c->report->descriptors_lost == 0, "%s lost %d descriptors", describe(c, fault),
		  c->report->descriptors_lost);
	cr_assert(killed || !c->report->has_leaks, "%s leaks", describe(c, fault));
	cr_assert(done || killed || (c->report->failing.hit && fault->failure != FAIL_SHORT), "%s ended with %d",
		  describe(c, fault), c->report->status);
	if (c->command == EXPORT) {
		cr_assert(!done || is_there(c, "out.json"), "%s", describe(c, fault));
		if (!is_there(c, "out.json")) /* nothing of the first is in the way of a second */
			run_clean(c, c->rig.run, EXPORT, "latest", "out.json");
		move_export_in(c, "out.json");
	}
	check_job(c, fault, done);
}

static void try_one(struct campaign *c, const struct fault *fault)
{
	char word[64];
	int wait_status;

	prepare(c, word, sizeof(word));
	wait_status = run_command(c, c->rig.run, c->command, word, "out.json", fault);
	if (fault->nth == 0)
		c->calls = c->report->failing.calls;
	check(c, fault, wait_status);
	c->cases++;
}

/* Case i is call 1 + i / (failures) with failure i % (failures): a step that they do not divide takes them in turn. A few calls more than
 * were counted, since threads do not always make the same number. */
static void run_campaign(struct campaign *c)
{
	uint64_t cases, step;

	try_one(c, &(struct fault){0});
	cases = (c->calls + c->calls / 16) * LENGTH(failures);
	step = fault_step(&c->rig.mode, cases, SHORT_FORM);
	step += step > 1 && step % LENGTH(failures) == 0;
	for (uint64_t i = c->rig.mode.name[0] % step; i < cases; i += step) {
		struct fault fault = failures[i % LENGTH(failures)];

		fault.nth = 1 + i / LENGTH(failures);
		try_one(c, &fault);
	}
}

ParameterizedTestParameters(tool_faults, a_failed_call_costs_no_checkpoint)
{
	static struct parameters all[FAULT_MODES * COMMANDS];
	struct fault_mode mode;
	size_t count = 0;

	for (unsigned m = 0; m < FAULT_MODES; m++)
		for (unsigned k = 0; k < COMMANDS; k++)
			if (fault_mode_get(m, &mode))
				all[count++] = (struct parameters){.mode = m, .command = k};
	return cr_make_param_array(struct parameters, all, count);
}

ParameterizedTest(struct parameters *parameters, tool_faults, a_failed_call_costs_no_checkpoint)
{
	struct campaign c = {.command = parameters->command};
	struct fault_mode mode;

	cr_assert(fault_mode_get(parameters->mode, &mode));
	c.report = mmap(NULL, sizeof(*c.report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	cr_assert_neq(c.report, MAP_FAILED);
	fault_rig_init(&c.rig, &mode);
	run_campaign(&c);
	printf("tools:  %-15s %-8s %4" PRIu64 " calls, %5" PRIu64 " cases: %" PRIu64 " ended in an error, %" PRIu64
	       " killed\n",
	       mode.name, command_names[c.command], c.calls, c.cases, c.failed, c.killed);
	fflush(stdout);
	fault_rig_done(&c.rig);
	munmap(c.report, sizeof(*c.report));
}
