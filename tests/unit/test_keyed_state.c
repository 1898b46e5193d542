/* Keyed state over real backends and over a plain one that fails on demand, against a plain map.
 *
 * The model keeps composed keys, made here from the description in composed_key.h and not by the code
 * under test. What has expired stays in it: a backend may purge it or not. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/slice.h"
#include "kit/model.h"
#include "state/keyed_state.h"
#include "state/keyed_state_private.h"
#include "support/plain_backend.h"
#include "support/rng.h"
#include "support/rocksdb.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define KEY_GROUPS 128u
#define BATCH_MAX 48u

/* A raw state in front, so that struct states' columns are not their indexes; ids in no order. */
enum { NOTES, PROFILE, FLAG, LOGS, STATES };

static int64_t default_level = 7;
static uint8_t default_mark[3] = {1, 2, 3};
static char field_count[] = "count", field_level[] = "level", field_mark[] = "mark";
static struct schema_field profile_fields[] = {
	{.name = field_count, .type = SB_TYPE_I64, .offset = 0, .size = 8},
	{.name = field_level, .type = SB_TYPE_I64, .offset = 8, .size = 8, .default_value = (uint8_t *)&default_level},
	{.name = field_mark, .type = SB_TYPE_BYTES, .offset = 16, .size = 3, .default_value = default_mark},
};
static char name_notes[] = "notes", name_profile[] = "profile", name_flag[] = "flag", name_logs[] = "logs";
static struct schema_state states[] = {
	[NOTES] = {.name = name_notes, .id = 300, .kind = SB_STATE_RAW, .ttl_ms = 50},
	[PROFILE] = {.name = name_profile,
		     .id = 5,
		     .kind = SB_STATE_STRUCT,
		     .value_size = 24,
		     .ttl_ms = 100,
		     .fields = profile_fields,
		     .field_count = LENGTH(profile_fields)},
	[FLAG] = {.name = name_flag, .id = 0, .kind = SB_STATE_STRUCT, .value_size = 1},
	[LOGS] = {.name = name_logs, .id = 2, .kind = SB_STATE_RAW},
};
static const struct schema schema = {.states = states, .count = STATES};

static struct io io;
static struct clock system_clock;
static struct log silent;
static sb_error err = ERROR_INIT;
static _Atomic int64_t horizon_ms;
static const struct plugin_env env = {.log = &silent, .clock = &system_clock, .horizon_ms = &horizon_ms};
static char directory[64];

/* What is under test, and the map beside it. */
static struct plugin *plugin;
static struct component plain;
static struct option_set options;
static struct instance *backend;
static struct keyed_state *ks;
static struct write_hold hold;
static struct model model;
static bool backend_empty; /* as keyed state is told */

/* The batch at hand. */
static sb_event events[BATCH_MAX];
static uint64_t hashes[BATCH_MAX];
static uint64_t batch;

static void set_up(void)
{
	io_init_system(&io);
	clock_init_system(&system_clock);
	atomic_store(&horizon_ms, INT64_MIN);
	write_hold_init(&hold);
	strcpy(directory, "/tmp/sbhost-keyed-XXXXXX");
	cr_assert_not_null(mkdtemp(directory));
	model_init(&model);
}

static void close_all(void)
{
	keyed_state_close(ks);
	instance_close(backend);
	option_set_done(&options);
	plugin_free(plugin);
	ks = NULL;
	backend = NULL;
	plugin = NULL;
}

static void tear_down(void)
{
	close_all();
	model_done(&model);
	write_hold_done(&hold);
	cr_assert_eq(io_remove_tree(&io, directory, &err), SB_OK, "%s", err.message);
}

TestSuite(keyed_state, .init = set_up, .fini = tear_down, .timeout = 60);

static void open_state(const struct component *component, uint64_t cache_bytes)
{
	struct keyed_state_config config = {.schema = &schema,
					    .key_groups = KEY_GROUPS,
					    .backend_empty = backend_empty,
					    .cache_bytes = cache_bytes,
					    .hold = &hold};

	cr_assert_eq(instance_open_backend(component, "backend-0", directory, 0, &options, &env, &backend, &err), SB_OK,
		     "%s", err.message);
	config.backend = backend;
	cr_assert_eq(keyed_state_open(&config, &ks, &err), SB_OK, "%s", err.message);
}

static void open_plugin(const char *name, uint64_t cache_bytes)
{
	const struct component *component;

	cr_assert_eq(plugin_load(&io, name, SB_PLUGIN_DIR, &plugin, &err), SB_OK, "%s", err.message);
	cr_assert_eq(plugin_find_component(plugin, SB_KIND_BACKEND, &component, &err), SB_OK, "%s", err.message);
	cr_assert_eq(option_set_parse(component, "--backend-opt", NULL, 0, &options, &err), SB_OK, "%s", err.message);
	open_state(component, cache_bytes);
}

static void open_plain(uint64_t cache_bytes)
{
	plain_backend_component(&plain, SB_BACKEND_ORDERED);
	open_state(&plain, cache_bytes);
}

static void set_event(uint64_t event, sb_slice key, int64_t clock_ms)
{
	events[event] = (sb_event){.key = key, .clock_ms = clock_ms};
	hashes[event] = key_hash(key);
}

static int32_t begin(uint64_t n)
{
	batch = n;
	return keyed_state_begin(ks, events, hashes, n, &err);
}

static void must_begin(uint64_t n)
{
	cr_assert_eq(begin(n), SB_OK, "%s", err.message);
}

static void must_end(void)
{
	cr_assert_eq(keyed_state_end(ks, &err), SB_OK, "%s", err.message);
}

static void must_flush(void)
{
	cr_assert_eq(keyed_state_flush(ks, &err), SB_OK, "%s", err.message);
}

/* --- the reference ------------------------------------------------------------ */

struct composed {
	uint8_t bytes[128];
	uint64_t len;
};

static void put(struct composed *composed, uint8_t byte)
{
	cr_assert_lt(composed->len, sizeof(composed->bytes));
	composed->bytes[composed->len++] = byte;
}

static struct composed compose(uint32_t state, uint64_t event, sb_slice sub_key)
{
	uint64_t group = (uint64_t)(((unsigned __int128)(hashes[event] >> 32) * KEY_GROUPS) >> 32);
	struct composed composed = {.len = 0};

