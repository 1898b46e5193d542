/* SPDX-License-Identifier: Apache-2.0
 * The zoo's sb.delta/1: a log of all that was written since the first mark. */
#include "backend.h"

struct sb_changes {
	struct list entries;
	uint64_t at;
};

bool delta_note(sb_backend *backend, const sb_op *op)
{
	struct entry *entry;

	if (!backend->marks)
		return true;
	if (IS(changes_lead_from_a_mark_to_the_moment) && op->kind == SB_OP_DELETE)
		return true;
	entry = entry_new(op->key, op->value, op->expiry_ms);
	if (!entry || !list_reserve(&backend->log, backend->log.count + 1)) {
		entry_drop(entry);
		return false;
	}
	entry->deleted = op->kind == SB_OP_DELETE;
	backend->log.items[backend->log.count++] = entry;
	return true;
}

static int32_t mark(sb_backend *backend, uint64_t *ret_mark, sb_error *err)
{
	if (backend->marks + 1 == MARKS_MAX)
		return fail(err, SB_ERR_NO_SPACE, "there are too many marks");
	backend->mark_at[++backend->marks] = backend->log.count;
	*ret_mark = backend->marks;
	return SB_OK;
}

static int32_t changes_open(sb_backend *backend, uint64_t since, sb_changes **ret_changes, sb_error *err)
{
	uint64_t from = backend->log.count;
	sb_changes *changes;

	if (since > 0 && since <= backend->marks)
		from = backend->mark_at[since];
	else if (!IS(a_mark_that_never_was_is_not_found))
		return fail(err, SB_ERR_NOT_FOUND, "there is no such mark");
	changes = calloc(1, sizeof(*changes));
	if (!changes)
		return no_memory(err);
	if (!list_copy(&backend->log, from, backend->log.count, &changes->entries)) {
		free(changes);
		return no_memory(err);
	}
	*ret_changes = changes;
	return SB_OK;
}

static int32_t changes_next(sb_changes *changes, uint64_t max, sb_op *ops, uint64_t *ret_count, sb_error *err)
{
	uint64_t n = 0;

	(void)err;
	for (; n < max && changes->at < changes->entries.count; changes->at++) {
		const struct entry *entry = changes->entries.items[changes->at];

		ops[n++] = (sb_op){.key = entry->key,
				   .value = entry->value,
				   .expiry_ms = entry->expiry_ms,
				   .kind = entry->deleted ? SB_OP_DELETE : SB_OP_PUT};
	}
	*ret_count = n;
	return SB_OK;
}

static void changes_close(sb_changes *changes)
{
	list_done(&changes->entries);
	free(changes);
}

static void release(sb_backend *backend, uint64_t mark_below)
{
	(void)backend;
	(void)mark_below;
}

const sb_delta_ops zoo_delta = {
	.struct_size = sizeof(sb_delta_ops),
	.mark = mark,
	.changes_open = changes_open,
	.changes_next = changes_next,
	.changes_close = changes_close,
	.release = release,
};
