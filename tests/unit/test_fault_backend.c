/* The fault backend: each fault comes when it is asked for, does what it says and nothing else, is counted, and comes
 * again from the same seed. With all faults off it is for tests/conformance. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/slice.h"
#include "conformance/profiles.h"

#define SEED 3
#define KEYS 40

#define FAULT_PROFILE(variable, ...)                                                                                   \
	static const struct profile variable = {.name = "fault", .plugin = "fault", .options = {__VA_ARGS__}}

static double figure(struct subject *s, const char *name)
{
	sb_stat stats[64];
	sb_error err = ERROR_INIT;
	uint64_t count;

	cr_assert_eq(s->ops->stats(s->backend, 64, stats, &count, &err), SB_OK, "%s", err.message);
	for (uint64_t i = 0; i < count && i < 64; i++)
		if (strcmp(stats[i].name, name) == 0)
			return stats[i].value;
	cr_assert_fail("there is no figure %s", name);
	return 0;
}

static int32_t write_keys(struct subject *s, unsigned count, const char *value, sb_error *err)
{
	uint8_t bytes[KEYS][64];
	sb_op ops[KEYS];

	for (unsigned i = 0; i < count; i++)
		ops[i] = op_put(key_of_number(bytes[i], 1, i), slice_of_text(value), SB_NO_EXPIRY);
	return s->ops->write_batch(s->backend, count, ops, err);
}

/* How many keys have that value. */
static unsigned count_value(struct subject *s, const char *value)
{
	unsigned found = 0;

	for (unsigned i = 0; i < KEYS; i++) {
		sb_error err = ERROR_INIT;
		uint8_t bytes[64];
		sb_slice key = key_of_number(bytes, 1, i);
		sb_pin pin;

		cr_assert_eq(s->ops->multi_get(s->backend, 1, &key, &pin, &err), SB_OK, "%s", err.message);
		found += pin.found && slice_equal(pin.value, slice_of_text(value));
		s->ops->unpin(s->backend, 1, &pin);
	}
	return found;
}

static unsigned count_by_iterator(struct subject *s, const char *value)
{
	const sb_iter_options everything = {.struct_size = sizeof(everything)};
	sb_error err = ERROR_INIT;
	unsigned found = 0;
	uint64_t count;
	sb_entry entry;
	sb_iter *iter;

	cr_assert_eq(s->ops->iter_open(s->backend, &everything, &iter, &err), SB_OK, "%s", err.message);
	while (s->ops->iter_next(iter, 1, &entry, &count, &err) == SB_OK && count)
		found += slice_equal(entry.value, slice_of_text(value));
	s->ops->iter_close(iter);
	return found;
}

FAULT_PROFILE(third_write, "fail_write_batch_nth=3", "error=no-space");

Test(fault_backend, nth_call_fails_and_writes_nothing)
{
	struct subject s;
	sb_error err = ERROR_INIT;

	profile_open(&s, &third_write, SEED);
	cr_assert_eq(write_keys(&s, KEYS, "one", &err), SB_OK);
	cr_assert_eq(write_keys(&s, KEYS, "two", &err), SB_OK);
	cr_assert_eq(write_keys(&s, KEYS, "three", &err), SB_ERR_NO_SPACE);
	cr_assert_not_null(strstr(err.message, "write_batch number 3 of backend-0"), "%s", err.message);
	cr_assert_eq(count_value(&s, "two"), KEYS);
	cr_assert_eq(write_keys(&s, KEYS, "four", &err), SB_OK);
	cr_assert_eq(figure(&s, "fault_write_batch"), 1);
	cr_assert_eq(figure(&s, "fault_torn_batch"), 0);
	profile_close(&s);
}

FAULT_PROFILE(torn, "torn_batch_nth=2", "seed=5");

Test(fault_backend, torn_batch_is_written_in_part_and_fails)
{
	struct subject s;
	sb_error err = ERROR_INIT;
	unsigned changed;

	profile_open(&s, &torn, SEED);
	cr_assert_eq(write_keys(&s, KEYS, "old", &err), SB_OK);
	cr_assert_eq(write_keys(&s, KEYS, "new", &err), SB_ERR_IO);
	changed = count_value(&s, "new");
	cr_assert_lt(changed, KEYS);
	cr_assert_eq(count_value(&s, "old"), KEYS - changed);
	cr_assert_eq(figure(&s, "fault_torn_batch"), 1);
	profile_close(&s);
}

FAULT_PROFILE(losing, "lost_write_nth=7");

