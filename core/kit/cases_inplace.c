/* Values changed where they lie (sb.inplace/1). The storms write this way, too, if the backend can. */
#include <string.h>

#include "base/slice.h"
#include "kit/iter_check.h"
#include "kit/subject.h"

#define LEN 80u
#define MANY 3000u

struct numbers {
	uint8_t keys[MANY][64];
	uint8_t values[MANY][LEN];
	sb_op ops[MANY];
};

/* Puts for the numbers first to first + n - 1, whose values all have that byte. */
static const sb_op *puts_of(struct numbers *numbers, uint64_t first, uint64_t n, uint8_t byte, int64_t expiry_ms)
{
	for (uint64_t i = 0; i < n; i++) {
		memset(numbers->values[i], byte, LEN);
		numbers->ops[i] = op_put(key_of_number(numbers->keys[i], 1, first + i),
					 slice_of(numbers->values[i], LEN), expiry_ms);
	}
	return numbers->ops;
}

static void make_change_delete(struct subject *s)
{
	static struct numbers numbers;
	sb_op *ops = numbers.ops;

	subject_write_in_place(s, 100, puts_of(&numbers, 0, 100, 1, 5), NULL); /* all of them new */
	subject_check_all(s);
	subject_write_in_place(s, 100, puts_of(&numbers, 50, 100, 2, SB_NO_EXPIRY), NULL);
	subject_check_all(s);
	puts_of(&numbers, 0, 300, 3, START_MS);
	for (uint64_t i = 0; i < 300; i += 3)
		ops[i] = op_delete(ops[i].key); /* some of what is not there, too */
	subject_write_in_place(s, 300, ops, NULL);
}

static void name_a_key_several_times(struct subject *s)
{
	uint8_t key[64];
	sb_slice one = key_of(key, 1, "one");
	const sb_op made[] = {op_put(one, slice_of_text("first"), 1), op_put(one, slice_of_text("second"), 2)};
	const sb_op changed[] = {op_delete(one), op_put(one, slice_of_text("third."), 3), op_delete(one),
				 op_put(one, slice_of_text("fourth"), 4)};

	subject_write_in_place(s, 2, made, NULL);
	subject_check_all(s);
	subject_write_in_place(s, 4, changed, NULL);
	subject_check_all(s);
	subject_write_in_place(s, 3, changed, NULL);
}

static void set_expiries_of_all_sizes(struct subject *s)
{
	static const int64_t expiries[] = {INT64_MAX,	     1,	       INT64_MIN, SB_NO_EXPIRY,
					   (int64_t)1 << 50, START_MS, -1,	  ((int64_t)1 << 50) - 1};
	static struct numbers numbers;

	for (unsigned i = 0; i < sizeof(expiries) / sizeof(expiries[0]); i++) {
		subject_write_in_place(s, 40, puts_of(&numbers, 0, 40, (uint8_t)i, expiries[i]), NULL);
		subject_check_all(s);
	}
}

void case_changes_in_place_are_what_is_read(struct subject *s)
{
	make_change_delete(s);
	name_a_key_several_times(s);
	set_expiries_of_all_sizes(s);
}

static void use_other_keys(struct subject *s)
{
	static struct numbers numbers;
	uint8_t lower[64], upper[64];
	struct iter_check check;
	sb_slice key = key_of(lower, 2, "");

	for (uint64_t i = 0; i < MANY; i++)
		numbers.ops[i] =
			op_put(key_of_number(numbers.keys[i], 2, i), slice_of(numbers.values[i], LEN), SB_NO_EXPIRY);
	subject_write(s, MANY, numbers.ops);
	for (uint64_t i = 0; i < MANY; i += 2)
		subject_delete(s, numbers.ops[i].key);
	subject_check_key(s, numbers.ops[1].key);
	iter_check_open(&check, s, key, key_of(upper, 3, ""));
	while (iter_check_step(&check, 100))
		;
	iter_check_close(&check);
}

void case_other_keys_may_be_used_while_places_are_out(struct subject *s)
{
	static struct numbers numbers;

	subject_write(s, 200, puts_of(&numbers, 0, 200, 1, SB_NO_EXPIRY));
	subject_write_in_place(s, 400, puts_of(&numbers, 0, 400, 2, START_MS), use_other_keys);
}

static void change_under_iterators(struct subject *s)
{
	static struct numbers numbers;
	static struct iter_check early, late;

	subject_write(s, MANY, puts_of(&numbers, 0, MANY, 1, SB_NO_EXPIRY));
	iter_check_open(&early, s, (sb_slice){0}, (sb_slice){0});
	subject_write_in_place(s, 500, puts_of(&numbers, 0, 500, 2, SB_NO_EXPIRY), NULL);
	iter_check_open(&late, s, (sb_slice){0}, (sb_slice){0});
	for (uint8_t byte = 3; iter_check_step(&early, 100); byte++) {
		iter_check_step(&late, 20);
		subject_write_in_place(s, 500, puts_of(&numbers, (uint64_t)byte * 37 % MANY, 500, byte, START_MS),
				       NULL);
	}
	iter_check_close(&early);
	while (iter_check_step(&late, 128))
		;
	iter_check_close(&late);
}

static void change_under_pins(struct subject *s)
{
	static struct numbers numbers;
	sb_slice keys[50];
	sb_pin pins[50];

	subject_write(s, 50, puts_of(&numbers, 0, 50, 1, SB_NO_EXPIRY));
	for (unsigned i = 0; i < 50; i++)
		keys[i] = numbers.ops[i].key;
	subject_get(s, 50, keys, pins);
	subject_write_in_place(s, 50, puts_of(&numbers, 0, 50, 2, START_MS), NULL);
	for (unsigned i = 0; i < 50; i++)
		CHECK(s, pins[i].value.ptr[0] == 1 && pins[i].value.ptr[LEN - 1] == 1,
		      "the bytes of a pin changed while it was held");
	subject_unpin(s, 50, pins);
}

void case_others_see_what_was_before_changes_in_place(struct subject *s)
{
	change_under_iterators(s);
	change_under_pins(s);
}
