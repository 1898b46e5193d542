/* The oracle of the conformance suite: see model.h. */
#include "kit/model.h"

#include <stdlib.h>
#include <string.h>

#include "base/slice.h"

static void *allocate(size_t size)
{
	void *memory = malloc(size ? size : 1);

	if (!memory)
		abort();
	return memory;
}

static sb_slice copy_bytes(sb_slice bytes)
{
	uint8_t *copy = allocate(bytes.len);

	if (bytes.len)
		memcpy(copy, bytes.ptr, bytes.len);
	return slice_of(copy, bytes.len);
}

static void free_bytes(sb_slice bytes)
{
	free((void *)bytes.ptr);
}

void model_init(struct model *model)
{
	memset(model, 0, sizeof(*model));
}

void model_clear(struct model *model)
{
	for (size_t i = 0; i < model->count; i++) {
		free_bytes(model->entries[i].key);
		free_bytes(model->entries[i].value);
	}
	model->count = 0;
}

void model_done(struct model *model)
{
	model_clear(model);
	free(model->entries);
	model_init(model);
}

/* The first entry whose key is not below key. */
static size_t lower_bound(const struct model *model, sb_slice key)
{
	size_t low = 0, high = model->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (slice_compare(model->entries[middle].key, key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct model_entry *model_find(const struct model *model, sb_slice key)
{
	size_t at = lower_bound(model, key);

	if (at == model->count || !slice_equal(model->entries[at].key, key))
		return NULL;
	return &model->entries[at];
}

static void grow(struct model *model)
{
	size_t capacity = model->capacity ? model->capacity * 2 : 64;
	struct model_entry *entries = realloc(model->entries, capacity * sizeof(*entries));

	if (!entries)
		abort();
	model->entries = entries;
	model->capacity = capacity;
}

void model_put(struct model *model, sb_slice key, sb_slice value, int64_t expiry_ms)
{
	size_t at = lower_bound(model, key);
	struct model_entry *entry;

	if (at < model->count && slice_equal(model->entries[at].key, key)) {
		entry = &model->entries[at];
		free_bytes(entry->value);
	} else {
		if (model->count == model->capacity)
			grow(model);
		entry = &model->entries[at];
		memmove(entry + 1, entry, (model->count - at) * sizeof(*entry));
		model->count++;
		entry->key = copy_bytes(key);
		entry->seen = false;
	}
	entry->value = copy_bytes(value);
	entry->expiry_ms = expiry_ms;
}

void model_delete(struct model *model, sb_slice key)
{
	struct model_entry *entry = model_find(model, key);

	if (!entry)
		return;
	free_bytes(entry->key);
	free_bytes(entry->value);
	model->count--;
	memmove(entry, entry + 1, (model->count - (size_t)(entry - model->entries)) * sizeof(*entry));
}

void model_apply(struct model *model, uint64_t n, const sb_op *ops)
{
	for (uint64_t i = 0; i < n; i++) {
		if (ops[i].kind == SB_OP_PUT)
			model_put(model, ops[i].key, ops[i].value, ops[i].expiry_ms);
		else
			model_delete(model, ops[i].key);
	}
}

void model_copy_range(const struct model *model, sb_slice lower, sb_slice upper, struct model *ret_copy)
{
	size_t from = lower.len ? lower_bound(model, lower) : 0;
	size_t to = upper.len ? lower_bound(model, upper) : model->count;

	model_init(ret_copy);
	if (from >= to)
		return;
	ret_copy->entries = allocate((to - from) * sizeof(*ret_copy->entries));
	ret_copy->capacity = to - from;
	ret_copy->count = to - from;
	for (size_t i = from; i < to; i++) {
		const struct model_entry *entry = &model->entries[i];

		ret_copy->entries[i - from] = (struct model_entry){
			.key = copy_bytes(entry->key),
			.value = copy_bytes(entry->value),
			.expiry_ms = entry->expiry_ms,
		};
	}
}

bool model_equal(const struct model *a, const struct model *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (!slice_equal(a->entries[i].key, b->entries[i].key) ||
		    !slice_equal(a->entries[i].value, b->entries[i].value) ||
		    a->entries[i].expiry_ms != b->entries[i].expiry_ms)
			return false;
	return true;
}
