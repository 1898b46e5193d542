/* The coordinator over a backend that returns whatever a test tells it: what a backend may get wrong costs one checkpoint, is told with its
 * name, and leaves neither a file, nor an open iterator, nor a backend that waits to be written to. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/slice.h"
#include "checkpoint/coordinator.h"
#include "fault/checkpoint_fixture.h"
#include "fault/fault_step.h"
#include "state/composed_key.h"
#include "support/forged_backend.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define CUT_MS 1000

/* What the job around it was asked for. */
static struct {
	unsigned released, synced, done;
	int32_t sync_status;
} script;

static struct component component;
static struct instance backend = {.component = &component, .name = "backend-0"};
static struct instance twin = {.component = &component, .name = "backend-0"};
static struct instance operator= {.name = "operator-0"};

static struct io_ops ops;
static struct io io; /* waits for no disk */
static struct fake_clock fake;
static char dir[128], log_path[160];
static struct log noisy;
static struct coordinator_config config;

static void release_writes(void *context)
{
	(void)context;
	script.released++;
}

static int32_t sync_outputs(void *context, sb_error *err)
{
	(void)context;
	script.synced++;
	return forged_say(err, script.sync_status);
}

static void done(void *context, const struct checkpoint_result *result)
{
	(void)context;
	script.done += result->status == SB_OK;
}

static void set_up(void)
{
	sb_error err = ERROR_INIT;

	quick_io_init(&io, &ops);
	scratch_make(dir);
	fake_clock_init(&fake, 1000);
	snprintf(log_path, sizeof(log_path), "%s/log", dir);
	noisy = (struct log){.fd = open(log_path, O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600),
			     .level = SB_LOG_DEBUG,
			     .clock = &fake.clock};
	config = (struct coordinator_config){.io = &io,
					     .clock = &fake.clock,
					     .log = &noisy,
					     .codec = CODEC_NONE,
					     .keep = 2,
					     .release_writes = release_writes,
					     .sync_outputs = sync_outputs,
					     .done = done};
	cr_assert_eq(checkpoint_store_open(&io, &noisy, dir, true, true, &config.store, &err), SB_OK);
	memset(&script, 0, sizeof(script));
	memset(&forged, 0, sizeof(forged));
	forged_component(&component);
}

static void tear_down(void)
{
	checkpoint_store_close(config.store);
	close(noisy.fd);
	scratch_remove(dir);
}

TestSuite(coordinator, .init = set_up, .fini = tear_down);

static void expect_line(const char *message)
{
	size_t len = 0;
	AUTO(free_memory) uint8_t *text = file_read(log_path, &len);

	cr_assert(memmem(text, len, message, strlen(message)), "no line \"%s\" in %.*s", message, (int)len, text);
}

/* Of one task in that mode. */
static struct checkpoint_cut *make_cut(enum cut_mode mode)
{
	struct checkpoint_cut *cut = calloc(1, sizeof(*cut));
	struct fixture fixture;

	fixture_init(&fixture, 1, 1, 0);
	cut->meta = fixture.meta;
	cut->meta.id[0] = 0;
	cut->meta.tasks = 1;
	cut->meta.cut_ms = CUT_MS;
	cut->tasks = calloc(2, sizeof(*cut->tasks));
	for (int i = 0; i < 2; i++) {
		cut->tasks[i].mode = mode;
		cut->tasks[i].operator= & operator;
	}
	cut->tasks[0].backend = &backend;
	cut->tasks[1].backend = &twin;
	if (mode == CUT_ENTRIES)
		cut->tasks[0].iter = (sb_iter *)&forged;
	if (mode == CUT_CHANGES)
		cut->tasks[0].changes = (sb_changes *)&forged;
	forged.open = mode != CUT_FILES;
	if (mode != CUT_ENTRIES)
		cut->meta.kind = CHECKPOINT_INCREMENTAL;
	if (mode == CUT_CHANGES) {
		cut->meta.parent = strdup("checkpoint-1");
		cut->meta.depth = 1;
	}
	return cut;
}

/* Writes the cut and frees it. */
static struct checkpoint_result write_cut(struct checkpoint_cut *cut)
{
	struct checkpoint_result result;

