/* Mark and sweep: what must stay in the directory.
 *
 * The newest keep checkpoints that can be restored (by their heads: parents there, files there) stay, and with them
 * every ancestor. So do ancestors of abandoned ones, which people may want to move back. A file in shared/
 * stays while any checkpoint in the directory, in abandoned/ or in quarantine/ names it. What cannot be parsed names nothing.
 * A checkpoint that cannot be read for another reason ends the sweep: not knowing is no reason to delete. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "checkpoint/checkpoint_private.h"
#include "checkpoint/store_private.h"

#define READING_PREFIX CHECKPOINT_TMP_PREFIX "read-"

struct head {
	uint64_t parent; /* number; 0: none */
	bool restorable; /* so far as it shows */
};

static uint64_t parent_number(const struct checkpoint_meta *meta)
{
	uint64_t number = 0;
	const char *rest;

	if (meta->parent)
		checkpoint_id_parse(meta->parent, &number, &rest);
	return number;
}

/* *ret_reader NULL: no checkpoint that this program can read. */
static int32_t open_head(struct checkpoint_store *store, const char *path, struct checkpoint_reader **ret_reader,
			 sb_error *err)
{
	int32_t status = checkpoint_reader_open(store->io, path, ret_reader, err);

	if (status == SB_OK)
		return SB_OK;
	*ret_reader = NULL;
	return status == SB_ERR_CORRUPT || status == SB_ERR_NOT_FOUND ? SB_OK : status;
}

static int32_t read_heads(struct checkpoint_store *store, const struct checkpoint_ref *refs, uint64_t count,
			  struct head *heads, sb_error *err)
{
	for (uint64_t i = count; i-- > 0;) {
		AUTO(free_memory) char *path = checkpoint_store_path(store, refs[i].id);
		struct checkpoint_reader *reader;
		int32_t status;

		if (!path)
			return error_no_memory(err);
		TRY(open_head(store, path, &reader, err));
		if (!reader)
			continue;
		heads[i].parent = parent_number(checkpoint_reader_meta(reader));
		status = shared_check(store->io, store->dir, checkpoint_reader_meta(reader), false, err);
		checkpoint_reader_close(reader);
		if (status != SB_OK && status != SB_ERR_CORRUPT)
			return status;
		heads[i].restorable = status == SB_OK && !heads[i].parent;
		for (uint64_t j = i + 1; status == SB_OK && heads[i].parent && j < count; j++)
			if (refs[j].number == heads[i].parent)
				heads[i].restorable = heads[j].restorable;
	}
	return SB_OK;
}

static void mark_chain(const struct checkpoint_ref *refs, const struct head *heads, uint64_t count, uint64_t number,
		       bool *stays)
{
	for (uint64_t i = 0; number && i < count; i++)
		if (refs[i].number == number) {
			stays[i] = true;
			number = heads[i].parent;
		}
}

typedef int32_t visit_fn(void *context, const struct checkpoint_meta *meta, sb_error *err);

/* Every checkpoint in folder ("." for the directory itself), under whatever name it was given there. */
static int32_t visit_folder(struct checkpoint_store *store, const char *folder, visit_fn *visit, void *context,
			    sb_error *err)
{
	AUTO(buffer_done) struct buffer names = BUFFER_INIT;
	AUTO(free_memory) char *dir = NULL;
	uint64_t count, number;
	const char *rest;
	int32_t status;

	if (asprintf(&dir, "%s/%s", store->dir, folder) < 0) {
		dir = NULL;
		return error_no_memory(err);
	}
	status = io_list(store->io, dir, &names, &count, err);
	if (status == SB_ERR_NOT_FOUND)
		return SB_OK;
	TRY(status);
	for (size_t i = 0; i < names.len; i += strlen((char *)names.data + i) + 1) {
		AUTO(free_memory) char *path = NULL;
		struct checkpoint_reader *reader;

		if (!checkpoint_id_parse((char *)names.data + i, &number, &rest))
			continue;
		if (asprintf(&path, "%s/%s", dir, (char *)names.data + i) < 0) {
			path = NULL;
			return error_no_memory(err);
		}
		TRY(open_head(store, path, &reader, err));
		if (!reader)
			continue;
		status = visit(context, checkpoint_reader_meta(reader), err);
		checkpoint_reader_close(reader);
		TRY(status);
	}
	return SB_OK;
}

struct marking {
	const struct checkpoint_ref *refs;
	const struct head *heads;
	uint64_t count;
	bool *stays;
};

static int32_t mark_ancestors(void *context, const struct checkpoint_meta *meta, sb_error *err)
{
	struct marking *marking = context;

	(void)err;
	mark_chain(marking->refs, marking->heads, marking->count, parent_number(meta), marking->stays);
	return SB_OK;
}

