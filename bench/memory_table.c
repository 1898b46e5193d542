/* SPDX-License-Identifier: Apache-2.0
 *
 * memory_table.c: the memory backend through its ABI, and nothing else.
 *
 *	memory_table [plugin.so [entries [huge_pages 0|1]]]
 *
 * Fills it with 16-byte keys and 80-byte values that expire, then reports bytes per
 * entry, get+put in batches of 256 on uniform keys (median of five), the time of
 * iter_open, a full walk, and get+put while another thread walks; then the same with marks (sb.delta/1): get+put,
 * changes_open and the walk after CHANGED entries were written, and get+put while the changes are open.
 * Times are printed for people and compared by nobody; ratios belong to the
 * benchmarks beside this one. All are processor time of the thread in question.
 */
#include <sb_plugin.h>

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BATCH 256
#define KEY_BYTES 16
#define VALUE_BYTES 80
#define ROUNDS 5
#define CHANGED 100000u

struct batch {
	uint64_t ids[BATCH];
	uint8_t keys[BATCH][KEY_BYTES];
	uint8_t values[BATCH][VALUE_BYTES];
	sb_slice slices[BATCH];
	sb_pin pins[BATCH];
	sb_op ops[BATCH];
};

static double seconds(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Of this thread's processor time: other processes and the walker beside it count only
 * for what they take from caches and memory. */
static double now_s(void)
{
	return seconds(CLOCK_THREAD_CPUTIME_ID);
}

static int64_t no_horizon(const sb_host *host)
{
	(void)host;
	return INT64_MIN;
}

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state * UINT64_C(0x2545F4914F6CDD1D);
}

