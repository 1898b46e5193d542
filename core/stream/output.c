/* See output.h. */
#include "stream/output.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/slice.h"

#define WRITE_BYTES ((size_t)1 << 20)

static int32_t refuse_shorter(const struct output *output, int64_t length, int64_t restored_length, sb_error *err)
{
	return error_set(err, SB_ERR_CONFIG,
			 "%s has %lld bytes, but the checkpoint counts on %lld; put the file back, choose another "
			 "with --%s, or start over with --restore none",
			 output->path, (long long)length, (long long)restored_length, output->role);
}

static int32_t cut_back(struct output *output, int64_t restored_length, sb_error *err)
{
	struct stat st;

	TRY(io_stat_fd(output->io, output->fd, &st, output->path, err));
	output->is_regular = S_ISREG(st.st_mode);
	if (!output->is_regular) {
		if (restored_length > 0)
			return error_set(err, SB_ERR_CONFIG,
					 "%s is no regular file, so it cannot be cut back to the %lld bytes that the "
					 "checkpoint counts on; choose a file, or start over with --restore none",
					 output->path, (long long)restored_length);
		return SB_OK;
	}
	if (st.st_size < restored_length)
		return refuse_shorter(output, st.st_size, restored_length, err);
	TRY(io_truncate(output->io, output->fd, restored_length, output->path, err));
	return io_seek(output->io, output->fd, restored_length, output->path, err);
}

static int32_t open_file(struct output *output, int64_t restored_length, sb_error *err)
{
	struct stat st;
	bool exists;
	int32_t status;

	TRY(io_lstat(output->io, output->path, &st, &exists, err));
	if (!exists && restored_length > 0)
		return refuse_shorter(output, 0, restored_length, err);
	TRY(io_open(output->io, output->path, O_WRONLY | O_CREAT, 0600, &output->fd, err));
	status = cut_back(output, restored_length, err);
	if (status == SB_OK && !exists)
		status = io_fsync_parent(output->io, output->path, err);
	/* An empty one may have been made by a run that was killed before it came to that. */
	else if (status == SB_OK && output->is_regular && st.st_size == 0)
		status = io_fsync_parent_if_ours(output->io, output->path, err);
	if (status != SB_OK) {
		io_close(output->io, output->fd);
		output->fd = -1;
	}
	return status;
}

static int32_t open_now(struct output *output, int64_t restored_length, sb_error *err)
{
	struct stat st;
	bool exists;

	if (output->lazy && restored_length == 0) {
		TRY(io_lstat(output->io, output->path, &st, &exists, err));
		if (!exists)
			return SB_OK;
	}
	return open_file(output, restored_length, err);
}

int32_t output_open(struct output *output, struct io *io, const char *role, const char *path, int64_t restored_length,
		    bool lazy, sb_error *err)
{
	int32_t status = SB_OK;

	memset(output, 0, sizeof(*output));
	output->io = io;
	output->role = role;
	output->fd = -1;
	output->lazy = lazy;
	output->kind = strcmp(path, "none") == 0 ? OUTPUT_NONE : strcmp(path, "-") == 0 ? OUTPUT_STDOUT : OUTPUT_FILE;
	output->path = strdup(output->kind == OUTPUT_STDOUT ? "standard output" : path);
	if (!output->path)
		return error_no_memory(err);
	if (output->kind == OUTPUT_STDOUT)
		output->fd = STDOUT_FILENO;
	if (output->kind == OUTPUT_FILE) {
		output->length = restored_length > 0 ? restored_length : 0;
		status = open_now(output, output->length, err);
	}
	if (status != SB_OK) {
		free(output->path);
		output->path = NULL;
		return status;
	}
	pthread_mutex_init(&output->mutex, NULL);
	return SB_OK;
}

void output_close(struct output *output)
{
	if (!output->path)
		return;
	if (output->kind == OUTPUT_FILE)
		io_close(output->io, output->fd);
	pthread_mutex_destroy(&output->mutex);
	buffer_done(&output->pending);
	free(output->path);
	memset(output, 0, sizeof(*output));
}

/* With the mutex held. */
static int32_t write_pending(struct output *output, sb_error *err)
{
	if (output->pending.len == 0)
		return SB_OK;
	if (output->fd < 0)
		TRY(open_file(output, 0, err));
	TRY(io_write_all(output->io, output->fd, output->pending.data, output->pending.len, output->path, err));
	buffer_clear(&output->pending);
	output->unsynced = true;
	return SB_OK;
}

int32_t output_append(struct output *output, sb_slice bytes, sb_error *err)
{
	int32_t status;

	if (output->kind == OUTPUT_NONE || bytes.len == 0)
		return SB_OK;
	pthread_mutex_lock(&output->mutex);
	buffer_append_slice(&output->pending, bytes);
	status = buffer_check(&output->pending, err);
	output->length += (int64_t)bytes.len;
	if (status == SB_OK && output->pending.len >= WRITE_BYTES)
		status = write_pending(output, err);
	pthread_mutex_unlock(&output->mutex);
	return status;
}

int32_t output_flush(struct output *output, sb_error *err)
{
	int32_t status;

	if (output->kind == OUTPUT_NONE)
		return SB_OK;
	pthread_mutex_lock(&output->mutex);
	status = write_pending(output, err);
	pthread_mutex_unlock(&output->mutex);
	return status;
}

int32_t output_sync(struct output *output, sb_error *err)
{
	bool wanted;
	int fd;

	if (output->kind != OUTPUT_FILE)
		return SB_OK;
	if (output->sync_failed) {
		*err = output->sync_error;
		return err->code;
	}
	pthread_mutex_lock(&output->mutex);
	wanted = output->unsynced && output->is_regular;
	output->unsynced = false;
	fd = output->fd;
	pthread_mutex_unlock(&output->mutex);
	/* Outside the mutex: tasks go on appending while the disk works. */
	if (!wanted || io_fsync(output->io, fd, output->path, err) == SB_OK)
		return SB_OK;
	output->sync_failed = true;
	output->sync_error = *err;
	return err->code;
}

int64_t output_length(struct output *output)
{
	int64_t length;

	pthread_mutex_lock(&output->mutex);
	length = output->length;
	pthread_mutex_unlock(&output->mutex);
	return length;
}
