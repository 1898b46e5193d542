/* From system calls to statuses: what the functions promise beyond the calls themselves. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "io/io.h"

static struct io io;
static struct io_ops ops;
static const struct io_ops *system_ops;
static sb_error err = ERROR_INIT;
static char directory[64];
static struct buffer names;

static void set_up(void)
{
	io_init_system(&io);
	system_ops = io.ops;
	strcpy(directory, "/tmp/sbhost-io-XXXXXX");
	cr_assert_not_null(mkdtemp(directory));
}

static void tear_down(void)
{
	io_init_system(&io);
	cr_assert_eq(io_remove_tree(&io, directory, &err), SB_OK, "%s", err.message);
	buffer_done(&names);
}

TestSuite(io, .init = set_up, .fini = tear_down);

/* A path in the test's directory; a few of them at a time. */
static const char *in(const char *name)
{
	static char paths[8][192];
	static unsigned next;
	char *path = paths[next++ % 8];

	snprintf(path, sizeof(paths[0]), "%s/%s", directory, name);
	return path;
}

static void write_file(const char *name, const char *text)
{
	FILE *file = fopen(in(name), "w");

	cr_assert_not_null(file);
	fputs(text, file);
	fclose(file);
}

static void expect_file(const char *name, const char *text)
{
	char bytes[64];
	FILE *file = fopen(in(name), "r");
	size_t n;

	cr_assert_not_null(file);
	n = fread(bytes, 1, sizeof(bytes) - 1, file);
	fclose(file);
	bytes[n] = 0;
	cr_assert_str_eq(bytes, text);
}

static bool exists(const char *name)
{
	struct stat st;
	bool result = false;

	cr_assert_eq(io_lstat(&io, in(name), &st, &result, &err), SB_OK, "%s", err.message);
	return result;
}

static void must(int32_t status)
{
	cr_assert_eq(status, SB_OK, "%s", err.message);
}

Test(io, new_file_replaces_nothing_and_follows_no_link)
{
	struct stat st;
	int fd = -1;

	must(io_create_new(&io, in("new"), &fd, &err));
	must(io_stat_fd(&io, fd, &st, "new", &err));
	cr_assert_eq(st.st_mode & 0777, 0600);
	cr_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	io_close(&io, fd);
	fd = -7;
	cr_assert_neq(io_create_new(&io, in("new"), &fd, &err), SB_OK);
	cr_assert_eq(err.sys_errno, EEXIST);
	cr_assert_eq(symlink(in("nowhere"), in("link")), 0);
	cr_assert_neq(io_create_new(&io, in("link"), &fd, &err), SB_OK);
	cr_assert_not(exists("nowhere"));
	cr_assert_eq(fd, -7, "outputs are untouched on failure");
	io_close(&io, -1);
}

Test(io, rename_new_refuses_to_replace)
{
	write_file("from", "new");
	write_file("to", "old");
	cr_assert_neq(io_rename_new(&io, in("from"), in("to"), &err), SB_OK);
	cr_assert_eq(err.sys_errno, EEXIST);
	expect_file("from", "new");
	expect_file("to", "old");
	must(io_rename_new(&io, in("from"), in("free"), &err));
	expect_file("free", "new");
	cr_assert_not(exists("from"));
}

Test(io, rename_over_replaces)
{
	write_file("from", "new");
	write_file("to", "old");
	must(io_rename_over(&io, in("from"), in("to"), &err));
	expect_file("to", "new");
}

Test(io, remove_tree_removes_links_and_not_what_they_point_to)
{
	must(io_mkdir_p(&io, in("tree/a/b"), &err));
	must(io_mkdir_p(&io, in("kept"), &err));
	write_file("kept/file", "kept");
	write_file("tree/a/b/file", "gone");
	cr_assert_eq(symlink(in("kept"), in("tree/a/to-directory")), 0);
	cr_assert_eq(symlink(in("kept/file"), in("tree/to-file")), 0);
	cr_assert_eq(symlink("nowhere", in("tree/dangling")), 0);
	must(io_remove_tree(&io, in("tree"), &err));
	cr_assert_not(exists("tree"));
	expect_file("kept/file", "kept");
	cr_assert_eq(symlink(in("kept"), in("root-link")), 0);
	must(io_remove_tree(&io, in("root-link"), &err));
	cr_assert_not(exists("root-link"));
	expect_file("kept/file", "kept");
	must(io_remove_tree(&io, in("not-there"), &err));
	must(io_remove_tree(&io, in("kept/file"), &err));
	cr_assert_not(exists("kept/file"));
}