	put(&composed, (uint8_t)(group >> 8));
	put(&composed, (uint8_t)group);
	put(&composed, (uint8_t)(states[state].id >> 8));
	put(&composed, (uint8_t)states[state].id);
	for (uint64_t i = 0; i < events[event].key.len; i++) {
		put(&composed, events[event].key.ptr[i]);
		if (states[state].kind == SB_STATE_RAW && events[event].key.ptr[i] == 0)
			put(&composed, 0xff);
	}
	if (states[state].kind == SB_STATE_STRUCT)
		return composed;
	put(&composed, 0);
	put(&composed, 1);
	for (uint64_t i = 0; i < sub_key.len; i++)
		put(&composed, sub_key.ptr[i]);
	return composed;
}

static sb_slice slice_of_composed(const struct composed *composed)
{
	return slice_of(composed->bytes, composed->len);
}

static bool is_live(const struct model_entry *entry, int64_t clock_ms)
{
	return entry && (entry->expiry_ms == 0 || entry->expiry_ms > clock_ms);
}

static int64_t expiry_of(int64_t clock_ms, int64_t ttl_ms)
{
	return ttl_ms ? clock_ms + ttl_ms : 0;
}

static void initial_value(uint32_t state, uint8_t *value)
{
	memset(value, 0, states[state].value_size);
	if (state == PROFILE) {
		memcpy(value + 8, &default_level, 8);
		memcpy(value + 16, default_mark, 3);
	}
}

/* --- random operations -------------------------------------------------------- */

struct walk {
	struct rng rng;
	int64_t clock_ms;
	struct held { /* struct values that this batch may still change through its pointer */
		uint8_t *at;
		struct composed key;
		uint32_t size;
	} held[BATCH_MAX * 8];
	uint32_t held_count;
};

static const sb_slice no_sub_key;

static sb_slice pick_key(struct walk *walk)
{
	/* Zero bytes, prefixes of each other, what looks like an end mark, the empty key. */
	static const char *const odd[] = {"", "\0", "\0\0", "\0\1", "a", "a\0", "a\0\1", "a\0\xff", "ab", "\xff\xff"};
	static const uint8_t odd_len[] = {0, 1, 2, 2, 1, 2, 3, 3, 2, 2};
	static char names[200][8];
	uint64_t i = rng_below(&walk->rng, LENGTH(odd) + LENGTH(names));

	if (i < LENGTH(odd))
		return slice_of(i ? odd[i] : NULL, odd_len[i]);
	i -= LENGTH(odd);
	snprintf(names[i], sizeof(names[i]), "k%u", (unsigned)i);
	return slice_of_text(names[i]);
}

static sb_slice pick_sub_key(struct walk *walk, uint8_t *bytes)
{
	static const uint8_t alphabet[] = {0, 1, 'a', 0xff};
	uint64_t len = rng_below(&walk->rng, 4);

	for (uint64_t i = 0; i < len; i++)
		bytes[i] = alphabet[rng_below(&walk->rng, sizeof(alphabet))];
	return slice_of(bytes, len);
}

static struct model_entry *modelled(uint32_t state, uint64_t event, sb_slice sub_key)
{
	struct composed key = compose(state, event, sub_key);

	return model_find(&model, slice_of_composed(&key));
}

/* Changes a struct through a pointer that upsert gave out, now or earlier in this batch. */
static void scribble(struct walk *walk, struct held *held)
{
	struct model_entry *entry = model_find(&model, slice_of_composed(&held->key));

	cr_assert(entry && slice_equal(entry->value, slice_of(held->at, held->size)), "seed %llu",
		  (unsigned long long)walk->rng.seed);
	held->at[rng_below(&walk->rng, held->size)] = (uint8_t)rng_next(&walk->rng);
	memcpy((uint8_t *)entry->value.ptr, held->at, held->size);
}

static void forget_held(struct walk *walk, const struct composed *key)
{
	for (uint32_t i = 0; i < walk->held_count;) {
		if (slice_equal(slice_of_composed(&walk->held[i].key), slice_of_composed(key)))
			walk->held[i] = walk->held[--walk->held_count];
		else
			i++;
	}
}

static void do_upsert(struct walk *walk, uint32_t state, uint64_t event)
{
	const struct model_entry *before = modelled(state, event, no_sub_key);
	const bool live = is_live(before, events[event].clock_ms);
	struct held held = {.key = compose(state, event, no_sub_key), .size = states[state].value_size};
	uint8_t value[24];
	int32_t created = -1;

	if (live)
		memcpy(value, before->value.ptr, held.size);
	else
		initial_value(state, value);
	held.at = keyed_state_upsert(ks, state, event, rng_chance(&walk->rng, 90) ? &created : NULL);
	cr_assert_not_null(held.at);
	cr_assert_eq((uintptr_t)held.at % 16, 0);
	cr_assert(created == -1 || created == !live, "seed %llu", (unsigned long long)walk->rng.seed);
	cr_assert_arr_eq(held.at, value, held.size, "seed %llu", (unsigned long long)walk->rng.seed);
	model_put(&model, slice_of_composed(&held.key), slice_of(value, held.size),
		  expiry_of(events[event].clock_ms, states[state].ttl_ms));
	scribble(walk, &held);
	if (walk->held_count < LENGTH(walk->held))
		walk->held[walk->held_count++] = held;
}

static void do_peek(struct walk *walk, uint32_t state, uint64_t event)
{
	const struct model_entry *entry = modelled(state, event, no_sub_key);
	const void *value = keyed_state_peek(ks, state, event);

	cr_assert_eq(value != NULL, is_live(entry, events[event].clock_ms), "seed %llu",
		     (unsigned long long)walk->rng.seed);
	if (value)
		cr_assert_arr_eq(value, entry->value.ptr, entry->value.len);
}

static void do_delete(struct walk *walk, uint32_t state, uint64_t event)
{
	struct composed key = compose(state, event, no_sub_key);

	cr_assert_eq(keyed_state_delete(ks, state, event), SB_OK);
	model_delete(&model, slice_of_composed(&key));
	forget_held(walk, &key);
}

