/* @name@: a state backend for sbhost.
 *
 * Entries lie in a skip list in memory, in the order of their keys. That is enough for a backend that works and passes
 * "sbhost plugin check"; put your own engine in its place, function by function. What each callback must keep is told in
 * sb_plugin.h: read the paragraph there before you change the one here. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sb_plugin.h"

#define NAME "@name@"
#define VERSION "0.1.0"
#define LEVELS 20 /* enough for millions of entries */

/* Never changed once it is in the list: who overwrites a key replaces its entry. The list and each pin count as users; the
 * last one frees it, and so pins stay as they are without a copy. */
struct entry {
	sb_slice key, value; /* both behind the links */
	int64_t expiry_ms;
	uint32_t users;
	uint32_t height;
	struct entry *next[]; /* one link a level */
};

struct sb_backend {
	const sb_host *host;
	struct entry *first[LEVELS];
	struct entry *sweep; /* maintain() goes on behind it; NULL: at the beginning */
	uint64_t random, count, bytes;
};

struct sb_iter {
	struct entry *next;
	sb_slice upper;
	uint8_t upper_bytes[];
};

/* --- the list ------------------------------------------------------------------ */

static int32_t fail(sb_error *err, int32_t code, const char *message)
{
	snprintf(err->message, sizeof(err->message), "%s", message);
	err->code = code;
	return code;
}

static int compare(sb_slice a, sb_slice b)
{
	uint64_t shorter = a.len < b.len ? a.len : b.len;
	int order = shorter ? memcmp(a.ptr, b.ptr, shorter) : 0;

	return order ? order : (a.len > b.len) - (a.len < b.len);
}

static sb_slice copy(uint8_t *to, sb_slice from)
{
	if (from.len)
		memcpy(to, from.ptr, from.len);
	return (sb_slice){to, from.len};
}

static uint64_t size_of(uint32_t height, sb_slice key, sb_slice value)
{
	return sizeof(struct entry) + height * sizeof(struct entry *) + key.len + value.len;
}

static struct entry *new_entry(sb_backend *backend, const sb_op *op)
{
	struct entry *entry;
	uint32_t height = 1;
	uint8_t *bytes;

	backend->random = backend->random * UINT64_C(6364136223846793005) + 1442695040888963407;
	while (height < LEVELS && (backend->random >> (63 - height) & 1))
		height++;
	entry = malloc(size_of(height, op->key, op->value));
	if (!entry)
		return NULL;
	bytes = (uint8_t *)&entry->next[height];
	*entry = (struct entry){.expiry_ms = op->expiry_ms, .users = 1, .height = height};
	entry->key = copy(bytes, op->key);
	entry->value = copy(bytes + op->key.len, op->value);
	return entry;
}

static void release(struct entry *entry)
{
	if (entry && --entry->users == 0)
		free(entry);
}

/* The first entry at or behind key; links (may be NULL) gets the link on each level that leads there. */
static struct entry *seek(sb_backend *backend, sb_slice key, struct entry **links[LEVELS])
{
	struct entry **tower = backend->first;

	for (int level = LEVELS - 1; level >= 0; level--) {
		while (tower[level] && compare(tower[level]->key, key) < 0)
			tower = tower[level]->next;
		if (links)
			links[level] = &tower[level];
	}
	return tower[0];
}

static struct entry *find(sb_backend *backend, sb_slice key, struct entry **links[LEVELS])
{
	struct entry *entry = seek(backend, key, links);

	return entry && compare(entry->key, key) == 0 ? entry : NULL;
}

static void take_out(sb_backend *backend, struct entry *entry, struct entry **links[LEVELS])
{
	for (uint32_t level = 0; level < entry->height; level++)
		*links[level] = entry->next[level];
	backend->count--;
	backend->bytes -= size_of(entry->height, entry->key, entry->value);
	release(entry);
}

static void put_in(sb_backend *backend, struct entry *entry, struct entry **links[LEVELS])
{
	for (uint32_t level = 0; level < entry->height; level++) {
		entry->next[level] = *links[level];
		*links[level] = entry;
	}
	backend->count++;
	backend->bytes += size_of(entry->height, entry->key, entry->value);
}

/* --- life ---------------------------------------------------------------------- */

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
	struct entry *next;

	for (struct entry *entry = backend->first[0]; entry; entry = next) {
		next = entry->next[0];
		release(entry);
	}
	release(backend->sweep);
	free(backend);
}

/* --- reading and writing ------------------------------------------------------- */

