/* From a chosen checkpoint to the backends: every entry to the task that owns it, in the operator's present form; every operator's part to one
 * task; native files to where their backend looks for them. And what can go wrong on the way, by whose fault, with each allocation and each call. */
#include <criterion/criterion.h>
#include <errno.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/slice.h"
#include "fault/fault_step.h"
#include "support/restore_rig.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define CONTENT "what a backend keeps in a file"

static struct restore_rig rig;

static void set_up(void)
{
	restore_rig_init(&rig);
}

static void tear_down(void)
{
	restore_rig_done(&rig);
}

TestSuite(restore_load, .init = set_up, .fini = tear_down);

static void write_entries(uint64_t number, uint64_t entries)
{
	struct fixture fixture;

	fixture_init(&fixture, number, number, entries);
	fixture.providers = 3;
	restore_rig_write(&rig, &fixture);
}

static void write_delta(uint64_t number, uint64_t parent)
{
	struct fixture fixture;

	fixture_init(&fixture, number, number, 20);
	fixture_build_on(&fixture, parent, 1);
	restore_rig_write(&rig, &fixture);
}

static void run(int32_t status, const char *sentence)
{
	sb_error err = ERROR_INIT;

	cr_assert_eq(restore_rig_run(&rig, &err), status, "%d %s", err.code, err.message);
	cr_assert(strstr(err.message, sentence), "%s", err.message);
}

/* --- entries and parts -------------------------------------------------------------------------- */

Test(restore_load, without_a_checkpoint_there_is_nothing_to_load)
{
	run(SB_OK, "");
	cr_assert(restore_rig_has_line(&rig, "INFO  No checkpoint found, starting fresh"));
	rig.log.level = 0;
	run(SB_OK, "");
	cr_assert_eq(rig.entries, 0);
}

Test(restore_load, every_entry_reaches_a_backend_and_every_part_one_task)
{
	write_entries(1, 3000);
	run(SB_OK, "");
	cr_assert_eq(rig.entries, 3000);
	cr_assert_geq(rig.writes, 3);
	cr_assert(restore_rig_has_line(&rig, "INFO  Successfully restored from checkpoint  entries=3000"));
	cr_assert(rig.job.tasks[0].part_count == 2 && rig.job.tasks[1].part_count == 1);
	cr_assert(rig.job.tasks[0].parts[0].len == 5 && rig.job.tasks[0].parts[1].len == 7);
	cr_assert_eq(rig.job.tasks[1].parts[0].len, 6);
	restore_rig_renew(&rig);
	rig.log.level = 0;
	run(SB_OK, "");
	cr_assert_eq(rig.entries, 3000);
}

Test(restore_load, large_values_do_not_wait_for_a_full_batch)
{
	struct fixture fixture;

	fixture_init(&fixture, 1, 1, 3);
	fixture.huge_value = 5u << 20;
	restore_rig_write(&rig, &fixture);
	run(SB_OK, "");
	cr_assert_eq(rig.entries, 3);
	cr_assert_gt(rig.bytes, 5u << 20);
}

/* The key and the value may both be empty: their lengths are all there is to carry. */
Test(restore_load, empty_keys_and_values_are_entries)
{
	struct checkpoint_writer *writer;
	struct checkpoint_totals totals;
	struct fixture fixture;
	sb_error err = ERROR_INIT;
	static const uint8_t profile[24], raw[] = {'k', 0, 1};
	int64_t bytes;

	fixture_init(&fixture, 1, 1, 0);
	cr_assert_eq(checkpoint_writer_begin(&rig.io, rig.checkpoints, &fixture.meta, CODEC_NONE, &writer, &err),
		     SB_OK);
	cr_assert_eq(checkpoint_writer_snapshot_begin(writer, "backend-0", &err), SB_OK);
	cr_assert_eq(checkpoint_writer_entry(writer, 0, key_group_of(key_hash((sb_slice){0}), 128), (sb_slice){0},
					     slice_of(profile, 24), SB_NO_EXPIRY, &err),
		     SB_OK, "%s", err.message);
	cr_assert_eq(checkpoint_writer_entry(writer, 700, key_group_of(key_hash(slice_of("k", 1)), 128),
					     slice_of(raw, sizeof(raw)), (sb_slice){0}, SB_NO_EXPIRY, &err),
		     SB_OK, "%s", err.message);
	cr_assert_eq(checkpoint_writer_snapshot_end(writer, &err), SB_OK);
	cr_assert_eq(checkpoint_writer_commit(writer, &totals, &bytes, &err), SB_OK);
	fixture_done(&fixture);
	run(SB_OK, "");
	cr_assert_eq(rig.entries, 2);
	cr_assert_eq(rig.bytes, 4 + 24 + 4 + sizeof(raw));
}

