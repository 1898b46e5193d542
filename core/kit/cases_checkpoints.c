/* Checkpoints: whatever way a backend offers, what comes back is what was there, in this backend or in another.
 *
 * Two contents are compared by the digest that checkpoints carry: the sum of the hashes of all entries, the same in any order. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/slice.h"
#include "kit/checkpoint_files.h"
#include "kit/iter_check.h"
#include "kit/storm.h"
#include "plugin/extensions.h"

#define BATCH 1024 /* as the host restores */

static void fill(struct subject *s)
{
	struct storm *storm = storm_new(s, 3000, 3000);

	for (unsigned i = 0; i < 120; i++)
		storm_write(storm);
	storm_free(storm);
}

/* What is read through an iterator goes into another backend, as the host restores. */
static void carry(struct subject *from, struct subject *to)
{
	sb_iter_options options = {.struct_size = sizeof(options)};
	sb_entry *entries = malloc(BATCH * sizeof(*entries));
	sb_op *ops = malloc(BATCH * sizeof(*ops));
	sb_error err = ERROR_INIT;
	uint64_t count;
	sb_iter *iter;

	CHECK(from, entries && ops, "out of memory");
	CHECK(from, SUBJECT_CALL(from, iter_open, from->backend, &options, &iter, &err) == SB_OK, "iter_open: %s",
	      err.message);
	for (;;) {
		CHECK(from, SUBJECT_CALL(from, iter_next, iter, BATCH, entries, &count, &err) == SB_OK, "iter_next: %s",
		      err.message);
		if (!count)
			break;
		for (uint64_t i = 0; i < count; i++)
			ops[i] = op_put(entries[i].key, entries[i].value, entries[i].expiry_ms);
		subject_write(to, count, ops);
	}
	SUBJECT_CALL_VOID(from, iter_close, iter);
	free(entries);
	free(ops);
}

static struct hash128 hash_of_entry(const sb_entry *entry)
{
	struct hash128 parts[3] = {hash128_of(entry->key), hash128_of(entry->value), {(uint64_t)entry->expiry_ms, 0}};

	return hash128_of(slice_of(parts, sizeof(parts)));
}

static struct hash128 digest(struct subject *s)
{
	sb_iter_options options = {.struct_size = sizeof(options)};
	struct hash128 sum = {0};
	sb_error err = ERROR_INIT;
	sb_entry entries[64];
	uint64_t count;
	sb_iter *iter;

	CHECK(s, SUBJECT_CALL(s, iter_open, s->backend, &options, &iter, &err) == SB_OK, "iter_open: %s", err.message);
	for (;;) {
		CHECK(s, SUBJECT_CALL(s, iter_next, iter, 64, entries, &count, &err) == SB_OK, "iter_next: %s",
		      err.message);
		if (!count)
			break;
		for (uint64_t i = 0; i < count; i++)
			sum = hash128_add(sum, hash_of_entry(&entries[i]));
	}
	SUBJECT_CALL_VOID(s, iter_close, iter);
	return sum;
}

static void check_equal(struct subject *s, struct hash128 a, struct hash128 b, const char *when)
{
	CHECK(s, a.low == b.low && a.high == b.high,
	      "the digest %s is %016" PRIx64 "%016" PRIx64 ", and was %016" PRIx64 "%016" PRIx64, when, b.high, b.low,
	      a.high, a.low);
}

void case_entries_restored_into_itself_are_the_same(struct subject *s)
{
	struct subject copy;

	fill(s);
	subject_init(&copy, s->trial, s->trial->seed + 1);
	carry(s, &copy);
	check_equal(s, digest(s), digest(&copy), "of what was restored");
	subject_check_all(&copy);
	subject_done(&copy);
}

