/* The checkpoint directory: what is restored, what is set aside, which ids are given, what is removed. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "checkpoint/shared.h"
#include "checkpoint/sweep.h"
#include "fault/checkpoint_fixture.h"

static struct io io;
static char dir[128];
static struct checkpoint_store *store;

static void set_up(void)
{
	sb_error err = ERROR_INIT;

	io_init_system(&io);
	scratch_make(dir);
	cr_assert_eq(checkpoint_store_open(&io, &silent_log, dir, true, true, &store, &err), SB_OK);
}

static void tear_down(void)
{
	checkpoint_store_close(store);
	scratch_remove(dir);
}

TestSuite(checkpoint_store, .init = set_up, .fini = tear_down);

static void path_of(uint64_t number, const char *suffix, char path[256])
{
	snprintf(path, 256, "%s/checkpoint-%llu%s", dir, (unsigned long long)number, suffix);
}

static void write_checkpoint(uint64_t number)
{
	struct fixture fixture;
	sb_error err = ERROR_INIT;

	fixture_init(&fixture, number, number, 20);
	cr_assert_eq(fixture_write(&io, dir, &fixture, CODEC_LZ4, NULL, &err), SB_OK, "%s", err.message);
	fixture_done(&fixture);
}

static void damage(uint64_t number)
{
	char path[256];
	uint8_t *bytes;
	size_t len;

	path_of(number, ".json", path);
	bytes = file_read(path, &len);
	bytes[len / 2] ^= 1;
	file_write(path, bytes, len);
	free(bytes);
}

static void expect_newest(uint64_t number, uint64_t expected_damaged)
{
	struct checkpoint_reader *reader;
	struct fixture fixture;
	sb_error err = ERROR_INIT;
	uint64_t damaged = 99;

	cr_assert_eq(checkpoint_store_open_newest(store, NULL, true, &reader, &damaged, &err), SB_OK, "%s",
		     err.message);
	cr_assert_eq(damaged, expected_damaged);
	fixture_init(&fixture, number, number, 20);
	cr_assert_eq(fixture_compare_meta(checkpoint_reader_meta(reader), &fixture.meta, &err), SB_OK, "%s",
		     err.message);
	cr_assert_eq(fixture_compare_items(reader, &fixture, &err), SB_OK, "%s", err.message);
	fixture_done(&fixture);
	checkpoint_reader_close(reader);
}

Test(checkpoint_store, lists_newest_first_by_number_and_nothing_else)
{
	struct checkpoint_ref *refs;
	sb_error err = ERROR_INIT;
	uint64_t count;
	char path[256];

	write_checkpoint(9);
	write_checkpoint(100);
	write_checkpoint(20);
	path_of(7, ".json.bak", path);
	file_write(path, "", 0);
	path_of(8, "", path);
	file_write(path, "", 0);
	snprintf(path, sizeof(path), "%s/checkpoint-07.json", dir);
	file_write(path, "", 0);
	snprintf(path, sizeof(path), "%s/checkpoint-99999999999999999999.json", dir);
	file_write(path, "", 0);
	path_of(6, ".json", path);
	cr_assert_eq(symlink("checkpoint-9.json", path), 0);
	cr_assert_eq(checkpoint_store_list(store, &refs, &count, &err), SB_OK);
	cr_assert_eq(count, 3);
	cr_assert(refs[0].number == 100 && refs[1].number == 20 && refs[2].number == 9);
	cr_assert_str_eq(refs[0].id, "checkpoint-100");
	cr_assert_gt(refs[0].file_bytes, 100);
	free(refs);
}

Test(checkpoint_store, restores_the_newest)
{
	write_checkpoint(9);
	write_checkpoint(10);
	expect_newest(10, 0);
	cr_assert(!checkpoint_store_has_quarantine(store));
}

static char synced[64]; /* the last name of the directory that was synced last */

static int note_fsync(struct io *system, int fd)
{
	char link[32], path[256] = "";

	(void)system;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	cr_assert_gt(readlink(link, path, sizeof(path) - 1), 0);
	snprintf(synced, sizeof(synced), "%.60s", strrchr(path, '/') + 1);
	return 0;
}

