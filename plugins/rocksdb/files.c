/* SPDX-License-Identifier: Apache-2.0
 *
 * Checkpoints as files: the extension sb.files/1.
 *
 * RocksDB's table files never change once they are written: it makes a new one under
 * a number that was never used, and unlinks the old. So a checkpoint is links to the tables, and copies
 * of the small files that say which tables make up the moment: MANIFEST-*, CURRENT, OPTIONS-*.
 * An instance that goes on from such files (SB_OPEN_FILES) makes a new MANIFEST and unlinks
 * tables that its compactions replaced, which takes only its own links away.
 *
 * RocksDB writes its write buffer out first, so that nothing depends on a log, and holds back
 * the deletion of files meanwhile. All of that is between threads that RocksDB itself keeps apart;
 * of the instance we read only what never changes. Flush or not, tables have been fsynced
 * when we get them; links and copies have not, and need not be: the host takes them into its store.
 *
 * Crash window: RocksDB wants to make its directory itself, and first makes another one beside it. Both
 * are made inside of the host's directory, and what a checkpoint consists of is moved up at the end. So
 * whatever a kill leaves lies under the one name that the host knows, and a file of RocksDB's that we do not
 * know never reaches a checkpoint.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rocksdb_private.h"

#define DOING_BYTES 512

/* Below the host's directory; RocksDB makes the second name from the first. */
static const char staging[] = "rocksdb";
static const char unfinished[] = "rocksdb.tmp";

static bool ends_with(const char *name, const char *suffix)
{
	size_t length = strlen(name);
	size_t suffix_length = strlen(suffix);

	return length > suffix_length && strcmp(name + length - suffix_length, suffix) == 0;
}

static bool begins_with(const char *name, const char *prefix)
{
	return strncmp(name, prefix, strlen(prefix)) == 0;
}

static int32_t is_immutable(const char *name)
{
	return ends_with(name, ".sst") || ends_with(name, ".blob");
}

/* What an instance needs to go on. The rest is an empty log (the write buffer was
 * written out, and nobody writes meanwhile) and what later versions may add for people. */
static bool is_needed(const char *name)
{
	return is_immutable(name) || strcmp(name, "CURRENT") == 0 || begins_with(name, "MANIFEST-") ||
	       begins_with(name, "OPTIONS-");
}

static int32_t cannot(const struct sb_backend *backend, const char *dir, int sys_errno, sb_error *err)
{
	int32_t code = SB_ERR_IO;
	const char *remedy = "check its file system";

	if (sys_errno == EEXIST) {
		code = SB_ERR_INVALID;
		remedy = "name a directory that does not exist yet";
	} else if (sys_errno == ENOENT) {
		code = SB_ERR_NOT_FOUND;
		remedy = "make the directory above it, and let nobody remove either";
	} else if (sys_errno == ENOSPC || sys_errno == EDQUOT) {
		code = SB_ERR_NO_SPACE;
		remedy = "free space there";
	} else if (sys_errno == EACCES || sys_errno == EPERM || sys_errno == EROFS) {
		remedy = "give this user the right to write there";
	}
	errors_set(err, code, sys_errno, "RocksDB cannot put the files of %s into %s (%s): %s", backend->instance, dir,
		   strerror(sys_errno), remedy);
	if (code == SB_ERR_NO_SPACE)
		err->flags = SB_ERROR_RETRYABLE;
	return code;
}

static DIR *open_dir_at(int parent, const char *name)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *stream = fd < 0 ? NULL : fdopendir(fd);

	if (!stream && fd >= 0)
		close(fd);
	return stream;
}

/* readdir() ends in the same way at the end and at an error. */
static struct dirent *next_file(DIR *stream)
{
	struct dirent *entry;

	errno = 0;
	do
		entry = readdir(stream);
	while (entry && (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0));
	return entry;
}

/* Moves what is needed up into parent and deletes the rest. Returns an errno. */
static int settle(int parent)
{
	DIR *stream = open_dir_at(parent, staging);
	struct dirent *entry;
	int error;

	if (!stream)
		return errno;
	for (entry = next_file(stream); entry; entry = next_file(stream)) {
		int failed = is_needed(entry->d_name) ? renameat(dirfd(stream), entry->d_name, parent, entry->d_name)
						      : unlinkat(dirfd(stream), entry->d_name, 0);

		if (failed)
			break;
	}
	error = errno; /* 0 at the end of the directory */
	closedir(stream);
	if (!error && unlinkat(parent, staging, AT_REMOVEDIR) < 0)
		error = errno;
	return error;
}

/* After a failure, as far as it goes. */
static void remove_files(int parent, const char *name)
{
	DIR *stream = open_dir_at(parent, name);

	if (!stream)
		return;
	for (struct dirent *entry = next_file(stream); entry; entry = next_file(stream))
		unlinkat(dirfd(stream), entry->d_name, 0);
	closedir(stream);
}

static void discard(const char *dir, int dir_fd)
{
	remove_files(dir_fd, unfinished);
	unlinkat(dir_fd, unfinished, AT_REMOVEDIR);
	remove_files(dir_fd, staging);
	unlinkat(dir_fd, staging, AT_REMOVEDIR);
	remove_files(dir_fd, ".");
	rmdir(dir);
}

static int32_t write_files(struct sb_backend *backend, const char *dir, sb_error *err)
{
	char doing[DOING_BYTES];
	char path[PATH_MAX];
	char *message = NULL;

	if ((size_t)snprintf(path, sizeof(path), "%s/%s", dir, staging) >= sizeof(path) - sizeof(unfinished))
		return cannot(backend, dir, ENAMETOOLONG, err);

	rocksdb_checkpoint_t *checkpoint = rocksdb_checkpoint_object_create(backend->engine.db, &message);

	if (!message) {
		rocksdb_checkpoint_create(checkpoint, path, 0 /* always write the buffer out */, &message);
		rocksdb_checkpoint_object_destroy(checkpoint);
	}
	if (!message)
		return SB_OK;
	snprintf(doing, sizeof(doing), "put into %s", dir);
	return errors_take(backend, doing, message, err);
}

static int32_t fill(struct sb_backend *backend, const char *dir, int dir_fd, sb_error *err)
{
	int32_t status = write_files(backend, dir, err);
	int error = status == SB_OK ? settle(dir_fd) : 0;

	return error ? cannot(backend, dir, error, err) : status;
}

static int32_t create(sb_backend *backend, const char *dir, sb_error *err)
{
	int dir_fd;
	int32_t status;

	if (backend->read_only)
		return errors_set(err, SB_ERR_UNSUPPORTED, 0,
				  "RocksDB cannot put the files of %s into %s, because %s was opened to be read only: "
				  "copy that directory",
				  backend->instance, dir, backend->dir);
	if (mkdir(dir, 0700) < 0)
		return cannot(backend, dir, errno, err);
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0) {
		status = cannot(backend, dir, errno, err);
		rmdir(dir);
		return status;
	}
	status = fill(backend, dir, dir_fd, err);
	if (status != SB_OK)
		discard(dir, dir_fd);
	close(dir_fd);
	return status;
}

const sb_files_ops files_operations = {
	.struct_size = sizeof(sb_files_ops),
	.create = create,
	.is_immutable = is_immutable,
};
