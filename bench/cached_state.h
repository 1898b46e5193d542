/* SPDX-License-Identifier: Apache-2.0
 *
 * Keyed state behind a cache over the RocksDB backend, as a job has it: one side of bench/rocksdb_cache and all sides of
 * bench/rocksdb_sweep. Seeded events, batches of a job's size, entries of 16-byte keys and 80-byte values; a count
 * beside each key says at the end what every entry must be. Header only, since each program of this folder is one file.
 */
#ifndef BENCH_CACHED_STATE_H
#define BENCH_CACHED_STATE_H

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/slice.h"
#include "cli/bench_keys.h"
#include "io/io.h"
#include "plugin/instance.h"
#include "state/keyed_state.h"

#define BATCH 1024u /* as a job's */
#define VALUE_BYTES 80u
#define CACHED_BYTES 210u /* an entry in the working set, its slots and spare slots included */

struct value {
	uint64_t changes;
	uint8_t rest[VALUE_BYTES - 8];
};

#define VALUE_NOISE_BYTES 16u

/* A part of it does not compress, as names and sums do not. */
static void value_make(struct value *value, uint64_t number)
{
	uint64_t noise = number;

	memset(value, 0, sizeof(*value));
	for (size_t i = 0; i < VALUE_NOISE_BYTES; i += sizeof(noise)) {
		noise = (noise + 1) * UINT64_C(0x9e3779b97f4a7c15);
		noise ^= noise >> 29;
		memcpy(value->rest + i, &noise, sizeof(noise));
	}
}

struct side {
	struct bench_keys keys; /* its own state of the generator: both see the same events */
	uint32_t *changes; /* per key, what must have been counted */
};

struct cached {
	struct side side;
	struct plugin *plugin;
	struct option_set options;
	struct instance *backend;
	struct schema schema;
	struct keyed_state *state;
	_Atomic int64_t horizon_ms;
	sb_event events[BATCH];
	uint64_t hashes[BATCH], numbers[BATCH];
	uint8_t keys[BATCH][BENCH_USER_KEY_BYTES];
};

static struct io io;
static struct clock clock_;
static struct log log_;

static void die(const char *what, const char *why)
{
	fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, why);
	exit(1);
}

static void must(int32_t status, const sb_error *err)
{
	if (status != SB_OK)
		die("failed", err->message);
}

static double now(void)
{
	return (double)clock_monotonic_ns(&clock_) / 1e9;
}

static void side_init(struct side *side, uint64_t keys)
{
	bench_keys_init(&side->keys, keys, 1);
	side->changes = calloc(keys, sizeof(*side->changes));
	if (!side->changes)
		die("counts", "out of memory");
}

/* The directory for everything, below parent; the clock, files and log of both programs. */
static void bench_begin(const char *parent, char *ret_dir, size_t size)
{
	sb_error err = ERROR_INIT;

	io_init_system(&io);
	clock_init_system(&clock_);
	log_ = (struct log){.fd = STDERR_FILENO, .level = SB_LOG_WARN, .clock = &clock_};
	snprintf(ret_dir, size, "%s/%s-%d", parent, program_invocation_short_name, (int)getpid());
	must(io_mkdir_p(&io, ret_dir, &err), &err);
}

static const sb_schema_field changes_field = {
	.struct_size = sizeof(sb_schema_field), .type = SB_TYPE_UINT, .offset = 0, .size = 8, .name = "changes"};
static const sb_schema_field rest_field = {.struct_size = sizeof(sb_schema_field),
					   .type = SB_TYPE_BYTES,
					   .offset = 8,
					   .size = VALUE_BYTES - 8,
					   .name = "rest"};
static const sb_schema_field *const fields[] = {&changes_field, &rest_field};