Test(restore_load, a_load_that_takes_long_is_told_from_time_to_time)
{
	write_entries(1, 10000);
	run(SB_OK, "");
	cr_assert(!restore_rig_has_line(&rig, "INFO  Restoring  entries="));
	restore_rig_renew(&rig);
	rig.step_ns = INT64_C(3000000000);
	run(SB_OK, "");
	cr_assert(restore_rig_has_line(&rig, "INFO  Restoring  entries=8192"));
	restore_rig_renew(&rig);
	rig.log.level = 0;
	run(SB_OK, "");
}

Test(restore_load, entries_of_states_that_are_gone_are_left_behind_and_told)
{
	write_entries(1, 30);
	free(rig.job.schema.states[1].name);
	rig.job.schema.count = 1;
	run(SB_OK, "");
	cr_assert(rig.job.dropped_entries == 10 && rig.entries == 20);
	cr_assert(restore_rig_has_line(
		&rig, "Entries of states that the operator no longer has were left behind  entries=10"));
	restore_rig_renew(&rig);
	free(rig.job.schema.states[1].name);
	rig.job.schema.count = 1;
	rig.log.level = 0;
	run(SB_OK, "");
}

/* --- by whose fault? ------------------------------------------------------------------------------- */

Test(restore_load, a_value_without_a_name_in_the_new_order_is_a_matter_of_configuration)
{
	struct schema_field *category = &rig.job.schema.states[0].fields[2];
	char *first = category->names[0];

	write_entries(1, 30);
	category->names[0] = category->names[1];
	category->names[1] = first;
	run(SB_ERR_INCOMPATIBLE, "category");
	cr_assert_eq(rig.job.refusal, JOB_BAD_CONFIG);
	cr_assert(!rig.job.checkpoint_damaged);
}

Test(restore_load, a_backend_that_cannot_be_written_to_is_named)
{
	write_entries(1, 3000);
	rig.write_status = SB_ERR_NO_SPACE;
	run(SB_ERR_NO_SPACE, "(memory): write_batch: as the test wants it");
	cr_assert(!rig.job.checkpoint_damaged);
	restore_rig_renew(&rig);
	write_entries(2, 30);
	run(SB_ERR_NO_SPACE, "backend-0 (memory): write_batch: as the test wants it");
}

static void write_part(uint64_t number, const char *name)
{
	struct checkpoint_writer *writer;
	struct checkpoint_totals totals;
	struct fixture fixture;
	sb_error err = ERROR_INIT;
	int64_t bytes;

	fixture_init(&fixture, number, 1, 0);
	cr_assert_eq(checkpoint_writer_begin(&rig.io, rig.checkpoints, &fixture.meta, CODEC_NONE, &writer, &err),
		     SB_OK);
	cr_assert_eq(checkpoint_writer_provider(writer, name, (sb_slice){0}, &err), SB_OK);
	cr_assert_eq(checkpoint_writer_commit(writer, &totals, &bytes, &err), SB_OK);
	fixture_done(&fixture);
}

Test(restore_load, a_part_of_no_operator_is_damage)
{
	static const char *const names[] = {"stranger-0", "operator-x", "operator-"};

	for (size_t i = 0; i < LENGTH(names); i++) {
		write_part(i + 1, names[i]);
		run(SB_ERR_CORRUPT, "holds a snapshot of an operator called");
		restore_rig_renew(&rig);
	}
}

/* Behind a digest that is right only a faulty writer, or a forger, can have left this. */
Test(restore_load, items_that_are_wrong_behind_a_right_digest_are_damage_and_the_next_older_is_taken)
{
	sb_error cause = ERROR_INIT, err = ERROR_INIT;
	char path[256];

	write_entries(1, 20);
	write_entries(2, 30);
	restore_rig_forge(&rig, 2, "\"Entries\":30", "\"Entries\":31");
	cr_assert_eq(restore_rig_run(&rig, &cause), SB_ERR_CORRUPT);
	cr_assert(rig.job.checkpoint_damaged);
	rig.job.tasks[0].backend = rig.job.tasks[1].backend = NULL; /* not the rig's to be closed */
	cr_assert_eq(restore_set_aside(&rig.job, &cause, &err), SB_OK, "%s", err.message);
	cr_assert(!rig.job.checkpoint_damaged && !rig.job.checkpoint && !rig.job.migration);
	cr_assert(rig.job.tasks[0].part_count == 0 && rig.job.tasks[0].provider.len == 0);
	cr_assert_eq(rig.job.schema.count, 0, "as the operator declares it");
	cr_assert(restore_rig_has_line(&rig, "ERROR Damaged checkpoint passed over  id=checkpoint-2"));
	snprintf(path, sizeof(path), "%s/quarantine", rig.checkpoints);
	cr_assert_eq(count_names(path, ".json"), 1);
	restore_rig_renew(&rig);
	run(SB_OK, "");
	cr_assert_str_eq(rig.job.restored_id, "checkpoint-1");
}

