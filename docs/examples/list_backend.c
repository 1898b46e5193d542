/* A whole state backend: entries in a linked list. Slow with many keys, and right. */
#include <stdlib.h>
#include <string.h>

#include "sb_plugin.h"

struct entry {
	struct entry *next;
	sb_slice key, value; /* both in bytes */
	int64_t expiry_ms;
	uint8_t bytes[];
};

struct sb_backend {
	struct entry *first;
};

struct sb_iter {
	sb_slice lower, upper;
	struct entry *next;
	uint8_t bytes[]; /* of the two bounds */
};

static int32_t fail(sb_error *err, int32_t code, const char *message)
{
	err->code = code;
	strcpy(err->message, message);
	return code;
}

static int32_t no_memory(sb_error *err)
{
	return fail(err, SB_ERR_NO_MEMORY, "out of memory");
}

static int compare(sb_slice a, sb_slice b)
{
	uint64_t shorter = a.len < b.len ? a.len : b.len;
	int order = shorter ? memcmp(a.ptr, b.ptr, shorter) : 0;

	return order ? order : (a.len > b.len) - (a.len < b.len);
}

static sb_slice append(uint8_t **at, sb_slice bytes)
{
	uint8_t *copy = *at;

	if (bytes.len)
		memcpy(copy, bytes.ptr, bytes.len);
	*at += bytes.len;
	return (sb_slice){copy, bytes.len};
}

static struct entry *new_entry(sb_slice key, sb_slice value, int64_t expiry_ms)
{
	struct entry *entry = malloc(sizeof(*entry) + key.len + value.len);
	uint8_t *at;

	if (!entry)
		return NULL;
	at = entry->bytes;
	entry->key = append(&at, key);
	entry->value = append(&at, value);
	entry->expiry_ms = expiry_ms;
	entry->next = NULL;
	return entry;
}

static struct entry **find(sb_backend *backend, sb_slice key)
{
	struct entry **link = &backend->first;

	while (*link && compare((*link)->key, key) != 0)
		link = &(*link)->next;
	return link;
}

static void free_list(struct entry *entry)
{
	while (entry) {
		struct entry *next = entry->next;

		free(entry);
		entry = next;
	}
}

static int32_t list_open(const sb_backend_config *config, sb_backend **ret_backend, sb_error *err)
{
	(void)config; /* config->dir would be ours to keep files in */
	*ret_backend = calloc(1, sizeof(**ret_backend));
	return *ret_backend ? SB_OK : no_memory(err);
}

static void list_close(sb_backend *backend)
{
	free_list(backend->first);
	free(backend);
}

static void list_unpin(sb_backend *backend, uint64_t n, sb_pin *pins)
{
	(void)backend;
	for (uint64_t i = 0; i < n; i++)
		free(pins[i].owner);
}

/* A pin stays as it is, whatever is written before unpin: so it holds a copy. */
static int32_t list_multi_get(sb_backend *backend, uint64_t n, const sb_slice *keys, sb_pin *pins, sb_error *err)
{
	for (uint64_t i = 0; i < n; i++) {
		struct entry *entry = *find(backend, keys[i]);
		struct entry *copy;

		memset(&pins[i], 0, sizeof(pins[i]));
		if (!entry)
			continue;
		copy = new_entry(entry->key, entry->value, entry->expiry_ms);
		if (!copy) {
			list_unpin(backend, i, pins);
			return no_memory(err);
		}
		pins[i] = (sb_pin){.value = copy->value, .expiry_ms = copy->expiry_ms, .owner = copy, .found = 1};
	}
	return SB_OK;
}

static void apply(sb_backend *backend, const sb_op *op, struct entry *fresh)
{
	struct entry **link = find(backend, op->key);
	struct entry *old = *link;

	if (old) {
		*link = old->next;
		free(old);
	}
	if (op->kind == SB_OP_PUT) {
		fresh->next = backend->first;
		backend->first = fresh;
	}
}

/* All or nothing: what can fail (an unknown kind, memory for each put) comes first. */
static int32_t list_write_batch(sb_backend *backend, uint64_t n, const sb_op *ops, sb_error *err)
{
	struct entry *fresh = NULL, **last = &fresh;

	for (uint64_t i = 0; i < n; i++)
		if (ops[i].kind != SB_OP_PUT && ops[i].kind != SB_OP_DELETE)
			return fail(err, SB_ERR_INVALID, "an operation of unknown kind");
	for (uint64_t i = 0; i < n; i++) {
		if (ops[i].kind != SB_OP_PUT)
			continue;
		*last = new_entry(ops[i].key, ops[i].value, ops[i].expiry_ms);
		if (!*last) {
			free_list(fresh);
			return no_memory(err);
		}
		last = &(*last)->next;
	}
	for (uint64_t i = 0; i < n; i++) {
		struct entry *entry = fresh;

		if (ops[i].kind == SB_OP_PUT)
			fresh = entry->next;
		apply(backend, &ops[i], entry);
	}
	return SB_OK;
}

static int32_t list_iter_open(sb_backend *backend, const sb_iter_options *options, sb_iter **ret_iter, sb_error *err)
{
	sb_iter *iter = malloc(sizeof(*iter) + options->lower.len + options->upper.len);
	uint8_t *at;

	if (!iter)
		return no_memory(err);
	at = iter->bytes;
	iter->lower = append(&at, options->lower);
	iter->upper = append(&at, options->upper);
	iter->next = backend->first;
	*ret_iter = iter;
	return SB_OK;
}

static int32_t list_iter_next(sb_iter *iter, uint64_t max, sb_entry *entries, uint64_t *ret_count, sb_error *err)
{
	uint64_t n = 0;

	(void)err;
	for (; n < max && iter->next; iter->next = iter->next->next) {
		const struct entry *entry = iter->next;

		if (compare(entry->key, iter->lower) >= 0 &&
		    (iter->upper.len == 0 || compare(entry->key, iter->upper) < 0))
			entries[n++] = (sb_entry){entry->key, entry->value, entry->expiry_ms};
	}
	*ret_count = n;
	return SB_OK;
}

static void list_iter_close(sb_iter *iter)
{
	free(iter);
}

static const sb_backend_ops ops = {
	.struct_size = sizeof(sb_backend_ops),
	.open = list_open,
	.close = list_close,
	.multi_get = list_multi_get,
	.unpin = list_unpin,
	.write_batch = list_write_batch,
	.iter_open = list_iter_open,
	.iter_next = list_iter_next,
	.iter_close = list_iter_close,
};
static const sb_component component = {
	.struct_size = sizeof(sb_component),
	.kind = SB_KIND_BACKEND,
	.id = "list",
	.title = "List",
	.doc = "Keeps entries in a linked list.",
	.ops = &ops,
};
static const sb_component *const components[] = {&component};
static const sb_plugin plugin = {
	.struct_size = sizeof(sb_plugin),
	.abi_major = SB_ABI_MAJOR,
	.abi_minor = SB_ABI_MINOR,
	.name = "list-backend",
	.version = "1.0.0",
	.vendor = "you",
	.license = "Apache-2.0",
	.doc = "An example of a whole state backend.",
	.components = components,
	.component_count = 1,
};
SB_PLUGIN_REGISTER(plugin, "list-backend", "1.0.0");