	coordinator_write(&config, cut, &result);
	cr_assert_eq(forged.open, 0, "an iterator is left open");
	cr_assert_eq(script.released, result.mode == CUT_FILES, "the backend waits for ever, or is told twice");
	cr_assert_eq(count_names(dir, ".json"), result.status == SB_OK);
	cr_assert_eq(count_names(dir, ".tmp"), 0);
	cr_assert_eq(count_names(dir, "-backend-0"), 0, "a temporary directory is left");
	checkpoint_cut_free(cut);
	return result;
}

static void expect_failure(struct checkpoint_cut *cut, int32_t status, const char *sentence)
{
	struct checkpoint_result result = write_cut(cut);

	cr_assert_eq(result.status, status, "%d %s", result.status, result.error.message);
	cr_assert(strstr(result.error.message, sentence), "%s", result.error.message);
}

/* The key "k" as the host writes it; state 700 is one that the schema has, 5 is none. */
static sb_slice key_of(uint32_t state)
{
	static uint8_t bytes[COMPOSED_PREFIX_BYTES + 1];
	const uint32_t group = key_group_of(key_hash(slice_of("k", 1)), 128);

	composed_put_prefix(bytes, group, state);
	bytes[COMPOSED_PREFIX_BYTES] = 'k';
	return slice_of(bytes, sizeof(bytes));
}

static const uint8_t profile[24];

Test(coordinator, an_entry_that_the_host_never_wrote_costs_one_checkpoint)
{
	forged.op = (sb_op){.key = slice_of("abc", 3), .value = slice_of(profile, 24)};
	expect_failure(make_cut(CUT_ENTRIES), SB_ERR_CORRUPT, "backend-0 returned a key of 3 bytes");
	forged.returned = false;
	forged.op.key = key_of(5);
	expect_failure(make_cut(CUT_ENTRIES), SB_ERR_CORRUPT, "the backend returned what cannot go into a checkpoint");
}

Test(coordinator, a_change_that_the_host_never_made_costs_one_checkpoint)
{
	const struct {
		uint32_t kind, state;
		uint64_t key_len;
		const char *sentence;
	} wrong[] = {
		{SB_OP_PUT, 0, 3, "backend-0 returned a change that the host never made"},
		{SB_OP_PUT + SB_OP_DELETE + 1, 0, 0, "backend-0 returned a change that the host never made"},
		{SB_OP_PUT, 5, 0, "which the schema lacks"},
		{SB_OP_DELETE, 5, 0, "which the schema lacks"},
	};

	for (size_t i = 0; i < LENGTH(wrong); i++) {
		forged.returned = false;
		forged.op =
			(sb_op){.kind = wrong[i].kind, .key = key_of(wrong[i].state), .value = slice_of(profile, 24)};
		if (wrong[i].key_len)
			forged.op.key.len = wrong[i].key_len;
		expect_failure(make_cut(CUT_CHANGES), SB_ERR_CORRUPT, wrong[i].sentence);
	}
}

Test(coordinator, what_has_expired_is_a_deletion_among_changes_and_nothing_among_entries)
{
	struct checkpoint_result result;

	forged.op = (sb_op){.kind = SB_OP_PUT, .key = key_of(0), .value = slice_of(profile, 24), .expiry_ms = CUT_MS};
	result = write_cut(make_cut(CUT_CHANGES));
	cr_assert_eq(result.status, SB_OK, "%s", result.error.message);
	cr_assert(result.totals.entries == 1 && result.totals.value_bytes == 0);
	scratch_remove(dir);
	cr_assert_eq(io_mkdir_p(&io, dir, &result.error), SB_OK);
	forged.returned = false;
	result = write_cut(make_cut(CUT_ENTRIES));
	cr_assert_eq(result.status, SB_OK, "%s", result.error.message);
	cr_assert_eq(result.totals.entries, 0);
}