Test(fault_backend, lost_write_is_not_there_and_nobody_says_so)
{
	struct subject s;
	sb_error err = ERROR_INIT;

	profile_open(&s, &losing, SEED);
	cr_assert_eq(write_keys(&s, KEYS, "value", &err), SB_OK);
	cr_assert_eq(count_value(&s, "value"), KEYS - 1);
	cr_assert_eq(figure(&s, "fault_lost_write"), 1);
	profile_close(&s);
}

FAULT_PROFILE(stale, "stale_iterator_nth=1");

Test(fault_backend, stale_iterator_shows_what_was_before_a_write)
{
	struct subject s;
	sb_error err = ERROR_INIT;

	profile_open(&s, &stale, SEED);
	cr_assert_eq(write_keys(&s, KEYS, "old", &err), SB_OK);
	cr_assert_eq(count_by_iterator(&s, "old"), 0, "it should show the moment before the first write");
	cr_assert_eq(count_by_iterator(&s, "old"), KEYS);
	cr_assert_eq(figure(&s, "fault_stale_iterator"), 1);
	profile_close(&s);
}

FAULT_PROFILE(always_stale, "stale_iterator=1");

/* Every iterator shows the moment before the last write that came after one was shown, within its bounds. */
Test(fault_backend, stale_iterator_keeps_to_its_bounds)
{
	uint8_t lower[64], upper[64];
	const sb_iter_options bounds = {.struct_size = sizeof(bounds),
					.lower = key_of_number(lower, 1, 10),
					.upper = key_of_number(upper, 1, 25)};
	struct subject s;
	sb_error err = ERROR_INIT;
	unsigned found = 0;
	uint64_t count = 1;
	sb_entry entries[4];
	sb_iter *iter;

	profile_open(&s, &always_stale, SEED);
	cr_assert_eq(write_keys(&s, KEYS, "old", &err), SB_OK);
	cr_assert_eq(count_by_iterator(&s, "old"), 0);
	cr_assert_eq(write_keys(&s, KEYS, "new", &err), SB_OK);
	cr_assert_eq(s.ops->iter_open(s.backend, &bounds, &iter, &err), SB_OK, "%s", err.message);
	while (count && s.ops->iter_next(iter, 4, entries, &count, &err) == SB_OK)
		for (uint64_t i = 0; i < count; i++)
			found += slice_equal(entries[i].value, slice_of_text("old"));
	s.ops->iter_close(iter);
	cr_assert_eq(found, 15);
	cr_assert_eq(count_by_iterator(&s, "new"), KEYS, "there was no write since");
	profile_close(&s);
}

FAULT_PROFILE(delayed, "delay_nth=2", "delay=1ms");

Test(fault_backend, delayed_call_is_made_all_the_same)
{
	struct subject s;
	sb_error err = ERROR_INIT;

	profile_open(&s, &delayed, SEED);
	cr_assert_eq(write_keys(&s, KEYS, "one", &err), SB_OK);
	cr_assert_eq(write_keys(&s, KEYS, "two", &err), SB_OK);
	cr_assert_eq(count_value(&s, "two"), KEYS);
	cr_assert_eq(figure(&s, "fault_delay"), 1);
	profile_close(&s);
}

FAULT_PROFILE(short_read, "short_read_nth=4");

Test(fault_backend, short_read_lacks_the_second_half)
{
	struct subject s;
	sb_error err = ERROR_INIT;

	profile_open(&s, &short_read, SEED);
	cr_assert_eq(write_keys(&s, KEYS, "whole", &err), SB_OK);
	cr_assert_eq(count_value(&s, "whole"), KEYS - 1);
	cr_assert_eq(figure(&s, "fault_short_read"), 1);
	cr_assert_eq(figure(&s, "pins"), 0, "the inner backend has not got its pins back");
	profile_close(&s);
}

FAULT_PROFILE(short_iterator, "short_iterator_nth=11");

Test(fault_backend, short_iterator_ends_early)
{
	struct subject s;
	sb_error err = ERROR_INIT;

	profile_open(&s, &short_iterator, SEED);
	cr_assert_eq(write_keys(&s, KEYS, "value", &err), SB_OK);
	cr_assert_eq(count_by_iterator(&s, "value"), 10);
	cr_assert_eq(count_by_iterator(&s, "value"), KEYS);
	profile_close(&s);
}

FAULT_PROFILE(reading, "fail_multi_get_nth=2", "fail_iter_open_nth=1", "fail_iter_next_nth=1", "fail_maintain_nth=1",
	      "error=busy");

