/* SPDX-License-Identifier: Apache-2.0
 *
 * What each option of the RocksDB backend is worth, preset by preset, behind a cache that does not hold the state: the table in
 * plugins/rocksdb/README.md.
 *
 * Every variant stands beside the preset as it is, in the same process and in turns, and both see the same seeded events, as many of
 * them: so they owe the same flushes and compactions, but for what the option changes. Before a turn none is running, so that nobody
 * pays for the other's, and what a turn leaves to them is waited for behind it. Costs come in lumps, of which each side gets its
 * share only over all turns, so what is compared is means.
 * Task is processor time an event of the thread that makes the calls, and all is that of all threads, with that wait: so it has what
 * flushes and compactions take. Both forget what other programs take. Ratios are the variant's through the preset's, below 1 it is the better.
 * Space is what tables take on disk at the end, and at the end every entry is held against the count kept beside.
 *
 * The last table is about calls (-c: alone): how a batch is best handed to RocksDB.
 *
 * Usage: rocksdb_sweep [-k KEYS] [-r ROUNDS] [-n EVENTS] [-s SHARE] [-p PRESET]... [-d DIRECTORY] [-c] [NAME=VALUE[,NAME=VALUE]...]...
 */
#include <time.h>

#include "cached_state.h"

#define PRESETS_MAX 4
#define PAIRS_MAX 8
#define PAIR_BYTES 64
#define STATS_MAX 64
#define LOOKUPS 1024u /* as a batch of events asks for */
#define WRITES 4096u /* as keyed state writes back */

struct options {
	uint64_t keys;
	int rounds;
	uint64_t events; /* of a turn */
	double share;
	const char *presets[PRESETS_MAX];
	int preset_count;
	const char *dir;
	const char *const *variants; /* NULL-terminated */
	bool with_calls, calls_only;
};

/* Of all turns of one side, by uniform and zipf. */
struct totals {
	double task_s[2], all_s[2];
};

static const char *const all_presets[] = {"balanced", "low-latency", "high-throughput", "large-state"};

/* "cache+=" is not RocksDB's: it adds to the record cache, so that a row can move memory there from the block cache. */
static const char *const all_variants[] = {"memtable=skiplist",
					   "memtable_bloom_percent=0",
					   "memtable_bloom_percent=10",
					   "write_buffer_size=32MiB",
					   "bloom_bits=0",
					   "bloom_bits=16",
					   "block_size=8KiB",
					   "block_size=16KiB",
					   "block_cache_size=8MiB",
					   "block_cache_size=8MiB,cache+=120MiB",
					   "cache_index_and_filter_blocks=true",
					   "cache_index_and_filter_blocks=false",
					   "compression=none",
					   "compression=snappy",
					   "compression=lz4",
					   "compression=zstd",
					   "max_background_jobs=1",
					   "max_background_jobs=4",
					   "compaction_trigger=4",
					   "compaction_trigger=16",
					   "compaction_style=level",
					   NULL};

/* ---------------------------------------------------------------------------
 * One side
 * ------------------------------------------------------------------------- */

static double stat_of(struct cached *side, const char *name)
{
	sb_error err = ERROR_INIT;
	sb_stat stats[STATS_MAX];
	uint64_t count;

	must(side->backend->component->backend.stats(side->backend->backend, STATS_MAX, stats, &count, &err), &err);
	for (uint64_t i = 0; i < count && i < STATS_MAX; i++) {
		if (strcmp(stats[i].name, name) == 0)
			return stats[i].value;
	}
	die("no such figure", name);
	return 0;
}

/* Between two jobs that follow each other nothing runs for a moment. */
static void settle(struct cached *side)
{
	for (int quiet = 0; quiet < 3; quiet++) {
		if (stat_of(side, "flushes_running") + stat_of(side, "compactions_running") > 0)
			quiet = -1;
		nanosleep(&(struct timespec){.tv_nsec = 2 * 1000 * 1000}, NULL);
	}
}

