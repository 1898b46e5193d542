/* Checkpoints that were changed at random, spliced of two valid ones, and mostly signed anew, so that neither the file's digest nor a frame's
 * checksum finds it out. Reading one ends with a sentence, or with exactly the state of one of the two that it was made of: the state's own
 * digest and the counts see to it. Members of the head that are right in themselves may say something else then; that is what
 * a signature would be for.
 *
 * SBHOST_MUTATIONS=<count> sets how many; SBHOST_TEST_SEED which. */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/slice.h"
#include "fault/checkpoint_fixture.h"
#include "support/resign.h"
#include "support/rng.h"

#define MUTATIONS 4000u
#define ENTRIES 24u

struct original {
	uint8_t *bytes;
	size_t len;
	uint64_t state; /* sum_of_items */
};

struct mutant {
	uint8_t *bytes;
	size_t len, room;
};

static struct io io;
static struct rng rng;
static struct original originals[2];
static struct mutant mutant;
static char path[64];
static int fd;
static uint64_t refused, whole;

/* Of all entries, in any order, whatever their snapshots are called: this file's own measure, which knows nothing of StateDigest. */
static int32_t sum_of_items(uint64_t *ret_sum, sb_error *err)
{
	struct checkpoint_reader *reader;
	struct checkpoint_item item;
	uint64_t sum = 0;
	int32_t status;

	status = checkpoint_reader_open(&io, path, &reader, err);
	if (status != SB_OK)
		return status;
	status = checkpoint_reader_verify_digest(reader, err);
	if (status == SB_OK)
		do {
			status = checkpoint_reader_next(reader, &item, err);
			if (status == SB_OK && item.kind == ITEM_ENTRY)
				sum += (hash64_of(item.user_part) * 31 + hash64_of(item.value)) * 31 +
				       (uint64_t)item.expiry_ms + item.key_group;
		} while (status == SB_OK && item.kind != ITEM_END);
	checkpoint_reader_close(reader);
	*ret_sum = sum;
	return status;
}

static void put_file(const uint8_t *bytes, size_t len)
{
	cr_assert(ftruncate(fd, 0) == 0 && pwrite(fd, bytes, len, 0) == (ssize_t)len);
}

static void make_original(struct original *original, uint64_t seed, enum checkpoint_codec codec)
{
	struct fixture fixture;
	sb_error err = ERROR_INIT;
	char dir[128], file[256];

	scratch_make(dir);
	fixture_init(&fixture, 1, seed, ENTRIES);
	fixture.providers = 0; /* an operator's own bytes are in no digest but the file's */
	cr_assert_eq(fixture_write(&io, dir, &fixture, codec, NULL, &err), SB_OK, "%s", err.message);
	snprintf(file, sizeof(file), "%s/%s.json", dir, fixture.meta.id);
	original->bytes = file_read(file, &original->len);
	cr_assert_not_null(original->bytes);
	put_file(original->bytes, original->len);
	cr_assert_eq(sum_of_items(&original->state, &err), SB_OK, "%s", err.message);
	fixture_done(&fixture);
	scratch_remove(dir);
}

