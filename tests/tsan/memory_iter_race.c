/* SPDX-License-Identifier: Apache-2.0
 *
 * memory_iter_race.c: stable iterators of the memory backend, read and closed on
 * other threads while their owner writes, deletes, grows and sweeps. A plain program, because
 * Criterion aborts under the thread sanitizer; the seed is argv[1] or fixed, and printed.
 *
 * The oracle is an array: entry i has version versions[i], 0 meaning that it is not
 * there. A value repeats its version in every byte and its length depends on it, so
 * a torn or stale one cannot look right. Each reader has the array's copy from the
 * moment of iter_open, and wants to see that and nothing else, each key once.
 */
#include "kit/write_in_place.h"

#include <sb_plugin.h>

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEYS 12000u
#define BATCH 100u
#define READERS 3
#define SNAPSHOTS 40

struct reader {
	const sb_backend_ops *ops;
	sb_iter *iter;
	uint8_t *expected; /* versions at iter_open */
	uint64_t seed;
	pthread_t thread;
	bool busy;
	_Atomic int done;
	int failed;
};

static int64_t horizon(const sb_host *host)
{
	return *(const int64_t *)host->context;
}

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state * UINT64_C(0x2545F4914F6CDD1D);
}

static uint64_t value_len(uint32_t id, uint8_t version)
{
	if (id % 97 == 0)
		return 9000 + version; /* a block of its own */
	return id % 3 ? 24 : 8u + version % 64; /* in place, or now and then in another size */
}

static int64_t expiry_ms(uint32_t id, uint8_t version)
{
	return id % 5 ? 1000 + version : SB_NO_EXPIRY; /* which the horizon never reaches */
}

static bool matches(const struct reader *reader, const sb_entry *entry, uint8_t *seen)
{
	uint8_t version;
	uint32_t id;

	if (entry->key.len != sizeof(id))
		return false;
	memcpy(&id, entry->key.ptr, sizeof(id));
	if (id >= KEYS || seen[id]++)
		return false;
	version = reader->expected[id];
	if (!version || entry->value.len != value_len(id, version) || entry->expiry_ms != expiry_ms(id, version))
		return false;
	for (uint64_t i = 0; i < entry->value.len; ++i) {
		if (entry->value.ptr[i] != version)
			return false;
	}
	return true;
}

static void *read_all(void *arg)
{
	sb_error err = {.struct_size = sizeof(err)};
	uint8_t *seen = calloc(KEYS, 1);
	struct reader *reader = arg;
	sb_entry entries[64];
	uint64_t count, stop = next_random(&reader->seed) % 4 == 0 ? KEYS / 3 : UINT64_MAX, total = 0;

	do {
		uint64_t max = 1 + next_random(&reader->seed) % 64;

		if (reader->ops->iter_next(reader->iter, max, entries, &count, &err) != SB_OK)
			reader->failed = 1;
		for (uint64_t i = 0; i < count; ++i)
			reader->failed |= !matches(reader, &entries[i], seen);
		total += count;
	} while (count && total < stop);
	for (uint32_t id = 0; !count && id < KEYS; ++id)
		reader->failed |= !seen[id] != !reader->expected[id];
	reader->ops->iter_close(reader->iter);
	free(seen);
	atomic_store(&reader->done, 1);
	return NULL;
}

static int write_some(const sb_backend_ops *ops, sb_backend *backend, uint8_t *versions, uint64_t *seed)
{
	static uint8_t bytes[BATCH][9000 + 256];
	sb_error err = {.struct_size = sizeof(err)};
	uint32_t ids[BATCH];
	sb_op batch[BATCH];
	/* Sometimes mostly deletions, so that slabs and blocks of the index are given back. */
	uint64_t delete_share = next_random(seed) % 8 == 0 ? 3 : 20;

	for (uint32_t i = 0; i < BATCH; ++i) {
		ids[i] = (uint32_t)(next_random(seed) % KEYS);
		batch[i] = (sb_op){.key = {(uint8_t *)&ids[i], sizeof(ids[i])}, .kind = SB_OP_DELETE};
		if (next_random(seed) % delete_share == 0) {
			versions[ids[i]] = 0;
			continue;
		}
		versions[ids[i]] = (uint8_t)(versions[ids[i]] % 255 + 1);
		batch[i].kind = SB_OP_PUT;
		batch[i].value = (sb_slice){bytes[i], value_len(ids[i], versions[ids[i]])};
		batch[i].expiry_ms = expiry_ms(ids[i], versions[ids[i]]);
		memset(bytes[i], versions[ids[i]], batch[i].value.len);
	}
	if (next_random(seed) % 2) {
		const struct write_in_place with = {
			.ops = ops, .inplace = ops->extension(SB_EXT_INPLACE), .backend = backend};

		return write_in_place(&with, BATCH, batch) != NULL;
	}
	return ops->write_batch(backend, BATCH, batch, &err);
}