static void do_raw_put(struct walk *walk, uint32_t state, uint64_t event)
{
	static const int64_t ttls[] = {SB_TTL_JOB, SB_TTL_NONE, 1, 200};
	uint8_t sub_bytes[4], bytes[300];
	sb_slice sub_key = pick_sub_key(walk, sub_bytes);
	struct composed key = compose(state, event, sub_key);
	uint64_t len = rng_chance(&walk->rng, 20) ? 0 : rng_below(&walk->rng, sizeof(bytes));
	int64_t ttl_ms = ttls[rng_below(&walk->rng, LENGTH(ttls))];

	rng_bytes(&walk->rng, bytes, len);
	cr_assert_eq(keyed_state_raw_put(ks, state, event, sub_key, slice_of(len ? bytes : NULL, len), ttl_ms), SB_OK);
	model_put(&model, slice_of_composed(&key), slice_of(bytes, len),
		  expiry_of(events[event].clock_ms, ttl_ms == SB_TTL_JOB ? states[state].ttl_ms : ttl_ms));
}

static void do_raw_get(struct walk *walk, uint32_t state, uint64_t event)
{
	uint8_t sub_bytes[4];
	sb_slice sub_key = pick_sub_key(walk, sub_bytes);
	const struct model_entry *entry = modelled(state, event, sub_key);
	sb_slice value;
	int32_t found = -1;

	cr_assert_eq(keyed_state_raw_get(ks, state, event, sub_key, &value, &found), SB_OK);
	cr_assert_eq(found, is_live(entry, events[event].clock_ms), "seed %llu", (unsigned long long)walk->rng.seed);
	if (found)
		cr_assert(slice_equal(value, entry->value));
}

static void do_raw_delete(struct walk *walk, uint32_t state, uint64_t event)
{
	uint8_t sub_bytes[4];
	sb_slice sub_key = pick_sub_key(walk, sub_bytes);
	struct composed key = compose(state, event, sub_key);

	cr_assert_eq(keyed_state_raw_delete(ks, state, event, sub_key), SB_OK);
	model_delete(&model, slice_of_composed(&key));
}

struct scan {
	uint32_t state;
	uint64_t event;
	uint64_t found;
};

static int32_t check_scanned(void *arg, sb_slice sub_key, sb_slice value)
{
	struct scan *scan = arg;
	struct model_entry *entry = modelled(scan->state, scan->event, sub_key);

	cr_assert(is_live(entry, events[scan->event].clock_ms));
	cr_assert(slice_equal(entry->value, value));
	cr_assert(!entry->seen, "a sub-key came twice");
	entry->seen = true;
	scan->found++;
	return SB_OK;
}

static bool starts_with(sb_slice bytes, const struct composed *prefix)
{
	return bytes.len >= prefix->len && memcmp(bytes.ptr, prefix->bytes, prefix->len) == 0;
}

static void do_scan(struct walk *walk, uint32_t state, uint64_t event)
{
	struct scan scan = {.state = state, .event = event};
	uint8_t sub_bytes[4];
	sb_slice prefix = pick_sub_key(walk, sub_bytes);
	struct composed composed = compose(state, event, prefix);
	uint64_t expected = 0;

	for (size_t i = 0; i < model.count; i++) {
		model.entries[i].seen = false;
		expected += starts_with(model.entries[i].key, &composed) &&
			    is_live(&model.entries[i], events[event].clock_ms);
	}
	cr_assert_eq(keyed_state_raw_scan(ks, state, event, prefix, check_scanned, &scan), SB_OK);
	cr_assert_eq(scan.found, expected, "seed %llu", (unsigned long long)walk->rng.seed);
}

static void do_something(struct walk *walk, uint64_t event)
{
	uint32_t structs = rng_chance(&walk->rng, 70) ? PROFILE : FLAG;
	uint32_t raws = rng_chance(&walk->rng, 50) ? NOTES : LOGS;

	switch (rng_below(&walk->rng, 16)) {
	case 0:
	case 1:
	case 2:
	case 3:
	case 4:
		do_upsert(walk, structs, event);
		break;
	case 5:
	case 6:
		do_peek(walk, structs, event);
		break;
	case 7:
		do_delete(walk, structs, event);
		break;
	case 8:
	case 9:
	case 10:
		do_raw_put(walk, raws, event);
		break;
	case 11:
	case 12:
		do_raw_get(walk, raws, event);
		break;
	case 13:
		do_raw_delete(walk, raws, event);
		break;
	case 14:
		do_scan(walk, raws, event);
		break;
	default:
		if (walk->held_count)
			scribble(walk, &walk->held[rng_below(&walk->rng, walk->held_count)]);
	}
}

static void do_batch(struct walk *walk)
{
	uint64_t n = 1 + rng_below(&walk->rng, BATCH_MAX);

	for (uint64_t i = 0; i < n; i++) {
		if (rng_chance(&walk->rng, 30))
			walk->clock_ms += (int64_t)rng_below(&walk->rng, 20);
		/* Now and then the key of the event before. */
		set_event(i, i && rng_chance(&walk->rng, 20) ? events[i - 1].key : pick_key(walk), walk->clock_ms);
	}
	must_begin(n);
	walk->held_count = 0;
	for (uint64_t i = 0; i < n; i++)
		for (uint64_t times = rng_below(&walk->rng, 4); times; times--)
			do_something(walk, i);
	must_end();
}

/* Everything in the backend is expected, and everything expected that is live is in the backend. */
static void compare_backend(const struct model *expected, int64_t clock_ms, uint64_t seed)
{
	const sb_backend_ops *ops = &backend->component->backend;
	const sb_iter_options all = {.struct_size = sizeof(all)};
	uint64_t live = 0, n;
	sb_entry entries[16];
	sb_iter *iter;

	cr_assert_eq(ops->iter_open(backend->backend, &all, &iter, &err), SB_OK, "%s", err.message);
	do {
		cr_assert_eq(ops->iter_next(iter, LENGTH(entries), entries, &n, &err), SB_OK, "%s", err.message);
		for (uint64_t i = 0; i < n; i++) {
			const struct model_entry *entry = model_find(expected, entries[i].key);

			cr_assert_not_null(entry, "seed %llu: a deleted entry", (unsigned long long)seed);
			cr_assert_eq(entry->expiry_ms, entries[i].expiry_ms, "seed %llu", (unsigned long long)seed);
			cr_assert(slice_equal(entry->value, entries[i].value), "seed %llu", (unsigned long long)seed);
			live += is_live(entry, clock_ms);
		}
	} while (n);
	ops->iter_close(iter);
	for (size_t i = 0; i < expected->count; i++)
		live -= is_live(&expected->entries[i], clock_ms);
	cr_assert_eq(live, 0, "seed %llu: entries are missing", (unsigned long long)seed);
}