Test(io, empty_dir_keeps_the_directory_and_names_with_the_prefix)
{
	must(io_mkdir_p(&io, in("d/.sbhost-dir/x"), &err));
	must(io_mkdir_p(&io, in("d/sub/.sbhost"), &err));
	write_file("d/.sbhost-lock", "kept");
	write_file("d/file", "gone");
	write_file("d/.sbhos", "gone");
	must(io_empty_dir(&io, in("d"), ".sbhost", &err));
	cr_assert(exists("d/.sbhost-lock"));
	cr_assert(exists("d/.sbhost-dir/x"));
	cr_assert_not(exists("d/file"));
	cr_assert_not(exists("d/.sbhos"));
	cr_assert_not(exists("d/sub"), "the prefix counts at the top only");
	must(io_empty_dir(&io, in("d"), NULL, &err));
	cr_assert(exists("d"));
	must(io_list(&io, in("d"), &names, &(uint64_t){0}, &err));
	cr_assert_eq(names.len, 0);
	cr_assert_neq(io_empty_dir(&io, in("not-there"), NULL, &err), SB_OK);
}

Test(io, list_is_sorted_and_without_dots)
{
	uint64_t count = 99;

	write_file("b", "");
	write_file("a", "");
	write_file(".hidden", "");
	write_file("a0", "");
	buffer_append_text(&names, "what was there before");
	must(io_list(&io, directory, &names, &count, &err));
	cr_assert_eq(count, 4);
	cr_assert_eq(names.len, sizeof(".hidden\0a\0a0\0b"));
	cr_assert_arr_eq(names.data, ".hidden\0a\0a0\0b", names.len);
	count = 99;
	cr_assert_eq(io_list(&io, in("not-there"), &names, &count, &err), SB_ERR_NOT_FOUND);
	cr_assert_eq(count, 99);
}

Test(io, mkdir_p_makes_parents_and_accepts_what_is_there)
{
	struct stat st;

	must(io_mkdir_p(&io, in("a/b//c/"), &err));
	cr_assert_eq(stat(in("a/b/c"), &st), 0);
	cr_assert(S_ISDIR(st.st_mode));
	cr_assert_eq(st.st_mode & 0777, 0700);
	must(io_mkdir_p(&io, in("a/b/c"), &err));
	must(io_mkdir_p(&io, "/", &err));
	must(io_mkdir_p(&io, "/tmp", &err));
	write_file("file", "");
	cr_assert_neq(io_mkdir_p(&io, in("file/below"), &err), SB_OK);
	cr_assert_not_null(strstr(err.message, "file/below"), "%s", err.message);
	cr_assert_neq(io_mkdir_p(&io, "", &err), SB_OK, "an empty path is no directory");
}

/* The directories whose fsync was asked for, one behind the other. */
static char synced[512];

static int note_fsync(struct io *system, int fd)
{
	char link[32], path[256] = "";

	(void)system;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	cr_assert_gt(readlink(link, path, sizeof(path) - 1), 0);
	strcat(strcat(synced, strncmp(path, directory, strlen(directory)) == 0 ? path + strlen(directory) : path), " ");
	return 0;
}

Test(io, mkdir_durable_puts_nothing_into_what_has_no_durable_name)
{
	ops = *system_ops;
	ops.fsync = note_fsync;
	io.ops = &ops;
	must(io_mkdir_durable(&io, in("a/b//c/"), &err));
	cr_assert_str_eq(synced, "/tmp  /a /a/b ", "a's parent's name, then those of a, b and c");
	synced[0] = 0;
	must(io_mkdir_durable(&io, in("a/b/c"), &err));
	cr_assert_str_eq(synced, "/a/b ", "whoever made it may not have come to that");
}

