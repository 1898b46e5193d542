/* See shared.h. Crash windows: a link or a copy that no checkpoint names yet is swept by the next start; the names are
 * fsynced (shared_sync) before the checkpoint that counts on them gets its own. */
#include "checkpoint/shared.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/slice.h"
#include "checkpoint/checkpoint_private.h"

#define READ_BYTES (256u << 10)

void shared_init(struct shared *shared, struct io *io, const char *dir)
{
	*shared = (struct shared){.io = io, .dir = dir};
}

void shared_done(struct shared *shared)
{
	free(TAKE(shared->known));
	free(TAKE(shared->next));
}

void shared_begin(struct shared *shared)
{
	shared->next_count = 0;
}

void shared_commit(struct shared *shared)
{
	free(shared->known);
	shared->known = shared->next;
	shared->known_count = shared->next_count;
	shared->known_cap = shared->next_cap;
	shared->next = NULL;
	shared->next_count = shared->next_cap = 0;
}

static struct shared_known identity_of(const struct stat *st)
{
	return (struct shared_known){.dev = st->st_dev,
				     .ino = st->st_ino,
				     .bytes = st->st_size,
				     .mtime_ns = st->st_mtim.tv_sec * INT64_C(1000000000) + st->st_mtim.tv_nsec};
}

static const struct shared_known *find_known(const struct shared *shared, const struct shared_known *file)
{
	for (uint64_t i = 0; i < shared->known_count; i++) {
		const struct shared_known *known = &shared->known[i];

		if (known->ino == file->ino && known->dev == file->dev && known->bytes == file->bytes &&
		    known->mtime_ns == file->mtime_ns)
			return known;
	}
	return NULL;
}

static int32_t add(struct shared_known **list, uint64_t *count, uint64_t *cap, const struct shared_known *file,
		   sb_error *err)
{
	if (*count == *cap) {
		uint64_t room = *cap ? 2 * *cap : 64;
		struct shared_known *larger = reallocarray(*list, room, sizeof(*larger));

		if (!larger)
			return error_no_memory(err);
		*list = larger;
		*cap = room;
	}
	(*list)[(*count)++] = *file;
	return SB_OK;
}

static char *shared_path(const char *dir, const char *name)
{
	char *path;

	return asprintf(&path, "%s/" CHECKPOINT_SHARED "/%s", dir, name) < 0 ? NULL : path;
}

/* A regular file, or SB_ERR_CORRUPT. O_NONBLOCK: a FIFO must not hold us up. */
static int32_t open_regular(struct io *io, const char *path, int *ret_fd, struct stat *ret_st, sb_error *err)
{
	int fd;
	int32_t status;

	TRY(io_open(io, path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW, 0, &fd, err));
	status = io_stat_fd(io, fd, ret_st, path, err);
	if (status == SB_OK && !S_ISREG(ret_st->st_mode))
		status = error_set(err, SB_ERR_CORRUPT, "%s is no regular file", path);
	if (status != SB_OK) {
		io_close(io, fd);
		return status;
	}
	*ret_fd = fd;
	return SB_OK;
}

static int32_t hash_fd(struct io *io, int fd, const char *path, const struct checkpoint_watch *watch,
		       char ret_hex[CHECKPOINT_SHA256_HEX + 1], sb_error *err)
{
	AUTO(free_memory) uint8_t *bytes = malloc(READ_BYTES);
	AUTO(buffer_done) struct buffer hex = BUFFER_INIT;
	uint8_t digest[SHA256_DIGEST_SIZE];
	struct sha256_ctx sha256;
	size_t n;

	if (!bytes)
		return error_no_memory(err);
	sha256_init(&sha256);
	do {
		TRY(io_read(io, fd, bytes, READ_BYTES, &n, path, err));
		sha256_update(&sha256, n, bytes);
		watch_checked(watch, n);
	} while (n);
	sha256_digest(&sha256, sizeof(digest), digest);
	hex_append(&hex, slice_of(digest, sizeof(digest)));
	if (!buffer_text(&hex))
		return error_no_memory(err);
	memcpy(ret_hex, hex.data, CHECKPOINT_SHA256_HEX + 1);
	return SB_OK;
}