/* Its writer may have been killed between rename and sync: then the power must not take it from under the job that goes on from it. */
Test(checkpoint_store, what_a_job_finds_is_made_durable_before_it_goes_on_from_it)
{
	struct io_ops ops = *io.ops;
	struct io noting = {.ops = &ops};
	sb_error err = ERROR_INIT;

	write_checkpoint(100);
	checkpoint_store_close(store);
	ops.fsync = note_fsync;
	cr_assert_eq(checkpoint_store_open(&noting, &silent_log, dir, true, true, &store, &err), SB_OK);
	cr_assert_str_eq(synced, strrchr(dir, '/') + 1);
	checkpoint_store_close(store);
	cr_assert_eq(checkpoint_store_open(&io, &silent_log, dir, true, true, &store, &err), SB_OK);
}

/* A power cut that keeps the checkpoint's name keeps shared/, too: both are in one directory. */
Test(checkpoint_store, shared_gets_a_durable_name_before_a_checkpoint_counts_on_it)
{
	struct io_ops ops = *io.ops;
	struct io noting = {.ops = &ops};
	struct shared shared;
	struct file_meta file = {0};
	enum shared_how how;
	sb_error err = ERROR_INIT;
	char path[256];

	ops.fsync = note_fsync;
	snprintf(path, sizeof(path), "%s/made-by-a-backend", dir);
	file_write(path, (const uint8_t *)"content", 7);
	shared_init(&shared, &noting, dir);
	shared_begin(&shared);
	cr_assert_eq(shared_put(&shared, path, true, &file, &how, &err), SB_OK, "%s", err.message);
	cr_assert_eq(shared_sync(&shared, &err), SB_OK, "%s", err.message);
	cr_assert_str_eq(synced, strrchr(dir, '/') + 1);
	cr_assert_eq(shared_sync(&shared, &err), SB_OK, "%s", err.message);
	cr_assert_str_eq(synced, "shared", "once in a run is enough");
	shared_done(&shared);
}

Test(checkpoint_store, takes_the_older_checkpoint_when_newer_ones_are_damaged_and_sets_these_aside)
{
	char path[256];

	write_checkpoint(1);
	write_checkpoint(2);
	write_checkpoint(3);
	damage(2);
	damage(3);
	expect_newest(1, 2);
	cr_assert(checkpoint_store_has_quarantine(store));
	snprintf(path, sizeof(path), "%s/quarantine/checkpoint-3.json", dir);
	cr_assert_eq(access(path, F_OK), 0);
	cr_assert_eq(count_names(dir, ".json"), 1);
	expect_newest(1, 0);
}

Test(checkpoint_store, a_tool_passes_over_damaged_ones_and_moves_nothing)
{
	struct checkpoint_reader *reader;
	sb_error err = ERROR_INIT;
	uint64_t damaged;

	write_checkpoint(1);
	write_checkpoint(2);
	damage(2);
	cr_assert_eq(checkpoint_store_open_newest(store, NULL, false, &reader, &damaged, &err), SB_OK);
	cr_assert_eq(damaged, 1);
	checkpoint_reader_close(reader);
	cr_assert_eq(count_names(dir, ".json"), 2);
}

Test(checkpoint_store, quarantine_never_replaces)
{
	char path[256];

	write_checkpoint(1);
	for (int i = 0; i < 3; i++) {
		write_checkpoint(2);
		damage(2);
		expect_newest(1, 1);
	}
	snprintf(path, sizeof(path), "%s/quarantine", dir);
	cr_assert_eq(count_names(path, ""), 3);
}

Test(checkpoint_store, says_how_many_were_damaged_when_none_is_left)
{
	struct checkpoint_reader *reader;
	sb_error err = ERROR_INIT;
	uint64_t damaged = 99;

	cr_assert_eq(checkpoint_store_open_newest(store, NULL, true, &reader, &damaged, &err), SB_ERR_NOT_FOUND);
	cr_assert_eq(damaged, 0);
	write_checkpoint(1);
	damage(1);
	cr_assert_eq(checkpoint_store_open_newest(store, NULL, true, &reader, &damaged, &err), SB_ERR_NOT_FOUND);
	cr_assert_eq(damaged, 1);
	cr_assert(strstr(err.message, "1 damaged"), "%s", err.message);
}