static int refuse_fsync(struct io *system, int fd)
{
	(void)system;
	(void)fd;
	errno = EIO;
	return -1;
}

Test(io, mkdir_durable_fails_when_a_name_cannot_be_synced)
{
	ops = *system_ops;
	ops.fsync = refuse_fsync;
	io.ops = &ops;
	cr_assert_neq(io_mkdir_durable(&io, in("a"), &err), SB_OK);
	cr_assert_eq(err.sys_errno, EIO);
}

Test(io, mkdir_p_takes_a_relative_path)
{
	cr_assert_eq(chdir(directory), 0);
	must(io_mkdir_p(&io, "r/s", &err));
	must(io_mkdir_p(&io, "./t", &err));
	must(io_mkdir_p(&io, "u", &err));
	cr_assert(exists("r/s") && exists("t") && exists("u"));
}

Test(io, unlink_of_what_is_not_there_is_fine)
{
	must(io_unlink(&io, in("not-there"), &err));
	must(io_mkdir_p(&io, in("directory"), &err));
	cr_assert_neq(io_unlink(&io, in("directory"), &err), SB_OK);
}

Test(io, lstat_tells_a_link_and_what_is_not_there)
{
	struct stat st = {.st_size = 77};
	bool there = true;

	must(io_lstat(&io, in("not-there"), &st, &there, &err));
	cr_assert(!there && st.st_size == 77);
	write_file("file", "");
	must(io_lstat(&io, in("file/below"), &st, &there, &err));
	cr_assert_not(there);
	cr_assert_eq(symlink("nowhere", in("dangling")), 0);
	must(io_lstat(&io, in("dangling"), &st, &there, &err));
	cr_assert(there && S_ISLNK(st.st_mode));
}

Test(io, lock_is_busy_for_another_process_until_it_is_closed)
{
	int fd = -1, status, other = -1;
	char pid[32];
	pid_t child;

	must(io_lock_file(&io, in("LOCK"), &fd, &err));
	snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
	expect_file("LOCK", pid);
	child = fork();
	cr_assert_geq(child, 0);
	if (child == 0) {
		int32_t got = io_lock_file(&io, in("LOCK"), &other, &err);

		pid[strlen(pid) - 1] = 0;
		_exit(got == SB_ERR_BUSY && other == -1 && strstr(err.message, pid) ? 0 : 1);
	}
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	expect_file("LOCK", pid);
	io_close(&io, fd);
	must(io_lock_file(&io, in("LOCK"), &other, &err));
	io_close(&io, other);
}

Test(io, lock_follows_no_link)
{
	int fd = -1;

	cr_assert_eq(symlink(in("elsewhere"), in("LOCK")), 0);
	cr_assert_neq(io_lock_file(&io, in("LOCK"), &fd, &err), SB_OK);
	cr_assert_not(exists("elsewhere"));
}

/* Calls that are interrupted and do half of their work. */
static int calls;

static ssize_t short_write(struct io *unused, int fd, const void *bytes, size_t len)
{
	if (calls++ % 2 == 0) {
		errno = EINTR;
		return -1;
	}
	return system_ops->write(unused, fd, bytes, len > 3 ? 3 : len);
}

static ssize_t short_pread(struct io *unused, int fd, void *bytes, size_t len, off_t offset)
{
	if (calls++ % 2 == 0) {
		errno = EINTR;
		return -1;
	}
	return system_ops->pread(unused, fd, bytes, len > 3 ? 3 : len, offset);
}

static ssize_t interrupted_read(struct io *unused, int fd, void *bytes, size_t len)
{
	if (calls++ == 0) {
		errno = EINTR;
		return -1;
	}
	return system_ops->read(unused, fd, bytes, len);
}

static ssize_t zero_write(struct io *unused, int fd, const void *bytes, size_t len)
{
	(void)unused;
	(void)fd;
	(void)bytes;
	(void)len;
	return 0;
}

static int failing_fsync(struct io *unused, int fd)
{
	(void)unused;
	(void)fd;
	calls++;
	errno = EINTR;
	return -1;
}

static int open_file(const char *name, int flags)
{
	int fd = -1;

	must(io_open(&io, in(name), flags, 0600, &fd, &err));
	return fd;
}