Test(coordinator, what_expires_later_is_there_with_what_the_operator_keeps)
{
	struct checkpoint_cut *cut = make_cut(CUT_CHANGES);
	struct checkpoint_result result;

	forged.op =
		(sb_op){.kind = SB_OP_PUT, .key = key_of(0), .value = slice_of(profile, 24), .expiry_ms = CUT_MS + 1};
	cut->tasks[0].has_provider = true;
	result = write_cut(cut);
	cr_assert_eq(result.status, SB_OK, "%s", result.error.message);
	cr_assert(result.totals.entries == 1 && result.totals.value_bytes == 24);
	scratch_remove(dir);
	cr_assert_eq(io_mkdir_p(&io, dir, &result.error), SB_OK);
	forged.returned = false;
	result = write_cut(make_cut(CUT_ENTRIES));
	cr_assert(result.totals.entries == 1 && result.totals.value_bytes == 24);
}

Test(coordinator, a_backend_that_cannot_be_read_costs_one_checkpoint)
{
	forged.status = SB_ERR_IO;
	expect_failure(make_cut(CUT_ENTRIES), SB_ERR_IO, "backend-0 (forged): iter_next: as the test wants it");
	expect_failure(make_cut(CUT_CHANGES), SB_ERR_IO, "backend-0 (forged): changes_next: as the test wants it");
}

Test(coordinator, a_backend_that_makes_no_files_costs_one_checkpoint)
{
	forged.makes = FAILS_TO_MAKE;
	expect_failure(make_cut(CUT_FILES), SB_ERR_NO_SPACE, "backend-0 (forged): create: as the test wants it");
	script.released = 0;
	forged.makes = MAKES_NONE;
	expect_failure(make_cut(CUT_FILES), SB_ERR_INTERNAL, "backend-0 made no files for a checkpoint");
	script.released = 0;
	forged.makes = MAKES_A_FOLDER;
	expect_failure(make_cut(CUT_FILES), SB_ERR_INTERNAL,
		       "a.sst, which a backend made for a checkpoint, is no regular");
}

Test(coordinator, files_of_one_content_are_put_once_and_known_to_the_next_checkpoint)
{
	struct checkpoint_result result;

	forged.makes = MAKES_TWO_OF_ONE_CONTENT;
	result = write_cut(make_cut(CUT_FILES));
	cr_assert_eq(result.status, SB_OK, "%s", result.error.message);
	cr_assert(result.files == 2 && result.files_reused == 1 && result.linked_bytes == 7 &&
		  result.copied_bytes == 0);
}

Test(coordinator, files_of_all_tasks_are_in_the_order_of_tasks_and_names)
{
	struct checkpoint_cut *cut = make_cut(CUT_FILES);
	struct checkpoint_result result;

	cut->meta.tasks = 2;
	snprintf(twin.name, sizeof(twin.name), "backend-1");
	forged.makes = MAKES_TWO_OF_ONE_CONTENT;
	forged.changeable = true;
	coordinator_write(&config, cut, &result);
	cr_assert_eq(result.status, SB_OK, "%s", result.error.message);
	cr_assert(result.files == 4 && result.files_reused == 3 && result.copied_bytes == 7);
	for (uint64_t i = 0; i < 4; i++) {
		cr_assert_str_eq(cut->meta.files[i].snapshot, i < 2 ? "backend-0" : "backend-1");
		cr_assert_str_eq(cut->meta.files[i].name, i % 2 ? "b.sst" : "a.sst");
	}
	checkpoint_cut_free(cut);
}

/* Before its files have been made: then nobody has told the backend yet that it may be written to. */
Test(coordinator, a_checkpoint_without_a_number_is_none)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/quarantine", dir);
	cr_assert_eq(io_mkdir_p(&io, path, &(sb_error)ERROR_INIT), SB_OK);
	strcat(path, "/checkpoint-18446744073709551615.json");
	file_write(path, "", 0);
	expect_failure(make_cut(CUT_FILES), SB_ERR_NO_SPACE, "no checkpoint id is left");
	cr_assert_eq(script.synced, 0);
}

Test(coordinator, what_the_writer_refuses_is_no_checkpoint)
{
	struct checkpoint_cut *cut = make_cut(CUT_ENTRIES);

	cut->meta.tasks = 2;
	expect_failure(cut, SB_ERR_CORRUPT, "\"backend-0\" is there twice");
	cut = make_cut(CUT_ENTRIES);
	free(cut->meta.operator_id);
	cut->meta.operator_id = NULL;
	expect_failure(cut, SB_ERR_INVALID, "names no operator");
	cut = make_cut(CUT_ENTRIES);
	cut->tasks[0].has_provider = true;
	buffer_reserve(&cut->tasks[0].provider, (16u << 20) + 1);
	memset(cut->tasks[0].provider.data, 0, (16u << 20) + 1);
	cut->tasks[0].provider.len = (16u << 20) + 1;
	expect_failure(cut, SB_ERR_NO_SPACE, "the snapshot of operator-0 has 16777217 bytes");
	cr_assert_eq(script.synced, 0);
}