static void cached_open(struct cached *cached, const char *dir, uint64_t keys, uint64_t cache_bytes,
			const char *const *pairs, uint64_t pair_count)
{
	sb_state state = {.struct_size = sizeof(sb_state),
			  .kind = SB_STATE_STRUCT,
			  .value_size = sizeof(struct value),
			  .name = "bench",
			  .fields = fields,
			  .field_count = 2};
	const struct component shape = {.kind = SB_KIND_OPERATOR, .states = &state, .state_count = 1};
	const struct plugin_env env = {.log = &log_, .clock = &clock_, .horizon_ms = &cached->horizon_ms};
	const struct component *component;
	sb_error err = ERROR_INIT;

	side_init(&cached->side, keys);
	atomic_init(&cached->horizon_ms, INT64_MIN);
	must(plugin_load(&io, "rocksdb", SB_PLUGIN_DIR, &cached->plugin, &err), &err);
	must(plugin_find_component(cached->plugin, SB_KIND_BACKEND, &component, &err), &err);
	must(option_set_parse(component, "-o", pairs, pair_count, &cached->options, &err), &err);
	must(instance_open_backend(component, "backend-0", dir, SB_OPEN_NO_SHORT_ITER, &cached->options, &env,
				   &cached->backend, &err),
	     &err);
	must(schema_from_component(&shape, 0, &cached->schema, &err), &err);
	must(keyed_state_open(&(struct keyed_state_config){.backend = cached->backend,
							   .schema = &cached->schema,
							   .key_groups = KEY_GROUPS_DEFAULT,
							   .cache_bytes = cache_bytes},
			      &cached->state, &err),
	     &err);
}

static void cached_batch(struct cached *cached, uint32_t n)
{
	sb_error err = ERROR_INIT;

	for (uint32_t i = 0; i < n; i++) {
		bench_key_text(cached->numbers[i], cached->keys[i]);
		cached->events[i].key = slice_of(cached->keys[i], BENCH_USER_KEY_BYTES);
		cached->hashes[i] = key_hash(cached->events[i].key);
	}
	must(keyed_state_begin(cached->state, cached->events, cached->hashes, n, &err), &err);
	for (uint32_t i = 0; i < n; i++) {
		int32_t created = 0;
		struct value *value = keyed_state_upsert(cached->state, 0, i, &created);

		if (!value)
			must(keyed_state_failure(cached->state, &err), &err);
		if (created)
			value_make(value, cached->numbers[i]);
		value->changes++;
		cached->side.changes[cached->numbers[i]]++;
	}
	must(keyed_state_end(cached->state, &err), &err);
}

static void cached_draw(struct cached *cached, bool zipf)
{
	for (uint32_t i = 0; i < BATCH; i++)
		cached->numbers[i] = bench_keys_pick(&cached->side.keys, zipf);
	cached_batch(cached, BATCH);
}

static void cached_flush(struct cached *cached)
{
	sb_error err = ERROR_INIT;

	must(keyed_state_flush(cached->state, &err), &err);
}

static void cached_fill(struct cached *cached)
{
	for (uint64_t done = 0; done < cached->side.keys.count;) {
		uint64_t left = cached->side.keys.count - done;
		uint32_t n = left < BATCH ? (uint32_t)left : BATCH;

		for (uint32_t i = 0; i < n; i++)
			cached->numbers[i] = bench_keys_scatter(&cached->side.keys, done + i);
		cached_batch(cached, n);
		done += n;
	}
	cached_flush(cached);
}

static void cached_check(struct cached *cached)
{
	const sb_iter_options all = {.struct_size = sizeof(all)};
	const sb_backend_ops *ops = &cached->backend->component->backend;
	sb_error err = ERROR_INIT;
	uint64_t count = 0, n = 0;
	sb_entry entries[256];
	sb_iter *iter;

	must(ops->iter_open(cached->backend->backend, &all, &iter, &err), &err);
	do {
		must(ops->iter_next(iter, 256, entries, &n, &err), &err);
		for (uint64_t i = 0; i < n; i++) {
			uint64_t number = bench_key_number(composed_user_part(entries[i].key));
			struct value value;

			memcpy(&value, entries[i].value.ptr, sizeof(value));
			if (number >= cached->side.keys.count || value.changes != cached->side.changes[number])
				die("cached", "an entry is not what it must be");
		}
		count += n;
	} while (n);
	ops->iter_close(iter);
	if (count != cached->side.keys.count)
		die("cached", "entries are missing");
}

static void cached_close(struct cached *cached)
{
	keyed_state_close(cached->state);
	instance_close(cached->backend);
	option_set_done(&cached->options);
	schema_done(&cached->schema);
	plugin_free(cached->plugin);
	free(cached->side.changes);
}

#endif
