/* From system calls to statuses; see io.h for the rules. */
#include "io/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/number.h"

int32_t io_open(struct io *io, const char *path, int flags, mode_t mode, int *ret_fd, sb_error *err)
{
	int fd;

	do {
		fd = io->ops->open(io, path, flags | O_CLOEXEC, mode);
	} while (fd < 0 && errno == EINTR);
	if (fd < 0)
		return error_set_errno(err, errno, "cannot open %s", path);
	*ret_fd = fd;
	return SB_OK;
}

int32_t io_create_new(struct io *io, const char *path, int *ret_fd, sb_error *err)
{
	return io_open(io, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600, ret_fd, err);
}

void io_close(struct io *io, int fd)
{
	if (fd >= 0)
		io->ops->close(io, fd);
}

int32_t io_read(struct io *io, int fd, void *bytes, size_t len, size_t *ret_len, const char *path, sb_error *err)
{
	ssize_t n;

	do {
		n = io->ops->read(io, fd, bytes, len);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return error_set_errno(err, errno, "cannot read %s", path);
	*ret_len = (size_t)n;
	return SB_OK;
}

int32_t io_pread_all(struct io *io, int fd, void *bytes, size_t len, int64_t offset, const char *path, sb_error *err)
{
	uint8_t *at = bytes;

	while (len) {
		ssize_t n = io->ops->pread(io, fd, at, len, offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_set_errno(err, errno, "cannot read %s at byte %lld", path, (long long)offset);
		if (n == 0)
			return error_set(err, SB_ERR_CORRUPT, "%s ends at byte %lld, %zu bytes too early", path,
					 (long long)offset, len);
		at += n;
		len -= (size_t)n;
		offset += n;
	}
	return SB_OK;
}

int32_t io_write_all(struct io *io, int fd, const void *bytes, size_t len, const char *path, sb_error *err)
{
	const uint8_t *at = bytes;

	while (len) {
		ssize_t n = io->ops->write(io, fd, at, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_set_errno(err, errno, "cannot write %s", path);
		if (n == 0)
			return error_set_errno(err, ENOSPC, "cannot write %s", path);
		at += n;
		len -= (size_t)n;
	}
	return SB_OK;
}

int32_t io_fsync(struct io *io, int fd, const char *path, sb_error *err)
{
	if (io->ops->fsync(io, fd) != 0)
		return error_set_errno(err, errno, "cannot sync %s to disk", path);
	return SB_OK;
}

/* Where the kernel does not know the call, or a sandbox around us forbids it, all of the work is left to the fsync. */
int32_t io_write_back(struct io *io, int fd, int64_t offset, int64_t len, const char *path, sb_error *err)
{
	if (io->ops->write_back(io, fd, offset, len) != 0 && errno != ENOSYS && errno != EPERM)
		return error_set_errno(err, errno, "cannot write %s to disk", path);
	return SB_OK;
}

int32_t io_fsync_dir(struct io *io, const char *path, sb_error *err)
{
	int fd;
	int32_t status;

	TRY(io_open(io, path, O_RDONLY | O_DIRECTORY, 0, &fd, err));
	status = io_fsync(io, fd, path, err);
	io_close(io, fd);
	return status;
}

int32_t io_truncate(struct io *io, int fd, int64_t len, const char *path, sb_error *err)
{
	while (io->ops->ftruncate(io, fd, len) != 0)
		if (errno != EINTR)
			return error_set_errno(err, errno, "cannot truncate %s to %lld bytes", path, (long long)len);
	return SB_OK;
}

int32_t io_seek(struct io *io, int fd, int64_t offset, const char *path, sb_error *err)
{
	if (io->ops->lseek(io, fd, offset, SEEK_SET) < 0)
		return error_set_errno(err, errno, "cannot go to byte %lld of %s", (long long)offset, path);
	return SB_OK;
}

int32_t io_stat_fd(struct io *io, int fd, struct stat *ret, const char *path, sb_error *err)
{
	struct stat got;

	if (io->ops->fstat(io, fd, &got) != 0)
		return error_set_errno(err, errno, "cannot examine %s", path);
	*ret = got;
	return SB_OK;
}

/* The answer of a stat(2), of either kind. */
static int32_t judge_stat(int result, const struct stat *got, const char *path, struct stat *ret, bool *ret_exists,
			  sb_error *err)
{
	if (result != 0 && errno != ENOENT && errno != ENOTDIR)
		return error_set_errno(err, errno, "cannot examine %s", path);
	if (result == 0)
		*ret = *got;
	*ret_exists = result == 0;
	return SB_OK;
}

int32_t io_lstat(struct io *io, const char *path, struct stat *ret, bool *ret_exists, sb_error *err)
{
	struct stat got;

	return judge_stat(io->ops->lstat(io, path, &got), &got, path, ret, ret_exists, err);
}

int32_t io_stat(struct io *io, const char *path, struct stat *ret, bool *ret_exists, sb_error *err)
{
	struct stat got;

	return judge_stat(io->ops->stat(io, path, &got), &got, path, ret, ret_exists, err);
}

int32_t io_real_path(struct io *io, const char *path, char **ret_path, sb_error *err)
{
	char *real = io->ops->realpath(io, path);

	if (!real && errno != ENOENT && errno != ENOTDIR)
		return error_set_errno(err, errno, "cannot resolve %s", path);
	*ret_path = real;
	return SB_OK;
}

int32_t io_rename_new(struct io *io, const char *from, const char *to, sb_error *err)
{
	if (io->ops->rename(io, from, to, false) != 0)
		return error_set_errno(err, errno, "cannot rename %s to %s", from, to);
	return SB_OK;
}

int32_t io_rename_over(struct io *io, const char *from, const char *to, sb_error *err)
{
	if (io->ops->rename(io, from, to, true) != 0)
		return error_set_errno(err, errno, "cannot rename %s to %s", from, to);
	return SB_OK;
}

int32_t io_link(struct io *io, const char *from, const char *to, sb_error *err)
{
	if (io->ops->link(io, from, to) != 0)
		return error_set_errno(err, errno, "cannot link %s to %s", from, to);
	return SB_OK;
}

int32_t io_unlink(struct io *io, const char *path, sb_error *err)
{
	if (io->ops->unlink(io, path) != 0 && errno != ENOENT)
		return error_set_errno(err, errno, "cannot remove %s", path);
	return SB_OK;
}

/* Slashes at the end belong to the name. malloc'ed; NULL when memory is out. */
static char *parent_of(const char *path)
{
	size_t len = strlen(path);

	while (len > 1 && path[len - 1] == '/')
		len--;
	while (len && path[len - 1] != '/')
		len--;
	while (len > 1 && path[len - 1] == '/')
		len--;
	return len ? strndup(path, len) : strdup(".");
}

int32_t io_fsync_parent(struct io *io, const char *path, sb_error *err)
{
	AUTO(free_memory) char *parent = parent_of(path);

	return parent ? io_fsync_dir(io, parent, err) : error_no_memory(err);
}

int32_t io_fsync_parent_if_ours(struct io *io, const char *path, sb_error *err)
{
	int32_t status = io_fsync_parent(io, path, err);

	if (status != SB_OK && (err->sys_errno == EACCES || err->sys_errno == EPERM || err->sys_errno == EROFS ||
				err->sys_errno == EINVAL))
		return SB_OK;
	return status;
}

static int32_t mkdir_one(struct io *io, const char *path, sb_error *err)
{
	if (io->ops->mkdir(io, path, 0700) != 0 && errno != EEXIST)
		return error_set_errno(err, errno, "cannot create directory %s", path);
	return SB_OK;
}

int32_t io_mkdir_new(struct io *io, const char *path, mode_t mode, sb_error *err)
{
	if (io->ops->mkdir(io, path, mode) != 0)
		return error_set_errno(err, errno, "cannot create directory %s", path);
	return SB_OK;
}

/* Whoever made the parent may have been killed before it came to sync its name. So that is done before anything is put into it, and what has
 * something in it has a durable name. */
static int32_t mkdir_in_durable(struct io *io, const char *path, sb_error *err)
{
	AUTO(free_memory) char *parent = parent_of(path);
	struct stat st;
	bool exists;

	if (!parent)
		return error_no_memory(err);
	TRY(io_stat(io, path, &st, &exists, err));
	if (!exists)
		TRY(io_fsync_parent_if_ours(io, parent, err));
	return mkdir_one(io, path, err);
}

/* With make for each level, from the first on. */
static int32_t mkdir_all(struct io *io, const char *path, int32_t (*make)(struct io *, const char *, sb_error *),
			 sb_error *err)
{
	struct buffer copy = BUFFER_INIT;
	int32_t status = SB_OK;
	char *text;

	buffer_append_text(&copy, path);
	text = (char *)buffer_text(&copy);
	if (!text)
		return buffer_check(&copy, err);
	for (char *at = text + (*text == '/'); status == SB_OK && (at = strchr(at, '/')); at++) {
		*at = 0;
		status = make(io, text, err);
		*at = '/';
	}
	if (status == SB_OK)
		status = make(io, text, err);
	buffer_done(&copy);
	return status;
}

int32_t io_mkdir_p(struct io *io, const char *path, sb_error *err)
{
	return mkdir_all(io, path, mkdir_one, err);
}

int32_t io_mkdir_durable(struct io *io, const char *path, sb_error *err)
{
	TRY(mkdir_all(io, path, mkdir_in_durable, err));
	return io_fsync_parent_if_ours(io, path, err);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int32_t sort_names(struct buffer *names, uint64_t *ret_count, sb_error *err)
{
	struct buffer sorted = BUFFER_INIT;
	const char **list;
	uint64_t count = 0;

	for (size_t i = 0; i < names->len; i++)
		count += names->data[i] == 0;
	list = malloc((count + 1) * sizeof(*list));
	if (!list)
		return error_no_memory(err);
	count = 0;
	for (size_t i = 0; i < names->len; i += strlen((char *)names->data + i) + 1)
		list[count++] = (char *)names->data + i;
	qsort(list, count, sizeof(*list), compare_names);
	for (uint64_t i = 0; i < count; i++)
		buffer_append(&sorted, list[i], strlen(list[i]) + 1);
	free(list);
	if (sorted.failed) {
		buffer_done(&sorted);
		return error_no_memory(err);
	}
	buffer_done(names);
	*names = sorted;
	*ret_count = count;
	return SB_OK;
}

int32_t io_list(struct io *io, const char *path, struct buffer *names, uint64_t *ret_count, sb_error *err)
{
	buffer_clear(names);
	if (io->ops->list(io, path, names) != 0)
		return error_set_errno(err, errno, "cannot list directory %s", path);
	return sort_names(names, ret_count, err);
}

static int32_t remove_entry(struct io *io, const char *path, sb_error *err)
{
	struct stat st;
	bool exists;

	TRY(io_lstat(io, path, &st, &exists, err));
	if (!exists)
		return SB_OK;
	if (!S_ISDIR(st.st_mode))
		return io_unlink(io, path, err);
	if (io->ops->rmdir(io, path) == 0)
		return SB_OK; /* empty, and there may be no memory to look into it */
	TRY(io_empty_dir(io, path, NULL, err));
	if (io->ops->rmdir(io, path) != 0)
		return error_set_errno(err, errno, "cannot remove directory %s", path);
	return SB_OK;
}

int32_t io_empty_dir(struct io *io, const char *path, const char *keep_prefix, sb_error *err)
{
	struct buffer names = BUFFER_INIT;
	struct buffer child = BUFFER_INIT;
	int32_t status;
	uint64_t count;

	status = io_list(io, path, &names, &count, err);
	for (size_t i = 0; status == SB_OK && i < names.len; i += strlen((char *)names.data + i) + 1) {
		const char *name = (char *)names.data + i;

		if (keep_prefix && strncmp(name, keep_prefix, strlen(keep_prefix)) == 0)
			continue;
		buffer_clear(&child);
		buffer_printf(&child, "%s/%s", path, name);
		status = buffer_text(&child) ? remove_entry(io, (char *)child.data, err) : error_no_memory(err);
	}
	buffer_done(&child);
	buffer_done(&names);
	return status;
}

int32_t io_remove_tree(struct io *io, const char *path, sb_error *err)
{
	return remove_entry(io, path, err);
}

static void read_holder(struct io *io, int fd, char *text, size_t size)
{
	ssize_t n = io->ops->pread(io, fd, text, size - 1, 0);

	text[n > 0 ? n : 0] = 0;
	text[strcspn(text, "\n")] = 0;
}

int32_t io_lock_file(struct io *io, const char *path, int *ret_fd, sb_error *err)
{
	char holder[32];
	int fd;
	int32_t status;

	TRY(io_open(io, path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600, &fd, err));
	if (io->ops->flock(io, fd, LOCK_EX | LOCK_NB) != 0) {
		int sys_errno = errno;

		read_holder(io, fd, holder, sizeof(holder));
		io_close(io, fd);
		if (sys_errno != EWOULDBLOCK)
			return error_set_errno(err, sys_errno, "cannot lock %s", path);
		return error_set(err, SB_ERR_BUSY,
				 "%s is locked by process %s: another sbhost uses this directory; stop it, or choose "
				 "another directory",
				 path, holder[0] ? holder : "(unknown)");
	}
	snprintf(holder, sizeof(holder), "%ld\n", (long)getpid());
	status = io_truncate(io, fd, 0, path, err);
	if (status == SB_OK)
		status = io_write_all(io, fd, holder, strlen(holder), path, err);
	if (status != SB_OK) {
		io_close(io, fd);
		return status;
	}
	*ret_fd = fd;
	return SB_OK;
}
