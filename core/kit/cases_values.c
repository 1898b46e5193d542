/* Reading and writing: what is put is found, byte for byte, and a batch is one step. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/slice.h"
#include "kit/subject.h"

#define KIB ((size_t)1024)
#define MIB (1024 * KIB)
/* The ABI's limits. */
#define KEY_BYTES_MAX MIB
#define VALUE_BYTES_MAX (64 * MIB + 4 * KIB)

void case_empty_calls_are_fine(struct subject *s)
{
	subject_get(s, 0, NULL, NULL);
	subject_unpin(s, 0, NULL);
	subject_write(s, 0, NULL);
}

void case_absent_keys_are_not_found(struct subject *s)
{
	uint8_t a[64], b[64], c[64];
	sb_slice keys[] = {key_of(a, 1, "absent"), key_of(b, 1, "present"), key_of(c, 2, "present")};
	sb_pin pins[3];

	subject_get(s, 3, keys, pins);
	subject_unpin(s, 3, pins);
	subject_put(s, keys[1], slice_of_text("value"), SB_NO_EXPIRY);
	subject_get(s, 3, keys, pins);
	CHECK(s, pins[1].found && !pins[0].found && !pins[2].found, "the wrong key is found");
	subject_unpin(s, 3, pins);
}

void case_duplicates_in_a_batch_of_keys_are_all_answered(struct subject *s)
{
	uint8_t a[64], b[64], c[64];
	sb_slice one = key_of(a, 1, "one"), two = key_of(b, 1, "two"), absent = key_of(c, 1, "absent");
	sb_slice keys[] = {two, one, absent, two, one, one, absent, two};
	sb_pin pins[8];

	subject_put(s, one, slice_of_text("first value"), 1);
	subject_put(s, two, slice_of_text("second"), 2);
	subject_get(s, 8, keys, pins);
	CHECK(s, pins[0].found && pins[3].found && pins[7].found && pins[5].found, "a duplicate is not answered");
	subject_unpin(s, 8, pins);
}

void case_last_operation_of_a_batch_wins(struct subject *s)
{
	uint8_t a[64], b[64], c[64], d[64];
	sb_slice put_put = key_of(a, 1, "put put"), put_delete = key_of(b, 1, "put delete");
	sb_slice delete_put = key_of(c, 1, "delete put"), many = key_of(d, 1, "many");
	sb_slice keys[] = {put_put, put_delete, delete_put, many};
	sb_op ops[] = {
		op_put(put_put, slice_of_text("no"), 1),
		op_put(put_delete, slice_of_text("no"), 2),
		op_delete(delete_put),
		op_put(many, slice_of_text("no"), 3),
		op_put(put_put, slice_of_text("yes"), 4),
		op_delete(many),
		op_delete(put_delete),
		op_put(many, slice_of_text("still no"), 5),
		op_put(delete_put, slice_of_text("yes"), SB_NO_EXPIRY),
		op_put(many, slice_of_text("yes"), 6),
	};
	sb_pin pins[4];

	/* Once on nothing, once on what the first round left. */
	for (int round = 0; round < 2; round++) {
		subject_write(s, sizeof(ops) / sizeof(ops[0]), ops);
		subject_get(s, 4, keys, pins);
		CHECK(s, pins[0].found && !pins[1].found && pins[2].found && pins[3].found, "the last one must win");
		subject_unpin(s, 4, pins);
	}
}

void case_deleting_what_is_absent_is_fine(struct subject *s)
{
	uint8_t a[64], b[64];
	sb_slice key = key_of(a, 1, "key"), neighbour = key_of(b, 1, "key2");

	subject_delete(s, key);
	subject_put(s, neighbour, slice_of_text("stays"), SB_NO_EXPIRY);
	subject_delete(s, key);
	subject_put(s, key, slice_of_text("goes"), SB_NO_EXPIRY);
	subject_delete(s, key);
	subject_delete(s, key);
	subject_check_key(s, key);
	subject_check_key(s, neighbour);
}

void case_failed_batch_changes_nothing(struct subject *s)
{
	uint8_t a[64], b[64], c[64];
	sb_slice old = key_of(a, 1, "old"), fresh = key_of(b, 1, "fresh"), doomed = key_of(c, 1, "doomed");
	sb_op ops[] = {
		op_put(old, slice_of_text("must not be seen"), 7),
		op_delete(doomed),
		op_put(fresh, slice_of_text("must not be seen"), 8),
		{.key = fresh, .kind = 99},
		op_delete(old),
	};
	sb_error err = ERROR_INIT;
	int32_t status;

	subject_put(s, old, slice_of_text("as it was"), 3);
	subject_put(s, doomed, slice_of_text("as it was"), 4);
	status = SUBJECT_CALL(s, write_batch, s->backend, sizeof(ops) / sizeof(ops[0]), ops, &err);
	CHECK(s, status == SB_ERR_INVALID, "an unknown kind of operation gives status %d", status);
	subject_check_error(s->trial, "write_batch", status, &err);
	subject_check_key(s, old);
	subject_check_key(s, doomed);
	subject_check_key(s, fresh);
}