Test(restore_load, setting_aside_needs_a_schema_again)
{
	sb_error cause = ERROR_INIT, err = ERROR_INIT;

	rig.log.level = 0;
	rig.job.tasks[0].backend = rig.job.tasks[1].backend = NULL;
	rig.operator.state_count = SCHEMA_STATES_MAX + 1;
	cr_assert_eq(restore_set_aside(&rig.job, &cause, &err), SB_ERR_INVALID);
	rig.operator.state_count = 0;
	strcpy(rig.job.restored_id, "checkpoint-9");
	cr_assert_eq(restore_set_aside(&rig.job, &cause, &err), SB_ERR_NOT_FOUND, "%s", err.message);
}

static void remove_checkpoint(uint64_t number)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/checkpoint-%llu.json", rig.checkpoints, (unsigned long long)number);
	cr_assert_eq(unlink(path), 0);
}

Test(restore_load, a_parent_that_goes_on_the_way_is_damage)
{
	sb_error err = ERROR_INIT;

	write_entries(1, 20);
	write_delta(2, 1);
	cr_assert_eq(restore_choose(&rig.job, &err), SB_OK, "%s", err.message);
	remove_checkpoint(1);
	cr_assert_eq(restore_state(&rig.job, &err), SB_ERR_CORRUPT);
	cr_assert(rig.job.checkpoint_damaged);
	restore_rig_renew(&rig);
	remove_checkpoint(2);
	write_entries(3, 20);
	cr_assert_eq(restore_choose(&rig.job, &err), SB_OK, "%s", err.message);
	remove_checkpoint(3);
	cr_assert_eq(restore_state(&rig.job, &err), SB_ERR_NOT_FOUND);
	cr_assert(!rig.job.checkpoint_damaged);
}

/* --- files ---------------------------------------------------------------------------------------------- */

static void hash_of(const char *text, char ret_hex[CHECKPOINT_SHA256_HEX + 1])
{
	uint8_t digest[SHA256_DIGEST_SIZE];
	struct sha256_ctx context;

	sha256_init(&context);
	sha256_update(&context, strlen(text), (const uint8_t *)text);
	sha256_digest(&context, sizeof(digest), digest);
	for (size_t i = 0; i < sizeof(digest); i++)
		snprintf(ret_hex + 2 * i, 3, "%02x", digest[i]);
}

static void shared_path(char path[400])
{
	char hex[CHECKPOINT_SHA256_HEX + 1];

	hash_of(CONTENT, hex);
	snprintf(path, 400, "%s/shared/%s", rig.checkpoints, hex);
}

/* One file of that content in each of two snapshots. */
static void write_native(uint64_t number, const char *backend)
{
	sb_error err = ERROR_INIT;
	struct fixture fixture;
	char path[400];

	snprintf(path, sizeof(path), "%s/shared", rig.checkpoints);
	cr_assert_eq(io_mkdir_p(&rig.io, path, &err), SB_OK);
	shared_path(path);
	file_write(path, CONTENT, strlen(CONTENT));
	fixture_init(&fixture, number, number, 0);
	fixture.meta.kind = CHECKPOINT_INCREMENTAL;
	free(fixture.meta.backend_id);
	fixture.meta.backend_id = strdup(backend);
	fixture.meta.files = calloc(2, sizeof(*fixture.meta.files));
	fixture.meta.file_count = 2;
	for (int i = 0; i < 2; i++) {
		fixture.meta.files[i].snapshot = strdup(i ? "backend-1" : "backend-0");
		fixture.meta.files[i].name = strdup("CURRENT");
		fixture.meta.files[i].bytes = (int64_t)strlen(CONTENT);
		hash_of(CONTENT, fixture.meta.files[i].sha256);
	}
	restore_rig_write(&rig, &fixture);
}

