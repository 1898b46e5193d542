/* A whole job, in every mode of checkpoints, one of whose calls on files fails: while it starts and restores, while it takes checkpoints and
 * collects old ones, while it sets damaged or unwanted ones aside. Whatever happens to it, the next start must find the newest state that
 * was reported, or a newer one, whole and with its own offsets, and end with exactly the right output.
 *
 * A case is one call and one failure. In a normal run some are tried; with SBHOST_FAULTS=whole (scripts/fault-campaign) all of them. */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "fault/checkpoint_fixture.h"
#include "fault/fault_rig.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define SHORT_FORM 12u /* cases of each scenario */

enum scenario {
	FRESH, /* no checkpoint yet */
	RESUME, /* from the newest, which then makes room for others */
	DAMAGED, /* the newest is damaged and set aside */
	OLDER, /* an older one is asked for, and the newer are abandoned */
	SCENARIOS,
};

static const char *const scenario_names[] = {"fresh", "resume", "damaged", "older"};

/* Not EINTR for good: an interrupted call is repeated for as long as it takes. */
static const struct fault failures[] = {
	{.failure = EIO},
	{.failure = ENOSPC},
	{.failure = EINTR},
	{.failure = EMFILE},
	{.failure = EDQUOT},
	{.failure = ENOMEM},
	{.failure = FAIL_SHORT},
	{.failure = FAIL_KILL},
	{.failure = FAIL_KILL, .power_cut = true},
	{.failure = EIO | FAIL_AFTER},
	{.failure = ENOSPC | FAIL_AFTER},
	{.failure = EIO, .sticky = true},
	{.failure = FAIL_SHORT, .sticky = true},
	{.failure = ENOSPC, .sticky = true, .checkpoints_only = true},
};

struct parameters {
	unsigned mode, scenario;
};

struct campaign {
	struct fault_rig rig;
	enum scenario scenario;
	uint64_t calls; /* of a run without faults */
	uint64_t cases, refused, failed_checkpoints, killed;
};

static const char *describe(const struct campaign *c, const struct fault *fault, const struct fault_outcome *outcome)
{
	static char text[4096];

	snprintf(text, sizeof(text), "%s %s: call %" PRIu64 " (%s), failure %d%s; %s\n%s", c->rig.mode.name,
		 scenario_names[c->scenario], fault->nth, failing_io_call_name(outcome->hit_call), fault->failure,
		 fault->sticky	    ? ", for good"
		 : fault->power_cut ? ", power cut"
				    : "",
		 outcome->error.message, outcome->log.len ? (char *)outcome->log.data : "");
	return text;
}

static void damage_newest(const struct campaign *c)
{
	AUTO(free_memory) uint8_t *bytes = NULL;
	char path[512];
	size_t len;

	snprintf(path, sizeof(path), "%s/" FAULT_CHECKPOINTS "/%s.json", c->rig.run, c->rig.newest.id);
	bytes = file_read(path, &len);
	bytes[len / 2] ^= 1;
	file_write(path, bytes, len);
}

static struct fault_job prepare(struct campaign *c, const struct fault *fault)
{
	struct fault_job job = fault_rig_job(&c->rig);
	const struct fault_rig *rig = &c->rig;

	fault_rig_reset(&c->rig, c->scenario == FRESH);
	job.fault = *fault;
	if (c->scenario == DAMAGED)
		damage_newest(c);
	if (c->scenario == OLDER)
		job.restore_id = rig->older.id;
	job.stream_begin = c->scenario == FRESH	   ? 0
			   : c->scenario == RESUME ? rig->newest.stream_records
						   : rig->older.stream_records;
	job.stream_end = job.stream_begin + (rig->mode.slow ? 2 : 4) * FAULT_PORTION;
	return job;
}

