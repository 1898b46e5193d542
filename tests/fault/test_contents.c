/* The logical content of full, delta and native checkpoints: the newest word on each key, the entries of a plugin's files; what does not fit together is
 * refused in the sentence meant for it; and each allocation and each call on files may fail on the way. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/slice.h"
#include "fault/checkpoint_fixture.h"
#include "fault/contents_ground.h"
#include "fault/failing_io.h"
#include "fault/fault_step.h"
#include "state/composed_key.h"
#include "support/forge.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define FILING SB_TEST_PLUGIN_DIR "/libfiling_backend.so"

static struct contents_ground ground;

static void set_up(void)
{
	contents_ground_init(&ground);
}

static void tear_down(void)
{
	contents_ground_done(&ground);
}

TestSuite(contents, .init = set_up, .fini = tear_down);

static void expect_line(uint64_t number, const char *line)
{
	AUTO(buffer_done) struct buffer got = BUFFER_INIT;
	sb_error err = ERROR_INIT;

	cr_assert_eq(contents_read(&ground, &ground.io, number, 0, &got, &err), SB_OK, "%s", err.message);
	cr_assert_str_eq(buffer_text(&got), line);
	cr_assert_eq(count_names(ground.dir, ""), count_names(ground.dir, ".json") + 1,
		     "something was left beside shared/");
}

static void expect_refused(uint64_t number, int32_t status, const char *says)
{
	AUTO(buffer_done) struct buffer got = BUFFER_INIT;
	sb_error err = ERROR_INIT;

	cr_assert_eq(contents_read(&ground, &ground.io, number, 0, &got, &err), status, "%s: %d %s", says, err.code,
		     err.message);
	cr_assert(strstr(err.message, says), "%s", err.message);
	cr_assert_eq(count_names(ground.dir, ""), count_names(ground.dir, ".json") + 1,
		     "something was left beside shared/");
}

/* --- deltas ---------------------------------------------------------------------- */

Test(contents, the_newest_word_on_each_key_counts)
{
	contents_write(&ground, 1, 0, "0 a1 b1 c1 d1 ~e1|1 z1");
	contents_write(&ground, 2, 1, "0 a2 -b c2 c3 f2|1");
	contents_write(&ground, 3, 2, "0 a3 -f ~d3 b3 -b|1 -z y3");
	expect_line(1, "p0 0 a1 b1 c1 d1 e1|1 z1|"); /* a full one says all that it holds */
	expect_line(2, "p0 0 a2 c3 f2 d1|1 z1|");
	expect_line(3, "p0 0 a3 c3|1 y3|");
}

Test(contents, a_chain_that_does_not_fit_together_is_refused)
{
	contents_write(&ground, 2, 1, "0 a1");
	expect_refused(2, SB_ERR_CORRUPT, "needs checkpoint-1, which is not in");
	contents_write(&ground, 10, 0, "0 a1");
	contents_write(&ground, 11, 1, "1 a1");
	expect_refused(11, SB_ERR_CORRUPT, "checkpoint-10, on which checkpoint-11 builds, has not the same snapshots");
	contents_write(&ground, 20, 0, "0 a1");
	contents_write(&ground, 21, 1, "0 a1|1 b1");
	expect_refused(21, SB_ERR_CORRUPT, "checkpoint-20, on which checkpoint-21 builds, has not the same snapshots");
	contents_write(&ground, 30, 0, "0 a1|1 b1");
	contents_write(&ground, 31, 1, "0 a1");
	expect_refused(31, SB_ERR_CORRUPT, "checkpoint-30, on which checkpoint-31 builds, has more snapshots");
}

/* Behind a right digest, as only a liar could have written it: found where it is read, which for a full one is late. */
static void forge_parent(uint64_t number, uint32_t depth, const char *frames)
{
	AUTO(buffer_done) struct buffer bytes = BUFFER_INIT;
	AUTO(buffer_done) struct buffer envelope = BUFFER_INIT;
	const struct checkpoint_totals totals = {.entries = 5, .key_bytes = 500, .value_bytes = 500};
	struct fixture fixture;
	char path[256];

	fixture_init(&fixture, number, 1, 0);
	fixture.meta.depth = depth;
	if (depth) {
		fixture.meta.kind = CHECKPOINT_INCREMENTAL;
		cr_assert_geq(asprintf(&fixture.meta.parent, "checkpoint-%llu", (unsigned long long)number - 1), 0);
	}
	for (uint64_t i = 0; frames[i]; i++)
		if (frames[i] == 'e')
			forge_end(&bytes, 0, i);
		else
			forge_frame(&bytes, FRAME_LAST_PIECE, 0, i, slice_of("x", 1));
	if (frames[0])
		forge_envelope(&envelope, buffer_slice(&bytes));
	else
		buffer_append_text(&envelope, "{\"provider_state\":[]}");
	snprintf(path, sizeof(path), "%s/%s.json", ground.dir, fixture.meta.id);
	forge_checkpoint(path, &fixture.meta, &totals, buffer_slice(&envelope));
	fixture_done(&fixture);
}

