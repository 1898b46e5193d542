/* See heads.h. */
#include "checkpoint/heads.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "checkpoint/shared.h"
#include "checkpoint/store_private.h"

int32_t checkpoint_heads_open(struct checkpoint_store *store, struct checkpoint_heads *ret_heads, sb_error *err)
{
	struct checkpoint_heads heads = {.store = store};

	TRY(checkpoint_store_list(store, &heads.refs, &heads.count, err));
	heads.heads = calloc(heads.count + 1, sizeof(*heads.heads));
	if (!heads.heads) {
		free(heads.refs);
		return error_no_memory(err);
	}
	*ret_heads = heads;
	return SB_OK;
}

void checkpoint_heads_close(struct checkpoint_heads *heads)
{
	free(TAKE(heads->refs));
	free(TAKE(heads->heads));
	heads->count = 0;
}

uint64_t checkpoint_heads_find(const struct checkpoint_heads *heads, const char *id)
{
	for (uint64_t i = 0; i < heads->count; i++)
		if (strcmp(heads->refs[i].id, id) == 0)
			return i;
	return UINT64_MAX;
}

static int32_t open_reader(struct checkpoint_store *store, const char *id, struct checkpoint_reader **ret_reader,
			   sb_error *err)
{
	AUTO(free_memory) char *path = checkpoint_store_path(store, id);

	return path ? checkpoint_reader_open(store->io, path, ret_reader, err) : error_no_memory(err);
}

/* One that is not there, or is damaged, is told of where the chain is followed. */
static int32_t check_parent(struct checkpoint_store *store, const struct checkpoint_meta *child, sb_error *err)
{
	struct checkpoint_reader *parent;
	sb_error ignored = ERROR_INIT;
	int32_t status;

	if (!child->parent || open_reader(store, child->parent, &parent, &ignored) != SB_OK)
		return SB_OK;
	status = chain_check_fit(checkpoint_reader_meta(parent), child, err);
	checkpoint_reader_close(parent);
	return status;
}

static int32_t read_head(struct checkpoint_heads *heads, uint64_t i, struct checkpoint_head *head, sb_error *err)
{
	struct checkpoint_store *store = heads->store;
	const struct checkpoint_meta *meta;
	struct checkpoint_reader *reader;
	int32_t status;

	TRY(open_reader(store, heads->refs[i].id, &reader, err));
	meta = checkpoint_reader_meta(reader);
	memccpy(head->parent, meta->parent ? meta->parent : "", 0, sizeof(head->parent));
	status = shared_check(store->io, store->dir, meta, false, NULL, err);
	if (status == SB_OK)
		status = check_parent(store, meta, err);
	checkpoint_reader_close(reader);
	return status;
}

static const struct checkpoint_head *read_once(struct checkpoint_heads *heads, uint64_t i)
{
	struct checkpoint_head *head = &heads->heads[i];

	if (!head->read) {
		head->problem = (sb_error)ERROR_INIT;
		read_head(heads, i, head, &head->problem);
		head->read = true;
	}
	return head;
}

const char *checkpoint_heads_parent(struct checkpoint_heads *heads, uint64_t i)
{
	return read_once(heads, i)->parent;
}

/* What is wrong with the ancestor at is wrong with of. That one was removed meanwhile makes it useless, not unreadable. */
static int32_t fail(const struct checkpoint_heads *heads, uint64_t of, uint64_t at, const sb_error *problem,
		    sb_error *err)
{
	*err = *problem;
	if (at == of)
		return err->code;
	if (err->code == SB_ERR_NOT_FOUND)
		err->code = SB_ERR_CORRUPT;
	return error_prefix(err, "%s needs %s", heads->refs[of].id, heads->refs[at].id);
}

int32_t checkpoint_heads_check(struct checkpoint_heads *heads, uint64_t i, uint64_t *ret_links, sb_error *err)
{
	uint64_t at = i;

	for (*ret_links = 1;; ++*ret_links) {
		const struct checkpoint_head *head = read_once(heads, at);
		uint64_t parent;

		if (head->problem.code != SB_OK)
			return fail(heads, i, at, &head->problem, err);
		if (!head->parent[0])
			return SB_OK;
		parent = checkpoint_heads_find(heads, head->parent);
		if (parent == UINT64_MAX)
			return error_set(err, SB_ERR_CORRUPT, "%s needs %s, which is not there", heads->refs[i].id,
					 head->parent);
		if (parent <= at)
			return error_set(err, SB_ERR_CORRUPT, "%s is damaged: %s cannot be its parent",
					 heads->refs[at].id, head->parent);
		at = parent;
	}
}
