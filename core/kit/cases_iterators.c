/* Iterators: their bounds, their end, and the moment that they show. */
#include <string.h>

#include "base/slice.h"
#include "kit/iter_check.h"
#include "kit/subject.h"

static const sb_slice unbounded = {0};

/* Reads it all, step entries a call, and closes. */
static void read_range(struct subject *s, sb_slice lower, sb_slice upper, uint64_t step)
{
	struct iter_check check;

	iter_check_open(&check, s, lower, upper);
	while (iter_check_step(&check, step))
		;
	iter_check_close(&check);
}

static void fill(struct subject *s, unsigned groups, unsigned keys)
{
	uint8_t key[64];

	for (unsigned group = 0; group < groups; group++)
		for (unsigned i = 0; i < keys; i++)
			subject_put(s, key_of_number(key, group * 100, i), slice_of(&i, sizeof(i)), i);
}

void case_iterator_bounds_are_half_open(struct subject *s)
{
	static const uint8_t group_0[] = {0, 0}, group_100[] = {0, 100}, group_101[] = {0, 101}, group_200[] = {0, 200};
	static const uint8_t end[] = {0xFF, 0xFF, 0xFF, 0xFF, 0xFF};
	uint8_t a[64], b[64];

	fill(s, 3, 60);
	read_range(s, unbounded, unbounded, 7);
	read_range(s, slice_of(group_100, 2), slice_of(group_101, 2), 1);
	read_range(s, slice_of(group_0, 2), slice_of(group_100, 2), 128);
	read_range(s, slice_of(group_200, 2), unbounded, 3);
	read_range(s, unbounded, slice_of(group_100, 2), 5);
	read_range(s, unbounded, slice_of(end, sizeof(end)), 50);
	/* Both bounds are keys that are there. */
	read_range(s, key_of_number(a, 100, 10), key_of_number(b, 100, 20), 4);
	read_range(s, key_of_number(a, 0, 59), key_of_number(b, 100, 1), 2);
	/* An empty range, a range of one, and a lower bound behind everything. */
	read_range(s, key_of_number(a, 100, 10), key_of_number(b, 100, 10), 4);
	read_range(s, key_of_number(a, 100, 10), key_of_number(b, 100, 11), 4);
	read_range(s, slice_of(end, sizeof(end)), unbounded, 4);
}

void case_iterator_over_nothing_ends_at_once(struct subject *s)
{
	uint8_t a[64], b[64];

	read_range(s, unbounded, unbounded, 10);
	read_range(s, key_of(a, 1, "a"), key_of(b, 1, "b"), 1);
	subject_put(s, key_of(a, 1, "gone"), slice_of_text("x"), SB_NO_EXPIRY);
	subject_delete(s, key_of(a, 1, "gone"));
	read_range(s, unbounded, unbounded, 10);
}

void case_iterator_may_be_closed_half_way(struct subject *s)
{
	struct iter_check check;

	fill(s, 2, 100);
	iter_check_open(&check, s, unbounded, unbounded);
	iter_check_close(&check);
	iter_check_open(&check, s, unbounded, unbounded);
	iter_check_step(&check, 50);
	iter_check_close(&check);
	fill(s, 3, 50);
	read_range(s, unbounded, unbounded, 100);
}

/* Everything that can happen to an entry while somebody looks: overwritten by a shorter, a longer, an equally long value,
 * deleted, deleted and written anew; and new ones come, enough for a table to grow. */
static void rewrite(struct subject *s, unsigned round)
{
	uint8_t key[64], value[700];

	memset(value, (int)round + 1, sizeof(value));
	for (unsigned i = round; i < 400; i += 3) {
		sb_slice name = key_of_number(key, 100, i);

		switch ((i + round) % 5) {
		case 0:
			subject_delete(s, name);
			break;
		case 1:
			subject_delete(s, name);
			subject_put(s, name, slice_of(value, 4), i + 1);
			break;
		default:
			subject_put(s, name, slice_of(value, (size_t)(i % 4) * round % sizeof(value)), i + 2);
		}
		subject_put(s, key_of_number(key, 300 + round, i), slice_of(value, i), SB_NO_EXPIRY);
	}
}

void case_iterator_shows_the_moment_it_was_opened(struct subject *s)
{
	struct iter_check check;
	unsigned round = 0;

	fill(s, 3, 400);
	iter_check_open(&check, s, unbounded, unbounded);
	while (iter_check_step(&check, 40))
		if (subject_is_stable(s) && round < 40)
			rewrite(s, round++);
	iter_check_close(&check);
	read_range(s, unbounded, unbounded, 128);
}

void case_several_iterators_each_show_their_moment(struct subject *s)
{
	static const uint8_t lower[] = {0, 100}, upper[] = {1, 50};
	struct iter_check checks[5];
	bool open[5];
	unsigned left = 5;

	fill(s, 3, 400);
	for (unsigned i = 0; i < 5; i++) {
		iter_check_open(&checks[i], s, i % 2 ? slice_of(lower, 2) : unbounded,
				i % 2 ? slice_of(upper, 2) : unbounded);
		open[i] = true;
		if (subject_is_stable(s))
			rewrite(s, i);
	}
	/* They end at different times, in no particular order. */
	while (left) {
		unsigned i = (unsigned)rng_below(&s->rng, 5);

		if (!open[i] || iter_check_step(&checks[i], 1 + rng_below(&s->rng, 90)))
			continue;
		iter_check_close(&checks[i]);
		open[i] = false;
		left--;
		if (subject_is_stable(s))
			rewrite(s, left);
	}
}