Test(contents, a_parent_that_lies_is_refused_wherever_it_is_read)
{
	contents_write(&ground, 1, 0, "0 a1");
	forge_parent(2, 1, "l");
	contents_write(&ground, 3, 2, "0 a1");
	expect_refused(3, SB_ERR_CORRUPT, "a last piece without a first");
	forge_parent(10, 0, "");
	contents_write(&ground, 11, 1, "0 a1");
	expect_refused(11, SB_ERR_CORRUPT, "an array where an object should be");
	forge_parent(20, 0, "l");
	contents_write(&ground, 21, 1, "0 a1");
	expect_refused(21, SB_ERR_CORRUPT, "a last piece without a first");
	forge_parent(30, 0, "e");
	contents_write(&ground, 31, 1, "0 a1");
	expect_refused(31, SB_ERR_CORRUPT, "0 entries where the trailer says 5");
}

/* --- native ones ----------------------------------------------------------------- */

/* An entry of the fixture's state 0, which belongs to its group, by one character. */
static void append(struct buffer *bucket, char key, char digit, int64_t expiry_ms)
{
	uint8_t composed[COMPOSED_PREFIX_BYTES + 1], value[24];

	composed_put_prefix(composed, key_group_of(key_hash(slice_of(&key, 1)), 128), 0);
	composed[COMPOSED_PREFIX_BYTES] = (uint8_t)key;
	memset(value, digit, sizeof(value));
	native_append_entry(bucket, slice_of(composed, sizeof(composed)), slice_of(value, sizeof(value)), expiry_ms);
}

/* With two snapshots: a, b (expired) and c; and none. */
static void write_native(uint64_t number, const char *backend_id, const char *current)
{
	AUTO(buffer_done) struct buffer bucket = BUFFER_INIT;
	struct native_draft draft;

	append(&bucket, 'a', '1', SB_NO_EXPIRY);
	append(&bucket, 'b', '1', 1);
	append(&bucket, 'c', '2', INT64_MAX - 1);
	native_draft_init(&draft, number, backend_id);
	native_draft_add(&ground, &draft, "backend-0", current, buffer_slice(&bucket));
	native_draft_add(&ground, &draft, "backend-1", NULL, slice_of("", 0));
	native_draft_write(&ground, &draft);
}

Test(contents, files_are_read_by_the_plugin_that_the_checkpoint_names_or_the_user)
{
	write_native(1, "filing", NULL);
	expect_line(1, "p0 0 a1 c2|1|");
	write_native(2, NULL, NULL);
	ground.config.source_plugin = FILING;
	expect_line(1, "p0 0 a1 c2|1|");
	expect_line(2, "p0 0 a1 c2|1|");
}

Test(contents, files_of_a_backend_that_is_not_here_are_refused)
{
	write_native(1, "filing", NULL);
	write_native(2, NULL, NULL);
	write_native(3, "absent", NULL);
	expect_refused(2, SB_ERR_CONFIG, "does not say which backend wrote its files: use --source-plugin");
	expect_refused(3, SB_ERR_NOT_FOUND,
		       "the backend that wrote them only (absent; --source-plugin says where it is)");
	ground.config.source_plugin = "absent";
	expect_refused(2, SB_ERR_NOT_FOUND, "the backend that wrote them only (unknown;");
	ground.config.source_plugin = SB_PLUGIN_DIR "/libmemory_backend.so";
	expect_refused(1, SB_ERR_CONFIG, "were written by backend filing, not by memory");
	expect_refused(2, SB_ERR_UNSUPPORTED, "memory has no files of its own");
	ground.config.source_plugin = SB_TEST_PLUGIN_DIR "/libcounting_operator.so";
	expect_refused(1, SB_ERR_INVALID, "backend");
}

Test(contents, files_that_the_plugin_cannot_read_are_refused)
{
	write_native(1, "filing", "1 1\n");
	expect_refused(1, SB_ERR_CORRUPT, "names no buckets");
	write_native(2, "filing", "1 1 1 1 iter_open\n");
	expect_refused(2, SB_ERR_IO, "CURRENT asks for a failing iter_open");
	write_native(3, "filing", "1 1 1 1 iter_next\n");
	expect_refused(3, SB_ERR_IO, "CURRENT asks for a failing iter_next");
}

static void write_one_entry(uint64_t number, sb_slice key)
{
	AUTO(buffer_done) struct buffer bucket = BUFFER_INIT;
	struct native_draft draft;

	native_append_entry(&bucket, key, slice_of("", 0), SB_NO_EXPIRY);
	native_draft_init(&draft, number, "filing");
	native_draft_add(&ground, &draft, "backend-0", NULL, buffer_slice(&bucket));
	native_draft_write(&ground, &draft);
}