Test(checkpoint_store, a_checkpoint_asked_for_by_id_is_that_one_or_an_error)
{
	struct checkpoint_reader *reader;
	sb_error err = ERROR_INIT;
	uint64_t damaged;

	write_checkpoint(1);
	write_checkpoint(2);
	write_checkpoint(3);
	damage(3);
	cr_assert_eq(checkpoint_store_open_newest(store, "checkpoint-1", true, &reader, &damaged, &err), SB_OK);
	cr_assert_str_eq(checkpoint_reader_meta(reader)->id, "checkpoint-1");
	checkpoint_reader_close(reader);
	cr_assert_eq(checkpoint_store_open_newest(store, "checkpoint-3", true, &reader, &damaged, &err),
		     SB_ERR_CORRUPT);
	cr_assert_eq(checkpoint_store_open_newest(store, "checkpoint-4", true, &reader, &damaged, &err),
		     SB_ERR_NOT_FOUND);
	cr_assert_eq(checkpoint_store_open_newest(store, "../etc/passwd", true, &reader, &damaged, &err),
		     SB_ERR_NOT_FOUND);
	cr_assert_eq(count_names(dir, ".json"), 3);
}

Test(checkpoint_store, ids_rise_whatever_the_clock_does)
{
	struct fake_clock clock;
	sb_error err = ERROR_INIT;
	char id[CHECKPOINT_ID_BYTES];

	fake_clock_init(&clock, 1000);
	cr_assert_eq(checkpoint_store_next_id(store, &clock.clock, id, &err), SB_OK);
	cr_assert_str_eq(id, "checkpoint-1000");
	clock.now_ns = 500; /* handed out, not written */
	cr_assert_eq(checkpoint_store_next_id(store, &clock.clock, id, &err), SB_OK);
	cr_assert_str_eq(id, "checkpoint-1001");
	write_checkpoint(5000);
	cr_assert_eq(checkpoint_store_next_id(store, &clock.clock, id, &err), SB_OK);
	cr_assert_str_eq(id, "checkpoint-5001");
	clock.now_ns = INT64_MIN;
	write_checkpoint(7000);
	write_checkpoint(6);
	damage(7000);
	expect_newest(5000, 1);
	cr_assert_eq(checkpoint_store_next_id(store, &clock.clock, id, &err), SB_OK);
	cr_assert_str_eq(id, "checkpoint-7001", "the quarantined one counts");
	clock.now_ns = 8000;
	cr_assert_eq(checkpoint_store_next_id(store, &clock.clock, id, &err), SB_OK);
	cr_assert_str_eq(id, "checkpoint-8000");
	write_checkpoint(UINT64_MAX);
	cr_assert_eq(checkpoint_store_next_id(store, &clock.clock, id, &err), SB_ERR_NO_SPACE);
}

Test(checkpoint_store, keeps_the_newest_and_removes_the_rest)
{
	sb_error err = ERROR_INIT;
	uint64_t removed;

	for (uint64_t i = 1; i <= 7; i++)
		write_checkpoint(i);
	cr_assert_eq(checkpoint_store_collect(store, 3, &removed, &err), SB_OK);
	cr_assert_eq(removed, 4);
	cr_assert_eq(count_names(dir, ".json"), 3);
	expect_newest(7, 0);
	cr_assert_eq(checkpoint_store_collect(store, 3, &removed, &err), SB_OK);
	cr_assert_eq(removed, 0);
	cr_assert_eq(checkpoint_store_collect(store, 0, &removed, &err), SB_ERR_INVALID);
}

/* As many good ones stay as are to be kept, whatever lies above them. */
Test(checkpoint_store, what_cannot_be_restored_is_not_among_those_that_are_kept)
{
	sb_error err = ERROR_INIT;
	uint64_t removed;
	char path[256];

	for (uint64_t i = 1; i <= 5; i++)
		write_checkpoint(i);
	for (uint64_t i = 4; i <= 5; i++) {
		path_of(i, ".json", path);
		file_write(path, "{", 1);
	}
	cr_assert_eq(checkpoint_store_collect(store, 2, &removed, &err), SB_OK);
	cr_assert_eq(removed, 1);
	expect_newest(3, 2);
	path_of(2, ".json", path);
	cr_assert_eq(access(path, F_OK), 0);
}