static int finish(struct reader *reader)
{
	if (!reader->busy)
		return 0;
	pthread_join(reader->thread, NULL);
	reader->busy = false;
	free(reader->expected);
	return reader->failed;
}

static int start(struct reader *reader, const sb_backend_ops *ops, sb_backend *backend, const uint8_t *versions,
		 uint64_t *seed)
{
	sb_iter_options range = {.struct_size = sizeof(range)};
	sb_error err = {.struct_size = sizeof(err)};

	reader->ops = ops;
	reader->seed = next_random(seed) | 1;
	reader->failed = 0;
	atomic_store(&reader->done, 0);
	reader->expected = malloc(KEYS);
	if (!reader->expected || ops->iter_open(backend, &range, &reader->iter, &err) != SB_OK)
		return 1;
	memcpy(reader->expected, versions, KEYS);
	reader->busy = !pthread_create(&reader->thread, NULL, read_all, reader);
	return !reader->busy;
}

static int race(const sb_backend_ops *ops, sb_backend *backend, uint64_t seed)
{
	static struct reader readers[READERS];
	uint8_t *versions = calloc(KEYS, 1);
	int failed = 0, snapshots = 0;
	uint64_t purged;

	while (snapshots < SNAPSHOTS && !failed) {
		sb_error err = {.struct_size = sizeof(err)};
		/* A reader alone has old versions put aside for it; of several, most records are moved. */
		struct reader *reader = &readers[next_random(&seed) % (snapshots / 8 % 2 ? READERS : 1)];

		failed |= write_some(ops, backend, versions, &seed) != SB_OK;
		if (next_random(&seed) % 4 == 0)
			failed |= ops->maintain(backend, 500, &purged, &err) != SB_OK;
		if (reader->busy && !atomic_load(&reader->done))
			continue;
		failed |= finish(reader);
		failed |= start(reader, ops, backend, versions, &seed);
		snapshots++;
	}
	for (int i = 0; i < READERS; ++i)
		failed |= finish(&readers[i]);
	free(versions);
	return failed;
}

int main(int argc, char **argv)
{
	uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 20240229;
	int64_t horizon_ms = INT64_MIN;
	sb_host host = {.struct_size = sizeof(host), .context = &horizon_ms, .expiry_horizon_ms = horizon};
	sb_option_value options[3] = {{.is_set = 1}, {.is_set = 1}, {.is_set = 1}};
	sb_backend_config config = {.struct_size = sizeof(config),
				    .host = &host,
				    .instance = "backend-0",
				    .dir = ".",
				    .options = options,
				    .option_count = 3};
	sb_error err = {.struct_size = sizeof(err)};
	void *library = dlopen(SB_PLUGIN_DIR "/libmemory_backend.so", RTLD_NOW | RTLD_LOCAL);
	const sb_plugin *(*entry)(const sb_host *, sb_error *);
	const sb_backend_ops *ops;
	sb_backend *backend;
	int failed;

	if (!library) {
		fprintf(stderr, "%s\n", dlerror());
		return 1;
	}
	*(void **)&entry = dlsym(library, "sb_plugin_entry_v1");
	ops = entry(&host, &err)->components[0]->ops;
	if (ops->open(&config, &backend, &err) != SB_OK)
		return 1;
	failed = race(ops, backend, seed | 1);
	ops->close(backend);
	printf("%s, seed %llu\n", failed ? "FAILED" : "passed", (unsigned long long)seed);
	return failed;
}