/* What the job may do when a call fails. */
static void check_first(struct campaign *c, const struct fault *fault, const struct fault_outcome *first)
{
	const bool killed = WIFEXITED(first->wait_status) && WEXITSTATUS(first->wait_status) == FAILING_IO_KILL_STATUS;
	const bool was_running = first->created + first->failed > 0;

	c->killed += killed;
	c->failed_checkpoints += first->failed;
	if (killed) {
		cr_assert_eq(fault->failure, FAIL_KILL);
		return;
	}
	cr_assert_eq(first->wait_status, 0, "it crashed: %s", describe(c, fault, first));
	cr_assert_eq(first->descriptors_lost, 0, "%d descriptors lost: %s", first->descriptors_lost,
		     describe(c, fault, first));
	cr_assert(!first->has_leaks, "leaks: %s", describe(c, fault, first));
	cr_assert_leq(first->failed, FAULT_FAILED_MAX + 1, "%s", describe(c, fault, first));
	if (first->end == JOB_DONE)
		return;
	c->refused++;
	cr_assert(first->hit && fault->failure != FAIL_SHORT, "%s", describe(c, fault, first));
	cr_assert_gt(strlen(first->error.message), 20, "%s", describe(c, fault, first));
	if (was_running && first->hit_inside && !fault->sticky)
		cr_assert(strstr(first->error.message, "the final checkpoint failed"),
			  "one failed checkpoint ended the job: %s", describe(c, fault, first));
}

/* A start like any other, with nothing in the way. */
static void check_second(struct campaign *c, const struct fault *fault, const struct fault_outcome *first)
{
	struct fault_job job = fault_rig_job(&c->rig);
	struct fault_outcome second;
	uint64_t reported = fault_logged_id(first, "Checkpoint created "), restored;

	job.compare = true;
	fault_job_run(&job, &second);
	restored = fault_logged_id(&second, "Restoring from checkpoint ");
	cr_assert(second.wait_status == 0 && second.end == JOB_DONE, "the next start: %s\nafter %s",
		  describe(c, fault, &second), (char *)first->log.data);
	cr_assert_eq(second.differs.code, SB_OK, "%s: %s\nafter %s", second.differs.message,
		     describe(c, fault, &second), (char *)first->log.data);
	cr_assert_geq(restored, reported, "a checkpoint that was reported is lost: %s", describe(c, fault, &second));
	if (c->scenario == RESUME)
		cr_assert_geq(restored, c->rig.newest.number, "%s", describe(c, fault, &second));
	if (c->scenario == DAMAGED || c->scenario == OLDER)
		cr_assert_geq(restored, c->rig.older.number, "%s", describe(c, fault, &second));
	fault_outcome_done(&second);
}

static bool is_named_in(const char *dir, const char *name)
{
	AUTO(buffer_done) struct buffer names = BUFFER_INIT;
	sb_error err = ERROR_INIT;
	bool found = false;
	uint64_t count;
	struct io io;

	io_init_system(&io);
	if (io_list(&io, dir, &names, &count, &err) != SB_OK)
		return false; /* quarantine and abandoned are not always there */
	for (size_t i = 0; i < names.len && !found; i += strlen((char *)names.data + i) + 1) {
		AUTO(free_memory) uint8_t *bytes = NULL;
		char path[1024];
		size_t len;

		snprintf(path, sizeof(path), "%s/%s", dir, (char *)names.data + i);
		if (strncmp((char *)names.data + i, "checkpoint-", 11) == 0)
			bytes = file_read(path, &len);
		found = bytes && memmem(bytes, len, name, strlen(name));
	}
	return found;
}

/* A file in shared/ lies there because some checkpoint, here or set aside, names it. */
static void check_shared(const struct campaign *c, const struct fault *fault, const struct fault_outcome *first)
{
	static const char *const folders[] = {"", "/quarantine", "/abandoned"};
	AUTO(buffer_done) struct buffer names = BUFFER_INIT;
	sb_error err = ERROR_INIT;
	char path[512];
	uint64_t count;
	struct io io;

	io_init_system(&io);
	snprintf(path, sizeof(path), "%s/" FAULT_CHECKPOINTS "/shared", c->rig.run);
	if (io_list(&io, path, &names, &count, &err) != SB_OK)
		return;
	for (size_t i = 0; i < names.len; i += strlen((char *)names.data + i) + 1) {
		bool named = false;

		for (size_t k = 0; k < LENGTH(folders) && !named; k++) {
			snprintf(path, sizeof(path), "%s/" FAULT_CHECKPOINTS "%s", c->rig.run, folders[k]);
			named = is_named_in(path, (char *)names.data + i);
		}
		cr_assert(named, "%s is of no use: %s", (char *)names.data + i, describe(c, fault, first));
	}
}

