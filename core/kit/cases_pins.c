/* Pins: the bytes stay as they are until unpin, whatever is written meanwhile. */
#include <stdlib.h>
#include <string.h>

#include "base/slice.h"
#include "kit/subject.h"

#define KEYS 64

/* Pins and a copy of what they show, a value per key of its own length. */
struct held {
	sb_pin pins[KEYS];
	uint8_t *copies[KEYS];
};

static void hold(struct subject *s, struct held *held)
{
	uint8_t bytes[KEYS][64];
	sb_slice keys[KEYS];

	for (unsigned i = 0; i < KEYS; i++)
		keys[i] = key_of_number(bytes[i], 1, i);
	subject_get(s, KEYS, keys, held->pins);
	for (unsigned i = 0; i < KEYS; i++) {
		sb_slice value = held->pins[i].value;

		held->copies[i] = malloc(value.len + 1);
		CHECK(s, held->copies[i], "out of memory");
		if (value.len)
			memcpy(held->copies[i], value.ptr, value.len);
	}
}

static void check_held(struct subject *s, const struct held *held, const char *when)
{
	for (unsigned i = 0; i < KEYS; i++)
		CHECK(s, slice_equal(held->pins[i].value, slice_of(held->copies[i], held->pins[i].value.len)),
		      "the bytes of a pin changed %s", when);
}

static void release(struct subject *s, struct held *held)
{
	subject_unpin(s, KEYS, held->pins);
	for (unsigned i = 0; i < KEYS; i++)
		free(held->copies[i]);
}

/* Values of 0 to len * KEYS bytes, of one content. */
static void write_all(struct subject *s, size_t len, int content)
{
	uint8_t key[64];
	uint8_t *value = malloc(len * KEYS + 1);

	CHECK(s, value, "out of memory");
	memset(value, content, len * KEYS + 1);
	for (unsigned i = 0; i < KEYS; i++)
		subject_put(s, key_of_number(key, 1, i), slice_of(value, len * i), content);
	free(value);
}

static void delete_all(struct subject *s)
{
	uint8_t key[64];

	for (unsigned i = 0; i < KEYS; i++)
		subject_delete(s, key_of_number(key, 1, i));
}

void case_pins_outlive_overwrites_and_deletes(struct subject *s)
{
	struct held first, second;
	uint8_t key[64];

	write_all(s, 3, 'a');
	hold(s, &first);
	write_all(s, 3, 'b'); /* as long as before: it would fit in its place */
	check_held(s, &first, "when it was overwritten");
	hold(s, &second);
	write_all(s, 11, 'c');
	delete_all(s);
	check_held(s, &first, "when it was deleted");
	check_held(s, &second, "when it was deleted");
	/* Enough to reuse any memory that was given back, and to move what can move. */
	for (unsigned i = 0; i < 5000; i++)
		subject_put(s, key_of_number(key, 2, i), slice_of(key, 4 + i % 60), SB_NO_EXPIRY);
	subject_maintain(s);
	check_held(s, &first, "when others were written");
	check_held(s, &second, "when others were written");
	release(s, &second);
	check_held(s, &first, "when others were released");
	release(s, &first);
	write_all(s, 3, 'd');
}

void case_pins_are_released_in_any_order(struct subject *s)
{
	struct held held[4];
	unsigned order[4 * KEYS];

	for (unsigned h = 0; h < 4; h++) {
		write_all(s, 5, 'a' + (int)h);
		hold(s, &held[h]);
	}
	delete_all(s);
	for (unsigned i = 0; i < 4 * KEYS; i++)
		order[i] = i;
	for (unsigned i = 4 * KEYS - 1; i > 0; i--) {
		unsigned j = (unsigned)rng_below(&s->rng, i + 1);
		unsigned swap = order[i];

		order[i] = order[j];
		order[j] = swap;
	}
	/* In groups of one to five, mixed from all four reads. */
	for (unsigned at = 0; at < 4 * KEYS;) {
		sb_pin group[5];
		unsigned n = 1 + (unsigned)rng_below(&s->rng, 5);

		for (unsigned i = 0; i < n && at < 4 * KEYS; i++, at++) {
			const struct held *from = &held[order[at] / KEYS];
			unsigned which = order[at] % KEYS;

			CHECK(s,
			      slice_equal(from->pins[which].value,
					  slice_of(from->copies[which], from->pins[which].value.len)),
			      "the bytes of a pin changed when others were released");
			free(from->copies[which]);
			group[i] = from->pins[which];
			if (i + 1 == n || at + 1 == 4 * KEYS)
				subject_unpin(s, i + 1, group);
		}
	}
}

void case_pins_of_large_values_outlive_overwrites(struct subject *s)
{
	struct held held;

	write_all(s, 20000, 'x');
	hold(s, &held);
	write_all(s, 20000, 'y');
	check_held(s, &held, "when it was overwritten");
	delete_all(s);
	subject_maintain(s);
	check_held(s, &held, "when it was deleted");
	release(s, &held);
}
