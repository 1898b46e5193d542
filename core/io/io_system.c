/* The table's real entries: one system call each, nothing else. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "io/io.h"

static int system_open(struct io *io, const char *path, int flags, mode_t mode)
{
	(void)io;
	return open(path, flags, mode);
}

static int system_close(struct io *io, int fd)
{
	(void)io;
	return close(fd);
}

static ssize_t system_read(struct io *io, int fd, void *bytes, size_t len)
{
	(void)io;
	return read(fd, bytes, len);
}

static ssize_t system_pread(struct io *io, int fd, void *bytes, size_t len, off_t offset)
{
	(void)io;
	return pread(fd, bytes, len, offset);
}

static ssize_t system_write(struct io *io, int fd, const void *bytes, size_t len)
{
	(void)io;
	return write(fd, bytes, len);
}

static int system_fsync(struct io *io, int fd)
{
	(void)io;
	return fsync(fd);
}

/* The one flag that waits for nothing, and leaves what goes wrong for the fsync to report, too. */
static int system_write_back(struct io *io, int fd, off_t offset, off_t len)
{
	(void)io;
	return sync_file_range(fd, offset, len, SYNC_FILE_RANGE_WRITE);
}

static int system_ftruncate(struct io *io, int fd, off_t len)
{
	(void)io;
	return ftruncate(fd, len);
}

static off_t system_lseek(struct io *io, int fd, off_t offset, int whence)
{
	(void)io;
	return lseek(fd, offset, whence);
}

static int system_fstat(struct io *io, int fd, struct stat *ret)
{
	(void)io;
	return fstat(fd, ret);
}

static int system_lstat(struct io *io, const char *path, struct stat *ret)
{
	(void)io;
	return lstat(path, ret);
}

static int system_stat(struct io *io, const char *path, struct stat *ret)
{
	(void)io;
	return stat(path, ret);
}

static char *system_realpath(struct io *io, const char *path)
{
	(void)io;
	return realpath(path, NULL);
}

static int system_rename(struct io *io, const char *from, const char *to, bool replace)
{
	(void)io;
	if (replace)
		return rename(from, to);
	if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -1;
	/* A file system without NOREPLACE (some network and FUSE ones): a link refuses to replace just as well. */
	if (link(from, to) != 0)
		return -1;
	return unlink(from);
}

static int system_link(struct io *io, const char *from, const char *to)
{
	(void)io;
	return link(from, to);
}

static int system_unlink(struct io *io, const char *path)
{
	(void)io;
	return unlink(path);
}

static int system_rmdir(struct io *io, const char *path)
{
	(void)io;
	return rmdir(path);
}

static int system_mkdir(struct io *io, const char *path, mode_t mode)
{
	(void)io;
	return mkdir(path, mode);
}

static int system_flock(struct io *io, int fd, int operation)
{
	(void)io;
	return flock(fd, operation);
}

static int system_list(struct io *io, const char *path, struct buffer *names)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	int saved;

	(void)io;
	if (!dir)
		return -1;
	errno = 0;
	while ((entry = readdir(dir))) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			buffer_append(names, entry->d_name, strlen(entry->d_name) + 1);
		errno = 0;
	}
	saved = names->failed ? ENOMEM : errno;
	closedir(dir);
	errno = saved;
	return saved ? -1 : 0;
}

void io_init_system(struct io *io)
{
	static const struct io_ops ops = {
		.open = system_open,
		.close = system_close,
		.read = system_read,
		.pread = system_pread,
		.write = system_write,
		.fsync = system_fsync,
		.write_back = system_write_back,
		.ftruncate = system_ftruncate,
		.lseek = system_lseek,
		.fstat = system_fstat,
		.lstat = system_lstat,
		.stat = system_stat,
		.realpath = system_realpath,
		.rename = system_rename,
		.link = system_link,
		.unlink = system_unlink,
		.rmdir = system_rmdir,
		.mkdir = system_mkdir,
		.flock = system_flock,
		.list = system_list,
	};

	*io = (struct io){.ops = &ops};
}
