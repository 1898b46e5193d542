/* Which checkpoint a start goes on from, and what it refuses before anything is destroyed: a mismatch of configuration, a state that has been lost, a
 * format that is newer; each with the kind of refusal that the exit status is made of. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "support/restore_rig.h"

static struct restore_rig rig;

static void set_up(void)
{
	restore_rig_init(&rig);
}

static void tear_down(void)
{
	restore_rig_done(&rig);
}

TestSuite(restore_choose, .init = set_up, .fini = tear_down);

static void write_checkpoint(uint64_t number)
{
	struct fixture fixture;

	fixture_init(&fixture, number, number, 20);
	restore_rig_write(&rig, &fixture);
}

static void damage(uint64_t number)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/checkpoint-%llu.json", rig.checkpoints, (unsigned long long)number);
	file_write(path, "{", 1);
}

static void expect_refusal(int32_t status, enum job_end refusal, const char *sentence)
{
	sb_error err = ERROR_INIT;

	cr_assert_eq(restore_choose(&rig.job, &err), status, "%d %s", err.code, err.message);
	cr_assert(strstr(err.message, sentence), "%s", err.message);
	cr_assert_eq(rig.job.refusal, refusal);
	restore_rig_renew(&rig);
}

static void expect_start(const char *id)
{
	sb_error err = ERROR_INIT;

	cr_assert_eq(restore_choose(&rig.job, &err), SB_OK, "%s", err.message);
	cr_assert_eq(rig.job.checkpoint != NULL, id != NULL);
	cr_assert_str_eq(rig.job.restored_id, id ? id : "");
	restore_rig_renew(&rig);
}

/* --- does it fit? ------------------------------------------------------------------------- */

Test(restore_choose, another_operator_or_clock_is_refused)
{
	write_checkpoint(1);
	rig.operator.id = "another";
	expect_refusal(SB_ERR_CONFIG, JOB_FAILED,
		       "checkpoint-1 was written with operator example-processor, this job has another");
	rig.operator.id = "example-processor";
	rig.config.event_time = true;
	expect_refusal(SB_ERR_CONFIG, JOB_FAILED, "with --ttl-clock wall, this job has event");
	rig.config.event_time = false;
	expect_start("checkpoint-1");
}

Test(restore_choose, states_that_do_not_fit_are_refused)
{
	write_checkpoint(1);
	rig.job.schema.states[0].fields[0].size = 4;
	expect_refusal(SB_ERR_INCOMPATIBLE, JOB_FAILED, "checkpoint-1 does not fit operator example-processor 1.0");
}

Test(restore_choose, more_tasks_than_key_groups_are_refused)
{
	write_checkpoint(1);
	rig.config.parallelism = 129;
	expect_refusal(SB_ERR_CONFIG, JOB_FAILED,
		       "checkpoint-1 has 128 key groups, so --parallelism can be at most that");
	rig.config.parallelism = RESTORE_TASKS;
}

