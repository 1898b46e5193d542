/* Keyed state over a backend that hands out its own memory: what it asks for, what it reports, and what it does when a
 * call fails or an answer is wrong. That it equals a map is test_keyed_state.c's business.
 *
 * The backend is the memory backend, with functions in front of the extension's that count, or spoil an answer. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/slice.h"
#include "plugin/extensions.h"
#include "state/keyed_state.h"

#define KEYS 3u
#define NOW_MS INT64_C(1000)
#define TTL_MS INT64_C(100)

static char name_profile[] = "profile";
static struct schema_state states[] = {
	{.name = name_profile, .id = 1, .kind = SB_STATE_STRUCT, .value_size = 24, .ttl_ms = TTL_MS}};
static const struct schema schema = {.states = states, .count = 1};

static struct io io;
static struct clock system_clock;
static struct log silent;
static sb_error err = ERROR_INIT;
static _Atomic int64_t horizon_ms;
static const struct plugin_env env = {.log = &silent, .clock = &system_clock, .horizon_ms = &horizon_ms};
static char directory[64];
static struct plugin *plugin;
static struct component component;
static struct option_set options;
static struct instance *backend;
static struct keyed_state *ks;
static sb_event events[KEYS];
static uint64_t hashes[KEYS];

/* In front of the extension. */
static const sb_inplace_ops *behind;
static enum { FAIL_NOTHING, FAIL_FIND, FAIL_WRITE, FAIL_FINISH, DENY_WRITE, CUT_VALUE } spoil;
static unsigned writes;
static uint64_t asked; /* keys of the last find */
static uint64_t reported; /* places of the last finish that say that something happened */
static int64_t last_expiry_ms; /* of the first of its places */

static int32_t fail(const char *what, sb_error *error)
{
	return error_set(error, SB_ERR_IO, "%s was told to fail", what);
}

static int32_t front_find(sb_backend *b, uint64_t n, const sb_slice *keys, sb_place *places, sb_error *error)
{
	int32_t status = spoil == FAIL_FIND ? fail("find", error) : behind->find(b, n, keys, places, error);

	asked = n;
	for (uint64_t i = 0; status == SB_OK && spoil == CUT_VALUE && i < n; i++)
		places[i].value_len--;
	return status;
}

static int32_t front_write(sb_backend *b, sb_slice key, uint64_t value_len, sb_place *place, sb_error *error)
{
	writes++;
	if (spoil == DENY_WRITE)
		return SB_OK;
	return spoil == FAIL_WRITE ? fail("write", error) : behind->write(b, key, value_len, place, error);
}

static int32_t front_finish(sb_backend *b, uint64_t n, const sb_slice *keys, sb_place *places, sb_error *error)
{
	reported = 0;
	last_expiry_ms = places[0].expiry_ms;
	for (uint64_t i = 0; i < n; i++)
		reported += places[i].kind != 0;
	return spoil == FAIL_FINISH ? fail("finish", error) : behind->finish(b, n, keys, places, error);
}

static const sb_inplace_ops front = {
	.struct_size = sizeof(front), .find = front_find, .write = front_write, .finish = front_finish};

static const void *extension(const char *id)
{
	return strcmp(id, SB_EXT_INPLACE) ? NULL : &front;
}

static void set_up(void)
{
	struct keyed_state_config config = {.schema = &schema, .key_groups = KEY_GROUPS_DEFAULT};
	const struct component *found;

	io_init_system(&io);
	clock_init_system(&system_clock);
	spoil = FAIL_NOTHING;
	strcpy(directory, "/tmp/sbhost-inplace-XXXXXX");
	cr_assert_not_null(mkdtemp(directory));
	cr_assert_eq(plugin_load(&io, "memory", SB_PLUGIN_DIR, &plugin, &err), SB_OK, "%s", err.message);
	cr_assert_eq(plugin_find_component(plugin, SB_KIND_BACKEND, &found, &err), SB_OK);
	behind = component_inplace(found);
	cr_assert_not_null(behind);
	component = *found;
	component.backend.extension = extension;
	cr_assert_eq(option_set_parse(&component, "--backend-opt", NULL, 0, &options, &err), SB_OK);
	cr_assert_eq(instance_open_backend(&component, "backend-0", directory, 0, &options, &env, &backend, &err),
		     SB_OK, "%s", err.message);
	config.backend = backend;
	cr_assert_eq(keyed_state_open(&config, &ks, &err), SB_OK, "%s", err.message);
}

static void tear_down(void)
{
	keyed_state_close(ks);
	instance_close(backend);
	option_set_done(&options);
	plugin_free(plugin);
	cr_assert_eq(io_remove_tree(&io, directory, &err), SB_OK, "%s", err.message);
}

