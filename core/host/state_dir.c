/* The live state directory: where backends keep their files while the job runs.
 *
 * It is scratch. A backend's own files run ahead of the last checkpoint, so after a crash they are worth nothing: every
 * start empties the directory and rebuilds it from a checkpoint. Because it is emptied, it must be
 * ours: the lock file, made when the directory was new or empty, is the proof.
 *
 * A second file of ours says that a checkpoint was once made or restored here: with it, and no checkpoint to be found,
 * state was lost, and a start from nothing must be asked for.
 *
 * With one task the backend lives in the directory itself, with more in task-<n>/. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "host/job_private.h"

#define OWN_PREFIX ".sbhost"
#define LOCK_NAME ".sbhost-lock"
#define MARK_NAME ".sbhost-checkpointed"

static int32_t list(struct job *job, uint64_t *ret_count, bool *ret_has_lock, sb_error *err)
{
	struct buffer names = BUFFER_INIT;
	int32_t status = io_list(job->config->io, job->config->state_dir, &names, ret_count, err);

	*ret_has_lock = false;
	for (size_t i = 0; status == SB_OK && i < names.len; i += strlen((char *)names.data + i) + 1)
		if (strcmp((char *)names.data + i, LOCK_NAME) == 0)
			*ret_has_lock = true;
	buffer_done(&names);
	return status;
}

int32_t state_dir_open(struct job *job, sb_error *err)
{
	const char *dir = job->config->state_dir;
	char *lock_path;
	uint64_t count;
	bool has_lock;
	int32_t status;

	TRY(io_mkdir_p(job->config->io, dir, err));
	TRY(list(job, &count, &has_lock, err));
	if (count && !has_lock)
		return error_set(err, SB_ERR_CONFIG,
				 "%s is not empty and was not made by sbhost, which would empty it; choose another "
				 "--state-dir",
				 dir);
	if (asprintf(&lock_path, "%s/%s", dir, LOCK_NAME) < 0)
		return error_no_memory(err);
	status = io_lock_file(job->config->io, lock_path, &job->state_lock_fd, err);
	free(lock_path);
	TRY(status);
	/* Before anything else is in it: what a power cut left there without the lock's name would not be taken for ours. */
	return io_fsync_dir(job->config->io, dir, err);
}

static int32_t with_mark_path(struct job *job, int32_t (*action)(struct job *, const char *, void *, sb_error *),
			      void *argument, sb_error *err)
{
	char *path;
	int32_t status;

	if (asprintf(&path, "%s/%s", job->config->state_dir, MARK_NAME) < 0)
		return error_no_memory(err);
	status = action(job, path, argument, err);
	free(path);
	return status;
}

static int32_t test_mark(struct job *job, const char *path, void *argument, sb_error *err)
{
	struct stat st;

	return io_lstat(job->config->io, path, &st, argument, err);
}

static int32_t make_mark(struct job *job, const char *path, void *argument, sb_error *err)
{
	int fd;

	(void)argument;
	TRY(io_open(job->config->io, path, O_WRONLY | O_CREAT | O_NOFOLLOW, 0600, &fd, err));
	io_close(job->config->io, fd);
	return SB_OK;
}

int32_t state_dir_had_checkpoint(struct job *job, bool *ret_had, sb_error *err)
{
	return with_mark_path(job, test_mark, ret_had, err);
}

static int32_t remove_mark(struct job *job, const char *path, void *argument, sb_error *err)
{
	(void)argument;
	return io_unlink(job->config->io, path, err);
}

int32_t state_dir_mark_checkpoint(struct job *job, sb_error *err)
{
	return with_mark_path(job, make_mark, NULL, err);
}

static int32_t task_dir(struct job *job, uint32_t index, sb_error *err)
{
	struct job_task *task = &job->tasks[index];
	int length;

	if (task->dir)
		return SB_OK;
	length = job->config->parallelism == 1 ? asprintf(&task->dir, "%s", job->config->state_dir)
					       : asprintf(&task->dir, "%s/task-%u", job->config->state_dir, index);
	if (length < 0) {
		task->dir = NULL;
		return error_no_memory(err);
	}
	return SB_OK;
}

/* Only scans over raw states open short iterators. */
static uint32_t open_flags(const struct job *job)
{
	uint32_t flags = SB_OPEN_NO_SHORT_ITER | (job->native ? SB_OPEN_FILES : 0);

	for (uint64_t i = 0; i < job->schema.count; i++) {
		if (job->schema.states[i].kind == SB_STATE_RAW)
			flags &= ~SB_OPEN_NO_SHORT_ITER;
	}
	return flags;
}

static int32_t open_backend(struct job *job, uint32_t index, sb_error *err)
{
	struct job_task *task = &job->tasks[index];
	const struct plugin_env env = {
		.log = job->config->log,
		.clock = job->config->clock,
		.horizon_ms = &task->horizon_ms,
		.manifest = job->manifest,
		.watchdog = job->watchdog,
	};
	char name[32];
	int32_t status;

	TRY(task_dir(job, index, err));
	TRY(io_mkdir_p(job->config->io, task->dir, err));
	TRY(restore_place_files(job, index, err));
	snprintf(name, sizeof(name), "backend-%u", index);
	status = instance_open_backend(job->backend, name, task->dir, open_flags(job), &job->backend_options, &env,
				       &task->backend, err);
	if (status == SB_ERR_CORRUPT && job->native)
		job->checkpoint_damaged = true;
	return status;
}

int32_t state_dir_open_backends(struct job *job, sb_error *err)
{
	char message[96];

	TRY(io_empty_dir(job->config->io, job->config->state_dir, OWN_PREFIX, err));
	if (!job->checkpoint)
		TRY(with_mark_path(job, remove_mark, NULL, err));
	for (uint32_t i = 0; i < job->config->parallelism; i++)
		TRY(open_backend(job, i, err));
	snprintf(message, sizeof(message), "%s state backend initialized", job->backend->title);
	LOG(job->config->log, SB_LOG_INFO, message, LOG_S("path", job->config->state_dir),
	    LOG_B("ttl_enabled", job->config->ttl_ms > 0));
	return SB_OK;
}

void state_dir_close_backends(struct job *job)
{
	for (uint32_t i = 0; job->tasks && i < job->config->parallelism; i++) {
		instance_close(job->tasks[i].backend);
		job->tasks[i].backend = NULL;
	}
}