static void purge(const struct walk *walk)
{
	uint64_t purged;
	int32_t status;

	atomic_store(&horizon_ms, walk->clock_ms);
	status = backend->component->backend.maintain(backend->backend, 100, &purged, &err);
	cr_assert(status == SB_OK || status == SB_ERR_UNSUPPORTED, "%s", err.message);
}

static void compare_with_model(uint64_t own_seed, int batches)
{
	struct walk walk = {.clock_ms = 1000};
	struct keyed_state_stats stats;

	rng_init(&walk.rng, rng_test_seed(own_seed));
	for (int i = 0; i < batches; i++) {
		do_batch(&walk);
		if (rng_chance(&walk.rng, 30))
			purge(&walk);
		if (rng_chance(&walk.rng, 20)) {
			must_flush();
			keyed_state_get_stats(ks, &stats);
			cr_assert_eq(stats.dirty_entries, 0);
			compare_backend(&model, walk.clock_ms, walk.rng.seed);
		}
	}
	must_flush();
	compare_backend(&model, walk.clock_ms, walk.rng.seed);
}

Test(keyed_state, equals_a_map_over_the_memory_backend_without_a_cache)
{
	open_plugin("memory", 0);
	compare_with_model(1, 150);
}

Test(keyed_state, equals_a_map_over_the_memory_backend_with_a_tiny_cache)
{
	open_plugin("memory", 4096);
	compare_with_model(2, 150);
}

Test(keyed_state, equals_a_map_over_the_memory_backend_with_a_large_cache)
{
	open_plugin("memory", 64 << 20);
	compare_with_model(3, 150);
}

Test(keyed_state, equals_a_map_over_rocksdb_without_a_cache)
{
	NEED_ROCKSDB();
	open_plugin("rocksdb", 0);
	compare_with_model(4, 100);
}

Test(keyed_state, equals_a_map_over_rocksdb_with_a_tiny_cache)
{
	NEED_ROCKSDB();
	open_plugin("rocksdb", 4096);
	compare_with_model(5, 100);
}

Test(keyed_state, equals_a_map_over_rocksdb_with_a_large_cache)
{
	NEED_ROCKSDB();
	open_plugin("rocksdb", 64 << 20);
	compare_with_model(6, 100);
}

Test(keyed_state, equals_a_map_over_a_plain_backend_with_every_cache)
{
	/* 12 KiB is a little more than the smallest table: some entries stay, some go. */
	static const uint64_t caches[] = {0, 4096, 12 << 10, 24 << 10, 64 << 10, 64 << 20};

	for (size_t i = 0; i < 2 * LENGTH(caches); i++) {
		backend_empty = i % 2;
		open_plain(caches[i / 2]);
		compare_with_model(7 + i / 2, 150);
		model_clear(&model);
		close_all();
	}
	cr_assert_eq(plain_control.overlapping, 0);
}

/* --- barriers ----------------------------------------------------------------- */

struct cut {
	struct model model; /* at the barrier */
	int64_t clock_ms;
	bool is_open;
};

static void take_cut(struct cut *cut, const struct walk *walk)
{
	model_done(&cut->model);
	model_copy_range(&model, no_sub_key, no_sub_key, &cut->model);
	cut->clock_ms = walk->clock_ms;
	cut->is_open = true;
	keyed_state_freeze(ks);
}

/* A slice of the thaw; and when it is through, now and then, the view. */
static void go_on(struct cut *cut, struct walk *walk, uint64_t slice_max)
{
	const uint64_t before = keyed_state_frozen(ks);
	const uint64_t slice = rng_below(&walk->rng, slice_max + 1);

	cr_assert_eq(keyed_state_thaw(ks, slice, &err), SB_OK, "%s", err.message);
	cr_assert_eq(before - keyed_state_frozen(ks), slice < before ? slice : before);
	if (keyed_state_frozen(ks) || !rng_chance(&walk->rng, 60))
		return;
	compare_backend(&cut->model, cut->clock_ms, walk->rng.seed);
	keyed_state_release(ks);
	cut->is_open = false;
}

/* Purges only between cuts: the horizon stands still while one is read. */
static void compare_cuts(uint64_t own_seed, int batches, uint64_t slice_max)
{
	struct walk walk = {.clock_ms = 1000};
	struct cut cut = {0};
	int cuts = 0;

	model_init(&cut.model);
	rng_init(&walk.rng, rng_test_seed(own_seed));
	for (int i = 0; i < batches || cut.is_open; i++) {
		do_batch(&walk);
		if (cut.is_open)
			go_on(&cut, &walk, slice_max);
		else if (rng_chance(&walk.rng, 30))
			purge(&walk);
		if (!cut.is_open && rng_chance(&walk.rng, 40)) {
			take_cut(&cut, &walk);
			cuts++;
		}
	}
	cr_assert_geq(cuts, 2, "seed %llu", (unsigned long long)walk.rng.seed);
	must_flush();
	compare_backend(&model, walk.clock_ms, walk.rng.seed);
	model_done(&cut.model);
}

Test(keyed_state, backend_has_the_state_of_the_barrier_when_it_has_thawed)
{
	static const uint64_t caches[] = {0, 4096, 24 << 10, 64 << 10, 64 << 20};
	static const uint64_t slices[] = {3, 20, 5000};

	for (size_t i = 0; i < LENGTH(caches); i++) {
		for (size_t j = 0; j < LENGTH(slices); j++) {
			open_plain(caches[i]);
			compare_cuts(100 + 10 * i + j, 200, slices[j]);
			model_clear(&model);
			close_all();
		}
	}
}

Test(keyed_state, unordered_backend_has_the_state_of_the_barrier_when_it_has_thawed)
{
	open_plugin("memory", 24 << 10);
	compare_cuts(150, 400, 20);
}

Test(keyed_state, rocksdb_has_the_state_of_the_barrier_when_it_has_thawed)
{
	NEED_ROCKSDB();
	open_plugin("rocksdb", 24 << 10);
	compare_cuts(151, 300, 20);
}

