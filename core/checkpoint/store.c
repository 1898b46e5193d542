/* See store.h. The directory itself is the only catalogue: nothing is kept beside it that could
 * disagree with it. */
#include "checkpoint/store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/slice.h"
#include "checkpoint/checkpoint_private.h"
#include "checkpoint/store_private.h"
#include "checkpoint/sweep.h"

static char *join(const char *dir, const char *name, const char *suffix)
{
	char *path;

	return asprintf(&path, "%s/%s%s", dir, name, suffix) < 0 ? NULL : path;
}

static bool is_checkpoint_name(const char *name, uint64_t *ret_number)
{
	const char *rest;

	return checkpoint_id_parse(name, ret_number, &rest) && strcmp(rest, CHECKPOINT_SUFFIX) == 0;
}

void store_warn(const struct checkpoint_store *store, const char *message, const char *file, const sb_error *err)
{
	LOG(store->log, SB_LOG_WARN, message, LOG_S("file", file), LOG_S("error", err->message));
}

int32_t checkpoint_store_lock(struct checkpoint_store *store, sb_error *err)
{
	AUTO(free_memory) char *path = join(store->dir, CHECKPOINT_LOCK, "");

	return path ? io_lock_file(store->io, path, &store->lock_fd, err) : error_no_memory(err);
}

/* Only the holder of the lock may think that the writer of a temporary is dead. */
static int32_t remove_leftovers(struct checkpoint_store *store, sb_error *err)
{
	struct sweep_plan plan = {0};
	uint64_t removed;
	int32_t status;

	TRY(sweep_plan_make(store, UINT64_MAX, true, &plan, err));
	status = sweep_execute(store, &plan, &removed, err);
	sweep_plan_done(&plan);
	return status;
}

static int32_t open_store(struct checkpoint_store *store, const char *dir, bool create, bool lock, sb_error *err)
{
	struct stat st;
	bool exists;

	store->dir = strdup(dir);
	shared_init(&store->shared, store->io, store->dir);
	if (!store->dir)
		return error_no_memory(err);
	if (create)
		TRY(io_mkdir_durable(store->io, dir, err));
	TRY(io_lstat(store->io, dir, &st, &exists, err));
	if (!exists)
		return error_set(err, SB_ERR_NOT_FOUND, "there is no checkpoint directory %s", dir);
	if (!lock)
		return SB_OK;
	TRY(checkpoint_store_lock(store, err));
	TRY(remove_leftovers(store, err));
	/* A checkpoint whose writer was killed between rename and sync is one to restore: then it must not go with the power. */
	return io_fsync_dir(store->io, dir, err);
}

int32_t checkpoint_store_open(struct io *io, const struct log *log, const char *dir, bool create, bool lock,
			      struct checkpoint_store **ret_store, sb_error *err)
{
	struct checkpoint_store *store = calloc(1, sizeof(*store));
	int32_t status;

	if (!store)
		return error_no_memory(err);
	*store = (struct checkpoint_store){.io = io, .log = log, .lock_fd = -1};
	status = open_store(store, dir, create, lock, err);
	if (status != SB_OK) {
		checkpoint_store_close(store);
		return status;
	}
	*ret_store = store;
	return SB_OK;
}

void checkpoint_store_close(struct checkpoint_store *store)
{
	if (!store)
		return;
	io_close(store->io, store->lock_fd);
	shared_done(&store->shared);
	free(store->dir);
	free(store);
}

const char *checkpoint_store_dir(const struct checkpoint_store *store)
{
	return store->dir;
}

char *checkpoint_store_path(const struct checkpoint_store *store, const char *id)
{
	return join(store->dir, id, CHECKPOINT_SUFFIX);
}

static int newest_first(const void *a, const void *b)
{
	const struct checkpoint_ref *x = a, *y = b;

	return (x->number < y->number) - (x->number > y->number);
}

/* Fills in one reference; *ret_is_one false when it is gone, or no regular file. */
static int32_t examine(struct checkpoint_store *store, const char *name, uint64_t number,
		       struct checkpoint_ref *ret_ref, bool *ret_is_one, sb_error *err)
{
	AUTO(free_memory) char *path = join(store->dir, name, "");
	struct stat st;
	bool exists;

