/* SPDX-License-Identifier: Apache-2.0
 * The zoo's sb.inplace/1: a place is a draft of the value, which finish writes like any other operation. So it is not fast, but
 * iterators and pins keep the entries that they hold. */
#include "backend.h"

/* Aligned, and never NULL for want of bytes. */
static uint8_t *new_draft(sb_slice value)
{
	uint8_t *draft = aligned_alloc(16, (value.len | 15) + 1);

	if (draft && value.len)
		memcpy(draft, value.ptr, value.len);
	return draft;
}

static int32_t find(sb_backend *backend, uint64_t n, const sb_slice *keys, sb_place *places, sb_error *err)
{
	memset(places, 0, n * sizeof(*places));
	backend->count_at_find = backend->entries.count;
	for (uint64_t i = 0; i < n; i++) {
		const uint64_t at = list_find(&backend->entries, keys[i]);
		const struct entry *entry;

		if (!list_has(&backend->entries, at, keys[i]))
			continue;
		entry = backend->entries.items[at];
		places[i].value = new_draft(entry->value);
		if (!places[i].value)
			return no_memory(err);
		places[i].value_len = entry->value.len;
		places[i].expiry_ms = entry->expiry_ms;
		places[i].flags = SB_PLACE_FOUND;
	}
	return SB_OK;
}

static int32_t write(sb_backend *backend, sb_slice key, uint64_t value_len, sb_place *place, sb_error *err)
{
	(void)backend;
	(void)key;
	if (!place->value) {
		place->value = aligned_alloc(16, (value_len | 15) + 1);
		if (!place->value)
			return no_memory(err);
		place->value_len = value_len;
	}
	place->flags = SB_PLACE_FOUND | SB_PLACE_WRITABLE;
	return SB_OK;
}

/* Whoever holds the entry sees it. */
static bool overwrite(sb_backend *backend, const sb_op *op)
{
	const uint64_t at = list_find(&backend->entries, op->key);
	struct entry *entry;

	if (!list_has(&backend->entries, at, op->key) || backend->entries.items[at]->value.len != op->value.len)
		return false;
	entry = backend->entries.items[at];
	memcpy(entry->bytes + entry->key.len, op->value.ptr, op->value.len);
	entry->expiry_ms = op->expiry_ms;
	return true;
}

static int32_t finish_one(sb_backend *backend, sb_slice key, const sb_place *place, bool others_came, sb_error *err)
{
	const sb_op op = {.key = key,
			  .value = {place->value, place->value_len},
			  .expiry_ms = place->expiry_ms,
			  .kind = place->kind};

	if (place->kind == 0 || (IS(other_keys_may_be_used_while_places_are_out) && others_came))
		return SB_OK;
	if (IS(changes_in_place_are_what_is_read) && place->kind == SB_OP_DELETE)
		return SB_OK;
	if (IS(others_see_what_was_before_changes_in_place) && place->kind == SB_OP_PUT && overwrite(backend, &op))
		return SB_OK;
	return zoo_apply(backend, &op, err);
}

static int32_t finish(sb_backend *backend, uint64_t n, const sb_slice *keys, sb_place *places, sb_error *err)
{
	const bool others_came = backend->entries.count != backend->count_at_find;
	int32_t status = SB_OK;

	for (uint64_t i = 0; i < n; i++) {
		if (status == SB_OK)
			status = finish_one(backend, keys[i], &places[i], others_came, err);
		free(places[i].value);
	}
	return status;
}

const sb_inplace_ops zoo_inplace = {
	.struct_size = sizeof(sb_inplace_ops),
	.find = find,
	.write = write,
	.finish = finish,
};