static int32_t hash_file(struct io *io, const char *path, const struct checkpoint_watch *watch,
			 char ret_hex[CHECKPOINT_SHA256_HEX + 1], sb_error *err)
{
	struct stat st;
	int32_t status;
	int fd;

	TRY(open_regular(io, path, &fd, &st, err));
	status = hash_fd(io, fd, path, watch, ret_hex, err);
	io_close(io, fd);
	return status;
}

static int32_t pour(struct io *io, int from, const char *from_path, struct file_sink *sink, sb_error *err)
{
	AUTO(free_memory) uint8_t *bytes = malloc(READ_BYTES);
	size_t n;

	if (!bytes)
		return error_no_memory(err);
	do {
		TRY(io_read(io, from, bytes, READ_BYTES, &n, from_path, err));
		TRY(file_sink_write(sink, slice_of(bytes, n), err));
	} while (n);
	return SB_OK;
}

/* A new file at to with the content of from; nothing is left there on failure. With sync it is on the disk. */
static int32_t copy_file(struct io *io, const char *from, const char *to, bool sync, int64_t *ret_bytes,
			 char ret_hex[CHECKPOINT_SHA256_HEX + 1], sb_error *err)
{
	struct file_sink sink = {.fd = -1};
	sb_error ignored = ERROR_INIT;
	struct stat st;
	bool ours;
	int32_t status;
	int fd;

	TRY(open_regular(io, from, &fd, &st, err));
	status = file_sink_open(&sink, io, to, err);
	ours = status == SB_OK || err->sys_errno != EEXIST;
	if (status == SB_OK)
		status = pour(io, fd, from, &sink, err);
	if (status == SB_OK)
		file_sink_digest(&sink, ret_hex);
	if (status == SB_OK)
		status = sync ? file_sink_sync(&sink, err) : file_sink_flush(&sink, err);
	*ret_bytes = sink.total;
	file_sink_close(&sink);
	io_close(io, fd);
	if (status != SB_OK && ours)
		io_unlink(io, to, &ignored);
	return status;
}

static bool is_not_linkable(const sb_error *err)
{
	return err->sys_errno == EXDEV || err->sys_errno == EPERM || err->sys_errno == EMLINK ||
	       err->sys_errno == EOPNOTSUPP;
}

static int32_t sync_file(struct io *io, const char *path, sb_error *err)
{
	struct stat st;
	int32_t status;
	int fd;

	TRY(open_regular(io, path, &fd, &st, err));
	status = io_fsync(io, fd, path, err);
	io_close(io, fd);
	return status;
}

/* What lies under that name already: whole and the same, or not there. One that is damaged (a disk's fault, or a crash before
 * it was synced) makes room for ours: whoever else names it can only gain. */
static int32_t look_for(struct shared *shared, const char *target, const struct file_meta *file, bool *ret_there,
			sb_error *err)
{
	char hex[CHECKPOINT_SHA256_HEX + 1] = "";
	struct stat st;

	TRY(io_lstat(shared->io, target, &st, ret_there, err));
	if (!*ret_there)
		return SB_OK;
	if (S_ISREG(st.st_mode) && st.st_size == file->bytes)
		TRY(hash_file(shared->io, target, NULL, hex, err));
	if (strcmp(hex, file->sha256) == 0)
		return sync_file(shared->io, target, err);
	*ret_there = false;
	return io_unlink(shared->io, target, err);
}