/* A second trial with another plugin; the parts that do not concern it stay. */
void case_entries_carried_to_memory_and_back_are_the_same(struct subject *s)
{
	struct trial in_memory = *s->trial;
	struct subject memory, back;
	struct hash128 before;

	if (!subject_plugin_exists(s->trial, "memory"))
		trial_skip(s->trial, "the memory backend is not in the plugin directory (--plugin-dir)");
	in_memory.plugin = "memory";
	in_memory.component = 0;
	in_memory.option_count = 0;
	fill(s);
	before = digest(s);
	subject_init(&memory, &in_memory, s->trial->seed + 1);
	carry(s, &memory);
	check_equal(s, before, digest(&memory), "in the memory backend");
	subject_init(&back, s->trial, s->trial->seed + 2);
	carry(&memory, &back);
	check_equal(s, before, digest(&back), "of what came back from the memory backend");
	subject_check_all(&back);
	subject_done(&back);
	subject_done(&memory);
}

/* --- sb.files/1 ------------------------------------------------------------------- */

/* Opens on files, looks, and closes. */
static void expect_in_files(struct subject *s, const char *dir, uint32_t flags, const struct model *moment)
{
	struct subject copy;
	sb_error err = ERROR_INIT;

	subject_init(&copy, s->trial, s->trial->seed + 1);
	subject_close(&copy);
	CHECK(s, subject_open_at(&copy, dir, flags, &err) == SB_OK, "on files of a checkpoint: %s", err.message);
	model_done(&copy.model);
	model_copy_range(moment, slice_of(NULL, 0), slice_of(NULL, 0), &copy.model);
	subject_check_all(&copy);
	if (flags & SB_OPEN_FILES)
		fill(&copy); /* it goes on */
	subject_check_all(&copy);
	subject_done(&copy);
}

void case_files_hold_what_was_there(struct subject *s)
{
	char made[PATH_MAX], taken[PATH_MAX];
	struct model moment;

	fill(s);
	model_copy_range(&s->model, slice_of(NULL, 0), slice_of(NULL, 0), &moment);
	files_create(s, "made", made);
	fill(s); /* the original goes on, and must not be seen in the files */
	files_take(s, made, "read", taken);
	expect_in_files(s, taken, SB_OPEN_READ_ONLY, &moment);
	expect_in_files(s, taken, SB_OPEN_READ_ONLY, &moment); /* nothing was changed by the first */
	files_take(s, made, "continue", taken);
	expect_in_files(s, taken, SB_OPEN_FILES, &moment);
	model_done(&moment);
}

void case_immutable_files_never_change(struct subject *s)
{
	char made[PATH_MAX], taken[PATH_MAX];
	struct buffer before = BUFFER_INIT, after = BUFFER_INIT;
	struct model moment;

	fill(s);
	model_copy_range(&s->model, slice_of(NULL, 0), slice_of(NULL, 0), &moment);
	files_create(s, "made", made);
	files_take(s, made, "continue", taken);
	files_list_immutable(s, made, &before);
	expect_in_files(s, taken, SB_OPEN_FILES, &moment);
	for (unsigned i = 0; i < 5; i++)
		fill(s);
	files_list_immutable(s, made, &after);
	CHECK(s, slice_equal(buffer_slice(&before), buffer_slice(&after)),
	      "a file that is_immutable vouched for was changed by an instance that went on");
	buffer_done(&before);
	buffer_done(&after);
	model_done(&moment);
}

/* Whatever it makes of them: it may refuse them or read what is left, and must live. */
static void open_damaged(struct subject *s, const char *dir)
{
	sb_iter_options options = {.struct_size = sizeof(options)};
	struct subject copy;
	sb_error err = ERROR_INIT;
	sb_entry entries[64];
	uint64_t count = 0;
	sb_iter *iter;

	subject_init(&copy, s->trial, s->trial->seed + 1);
	subject_close(&copy);
	if (subject_open_at(&copy, dir, SB_OPEN_READ_ONLY, &err) == SB_OK) {
		instance_expect(&err);
		if (SUBJECT_CALL(&copy, iter_open, copy.backend, &options, &iter, &err) == SB_OK) {
			do {
				instance_expect(&err);
			} while (SUBJECT_CALL(&copy, iter_next, iter, 64, entries, &count, &err) == SB_OK && count);
			SUBJECT_CALL_VOID(&copy, iter_close, iter);
		}
		if (err.code != SB_OK)
			subject_check_error(s->trial, "reading damaged files", err.code, &err);
		subject_close(&copy);
	} else {
		CHECK(s, strstr(err.message, "did not say why") == NULL, "%s", err.message);
	}
	subject_open(&copy);
	subject_done(&copy);
}

