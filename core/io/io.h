/* Every system call of the host that touches a file goes through struct io, a table of
 * calls, so that a test can fail, shorten or kill the Nth of them.
 *
 * The table has the calls' own shapes (-1 and errno); the functions below it, which the
 * rest of core uses, turn them into statuses and sentences with the path in them, retry
 * EINTR and short writes, and never retry a failed fsync: after one, the kernel may
 * have dropped the pages, so what the file holds is unknown. */
#ifndef IO_IO_H
#define IO_IO_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/buffer.h"
#include "sb_plugin.h"

struct io;

struct io_ops {
	int (*open)(struct io *io, const char *path, int flags, mode_t mode);
	int (*close)(struct io *io, int fd);
	ssize_t (*read)(struct io *io, int fd, void *bytes, size_t len);
	ssize_t (*pread)(struct io *io, int fd, void *bytes, size_t len, off_t offset);
	ssize_t (*write)(struct io *io, int fd, const void *bytes, size_t len);
	int (*fsync)(struct io *io, int fd);
	int (*write_back)(struct io *io, int fd, off_t offset, off_t len);
	int (*ftruncate)(struct io *io, int fd, off_t len);
	off_t (*lseek)(struct io *io, int fd, off_t offset, int whence);
	int (*fstat)(struct io *io, int fd, struct stat *ret);
	int (*lstat)(struct io *io, const char *path, struct stat *ret);
	int (*stat)(struct io *io, const char *path, struct stat *ret);
	char *(*realpath)(struct io *io, const char *path); /* malloc'ed; NULL and errno */
	int (*rename)(struct io *io, const char *from, const char *to, bool replace);
	int (*link)(struct io *io, const char *from, const char *to);
	int (*unlink)(struct io *io, const char *path);
	int (*rmdir)(struct io *io, const char *path);
	int (*mkdir)(struct io *io, const char *path, mode_t mode);
	int (*flock)(struct io *io, int fd, int operation);
	/* Names in a directory, without "." and "..", each ended by a NUL, appended to names. */
	int (*list)(struct io *io, const char *path, struct buffer *names);
};

struct io {
	const struct io_ops *ops;
	void *context;
};

/* The system itself. */
void io_init_system(struct io *io);

/* O_CLOEXEC is added. Returns SB_OK and *ret_fd. */
int32_t io_open(struct io *io, const char *path, int flags, mode_t mode, int *ret_fd, sb_error *err);
/* A new file, mode 0600; an existing one, or a link, is an error. */
int32_t io_create_new(struct io *io, const char *path, int *ret_fd, sb_error *err);
/* Safe with fd -1. An error of close(2) is no news after an fsync, and is not reported. */
void io_close(struct io *io, int fd);
/* Up to len bytes; *ret_len 0 is the end of the file. path is for the sentence. */
int32_t io_read(struct io *io, int fd, void *bytes, size_t len, size_t *ret_len, const char *path, sb_error *err);
/* Exactly len bytes at offset, or SB_ERR_CORRUPT when the file ends before. */
int32_t io_pread_all(struct io *io, int fd, void *bytes, size_t len, int64_t offset, const char *path, sb_error *err);
int32_t io_write_all(struct io *io, int fd, const void *bytes, size_t len, const char *path, sb_error *err);
int32_t io_fsync(struct io *io, int fd, const char *path, sb_error *err);
/* Has the disk begin with those bytes, which were written, and waits for nothing: so that an fsync to come finds little left to do. It
 * promises nothing itself. */
int32_t io_write_back(struct io *io, int fd, int64_t offset, int64_t len, const char *path, sb_error *err);
int32_t io_fsync_dir(struct io *io, const char *path, sb_error *err);
int32_t io_truncate(struct io *io, int fd, int64_t len, const char *path, sb_error *err);
int32_t io_seek(struct io *io, int fd, int64_t offset, const char *path, sb_error *err);
int32_t io_stat_fd(struct io *io, int fd, struct stat *ret, const char *path, sb_error *err);
/* Does not follow a final link. *ret_exists false when there is no such file, and then *ret is untouched. */
int32_t io_lstat(struct io *io, const char *path, struct stat *ret, bool *ret_exists, sb_error *err);
/* The same, but follows links. */
int32_t io_stat(struct io *io, const char *path, struct stat *ret, bool *ret_exists, sb_error *err);
/* The absolute path without links; malloc'ed, or NULL when there is no such file. */
int32_t io_real_path(struct io *io, const char *path, char **ret_path, sb_error *err);
/* Refuses to replace. */
int32_t io_rename_new(struct io *io, const char *from, const char *to, sb_error *err);
int32_t io_rename_over(struct io *io, const char *from, const char *to, sb_error *err);
int32_t io_link(struct io *io, const char *from, const char *to, sb_error *err);
/* A file that is not there is fine. */
int32_t io_unlink(struct io *io, const char *path, sb_error *err);
/* The directory that path is in: a new name is only there after a power cut when that was done. */
int32_t io_fsync_parent(struct io *io, const char *path, sb_error *err);
/* The same for what was found there. Its parent may be a directory that we can neither read nor sync; then it is somebody else's work, and fine. */
int32_t io_fsync_parent_if_ours(struct io *io, const char *path, sb_error *err);
/* With parents, mode 0700; existing ones are fine. */
int32_t io_mkdir_p(struct io *io, const char *path, sb_error *err);
/* The same, and the names are durable: for a directory in which something will be counted on. */
int32_t io_mkdir_durable(struct io *io, const char *path, sb_error *err);
/* One directory; an existing one, or anything of that name, is an error with sys_errno EEXIST. */
int32_t io_mkdir_new(struct io *io, const char *path, mode_t mode, sb_error *err);
/* A directory and all below it; links are removed, not followed. Not there is fine. */
int32_t io_remove_tree(struct io *io, const char *path, sb_error *err);
/* Removes what is in a directory and keeps the directory, and entries whose names start with keep_prefix (may be NULL). */
int32_t io_empty_dir(struct io *io, const char *path, const char *keep_prefix, sb_error *err);
/* Sorted names, NUL-terminated each, in *names (cleared first); *ret_count of them. */
int32_t io_list(struct io *io, const char *path, struct buffer *names, uint64_t *ret_count, sb_error *err);
/* Opens (creating) path/LOCK... and locks it exclusively for as long as *ret_fd is open; SB_ERR_BUSY when another process holds it.
 * The file's content names the holder's process id. */
int32_t io_lock_file(struct io *io, const char *path, int *ret_fd, sb_error *err);

#endif
