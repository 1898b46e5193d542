/* Every call that touches a file fails once, in every way, during writing, collecting and restoring a
 * checkpoint: the old checkpoint or the new one is there, whole, and nothing piles up. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "fault/checkpoint_fixture.h"
#include "fault/failing_io.h"

/* Not EINTR | FAIL_AFTER: an interrupted call is repeated because the kernel promises that it did nothing. */
static const int failures[] = {
	EIO, ENOSPC, EINTR, EMFILE, EDQUOT, ENOMEM, FAIL_SHORT, EIO | FAIL_AFTER, ENOSPC | FAIL_AFTER};
#define FAILURES (sizeof(failures) / sizeof(failures[0]))
#define CALLS_MAX 10000

static struct failing_io failing;
static struct io io;
static char dir[128];
static struct fixture old, new;

static void set_up(void)
{
	io_init_system(&io);
	failing_io_init(&failing);
	scratch_make(dir);
	fixture_init(&old, 1, 1, 50);
	fixture_init(&new, 2, 2, 2000);
}

static void tear_down(void)
{
	fixture_done(&old);
	fixture_done(&new);
	scratch_remove(dir);
}

TestSuite(checkpoint_faults, .init = set_up, .fini = tear_down);

static const char *in_dir(const char *name, char path[256])
{
	snprintf(path, 256, "%s/%s", dir, name);
	return path;
}

static bool is_there(const char *name)
{
	char path[256];

	return access(in_dir(name, path), F_OK) == 0;
}

static void remove_name(const char *name)
{
	char path[256];

	unlink(in_dir(name, path));
}

static void write_whole(const struct fixture *fixture)
{
	sb_error err = ERROR_INIT;
	char name[64], path[256];

	snprintf(name, sizeof(name), "%s.json", fixture->meta.id);
	unlink(in_dir(name, path));
	cr_assert_eq(fixture_write(&io, dir, fixture, CODEC_LZ4, NULL, &err), SB_OK, "%s", err.message);
}

static void expect_whole(const struct fixture *fixture, const char *when)
{
	sb_error err = ERROR_INIT;
	char name[64], path[256];

	snprintf(name, sizeof(name), "%s.json", fixture->meta.id);
	cr_assert_eq(fixture_compare(&io, in_dir(name, path), fixture, &err), SB_OK, "%s: %s", when, err.message);
}

static const char *describe(uint64_t nth, int failure)
{
	static char text[128];

	snprintf(text, sizeof(text), "call %llu (%s), failure %d", (unsigned long long)nth,
		 failing.hit ? failing_io_call_name(failing.hit_call) : "none", failure);
	return text;
}

/* The next start takes the directory, clears up, and finds one of the two, whole. */
static void expect_restart_finds_one(const char *when)
{
	struct checkpoint_store *store;
	struct checkpoint_reader *reader;
	sb_error err = ERROR_INIT;
	uint64_t damaged;

	cr_assert_eq(checkpoint_store_open(&io, &silent_log, dir, false, true, &store, &err), SB_OK, "%s: %s", when,
		     err.message);
	cr_assert_eq(checkpoint_store_open_newest(store, NULL, true, &reader, &damaged, &err), SB_OK, "%s: %s", when,
		     err.message);
	cr_assert_eq(damaged, 0, "%s", when);
	cr_assert_eq(fixture_compare_items(reader, is_there("checkpoint-2.json") ? &new : &old, &err), SB_OK, "%s: %s",
		     when, err.message);
	checkpoint_reader_close(reader);
	checkpoint_store_close(store);
	cr_assert_eq(count_names(dir, ".tmp"), 0, "%s", when);
}

