/* @name@: a state backend for sbhost.
 *
 * Entries lie in memory, in an array in the order of their keys. That is enough for a backend that works and passes
 * "sbhost plugin check"; put your own engine in its place, function by function. What each callback must keep is told in
 * sb_plugin.h: read the paragraph there before you change the one here. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sb_plugin.h"

#define NAME "@name@"
#define VERSION "0.1.0"

/* Never changed: who overwrites a key replaces its entry. The array and each pin count as users, and the last one frees
 * it, so pins stay as they are without a copy. */
struct entry {
	sb_slice key, value; /* both in bytes */
	int64_t expiry_ms;
	uint64_t users;
	uint8_t bytes[];
};

struct sb_backend {
	const sb_host *host;
	struct entry **entries;
	uint64_t count, capacity, bytes;
	uint64_t sweep; /* maintain() goes on here */
};

struct sb_iter {
	sb_backend *backend;
	uint64_t next, end;
};

static int32_t fail(sb_error *err, int32_t code, const char *message)
{
	snprintf(err->message, sizeof(err->message), "%s", message);
	err->code = code;
	return code;
}

static int compare(sb_slice a, sb_slice b)
{
	int order = memcmp(a.ptr, b.ptr, a.len < b.len ? a.len : b.len);

	return order ? order : (a.len > b.len) - (a.len < b.len);
}