/* --- single promises ---------------------------------------------------------- */

static void begin_one(const char *key, int64_t clock_ms)
{
	set_event(0, slice_of_text(key), clock_ms);
	must_begin(1);
}

static const struct model_entry *stored(uint32_t state, sb_slice sub_key)
{
	struct composed key = compose(state, 0, sub_key);

	return model_find(plain_backend_model(backend), slice_of_composed(&key));
}

Test(keyed_state, new_struct_has_the_defaults_of_its_fields)
{
	uint8_t expected[24];
	int32_t created = 0;
	void *value;

	open_plain(0);
	begin_one("a", 1);
	value = keyed_state_upsert(ks, PROFILE, 0, &created);
	initial_value(PROFILE, expected);
	cr_assert_eq(created, 1);
	cr_assert_arr_eq(value, expected, sizeof(expected));
}

Test(keyed_state, struct_deleted_and_made_anew_in_one_batch_is_created)
{
	int32_t created = 0;
	uint8_t *value;

	open_plain(0);
	begin_one("a", 1);
	*(uint8_t *)keyed_state_upsert(ks, FLAG, 0, NULL) = 9;
	cr_assert_eq(keyed_state_delete(ks, FLAG, 0), SB_OK);
	cr_assert_null(keyed_state_peek(ks, FLAG, 0));
	value = keyed_state_upsert(ks, FLAG, 0, &created);
	cr_assert_eq(created, 1);
	cr_assert_eq(*value, 0);
}

Test(keyed_state, events_of_one_key_in_a_batch_share_one_entry)
{
	open_plain(0);
	for (uint64_t i = 0; i < 3; i++)
		set_event(i, slice_of_text("same"), 1);
	must_begin(3);
	*(uint8_t *)keyed_state_upsert(ks, FLAG, 0, NULL) = 5;
	cr_assert_eq(*(const uint8_t *)keyed_state_peek(ks, FLAG, 2), 5);
	cr_assert_eq(keyed_state_delete(ks, FLAG, 1), SB_OK);
	cr_assert_null(keyed_state_peek(ks, FLAG, 0));
	must_end();
}

Test(keyed_state, struct_changed_through_its_pointer_after_a_scan_is_kept)
{
	struct scan ignored = {.state = NOTES};
	uint8_t *value;

	open_plain(0);
	begin_one("a", 1);
	value = keyed_state_upsert(ks, FLAG, 0, NULL);
	cr_assert_eq(keyed_state_raw_scan(ks, NOTES, 0, no_sub_key, check_scanned, &ignored), SB_OK);
	*value = 42;
	must_end();
	cr_assert_eq(stored(FLAG, no_sub_key)->value.ptr[0], 42);
}

Test(keyed_state, scan_sees_the_writes_of_its_own_batch)
{
	struct scan scan = {.state = LOGS};
	struct composed key;

	open_plain(64 << 20);
	begin_one("a", 1);
	key = compose(LOGS, 0, slice_of_text("x"));
	model_put(&model, slice_of_composed(&key), slice_of_text("value"), 0);
	cr_assert_eq(keyed_state_raw_put(ks, LOGS, 0, slice_of_text("x"), slice_of_text("value"), SB_TTL_JOB), SB_OK);
	cr_assert_eq(keyed_state_raw_put(ks, LOGS, 0, slice_of_text("y"), slice_of_text("gone"), SB_TTL_JOB), SB_OK);
	cr_assert_eq(keyed_state_raw_delete(ks, LOGS, 0, slice_of_text("y")), SB_OK);
	cr_assert_eq(keyed_state_raw_scan(ks, LOGS, 0, no_sub_key, check_scanned, &scan), SB_OK);
	cr_assert_eq(scan.found, 1);
}

static int32_t stop_at_second(void *arg, sb_slice sub_key, sb_slice value)
{
	(void)sub_key;
	(void)value;
	return ++*(int *)arg == 2 ? 77 : SB_OK;
}

Test(keyed_state, status_of_a_scan_function_ends_the_scan_and_is_no_failure)
{
	int calls = 0;

	open_plain(0);
	begin_one("a", 1);
	for (uint8_t i = 0; i < 5; i++)
		cr_assert_eq(keyed_state_raw_put(ks, LOGS, 0, slice_of(&i, 1), no_sub_key, SB_TTL_JOB), SB_OK);
	cr_assert_eq(keyed_state_raw_scan(ks, LOGS, 0, no_sub_key, stop_at_second, &calls), 77);
	cr_assert_eq(calls, 2);
	cr_assert_eq(keyed_state_failure(ks, &err), SB_OK);
	must_end();
}

static int32_t read_while_scanning(void *arg, sb_slice sub_key, sb_slice value)
{
	sb_slice again;
	int32_t found;

	cr_assert_eq(keyed_state_raw_get(ks, LOGS, 0, sub_key, &again, &found), SB_OK);
	cr_assert(found && slice_equal(again, value));
	++*(int *)arg;
	return SB_OK;
}

Test(keyed_state, scan_function_may_read_the_state)
{
	int calls = 0;

	open_plain(0);
	begin_one("a", 1);
	for (uint8_t i = 0; i < 200; i++)
		cr_assert_eq(keyed_state_raw_put(ks, LOGS, 0, slice_of(&i, 1), slice_of(&i, 1), SB_TTL_JOB), SB_OK);
	must_end();
	begin_one("a", 1);
	cr_assert_eq(keyed_state_raw_scan(ks, LOGS, 0, no_sub_key, read_while_scanning, &calls), SB_OK);
	cr_assert_eq(calls, 200);
	must_end();
}

/* --- time to live ------------------------------------------------------------- */

Test(keyed_state, entry_expires_exactly_at_its_expiry)
{
	int32_t created;

	open_plain(0);
	begin_one("a", 1000);
	cr_assert_not_null(keyed_state_upsert(ks, PROFILE, 0, NULL));
	must_end();
	begin_one("a", 1099);
	cr_assert_not_null(keyed_state_peek(ks, PROFILE, 0));
	must_end();
	begin_one("a", 1100);
	cr_assert_null(keyed_state_peek(ks, PROFILE, 0));
	cr_assert_not_null(keyed_state_upsert(ks, PROFILE, 0, &created));
	cr_assert_eq(created, 1);
	must_end();
	cr_assert_eq(stored(PROFILE, no_sub_key)->expiry_ms, 1200);
}