static double processor_s(clockid_t whose)
{
	struct timespec time;

	clock_gettime(whose, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* The pairs of a variant behind its preset; what begins with "cache+=" is added to *cache_bytes. */
static uint64_t split(const char *preset, const char *variant, char pairs[PAIRS_MAX][PAIR_BYTES], uint64_t *cache_bytes)
{
	static const char cache[] = "cache+=";
	uint64_t n = 1;

	snprintf(pairs[0], PAIR_BYTES, "preset=%s", preset);
	for (const char *at = variant; *at; at += *at == ',') {
		size_t len = strcspn(at, ",");

		if (n == PAIRS_MAX || len >= PAIR_BYTES)
			die("too much in a variant", variant);
		if (strncmp(at, cache, sizeof(cache) - 1) == 0)
			*cache_bytes += strtoull(at + sizeof(cache) - 1, NULL, 10) << 20;
		else
			snprintf(pairs[n++], PAIR_BYTES, "%.*s", (int)len, at);
		at += len;
	}
	return n;
}

static struct cached *side_open(const struct options *o, const char *dir, const char *name, const char *preset,
				const char *variant)
{
	uint64_t cache_bytes = (uint64_t)(o->share * (double)o->keys * CACHED_BYTES);
	char pairs[PAIRS_MAX][PAIR_BYTES], path[300];
	struct cached *side = calloc(1, sizeof(*side));
	const char *given[PAIRS_MAX];
	sb_error err = ERROR_INIT;
	uint64_t n = split(preset, variant, pairs, &cache_bytes);

	if (!side)
		die(name, "out of memory");
	for (uint64_t i = 0; i < n; i++)
		given[i] = pairs[i];
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	must(io_mkdir_p(&io, path, &err), &err);
	cached_open(side, path, o->keys, cache_bytes, given, n);
	cached_fill(side);
	settle(side);
	return side;
}

static void side_close(struct cached *side, const char *dir, const char *name)
{
	sb_error err = ERROR_INIT;
	char path[300];

	cached_check(side);
	cached_close(side);
	free(side);
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	must(io_remove_tree(&io, path, &err), &err);
}

/* ---------------------------------------------------------------------------
 * Variants
 * ------------------------------------------------------------------------- */

static void take_turn(struct cached *side, bool zipf, uint64_t events, struct totals *totals)
{
	const double all = processor_s(CLOCK_PROCESS_CPUTIME_ID), task = processor_s(CLOCK_THREAD_CPUTIME_ID);

	for (uint64_t done = 0; done < events; done += BATCH)
		cached_draw(side, zipf);
	cached_flush(side);
	totals->task_s[zipf] += processor_s(CLOCK_THREAD_CPUTIME_ID) - task;
	settle(side);
	totals->all_s[zipf] += processor_s(CLOCK_PROCESS_CPUTIME_ID) - all;
}

/* Who goes first changes from round to round. */
static void take_turns(const struct options *o, struct cached *const sides[2], struct totals totals[2])
{
	for (int zipf = 0; zipf < 2; zipf++) {
		for (int turn = 0; turn < 2 * o->rounds; turn++) {
			int side = (turn + turn / 2) % 2;

			take_turn(sides[side], zipf != 0, o->events, &totals[side]);
		}
	}
}

static void print_usual(const struct options *o, const struct totals *totals, double disk_bytes)
{
	const double events = (double)o->events * o->rounds;

	printf("| as it is | %.2f us | %.2f us | %.2f us | %.2f us | %.0f MB |\n", totals->task_s[0] / events * 1e6,
	       totals->task_s[1] / events * 1e6, totals->all_s[0] / events * 1e6, totals->all_s[1] / events * 1e6,
	       disk_bytes / 1e6);
}

/* Both are new for each row: an older database has more runs to look through. */
static void sweep_variant(const struct options *o, const char *dir, const char *preset, const char *variant,
			  bool is_first)
{
	struct cached *sides[2] = {side_open(o, dir, "usual", preset, ""),
				   side_open(o, dir, "variant", preset, variant)};
	struct totals totals[2] = {0}, *usual = &totals[0], *other = &totals[1];
	double disk_bytes[2];

	take_turns(o, sides, totals);
	for (int i = 0; i < 2; i++)
		disk_bytes[i] = stat_of(sides[i], "sst_live_bytes");
	if (is_first)
		print_usual(o, usual, disk_bytes[0]);
	printf("| `%s` | %.2f | %.2f | %.2f | %.2f | %.2f |\n", variant, other->task_s[0] / usual->task_s[0],
	       other->task_s[1] / usual->task_s[1], other->all_s[0] / usual->all_s[0],
	       other->all_s[1] / usual->all_s[1], (disk_bytes[1] + 1) / (disk_bytes[0] + 1)); /* tables may be none */
	fflush(stdout);
	side_close(sides[0], dir, "usual");
	side_close(sides[1], dir, "variant");
}

static void sweep_preset(const struct options *o, const char *dir, const char *preset)
{
	printf("\n| `%s` | task, uniform | zipf | all, uniform | zipf | disk |\n|---|---|---|---|---|---|\n", preset);
	for (const char *const *variant = o->variants; *variant; variant++)
		sweep_variant(o, dir, preset, *variant, variant == o->variants);
}

/* ---------------------------------------------------------------------------
 * Calls
 * ------------------------------------------------------------------------- */

struct call {
	const char *name;
	uint64_t n; /* keys of a turn */
	uint64_t batch; /* of these in one call */
	bool write, sorted;
};

static const struct call calls[] = {
	{"look-ups, 1024 a call, as they come", LOOKUPS, LOOKUPS, false, false},
	{"look-ups, 1024 a call, sorted", LOOKUPS, LOOKUPS, false, true},
	{"look-ups, one a call", LOOKUPS, 1, false, false},
	{"writes, 4096 a call, sorted", WRITES, WRITES, true, true},
	{"writes, 4096 a call, as they come", WRITES, WRITES, true, false},
	{"writes, one a call, sorted", WRITES, 1, true, true},
};

#define CALL_COUNT (sizeof(calls) / sizeof(calls[0]))

struct call_keys {
	uint8_t bytes[WRITES][BENCH_KEY_BYTES];
	struct value values[WRITES];
	sb_slice keys[WRITES];
	sb_op ops[WRITES];
	sb_pin pins[WRITES];
};

static int compare_keys(const void *a, const void *b)
{
	return memcmp(a, b, BENCH_KEY_BYTES);
}

/* Writing an entry again changes nothing, so the counts still hold. */
static void pick_keys(struct cached *side, const struct call *call, struct call_keys *picked)
{
	for (uint64_t i = 0; i < call->n; i++) {
		uint8_t *user_part = picked->bytes[i] + COMPOSED_PREFIX_BYTES;

		bench_key_text(bench_keys_pick(&side->side.keys, false), user_part);
		composed_put_prefix(
			picked->bytes[i],
			key_group_of(key_hash(slice_of(user_part, BENCH_USER_KEY_BYTES)), KEY_GROUPS_DEFAULT), 0);
	}
	if (call->sorted)
		qsort(picked->bytes, call->n, BENCH_KEY_BYTES, compare_keys);
	for (uint64_t i = 0; i < call->n; i++) {
		picked->keys[i] = slice_of(picked->bytes[i], BENCH_KEY_BYTES);
		picked->values[i].changes = side->side.changes[bench_key_number(composed_user_part(picked->keys[i]))];
		picked->ops[i] = (sb_op){.kind = SB_OP_PUT,
					 .key = picked->keys[i],
					 .value = slice_of(&picked->values[i], sizeof(picked->values[i]))};
	}
}

static void make_calls(struct cached *side, const struct call *call, struct call_keys *picked)
{
	const sb_backend_ops *ops = &side->backend->component->backend;
	sb_backend *backend = side->backend->backend;
	sb_error err = ERROR_INIT;

	for (uint64_t at = 0; at < call->n; at += call->batch) {
		if (call->write) {
			must(ops->write_batch(backend, call->batch, picked->ops + at, &err), &err);
			continue;
		}
		must(ops->multi_get(backend, call->batch, picked->keys + at, picked->pins, &err), &err);
		for (uint64_t i = 0; i < call->batch; i++) {
			if (!picked->pins[i].found)
				die("calls", "an entry is missing");
		}
		ops->unpin(backend, call->batch, picked->pins);
	}
}

/* The seconds of the calls alone: keys are picked and sorted outside of them. */
static double call_turn(struct cached *side, const struct call *call, uint64_t keys, struct call_keys *picked)
{
	double busy_s = 0;

	for (uint64_t done = 0; done < keys; done += call->n) {
		pick_keys(side, call, picked);
		const double start = now();

		make_calls(side, call, picked);
		busy_s += now() - start;
	}
	settle(side);
	return busy_s;
}

static void time_calls(const struct options *o, const char *dir, const char *variant, double ret_speed[CALL_COUNT])
{
	struct cached *side = side_open(o, dir, "usual", o->presets[0], variant);
	struct call_keys *picked = calloc(1, sizeof(*picked));
	double seconds[CALL_COUNT] = {0};

	if (!picked)
		die("calls", "out of memory");
	for (int round = 0; round < o->rounds; round++) {
		for (size_t i = 0; i < CALL_COUNT; i++)
			seconds[i] += call_turn(side, &calls[i], o->events, picked);
	}
	for (size_t i = 0; i < CALL_COUNT; i++)
		ret_speed[i] = (double)o->events * o->rounds / seconds[i];
	free(picked);
	side_close(side, dir, "usual");
}

static void sweep_calls(const struct options *o, const char *dir)
{
	double hashed[CALL_COUNT], skiplist[CALL_COUNT];

	time_calls(o, dir, "memtable=hash-linkedlist", hashed);
	time_calls(o, dir, "memtable=skiplist", skiplist);
	puts("\n| calls, M keys/s | `hash-linkedlist` | `skiplist` |\n|---|---|---|");
	for (size_t i = 0; i < CALL_COUNT; i++)
		printf("| %s | %.3f | %.3f |\n", calls[i].name, hashed[i] / 1e6, skiplist[i] / 1e6);
}

static void parse(int argc, char **argv, struct options *o)
{
	int option;

	*o = (struct options){.keys = 1000000, .rounds = 4, .share = 0.1, .dir = "."};
	while ((option = getopt(argc, argv, "k:r:n:s:p:d:c")) != -1) {
		if (option == 'k')
			o->keys = strtoull(optarg, NULL, 10);
		else if (option == 'r')
			o->rounds = atoi(optarg);
		else if (option == 'n')
			o->events = strtoull(optarg, NULL, 10);
		else if (option == 's')
			o->share = atof(optarg);
		else if (option == 'p' && o->preset_count < PRESETS_MAX)
			o->presets[o->preset_count++] = optarg;
		else if (option == 'd')
			o->dir = optarg;
		else if (option == 'c')
			o->calls_only = true;
		else
			die("usage",
			    "rocksdb_sweep [-k KEYS] [-r ROUNDS] [-n EVENTS] [-s SHARE] [-p PRESET]... [-d DIRECTORY] [-c] "
			    "[NAME=VALUE[,NAME=VALUE]...]...");
	}
	if (o->keys < 1000 || o->keys > BENCH_KEYS_MAX || o->rounds < 1)
		die("usage", "keys from 1000, rounds from 1");
	if (o->events == 0)
		o->events = o->keys / 4;
	o->events += (BATCH - o->events % BATCH) % BATCH;
	if (o->preset_count == 0) {
		memcpy(o->presets, all_presets, sizeof(all_presets));
		o->preset_count = PRESETS_MAX;
	}
	o->with_calls = !argv[optind];
	o->variants = argv[optind] ? (const char *const *)(argv + optind) : all_variants;
}

int main(int argc, char **argv)
{
	struct options options;
	sb_error err = ERROR_INIT;
	char dir[256];

	parse(argc, argv, &options);
	bench_begin(options.dir, dir, sizeof(dir));
	for (int i = 0; i < options.preset_count && !options.calls_only; i++)
		sweep_preset(&options, dir, options.presets[i]);
	if (options.with_calls)
		sweep_calls(&options, dir);
	must(io_remove_tree(&io, dir, &err), &err);
	return 0;
}