Test(io, interrupted_and_short_calls_are_completed)
{
	char bytes[16] = "";
	size_t n;
	int fd;

	ops = *system_ops;
	ops.write = short_write;
	ops.pread = short_pread;
	ops.read = interrupted_read;
	io.ops = &ops;
	fd = open_file("f", O_RDWR | O_CREAT);
	must(io_write_all(&io, fd, "0123456789", 10, "f", &err));
	must(io_pread_all(&io, fd, bytes, 9, 1, "f", &err));
	cr_assert_str_eq(bytes, "123456789");
	must(io_seek(&io, fd, 4, "f", &err));
	calls = 0;
	must(io_read(&io, fd, bytes, 2, &n, "f", &err));
	cr_assert(n == 2 && memcmp(bytes, "45", 2) == 0);
	cr_assert_eq(io_pread_all(&io, fd, bytes, 9, 2, "f", &err), SB_ERR_CORRUPT);
	cr_assert_str_eq(err.message, "f ends at byte 10, 1 bytes too early");
	io_close(&io, fd);
}

Test(io, write_that_gets_nowhere_ends)
{
	int fd = open_file("f", O_RDWR | O_CREAT);

	ops = *system_ops;
	ops.write = zero_write;
	io.ops = &ops;
	cr_assert_eq(io_write_all(&io, fd, "x", 1, "f", &err), SB_ERR_NO_SPACE);
	io_close(&io, fd);
}

static int unknown_write_back(struct io *unused, int fd, off_t offset, off_t len)
{
	(void)unused;
	(void)fd;
	(void)len;
	calls++;
	errno = (const int[]){ENOSYS, EPERM, EIO}[offset];
	return -1;
}

Test(io, write_back_fails_unless_the_call_is_unknown_or_forbidden)
{
	int fd = open_file("f", O_RDWR | O_CREAT);

	must(io_write_all(&io, fd, "x", 1, "f", &err));
	must(io_write_back(&io, fd, 0, 1, "f", &err));
	ops = *system_ops;
	ops.write_back = unknown_write_back;
	io.ops = &ops;
	calls = 0;
	must(io_write_back(&io, fd, 0, 1, "f", &err));
	must(io_write_back(&io, fd, 1, 1, "f", &err));
	cr_assert_eq(io_write_back(&io, fd, 2, 1, "f", &err), SB_ERR_IO);
	cr_assert_str_eq(err.message, "cannot write f to disk: Input/output error");
	cr_assert_eq(calls, 3);
	io_close(&io, fd);
}

Test(io, failed_fsync_is_not_tried_again)
{
	int fd = open_file("f", O_RDWR | O_CREAT);

	ops = *system_ops;
	ops.fsync = failing_fsync;
	io.ops = &ops;
	calls = 0;
	cr_assert_eq(io_fsync(&io, fd, "f", &err), SB_ERR_IO);
	cr_assert_eq(calls, 1);
	cr_assert_eq(io_fsync_dir(&io, directory, &err), SB_ERR_IO);
	cr_assert_eq(calls, 2);
	io_close(&io, fd);
}

Test(io, errors_name_path_and_cause)
{
	int fd = -1;

	cr_assert_eq(io_open(&io, in("not-there"), O_RDONLY, 0, &fd, &err), SB_ERR_NOT_FOUND);
	cr_assert_eq(err.sys_errno, ENOENT);
	cr_assert_not_null(strstr(err.message, in("not-there")), "%s", err.message);
	cr_assert_not_null(strstr(err.message, "No such file or directory"), "%s", err.message);
}

Test(io, truncate_cuts_and_a_device_that_is_full_has_its_own_status)
{
	int fd = open_file("f", O_RDWR | O_CREAT);

	must(io_write_all(&io, fd, "0123", 4, "f", &err));
	must(io_truncate(&io, fd, 2, "f", &err));
	expect_file("f", "01");
	io_close(&io, fd);
	must(io_open(&io, "/dev/full", O_WRONLY, 0, &fd, &err));
	cr_assert_eq(io_write_all(&io, fd, "x", 1, "/dev/full", &err), SB_ERR_NO_SPACE);
	io_close(&io, fd);
}