Test(keyed_state, peek_does_not_renew_and_upsert_does)
{
	int32_t created;

	open_plain(1 << 20);
	begin_one("a", 0);
	keyed_state_upsert(ks, PROFILE, 0, NULL);
	must_end();
	begin_one("a", 60);
	cr_assert_not_null(keyed_state_peek(ks, PROFILE, 0));
	must_end();
	begin_one("a", 99);
	keyed_state_upsert(ks, PROFILE, 0, &created);
	cr_assert_eq(created, 0);
	must_end();
	begin_one("a", 198);
	cr_assert_not_null(keyed_state_peek(ks, PROFILE, 0));
	must_end();
	begin_one("a", 199);
	cr_assert_null(keyed_state_peek(ks, PROFILE, 0));
	must_end();
}

Test(keyed_state, entry_without_ttl_never_expires)
{
	open_plain(0);
	begin_one("a", INT64_MIN);
	keyed_state_upsert(ks, FLAG, 0, NULL);
	must_end();
	cr_assert_eq(stored(FLAG, no_sub_key)->expiry_ms, SB_NO_EXPIRY);
	begin_one("a", INT64_MAX);
	cr_assert_not_null(keyed_state_peek(ks, FLAG, 0));
	must_end();
}

Test(keyed_state, expiry_neither_overflows_nor_becomes_never)
{
	cr_assert_eq(keyed_state_expiry(5, 0), SB_NO_EXPIRY);
	cr_assert_eq(keyed_state_expiry(5, 10), 15);
	cr_assert_eq(keyed_state_expiry(INT64_MAX - 3, 10), INT64_MAX);
	cr_assert_eq(keyed_state_expiry(INT64_MAX, INT64_MAX), INT64_MAX);
	cr_assert_eq(keyed_state_expiry(INT64_MIN, 1), INT64_MIN + 1);
	cr_assert_eq(keyed_state_expiry(-10, 10), 1, "0 would mean never");
}

/* --- failures ----------------------------------------------------------------- */

/* After the first failure every call returns it, and nothing reaches the backend any more. */
static void expect_kept(const char *part)
{
	uint64_t writes = plain_control.calls[PLAIN_WRITE_BATCH];
	sb_error kept = ERROR_INIT;
	int32_t first = keyed_state_failure(ks, &kept), found;
	sb_slice value;

	cr_assert_neq(first, SB_OK);
	cr_assert_eq(kept.code, first);
	cr_assert_not_null(strstr(kept.message, part), "%s", kept.message);
	cr_assert_eq(keyed_state_begin(ks, events, hashes, 1, &err), first);
	cr_assert_str_eq(err.message, kept.message);
	cr_assert_eq(keyed_state_end(ks, &err), first);
	cr_assert_eq(keyed_state_flush(ks, &err), first);
	cr_assert_eq(keyed_state_raw_put(ks, LOGS, 0, no_sub_key, no_sub_key, 0), keyed_state_failure(ks, &err));
	cr_assert_neq(keyed_state_raw_get(ks, LOGS, 0, no_sub_key, &value, &found), SB_OK);
	cr_assert_null(keyed_state_upsert(ks, FLAG, 0, NULL));
	cr_assert_null(keyed_state_peek(ks, FLAG, 0));
	cr_assert_neq(keyed_state_delete(ks, FLAG, 0), SB_OK);
	cr_assert_eq(plain_control.calls[PLAIN_WRITE_BATCH], writes);
	keyed_state_failure(ks, &err);
	cr_assert_str_eq(err.message, kept.message);
}

Test(keyed_state, failed_multi_get_of_a_batch_is_kept)
{
	open_plain(0);
	set_event(0, slice_of_text("a"), 1);
	plain_control.fail_in[PLAIN_MULTI_GET] = 1;
	cr_assert_eq(begin(1), SB_ERR_IO);
	cr_assert_str_eq(err.message, "backend-0 (plain): multi_get: plain fault 0");
	expect_kept("multi_get");
}

Test(keyed_state, failed_multi_get_of_a_raw_get_is_kept)
{
	sb_slice value = {.len = 99};
	int32_t found = 99;

	open_plain(0);
	begin_one("a", 1);
	plain_control.fail_in[PLAIN_MULTI_GET] = 1;
	cr_assert_eq(keyed_state_raw_get(ks, LOGS, 0, no_sub_key, &value, &found), SB_ERR_IO);
	cr_assert(found == 99 && value.len == 99, "outputs are untouched on failure");
	expect_kept("multi_get");
}

Test(keyed_state, failed_write_at_the_end_of_a_batch_is_kept)
{
	open_plain(0);
	begin_one("a", 1);
	keyed_state_upsert(ks, FLAG, 0, NULL);
	plain_control.fail_in[PLAIN_WRITE_BATCH] = 1;
	cr_assert_eq(keyed_state_end(ks, &err), SB_ERR_IO);
	expect_kept("write_batch");
}

Test(keyed_state, failed_write_of_a_flush_is_kept)
{
	open_plain(1 << 20);
	begin_one("a", 1);
	keyed_state_upsert(ks, FLAG, 0, NULL);
	must_end();
	plain_control.fail_in[PLAIN_WRITE_BATCH] = 1;
	cr_assert_eq(keyed_state_flush(ks, &err), SB_ERR_IO);
	expect_kept("write_batch");
}

Test(keyed_state, failed_write_of_a_thaw_is_kept)
{
	open_plain(1 << 20);
	begin_one("a", 1);
	keyed_state_upsert(ks, FLAG, 0, NULL);
	must_end();
	keyed_state_freeze(ks);
	plain_control.fail_in[PLAIN_WRITE_BATCH] = 1;
	cr_assert_eq(keyed_state_thaw(ks, 10, &err), SB_ERR_IO);
	cr_assert_eq(keyed_state_frozen(ks), 1);
	expect_kept("write_batch");
}

Test(keyed_state, failed_write_of_an_eviction_is_kept)
{
	open_plain(4096);
	begin_one("a", 1);
	keyed_state_upsert(ks, FLAG, 0, NULL);
	plain_control.fail_in[PLAIN_WRITE_BATCH] = 1;
	cr_assert_eq(keyed_state_end(ks, &err), SB_ERR_IO);
	expect_kept("write_batch");
}