/* Every byte value, at the beginning, in the middle and at the end; keys that are the
 * beginning of others; zero bytes and 0xFF at the ends. */
void case_binary_keys_and_values_come_back_exactly(struct subject *s)
{
	for (unsigned byte = 0; byte < 256; byte++) {
		uint8_t key[12] = {0, 1, 0, 2, (uint8_t)byte, 'm', (uint8_t)byte, 'm', (uint8_t)byte};

		for (size_t len = 4; len <= 9; len++)
			subject_put(s, slice_of(key, len), slice_of(key + 4, len - 4), (int64_t)(byte * 100 + len));
	}
	for (size_t zeros = 4; zeros < 12; zeros++) {
		const uint8_t low[12] = {0};
		uint8_t high[12];

		memset(high, 0xFF, sizeof(high));
		subject_put(s, slice_of(low, zeros), slice_of(high, zeros), (int64_t)zeros);
		subject_put(s, slice_of(high, zeros), slice_of(low, zeros), SB_NO_EXPIRY);
	}
	subject_check_all(s);
}

void case_keys_of_all_sizes(struct subject *s)
{
	static const size_t sizes[] = {
		4,    5,    7,	  8,	 9,	   15,		 16,	  17,		31,   32,
		33,   63,   64,	  65,	 127,	   128,		 255,	  256,		1023, 4095,
		4096, 4097, 8192, 16383, 64 * KIB, 64 * KIB + 1, 1000000, KEY_BYTES_MAX};
	uint8_t *key = malloc(KEY_BYTES_MAX);

	CHECK(s, key, "out of memory");
	rng_bytes(&s->rng, key, KEY_BYTES_MAX);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		subject_put(s, slice_of(key, sizes[i]), slice_of(&sizes[i], sizeof(sizes[i])), (int64_t)i + 1);
		/* One that differs in the last byte only. */
		key[sizes[i] - 1] ^= 1;
		subject_check_key(s, slice_of(key, sizes[i]));
		subject_put(s, slice_of(key, sizes[i]), slice_of_text("twin"), SB_NO_EXPIRY);
	}
	free(key);
	subject_check_all(s);
}

void case_values_of_all_sizes(struct subject *s)
{
	static const size_t sizes[] = {0,
				       1,
				       7,
				       8,
				       9,
				       15,
				       16,
				       17,
				       63,
				       64,
				       65,
				       127,
				       128,
				       129,
				       255,
				       256,
				       257,
				       1023,
				       1024,
				       4095,
				       4096,
				       4097,
				       8191,
				       8192,
				       16384,
				       65535,
				       65536,
				       MIB - 1,
				       2 * MIB + 1,
				       9 * MIB,
				       VALUE_BYTES_MAX};
	uint8_t *value = malloc(VALUE_BYTES_MAX);
	uint8_t key[64];

	CHECK(s, value, "out of memory");
	rng_bytes(&s->rng, value, VALUE_BYTES_MAX);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		/* Another size takes the place of this one, too, and then this one again. */
		size_t other = sizes[rng_below(&s->rng, 20)];
		sb_slice name = key_of_number(key, 3, i);

		subject_put(s, name, slice_of(value, sizes[i]), 5);
		subject_check_key(s, name);
		if (sizes[i] <= 2 * MIB) {
			subject_put(s, name, slice_of(value, other), SB_NO_EXPIRY);
			subject_check_key(s, name);
			subject_put(s, name, slice_of(value, sizes[i]), 6);
		}
	}
	subject_check_all(s);
	subject_delete(s, key_of_number(key, 3, sizeof(sizes) / sizeof(sizes[0]) - 1));
	free(value);
}

void case_arguments_may_be_reused_after_the_call(struct subject *s)
{
	uint8_t key[64], value[100], absent[64];
	sb_op op;

	for (unsigned i = 0; i < 50; i++) {
		memset(value, (int)i, sizeof(value));
		op = op_put(key_of_number(key, 1, i), slice_of(value, 2 * i), i);
		subject_write(s, 1, &op);
		memset(key, 0xEE, sizeof(key));
		memset(value, 0xEE, sizeof(value));
		memset(&op, 0xEE, sizeof(op));
	}
	subject_check_key(s, key_of(absent, 1, "absent"));
	subject_check_all(s);
}
