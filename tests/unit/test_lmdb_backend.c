/* What is LMDB's own about the LMDB backend: a map that grows, and one that cannot; links of long keys that leave
 * nothing behind; directories that are read only, or not empty. What every backend must do is for tests/conformance. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/slice.h"
#include "conformance/profiles.h"
#include "kit/iter_check.h"
#include "support/lmdb.h"

#define SEED 7

static const sb_slice everything = {0};

static const struct profile tiny_map = {
	.name = "lmdb in a tiny map",
	.plugin = "lmdb",
	.options = {"map_size=1MiB", "read_ahead=false"},
};

static double figure(struct subject *s, const char *name)
{
	sb_stat stats[32];
	sb_error err = ERROR_INIT;
	uint64_t count;

	cr_assert_eq(s->ops->stats(s->backend, 32, stats, &count, &err), SB_OK, "%s", err.message);
	for (uint64_t i = 0; i < count && i < 32; i++)
		if (strcmp(stats[i].name, name) == 0)
			return stats[i].value;
	cr_assert_fail("there is no figure %s", name);
	return 0;
}

static void put_number(struct subject *s, unsigned number, size_t bytes)
{
	uint8_t key[64];
	uint8_t *value = malloc(bytes);

	cr_assert_not_null(value);
	memset(value, (int)number, bytes);
	subject_put(s, key_of_number(key, 1, number), slice_of(value, bytes), number + 1);
	free(value);
}

Test(lmdb_backend, map_grows_when_nobody_reads)
{
	struct subject s;

	NEED_LMDB();
	profile_open(&s, &tiny_map, SEED);
	for (unsigned i = 0; i < 4000; i++)
		put_number(&s, i, 3000);
	cr_assert_geq(figure(&s, "map_grown"), 4);
	cr_assert_geq(figure(&s, "map_bytes"), figure(&s, "file_bytes"));
	/* More than the map has left, at once. */
	put_number(&s, 5000, 60 << 20);
	subject_check_all(&s);
	profile_close(&s);
}

Test(lmdb_backend, full_map_under_a_reader_is_an_error_that_passes)
{
	sb_error err = ERROR_INIT;
	struct iter_check check;
	struct subject s;
	uint8_t key[64];
	uint8_t *value = calloc(1, 4 << 20);
	sb_op ops[2];

	NEED_LMDB();
	cr_assert_not_null(value);
	profile_open(&s, &tiny_map, SEED);
	put_number(&s, 1, 100);
	ops[0] = op_delete(key_of_number(key, 1, 1));
	ops[1] = op_put(slice_of("\0\1\0\1large", 9), slice_of(value, 4 << 20), SB_NO_EXPIRY);
	iter_check_open(&check, &s, everything, everything);
	cr_assert_eq(s.ops->write_batch(s.backend, 2, ops, &err), SB_ERR_NO_SPACE);
	cr_assert(err.flags & SB_ERROR_RETRYABLE);
	cr_assert_not_null(strstr(err.message, "map_size"), "%s", err.message);
	subject_check_all(&s);
	while (iter_check_step(&check, 10))
		;
	iter_check_close(&check);
	subject_write(&s, 2, ops);
	subject_check_all(&s);
	profile_close(&s);
	free(value);
}

/* A pin of the past is a reader, too, and its release lets the map grow. */
Test(lmdb_backend, pins_hold_the_map_where_it_is)
{
	struct subject s;
	uint8_t key[64];
	sb_slice name;
	sb_pin pin;

	NEED_LMDB();
	profile_open(&s, &tiny_map, SEED);
	put_number(&s, 1, 100);
	name = key_of_number(key, 1, 1);
	subject_get(&s, 1, &name, &pin);
	for (unsigned i = 2; figure(&s, "file_bytes") < 900 << 10; i++)
		put_number(&s, i, 3000);
	cr_assert_eq(figure(&s, "map_grown"), 0);
	cr_assert_eq(figure(&s, "readers"), 1);
	subject_unpin(&s, 1, &pin);
	cr_assert_eq(figure(&s, "readers"), 0);
	put_number(&s, 1, 100);
	cr_assert_eq(figure(&s, "map_grown"), 1);
	subject_check_all(&s);
	profile_close(&s);
}

/* Lengths around multiples of what an engine may cut keys into, twins that differ in one byte of the last, the middle or an early piece, keys
 * that are the beginning of others: all of it put, deleted, put again, and walked in parts. */
#define ALIKE_BYTES 2600
#define ALIKE_KEYS 160

static sb_slice alike_key(struct subject *s, uint8_t *key)
{
	static const size_t lengths[] = {509, 510, 511, 512, 513, 1011, 1012, 1013, 1014, 1024, 1514, 1515, 2500};
	size_t len = lengths[rng_below(&s->rng, sizeof(lengths) / sizeof(lengths[0]))];

	memset(key, 'k', ALIKE_BYTES);
	memcpy(key, "\0\1\0\2", 4);
	if (rng_chance(&s->rng, 60))
		key[len - 1] = (uint8_t)(rng_below(&s->rng, 3) * 127);
	if (rng_chance(&s->rng, 20))
		key[508 + rng_below(&s->rng, 6)] = (uint8_t)(rng_below(&s->rng, 3) * 127);
	return slice_of(key, len);
}