Test(fault_backend, every_call_that_can_fail_does)
{
	const sb_iter_options everything = {.struct_size = sizeof(everything)};
	sb_slice key = slice_of_text("\1\1\1\1key");
	sb_error err = ERROR_INIT;
	struct subject s;
	sb_entry entry;
	uint64_t count;
	sb_iter *iter;
	sb_pin pin;

	profile_open(&s, &reading, SEED);
	cr_assert_eq(s.ops->multi_get(s.backend, 1, &key, &pin, &err), SB_OK);
	s.ops->unpin(s.backend, 1, &pin);
	cr_assert_eq(s.ops->multi_get(s.backend, 1, &key, &pin, &err), SB_ERR_BUSY);
	cr_assert_eq(s.ops->iter_open(s.backend, &everything, &iter, &err), SB_ERR_BUSY);
	cr_assert_eq(s.ops->iter_open(s.backend, &everything, &iter, &err), SB_OK);
	cr_assert_eq(s.ops->iter_next(iter, 1, &entry, &count, &err), SB_ERR_BUSY);
	cr_assert_eq(s.ops->iter_next(iter, 1, &entry, &count, &err), SB_OK);
	s.ops->iter_close(iter);
	cr_assert_eq(s.ops->maintain(s.backend, 1, &count, &err), SB_ERR_BUSY);
	cr_assert_eq(s.ops->maintain(s.backend, 1, &count, &err), SB_OK);
	profile_close(&s);
}

FAULT_PROFILE(by_chance, "fail_write_batch=0.3", "lost_write=0.05", "seed=11");
FAULT_PROFILE(other_seed, "fail_write_batch=0.3", "lost_write=0.05", "seed=12");

/* Which of 64 batches failed, and in *ret_found how many keys there are at the end. */
static uint64_t course(const struct profile *profile, unsigned *ret_found)
{
	struct subject s;
	uint64_t failed = 0;

	profile_open(&s, profile, SEED);
	for (unsigned i = 0; i < 64; i++) {
		char value[16];
		sb_error err = ERROR_INIT;

		snprintf(value, sizeof(value), "%u", i);
		if (write_keys(&s, KEYS, value, &err) != SB_OK)
			failed |= UINT64_C(1) << i;
	}
	cr_assert_eq(figure(&s, "fault_write_batch"), __builtin_popcountll(failed));
	*ret_found = count_value(&s, "63");
	profile_close(&s);
	return failed;
}

Test(fault_backend, same_seed_gives_the_same_faults)
{
	unsigned first_found, second_found, other_found;
	uint64_t first = course(&by_chance, &first_found);

	cr_assert_eq(course(&by_chance, &second_found), first);
	cr_assert_eq(second_found, first_found);
	cr_assert_neq(course(&other_seed, &other_found), first);
	cr_assert_neq(first, 0);
}

/* --- what the host's service refuses --- */

static void assert_refused(const char *const *options, uint64_t count, int32_t status, const char *said)
{
	struct option_set set;
	sb_error err = ERROR_INIT;
	struct instance *instance;
	struct subject s;

	profile_open(&s, &profile_fault, SEED);
	cr_assert_eq(option_set_parse(s.component, "--backend-opt", options, count, &set, &err), SB_OK, "%s",
		     err.message);
	cr_assert_eq(instance_open_backend(s.component, "backend-1", s.dir, 0, &set, &s.env, &instance, &err), status,
		     "%s", err.message);
	cr_assert_not_null(strstr(err.message, said), "%s", err.message);
	option_set_done(&set);
	profile_close(&s);
}

Test(fault_backend, inner_backend_is_found_and_vetted_as_any_other)
{
	const char *const unknown[] = {"inner=memroy"};
	const char *const no_plugin[] = {"inner=/etc/passwd/x.so"};
	const char *const no_backend[] = {"inner=example-processor"};
	char text[512] = "inner_options=";
	const char *const too_many[] = {text};
	const char *const bad_option[] = {"inner_options=memory_limit=1GiB,huge_page=no"};

	assert_refused(unknown, 1, SB_ERR_NOT_FOUND, "did you mean \"memory\"?");
	assert_refused(no_plugin, 1, SB_ERR_NOT_FOUND, "/etc/passwd");
	assert_refused(no_backend, 1, SB_ERR_INVALID, "holds no backend");
	assert_refused(bad_option, 1, SB_ERR_CONFIG, "huge_pages");
	for (unsigned i = 0; i < 65; i++)
		strcat(text, "a=1,");
	assert_refused(too_many, 1, SB_ERR_CONFIG, "more than 64 options");
}