Test(checkpoint_faults, a_failed_write_leaves_the_old_checkpoint_and_nothing_else)
{
	write_whole(&old);
	for (size_t f = 0; f < FAILURES; f++) {
		uint64_t nth;

		for (nth = 1; nth < CALLS_MAX; nth++) {
			sb_error err = ERROR_INIT;
			int32_t status;

			remove_name("checkpoint-2.json");
			failing_io_arm(&failing, nth, failures[f]);
			status = fixture_write(&failing.io, dir, &new, CODEC_NONE, NULL, &err);
			cr_assert_eq(count_names(dir, ".tmp"), 0, "%s", describe(nth, failures[f]));
			cr_assert_eq(is_there("checkpoint-2.json"), status == SB_OK, "%s", describe(nth, failures[f]));
			expect_whole(&old, describe(nth, failures[f]));
			if (status == SB_OK)
				expect_whole(&new, describe(nth, failures[f]));
			else
				cr_assert(failing.hit && strlen(err.message) > 20, "%s", describe(nth, failures[f]));
			if (!failing.hit)
				break;
		}
		cr_assert(nth > 8 && nth < CALLS_MAX, "only %llu calls", (unsigned long long)nth);
	}
}

Test(checkpoint_faults, short_and_interrupted_writes_are_carried_on)
{
	static const int harmless[] = {FAIL_SHORT, EINTR};

	for (size_t f = 0; f < 2; f++)
		for (uint64_t nth = 1;; nth++) {
			sb_error err = ERROR_INIT;

			remove_name("checkpoint-2.json");
			failing_io_arm(&failing, nth, harmless[f]);
			failing.mask = IO_ONLY(IO_CALL_WRITE) | IO_ONLY(IO_CALL_OPEN);
			cr_assert_eq(fixture_write(&failing.io, dir, &new, CODEC_NONE, NULL, &err), SB_OK);
			expect_whole(&new, describe(nth, harmless[f]));
			if (!failing.hit)
				break;
		}
}

Test(checkpoint_faults, a_failed_fsync_is_never_tried_again)
{
	for (uint64_t nth = 1; nth <= 2; nth++) {
		sb_error err = ERROR_INIT;

		failing_io_arm(&failing, nth, EIO);
		failing.mask = IO_ONLY(IO_CALL_FSYNC);
		cr_assert_eq(fixture_write(&failing.io, dir, &new, CODEC_NONE, NULL, &err), SB_ERR_IO);
		cr_assert_eq(failing.count[IO_CALL_FSYNC], nth);
		cr_assert(!is_there("checkpoint-2.json"));
	}
}

Test(checkpoint_faults, a_disk_that_fails_for_good_leaves_a_whole_checkpoint_and_what_the_next_start_clears_up)
{
	write_whole(&old);
	for (uint64_t nth = 1; nth < CALLS_MAX; nth++) {
		sb_error err = ERROR_INIT;

		failing_io_arm(&failing, nth, EIO);
		failing.sticky = true;
		fixture_write(&failing.io, dir, &new, CODEC_NONE, NULL, &err);
		expect_whole(&old, describe(nth, EIO));
		expect_restart_finds_one(describe(nth, EIO));
		remove_name("checkpoint-2.json");
		if (!failing.hit)
			break;
	}
}

Test(checkpoint_faults, a_writer_that_is_killed_leaves_the_old_or_the_new_one)
{
	int status;

	write_whole(&old);
	for (uint64_t nth = 1; nth < CALLS_MAX; nth++) {
		pid_t child = fork();

		if (child == 0) {
			sb_error err = ERROR_INIT;

			failing_io_arm(&failing, nth, FAIL_KILL);
			_exit(fixture_write(&failing.io, dir, &new, CODEC_NONE, NULL, &err) == SB_OK ? 0 : 1);
		}
		cr_assert_eq(waitpid(child, &status, 0), child);
		expect_whole(&old, "after a kill");
		expect_restart_finds_one("after a kill");
		if (is_there("checkpoint-2.json"))
			expect_whole(&new, "after a kill");
		if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
			break;
		cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == FAILING_IO_KILL_STATUS);
		remove_name("checkpoint-2.json");
	}
	cr_assert(is_there("checkpoint-2.json"));
}

