/* See plain_backend.h. */
#include "support/plain_backend.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/slice.h"

struct sb_backend {
	struct model model;
	uint64_t version; /* of the content */
	atomic_flag busy;
};

struct sb_iter {
	sb_backend *backend;
	uint64_t version; /* at iter_open */
	uint8_t *lower, *upper; /* lower moves on */
	uint64_t lower_len, upper_len;
	uint8_t **copies; /* what the last call handed out */
	uint64_t copy_count;
};

struct plain_control plain_control;

static void *must(void *pointer)
{
	if (!pointer)
		abort();
	return pointer;
}

static uint8_t *copy_of(sb_slice bytes)
{
	uint8_t *copy = must(malloc(bytes.len + 1));

	if (bytes.len)
		memcpy(copy, bytes.ptr, bytes.len);
	return copy;
}

static void enter(sb_backend *backend)
{
	if (atomic_flag_test_and_set(&backend->busy))
		atomic_fetch_add(&plain_control.overlapping, 1);
}

static void leave(sb_backend *backend)
{
	atomic_flag_clear(&backend->busy);
}

static int32_t fault(enum plain_call call, sb_error *err)
{
	int64_t left = atomic_load(&plain_control.fail_in[call]);

	atomic_fetch_add(&plain_control.calls[call], 1);
	if (left <= 0 || atomic_fetch_sub(&plain_control.fail_in[call], 1) != 1)
		return SB_OK;
	return error_set(err, SB_ERR_IO, "plain fault %d", (int)call);
}

static int32_t plain_open(const sb_backend_config *config, sb_backend **ret_backend, sb_error *err)
{
	sb_backend *backend = must(calloc(1, sizeof(*backend)));

	(void)config;
	(void)err;
	model_init(&backend->model);
	*ret_backend = backend;
	return SB_OK;
}

static void plain_close(sb_backend *backend)
{
	model_done(&backend->model);
	free(backend);
}

static int32_t plain_multi_get(sb_backend *backend, uint64_t n, const sb_slice *keys, sb_pin *pins, sb_error *err)
{
	int32_t status = fault(PLAIN_MULTI_GET, err);

	if (status != SB_OK)
		return status;
	enter(backend);
	for (uint64_t i = 0; i < n; i++) {
		const struct model_entry *entry = model_find(&backend->model, keys[i]);

		pins[i] = (sb_pin){0};
		if (!entry)
			continue;
		pins[i].found = 1;
		pins[i].expiry_ms = entry->expiry_ms;
		pins[i].owner = copy_of(entry->value);
		pins[i].value = slice_of(pins[i].owner, entry->value.len);
		if (atomic_load(&plain_control.cut_values) && pins[i].value.len)
			pins[i].value.len--;
	}
	leave(backend);
	return SB_OK;
}

static void plain_unpin(sb_backend *backend, uint64_t n, sb_pin *pins)
{
	(void)backend;
	for (uint64_t i = 0; i < n; i++)
		free(pins[i].owner);
}

static int32_t plain_write_batch(sb_backend *backend, uint64_t n, const sb_op *ops, sb_error *err)
{
	int32_t status = fault(PLAIN_WRITE_BATCH, err);

	if (status != SB_OK)
		return status;
	enter(backend);
	model_apply(&backend->model, n, ops);
	backend->version++;
	leave(backend);
	return SB_OK;
}

static int32_t plain_iter_open(sb_backend *backend, const sb_iter_options *options, sb_iter **ret_iter, sb_error *err)
{
	int32_t status = fault(PLAIN_ITER_OPEN, err);
	sb_iter *iter;

	if (status != SB_OK)
		return status;
	enter(backend);
	iter = must(calloc(1, sizeof(*iter)));
	iter->backend = backend;
	iter->version = backend->version;
	iter->lower = copy_of(options->lower);
	iter->lower_len = options->lower.len;
	iter->upper = copy_of(options->upper);
	iter->upper_len = options->upper.len;
	leave(backend);
	*ret_iter = iter;
	return SB_OK;
}

static void free_copies(sb_iter *iter)
{
	for (uint64_t i = 0; i < iter->copy_count; i++)
		free(iter->copies[i]);
	free(iter->copies);
	iter->copies = NULL;
	iter->copy_count = 0;
}

static size_t first_at_or_above(const struct model *model, sb_slice key)
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

static int32_t plain_iter_next(sb_iter *iter, uint64_t max, sb_entry *entries, uint64_t *ret_count, sb_error *err)
{
	const struct model *model = &iter->backend->model;
	const sb_slice upper = slice_of(iter->upper, iter->upper_len);
	int32_t status = fault(PLAIN_ITER_NEXT, err);
	uint64_t n = 0;

	if (status != SB_OK)
		return status;
	for (int i = 0; i < 20; i++)
		sched_yield(); /* time for a caller who does not wait to write in between */
	enter(iter->backend);
	if (iter->version != iter->backend->version)
		atomic_fetch_add(&plain_control.overtaken, 1);
	free_copies(iter);
	iter->copies = must(calloc(2 * max, sizeof(*iter->copies)));
	for (size_t at = first_at_or_above(model, slice_of(iter->lower, iter->lower_len)); n < max && at < model->count;
	     at++) {
		const struct model_entry *entry = &model->entries[at];
		uint8_t *key = copy_of(entry->key), *value = copy_of(entry->value);

		iter->copies[iter->copy_count++] = key;
		iter->copies[iter->copy_count++] = value;
		if (upper.len && slice_compare(entry->key, upper) >= 0)
			break;
		entries[n++] = (sb_entry){.key = slice_of(key, entry->key.len),
					  .value = slice_of(value, entry->value.len),
					  .expiry_ms = entry->expiry_ms};
	}
	if (n) { /* on from the key behind the last one: the last one and a zero byte */
		free(iter->lower);
		iter->lower = copy_of(entries[n - 1].key);
		iter->lower_len = entries[n - 1].key.len + 1;
		iter->lower[iter->lower_len - 1] = 0;
	}
	leave(iter->backend);
	*ret_count = n;
	return SB_OK;
}

static void plain_iter_close(sb_iter *iter)
{
	enter(iter->backend);
	leave(iter->backend);
	free_copies(iter);
	free(iter->lower);
	free(iter->upper);
	free(iter);
}

static int32_t plain_maintain(sb_backend *backend, uint64_t budget, uint64_t *ret_purged, sb_error *err)
{
	(void)budget;
	(void)err;
	enter(backend);
	leave(backend);
	*ret_purged = 0;
	return SB_OK;
}

void plain_backend_component(struct component *ret_component, uint32_t flags)
{
	static char path[] = "/plain.so", name[] = "plain", version[] = "1.0.0";
	static struct plugin plugin = {.path = path, .name = name, .version = version};
	static _Atomic uint32_t open_instances;

	*ret_component = (struct component){
		.plugin = &plugin,
		.kind = SB_KIND_BACKEND,
		.flags = flags,
		.id = "plain",
		.title = "Plain",
		.doc = "",
		.backend = {.struct_size = sizeof(sb_backend_ops),
			    .open = plain_open,
			    .close = plain_close,
			    .multi_get = plain_multi_get,
			    .unpin = plain_unpin,
			    .write_batch = plain_write_batch,
			    .iter_open = plain_iter_open,
			    .iter_next = plain_iter_next,
			    .iter_close = plain_iter_close,
			    .maintain = plain_maintain},
		.open_instances = &open_instances,
	};
}

const struct model *plain_backend_model(const struct instance *instance)
{
	return &instance->backend->model;
}