Test(coordinator, without_its_outputs_on_the_disk_there_is_no_checkpoint)
{
	script.sync_status = SB_ERR_IO;
	expect_failure(make_cut(CUT_ENTRIES), SB_ERR_IO, "as the test wants it");
	cr_assert_eq(script.synced, 1);
}

Test(coordinator, a_collection_that_fails_is_told_and_costs_nothing)
{
	config.keep = 0;
	cr_assert_eq(write_cut(make_cut(CUT_ENTRIES)).status, SB_OK);
	expect_line("WARN  Old checkpoints could not be removed");
	scratch_remove(dir);
	cr_assert_eq(io_mkdir_p(&io, dir, &(sb_error)ERROR_INIT), SB_OK);
	config.log = &silent_log;
	cr_assert_eq(write_cut(make_cut(CUT_ENTRIES)).status, SB_OK);
}

static int refuse_rmdir(struct io *failing, const char *path)
{
	(void)failing, (void)path;
	errno = EBUSY;
	return -1;
}

Test(coordinator, a_temporary_directory_that_cannot_be_removed_is_told)
{
	struct io_ops refusing = ops;
	struct io failing = {.ops = &refusing};
	struct checkpoint_result result;
	struct checkpoint_cut *cut = make_cut(CUT_FILES);

	refusing.rmdir = refuse_rmdir;
	config.io = &failing;
	coordinator_write(&config, cut, &result);
	checkpoint_cut_free(cut);
	cr_assert_eq(result.status, SB_OK, "%s", result.error.message);
	expect_line("WARN  Cannot remove a temporary directory");
	cr_assert_eq(count_names(dir, "-backend-0"), 0, "the collection behind it tries again");
}

/* As an open that failed on its way leaves it. */
Test(coordinator, a_half_built_cut_is_freed)
{
	checkpoint_cut_free(calloc(1, sizeof(struct checkpoint_cut)));
	checkpoint_cut_free(NULL);
	coordinator_stop(NULL);
}

Test(coordinator, the_thread_writes_what_it_is_given_before_it_ends)
{
	struct coordinator *coordinator;
	sb_error err = ERROR_INIT;

	cr_assert_eq(coordinator_start(&config, &coordinator, &err), SB_OK);
	coordinator_submit(coordinator, make_cut(CUT_ENTRIES));
	coordinator_stop(coordinator);
	cr_assert(script.done == 1 && forged.open == 0);
	cr_assert_eq(count_names(dir, ".json"), 1);
}

/* --- each allocation, each call ---------------------------------------------------------------- */

static struct checkpoint_cut *prepared;

static void prepare(void)
{
	checkpoint_cut_free(prepared);
	prepared = make_cut(CUT_FILES);
}

/* Written once, as a coordinator does. */
static int32_t write_files(struct io *with, sb_error *err)
{
	struct checkpoint_result result;

	if (!prepared)
		prepare();
	script.released = 0;
	config.io = with;
	coordinator_write(&config, prepared, &result);
	config.io = &io;
	cr_assert_eq(script.released, 1, "whatever fails, the backend is told that it may be written to");
	checkpoint_cut_free(prepared);
	prepared = NULL;
	*err = result.error;
	return result.status;
}

Test(coordinator, what_fails_while_files_are_taken_is_an_error_that_passes)
{
	const struct fault_step step = {"take a backend's files", write_files, true};
	sb_error err = ERROR_INIT;

	forged.makes = MAKES_TWO_OF_ONE_CONTENT;
	cr_assert_eq(fault_step_starve_on(&step, prepare, &err), SB_OK, "%s", err.message);
	cr_assert_eq(fault_step_fail_on(&step, prepare, EIO, &err), SB_OK, "%s", err.message);
	checkpoint_cut_free(prepared);
}