static void set_up(void)
{
	io_init_system(&io);
	fd = memfd_create("checkpoint", MFD_CLOEXEC);
	cr_assert_geq(fd, 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	make_original(&originals[0], 1, CODEC_NONE);
	make_original(&originals[1], 2, CODEC_LZ4);
	cr_assert_neq(originals[0].state, originals[1].state);
	mutant.room = 2 * (originals[0].len + originals[1].len);
	mutant.bytes = malloc(mutant.room);
	cr_assert_not_null(mutant.bytes);
}

static void tear_down(void)
{
	free(originals[0].bytes);
	free(originals[1].bytes);
	free(mutant.bytes);
	close(fd);
}

TestSuite(checkpoint_mutations, .init = set_up, .fini = tear_down);

/* ret_whole: it was read to its end. */
static void check(const char *what, uint64_t number, bool *ret_whole)
{
	sb_error err = ERROR_INIT;
	uint64_t state;
	int32_t status;

	put_file(mutant.bytes, mutant.len);
	status = sum_of_items(&state, &err);
	*ret_whole = status == SB_OK;
	if (status == SB_OK) {
		whole++;
		cr_assert(state == originals[0].state || state == originals[1].state, "%s %" PRIu64 ": a wrong state",
			  what, number);
		return;
	}
	refused++;
	cr_assert(status == SB_ERR_CORRUPT || status == SB_ERR_INCOMPATIBLE, "%s %" PRIu64 ": %s", what, number,
		  err.message);
	cr_assert_gt(strlen(err.message), 20);
}

static void change_bytes(void *context, uint8_t *bytes, size_t len)
{
	(void)context;
	for (uint64_t n = 1 + rng_below(&rng, 3); n && len; n--) {
		uint64_t at = rng_below(&rng, len);

		switch (rng_below(&rng, 4)) {
		case 0:
			bytes[at] ^= (uint8_t)(1u << rng_below(&rng, 8));
			break;
		case 1: /* a digit for a digit is most often right in itself */
			bytes[at] = bytes[at] >= '0' && bytes[at] <= '9' ? (uint8_t)('0' + rng_below(&rng, 10))
									 : (uint8_t)rng_below(&rng, 256);
			break;
		case 2:
			bytes[at] = "0123456789{}[]\",:-"[rng_below(&rng, 18)];
			break;
		default:
			memmove(bytes + at, bytes + rng_below(&rng, len - (len - at) / 2), (len - at) / 2);
		}
	}
}

/* A stretch of it goes away, or comes twice. */
static void change_length(void)
{
	uint64_t at = rng_below(&rng, mutant.len), n = 1 + rng_below(&rng, 64);

	n = n < mutant.len - at ? n : mutant.len - at;
	if (rng_below(&rng, 2)) {
		memmove(mutant.bytes + at, mutant.bytes + at + n, mutant.len - at - n);
		mutant.len -= n;
	} else {
		memmove(mutant.bytes + at + n, mutant.bytes + at, mutant.len - at);
		mutant.len += n;
	}
}

static void take(const struct original *from, size_t begin, size_t end)
{
	memcpy(mutant.bytes + mutant.len, from->bytes + begin, end - begin);
	mutant.len += end - begin;
}

static void mutate(void)
{
	const struct original *original = &originals[rng_below(&rng, 2)];

	mutant.len = 0;
	take(original, 0, original->len);
	switch (rng_below(&rng, 4)) {
	case 0:
		change_bytes(NULL, mutant.bytes, mutant.len);
		break;
	case 1:
		change_length();
		break;
	default:
		resign_change_frames(mutant.bytes, mutant.len, change_bytes, NULL);
	}
	if (rng_below(&rng, 8))
		resign_checkpoint(mutant.bytes, mutant.len);
}

static uint64_t count_of_mutations(void)
{
	const char *text = getenv("SBHOST_MUTATIONS");

	return text ? strtoull(text, NULL, 10) : MUTATIONS;
}

Test(checkpoint_mutations, random_changes_that_are_signed_give_no_wrong_state, .timeout = 3000)
{
	const uint64_t seed = rng_test_seed(20241109), count = count_of_mutations();
	bool is_whole;

	rng_init(&rng, seed);
	for (uint64_t i = 0; i < count; i++) {
		mutate();
		check("mutation", i, &is_whole);
	}
	cr_assert(refused && whole, "seed %" PRIu64, seed);
	printf("mutations: %" PRIu64 " cases: %" PRIu64 " refused, %" PRIu64 " with the right state (seed %" PRIu64
	       ")\n",
	       count, refused, whole, seed);
	fflush(stdout);
}

/* Ends of lines, which are ends of members, and some places in StateData. */
static size_t next_cut(const struct original *original, size_t at)
{
	const uint8_t *line = memchr(original->bytes + at, '\n', original->len - at);
	size_t end = line ? (size_t)(line - original->bytes) + 1 : original->len;

	return end - at > 200 ? at + 100 : end;
}

static void splice(size_t head, size_t tail, const struct original *a, const struct original *b, bool sign)
{
	bool is_whole;

	mutant.len = 0;
	take(a, 0, head);
	take(b, tail, b->len);
	if (sign)
		resign_checkpoint(mutant.bytes, mutant.len);
	check(sign ? "signed splice" : "splice", head, &is_whole);
	cr_assert(!is_whole || sign || head == 0 || tail == b->len ||
			  (mutant.len == a->len && memcmp(mutant.bytes, a->bytes, a->len) == 0) ||
			  (mutant.len == b->len && memcmp(mutant.bytes, b->bytes, b->len) == 0),
		  "an unsigned splice at %zu and %zu was read", head, tail);
}

Test(checkpoint_mutations, the_head_of_one_and_the_rest_of_another)
{
	for (unsigned which = 0; which < 2; which++) {
		const struct original *a = &originals[which], *b = &originals[!which];

		for (size_t head = 0; head < a->len; head = next_cut(a, head))
			for (size_t tail = 0; tail < b->len; tail = next_cut(b, tail)) {
				splice(head, tail, a, b, false);
				splice(head, tail, a, b, true);
			}
	}
	cr_assert(refused && whole);
	printf("splices: %" PRIu64 " cases: %" PRIu64 " refused, %" PRIu64 " with the right state\n", refused + whole,
	       refused, whole);
	fflush(stdout);
}