Test(checkpoint_store, collection_leaves_a_temporary_that_is_being_written)
{
	sb_error err = ERROR_INIT;
	uint64_t removed;
	char path[256];

	write_checkpoint(5);
	path_of(4, ".json.tmp", path);
	file_write(path, "", 0);
	path_of(6, ".json.tmp", path);
	file_write(path, "", 0);
	cr_assert_eq(checkpoint_store_collect(store, 1, &removed, &err), SB_OK);
	cr_assert_eq(count_names(dir, ".tmp"), 1);
	cr_assert_eq(access(path, F_OK), 0);
}

Test(checkpoint_store, one_job_has_the_directory_and_only_it_removes_temporaries)
{
	struct checkpoint_store *other;
	sb_error err = ERROR_INIT;
	char path[256];

	path_of(5, ".json.tmp", path);
	file_write(path, "half", 4);
	cr_assert_eq(checkpoint_store_open(&io, &silent_log, dir, false, true, &other, &err), SB_ERR_BUSY);
	cr_assert_eq(checkpoint_store_open(&io, &silent_log, dir, false, false, &other, &err), SB_OK);
	checkpoint_store_close(other);
	cr_assert_eq(access(path, F_OK), 0);
	checkpoint_store_close(store);
	cr_assert_eq(checkpoint_store_open(&io, &silent_log, dir, false, true, &store, &err), SB_OK);
	cr_assert_neq(access(path, F_OK), 0);
}

static int refuse_checkpoints(struct io *failing, const char *path)
{
	(void)failing;
	if (strstr(path, "/checkpoint-")) {
		errno = EIO;
		return -1;
	}
	return unlink(path);
}

/* What a checkpoint needs stays as long as the checkpoint does, whatever the plan was. */
Test(checkpoint_store, nothing_more_goes_when_a_checkpoint_cannot_be_removed)
{
	struct io_ops ops = *io.ops;
	struct sweep_plan plan = {0};
	sb_error err = ERROR_INIT;
	uint64_t removed = 99;
	char path[256];

	write_checkpoint(1);
	write_checkpoint(2);
	snprintf(path, sizeof(path), "%s/shared", dir);
	cr_assert_eq(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/shared/%064d", dir, 7);
	file_write(path, "named by none", 13);
	ops.unlink = refuse_checkpoints;
	io.ops = &ops;
	cr_assert_eq(checkpoint_store_collect(store, 1, &removed, &err), SB_OK);
	cr_assert_eq(removed, 0);
	cr_assert_eq(count_names(dir, ".json"), 2);
	cr_assert_eq(access(path, F_OK), 0);
	io_init_system(&io);
	cr_assert_eq(sweep_plan_make(store, 1, true, &plan, &err), SB_OK, "%s", err.message);
	cr_assert_eq(sweep_execute(store, &plan, &removed, &err), SB_OK);
	cr_assert_eq(removed, 1);
	cr_assert_eq(plan.count, 4, "two checkpoints, the lock, and a file in shared/");
	cr_assert(plan.files[0].stays && !plan.files[0].removed && strcmp(plan.files[0].why, "the newest") == 0);
	cr_assert(!plan.files[1].stays && plan.files[1].removed && strcmp(plan.files[1].id, "checkpoint-1") == 0);
	cr_assert(plan.files[3].removed && strncmp(plan.files[3].name, "shared/", 7) == 0);
	cr_assert_neq(access(path, F_OK), 0);
	sweep_plan_done(&plan);
}

Test(checkpoint_store, is_not_there_when_nobody_made_it)
{
	struct checkpoint_store *other;
	sb_error err = ERROR_INIT;
	char path[256];

	snprintf(path, sizeof(path), "%s/a/b", dir);
	cr_assert_eq(checkpoint_store_open(&io, &silent_log, path, false, false, &other, &err), SB_ERR_NOT_FOUND);
	cr_assert_eq(checkpoint_store_open(&io, &silent_log, path, true, true, &other, &err), SB_OK);
	checkpoint_store_close(other);
}