Test(restore_load, files_go_to_their_task_and_nothing_is_loaded)
{
	write_native(1, "memory");
	run(SB_OK, "");
	for (uint32_t i = 0; i < RESTORE_TASKS; i++)
		cr_assert_eq(count_names(rig.job.tasks[i].dir, "CURRENT"), 1);
	cr_assert(rig.job.native && rig.entries == 0);
	cr_assert(restore_rig_has_line(&rig, "INFO  Successfully restored from checkpoint  files=2 bytes=60"));
	restore_rig_renew(&rig);
	rig.immutable = true;
	rig.log.level = 0;
	run(SB_OK, "");
	cr_assert_eq(count_names(rig.job.tasks[0].dir, "CURRENT"), 1);
}

Test(restore_load, a_file_that_is_damaged_on_the_way_is_damage_of_the_checkpoint)
{
	sb_error err = ERROR_INIT;
	char path[400];

	write_native(1, "memory");
	cr_assert_eq(restore_choose(&rig.job, &err), SB_OK, "%s", err.message);
	shared_path(path);
	file_write(path, "WHAT A BACKEND KEEPS IN A FILE", strlen(CONTENT));
	cr_assert_eq(restore_place_files(&rig.job, 0, &err), SB_ERR_CORRUPT);
	cr_assert(rig.job.checkpoint_damaged);
	rig.job.checkpoint_damaged = false;
	unlink(path);
	cr_assert_eq(restore_place_files(&rig.job, 1, &err), SB_ERR_NOT_FOUND, "%s", err.message);
	cr_assert(!rig.job.checkpoint_damaged);
}

/* Then --source-plugin is to say who can read them. */
Test(restore_load, files_that_no_plugin_reads_are_a_matter_of_configuration)
{
	write_native(1, "unheard-of");
	run(SB_ERR_NOT_FOUND, "unheard");
	cr_assert_eq(rig.job.refusal, JOB_BAD_CONFIG);
}

Test(restore_load, a_state_directory_that_is_gone_is_told)
{
	sb_error err = ERROR_INIT;

	write_entries(1, 20);
	cr_assert_eq(restore_choose(&rig.job, &err), SB_OK);
	scratch_remove(rig.state);
	cr_assert_eq(restore_state(&rig.job, &err), SB_ERR_NOT_FOUND, "%s", err.message);
	cr_assert(strstr(err.message, ".sbhost-checkpointed"), "%s", err.message);
}

/* --- each allocation, each call -------------------------------------------------------------------------- */

static bool used; /* the job has been through a restore, or through a part of one */

static void prepare(void)
{
	restore_rig_renew(&rig);
	used = false;
}

/* All that knows of io goes with the call. */
static int32_t restore(struct io *io, sb_error *err)
{
	struct job *job = &rig.job;
	int32_t status;

	if (used)
		prepare();
	used = true;
	checkpoint_store_close(job->store);
	job->store = NULL;
	rig.config.io = io;
	status = checkpoint_store_open(io, &rig.log, rig.checkpoints, true, true, &job->store, err);
	if (status == SB_OK)
		status = restore_rig_run(&rig, err);
	rig.config.io = &rig.io;
	checkpoint_reader_close(job->checkpoint);
	job->checkpoint = NULL;
	checkpoint_store_close(job->store);
	job->store = NULL;
	return status;
}

/* None of them is taken for damage: the same checkpoint is restored in the end. */
static void try_each_fault(const struct fault_step *step)
{
	sb_error err = ERROR_INIT;

	cr_assert_eq(fault_step_starve_on(step, prepare, &err), SB_OK, "%s", err.message);
	cr_assert_eq(fault_step_fail_on(step, prepare, EIO, &err), SB_OK, "%s", err.message);
}

Test(restore_load, what_fails_while_entries_are_loaded_is_an_error_that_passes)
{
	const struct fault_step step = {"restore entries", restore, true};
	uint64_t entries;

	write_entries(1, 20);
	write_delta(2, 1);
	run(SB_OK, "");
	entries = rig.entries;
	cr_assert_gt(entries, 0);
	try_each_fault(&step);
	cr_assert_str_eq(rig.job.restored_id, "checkpoint-2");
	cr_assert_eq(rig.entries, entries);
}

Test(restore_load, what_fails_while_files_are_taken_over_is_an_error_that_passes)
{
	const struct fault_step step = {"take files over", restore, true};

	write_native(1, "memory");
	try_each_fault(&step);
	cr_assert_str_eq(rig.job.restored_id, "checkpoint-1");
	cr_assert(rig.job.native);
}