/* Where the key is, or belongs. */
static uint64_t find(const sb_backend *backend, sb_slice key, int *ret_found)
{
	uint64_t low = 0, high = key.len ? backend->count : 0;

	while (low < high) {
		uint64_t middle = (low + high) / 2;

		if (compare(backend->entries[middle]->key, key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	*ret_found = low < backend->count && key.len && compare(backend->entries[low]->key, key) == 0;
	return low;
}

static struct entry *new_entry(const sb_op *op)
{
	struct entry *entry = malloc(sizeof(*entry) + op->key.len + op->value.len);

	if (!entry)
		return NULL;
	entry->key = (sb_slice){memcpy(entry->bytes, op->key.ptr, op->key.len), op->key.len};
	entry->value = (sb_slice){entry->bytes + op->key.len, op->value.len};
	if (op->value.len)
		memcpy(entry->bytes + op->key.len, op->value.ptr, op->value.len);
	entry->expiry_ms = op->expiry_ms;
	entry->users = 1;
	return entry;
}

static void release(struct entry *entry)
{
	if (entry && --entry->users == 0)
		free(entry);
}

static uint64_t size_of(const struct entry *entry)
{
	return sizeof(*entry) + entry->key.len + entry->value.len;
}

static void take_out(sb_backend *backend, uint64_t at)
{
	struct entry **place = &backend->entries[at];

	backend->bytes -= size_of(*place);
	release(*place);
	memmove(place, place + 1, (--backend->count - at) * sizeof(struct entry *));
}

static void put_in(sb_backend *backend, uint64_t at, struct entry *entry)
{
	struct entry **place = &backend->entries[at];

	memmove(place + 1, place, (backend->count++ - at) * sizeof(struct entry *));
	*place = entry;
	backend->bytes += size_of(entry);
}

static int32_t backend_open(const sb_backend_config *config, sb_backend **ret_backend, sb_error *err)
{
	sb_backend *backend = calloc(1, sizeof(*backend)); /* config->dir would be ours to keep files in */

	if (!backend)
		return fail(err, SB_ERR_NO_MEMORY, "out of memory");
	backend->host = config->host;
	*ret_backend = backend;
	return SB_OK;
}

static void backend_close(sb_backend *backend)
{
	for (uint64_t i = 0; i < backend->count; i++)
		release(backend->entries[i]);
	free(backend->entries);
	free(backend);
}

static int32_t backend_multi_get(sb_backend *backend, uint64_t n, const sb_slice *keys, sb_pin *pins, sb_error *err)
{
	(void)err;
	for (uint64_t i = 0; i < n; i++) {
		int found;
		uint64_t at = find(backend, keys[i], &found);
		struct entry *entry = found ? backend->entries[at] : NULL;

		memset(&pins[i], 0, sizeof(pins[i]));
		if (!entry)
			continue;
		entry->users++;
		pins[i] = (sb_pin){.value = entry->value, .expiry_ms = entry->expiry_ms, .owner = entry, .found = 1};
	}
	return SB_OK;
}

static void backend_unpin(sb_backend *backend, uint64_t n, sb_pin *pins)
{
	(void)backend;
	for (uint64_t i = 0; i < n; i++)
		release(pins[i].owner);
}

/* Everything that can fail: room in the array, an unknown kind, memory for each put. */
static int32_t prepare(sb_backend *backend, uint64_t n, const sb_op *ops, struct entry **entries, sb_error *err)
{
	if (backend->capacity < backend->count + n) {
		uint64_t capacity = 2 * (backend->count + n);
		struct entry **grown = realloc(backend->entries, capacity * sizeof(*grown));

		if (!grown)
			return fail(err, SB_ERR_NO_MEMORY, "out of memory");
		backend->entries = grown;
		backend->capacity = capacity;
	}
	for (uint64_t i = 0; i < n; i++) {
		if (ops[i].kind != SB_OP_PUT && ops[i].kind != SB_OP_DELETE)
			return fail(err, SB_ERR_INVALID, "an operation of unknown kind");
		if (ops[i].kind == SB_OP_DELETE)
			continue;
		entries[i] = new_entry(&ops[i]);
		if (!entries[i])
			return fail(err, SB_ERR_NO_MEMORY, "out of memory");
	}
	return SB_OK;
}

/* All or nothing: when the first entry is touched, nothing can fail any more. */
static int32_t backend_write_batch(sb_backend *backend, uint64_t n, const sb_op *ops, sb_error *err)
{
	struct entry **entries = calloc(n + 1, sizeof(*entries));
	int32_t status =
		entries ? prepare(backend, n, ops, entries, err) : fail(err, SB_ERR_NO_MEMORY, "out of memory");

	for (uint64_t i = 0; i < n && entries; i++) {
		int found;
		uint64_t at;

		if (status != SB_OK) {
			release(entries[i]);
			continue;
		}
		at = find(backend, ops[i].key, &found);
		if (found)
			take_out(backend, at);
		if (entries[i])
			put_in(backend, at, entries[i]);
	}
	free(entries);
	return status;
}

/* Nothing is written while an iterator is open, because this backend does not promise SB_BACKEND_STABLE_ITER. */
static int32_t backend_iter_open(sb_backend *backend, const sb_iter_options *options, sb_iter **ret_iter, sb_error *err)
{
	sb_iter *iter = malloc(sizeof(*iter));
	int found;

	if (!iter)
		return fail(err, SB_ERR_NO_MEMORY, "out of memory");
	iter->backend = backend;
	iter->next = find(backend, options->lower, &found);
	iter->end = options->upper.len ? find(backend, options->upper, &found) : backend->count;
	*ret_iter = iter;
	return SB_OK;
}

static int32_t backend_iter_next(sb_iter *iter, uint64_t max, sb_entry *entries, uint64_t *ret_count, sb_error *err)
{
	uint64_t n = 0;

	(void)err;
	for (; n < max && iter->next < iter->end; n++) {
		const struct entry *entry = iter->backend->entries[iter->next++];

		entries[n] = (sb_entry){entry->key, entry->value, entry->expiry_ms};
	}
	*ret_count = n;
	return SB_OK;
}

static void backend_iter_close(sb_iter *iter)
{
	free(iter);
}

static int is_expired(const struct entry *entry, int64_t horizon_ms)
{
	return entry->expiry_ms != SB_NO_EXPIRY && entry->expiry_ms <= horizon_ms;
}

/* Looks at budget entries and purges the expired ones, from where the last call stopped. */
static int32_t backend_maintain(sb_backend *backend, uint64_t budget, uint64_t *ret_purged, sb_error *err)
{
	int64_t horizon_ms = backend->host->expiry_horizon_ms(backend->host);

	(void)err;
	*ret_purged = 0;
	for (; budget && backend->sweep < backend->count; budget--) {
		if (!is_expired(backend->entries[backend->sweep], horizon_ms)) {
			backend->sweep++;
			continue;
		}
		take_out(backend, backend->sweep);
		++*ret_purged;
	}
	if (backend->sweep >= backend->count)
		backend->sweep = 0;
	return SB_OK;
}

static int32_t backend_stats(sb_backend *backend, uint64_t capacity, sb_stat *stats, uint64_t *ret_count, sb_error *err)
{
	(void)err;
	*ret_count = 2;
	if (capacity > 0)
		stats[0] = (sb_stat){"entries", (double)backend->count, "entries", SB_METRIC_GAUGE, 0};
	if (capacity > 1)
		stats[1] = (sb_stat){"memory", (double)backend->bytes, "bytes", SB_METRIC_GAUGE, 0};
	return SB_OK;
}

static const sb_backend_ops ops = {
	.struct_size = sizeof(sb_backend_ops),
	.open = backend_open,
	.close = backend_close,
	.multi_get = backend_multi_get,
	.unpin = backend_unpin,
	.write_batch = backend_write_batch,
	.iter_open = backend_iter_open,
	.iter_next = backend_iter_next,
	.iter_close = backend_iter_close,
	.maintain = backend_maintain,
	.stats = backend_stats,
	.extension = NULL, /* where sb.files/1 and the like would be found */
};

static const sb_component component = {
	.struct_size = sizeof(sb_component),
	.kind = SB_KIND_BACKEND,
	.flags = SB_BACKEND_ORDERED | SB_BACKEND_IN_MEMORY,
	.threads = SB_THREADS_INSTANCE,
	.id = NAME,
	.title = "@title@",
	.doc = "Keeps entries in a sorted array in memory.",
	.ops = &ops,
};
static const sb_component *const components[] = {&component};

static const sb_plugin plugin = {
	.struct_size = sizeof(sb_plugin),
	.abi_major = SB_ABI_MAJOR,
	.abi_minor = SB_ABI_MINOR,
	.name = NAME,
	.version = VERSION,
	.vendor = "you",
	.license = "Apache-2.0",
	.doc = "A state backend for sbhost.",
	.components = components,
	.component_count = sizeof(components) / sizeof(components[0]),
};

SB_PLUGIN_REGISTER(plugin, NAME, VERSION);
