/* See loose_disk.h. The system's calls are made as they come, without their fsyncs; what a cut would undo is written down. */
#include "loose_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATH_BYTES 192
#define FILES_MAX 1024u
#define CHANGES_MAX 1024u
#define FDS_MAX 512

/* A file that may have more content than is durable. */
struct loose_file {
	char path[PATH_BYTES];
	int64_t synced_bytes;
};

/* A change of names in a directory that has not been synced since; from "": path was made. */
struct loose_change {
	char from[PATH_BYTES], path[PATH_BYTES], dir[PATH_BYTES];
};

static struct {
	struct io system;
	struct io_ops ops;
	const char *scratch_dir;
	pthread_mutex_t mutex;
	char paths[FDS_MAX][PATH_BYTES]; /* of descriptors; "": none that matters */
	struct loose_file files[FILES_MAX];
	size_t file_count;
	struct loose_change changes[CHANGES_MAX];
	size_t change_count;
	unsigned removed; /* numbers the graves */
} disk = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static bool matters(const char *path)
{
	const size_t len = strlen(disk.scratch_dir);

	return path[0] != '/' && (strncmp(path, disk.scratch_dir, len) != 0 || (path[len] != '/' && path[len] != 0));
}

/* Without a slash at the end. */
static void copy_path(char *to, const char *path)
{
	size_t len = strlen(path);

	if (len >= PATH_BYTES)
		abort();
	memcpy(to, path, len + 1);
	if (len > 1 && to[len - 1] == '/')
		to[len - 1] = 0;
}

static void directory_of(char *dir, const char *path)
{
	char *slash;

	copy_path(dir, path);
	slash = strrchr(dir, '/');
	if (slash)
		*slash = 0;
	else
		copy_path(dir, ".");
}

static struct loose_file *find(const char *path)
{
	for (size_t i = 0; i < disk.file_count; i++)
		if (strcmp(disk.files[i].path, path) == 0)
			return &disk.files[i];
	return NULL;
}

static void forget(const char *path)
{
	struct loose_file *file = find(path);

	if (file)
		*file = disk.files[--disk.file_count];
}

static void note_file(const char *path, int64_t synced_bytes)
{
	forget(path);
	if (disk.file_count == FILES_MAX)
		abort();
	copy_path(disk.files[disk.file_count].path, path);
	disk.files[disk.file_count++].synced_bytes = synced_bytes;
}

static void note_change(const char *from, const char *path, const char *dir_of)
{
	struct loose_change *change = &disk.changes[disk.change_count++];

	if (disk.change_count == CHANGES_MAX)
		abort();
	copy_path(change->from, from);
	copy_path(change->path, path);
	directory_of(change->dir, dir_of);
}

static int64_t size_of(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) ? st.st_size : -1;
}

static int loose_open(struct io *io, const char *path, int flags, mode_t mode)
{
	int64_t before;
	int fd;

	(void)io;
	pthread_mutex_lock(&disk.mutex);
	before = size_of(path);
	fd = disk.system.ops->open(&disk.system, path, flags, mode);
	if (fd >= 0 && fd < FDS_MAX)
		disk.paths[fd][0] = 0;
	if (fd >= 0 && fd < FDS_MAX && matters(path)) {
		copy_path(disk.paths[fd], path);
		if (flags & O_CREAT && before < 0)
			note_change("", path, path);
		if (flags & (O_CREAT | O_WRONLY | O_RDWR) && !find(path))
			note_file(path, before < 0 ? 0 : before);
	}
	pthread_mutex_unlock(&disk.mutex);
	return fd;
}

static int loose_fsync(struct io *io, int fd)
{
	const char *path;
	size_t kept = 0;

	(void)io;
	pthread_mutex_lock(&disk.mutex);
	path = fd >= 0 && fd < FDS_MAX ? disk.paths[fd] : "";
	if (*path && find(path))
		find(path)->synced_bytes = size_of(path);
	for (size_t i = 0; i < disk.change_count; i++)
		if (strcmp(disk.changes[i].dir, path) != 0)
			disk.changes[kept++] = disk.changes[i];
	disk.change_count = kept;
	pthread_mutex_unlock(&disk.mutex);
	return 0;
}

static int loose_ftruncate(struct io *io, int fd, off_t len)
{
	struct loose_file *file;
	int result;

	(void)io;
	pthread_mutex_lock(&disk.mutex);
	result = disk.system.ops->ftruncate(&disk.system, fd, len);
	file = fd >= 0 && fd < FDS_MAX ? find(disk.paths[fd]) : NULL;
	if (file && result == 0 && file->synced_bytes > len)
		file->synced_bytes = len;
	pthread_mutex_unlock(&disk.mutex);
	return result;
}

static int loose_rename(struct io *io, const char *from, const char *to, bool replace)
{
	int result;

	(void)io;
	pthread_mutex_lock(&disk.mutex);
	result = disk.system.ops->rename(&disk.system, from, to, replace);
	if (result == 0 && matters(to)) {
		if (find(from)) {
			forget(to);
			copy_path(find(from)->path, to);
		}
		note_change(from, to, to);
	}
	pthread_mutex_unlock(&disk.mutex);
	return result;
}

static int loose_link(struct io *io, const char *from, const char *to)
{
	int result;

	(void)io;
	pthread_mutex_lock(&disk.mutex);
	result = disk.system.ops->link(&disk.system, from, to);
	if (result == 0 && matters(to)) {
		note_change("", to, to);
		note_file(to, 0);
	}
	pthread_mutex_unlock(&disk.mutex);
	return result;
}

/* A checkpoint lies in a grave until its directory has been synced. */
static int loose_unlink(struct io *io, const char *path)
{
	const size_t len = strlen(path);
	char grave[PATH_BYTES];
	int result;

	(void)io;
	pthread_mutex_lock(&disk.mutex);
	if (matters(path) && strstr(path, "/checkpoint-") && len > 5 && strcmp(path + len - 5, ".json") == 0) {
		snprintf(grave, sizeof(grave), "grave-%u", ++disk.removed);
		result = rename(path, grave);
		if (result == 0)
			note_change(path, grave, path);
	} else {
		result = disk.system.ops->unlink(&disk.system, path);
	}
	if (result == 0)
		forget(path);
	pthread_mutex_unlock(&disk.mutex);
	return result;
}

void loose_disk_init(struct io *ret_io, const char *scratch_dir)
{
	io_init_system(&disk.system);
	disk.scratch_dir = scratch_dir;
	disk.ops = *disk.system.ops;
	disk.ops.open = loose_open;
	disk.ops.fsync = loose_fsync;
	disk.ops.ftruncate = loose_ftruncate;
	disk.ops.rename = loose_rename;
	disk.ops.link = loose_link;
	disk.ops.unlink = loose_unlink;
	*ret_io = (struct io){.ops = &disk.ops};
}

/* What has gone by itself meanwhile cannot be undone, and need not be. */
void loose_disk_cut(void)
{
	pthread_mutex_lock(&disk.mutex);
	for (size_t i = 0; i < disk.file_count; i++)
		if (size_of(disk.files[i].path) > disk.files[i].synced_bytes &&
		    truncate(disk.files[i].path, disk.files[i].synced_bytes) != 0)
			abort();
	for (size_t i = disk.change_count; i-- > 0;) {
		const struct loose_change *change = &disk.changes[i];

		if ((*change->from ? rename(change->path, change->from) : unlink(change->path)) != 0 && errno != ENOENT)
			abort();
	}
}