void case_damaged_files_are_survived(struct subject *s)
{
	char made[PATH_MAX], damaged[PATH_MAX];
	uint64_t count;

	fill(s);
	files_create(s, "made", made);
	count = files_count(s, made);
	CHECK(s, count > 0, "create made no files");
	for (uint64_t i = 0; i < count && i < 12; i++) {
		for (enum damage damage = DAMAGE_CUT; damage <= DAMAGE_GONE; damage++) {
			files_copy(s, made, "damaged", damaged);
			files_damage(s, damaged, i, damage);
			open_damaged(s, damaged);
			files_remove(s, damaged);
		}
	}
}

/* --- sb.delta/1 ------------------------------------------------------------------- */

struct past {
	uint64_t mark;
	struct model content;
};

static uint64_t take_mark(struct subject *s, const sb_delta_ops *delta)
{
	sb_error err = ERROR_INIT;
	uint64_t mark = 0;

	CHECK(s, CALL(s->trial->witness, delta, mark, s->backend, &mark, &err) == SB_OK, "mark: %s", err.message);
	return mark;
}

/* Writes go on while the walk is read: it shows the moment of changes_open. */
static void check_changes(struct subject *s, const sb_delta_ops *delta, struct past *past, struct storm *storm)
{
	struct witness *witness = s->trial->witness;
	struct model now;
	sb_changes *changes;
	sb_error err = ERROR_INIT;
	sb_op ops[48];
	uint64_t count;

	CHECK(s, CALL(witness, delta, changes_open, s->backend, past->mark, &changes, &err) == SB_OK,
	      "changes_open: %s", err.message);
	model_copy_range(&s->model, slice_of(NULL, 0), slice_of(NULL, 0), &now);
	for (;;) {
		CHECK(s,
		      CALL(witness, delta, changes_next, changes, 1 + rng_below(&s->rng, 48), ops, &count, &err) ==
			      SB_OK,
		      "changes_next: %s", err.message);
		if (!count)
			break;
		model_apply(&past->content, count, ops);
		if (rng_chance(&s->rng, 10))
			storm_write(storm);
	}
	CALL_VOID(witness, delta, changes_close, changes);
	CHECK(s, model_equal(&past->content, &now),
	      "the changes since a mark, applied to what was there, do not give what was there at changes_open");
	model_done(&past->content);
	past->content = now;
}

void case_changes_lead_from_a_mark_to_the_moment(struct subject *s)
{
	const sb_delta_ops *delta = component_delta(s->component);
	struct storm *storm = storm_new(s, 500, 500);
	struct past past = {0};
	uint64_t mark;

	past.mark = take_mark(s, delta);
	model_copy_range(&s->model, slice_of(NULL, 0), slice_of(NULL, 0), &past.content);
	for (unsigned round = 0; round < 30; round++) {
		/* Sometimes nothing has changed, sometimes nearly everything. */
		for (uint64_t i = rng_below(&s->rng, 4) * rng_below(&s->rng, 12); i > 0; i--)
			storm_write(storm);
		mark = take_mark(s, delta);
		CHECK(s, mark > past.mark, "mark %" PRIu64 " came after %" PRIu64, mark, past.mark);
		check_changes(s, delta, &past, storm);
		CALL_VOID(s->trial->witness, delta, release, s->backend, mark);
		past.mark = mark;
	}
	storm_free(storm);
	model_done(&past.content);
}

void case_a_mark_that_never_was_is_not_found(struct subject *s)
{
	const sb_delta_ops *delta = component_delta(s->component);
	const uint64_t mark = take_mark(s, delta);
	sb_changes *changes = NULL;
	sb_error err = ERROR_INIT;
	int32_t status = CALL(s->trial->witness, delta, changes_open, s->backend, mark + 1000, &changes, &err);

	CHECK(s, status == SB_ERR_NOT_FOUND, "changes_open of a mark that was never given: status %d", status);
	subject_check_error(s->trial, "changes_open", status, &err);
}