static void read_range(struct subject *s, sb_slice lower, sb_slice upper, uint64_t step)
{
	struct iter_check check;

	iter_check_open(&check, s, lower, upper);
	while (iter_check_step(&check, step))
		;
	iter_check_close(&check);
}

static void shuffle_alike_keys(struct subject *s)
{
	static uint8_t bytes[ALIKE_KEYS][ALIKE_BYTES];
	sb_slice keys[ALIKE_KEYS];

	for (unsigned i = 0; i < ALIKE_KEYS; i++)
		keys[i] = alike_key(s, bytes[i]);
	for (unsigned round = 0; round < 60; round++) {
		sb_op ops[40];
		sb_slice a = keys[rng_below(&s->rng, ALIKE_KEYS)], b = keys[rng_below(&s->rng, ALIKE_KEYS)];
		/* Some rounds leave little, some nothing. */
		uint64_t deletes = round % 10 < 5 ? 20 : 90;

		for (unsigned i = 0; i < 40; i++) {
			sb_slice key = keys[rng_below(&s->rng, ALIKE_KEYS)];

			ops[i] = rng_chance(&s->rng, deletes) ? op_delete(key)
							      : op_put(key, slice_of(key.ptr + 500, i), i);
		}
		subject_write(s, 40, ops);
		read_range(s, everything, everything, 1 + round);
		read_range(s, slice_compare(a, b) < 0 ? a : b, slice_compare(a, b) < 0 ? b : a, 7);
		read_range(s, a, everything, 3);
		subject_check_key(s, b);
	}
	for (unsigned i = 0; i < ALIKE_KEYS; i++)
		subject_delete(s, keys[i]);
	read_range(s, everything, everything, 10);
}

Test(lmdb_backend, long_keys_that_begin_alike_stay_apart_and_in_order)
{
	struct subject s;

	NEED_LMDB();
	profile_open(&s, &profile_lmdb, rng_test_seed(SEED));
	shuffle_alike_keys(&s);
	cr_assert_eq(figure(&s, "long_key_links"), 0);
	profile_close(&s);
}

Test(lmdb_backend, deleted_long_keys_leave_no_links)
{
	static uint8_t key[1 << 20];
	struct subject s;

	NEED_LMDB();
	profile_open(&s, &profile_lmdb, SEED);
	for (size_t len = sizeof(key); len > 510; len /= 2)
		subject_put(&s, slice_of(key, len), slice_of_text("long"), SB_NO_EXPIRY);
	cr_assert_eq(figure(&s, "long_key_links"), (sizeof(key) - 510 + 501) / 502);
	cr_assert_eq(figure(&s, "entries"), s.model.count);
	subject_delete(&s, slice_of(key, sizeof(key)));
	cr_assert_eq(figure(&s, "long_key_links"), (sizeof(key) / 2 - 510 + 501) / 502);
	for (size_t len = sizeof(key) / 2; len > 510; len /= 2)
		subject_delete(&s, slice_of(key, len));
	cr_assert_eq(figure(&s, "long_key_links"), 0);
	cr_assert_eq(figure(&s, "entries"), 0);
	profile_close(&s);
}

/* Opens a second instance where the first one was. */
static int32_t open_again(struct subject *s, uint32_t flags, struct instance **ret_instance, sb_error *err)
{
	return instance_open_backend(s->component, "backend-1", s->instance_dir, flags, &s->options, &s->env,
				     ret_instance, err);
}

Test(lmdb_backend, directory_of_another_instance_is_read_or_refused)
{
	sb_error err = ERROR_INIT;
	struct instance *again;
	struct subject s;
	sb_op op;

	NEED_LMDB();
	profile_open(&s, &profile_lmdb, SEED);
	for (unsigned i = 0; i < 500; i++)
		put_number(&s, i, i);
	instance_close(s.instance);
	cr_assert_eq(open_again(&s, 0, &again, &err), SB_ERR_INVALID);
	cr_assert_not_null(strstr(err.message, "empty the directory"), "%s", err.message);
	cr_assert_eq(open_again(&s, SB_OPEN_FILES, &again, &err), SB_ERR_UNSUPPORTED);
	cr_assert_eq(open_again(&s, SB_OPEN_READ_ONLY, &s.instance, &err), SB_OK, "%s", err.message);
	s.backend = s.instance->backend;
	subject_check_all(&s);
	op = op_delete(slice_of("\0\1\0\1key", 7));
	cr_assert_eq(s.ops->write_batch(s.backend, 1, &op, &err), SB_ERR_INVALID);
	profile_close(&s);
}
