/* See disk.h: descriptors, and what is written and read through them. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "simulation/disk_private.h"

#define FDS_MAX 128u
#define FIRST_FD 20000

struct open_file {
	struct node *node; /* NULL: free */
	char path[DISK_PATH_BYTES];
	off_t offset;
};

static struct open_file files[FDS_MAX];

void disk_close_all(void)
{
	memset(files, 0, sizeof(files));
}

static struct open_file *file_of(int fd)
{
	if (fd < FIRST_FD || fd >= FIRST_FD + (int)FDS_MAX || !files[fd - FIRST_FD].node)
		return NULL;
	return &files[fd - FIRST_FD];
}

const char *disk_path_of(int fd)
{
	const struct open_file *file = file_of(fd);

	return file ? file->path : NULL;
}

int disk_open(const char *path, int flags)
{
	struct node *node = disk_node_at(path);
	unsigned i = 0;

	if (!node && !(flags & O_CREAT))
		return disk_fail(ENOENT);
	if (node && flags & O_EXCL)
		return disk_fail(EEXIST);
	if (node && node->is_dir && (flags & O_ACCMODE) != O_RDONLY)
		return disk_fail(EISDIR);
	if (node && !node->is_dir && flags & O_DIRECTORY)
		return disk_fail(ENOTDIR);
	while (i < FDS_MAX && files[i].node)
		i++;
	if (i == FDS_MAX)
		return disk_fail(EMFILE);
	if (!node)
		node = disk_new_file(path);
	if (!node)
		return -1;
	if (flags & O_TRUNC)
		buffer_clear(&node->content);
	files[i] = (struct open_file){.node = node};
	disk_copy_path(files[i].path, path);
	return FIRST_FD + (int)i;
}

int disk_close(int fd)
{
	struct open_file *file = file_of(fd);

	if (!file)
		return disk_fail(EBADF);
	if (file->node->lock_fd == fd)
		file->node->lock_fd = 0;
	file->node = NULL;
	return 0;
}

ssize_t disk_pread(int fd, void *bytes, size_t len, off_t offset)
{
	const struct open_file *file = file_of(fd);
	size_t left;

	if (!file)
		return disk_fail(EBADF);
	if (file->node->is_dir)
		return disk_fail(EISDIR);
	left = (size_t)offset < file->node->content.len ? file->node->content.len - (size_t)offset : 0;
	if (len > left)
		len = left;
	if (len)
		memcpy(bytes, file->node->content.data + offset, len);
	return (ssize_t)len;
}

ssize_t disk_read(int fd, void *bytes, size_t len)
{
	struct open_file *file = file_of(fd);
	ssize_t n;

	if (!file)
		return disk_fail(EBADF);
	n = disk_pread(fd, bytes, len, file->offset);
	if (n > 0)
		file->offset += n;
	return n;
}

static void resize(struct node *node, size_t len)
{
	if (len > node->content.len) {
		uint8_t *room = buffer_reserve(&node->content, len - node->content.len);

		if (!room)
			abort();
		memset(room, 0, len - node->content.len);
	}
	node->content.len = len;
}

ssize_t disk_write(int fd, const void *bytes, size_t len)
{
	struct open_file *file = file_of(fd);

	if (!file)
		return disk_fail(EBADF);
	if ((size_t)file->offset + len > file->node->content.len)
		resize(file->node, (size_t)file->offset + len);
	if (len)
		memcpy(file->node->content.data + file->offset, bytes, len);
	file->offset += (off_t)len;
	return (ssize_t)len;
}

int disk_fsync(int fd)
{
	struct open_file *file = file_of(fd);

	if (!file)
		return disk_fail(EBADF);
	if (file->node->is_dir) {
		disk_sync_names(file->path);
	} else if (!file->node->spoiled) {
		buffer_clear(&file->node->durable);
		buffer_append_slice(&file->node->durable, buffer_slice(&file->node->content));
	}
	return 0;
}

void disk_spoil(int fd)
{
	struct open_file *file = file_of(fd);

	if (file)
		file->node->spoiled = true;
}

int disk_truncate(int fd, off_t len)
{
	struct open_file *file = file_of(fd);

	if (!file)
		return disk_fail(EBADF);
	resize(file->node, (size_t)len);
	return 0;
}

off_t disk_seek(int fd, off_t offset, int whence)
{
	struct open_file *file = file_of(fd);

	if (!file)
		return disk_fail(EBADF);
	if (whence == SEEK_CUR)
		offset += file->offset;
	if (whence == SEEK_END)
		offset += (off_t)file->node->content.len;
	file->offset = offset;
	return offset;
}

int disk_lock(int fd)
{
	struct open_file *file = file_of(fd);

	if (!file)
		return disk_fail(EBADF);
	if (file->node->lock_fd && file->node->lock_fd != fd)
		return disk_fail(EWOULDBLOCK);
	file->node->lock_fd = fd;
	return 0;
}

int disk_fstat(int fd, struct stat *ret)
{
	const struct open_file *file = file_of(fd);

	return file ? disk_describe(file->node, ret) : disk_fail(EBADF);
}