static struct checkpoint_store *open_failing_store(void)
{
	struct checkpoint_store *store;
	sb_error err = ERROR_INIT;

	failing_io_disarm(&failing);
	cr_assert_eq(checkpoint_store_open(&failing.io, &silent_log, dir, true, true, &store, &err), SB_OK);
	return store;
}

Test(checkpoint_faults, a_failed_collection_never_takes_what_is_to_be_kept)
{
	struct checkpoint_store *store = open_failing_store();
	struct fixture third;

	fixture_init(&third, 3, 3, 10);
	for (size_t f = 0; f < FAILURES; f++)
		for (uint64_t nth = 1; nth < CALLS_MAX; nth++) {
			sb_error err = ERROR_INIT;
			uint64_t removed = 0;

			write_whole(&old);
			write_whole(&new);
			write_whole(&third);
			failing_io_arm(&failing, nth, failures[f]);
			checkpoint_store_collect(store, 2, &removed, &err);
			expect_whole(&new, describe(nth, failures[f]));
			expect_whole(&third, describe(nth, failures[f]));
			cr_assert_leq(removed, 1);
			if (!failing.hit) {
				cr_assert(removed == 1 && !is_there("checkpoint-1.json"));
				break;
			}
		}
	fixture_done(&third);
	failing_io_disarm(&failing);
	checkpoint_store_close(store);
}

Test(checkpoint_faults, a_file_that_cannot_be_read_is_not_taken_for_a_damaged_one)
{
	struct checkpoint_store *store = open_failing_store();

	write_whole(&old);
	write_whole(&new);
	for (size_t f = 0; f < FAILURES; f++)
		for (uint64_t nth = 1; nth < CALLS_MAX; nth++) {
			struct checkpoint_reader *reader = NULL;
			sb_error err = ERROR_INIT;
			uint64_t damaged = 0;
			int32_t status;

			failing_io_arm(&failing, nth, failures[f]);
			status = checkpoint_store_open_newest(store, NULL, true, &reader, &damaged, &err);
			if (status == SB_OK) {
				status = fixture_compare_items(reader, &new, &err);
				checkpoint_reader_close(reader);
			}
			cr_assert(status == SB_OK ||
					  (failing.hit && (status == SB_ERR_IO || status == SB_ERR_NO_SPACE ||
							   status == SB_ERR_NO_MEMORY)),
				  "%s gave %d: %s", describe(nth, failures[f]), status, err.message);
			cr_assert_eq(damaged, 0);
			cr_assert(!is_there("quarantine"), "%s", describe(nth, failures[f]));
			if (!failing.hit)
				break;
			if (failures[f] == FAIL_SHORT)
				cr_assert_eq(status, SB_OK, "%s", describe(nth, failures[f]));
		}
	failing_io_disarm(&failing);
	checkpoint_store_close(store);
}

Test(checkpoint_faults, a_damaged_file_is_never_lost_on_its_way_to_quarantine)
{
	struct checkpoint_store *store = open_failing_store();
	char path[256];

	write_whole(&old);
	for (size_t f = 0; f < FAILURES; f++)
		for (uint64_t nth = 1; nth < CALLS_MAX; nth++) {
			struct checkpoint_reader *reader = NULL;
			sb_error err = ERROR_INIT;
			uint64_t damaged = 0;
			int32_t status;
			bool hit;

			scratch_remove(in_dir("quarantine", path));
			file_write(in_dir("checkpoint-2.json", path), "{\"ID\":", 6);
			failing_io_arm(&failing, nth, failures[f]);
			status = checkpoint_store_open_newest(store, NULL, true, &reader, &damaged, &err);
			hit = failing.hit;
			failing_io_disarm(&failing);
			if (status == SB_OK) {
				cr_assert_eq(fixture_compare_items(reader, &old, &err), SB_OK, "%s: %s",
					     describe(nth, failures[f]), err.message);
				checkpoint_reader_close(reader);
			}
			cr_assert_eq(is_there("checkpoint-2.json") + is_there("quarantine/checkpoint-2.json"), 1, "%s",
				     describe(nth, failures[f]));
			if (!hit) {
				cr_assert(status == SB_OK && is_there("quarantine/checkpoint-2.json"));
				break;
			}
		}
	failing_io_disarm(&failing);
	checkpoint_store_close(store);
}