TestSuite(in_place, .init = set_up, .fini = tear_down, .timeout = 60);

static int32_t begin(int64_t clock_ms)
{
	static const char *const names[KEYS] = {"ann", "bob", "ann"};

	for (uint32_t i = 0; i < KEYS; i++) {
		events[i] = (sb_event){.key = slice_of_text(names[i]), .clock_ms = clock_ms};
		hashes[i] = key_hash(events[i].key);
	}
	return keyed_state_begin(ks, events, hashes, KEYS, &err);
}

static void must_begin(int64_t clock_ms)
{
	writes = 0;
	cr_assert_eq(begin(clock_ms), SB_OK, "%s", err.message);
}

static void must_end(void)
{
	cr_assert_eq(keyed_state_end(ks, &err), SB_OK, "%s", err.message);
}

static uint8_t *upsert(uint64_t event)
{
	uint8_t *value = keyed_state_upsert(ks, 0, event, NULL);

	cr_assert_not_null(value);
	return value;
}

static void make_both(void)
{
	must_begin(NOW_MS);
	upsert(0)[0] = 1;
	upsert(1)[0] = 2;
	must_end();
}

static void expect_kept(int32_t status, const char *part)
{
	cr_assert_eq(keyed_state_failure(ks, &err), status);
	cr_assert_not_null(strstr(err.message, part), "%s", err.message);
	cr_assert_eq(begin(NOW_MS), status);
}

Test(in_place, events_of_one_key_share_its_value_and_it_is_reported_once)
{
	must_begin(NOW_MS);
	cr_assert_eq(asked, 2, "ann and bob");
	cr_assert_eq(upsert(0), upsert(2));
	must_end();
	cr_assert_eq(writes, 1);
	cr_assert_eq(reported, 1);
	must_begin(NOW_MS);
	cr_assert_eq(upsert(2), upsert(0));
	must_end();
	cr_assert_eq(writes, 0, "what lies there can be changed there");
	cr_assert_eq(reported, 1);
}

#define CHOSEN 600000u

/* Each key twice, with a hash so far from the one before: whoever looked at each of them for each would not be done when the suite's
 * time is over. */
static void change_each_twice(uint64_t step)
{
	static char keys[CHOSEN][8];
	static sb_event chosen[CHOSEN];
	static uint64_t chosen_hashes[CHOSEN];

	for (uint32_t i = 0; i < CHOSEN; i++) {
		snprintf(keys[i], sizeof(keys[i]), "%u", i / 2);
		chosen[i] = (sb_event){.key = slice_of_text(keys[i]), .clock_ms = NOW_MS};
		chosen_hashes[i] = 7 + i / 2 * step;
	}
	for (uint32_t round = 1; round <= 2; round++) {
		cr_assert_eq(keyed_state_begin(ks, chosen, chosen_hashes, CHOSEN, &err), SB_OK, "%s", err.message);
		cr_assert_eq(asked, CHOSEN / 2);
		for (uint32_t i = 0; i < CHOSEN; i++) {
			uint64_t *count = keyed_state_upsert(ks, 0, i, NULL);

			cr_assert_not_null(count);
			++*count;
		}
		for (uint32_t i = 0; i < CHOSEN; i++)
			cr_assert_eq(*(const uint64_t *)keyed_state_peek(ks, 0, i), 2 * round);
		must_end();
		cr_assert_eq(reported, CHOSEN / 2);
	}
}

Test(in_place, keys_chosen_to_have_one_hash_cost_no_more_and_stay_apart)
{
	change_each_twice(0);
}

Test(in_place, keys_whose_hashes_are_chosen_to_begin_alike_cost_no_more)
{
	change_each_twice(UINT64_C(1) << 40);
}

Test(in_place, looking_reports_nothing)
{
	make_both();
	must_begin(NOW_MS);
	cr_assert_eq(*(const uint8_t *)keyed_state_peek(ks, 0, 1), 2);
	must_end();
	cr_assert_eq(writes, 0);
	cr_assert_eq(reported, 0);
}

