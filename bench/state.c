/* SPDX-License-Identifier: Apache-2.0
 *
 * What the state layer costs over the memory backend: the same read-modify-writes through
 *
 *   bare      the best table that we could write (bare_table.h): no state layer, no backend, fixed size
 *   state     keyed state over the memory backend, as a task uses it: begin, upsert for each event, end
 *   copies    the same without sb.inplace/1: the working set copies each value in and out
 *   calls     the backend's multi_get and write_batch in batches of 256, with the copy between them
 *   cached    the same as copies with a cache that holds everything, over a backend that began empty: what stands before RocksDB
 *   walked    state while another thread reads an iterator as a full checkpoint does (it encodes what it reads as base64),
 *             with a new one as soon as one has ended: for each first write the old value has to be put aside
 *   aside     bare, putting aside what such a walk has not come to yet: what walked cannot do without
 *
 * All sides take turns in one process; what is compared are medians of their rounds, in processor time of the thread,
 * so that neighbours count only by what they take from caches and memory. Keys and hashes are made
 * before the clock starts, a stretch at a time. In the end every entry of the bare table and of the backend is compared
 * with a plain array of what each key must have come to.
 */
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bare_table.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/slice.h"
#include "checkpoint/base64.h"
#include "cli/bench_keys.h"
#include "io/io.h"
#include "plugin/instance.h"
#include "state/composed_key.h"
#include "state/keyed_state.h"

#define STRETCH 4096u /* events made ahead */
#define STATE_BATCH 1024u /* as a task's */
#define CALL_BATCH 256u
#define KEY_BYTES_MAX 64u
#define VALUE_BYTES_MAX 4096u
#define ROUNDS_MAX 32u
#define NOW_MS INT64_C(1700000000000)
#define TTL_MS INT64_C(86400000)
#define MAINTAIN_BUDGET 100000u

enum side { BARE, STATE, COPIES, CALLS, CACHED, WALKED, ASIDE, SIDES };

static const char *const side_names[SIDES] = {"bare", "state", "copies", "calls", "cached", "walked", "aside"};

struct options {
	uint64_t keys;
	uint32_t key_bytes, value_bytes;
	bool zipf, json;
	uint32_t rounds;
	const char *huge_pages;
	int only; /* a side, or -1 for all */
};

/* What an operator does to a value; the rest of it stays. */
struct value {
	uint64_t count;
	uint64_t sum;
};

struct stretch {
	uint64_t ids[STRETCH];
	uint8_t keys[STRETCH][KEY_BYTES_MAX];
	const uint8_t *pointers[STRETCH];
	sb_event events[STRETCH];
	uint64_t hashes[STRETCH];
};

struct bench {
	struct options options;
	struct bare_table bare;
	struct plugin *plugin;
	const struct component *component;
	struct component without; /* the component, less its extensions */
	struct instance *backend, copies_of_backend, *behind_cache;
	struct option_set backend_options;
	struct schema schema;
	struct schema_state state;
	struct keyed_state *in_place, *copies, *cached;
	struct bare_walk *walk;
	struct stretch *stretch;
	struct bench_keys numbers;
	uint32_t *bare_counts, *backend_counts, *cached_counts; /* the oracle: changes of each key */
	double rates[SIDES][ROUNDS_MAX];
	uint64_t walks, walked;
	uint64_t rss_before;
};

static void die(const char *what, const char *why)
{
	fprintf(stderr, "state: %s: %s\n", what, why);
	exit(1);
}

static void must(int32_t status, const sb_error *err)
{
	if (status != SB_OK)
		die("failed", err->message);
}

