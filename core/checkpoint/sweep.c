/* A plan carried out: see sweep.h. Checkpoints go first, children before their parents, and their directory is synced before
 * what they named: a crash at any point leaves no checkpoint without what it needs. */
#include "checkpoint/sweep.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "checkpoint/checkpoint_private.h"
#include "checkpoint/store_private.h"

static char *path_of(const struct checkpoint_store *store, const struct sweep_file *file)
{
	char *path;

	return asprintf(&path, "%s/%s", store->dir, file->name) < 0 ? NULL : path;
}

/* False when one could not be removed: then nothing more may go. */
static bool remove_checkpoints(struct checkpoint_store *store, struct sweep_plan *plan, uint64_t *ret_removed)
{
	sb_error err = ERROR_INIT;

	for (uint64_t i = 0; i < plan->count; i++) {
		struct sweep_file *file = &plan->files[i];
		AUTO(free_memory) char *path = NULL;

		if (!file->id[0] || file->stays)
			continue;
		path = path_of(store, file);
		if (!path || io_unlink(store->io, path, &err) != SB_OK) {
			store_warn(store, "Cannot remove an old checkpoint", file->id, &err);
			return false;
		}
		file->removed = true;
		++*ret_removed;
	}
	if (*ret_removed == 0 || io_fsync_dir(store->io, store->dir, &err) == SB_OK)
		return true;
	store_warn(store, "Removed checkpoints may come back after a crash", store->dir, &err);
	return false;
}

/* A temporary that cannot be removed does no harm, and the next sweep tries again. */
static void remove_temporary(struct checkpoint_store *store, struct sweep_file *file, const char *path)
{
	sb_error err = ERROR_INIT;

	file->removed = io_unlink(store->io, path, &err) == SB_OK;
	if (file->removed)
		LOG(store->log, SB_LOG_INFO, "Removed what an interrupted checkpoint left", LOG_S("file", file->name));
	else
		store_warn(store, "Cannot remove what an interrupted checkpoint left", file->name, &err);
}

static int32_t remove_other(struct checkpoint_store *store, struct sweep_file *file, sb_error *err)
{
	AUTO(free_memory) char *path = path_of(store, file);

	if (!path)
		return error_no_memory(err);
	if (strncmp(file->name, CHECKPOINT_SHARED "/", sizeof(CHECKPOINT_SHARED)) == 0) {
		TRY(io_unlink(store->io, path, err));
		file->removed = true;
	} else if (strncmp(file->name, CHECKPOINT_TMP_PREFIX, sizeof(CHECKPOINT_TMP_PREFIX) - 1) == 0) {
		TRY(io_remove_tree(store->io, path, err));
		file->removed = true;
	} else {
		remove_temporary(store, file, path);
	}
	return SB_OK;
}

int32_t sweep_execute(struct checkpoint_store *store, struct sweep_plan *plan, uint64_t *ret_checkpoints, sb_error *err)
{
	assert(store->lock_fd >= 0);
	*ret_checkpoints = 0;
	if (!remove_checkpoints(store, plan, ret_checkpoints))
		return SB_OK;
	for (uint64_t i = 0; i < plan->count; i++)
		if (!plan->files[i].id[0] && !plan->files[i].stays)
			TRY(remove_other(store, &plan->files[i], err));
	return SB_OK;
}