/* A write that renews an expiry which is before 1970, at it, or behind all time. The place of a batch is looked at before finish has it. */
Test(in_place, expiry_is_right_at_the_ends_of_time)
{
	static const struct {
		int64_t clock_ms, expiry_ms;
	} moments[] = {{INT64_MAX - TTL_MS, INT64_MAX},
		       {INT64_MAX - TTL_MS + 1, INT64_MAX},
		       {INT64_MAX - 1, INT64_MAX},
		       {-TTL_MS + 1, 1},
		       {-TTL_MS, 1}, /* 0 would be never */
		       {-TTL_MS - 1, -1}};

	for (size_t i = 0; i < sizeof(moments) / sizeof(moments[0]); i++) {
		must_begin(moments[i].clock_ms);
		upsert(0);
		upsert(0);
		upsert(2);
		must_end();
		cr_assert_eq(last_expiry_ms, moments[i].expiry_ms, "at %lld: %lld", (long long)moments[i].clock_ms,
			     (long long)last_expiry_ms);
	}
}

Test(in_place, expired_value_begins_anew_where_it_lay)
{
	make_both();
	must_begin(NOW_MS + TTL_MS);
	cr_assert_null(keyed_state_peek(ks, 0, 0));
	cr_assert_eq(upsert(0)[0], 0);
	must_end();
	must_begin(NOW_MS + TTL_MS);
	cr_assert_not_null(keyed_state_peek(ks, 0, 0));
	cr_assert_null(keyed_state_peek(ks, 0, 1));
	must_end();
}

Test(in_place, deleted_value_can_come_back_in_the_same_batch)
{
	make_both();
	must_begin(NOW_MS);
	cr_assert_eq(keyed_state_delete(ks, 0, 0), SB_OK);
	cr_assert_null(keyed_state_peek(ks, 0, 2));
	cr_assert_eq(upsert(2)[0], 0);
	cr_assert_eq(keyed_state_delete(ks, 0, 1), SB_OK);
	must_end();
	must_begin(NOW_MS);
	cr_assert_not_null(keyed_state_peek(ks, 0, 0));
	cr_assert_null(keyed_state_peek(ks, 0, 1));
	must_end();
}

Test(in_place, checkpoint_reads_what_was_there_when_it_began)
{
	const sb_iter_options range = {.struct_size = sizeof(range)};
	sb_entry entries[KEYS];
	sb_iter *iter;
	uint64_t n;

	make_both();
	cr_assert_eq(component.backend.iter_open(backend->backend, &range, &iter, &err), SB_OK);
	must_begin(NOW_MS);
	upsert(0)[0] = 9;
	cr_assert_eq(keyed_state_delete(ks, 0, 1), SB_OK);
	must_end();
	cr_assert_eq(writes, 1, "the old value has to be left where it is");
	cr_assert_eq(component.backend.iter_next(iter, KEYS, entries, &n, &err), SB_OK);
	cr_assert_eq(n, 2);
	cr_assert_eq(entries[0].value.ptr[0] + entries[1].value.ptr[0], 1 + 2);
	component.backend.iter_close(iter);
	must_begin(NOW_MS);
	cr_assert_eq(*(const uint8_t *)keyed_state_peek(ks, 0, 0), 9);
	cr_assert_null(keyed_state_peek(ks, 0, 1));
	must_end();
}

Test(in_place, failed_find_is_kept)
{
	spoil = FAIL_FIND;
	cr_assert_eq(begin(NOW_MS), SB_ERR_IO);
	expect_kept(SB_ERR_IO, "find: find was told to fail");
}

Test(in_place, failed_write_is_kept)
{
	spoil = FAIL_WRITE;
	must_begin(NOW_MS);
	cr_assert_null(keyed_state_upsert(ks, 0, 0, NULL));
	expect_kept(SB_ERR_IO, "write: write was told to fail");
}

Test(in_place, failed_finish_is_kept)
{
	spoil = FAIL_FINISH;
	must_begin(NOW_MS);
	upsert(0);
	cr_assert_eq(keyed_state_end(ks, &err), SB_ERR_IO);
	expect_kept(SB_ERR_IO, "finish: finish was told to fail");
}

Test(in_place, value_that_stays_read_only_is_an_error)
{
	spoil = DENY_WRITE;
	must_begin(NOW_MS);
	cr_assert_null(keyed_state_upsert(ks, 0, 0, NULL));
	expect_kept(SB_ERR_INTERNAL, "writable");
}

Test(in_place, value_of_another_length_is_an_error)
{
	make_both();
	spoil = CUT_VALUE;
	must_begin(NOW_MS);
	cr_assert_null(keyed_state_peek(ks, 0, 0));
	expect_kept(SB_ERR_CORRUPT, "23 bytes for a value of state 'profile', which has 24");
}

Test(in_place, value_of_another_length_is_not_written)
{
	make_both();
	spoil = CUT_VALUE;
	must_begin(NOW_MS);
	cr_assert_null(keyed_state_upsert(ks, 0, 0, NULL));
	expect_kept(SB_ERR_CORRUPT, "23 bytes for a value of state 'profile', which has 24");
}
