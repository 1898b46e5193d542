/* The ancestors of a checkpoint that holds changes: found by name in the same directory, and held against their child. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/slice.h"
#include "checkpoint/checkpoint_private.h"
#include "checkpoint/store_private.h"

void chain_close(struct checkpoint_reader **parents, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		checkpoint_reader_close(parents[i]);
}

static int32_t compare_schemas(const struct schema *a, const struct schema *b, bool *ret_same, sb_error *err)
{
	AUTO(buffer_done) struct buffer x = BUFFER_INIT;
	AUTO(buffer_done) struct buffer y = BUFFER_INIT;

	schema_to_json(a, &x);
	schema_to_json(b, &y);
	TRY(buffer_check(&x, err)); /* that memory is out says nothing about the files */
	TRY(buffer_check(&y, err));
	*ret_same = slice_equal(buffer_slice(&x), buffer_slice(&y));
	return SB_OK;
}

static uint64_t number_of(const char *id)
{
	uint64_t number = 0;
	const char *rest;

	checkpoint_id_parse(id, &number, &rest);
	return number;
}

int32_t chain_check_fit(const struct checkpoint_meta *parent, const struct checkpoint_meta *child, sb_error *err)
{
	bool fits = false;

	TRY(compare_schemas(&parent->schema, &child->schema, &fits, err));
	fits = fits && parent->depth + 1 == child->depth && parent->file_count == 0 &&
	       number_of(parent->id) < number_of(child->id) && parent->tasks == child->tasks &&
	       parent->key_groups == child->key_groups && strcmp(parent->operator_id, child->operator_id) == 0 &&
	       strcmp(parent->ttl_clock, child->ttl_clock) == 0; /* both are always named */
	if (fits)
		return SB_OK;
	return error_set(err, SB_ERR_CORRUPT, "%s needs %s, which is not the checkpoint that it was", child->id,
			 child->parent);
}

static int32_t open_parent(struct checkpoint_store *store, const struct checkpoint_meta *child, bool digest,
			   struct checkpoint_reader **ret_parent, sb_error *err)
{
	AUTO(free_memory) char *path = checkpoint_store_path(store, child->parent);
	struct checkpoint_reader *reader;
	int32_t status;

	if (!path)
		return error_no_memory(err);
	status = checkpoint_reader_open(store->io, path, &reader, err);
	if (status == SB_ERR_NOT_FOUND)
		return error_set(err, SB_ERR_CORRUPT, "%s needs %s, which is not in %s", child->id, child->parent,
				 store->dir);
	TRY(status);
	status = chain_check_fit(checkpoint_reader_meta(reader), child, err);
	if (status == SB_OK && digest) {
		checkpoint_reader_watch(reader, store->watch);
		status = checkpoint_reader_verify_digest(reader, err);
	}
	if (status != SB_OK) {
		checkpoint_reader_close(reader);
		return status;
	}
	*ret_parent = reader;
	return SB_OK;
}

int32_t chain_open(struct checkpoint_store *store, const struct checkpoint_meta *meta, bool digest,
		   struct checkpoint_reader **ret_parents, uint32_t *ret_count, sb_error *err)
{
	uint32_t count = 0;

	*ret_count = 0;
	while (meta->parent) {
		int32_t status = open_parent(store, meta, digest, &ret_parents[count], err);

		if (status != SB_OK) {
			chain_close(ret_parents, count);
			return status == SB_ERR_CORRUPT
				       ? error_prefix(err, "it builds on others, of which one cannot be used")
				       : status;
		}
		meta = checkpoint_reader_meta(ret_parents[count++]);
	}
	*ret_count = count;
	return SB_OK;
}