static double now_s(void)
{
	struct timespec time;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
	return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

/* --- keys --- */

static void make_key(const struct bench *bench, uint64_t id, uint8_t *key)
{
	memset(key, 'u', bench->options.key_bytes);
	for (uint32_t at = 0; at < 10; at++, id /= 10)
		key[bench->options.key_bytes - 1 - at] = (uint8_t)('0' + id % 10);
}

static void set_event(struct bench *bench, uint32_t i, uint64_t id)
{
	struct stretch *s = bench->stretch;

	s->ids[i] = id;
	make_key(bench, id, s->keys[i]);
	s->events[i].key = slice_of(s->keys[i], bench->options.key_bytes);
	s->hashes[i] = key_hash(s->events[i].key);
}

static void make_stretch(struct bench *bench)
{
	for (uint32_t i = 0; i < STRETCH; i++)
		set_event(bench, i, bench_keys_pick(&bench->numbers, bench->options.zipf));
}

static void count(const struct bench *bench, uint32_t *counts)
{
	for (uint32_t i = 0; i < STRETCH; i++)
		counts[bench->stretch->ids[i]]++;
}

/* --- the sides; each takes a stretch --- */

static inline void change(uint8_t *at, uint32_t value_bytes)
{
	struct value value;

	memcpy(&value, at, sizeof(value));
	value.count++;
	value.sum += 7;
	memcpy(at, &value, sizeof(value));
	at[value_bytes - 1]++;
}

static void run_bare(struct bench *bench)
{
	for (uint32_t i = 0; i < STRETCH; i += BARE_AHEAD)
		bare_batch(&bench->bare, BARE_AHEAD, bench->stretch->pointers + i, NOW_MS + TTL_MS, NULL, change);
}

static void run_aside(struct bench *bench)
{
	struct bare_walk *walk = bench->walk;

	for (uint32_t i = 0; i < STRETCH; i += BARE_AHEAD)
		bare_batch(&bench->bare, BARE_AHEAD, bench->stretch->pointers + i, walk->epoch, walk, change);
}

static void run_keyed_state(struct bench *bench, struct keyed_state *ks)
{
	struct stretch *s = bench->stretch;
	sb_error err = ERROR_INIT;

	for (uint32_t at = 0; at < STRETCH; at += STATE_BATCH) {
		must(keyed_state_begin(ks, s->events + at, s->hashes + at, STATE_BATCH, &err), &err);
		for (uint32_t i = 0; i < STATE_BATCH; i++) {
			uint8_t *value = keyed_state_upsert(ks, 0, i, NULL);

			if (!value)
				must(keyed_state_failure(ks, &err), &err);
			change(value, bench->options.value_bytes);
		}
		must(keyed_state_end(ks, &err), &err);
	}
}

struct calls {
	uint8_t keys[CALL_BATCH][KEY_BYTES_MAX + COMPOSED_PREFIX_BYTES];
	uint8_t values[CALL_BATCH][VALUE_BYTES_MAX];
	sb_slice slices[CALL_BATCH];
	sb_pin pins[CALL_BATCH];
	sb_op ops[CALL_BATCH];
};

/* A key that comes twice in a batch is changed twice from the same value: the oracle allows for that. */
static void call_batch(struct bench *bench, struct calls *c, uint32_t at)
{
	const sb_backend_ops *ops = &bench->component->backend;
	sb_backend *backend = bench->backend->backend;
	uint32_t value_bytes = bench->options.value_bytes;
	sb_error err = ERROR_INIT;

	for (uint32_t i = 0; i < CALL_BATCH; i++) {
		composed_put_prefix(c->keys[i], key_group_of(bench->stretch->hashes[at + i], KEY_GROUPS_DEFAULT), 0);
		memcpy(c->keys[i] + COMPOSED_PREFIX_BYTES, bench->stretch->keys[at + i], bench->options.key_bytes);
		c->slices[i] = slice_of(c->keys[i], COMPOSED_PREFIX_BYTES + bench->options.key_bytes);
	}
	must(ops->multi_get(backend, CALL_BATCH, c->slices, c->pins, &err), &err);
	for (uint32_t i = 0; i < CALL_BATCH; i++) {
		memcpy(c->values[i], c->pins[i].value.ptr, value_bytes);
		change(c->values[i], value_bytes);
		c->ops[i] = (sb_op){.key = c->slices[i],
				    .value = slice_of(c->values[i], value_bytes),
				    .expiry_ms = NOW_MS + TTL_MS,
				    .kind = SB_OP_PUT};
	}
	ops->unpin(backend, CALL_BATCH, c->pins);
	must(ops->write_batch(backend, CALL_BATCH, c->ops, &err), &err);
}

static void run_calls(struct bench *bench)
{
	static struct calls calls;

	for (uint32_t at = 0; at < STRETCH; at += CALL_BATCH)
		call_batch(bench, &calls, at);
}

/* calls changes a key once for each batch that names it. */
static void count_calls(struct bench *bench)
{
	const uint64_t *ids = bench->stretch->ids;

	for (uint32_t at = 0; at < STRETCH; at += CALL_BATCH) {
		for (uint32_t i = 0; i < CALL_BATCH; i++) {
			bool again = false;

			for (uint32_t before = 0; before < i && !again; before++)
				again = ids[at + before] == ids[at + i];
			bench->backend_counts[ids[at + i]] += !again;
		}
	}
}

static double run(struct bench *bench, enum side side)
{
	double start = now_s();

	if (side == BARE)
		run_bare(bench);
	else if (side == ASIDE)
		run_aside(bench);
	else if (side == CALLS)
		run_calls(bench);
	else
		run_keyed_state(bench, side == COPIES	? bench->copies
				       : side == CACHED ? bench->cached
							: bench->in_place);
	return now_s() - start;
}

static void note(struct bench *bench, enum side side)
{
	if (side == CALLS)
		count_calls(bench);
	else
		count(bench, side == BARE || side == ASIDE ? bench->bare_counts
			     : side == CACHED		   ? bench->cached_counts
							   : bench->backend_counts);
}

/* --- a checkpoint beside it --- */

struct walker {
	const sb_backend_ops *ops;
	sb_iter *iter;
	uint64_t entries;
	_Atomic bool done;
};

/* Frees nothing that the owner still uses, so it may end whenever it likes. */
static void *walk(void *arg)
{
	static _Thread_local sb_entry entries[512];
	static _Thread_local char text[BASE64_ENCODED_MAX(VALUE_BYTES_MAX + KEY_BYTES_MAX + 64)];
	struct walker *walker = arg;
	struct base64_encoder encoder = {.carried = 0};
	sb_error err = ERROR_INIT;
	uint64_t n;

	do {
		must(walker->ops->iter_next(walker->iter, 512, entries, &n, &err), &err);
		for (uint64_t i = 0; i < n; i++) {
			base64_encode(&encoder, entries[i].key.ptr, entries[i].key.len, text);
			base64_encode(&encoder, entries[i].value.ptr, entries[i].value.len, text);
		}
		walker->entries += n;
	} while (n);
	walker->ops->iter_close(walker->iter);
	atomic_store(&walker->done, true);
	return NULL;
}

static void settle(struct bench *bench)
{
	const sb_backend_ops *ops = &bench->component->backend;
	sb_error err = ERROR_INIT;
	uint64_t purged;

	for (uint64_t done = 0; done < 4 * bench->options.keys; done += MAINTAIN_BUDGET)
		must(ops->maintain(bench->backend->backend, MAINTAIN_BUDGET, &purged, &err), &err);
}

/* Operations a second from iter_open to the last entry read. */
static double run_walked(struct bench *bench)
{
	const sb_iter_options range = {.struct_size = sizeof(range)};
	struct walker walker = {.ops = &bench->component->backend};
	sb_error err = ERROR_INIT;
	double start = now_s(), taken;
	uint64_t operations = 0;
	pthread_t thread;

	must(walker.ops->iter_open(bench->backend->backend, &range, &walker.iter, &err), &err);
	taken = now_s() - start;
	if (pthread_create(&thread, NULL, walk, &walker))
		die("pthread_create", "no thread");
	do {
		make_stretch(bench);
		taken += run(bench, WALKED);
		note(bench, WALKED);
		operations += STRETCH;
	} while (!atomic_load(&walker.done));
	pthread_join(thread, NULL);
	if (walker.entries != bench->options.keys)
		die("the iterator", "did not return each entry once");
	bench->walks++;
	bench->walked += operations;
	settle(bench);
	return (double)operations / taken;
}

/* --- rounds --- */

static void fill(struct bench *bench, enum side side)
{
	uint64_t keys = bench->options.keys;

	for (uint64_t id = 0; id < keys; id += STRETCH) {
		for (uint32_t i = 0; i < STRETCH; i++)
			set_event(bench, i, bench_keys_scatter(&bench->numbers, (id + i) % keys));
		run(bench, side);
		note(bench, side);
	}
}

static double round_of(struct bench *bench, enum side side)
{
	uint64_t operations = bench->options.keys < 4000000 ? 2 * bench->options.keys : 8000000, done;
	double taken = 0;

	for (done = 0; done < operations; done += STRETCH) {
		make_stretch(bench);
		taken += run(bench, side);
		note(bench, side);
	}
	return (double)done / taken;
}

/* As many changes to a walk as those had that were measured. */
static void set_pace(struct bench *bench)
{
	const struct bare_table *table = &bench->bare;
	double changes = bench->walks ? (double)bench->walked / (double)bench->walks : (double)bench->options.keys / 2;

	bench->walk->step = (double)(table->groups * BARE_GROUP * table->stride) / changes;
}

static void measure(struct bench *bench)
{
	for (uint32_t round = 0; round < bench->options.rounds; round++) {
		for (int side = BARE; side < SIDES; side++) {
			if (bench->options.only >= 0 && bench->options.only != side)
				continue;
			if (side == ASIDE)
				set_pace(bench);
			bench->rates[side][round] =
				side == WALKED ? run_walked(bench) : round_of(bench, (enum side)side);
		}
	}
}

/* --- the oracle --- */

static void check_value(uint64_t id, const char *what, const uint8_t *at, uint32_t value_bytes, uint32_t counted)
{
	struct value value;

	if (!at)
		die(what, "has lost a key");
	memcpy(&value, at, sizeof(value));
	if (value.count == counted && value.sum == UINT64_C(7) * counted && at[value_bytes - 1] == (uint8_t)counted)
		return;
	fprintf(stderr, "state: %s: key %" PRIu64 " was changed %" PRIu64 " times instead of %u\n", what, id,
		value.count, counted);
	exit(1);
}

static void check_all(struct bench *bench)
{
	struct stretch *s = bench->stretch;
	uint32_t value_bytes = bench->options.value_bytes;
	sb_error err = ERROR_INIT;

	for (uint64_t id = 0; id < bench->options.keys; id++) {
		uint64_t left = bench->options.keys - id;

		if (id % STATE_BATCH == 0) {
			uint32_t n = left < STATE_BATCH ? (uint32_t)left : STATE_BATCH;

			for (uint32_t i = 0; i < n; i++)
				set_event(bench, i, id + i);
			must(keyed_state_begin(bench->in_place, s->events, s->hashes, n, &err), &err);
			must(keyed_state_begin(bench->cached, s->events, s->hashes, n, &err), &err);
		}
		uint32_t i = (uint32_t)(id % STATE_BATCH);
		uint64_t hash = XXH3_64bits(s->keys[i], bench->options.key_bytes);

		check_value(id, "the backend", keyed_state_peek(bench->in_place, 0, i), value_bytes,
			    bench->backend_counts[id]);
		check_value(id, "the cache", keyed_state_peek(bench->cached, 0, i), value_bytes,
			    bench->cached_counts[id]);
		check_value(id, "the bare table",
			    bare_find_or_add(&bench->bare, hash, s->keys[i]) + 8 + bench->options.key_bytes,
			    value_bytes, bench->bare_counts[id]);
		if (left == 1 || id % STATE_BATCH == STATE_BATCH - 1) {
			must(keyed_state_end(bench->in_place, &err), &err);
			must(keyed_state_end(bench->cached, &err), &err);
		}
	}
}

/* --- life --- */

static void open_state(struct bench *bench, struct instance *backend, uint64_t cache_bytes,
		       struct keyed_state **ret_state)
{
	const struct keyed_state_config config = {.backend = backend,
						  .schema = &bench->schema,
						  .key_groups = KEY_GROUPS_DEFAULT,
						  .cache_bytes = cache_bytes,
						  .backend_empty = cache_bytes > 0};
	sb_error err = ERROR_INIT;

	must(keyed_state_open(&config, ret_state, &err), &err);
}

static const void *no_extension(const char *id)
{
	(void)id;
	return NULL;
}

static uint64_t resident_bytes(void)
{
	unsigned long long pages = 0;
	FILE *file = fopen("/proc/self/statm", "r");

	if (file && fscanf(file, "%*u %llu", &pages) != 1)
		pages = 0;
	if (file)
		fclose(file);
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void open_backend(struct bench *bench, struct io *io, const struct plugin_env *env)
{
	const char *pair = bench->options.huge_pages;
	sb_error err = ERROR_INIT;

	must(plugin_load(io, "memory", SB_PLUGIN_DIR, &bench->plugin, &err), &err);
	must(plugin_find_component(bench->plugin, SB_KIND_BACKEND, &bench->component, &err), &err);
	must(option_set_parse(bench->component, "--huge-pages", &pair, 1, &bench->backend_options, &err), &err);
	must(instance_open_backend(bench->component, "backend-0", "/tmp", 0, &bench->backend_options, env,
				   &bench->backend, &err),
	     &err);
	bench->without = *bench->component;
	bench->without.backend.extension = no_extension;
	memcpy(&bench->copies_of_backend, bench->backend, sizeof(*bench->backend));
	bench->copies_of_backend.component = &bench->without;
	must(instance_open_backend(bench->component, "backend-1", "/tmp", 0, &bench->backend_options, env,
				   &bench->behind_cache, &err),
	     &err);
	open_state(bench, bench->backend, 0, &bench->in_place);
	open_state(bench, &bench->copies_of_backend, 0, &bench->copies);
	open_state(bench, bench->behind_cache, UINT64_C(1) << 40, &bench->cached);
}

static void init(struct bench *bench)
{
	static char name[] = "profile";

	bench->state = (struct schema_state){
		.name = name, .kind = SB_STATE_STRUCT, .value_size = bench->options.value_bytes, .ttl_ms = TTL_MS};
	bench->schema = (struct schema){.states = &bench->state, .count = 1};
	bench->stretch = calloc(1, sizeof(*bench->stretch));
	bench->bare_counts = calloc(bench->options.keys, sizeof(*bench->bare_counts));
	bench->backend_counts = calloc(bench->options.keys, sizeof(*bench->backend_counts));
	bench->cached_counts = calloc(bench->options.keys, sizeof(*bench->cached_counts));
	bench->walk = calloc(1, sizeof(*bench->walk));
	if (!bench->stretch || !bench->bare_counts || !bench->backend_counts || !bench->cached_counts || !bench->walk ||
	    !bare_init(&bench->bare, bench->options.keys, bench->options.key_bytes, bench->options.value_bytes))
		die("memory", "there is not enough");
	for (uint32_t i = 0; i < STRETCH; i++) {
		bench->stretch->pointers[i] = bench->stretch->keys[i];
		bench->stretch->events[i].clock_ms = NOW_MS;
	}
	memset(bench->bare_counts, 0, bench->options.keys * sizeof(*bench->bare_counts));
	memset(bench->backend_counts, 0, bench->options.keys * sizeof(*bench->backend_counts));
	bench_keys_init(&bench->numbers, bench->options.keys, 20240611);
}

static void done(struct bench *bench)
{
	keyed_state_close(bench->in_place);
	keyed_state_close(bench->copies);
	keyed_state_close(bench->cached);
	instance_close(bench->backend);
	instance_close(bench->behind_cache);
	option_set_done(&bench->backend_options);
	plugin_free(bench->plugin);
	bare_done(&bench->bare);
	free(bench->bare_counts);
	free(bench->backend_counts);
	free(bench->cached_counts);
	free(bench->walk);
	free(bench->stretch);
}

/* --- the report --- */

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(const struct bench *bench, enum side side)
{
	double sorted[ROUNDS_MAX];

	memcpy(sorted, bench->rates[side], sizeof(sorted));
	qsort(sorted, bench->options.rounds, sizeof(*sorted), by_value);
	return sorted[bench->options.rounds / 2];
}

/* Median of the rounds' own ratios: the two halves of each lie side by side in time. */
static double ratio(const struct bench *bench, enum side side, enum side to)
{
	double sorted[ROUNDS_MAX];

	for (uint32_t i = 0; i < bench->options.rounds; i++)
		sorted[i] = bench->rates[side][i] / bench->rates[to][i];
	qsort(sorted, bench->options.rounds, sizeof(*sorted), by_value);
	return sorted[bench->options.rounds / 2];
}

static double stat_of(const struct bench *bench, const char *name)
{
	sb_stat stats[64];
	sb_error err = ERROR_INIT;
	uint64_t n;

	must(bench->component->backend.stats(bench->backend->backend, 64, stats, &n, &err), &err);
	for (uint64_t i = 0; i < n; i++) {
		if (!strcmp(stats[i].name, name))
			return stats[i].value;
	}
	die(name, "is no figure of the backend");
	return 0;
}

/* Beyond key (as the host composes it) and value. */
static double overhead(const struct bench *bench, double bytes)
{
	const struct options *o = &bench->options;

	return bytes / (double)o->keys - COMPOSED_PREFIX_BYTES - o->key_bytes - o->value_bytes;
}

static void print_text(const struct bench *bench, double counted, double resident)
{
	const struct options *o = &bench->options;

	printf("%.1f M keys of %u bytes, values of %u, %s, %s, %u rounds\n", (double)o->keys / 1e6, o->key_bytes,
	       o->value_bytes, o->zipf ? "zipf 0.99" : "uniform", o->huge_pages, o->rounds);
	if (o->only >= 0) {
		printf("  %-8s %10s\n  %-8s %10.2f\n", "side", "M/s", side_names[o->only],
		       median(bench, (enum side)o->only) / 1e6);
		return;
	}
	printf("  %-8s %10s %10s\n", "side", "M/s", "of bare");
	for (enum side side = BARE; side < SIDES; side++)
		printf("  %-8s %10.2f %10.2f\n", side_names[side], median(bench, side) / 1e6, ratio(bench, side, BARE));
	printf("  walked/state %.2f (aside/bare %.2f), %" PRIu64 " walks, %.2f changes an entry in each\n",
	       ratio(bench, WALKED, STATE), ratio(bench, ASIDE, BARE), bench->walks,
	       (double)bench->walked / (double)bench->walks / (double)o->keys);
	printf("  overhead %.1f bytes an entry by accounting, %.1f resident, after the fill\n",
	       overhead(bench, counted), overhead(bench, resident));
}

static void print_json(const struct bench *bench, double counted, double resident)
{
	const struct options *o = &bench->options;

	printf("{\"keys\":%" PRIu64
	       ",\"key_bytes\":%u,\"value_bytes\":%u,\"zipf\":%s,\"rounds\":%u,\"operations_per_s\":{",
	       o->keys, o->key_bytes, o->value_bytes, o->zipf ? "0.99" : "null", o->rounds);
	for (enum side side = BARE; side < SIDES; side++)
		printf("%s\"%s\":%.0f", side ? "," : "", side_names[side], median(bench, side));
	printf("},\"ratio_to_bare\":{");
	for (enum side side = STATE; side < SIDES; side++)
		printf("%s\"%s\":%.3f", side > STATE ? "," : "", side_names[side], ratio(bench, side, BARE));
	printf("},\"walked_to_state\":%.3f,\"aside_to_bare\":%.3f,"
	       "\"overhead_bytes\":{\"accounted\":%.1f,\"resident\":%.1f}}\n",
	       ratio(bench, WALKED, STATE), ratio(bench, ASIDE, BARE), overhead(bench, counted),
	       overhead(bench, resident));
}

static const char usage[] =
	"usage: state [--keys N] [--key-bytes 16..64] [--value-bytes 24..4096] [--zipf] [--rounds N] [--small-pages] [--json]\n"
	"             [--only bare|state|copies|calls|cached|walked|aside]   for a profiler; not with --json\n";

static int side_of(const char *name)
{
	for (int side = 0; side < SIDES; side++) {
		if (!strcmp(side_names[side], name))
			return side;
	}
	return -1;
}

static void parse(int argc, char **argv, struct options *options)
{
	static const struct option known[] = {
		{"keys", required_argument, NULL, 'n'},
		{"key-bytes", required_argument, NULL, 'k'},
		{"value-bytes", required_argument, NULL, 'v'},
		{"zipf", no_argument, NULL, 'z'},
		{"rounds", required_argument, NULL, 'r'},
		{"small-pages", no_argument, NULL, 's'},
		{"json", no_argument, NULL, 'j'},
		{"only", required_argument, NULL, 'o'},
		{NULL, 0, NULL, 0},
	};
	int letter;

	while ((letter = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (letter == 'n')
			options->keys = strtoull(optarg, NULL, 10);
		else if (letter == 'k')
			options->key_bytes = (uint32_t)strtoul(optarg, NULL, 10);
		else if (letter == 'v')
			options->value_bytes = (uint32_t)strtoul(optarg, NULL, 10);
		else if (letter == 'r')
			options->rounds = (uint32_t)strtoul(optarg, NULL, 10);
		else if (letter == 'z')
			options->zipf = true;
		else if (letter == 's')
			options->huge_pages = "huge_pages=false";
		else if (letter == 'j')
			options->json = true;
		else if (letter != 'o' || (options->only = side_of(optarg)) < 0)
			options->keys = 0;
	}
	if (options->keys < STRETCH || options->key_bytes < 16 || options->key_bytes > KEY_BYTES_MAX ||
	    options->value_bytes < 24 || options->value_bytes > VALUE_BYTES_MAX || options->rounds < 1 ||
	    options->rounds > ROUNDS_MAX || (options->json && options->only >= 0)) {
		fputs(usage, stderr);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	static struct bench bench;
	static _Atomic int64_t horizon_ms = INT64_MIN;
	struct io io;
	struct clock clock;
	struct log log = {.fd = STDERR_FILENO, .level = SB_LOG_WARN, .clock = &clock};
	const struct plugin_env env = {.log = &log, .clock = &clock, .horizon_ms = &horizon_ms};
	double counted, resident;
	uint64_t before;

	bench.options = (struct options){
		.keys = 1000000,
		.key_bytes = 16,
		.value_bytes = 80,
		.rounds = 7,
		.huge_pages = "huge_pages=true",
		.only = -1,
	};
	parse(argc, argv, &bench.options);
	io_init_system(&io);
	clock_init_system(&clock);
	init(&bench);
	before = resident_bytes();
	open_backend(&bench, &io, &env);
	fill(&bench, STATE);
	counted = stat_of(&bench, "memory_bytes");
	resident = (double)(resident_bytes() - before);
	fill(&bench, BARE);
	fill(&bench, CACHED);
	measure(&bench);
	check_all(&bench);
	if (bench.options.json)
		print_json(&bench, counted, resident);
	else
		print_text(&bench, counted, resident);
	done(&bench);
	return 0;
}
