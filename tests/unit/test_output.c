/* Files that the job appends to: what a checkpoint counts on is there, and what it does not is cut off. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/slice.h"
#include "stream/output.h"

static struct io io;
static struct io_ops ops;
static const struct io_ops *system_ops;
static sb_error err = ERROR_INIT;
static char directory[64], path[96];
static struct output output;
static int fsync_errno;
static unsigned fsyncs, dir_fsyncs;

static int counting_fsync(struct io *unused, int fd)
{
	struct stat st;

	if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
		dir_fsyncs++;
	else
		fsyncs++;
	if (!fsync_errno)
		return system_ops->fsync(unused, fd);
	errno = fsync_errno;
	return -1;
}

static void set_up(void)
{
	io_init_system(&io);
	system_ops = io.ops;
	ops = *system_ops;
	ops.fsync = counting_fsync;
	io.ops = &ops;
	strcpy(directory, "/tmp/sbhost-output-XXXXXX");
	cr_assert_not_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/out", directory);
}

static void tear_down(void)
{
	output_close(&output);
	cr_assert_eq(io_remove_tree(&io, directory, &err), SB_OK);
}

TestSuite(output, .init = set_up, .fini = tear_down);

static int32_t open_at(int64_t restored_length, bool lazy)
{
	return output_open(&output, &io, "output", path, restored_length, lazy, &err);
}

static void must_open(int64_t restored_length, bool lazy)
{
	cr_assert_eq(open_at(restored_length, lazy), SB_OK, "%s", err.message);
}

static void append(const char *text)
{
	cr_assert_eq(output_append(&output, slice_of_text(text), &err), SB_OK, "%s", err.message);
}

static void flush(void)
{
	cr_assert_eq(output_flush(&output, &err), SB_OK, "%s", err.message);
}

static void write_file(const char *text)
{
	FILE *file = fopen(path, "w");

	cr_assert_not_null(file);
	fputs(text, file);
	fclose(file);
}

static void expect_file(const char *text)
{
	char bytes[256];
	FILE *file = fopen(path, "r");
	size_t n;

	cr_assert_not_null(file);
	n = fread(bytes, 1, sizeof(bytes) - 1, file);
	fclose(file);
	bytes[n] = 0;
	cr_assert_str_eq(bytes, text);
}

static bool exists(void)
{
	return access(path, F_OK) == 0;
}

Test(output, appended_bytes_are_counted_at_once_and_written_by_flush)
{
	must_open(-1, false);
	append("one\n");
	append("");
	append("two\n");
	cr_assert_eq(output_length(&output), 8);
	expect_file("");
	flush();
	expect_file("one\ntwo\n");
	append("three\n");
	flush();
	flush();
	expect_file("one\ntwo\nthree\n");
	cr_assert_eq(output_length(&output), 14);
}

Test(output, much_is_written_without_a_flush)
{
	static char bytes[(1 << 20) + 1];
	struct stat st;

	must_open(-1, false);
	cr_assert_eq(output_append(&output, slice_of(bytes, sizeof(bytes)), &err), SB_OK);
	cr_assert_eq(stat(path, &st), 0);
	cr_assert_eq(st.st_size, sizeof(bytes));
}

Test(output, fresh_start_empties_an_old_file)
{
	write_file("old and long");
	must_open(-1, false);
	expect_file("");
	append("new");
	flush();
	expect_file("new");
	cr_assert_eq(output_length(&output), 3);
}

Test(output, new_file_is_private_and_its_directory_synced)
{
	struct stat st;

	must_open(-1, false);
	cr_assert_eq(stat(path, &st), 0);
	cr_assert_eq(st.st_mode & 0777, 0600);
	cr_assert_eq(dir_fsyncs, 1);
	output_close(&output);
	must_open(-1, false);
	cr_assert_eq(dir_fsyncs, 2, "whoever made it may have been killed before that");
	append("something");
	flush();
	output_close(&output);
	must_open(9, false);
	cr_assert_eq(dir_fsyncs, 2, "whoever wrote to it had come to that");
}

Test(output, restored_file_is_cut_back_and_goes_on)
{
	write_file("counted|not counted");
	must_open(8, false);
	expect_file("counted|");
	cr_assert_eq(output_length(&output), 8);
	append("again");
	flush();
	expect_file("counted|again");
	cr_assert_eq(output_length(&output), 13);
}

Test(output, restored_length_zero_empties_and_full_length_keeps)
{
	write_file("all");
	must_open(3, false);
	expect_file("all");
	output_close(&output);
	must_open(0, false);
	expect_file("");
}

Test(output, shorter_file_than_the_checkpoint_counts_on_is_refused_untouched)
{
	write_file("short");
	cr_assert_eq(open_at(6, false), SB_ERR_CONFIG);
	cr_assert_not_null(strstr(err.message, "has 5 bytes, but the checkpoint counts on 6"), "%s", err.message);
	cr_assert_not_null(strstr(err.message, "--output"), "%s", err.message);
	expect_file("short");
	output_close(&output);
}

Test(output, missing_file_that_the_checkpoint_counts_on_is_refused_and_not_made)
{
	cr_assert_eq(open_at(6, false), SB_ERR_CONFIG);
	cr_assert_not_null(strstr(err.message, "has 0 bytes"), "%s", err.message);
	cr_assert_not(exists());
	cr_assert_eq(open_at(6, true), SB_ERR_CONFIG);
	cr_assert_not(exists());
}

Test(output, lazy_file_is_made_by_its_first_write)
{
	must_open(-1, true);
	flush();
	cr_assert_eq(output_sync(&output, &err), SB_OK);
	cr_assert_not(exists());
	append("x");
	flush();
	expect_file("x");
	cr_assert_eq(dir_fsyncs, 1);
	cr_assert_eq(output_sync(&output, &err), SB_OK);
	cr_assert_eq(fsyncs, 1);
}

Test(output, lazy_file_that_is_there_is_emptied_or_cut_back_at_once)
{
	write_file("old");
	must_open(-1, true);
	expect_file("");
	output_close(&output);
	write_file("older");
	must_open(3, true);
	expect_file("old");
}

Test(output, none_keeps_nothing)
{
	cr_assert_eq(output_open(&output, &io, "output", "none", 100, false, &err), SB_OK);
	append("x");
	flush();
	cr_assert_eq(output_sync(&output, &err), SB_OK);
	cr_assert_eq(output_length(&output), 0);
	cr_assert_eq(output.kind, OUTPUT_NONE);
}

Test(output, full_disk_is_an_error_that_names_the_file)
{
	snprintf(path, sizeof(path), "/dev/full");
	must_open(-1, false);
	append("x");
	cr_assert_eq(output_flush(&output, &err), SB_ERR_NO_SPACE);
	cr_assert_not_null(strstr(err.message, "/dev/full"));
}

Test(output, what_is_no_regular_file_is_written_and_not_synced)
{
	snprintf(path, sizeof(path), "/dev/null");
	must_open(-1, false);
	append("x");
	flush();
	cr_assert_eq(output_sync(&output, &err), SB_OK, "%s", err.message);
	cr_assert_eq(fsyncs, 0);
}

Test(output, what_is_no_regular_file_cannot_be_cut_back)
{
	snprintf(path, sizeof(path), "/dev/null");
	must_open(0, false);
	output_close(&output);
	cr_assert_eq(open_at(5, false), SB_ERR_CONFIG);
	cr_assert_not_null(strstr(err.message, "no regular file"), "%s", err.message);
}

Test(output, file_that_cannot_be_opened_is_an_error)
{
	snprintf(path, sizeof(path), "%s/no/such/dir", directory);
	cr_assert_neq(open_at(-1, false), SB_OK);
	cr_assert_not_null(strstr(err.message, path), "%s", err.message);
	snprintf(path, sizeof(path), "%s", directory);
	cr_assert_neq(open_at(-1, false), SB_OK, "a directory");
}

Test(output, sync_is_done_once_for_what_was_written)
{
	must_open(-1, false);
	cr_assert_eq(output_sync(&output, &err), SB_OK);
	cr_assert_eq(fsyncs, 0, "nothing was written");
	append("x");
	flush();
	cr_assert_eq(output_sync(&output, &err), SB_OK);
	cr_assert_eq(output_sync(&output, &err), SB_OK);
	cr_assert_eq(fsyncs, 1);
	append("y");
	flush();
	cr_assert_eq(output_sync(&output, &err), SB_OK);
	cr_assert_eq(fsyncs, 2);
}

Test(output, failed_sync_is_never_mended_by_a_later_one)
{
	must_open(-1, false);
	append("x");
	flush();
	fsync_errno = EIO;
	cr_assert_eq(output_sync(&output, &err), SB_ERR_IO);
	fsync_errno = 0;
	cr_assert_eq(output_sync(&output, &err), SB_ERR_IO);
	append("y");
	flush();
	cr_assert_eq(output_sync(&output, &err), SB_ERR_IO);
	cr_assert_eq(fsyncs, 1, "and is not tried again");
	cr_assert_not_null(strstr(err.message, path), "%s", err.message);
}
