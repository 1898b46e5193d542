/* Which checkpoint to restore.
 *
 * A candidate's digest is checked over the whole file before its first item is handed out: one more pass of
 * reading, at the speed of SHA-256, so that a restore that has begun to load state does not find out half-way
 * that it must begin again with another file. The frames' own checks run while they are read. They can fail behind a
 * good
 * digest only when the writer was faulty (or the disk fails in between); the caller may then quarantine that file and
 * ask again. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "checkpoint/checkpoint_private.h"
#include "checkpoint/store_private.h"

/* What else the checkpoint is made of: its parents, whole, and its files. */
static int32_t check_needs(struct checkpoint_store *store, const struct checkpoint_meta *meta, sb_error *err)
{
	struct checkpoint_reader *parents[CHECKPOINT_DEPTH_MAX];
	uint32_t count;

	TRY(chain_open(store, meta, true, parents, &count, err));
	chain_close(parents, count);
	return shared_check(store->io, store->dir, meta, !store->trust_files, store->watch, err);
}

static int32_t open_verified(struct checkpoint_store *store, const char *id, struct checkpoint_reader **ret_reader,
			     sb_error *err)
{
	AUTO(free_memory) char *path = checkpoint_store_path(store, id);
	struct checkpoint_reader *reader;
	int32_t status;

	if (!path)
		return error_no_memory(err);
	TRY(checkpoint_reader_open(store->io, path, &reader, err));
	checkpoint_reader_watch(reader, store->watch);
	status = checkpoint_reader_verify_digest(reader, err);
	if (status == SB_OK)
		status = check_needs(store, checkpoint_reader_meta(reader), err);
	if (status != SB_OK) {
		checkpoint_reader_close(reader);
		return status;
	}
	*ret_reader = reader;
	return SB_OK;
}

static int32_t open_named(struct checkpoint_store *store, const char *id, struct checkpoint_reader **ret_reader,
			  sb_error *err)
{
	int32_t status;

	if (!checkpoint_id_is_valid(id))
		return error_set(err, SB_ERR_NOT_FOUND,
				 "\"%.40s\" is no checkpoint id; ids look like checkpoint-1699564823000000000", id);
	status = open_verified(store, id, ret_reader, err);
	if (status == SB_ERR_NOT_FOUND)
		return error_set(err, SB_ERR_NOT_FOUND, "there is no %s in %s: see sbhost checkpoint list", id,
				 store->dir);
	return status;
}

static void set_aside(struct checkpoint_store *store, const char *id, bool quarantine, const sb_error *cause)
{
	sb_error err = ERROR_INIT;

	LOG(store->log, SB_LOG_ERROR, "Damaged checkpoint passed over", LOG_S("id", id),
	    LOG_S("error", cause->message));
	if (quarantine && checkpoint_store_quarantine(store, id, &err) != SB_OK)
		store_warn(store, "Cannot move a damaged checkpoint to quarantine", id, &err);
}

int32_t checkpoint_store_open_newest(struct checkpoint_store *store, const char *id, bool quarantine,
				     struct checkpoint_reader **ret_reader, uint64_t *ret_damaged, sb_error *err)
{
	AUTO(free_memory) struct checkpoint_ref *refs = NULL;
	uint64_t count, damaged = 0;
	int32_t status;

	if (id) {
		TRY(open_named(store, id, ret_reader, err));
		*ret_damaged = 0;
		return SB_OK;
	}
	TRY(checkpoint_store_list(store, &refs, &count, err));
	for (uint64_t i = 0; i < count; i++) {
		status = open_verified(store, refs[i].id, ret_reader, err);
		if (status == SB_OK)
			*ret_damaged = damaged;
		if (status != SB_ERR_CORRUPT && status != SB_ERR_NOT_FOUND)
			return status;
		if (status == SB_ERR_NOT_FOUND)
			continue; /* removed since it was listed */
		damaged++;
		set_aside(store, refs[i].id, quarantine, err);
	}
	*ret_damaged = damaged;
	if (damaged)
		return error_set(err, SB_ERR_NOT_FOUND, "no valid checkpoint in %s: %" PRIu64 " damaged", store->dir,
				 damaged);
	return error_set(err, SB_ERR_NOT_FOUND, "no checkpoint in %s", store->dir);
}

static int32_t verify_item(struct checkpoint_store *store, const char *id, sb_error *err)
{
	AUTO(free_memory) char *path = checkpoint_store_path(store, id);

	return path ? checkpoint_verify(store->io, path, store->watch, err) : error_no_memory(err);
}

int32_t checkpoint_store_verify(struct checkpoint_store *store, const char *id, sb_error *err)
{
	struct checkpoint_reader *parents[CHECKPOINT_DEPTH_MAX];
	struct checkpoint_reader *reader;
	uint32_t count = 0;
	int32_t status;

	TRY(verify_item(store, id, err));
	TRY(open_named(store, id, &reader, err));
	status = chain_open(store, checkpoint_reader_meta(reader), false, parents, &count, err);
	for (uint32_t i = 0; status == SB_OK && i < count; i++)
		status = verify_item(store, checkpoint_reader_meta(parents[i])->id, err);
	chain_close(parents, count);
	checkpoint_reader_close(reader);
	return status;
}
