/* SPDX-License-Identifier: Apache-2.0
 *
 * memory_delta_race.c: walks over the changes since a mark of the memory backend, on other threads
 * while their owner writes, deletes, grows, sweeps, marks and releases. A plain program, because Criterion
 * aborts under the thread sanitizer; the seed is argv[1] or fixed, and printed.
 *
 * The oracle is an array: entry i has version versions[i], 0 meaning that it is not there. A value repeats
 * its version in every byte and its length depends on it, so a torn or stale one cannot look right. Each walker
 * has the array's copies from the mark and from changes_open, and wants the changes to lead from one to the other.
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
#define WALKERS 3
#define MARKS 4
#define WALKS 600

struct walker {
	const sb_delta_ops *delta;
	sb_changes *changes;
	uint8_t *content; /* versions at the mark */
	uint8_t *expected; /* versions at changes_open */
	uint64_t seed;
	pthread_t thread;
	bool busy;
	_Atomic int done;
	int failed;
};

struct owner {
	const sb_backend_ops *ops;
	const sb_delta_ops *delta;
	sb_backend *backend;
	uint64_t seed;
	uint8_t versions[KEYS];
	uint64_t marks[MARKS]; /* 0: none */
	uint8_t marked[MARKS][KEYS];
	struct walker walkers[WALKERS];
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

static uint64_t random_below(uint64_t *state, uint64_t bound)
{
	return (next_random(state) >> 32) % bound;
}

static uint64_t value_len(uint32_t id, uint8_t version)
{
	if (id % 97 == 0)
		return 9000 + version; /* a block of its own */
	return id % 3 ? 24 : 8u + version % 64; /* in place, or now and then in another size */
}

/* --- on the walkers' threads --- */

static bool apply(struct walker *walker, const sb_op *op)
{
	uint8_t version = 0;
	uint32_t id;

	if (op->key.len != sizeof(id))
		return false;
	memcpy(&id, op->key.ptr, sizeof(id));
	if (id >= KEYS)
		return false;
	if (op->kind == SB_OP_PUT) {
		version = op->value.ptr[0];
		if (!version || op->value.len != value_len(id, version))
			return false;
	}
	for (uint64_t i = 0; i < op->value.len; ++i) {
		if (op->value.ptr[i] != version)
			return false;
	}
	walker->content[id] = version;
	return true;
}

static void *walk(void *arg)
{
	sb_error err = {.struct_size = sizeof(err)};
	struct walker *walker = arg;
	uint64_t count, stop = random_below(&walker->seed, 8) ? UINT64_MAX : 50, total = 0;
	sb_op ops[64];

	do {
		uint64_t max = 1 + random_below(&walker->seed, 64);

		if (walker->delta->changes_next(walker->changes, max, ops, &count, &err) != SB_OK)
			walker->failed = 1;
		for (uint64_t i = 0; i < count; ++i)
			walker->failed |= !apply(walker, &ops[i]);
		total += count;
	} while (count && total < stop);
	if (!count)
		walker->failed |= memcmp(walker->content, walker->expected, KEYS) != 0;
	walker->delta->changes_close(walker->changes);
	atomic_store(&walker->done, 1);
	return NULL;
}

/* --- on the owner's thread --- */

static int write_some(struct owner *o)
{
	static uint8_t bytes[BATCH][9000 + 256];
	sb_error err = {.struct_size = sizeof(err)};
	uint32_t ids[BATCH];
	sb_op batch[BATCH];
	/* Sometimes mostly deletions, so that slabs and blocks of the index are given back. */
	uint64_t delete_share = random_below(&o->seed, 8) ? 20 : 3;
	uint32_t range = random_below(&o->seed, 2) ? KEYS : KEYS / 20;

	for (uint32_t i = 0; i < BATCH; ++i) {
		uint8_t *version;

		ids[i] = (uint32_t)random_below(&o->seed, range);
		version = &o->versions[ids[i]];
		batch[i] = (sb_op){.key = {(uint8_t *)&ids[i], sizeof(ids[i])}, .kind = SB_OP_DELETE};
		if (random_below(&o->seed, delete_share) == 0) {
			*version = 0;
			continue;
		}
		*version = (uint8_t)(*version % 255 + 1);
		batch[i].kind = SB_OP_PUT;
		batch[i].value = (sb_slice){bytes[i], value_len(ids[i], *version)};
		memset(bytes[i], *version, batch[i].value.len);
	}
	if (random_below(&o->seed, 2)) {
		const struct write_in_place with = {
			.ops = o->ops, .inplace = o->ops->extension(SB_EXT_INPLACE), .backend = o->backend};

		return write_in_place(&with, BATCH, batch) != NULL;
	}
	return o->ops->write_batch(o->backend, BATCH, batch, &err) != SB_OK;
}

static int mark_some(struct owner *o)
{
	uint64_t slot = random_below(&o->seed, MARKS);
	sb_error err = {.struct_size = sizeof(err)};

	if (!o->marks[slot]) {
		memcpy(o->marked[slot], o->versions, KEYS);
		return o->delta->mark(o->backend, &o->marks[slot], &err) != SB_OK;
	}
	o->delta->release(o->backend, o->marks[slot]);
	for (int i = 0; i < MARKS; ++i) {
		if (o->marks[i] < o->marks[slot])
			o->marks[i] = 0;
	}
	if (random_below(&o->seed, 2))
		o->marks[slot] = 0;
	return 0;
}

static int finish(struct walker *walker)
{
	if (!walker->busy)
		return 0;
	pthread_join(walker->thread, NULL);
	walker->busy = false;
	free(walker->content);
	free(walker->expected);
	return walker->failed;
}

/* *ret_started 0: the mark is forgotten. */
static int start(struct owner *o, struct walker *walker, uint64_t slot, int *ret_started)
{
	sb_error err = {.struct_size = sizeof(err)};
	int32_t status = o->delta->changes_open(o->backend, o->marks[slot], &walker->changes, &err);

	*ret_started = 0;
	if (status == SB_ERR_NOT_FOUND) {
		o->marks[slot] = 0;
		return 0;
	}
	if (status != SB_OK)
		return 1;
	walker->delta = o->delta;
	walker->seed = next_random(&o->seed) | 1;
	walker->failed = 0;
	atomic_store(&walker->done, 0);
	walker->content = malloc(KEYS);
	walker->expected = malloc(KEYS);
	if (!walker->content || !walker->expected)
		return 1;
	memcpy(walker->content, o->marked[slot], KEYS);
	memcpy(walker->expected, o->versions, KEYS);
	walker->busy = !pthread_create(&walker->thread, NULL, walk, walker);
	*ret_started = 1;
	return !walker->busy;
}

static int race(struct owner *o)
{
	int failed = 0, walks = 0;

	while (walks < WALKS && !failed) {
		struct walker *walker = &o->walkers[random_below(&o->seed, WALKERS)];
		uint64_t slot = random_below(&o->seed, MARKS), purged;
		sb_error err = {.struct_size = sizeof(err)};
		int started;

		failed |= write_some(o);
		if (random_below(&o->seed, 4) == 0)
			failed |= o->ops->maintain(o->backend, 500, &purged, &err) != SB_OK;
		if (random_below(&o->seed, 4) == 0)
			failed |= mark_some(o);
		if (!o->marks[slot] || (walker->busy && !atomic_load(&walker->done)))
			continue;
		failed |= finish(walker);
		failed |= start(o, walker, slot, &started);
		walks += started;
	}
	for (int i = 0; i < WALKERS; ++i)
		failed |= finish(&o->walkers[i]);
	return failed;
}

int main(int argc, char **argv)
{
	static struct owner owner;
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
	uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 20240229;
	int failed;

	if (!library) {
		fprintf(stderr, "%s\n", dlerror());
		return 1;
	}
	*(void **)&entry = dlsym(library, "sb_plugin_entry_v1");
	owner.ops = entry(&host, &err)->components[0]->ops;
	owner.delta = owner.ops->extension(SB_EXT_DELTA);
	owner.seed = seed | 1;
	if (!owner.delta || owner.ops->open(&config, &owner.backend, &err) != SB_OK)
		return 1;
	failed = race(&owner);
	owner.ops->close(owner.backend);
	printf("%s, seed %llu\n", failed ? "FAILED" : "passed", (unsigned long long)seed);
	return failed;
}