/* The temporary at tmp, durable, gets its name, unless the content is there already. */
static int32_t adopt(struct shared *shared, const char *tmp, const struct file_meta *file, enum shared_how *ret_how,
		     sb_error *err)
{
	AUTO(free_memory) char *target = shared_path(shared->dir, file->sha256);
	bool there;

	if (!target)
		return error_no_memory(err);
	TRY(look_for(shared, target, file, &there, err));
	*ret_how = there ? SHARED_REUSED : SHARED_COPIED;
	return there ? SB_OK : io_rename_new(shared->io, tmp, target, err);
}

static int32_t put_copy(struct shared *shared, const char *path, struct file_meta *file, enum shared_how *ret_how,
			sb_error *err)
{
	AUTO(free_memory) char *tmp = NULL;
	char name[32];
	sb_error ignored = ERROR_INIT;
	int32_t status;

	snprintf(name, sizeof(name), CHECKPOINT_TMP_PREFIX "%" PRIu64, ++shared->temporaries);
	tmp = shared_path(shared->dir, name);
	if (!tmp)
		return error_no_memory(err);
	TRY(copy_file(shared->io, path, tmp, true, &file->bytes, file->sha256, err));
	status = adopt(shared, tmp, file, ret_how, err);
	io_unlink(shared->io, tmp, &ignored); /* when it is not swept now, it is later */
	return status;
}

/* On failure a link of ours must not stay: the next checkpoint would take it for a durable one. */
static int32_t link_new(struct shared *shared, const char *path, const char *target, sb_error *err)
{
	sb_error ignored = ERROR_INIT;
	int32_t status;

	TRY(io_link(shared->io, path, target, err));
	status = sync_file(shared->io, target, err);
	if (status != SB_OK)
		io_unlink(shared->io, target, &ignored);
	return status;
}

static int32_t put_link(struct shared *shared, const char *path, struct file_meta *file, enum shared_how *ret_how,
			sb_error *err)
{
	AUTO(free_memory) char *target = NULL;
	int32_t status;
	bool there;

	TRY(hash_file(shared->io, path, NULL, file->sha256, err));
	target = shared_path(shared->dir, file->sha256);
	if (!target)
		return error_no_memory(err);
	TRY(look_for(shared, target, file, &there, err));
	*ret_how = there ? SHARED_REUSED : SHARED_LINKED;
	if (there)
		return SB_OK;
	status = link_new(shared, path, target, err);
	if (status != SB_OK && is_not_linkable(err))
		return put_copy(shared, path, file, ret_how, err);
	return status;
}

/* Known, and still there: then nothing need be read. */
static int32_t reuse(struct shared *shared, const struct shared_known *identity, struct file_meta *file,
		     bool *ret_reused, sb_error *err)
{
	const struct shared_known *known = find_known(shared, identity);
	AUTO(free_memory) char *target = NULL;
	struct stat st;
	bool exists;

	*ret_reused = false;
	if (!known)
		return SB_OK;
	target = shared_path(shared->dir, known->sha256);
	if (!target)
		return error_no_memory(err);
	TRY(io_lstat(shared->io, target, &st, &exists, err));
	if (!exists || !S_ISREG(st.st_mode) || st.st_size != known->bytes)
		return SB_OK;
	memcpy(file->sha256, known->sha256, sizeof(file->sha256));
	*ret_reused = true;
	return SB_OK;
}

int32_t shared_put(struct shared *shared, const char *path, bool immutable, struct file_meta *ret_file,
		   enum shared_how *ret_how, sb_error *err)
{
	AUTO(free_memory) char *dir = shared_path(shared->dir, "");
	struct shared_known identity;
	struct stat st;
	bool exists, known;