static void check(int32_t status, const sb_error *err)
{
	if (status == SB_OK)
		return;
	fprintf(stderr, "%s\n", err->message);
	exit(1);
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

/* Spreads the ids, so that neighbouring ids are no neighbouring keys. */
static void set_keys(struct batch *b)
{
	for (int i = 0; i < BATCH; ++i) {
		uint64_t mixed = b->ids[i] * UINT64_C(0x9E3779B97F4A7C15);

		memcpy(b->keys[i], &b->ids[i], 8);
		memcpy(b->keys[i] + 8, &mixed, 8);
		b->slices[i] = (sb_slice){b->keys[i], KEY_BYTES};
		b->ops[i] = (sb_op){.key = b->slices[i],
				    .value = {b->values[i], VALUE_BYTES},
				    .expiry_ms = 1700000000000 + (int64_t)b->ids[i],
				    .kind = SB_OP_PUT};
	}
}

static void fill(const sb_backend_ops *ops, sb_backend *backend, uint64_t entries, struct batch *b, sb_error *err)
{
	for (uint64_t id = 0; id < entries; id += BATCH) {
		for (uint64_t i = 0; i < BATCH; ++i)
			b->ids[i] = id + i < entries ? id + i : entries - 1;
		set_keys(b);
		check(ops->write_batch(backend, BATCH, b->ops, err), err);
	}
}

/* Reads, changes and writes back; returns operations a second. */
static double get_put(const sb_backend_ops *ops, sb_backend *backend, uint64_t entries, uint64_t count, struct batch *b,
		      uint64_t *seed, sb_error *err)
{
	double start = now_s();

	for (uint64_t done = 0; done < count; done += BATCH) {
		for (int i = 0; i < BATCH; ++i)
			b->ids[i] = (uint64_t)((unsigned __int128)next_random(seed) * entries >> 64);
		set_keys(b);
		check(ops->multi_get(backend, BATCH, b->slices, b->pins, err), err);
		for (int i = 0; i < BATCH; ++i) {
			if (!b->pins[i].found || b->pins[i].value.len != VALUE_BYTES)
				exit(2);
			memcpy(b->values[i], b->pins[i].value.ptr, VALUE_BYTES);
			b->values[i][0]++;
		}
		ops->unpin(backend, BATCH, b->pins);
		check(ops->write_batch(backend, BATCH, b->ops, err), err);
	}
	return (double)count / (now_s() - start);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

struct walk {
	const sb_backend_ops *ops;
	sb_iter *iter;
	uint64_t entries;
	double seconds;
	_Atomic int done;
};

static void *walk(void *arg)
{
	static _Thread_local sb_entry entries[1024];
	struct walk *w = arg;
	sb_error err = {.struct_size = sizeof(err)};
	uint64_t count, sum = 0;
	double start = now_s();

	do {
		check(w->ops->iter_next(w->iter, 1024, entries, &count, &err), &err);
		for (uint64_t i = 0; i < count; ++i)
			sum += entries[i].value.ptr[VALUE_BYTES - 1] + entries[i].key.ptr[0];
		w->entries += count;
	} while (count);
	w->seconds = now_s() - start;
	if (sum == 1)
		fputc(' ', stderr); /* keeps the reads */
	w->ops->iter_close(w->iter);
	atomic_store(&w->done, 1);
	return NULL;
}

static double stat_of(const sb_backend_ops *ops, sb_backend *backend, const char *name, sb_error *err)
{
	sb_stat stats[32];
	uint64_t count;

	check(ops->stats(backend, 32, stats, &count, err), err);
	for (uint64_t i = 0; i < count; ++i) {
		if (!strcmp(stats[i].name, name))
			return stats[i].value;
	}
	return -1;
}

static void walk_under_writes(const sb_backend_ops *ops, sb_backend *backend, uint64_t entries, struct batch *b,
			      uint64_t *seed, sb_error *err)
{
	sb_iter_options range = {.struct_size = sizeof(range)};
	struct walk w = {.ops = ops};
	double start = now_s(), opened;
	uint64_t count = 0;
	pthread_t thread;

	check(ops->iter_open(backend, &range, &w.iter, err), err);
	opened = now_s();
	pthread_create(&thread, NULL, walk, &w);
	do {
		get_put(ops, backend, entries, 16 * BATCH, b, seed, err);
		count += 16 * BATCH;
	} while (!atomic_load(&w.done));
	printf("  under a walk      %6.2f M/s, walked %.2f M in %.3f s, iter_open %.1f us, retained %.1f MB\n",
	       (double)count / (now_s() - opened) / 1e6, (double)w.entries / 1e6, w.seconds, (opened - start) * 1e6,
	       stat_of(ops, backend, "retained_bytes", err) / 1e6);
	pthread_join(thread, NULL);
}

static void drain(const sb_backend_ops *ops, sb_backend *backend, sb_error *err)
{
	uint64_t purged;

	while (stat_of(ops, backend, "retained_bytes", err) > 0)
		check(ops->maintain(backend, 100000, &purged, err), err);
}

/* --- marks and changes --- */

static uint64_t new_mark(const sb_delta_ops *delta, sb_backend *backend, sb_error *err)
{
	uint64_t mark;

	check(delta->mark(backend, &mark, err), err);
	delta->release(backend, mark);
	return mark;
}

/* With a new mark so often that none is forgotten. */
static double get_put_marked(const sb_backend_ops *ops, sb_backend *backend, uint64_t entries, uint64_t count,
			     struct batch *b, uint64_t *seed, sb_error *err)
{
	const sb_delta_ops *delta = ops->extension(SB_EXT_DELTA);
	uint64_t portion = entries / 4;
	double taken = 0;

	for (uint64_t done = 0; done < count; done += portion) {
		new_mark(delta, backend, err);
		taken += (double)portion / get_put(ops, backend, entries, portion, b, seed, err);
	}
	return (double)((count + portion - 1) / portion * portion) / taken;
}

static double wall_s(void)
{
	return seconds(CLOCK_MONOTONIC);
}

static void walk_changes(const sb_delta_ops *delta, sb_changes *changes, sb_error *err)
{
	static sb_op ops[1024];
	uint64_t count, total = 0, sum = 0;
	double start = now_s(), taken;

	do {
		check(delta->changes_next(changes, 1024, ops, &count, err), err);
		for (uint64_t i = 0; i < count; ++i)
			sum += ops[i].value.ptr[VALUE_BYTES - 1] + ops[i].key.ptr[0];
		total += count;
	} while (count);
	taken = now_s() - start;
	if (sum == 1)
		fputc(' ', stderr); /* keeps the reads */
	printf(", walked %.1f k in %.2f ms, %.1f M/s\n", (double)total / 1e3, taken * 1e3, (double)total / taken / 1e6);
}

static void changes_of(const sb_backend_ops *ops, sb_backend *backend, uint64_t entries, struct batch *b,
		       uint64_t *seed, sb_error *err)
{
	const sb_delta_ops *delta = ops->extension(SB_EXT_DELTA);
	uint64_t mark = new_mark(delta, backend, err);
	sb_changes *changes;
	double start, open_s, log_bytes;

	get_put(ops, backend, entries, CHANGED, b, seed, err);
	log_bytes = stat_of(ops, backend, "log_bytes", err);
	start = wall_s();
	check(delta->changes_open(backend, mark, &changes, err), err);
	open_s = wall_s() - start;
	printf("  100 k changed     changes_open %.1f us, log %.0f kB", open_s * 1e6, log_bytes / 1e3);
	walk_changes(delta, changes, err);
	printf("  with it open      %6.2f M/s\n", get_put(ops, backend, entries, 1000000, b, seed, err) / 1e6);
	delta->changes_close(changes);
	drain(ops, backend, err);
}

static void measure_marks(const sb_backend_ops *ops, sb_backend *backend, uint64_t entries, uint64_t count,
			  struct batch *b, uint64_t *seed, sb_error *err)
{
	const sb_delta_ops *delta = ops->extension(SB_EXT_DELTA);
	double without[ROUNDS], with[ROUNDS];

	for (int i = 0; i < ROUNDS; ++i) {
		delta->release(backend, UINT64_MAX);
		without[i] = get_put(ops, backend, entries, count / 2, b, seed, err);
		with[i] = get_put_marked(ops, backend, entries, count / 2, b, seed, err);
	}
	qsort(without, ROUNDS, sizeof(without[0]), by_value);
	qsort(with, ROUNDS, sizeof(with[0]), by_value);
	printf("  get+put, no mark  %6.2f M/s (%.2f to %.2f)\n  get+put, marked   %6.2f M/s (%.2f to %.2f)\n",
	       without[ROUNDS / 2] / 1e6, without[0] / 1e6, without[ROUNDS - 1] / 1e6, with[ROUNDS / 2] / 1e6,
	       with[0] / 1e6, with[ROUNDS - 1] / 1e6);
	for (int i = 0; i < 3; ++i)
		changes_of(ops, backend, entries, b, seed, err);
	delta->release(backend, UINT64_MAX);
}

static void measure(const sb_backend_ops *ops, sb_backend *backend, uint64_t entries, uint64_t before_bytes,
		    sb_error *err)
{
	struct batch *b = calloc(1, sizeof(*b));
	uint64_t seed = 88172645463325252ull, count = entries < 4000000 ? 2 * entries : 8000000;
	double start = now_s(), rates[ROUNDS], payload = (double)entries * (KEY_BYTES + VALUE_BYTES);
	sb_iter_options range = {.struct_size = sizeof(range)};
	struct walk w = {.ops = ops};
	uint64_t purged;

	fill(ops, backend, entries, b, err);
	printf("%.1f M entries\n  fill              %6.2f M/s\n", (double)entries / 1e6,
	       (double)entries / (now_s() - start) / 1e6);
	printf("  overhead          %6.2f bytes an entry (resident %.2f), load %.2f\n",
	       (stat_of(ops, backend, "memory_bytes", err) - payload) / (double)entries,
	       ((double)(resident_bytes() - before_bytes) - payload) / (double)entries,
	       stat_of(ops, backend, "load", err));
	for (int i = 0; i < ROUNDS; ++i)
		rates[i] = get_put(ops, backend, entries, count, b, &seed, err);
	qsort(rates, ROUNDS, sizeof(rates[0]), by_value);
	printf("  get+put           %6.2f M/s (%.2f to %.2f)\n", rates[ROUNDS / 2] / 1e6, rates[0] / 1e6,
	       rates[ROUNDS - 1] / 1e6);
	measure_marks(ops, backend, entries, count, b, &seed, err);
	check(ops->iter_open(backend, &range, &w.iter, err), err);
	walk(&w);
	printf("  walk alone        %6.2f M/s\n", (double)w.entries / w.seconds / 1e6);
	for (int i = 0; i < 3; ++i) {
		walk_under_writes(ops, backend, entries, b, &seed, err);
		drain(ops, backend, err);
	}
	printf("  after walks       %6.2f M/s, overhead %.2f bytes an entry",
	       get_put(ops, backend, entries, count, b, &seed, err) / 1e6,
	       (stat_of(ops, backend, "memory_bytes", err) - payload) / (double)entries);
	for (uint64_t done = 0; done < 4 * entries; done += 100000)
		check(ops->maintain(backend, 100000, &purged, err), err);
	printf(", %.2f after upkeep\n", (stat_of(ops, backend, "memory_bytes", err) - payload) / (double)entries);
	free(b);
}

int main(int argc, char **argv)
{
	const char *path = argc > 1 ? argv[1] : "build/plugins/libmemory_backend.so";
	uint64_t entries = argc > 2 ? strtoull(argv[2], NULL, 10) : 1000000;
	sb_option_value options[] = {{.is_set = 1}, {.i64 = argc > 3 ? atoi(argv[3]) : 1, .is_set = 1}, {.is_set = 1}};
	sb_host host = {.struct_size = sizeof(host), .abi_major = SB_ABI_MAJOR, .expiry_horizon_ms = no_horizon};
	sb_backend_config config = {.struct_size = sizeof(config),
				    .host = &host,
				    .instance = "backend-0",
				    .dir = ".",
				    .options = options,
				    .option_count = 3};
	sb_error err = {.struct_size = sizeof(err)};
	const sb_plugin *(*entry)(const sb_host *, sb_error *);
	const sb_backend_ops *ops;
	sb_backend *backend;
	void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);

	if (!library) {
		fprintf(stderr, "%s\n", dlerror());
		return 1;
	}
	*(void **)&entry = dlsym(library, "sb_plugin_entry_v1");
	ops = entry(&host, &err)->components[0]->ops;
	check(ops->open(&config, &backend, &err), &err);
	measure(ops, backend, entries, resident_bytes(), &err);
	ops->close(backend);
	return 0;
}
