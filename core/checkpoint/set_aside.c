/* Setting checkpoints aside: renamed, never deleted, never over another one. People can look at them, or
 * move them back; the host reads no more of them than their names.
 *
 * Damaged ones go to quarantine/. Those of a line of history that the user left, by restoring an older one or none, go
 * to abandoned/, before the outputs are cut back: were they still there after a crash, the next start would take the newest
 * of them, which counts on output that is gone. So do all that an imported one finds: were that damaged later, the next start would
 * fall back to the state of another history without a word. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "checkpoint/checkpoint_private.h"
#include "checkpoint/store_private.h"

#define NAMESAKES_MAX 100

/* The rename itself, under the first free name: a file that was mended, moved back and is damaged again gets
 * "….json.1". */
static int32_t move_aside(struct checkpoint_store *store, const char *from, const char *dir, const char *id,
			  sb_error *err)
{
	int32_t status = SB_OK;

	for (int i = 0; i < NAMESAKES_MAX; i++) {
		AUTO(free_memory) char *to = NULL;
		char suffix[16] = "";

		if (i)
			snprintf(suffix, sizeof(suffix), ".%d", i);
		if (asprintf(&to, "%s/%s" CHECKPOINT_SUFFIX "%s", dir, id, suffix) < 0) {
			to = NULL;
			return error_no_memory(err);
		}
		status = io_rename_new(store->io, from, to, err);
		if (status == SB_OK || err->sys_errno != EEXIST)
			return status;
	}
	return status;
}

static int32_t set_aside(struct checkpoint_store *store, const char *folder, const char *id, sb_error *err)
{
	AUTO(free_memory) char *from = checkpoint_store_path(store, id);
	AUTO(free_memory) char *dir = NULL;

	if (asprintf(&dir, "%s/%s", store->dir, folder) < 0)
		dir = NULL;
	if (!from || !dir)
		return error_no_memory(err);
	TRY(io_mkdir_p(store->io, dir, err));
	TRY(move_aside(store, from, dir, id, err));
	TRY(io_fsync_dir(store->io, dir, err));
	return io_fsync_dir(store->io, store->dir, err);
}

int32_t checkpoint_store_quarantine(struct checkpoint_store *store, const char *id, sb_error *err)
{
	return set_aside(store, CHECKPOINT_QUARANTINE, id, err);
}

int32_t checkpoint_store_abandon_newer(struct checkpoint_store *store, const char *id, uint64_t *ret_count,
				       sb_error *err)
{
	AUTO(free_memory) struct checkpoint_ref *refs = NULL;
	uint64_t count, number = 0, abandoned = 0;
	const char *rest;

	if (id && !checkpoint_id_parse(id, &number, &rest))
		return error_set(err, SB_ERR_INVALID, "%s is no id of a checkpoint", id);
	TRY(checkpoint_store_list(store, &refs, &count, err));
	for (; abandoned < count && refs[abandoned].number > number; abandoned++)
		TRY(set_aside(store, CHECKPOINT_ABANDONED, refs[abandoned].id, err));
	*ret_count = abandoned;
	return SB_OK;
}

int32_t checkpoint_store_abandon_others(struct checkpoint_store *store, const char *id, uint64_t *ret_count,
					sb_error *err)
{
	AUTO(free_memory) struct checkpoint_ref *refs = NULL;
	uint64_t count, abandoned = 0;

	TRY(checkpoint_store_list(store, &refs, &count, err));
	for (uint64_t i = 0; i < count; i++) {
		if (strcmp(refs[i].id, id) == 0)
			continue;
		TRY(set_aside(store, CHECKPOINT_ABANDONED, refs[i].id, err));
		abandoned++;
	}
	*ret_count = abandoned;
	return SB_OK;
}

bool checkpoint_store_has_quarantine(struct checkpoint_store *store)
{
	AUTO(buffer_done) struct buffer names = BUFFER_INIT;
	AUTO(free_memory) char *dir = NULL;
	sb_error ignored = ERROR_INIT;
	uint64_t count;

	if (asprintf(&dir, "%s/" CHECKPOINT_QUARANTINE, store->dir) < 0) {
		dir = NULL;
		return false;
	}
	return io_list(store->io, dir, &names, &count, &ignored) == SB_OK && count > 0;
}