Test(contents, files_with_entries_that_are_none_are_refused)
{
	write_one_entry(1, slice_of("abc", 3));
	expect_refused(1, SB_ERR_CORRUPT, "checkpoint-1 is damaged: its files hold a key of 3 bytes");
	write_one_entry(2, slice_of("\0\0\0\1k", 5));
	expect_refused(2, SB_ERR_CORRUPT, "checkpoint-2 is damaged: its files hold: an entry of state number 1");
}

/* Where nobody may write beside the files, they are copied to where everybody may. */
Test(contents, a_directory_that_is_read_only_sends_the_scratch_elsewhere)
{
	static const int refusals[] = {EROFS, EACCES};
	AUTO(buffer_done) struct buffer line = BUFFER_INIT;
	struct failing_io failing;

	write_native(1, "filing", NULL);
	failing_io_init(&failing);
	for (size_t i = 0; i < LENGTH(refusals); i++)
		for (unsigned tmpdir = 0; tmpdir < 3; tmpdir++) {
			sb_error err = ERROR_INIT;

			if (tmpdir == 0)
				unsetenv("TMPDIR");
			else
				setenv("TMPDIR", tmpdir == 1 ? "" : ground.dir, 1);
			failing_io_arm(&failing, 1, refusals[i]);
			failing.mask = IO_ONLY(IO_CALL_MKDIR);
			cr_assert_eq(contents_read(&ground, &failing.io, 1, 0, &line, &err), SB_OK, "%s", err.message);
			cr_assert_str_eq(buffer_text(&line), "p0 0 a1 c2|1|");
			cr_assert(failing.hit);
		}
}

Test(contents, a_scratch_directory_that_the_user_names_is_that_or_an_error)
{
	static const int refusals[] = {EROFS, EIO};
	AUTO(buffer_done) struct buffer line = BUFFER_INIT;
	struct failing_io failing;
	char scratch[128];

	scratch_make(scratch);
	write_native(1, "filing", NULL);
	failing_io_init(&failing);
	for (unsigned i = 0; i < 2; i++) {
		sb_error err = ERROR_INIT;

		ground.config.scratch_dir = i ? NULL : scratch;
		failing_io_arm(&failing, 1, refusals[i]);
		failing.mask = IO_ONLY(IO_CALL_MKDIR);
		cr_assert_eq(contents_read(&ground, &failing.io, 1, 0, &line, &err), SB_ERR_IO);
		cr_assert(strstr(err.message, i ? ground.dir : scratch), "%s", err.message);
	}
	ground.config.scratch_dir = scratch;
	expect_line(1, "p0 0 a1 c2|1|");
	cr_assert_eq(count_names(scratch, ""), 0);
	scratch_remove(scratch);
}

/* --- what fails on the way ------------------------------------------------------- */

static int32_t read_some(struct io *io, uint64_t number, uint64_t max_items, sb_error *err)
{
	AUTO(buffer_done) struct buffer line = BUFFER_INIT;

	return contents_read(&ground, io, number, max_items, &line, err);
}

static int32_t read_chain(struct io *io, sb_error *err)
{
	return read_some(io, 3, 0, err);
}

static int32_t read_native(struct io *io, sb_error *err)
{
	return read_some(io, 4, 0, err);
}

static int32_t leave_chain(struct io *io, sb_error *err)
{
	return read_some(io, 3, 4, err);
}

static int32_t leave_native(struct io *io, sb_error *err)
{
	return read_some(io, 4, 4, err);
}

static int32_t verify_native(struct io *io, sb_error *err)
{
	AUTO(free_memory) char *path = NULL;

	if (asprintf(&path, "%s/checkpoint-4.json", ground.dir) < 0) {
		path = NULL;
		return error_no_memory(err);
	}
	return checkpoint_verify(io, path, NULL, err);
}

Test(contents, whatever_fails_on_the_way_is_an_error_that_passes)
{
	static const struct fault_step steps[] = {
		{"read a chain", read_chain, true},	      {"read native files", read_native, true},
		{"leave a chain", leave_chain, true},	      {"leave native files", leave_native, true},
		{"verify native files", verify_native, true},
	};
	sb_error err = ERROR_INIT;

	contents_write(&ground, 1, 0, "0 a1 *3 +l");
	contents_write(&ground, 2, 1, "0 *600");
	contents_write(&ground, 3, 2, "0 -a b1");
	write_native(4, "filing", NULL);
	for (size_t i = 0; i < LENGTH(steps); i++) {
		cr_assert_eq(fault_step_starve(&steps[i], &err), SB_OK, "%s", err.message);
		cr_assert_eq(fault_step_fail(&steps[i], EIO, &err), SB_OK, "%s", err.message);
	}
}
