/* Composed keys: what they look like, that they come apart again, and that they do not mix. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/error.h"
#include "base/slice.h"
#include "state/composed_key.h"
#include "support/rng.h"

static struct buffer composed, key;
static sb_error err = ERROR_INIT;

static void tear_down(void)
{
	buffer_done(&composed);
	buffer_done(&key);
}

TestSuite(composed_key, .fini = tear_down);

Test(composed_key, prefix_is_group_and_state_big_endian)
{
	uint8_t bytes[] = {0, 0, 0, 0, 'u'};
	sb_slice all = slice_of(bytes, sizeof(bytes));

	composed_put_prefix(bytes, 0x7fff, 0x3ff);
	cr_assert_arr_eq(bytes, "\x7f\xff\x03\xff", 4);
	cr_assert_eq(composed_key_group(all), 0x7fff);
	cr_assert_eq(composed_state_id(all), 0x3ff);
	cr_assert(slice_equal_text(composed_user_part(all), "u"));
}

Test(composed_key, raw_key_is_escaped_and_ended)
{
	static const uint8_t expected[] = {0, 1, 0, 2, 'a', 0, 0xff, 'b', 0, 1, 0, 's'};

	composed_append_raw(&composed, 1, 2, slice_of("a\0b", 3), slice_of("\0s", 2));
	cr_assert(slice_equal(buffer_slice(&composed), slice_of(expected, sizeof(expected))));
}

static sb_slice random_bytes(struct rng *rng, uint8_t *bytes)
{
	static const uint8_t alphabet[] = {0, 1, 2, 0xfe, 0xff, 'a'};
	uint64_t len = rng_below(rng, 6);

	for (uint64_t i = 0; i < len; i++)
		bytes[i] = alphabet[rng_below(rng, sizeof(alphabet))];
	return slice_of(bytes, len);
}

Test(composed_key, raw_key_comes_apart_as_it_was_put_together)
{
	uint8_t key_bytes[8], sub_bytes[8];
	struct rng rng;
	sb_slice sub_key;

	rng_init(&rng, rng_test_seed(1));
	for (int i = 0; i < 20000; i++) {
		sb_slice wanted = random_bytes(&rng, key_bytes), wanted_sub = random_bytes(&rng, sub_bytes);

		buffer_clear(&composed);
		composed_append_raw(&composed, 5, 6, wanted, wanted_sub);
		cr_assert_eq(composed_split_raw(composed_user_part(buffer_slice(&composed)), &key, &sub_key, &err),
			     SB_OK, "seed %llu", (unsigned long long)rng.seed);
		cr_assert(slice_equal(buffer_slice(&key), wanted));
		cr_assert(slice_equal(sub_key, wanted_sub));
	}
}

/* A scan's prefix is the key with an empty sub-key: it must be the beginning of that key's entries only. */
Test(composed_key, entries_of_one_key_lie_together_in_order_of_their_sub_keys)
{
	uint8_t bytes[4][8];
	struct buffer other = BUFFER_INIT, begin = BUFFER_INIT;
	struct rng rng;

	rng_init(&rng, rng_test_seed(2));
	for (int i = 0; i < 20000; i++) {
		sb_slice a = random_bytes(&rng, bytes[0]), b = random_bytes(&rng, bytes[1]);
		sb_slice sub_a = random_bytes(&rng, bytes[2]), sub_b = random_bytes(&rng, bytes[3]);
		int by_key = slice_compare(a, b), order;
		bool begins;

		buffer_clear(&composed);
		buffer_clear(&other);
		buffer_clear(&begin);
		composed_append_raw(&composed, 5, 6, a, sub_a);
		composed_append_raw(&other, 5, 6, b, sub_b);
		composed_append_raw(&begin, 5, 6, a, slice_of(NULL, 0));
		begins = other.len >= begin.len && memcmp(other.data, begin.data, begin.len) == 0;
		cr_assert_eq(begins, by_key == 0, "seed %llu", (unsigned long long)rng.seed);
		order = slice_compare(buffer_slice(&composed), buffer_slice(&other));
		if (by_key == 0)
			cr_assert_eq(order, slice_compare(sub_a, sub_b));
		else
			cr_assert_neq(order, 0);
	}
	buffer_done(&other);
	buffer_done(&begin);
}

Test(composed_key, user_part_without_an_end_mark_is_corrupt)
{
	static const struct {
		const char *bytes;
		uint64_t len;
	} bad[] = {{"", 0},	   {"a", 1},	{"\0", 1},	{"a\0", 2},
		   {"a\0\xff", 3}, {"\0\2", 2}, {"a\0\0\1", 4}, {"\0\xff\0", 3}};
	sb_slice sub_key = {.len = 77};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		cr_assert_eq(composed_split_raw(slice_of(bad[i].bytes, bad[i].len), &key, &sub_key, &err),
			     SB_ERR_CORRUPT);
		cr_assert_eq(sub_key.len, 77, "outputs are untouched on failure");
	}
}