Test(checkpoint_faults, a_store_that_cannot_be_opened_lets_go_of_its_lock)
{
	write_whole(&old);
	for (size_t f = 0; f < FAILURES; f++)
		for (uint64_t nth = 1; nth < CALLS_MAX; nth++) {
			struct checkpoint_store *store;
			sb_error err = ERROR_INIT;

			failing_io_arm(&failing, nth, failures[f]);
			if (checkpoint_store_open(&failing.io, &silent_log, dir, true, true, &store, &err) == SB_OK)
				checkpoint_store_close(store);
			expect_restart_finds_one(describe(nth, failures[f]));
			if (!failing.hit)
				break;
		}
}

Test(checkpoint_faults, descriptors_are_given_back_after_every_failure)
{
	unsigned before = count_names("/proc/self/fd", "");

	write_whole(&old);
	for (uint64_t nth = 1; nth < CALLS_MAX; nth++) {
		sb_error err = ERROR_INIT;

		remove_name("checkpoint-2.json");
		failing_io_arm(&failing, nth, EIO);
		fixture_write(&failing.io, dir, &new, CODEC_LZ4, NULL, &err);
		if (!failing.hit)
			break;
	}
	cr_assert_eq(count_names("/proc/self/fd", ""), before);
}

/* What stat says of the file and of the name. */
enum lie { NO_LIE, NOT_RENAMED, OURS_UNKNOWN, NAMED_UNKNOWN, OTHER_INODE, OTHER_DEVICE };
static enum lie lie;
static struct io truth;

/* Done, and reported as failed: as a disk does that breaks in between. */
static int rename_and_fail(struct io *lying, const char *from, const char *to, bool replace)
{
	(void)lying;
	if (lie != NOT_RENAMED)
		cr_assert_eq(truth.ops->rename(&truth, from, to, replace), 0);
	errno = EIO;
	return -1;
}

static int lie_about_ours(struct io *lying, int fd, struct stat *ret)
{
	(void)lying;
	errno = EIO;
	return lie == OURS_UNKNOWN ? -1 : truth.ops->fstat(&truth, fd, ret);
}

static int lie_about_named(struct io *lying, const char *path, struct stat *ret)
{
	int result = truth.ops->lstat(&truth, path, ret);

	(void)lying;
	if (lie == NAMED_UNKNOWN) {
		errno = EIO;
		return -1;
	}
	ret->st_ino += lie == OTHER_INODE;
	ret->st_dev += lie == OTHER_DEVICE;
	return result;
}

/* Who bears the name by then is another's, or nobody knows: it stays. */
Test(checkpoint_faults, a_failed_checkpoint_gives_up_its_name_if_it_is_its_own)
{
	struct io_ops ops = *io.ops;
	struct io lying = {.ops = &ops};

	io_init_system(&truth);
	ops.rename = rename_and_fail;
	ops.fstat = lie_about_ours;
	ops.lstat = lie_about_named;
	for (lie = NO_LIE; lie <= OTHER_DEVICE; lie++) {
		sb_error err = ERROR_INIT;

		cr_assert_eq(fixture_write(&lying, dir, &new, CODEC_NONE, NULL, &err), SB_ERR_IO);
		cr_assert_eq(count_names(dir, ".json"), lie > NOT_RENAMED, "lie %d", lie);
		cr_assert_eq(count_names(dir, ".tmp"), 0);
		remove_name("checkpoint-2.json");
	}
}