static void check_litter(const struct campaign *c, const struct fault *fault, const struct fault_outcome *first)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/" FAULT_CHECKPOINTS, c->rig.run);
	cr_assert_eq(count_names(path, ".tmp"), 0, "%s", describe(c, fault, first));
	/* What is damaged is kept for people; but what could not be moved grows old where it is, and is collected like any other. */
	if (c->scenario == DAMAGED && !strstr(first->log.len ? (char *)first->log.data : "", "Cannot move a damaged")) {
		snprintf(path, sizeof(path), "%s/" FAULT_CHECKPOINTS "/quarantine", c->rig.run);
		cr_assert_eq(count_names(path, ".json"), 1, "%s", describe(c, fault, first));
	}
}

static void try_one(struct campaign *c, const struct fault *fault)
{
	struct fault_job job = prepare(c, fault);
	struct fault_outcome first;

	fault_job_run(&job, &first);
	check_first(c, fault, &first);
	if (fault->nth == 0) {
		cr_assert_eq(first.end, JOB_DONE, "%s", describe(c, fault, &first));
		c->calls = first.calls;
	}
	check_second(c, fault, &first);
	check_litter(c, fault, &first);
	check_shared(c, fault, &first);
	c->cases++;
	fault_outcome_done(&first);
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

ParameterizedTestParameters(job_faults, a_failed_call_costs_no_state)
{
	static struct parameters all[FAULT_MODES * SCENARIOS];
	struct fault_mode mode;
	size_t count = 0;

	for (unsigned m = 0; m < FAULT_MODES; m++)
		for (unsigned s = 0; s < SCENARIOS; s++)
			if (fault_mode_get(m, &mode))
				all[count++] = (struct parameters){.mode = m, .scenario = s};
	return cr_make_param_array(struct parameters, all, count);
}

ParameterizedTest(struct parameters *parameters, job_faults, a_failed_call_costs_no_state)
{
	struct campaign c = {.scenario = parameters->scenario};
	struct fault_mode mode;

	cr_assert(fault_mode_get(parameters->mode, &mode));
	fault_rig_init(&c.rig, &mode);
	run_campaign(&c);
	printf("faults: %-15s %-8s %4" PRIu64 " calls, %5" PRIu64 " cases: %" PRIu64 " ended in an error, %" PRIu64
	       " killed, %" PRIu64 " checkpoints failed\n",
	       mode.name, scenario_names[c.scenario], c.calls, c.cases, c.refused, c.killed, c.failed_checkpoints);
	fflush(stdout);
	fault_rig_done(&c.rig);
}

/* What fails inside a backend fails one checkpoint, and the one after it lacks nothing. Two tasks fail one after the other, so the second
 * of four attempts is the last whose failure the job survives. */
Test(job_faults, a_backend_that_cannot_make_its_files_costs_one_checkpoint)
{
	struct campaign c = {.scenario = RESUME};
	struct fault_mode mode;

	cr_assert(fault_mode_get(2, &mode) && strcmp(mode.name, "filing-native") == 0);
	fault_rig_init(&c.rig, &mode);
	for (unsigned nth = 1; nth <= 2; nth++) {
		const struct fault none = {0};
		struct fault_job job = prepare(&c, &none);
		struct fault_outcome first;
		char option[32];

		snprintf(option, sizeof(option), "fail_create=%u", nth);
		job.backend_option = option;
		fault_job_run(&job, &first);
		cr_assert(first.wait_status == 0 && first.end == JOB_DONE, "%s", describe(&c, &none, &first));
		cr_assert(first.failed == 2 && first.created, "%s", describe(&c, &none, &first));
		check_second(&c, &none, &first);
		check_litter(&c, &none, &first);
		check_shared(&c, &none, &first);
		fault_outcome_done(&first);
	}
	fault_rig_done(&c.rig);
}