static void expect_scan_fails(enum plain_call call, const char *part)
{
	int calls = 0;

	open_plain(0);
	begin_one("a", 1);
	cr_assert_eq(keyed_state_raw_put(ks, LOGS, 0, no_sub_key, no_sub_key, 0), SB_OK);
	plain_control.fail_in[call] = 1;
	cr_assert_eq(keyed_state_raw_scan(ks, LOGS, 0, no_sub_key, stop_at_second, &calls), SB_ERR_IO);
	expect_kept(part);
}

Test(keyed_state, failed_write_before_a_scan_is_kept)
{
	expect_scan_fails(PLAIN_WRITE_BATCH, "write_batch");
}

Test(keyed_state, failed_iter_open_is_kept)
{
	expect_scan_fails(PLAIN_ITER_OPEN, "iter_open");
}

Test(keyed_state, failed_iter_next_is_kept)
{
	expect_scan_fails(PLAIN_ITER_NEXT, "iter_next");
}

Test(keyed_state, struct_value_of_another_length_is_an_error)
{
	open_plain(0);
	begin_one("a", 1);
	keyed_state_upsert(ks, PROFILE, 0, NULL);
	must_end();
	plain_control.cut_values = true;
	cr_assert_eq(begin(1), SB_ERR_CORRUPT);
	cr_assert_not_null(strstr(err.message, "23 bytes for a value of state 'profile', which has 24"), "%s",
			   err.message);
	expect_kept("profile");
}

Test(keyed_state, call_that_is_out_of_place_is_a_kept_failure)
{
	static const struct {
		uint32_t state;
		uint64_t event;
	} wrong[] = {{LOGS, 0}, {STATES, 0}, {FLAG, 1}, {UINT32_MAX, 0}, {FLAG, UINT64_MAX}};

	for (size_t i = 0; i < LENGTH(wrong); i++) {
		open_plain(0);
		begin_one("a", 1);
		cr_assert_null(keyed_state_upsert(ks, wrong[i].state, wrong[i].event, NULL));
		cr_assert_eq(keyed_state_failure(ks, &err), SB_ERR_INVALID);
		close_all();
	}
	open_plain(0);
	begin_one("a", 1);
	must_end();
	cr_assert_null(keyed_state_peek(ks, FLAG, 0), "outside of a batch");
	expect_kept("state 2 of event 0");
}

Test(keyed_state, raw_key_or_value_that_is_too_long_is_refused)
{
	static uint8_t bytes[(64 << 20) + 1];

	open_plain(0);
	begin_one("a", 1);
	cr_assert_eq(keyed_state_raw_put(ks, LOGS, 0, slice_of(bytes, (1 << 20) - 7), no_sub_key, 0), SB_OK);
	cr_assert_eq(keyed_state_raw_put(ks, LOGS, 0, slice_of(bytes, (1 << 20) - 6), no_sub_key, 0), SB_ERR_INVALID);
	expect_kept("1 MiB");
	close_all();
	open_plain(0);
	begin_one("a", 1);
	cr_assert_eq(keyed_state_raw_put(ks, LOGS, 0, no_sub_key, slice_of(bytes, 64 << 20), 0), SB_OK);
	cr_assert_eq(keyed_state_raw_put(ks, LOGS, 0, no_sub_key, slice_of(bytes, (64 << 20) + 1), 0), SB_ERR_INVALID);
	expect_kept("64 MiB");
}

/* --- the cache ---------------------------------------------------------------- */

static void upsert_flag(const char *key, uint8_t value)
{
	begin_one(key, 1);
	*(uint8_t *)keyed_state_upsert(ks, FLAG, 0, NULL) = value;
	must_end();
}

Test(keyed_state, cache_stays_within_its_budget_and_serves_what_it_holds)
{
	const uint64_t budget = 64 << 10;
	struct keyed_state_stats stats;
	char key[16];

	open_plain(budget);
	for (int i = 0; i < 5000; i++) {
		snprintf(key, sizeof(key), "key-%d", i);
		upsert_flag(key, (uint8_t)i);
		keyed_state_get_stats(ks, &stats);
		cr_assert_leq(stats.cached_bytes, budget);
	}
	cr_assert_gt(stats.cached_entries, 100);
	cr_assert_lt(stats.written_back, 5000);
	must_flush();
	for (int i = 0; i < 5000; i += 7) {
		snprintf(key, sizeof(key), "key-%d", i);
		begin_one(key, 1);
		cr_assert_eq(*(const uint8_t *)keyed_state_peek(ks, FLAG, 0), (uint8_t)i);
		must_end();
	}
}

Test(keyed_state, backend_that_began_empty_is_asked_once_entries_have_left_the_cache)
{
	struct keyed_state_stats stats;
	char key[16];

	backend_empty = true;
	open_plain(64 << 10);
	for (int i = 0; i < 100; i++) {
		snprintf(key, sizeof(key), "key-%d", i);
		upsert_flag(key, (uint8_t)i);
	}
	cr_assert_eq(plain_control.calls[PLAIN_MULTI_GET], 0);
	for (int i = 0; i < 3000; i++) {
		snprintf(key, sizeof(key), "other-%d", i);
		upsert_flag(key, 1);
	}
	keyed_state_get_stats(ks, &stats);
	cr_assert_gt(stats.written_back, 0);
	cr_assert_gt(plain_control.calls[PLAIN_MULTI_GET], 0);
	for (int i = 0; i < 100; i++) {
		snprintf(key, sizeof(key), "key-%d", i);
		begin_one(key, 1);
		cr_assert_eq(*(const uint8_t *)keyed_state_peek(ks, FLAG, 0), (uint8_t)i);
		must_end();
	}
}