	if (!dir)
		return error_no_memory(err);
	dir[strlen(dir) - 1] = 0;
	TRY(io_lstat(shared->io, path, &st, &exists, err));
	if (!exists || !S_ISREG(st.st_mode))
		return error_set(err, SB_ERR_INTERNAL, "%s, which a backend made for a checkpoint, is no regular file",
				 path);
	identity = identity_of(&st);
	ret_file->bytes = st.st_size;
	TRY(io_mkdir_p(shared->io, dir, err));
	if (!immutable)
		return put_copy(shared, path, ret_file, ret_how, err);
	TRY(reuse(shared, &identity, ret_file, &known, err));
	*ret_how = SHARED_REUSED;
	if (!known)
		TRY(put_link(shared, path, ret_file, ret_how, err));
	memcpy(identity.sha256, ret_file->sha256, sizeof(identity.sha256));
	return add(&shared->next, &shared->next_count, &shared->next_cap, &identity, err);
}

int32_t shared_sync(struct shared *shared, sb_error *err)
{
	AUTO(free_memory) char *dir = shared_path(shared->dir, "");

	if (!dir)
		return error_no_memory(err);
	TRY(io_fsync_dir(shared->io, dir, err));
	/* The checkpoint's own name comes into the same directory, and must not be there without this one. */
	if (!shared->name_is_durable)
		TRY(io_fsync_parent(shared->io, dir, err));
	shared->name_is_durable = true;
	return SB_OK;
}

int32_t shared_know(struct shared *shared, const char *path, const char *sha256, sb_error *err)
{
	struct shared_known identity;
	struct stat st;
	bool exists;

	TRY(io_lstat(shared->io, path, &st, &exists, err));
	if (!exists)
		return SB_OK;
	identity = identity_of(&st);
	memcpy(identity.sha256, sha256, sizeof(identity.sha256));
	return add(&shared->known, &shared->known_count, &shared->known_cap, &identity, err);
}

int32_t shared_take(struct io *io, const char *dir, const struct file_meta *file, bool link, const char *path,
		    sb_error *err)
{
	AUTO(free_memory) char *source = shared_path(dir, file->sha256);
	char hex[CHECKPOINT_SHA256_HEX + 1];
	int64_t bytes;
	int32_t status;

	if (!source)
		return error_no_memory(err);
	if (link) {
		status = io_link(io, source, path, err);
		if (status == SB_OK || !is_not_linkable(err))
			return status;
	}
	TRY(copy_file(io, source, path, false, &bytes, hex, err));
	if (strcmp(hex, file->sha256) != 0)
		return error_set(err, SB_ERR_CORRUPT, "%s is damaged: its content is not what its name says", source);
	return SB_OK;
}

static int32_t check_one(struct io *io, const char *dir, const char *id, const struct file_meta *file, bool hash,
			 const struct checkpoint_watch *watch, sb_error *err)
{
	AUTO(free_memory) char *path = shared_path(dir, file->sha256);
	char hex[CHECKPOINT_SHA256_HEX + 1];
	struct stat st;
	bool exists;

	if (!path)
		return error_no_memory(err);
	TRY(io_lstat(io, path, &st, &exists, err));
	if (!exists)
		return error_set(err, SB_ERR_CORRUPT, "%s is damaged: its file %s of %s is missing (%s)", id,
				 file->name, file->snapshot, path);
	if (!S_ISREG(st.st_mode) || st.st_size != file->bytes)
		return error_set(err, SB_ERR_CORRUPT, "%s is damaged: its file %s of %s has not %" PRId64 " bytes (%s)",
				 id, file->name, file->snapshot, file->bytes, path);
	if (!hash)
		return SB_OK;
	TRY(hash_file(io, path, watch, hex, err));
	if (strcmp(hex, file->sha256) != 0)
		return error_set(err, SB_ERR_CORRUPT, "%s is damaged: its file %s of %s has another content (%s)", id,
				 file->name, file->snapshot, path);
	return SB_OK;
}

int32_t shared_check(struct io *io, const char *dir, const struct checkpoint_meta *meta, bool hash,
		     const struct checkpoint_watch *watch, sb_error *err)
{
	for (uint64_t i = 0; i < meta->file_count; i++)
		TRY(check_one(io, dir, meta->id, &meta->files[i], hash, watch, err));
	return SB_OK;
}