	if (!path)
		return error_no_memory(err);
	TRY(io_lstat(store->io, path, &st, &exists, err));
	*ret_is_one = exists && S_ISREG(st.st_mode);
	if (!*ret_is_one)
		return SB_OK;
	checkpoint_id_format(number, ret_ref->id);
	ret_ref->number = number;
	ret_ref->file_bytes = st.st_size;
	return SB_OK;
}

int32_t checkpoint_store_list(struct checkpoint_store *store, struct checkpoint_ref **ret_refs, uint64_t *ret_count,
			      sb_error *err)
{
	AUTO(buffer_done) struct buffer names = BUFFER_INIT;
	AUTO(free_memory) struct checkpoint_ref *refs = NULL;
	uint64_t name_count, number, count = 0;
	bool is_one = false;

	TRY(io_list(store->io, store->dir, &names, &name_count, err));
	refs = calloc(name_count + 1, sizeof(*refs));
	if (!refs)
		return error_no_memory(err);
	for (size_t i = 0; i < names.len; i += strlen((char *)names.data + i) + 1) {
		const char *name = (char *)names.data + i;

		if (!is_checkpoint_name(name, &number))
			continue;
		TRY(examine(store, name, number, &refs[count], &is_one, err));
		count += is_one;
	}
	qsort(refs, count, sizeof(*refs), newest_first);
	*ret_refs = TAKE(refs);
	*ret_count = count;
	return SB_OK;
}

/* The highest number that any name in dir begins with; a directory that is not there has none. */
static int32_t highest_number(struct checkpoint_store *store, const char *dir, uint64_t *highest, sb_error *err)
{
	AUTO(buffer_done) struct buffer names = BUFFER_INIT;
	uint64_t count, number;
	const char *rest;
	int32_t status = io_list(store->io, dir, &names, &count, err);

	if (status == SB_ERR_NOT_FOUND)
		return SB_OK;
	TRY(status);
	for (size_t i = 0; i < names.len; i += strlen((char *)names.data + i) + 1)
		if (checkpoint_id_parse((char *)names.data + i, &number, &rest) && number > *highest)
			*highest = number;
	return SB_OK;
}

int32_t checkpoint_store_next_id(struct checkpoint_store *store, struct clock *clock, char ret_id[CHECKPOINT_ID_BYTES],
				 sb_error *err)
{
	AUTO(free_memory) char *quarantine = join(store->dir, CHECKPOINT_QUARANTINE, "");
	AUTO(free_memory) char *abandoned = join(store->dir, CHECKPOINT_ABANDONED, "");
	uint64_t highest = store->last_number;
	int64_t now = clock_wall_ns(clock);

	if (!quarantine || !abandoned)
		return error_no_memory(err);
	TRY(highest_number(store, store->dir, &highest, err));
	TRY(highest_number(store, quarantine, &highest, err));
	TRY(highest_number(store, abandoned, &highest, err));
	if (highest == UINT64_MAX)
		return error_set(err, SB_ERR_NO_SPACE,
				 "no checkpoint id is left above checkpoint-%" PRIu64 ": move that file out of %s",
				 highest, store->dir);
	store->last_number = now > 0 && (uint64_t)now > highest ? (uint64_t)now : highest + 1;
	checkpoint_id_format(store->last_number, ret_id);
	return SB_OK;
}

int32_t checkpoint_store_collect(struct checkpoint_store *store, uint64_t keep, uint64_t *ret_removed, sb_error *err)
{
	struct sweep_plan plan = {0};
	sb_error minor = ERROR_INIT;

	if (keep < 1)
		return error_set(err, SB_ERR_INVALID, "at least one checkpoint must be kept");
	TRY(sweep_plan_make(store, keep, false, &plan, err));
	if (sweep_execute(store, &plan, ret_removed, &minor) != SB_OK)
		store_warn(store, "Cannot remove files that no checkpoint needs", store->dir, &minor);
	sweep_plan_done(&plan);
	return SB_OK;
}

void checkpoint_store_trust_files(struct checkpoint_store *store, bool trust)
{
	store->trust_files = trust;
}

void checkpoint_store_watch(struct checkpoint_store *store, const struct checkpoint_watch *watch)
{
	store->watch = watch;
}

int32_t checkpoint_store_take_file(struct checkpoint_store *store, const struct file_meta *file, bool link, bool know,
				   const char *path, sb_error *err)
{
	TRY(shared_take(store->io, store->dir, file, link, path, err));
	return know && link ? shared_know(&store->shared, path, file->sha256, err) : SB_OK;
}