/* Nothing is written on the way out: everything has been since the last barrier. */
Test(keyed_state, backend_that_began_empty_is_asked_once_clean_entries_have_left_the_cache)
{
	struct keyed_state_stats stats;
	char key[16];

	backend_empty = true;
	open_plain(64 << 10);
	for (int i = 0; i < 100; i++) {
		snprintf(key, sizeof(key), "key-%d", i);
		upsert_flag(key, (uint8_t)i);
	}
	must_flush();
	for (int i = 0; i < 3000; i++) {
		snprintf(key, sizeof(key), "other-%d", i);
		begin_one(key, 1);
		cr_assert_null(keyed_state_peek(ks, FLAG, 0));
		must_end();
	}
	keyed_state_get_stats(ks, &stats);
	cr_assert_eq(stats.written_back, 100);
	for (int i = 0; i < 100; i++) {
		snprintf(key, sizeof(key), "key-%d", i);
		begin_one(key, 1);
		cr_assert_not_null(keyed_state_peek(ks, FLAG, 0), "%s is lost", key);
		cr_assert_eq(*(const uint8_t *)keyed_state_peek(ks, FLAG, 0), (uint8_t)i);
		must_end();
	}
}

Test(keyed_state, cache_outgrows_its_budget_by_little_while_a_barrier_thaws)
{
	const uint64_t budget = 1 << 20;
	struct keyed_state_stats stats;
	uint64_t most = 0;
	char key[16];

	open_plain(budget);
	for (int i = 0; i < 60000; i++) {
		snprintf(key, sizeof(key), "key-%d", i);
		begin_one(key, 1);
		*(uint8_t *)keyed_state_upsert(ks, FLAG, 0, NULL) = (uint8_t)i;
		must_end();
		keyed_state_get_stats(ks, &stats);
		most = stats.cached_bytes > most ? stats.cached_bytes : most;
		if (i == 30000)
			keyed_state_freeze(ks); /* and nobody thaws */
		if (i > 30000 && keyed_state_frozen(ks) == 0)
			break;
	}
	cr_assert_gt(stats.dirty_entries, 0);
	cr_assert_eq(keyed_state_frozen(ks), 0);
	cr_assert_lt(most, budget + budget / 2);
}

Test(keyed_state, freeze_and_release_of_nothing_write_nothing)
{
	open_plain(1 << 20);
	keyed_state_freeze(ks);
	cr_assert_eq(keyed_state_frozen(ks), 0);
	cr_assert_eq(keyed_state_thaw(ks, 100, &err), SB_OK);
	keyed_state_release(ks);
	cr_assert_eq(plain_control.calls[PLAIN_WRITE_BATCH], 0);
}

Test(keyed_state, what_grew_while_writes_were_held_back_is_evicted_over_many_batches)
{
	const uint64_t budget = 1 << 20, most_a_batch = 8192;
	struct keyed_state_stats before, after;
	uint64_t batches = 0;
	char key[16];

	open_plain(budget);
	write_hold_set(&hold);
	for (int i = 0; i < 30000; i++) {
		snprintf(key, sizeof(key), "key-%d", i);
		begin_one(key, 1);
		*(uint8_t *)keyed_state_upsert(ks, FLAG, 0, NULL) = (uint8_t)i;
		must_end();
	}
	keyed_state_get_stats(ks, &after);
	cr_assert_eq(after.written_back, 0);
	cr_assert_gt(after.cached_bytes, 3 * budget);
	write_hold_lift(&hold);
	do {
		before = after;
		begin_one("key-0", 1);
		must_end();
		keyed_state_get_stats(ks, &after);
		cr_assert_leq(after.written_back - before.written_back, most_a_batch);
		batches++;
	} while (after.cached_bytes > budget && batches < 100);
	cr_assert_leq(after.cached_bytes, budget);
	cr_assert_gt(batches, 2);
}

/* One more value of 1 MiB under a sub-key of its own. */
static int32_t put_mebibyte(uint32_t number)
{
	static uint8_t bytes[1 << 20];
	int32_t status;

	set_event(0, slice_of_text("a"), 1);
	status = keyed_state_begin(ks, events, hashes, 1, &err);
	if (status == SB_OK)
		status = keyed_state_raw_put(ks, LOGS, 0, slice_of(&number, sizeof(number)),
					     slice_of(bytes, sizeof(bytes)), 0);
	return status == SB_OK ? keyed_state_end(ks, &err) : status;
}

struct going_on {
	_Atomic bool done;
	int32_t status;
	bool was_held; /* when it was done */
};

static void *go_over_bound(void *arg)
{
	struct going_on *on = arg;

	on->status = SB_OK;
	for (uint32_t i = 0; i < 3 && on->status == SB_OK; i++)
		on->status = put_mebibyte(1000 + i);
	on->was_held = write_hold_is_set(&hold);
	atomic_store(&on->done, true);
	return NULL;
}

Test(keyed_state, who_would_outgrow_the_bound_waits_until_writes_are_no_longer_held_back)
{
	const uint64_t budget = 4 << 20, bound = budget + budget / 4 + (64 << 20);
	struct going_on on = {.done = false};
	struct keyed_state_stats stats = {0};
	pthread_t thread;

	open_plain(budget);
	write_hold_set(&hold);
	for (uint32_t i = 0; stats.cached_bytes + (2 << 20) < bound; i++) {
		cr_assert_eq(put_mebibyte(i), SB_OK, "%s", err.message);
		keyed_state_get_stats(ks, &stats);
	}
	cr_assert_eq(stats.written_back, 0);
	cr_assert_eq(pthread_create(&thread, NULL, go_over_bound, &on), 0);
	for (int i = 0; i < 10000 && !atomic_load(&on.done); i++)
		sched_yield();
	write_hold_lift(&hold);
	pthread_join(thread, NULL);
	cr_assert_eq(on.status, SB_OK, "%s", err.message);
	cr_assert_not(on.was_held);
	keyed_state_get_stats(ks, &stats);
	cr_assert_gt(stats.written_back, 0);
	cr_assert_leq(stats.cached_bytes, bound);
}

Test(keyed_state, eviction_of_large_raw_values_takes_no_more_than_it_needs)
{
	static uint8_t bytes[10000];
	struct keyed_state_stats stats;

	open_plain(1 << 20);
	for (uint32_t i = 0; i < 300; i++) {
		begin_one("a", 1);
		cr_assert_eq(
			keyed_state_raw_put(ks, LOGS, 0, slice_of(&i, sizeof(i)), slice_of(bytes, sizeof(bytes)), 0),
			SB_OK);
		must_end();
		keyed_state_get_stats(ks, &stats);
		cr_assert(i < 100 || stats.cached_entries > 80, "%llu", (unsigned long long)stats.cached_entries);
	}
}