static int32_t backend_multi_get(sb_backend *backend, uint64_t n, const sb_slice *keys, sb_pin *pins, sb_error *err)
{
	(void)err;
	for (uint64_t i = 0; i < n; i++) {
		struct entry *entry = find(backend, keys[i], NULL);

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

static void release_all(struct entry **entries, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		release(entries[i]);
	free(entries);
}

/* Everything that can fail: an unknown kind, memory for each put. */
static int32_t prepare(sb_backend *backend, uint64_t n, const sb_op *ops, struct entry **entries, sb_error *err)
{
	for (uint64_t i = 0; i < n; i++) {
		if (ops[i].kind != SB_OP_PUT && ops[i].kind != SB_OP_DELETE)
			return fail(err, SB_ERR_INVALID, "an operation of unknown kind");
		if (ops[i].kind == SB_OP_DELETE)
			continue;
		entries[i] = new_entry(backend, &ops[i]);
		if (!entries[i])
			return fail(err, SB_ERR_NO_MEMORY, "out of memory");
	}
	return SB_OK;
}

/* All or nothing: when the first entry is touched, nothing can fail any more. */
static int32_t backend_write_batch(sb_backend *backend, uint64_t n, const sb_op *ops, sb_error *err)
{
	struct entry **entries = calloc(n + 1, sizeof(*entries));
	struct entry **links[LEVELS];
	int32_t status;

	if (!entries)
		return fail(err, SB_ERR_NO_MEMORY, "out of memory");
	status = prepare(backend, n, ops, entries, err);
	if (status != SB_OK) {
		release_all(entries, n);
		return status;
	}
	for (uint64_t i = 0; i < n; i++) {
		struct entry *old = find(backend, ops[i].key, links);

		if (old)
			take_out(backend, old, links);
		if (entries[i])
			put_in(backend, entries[i], links);
	}
	free(entries);
	return SB_OK;
}

/* --- iterators ----------------------------------------------------------------- */

static int32_t backend_iter_open(sb_backend *backend, const sb_iter_options *options, sb_iter **ret_iter, sb_error *err)
{
	sb_iter *iter = malloc(sizeof(*iter) + options->upper.len);

	if (!iter)
		return fail(err, SB_ERR_NO_MEMORY, "out of memory");
	iter->next = seek(backend, options->lower, NULL);
	iter->upper = copy(iter->upper_bytes, options->upper);
	*ret_iter = iter;
	return SB_OK;
}

/* Nothing is written while an iterator is open, because this backend does not promise SB_BACKEND_STABLE_ITER. */
static int32_t backend_iter_next(sb_iter *iter, uint64_t max, sb_entry *entries, uint64_t *ret_count, sb_error *err)
{
	uint64_t n = 0;

	(void)err;
	for (; n < max && iter->next; iter->next = iter->next->next[0]) {
		const struct entry *entry = iter->next;

		if (iter->upper.len && compare(entry->key, iter->upper) >= 0)
			break;
		entries[n++] = (sb_entry){entry->key, entry->value, entry->expiry_ms};
	}
	*ret_count = n;
	return SB_OK;
}

static void backend_iter_close(sb_iter *iter)
{
	free(iter);
}

/* --- upkeep -------------------------------------------------------------------- */

static int is_expired(const struct entry *entry, int64_t horizon_ms)
{
	return entry->expiry_ms != SB_NO_EXPIRY && entry->expiry_ms <= horizon_ms;
}

/* Looks at budget entries and purges the expired ones, from where the last call stopped. */
static int32_t backend_maintain(sb_backend *backend, uint64_t budget, uint64_t *ret_purged, sb_error *err)
{
	int64_t horizon_ms = backend->host->expiry_horizon_ms(backend->host);
	struct entry *entry = backend->sweep ? seek(backend, backend->sweep->key, NULL) : backend->first[0];
	struct entry **links[LEVELS];
	uint64_t purged = 0;

	(void)err;
	for (; entry && budget; budget--) {
		struct entry *next = entry->next[0];

		if (is_expired(entry, horizon_ms)) {
			seek(backend, entry->key, links);
			take_out(backend, entry, links);
			purged++;
		}
		entry = next;
	}
	release(backend->sweep);
	backend->sweep = entry;
	if (entry)
		entry->users++;
	*ret_purged = purged;
	return SB_OK;
}

static int32_t backend_stats(sb_backend *backend, uint64_t capacity, sb_stat *stats, uint64_t *ret_count, sb_error *err)
{
	const sb_stat figures[] = {
		{.name = "entries", .value = (double)backend->count, .unit = "entries", .kind = SB_METRIC_GAUGE},
		{.name = "memory", .value = (double)backend->bytes, .unit = "bytes", .kind = SB_METRIC_GAUGE},
	};
	const uint64_t count = sizeof(figures) / sizeof(figures[0]);

	(void)err;
	for (uint64_t i = 0; i < count && i < capacity; i++)
		stats[i] = figures[i];
	*ret_count = count;
	return SB_OK;
}

/* sb.files/1 and the like would be found here. */
static const void *backend_extension(const char *id)
{
	(void)id;
	return NULL;
}

/* --- what the host is told ----------------------------------------------------- */

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
	.extension = backend_extension,
};

static const sb_component component = {
	.struct_size = sizeof(sb_component),
	.kind = SB_KIND_BACKEND,
	.flags = SB_BACKEND_ORDERED | SB_BACKEND_IN_MEMORY,
	.threads = SB_THREADS_INSTANCE,
	.id = NAME,
	.title = "@title@",
	.doc = "Keeps entries in a skip list in memory.",
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