static void write_native(const char *backend)
{
	struct fixture fixture;
	struct file_meta *file = calloc(1, sizeof(*file));

	fixture_init(&fixture, 1, 1, 0);
	fixture.meta.kind = CHECKPOINT_INCREMENTAL;
	file->snapshot = strdup("backend-0");
	file->name = strdup("CURRENT");
	strcpy(file->sha256, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	fixture.meta.files = file;
	fixture.meta.file_count = 1;
	free(fixture.meta.backend_id);
	fixture.meta.backend_id = backend ? strdup(backend) : NULL;
	restore_rig_write(&rig, &fixture);
}

static const void *no_extension(const char *id)
{
	(void)id;
	return NULL;
}

static void expect_native(bool native)
{
	sb_error err = ERROR_INIT;
	char path[256];

	snprintf(path, sizeof(path), "%s/shared", rig.checkpoints);
	io_mkdir_p(&rig.io, path, &err);
	strcat(path, "/e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	file_write(path, "", 0);
	cr_assert_eq(restore_choose(&rig.job, &err), SB_OK, "%s", err.message);
	cr_assert_eq(rig.job.native, native);
	restore_rig_renew(&rig);
	snprintf(path, sizeof(path), "%s/checkpoint-1.json", rig.checkpoints);
	unlink(path);
}

/* Only the same backend in as many tasks can open what another run has left, and only values that stay as they are are in it. */
Test(restore_choose, files_are_taken_over_when_nothing_has_changed)
{
	write_native("memory");
	expect_native(true);
	write_native(NULL);
	expect_native(false);
	write_native("another");
	expect_native(false);
	write_native("memory");
	rig.config.parallelism = 1;
	expect_native(false);
	rig.config.parallelism = RESTORE_TASKS;
	write_native("memory");
	free(rig.job.schema.states[1].name);
	rig.job.schema.states[1].name = strdup("others");
	expect_native(false);
	write_native("memory");
	rig.backend.backend.extension = no_extension;
	expect_native(false);
}

/* --- is there one? --------------------------------------------------------------------------- */

static void mark(void)
{
	sb_error err = ERROR_INIT;

	cr_assert_eq(state_dir_mark_checkpoint(&rig.job, &err), SB_OK, "%s", err.message);
}

static int fail_lstat(struct io *io, const char *path, struct stat *ret)
{
	(void)io, (void)path, (void)ret;
	errno = EIO;
	return -1;
}

Test(restore_choose, nothing_to_restore_is_right_for_a_new_job_alone)
{
	struct io_ops ops = *rig.io.ops;
	struct io failing = {.ops = &ops};

	expect_start(NULL);
	mark();
	expect_refusal(SB_ERR_NOT_FOUND, JOB_NO_CHECKPOINT, "but there was one when this job last ran");
	mark();
	rig.config.allow_fresh_start = true;
	expect_start(NULL);
	rig.config.allow_fresh_start = false;
	ops.lstat = fail_lstat;
	rig.config.io = &failing;
	expect_refusal(SB_ERR_IO, JOB_FAILED, ".sbhost-checkpointed");
}

Test(restore_choose, a_quarantine_is_a_sign_of_lost_state)
{
	write_checkpoint(1);
	damage(1);
	expect_refusal(SB_ERR_NOT_FOUND, JOB_NO_CHECKPOINT, "1 damaged; put a good one back, or start from nothing");
	expect_refusal(SB_ERR_NOT_FOUND, JOB_NO_CHECKPOINT, "but there was one when this job last ran");
	rig.config.allow_fresh_start = true;
	expect_start(NULL);
}

Test(restore_choose, the_newest_that_is_whole_is_taken)
{
	write_checkpoint(1);
	write_checkpoint(2);
	write_checkpoint(3);
	damage(3);
	expect_start("checkpoint-2");
}

Test(restore_choose, one_that_is_asked_for_is_that_or_none)
{
	write_checkpoint(1);
	write_checkpoint(2);
	rig.config.restore = RESTORE_ID;
	rig.config.restore_id = "checkpoint-1";
	expect_start("checkpoint-1");
	damage(1);
	expect_refusal(SB_ERR_CORRUPT, JOB_NO_CHECKPOINT, "checkpoint-1");
	rig.config.restore_id = "checkpoint-7";
	expect_refusal(SB_ERR_NOT_FOUND, JOB_NO_CHECKPOINT, "there is no checkpoint-7");
	rig.config.restore = RESTORE_NONE;
	expect_start(NULL);
}

Test(restore_choose, a_newer_format_is_a_matter_of_configuration)
{
	write_checkpoint(1);
	restore_rig_forge(&rig, 1, "\"FormatVersion\":1", "\"FormatVersion\":2");
	expect_refusal(SB_ERR_INCOMPATIBLE, JOB_BAD_CONFIG, "checkpoint-1");
}

/* --- the rest of the way ------------------------------------------------------------------------ */

Test(restore_choose, a_verification_that_takes_long_is_told_from_time_to_time)
{
	struct fixture fixture;

	fixture_init(&fixture, 1, 1, 5);
	fixture.huge_value = 3u << 20;
	restore_rig_write(&rig, &fixture);
	expect_start("checkpoint-1");
	cr_assert(!restore_rig_has_line(&rig, "Verifying checkpoints"));
	rig.step_ns = INT64_C(3000000000);
	cr_assert_eq(restore_choose(&rig.job, &(sb_error)ERROR_INIT), SB_OK);
	cr_assert(restore_rig_has_line(&rig, "INFO  Verifying checkpoints  bytes="));
	cr_assert_gt(rig.job.verify_ns, 0);
	restore_rig_renew(&rig);
	rig.log.level = 0;
	expect_start("checkpoint-1");
}

Test(restore_choose, what_is_newer_than_what_was_asked_for_is_set_aside)
{
	sb_error err = ERROR_INIT;
	char abandoned[256];

	snprintf(abandoned, sizeof(abandoned), "%s/abandoned", rig.checkpoints);
	write_checkpoint(1);
	write_checkpoint(2);
	write_checkpoint(3);
	cr_assert_eq(restore_leave_newer(&rig.job, &err), SB_OK);
	cr_assert_eq(count_names(abandoned, ".json"), 0, "the newest was taken");
	rig.config.restore = RESTORE_ID;
	rig.config.restore_id = "checkpoint-2";
	cr_assert_eq(restore_choose(&rig.job, &err), SB_OK);
	cr_assert_eq(restore_leave_newer(&rig.job, &err), SB_OK);
	cr_assert_eq(count_names(abandoned, ".json"), 1);
	cr_assert(restore_rig_has_line(&rig, "WARN  Newer checkpoints were moved to the folder abandoned"));
	restore_rig_renew(&rig);
	rig.config.restore = RESTORE_NONE;
	rig.log.level = 0;
	cr_assert_eq(restore_leave_newer(&rig.job, &err), SB_OK);
	cr_assert_eq(count_names(abandoned, ".json"), 3);
	cr_assert_eq(restore_leave_newer(&rig.job, &err), SB_OK, "nothing is left to be moved");
	scratch_remove(rig.checkpoints);
	cr_assert_eq(restore_leave_newer(&rig.job, &err), SB_ERR_NOT_FOUND);
}