int32_t sweep_mark(struct checkpoint_store *store, const struct checkpoint_ref *refs, uint64_t count, uint64_t keep,
		   bool *ret_stays, sb_error *err)
{
	AUTO(free_memory) struct head *heads = NULL;
	struct marking marking = {.refs = refs, .count = count, .stays = ret_stays};
	uint64_t kept = 0;

	for (uint64_t i = 0; i < count; i++)
		ret_stays[i] = true;
	if (count <= keep)
		return SB_OK;
	heads = calloc(count, sizeof(*heads));
	if (!heads)
		return error_no_memory(err);
	marking.heads = heads;
	TRY(read_heads(store, refs, count, heads, err));
	for (uint64_t i = 0; i < count; i++) {
		ret_stays[i] = kept < keep;
		kept += heads[i].restorable;
	}
	for (uint64_t i = 0; i < count; i++)
		if (ret_stays[i])
			mark_chain(refs, heads, count, heads[i].parent, ret_stays);
	return visit_folder(store, CHECKPOINT_ABANDONED, mark_ancestors, &marking, err);
}

struct hash_set {
	char (*names)[CHECKPOINT_SHA256_HEX + 1];
	uint64_t count, cap;
};

static int32_t add_files(void *context, const struct checkpoint_meta *meta, sb_error *err)
{
	struct hash_set *set = context;

	if (set->count + meta->file_count > set->cap) {
		uint64_t cap = 2 * (set->count + meta->file_count);
		void *larger = reallocarray(set->names, cap, sizeof(*set->names));

		if (!larger)
			return error_no_memory(err);
		set->names = larger;
		set->cap = cap;
	}
	for (uint64_t i = 0; i < meta->file_count; i++)
		memcpy(set->names[set->count++], meta->files[i].sha256, sizeof(*set->names));
	return SB_OK;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(a, b);
}

static int32_t sweep_folder(struct checkpoint_store *store, const char *dir, const struct buffer *names,
			    const struct hash_set *needed, sb_error *err)
{
	for (size_t i = 0; i < names->len; i += strlen((char *)names->data + i) + 1) {
		const char *name = (char *)names->data + i;
		AUTO(free_memory) char *path = NULL;

		/* Nobody else's files: ours are called by a hash, or are temporary. */
		if (strlen(name) != CHECKPOINT_SHA256_HEX && strncmp(name, CHECKPOINT_TMP_PREFIX, 4) != 0)
			continue;
		if (needed->count && bsearch(name, needed->names, needed->count, sizeof(*needed->names), compare_names))
			continue;
		if (asprintf(&path, "%s/%s", dir, name) < 0) {
			path = NULL;
			return error_no_memory(err);
		}
		TRY(io_unlink(store->io, path, err));
	}
	return SB_OK;
}

static int32_t sweep_shared(struct checkpoint_store *store, struct hash_set *needed, sb_error *err)
{
	AUTO(buffer_done) struct buffer names = BUFFER_INIT;
	AUTO(free_memory) char *dir = NULL;
	uint64_t count;
	int32_t status;

	if (asprintf(&dir, "%s/" CHECKPOINT_SHARED, store->dir) < 0) {
		dir = NULL;
		return error_no_memory(err);
	}
	/* What is listed after the heads were read cannot be newer than they: files come by the thread that sweeps. */
	status = io_list(store->io, dir, &names, &count, err);
	if (status == SB_ERR_NOT_FOUND)
		return SB_OK;
	TRY(status);
	if (count == 0)
		return SB_OK;
	TRY(visit_folder(store, ".", add_files, needed, err));
	TRY(visit_folder(store, CHECKPOINT_ABANDONED, add_files, needed, err));
	TRY(visit_folder(store, CHECKPOINT_QUARANTINE, add_files, needed, err));
	if (needed->count)
		qsort(needed->names, needed->count, sizeof(*needed->names), compare_names);
	return sweep_folder(store, dir, &names, needed, err);
}

/* A tool that reads a native checkpoint at this moment, without the lock, has its links in such a directory. */
static bool is_in_use(const char *name)
{
	long pid;

	if (strncmp(name, READING_PREFIX, strlen(READING_PREFIX)) != 0)
		return false;
	pid = strtol(name + strlen(READING_PREFIX), NULL, 10);
	return pid > 0 && kill((pid_t)pid, 0) == 0;
}

static int32_t remove_directories(struct checkpoint_store *store, sb_error *err)
{
	AUTO(buffer_done) struct buffer names = BUFFER_INIT;
	uint64_t count;

	TRY(io_list(store->io, store->dir, &names, &count, err));
	for (size_t i = 0; i < names.len; i += strlen((char *)names.data + i) + 1) {
		const char *name = (char *)names.data + i;
		AUTO(free_memory) char *path = NULL;

		if (strncmp(name, CHECKPOINT_TMP_PREFIX, strlen(CHECKPOINT_TMP_PREFIX)) != 0 || is_in_use(name))
			continue;
		if (asprintf(&path, "%s/%s", store->dir, name) < 0) {
			path = NULL;
			return error_no_memory(err);
		}
		TRY(io_remove_tree(store->io, path, err));
	}
	return SB_OK;
}

int32_t sweep_files(struct checkpoint_store *store, sb_error *err)
{
	struct hash_set needed = {0};
	int32_t status = remove_directories(store, err);

	if (status == SB_OK)
		status = sweep_shared(store, &needed, err);
	free(needed.names);
	return status;
}
