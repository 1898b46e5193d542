/* The writer of checkpoints where it fails: what it refuses, a disk that is full at each place where it writes, frames that fail on the
 * second thread. Each time the first failure is what the commit says, and nothing is left. */
#include <criterion/criterion.h>
#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/slice.h"
#include "checkpoint/checkpoint_private.h"
#include "checkpoint/frame.h"
#include "checkpoint/names.h"
#include "fault/checkpoint_fixture.h"
#include "fault/failing_io.h"
#include "state/composed_key.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define NOTES 700u /* the fixture's raw state */
#define SINK_BYTES (1u << 20) /* what the file sink gathers for a write */
#define WRITE_BACK_BYTES (4 * SINK_BYTES) /* when it tells the disk to begin */
#define SINK_ROOM (48u << 10) /* what the envelope wants to be left for its next step */

static struct io_ops quick;
static struct io io; /* waits for no disk */
static char dir[128];
static struct fixture fixture;

static void set_up(void)
{
	quick_io_init(&io, &quick);
	scratch_make(dir);
	fixture_init(&fixture, 1, 1, 0);
}

static void tear_down(void)
{
	fixture_done(&fixture);
	scratch_remove(dir);
}

TestSuite(checkpoint_writer, .init = set_up, .fini = tear_down);

static struct checkpoint_writer *begin(struct io *with)
{
	struct checkpoint_writer *writer;
	sb_error err = ERROR_INIT;

	cr_assert_eq(checkpoint_writer_begin(with, dir, &fixture.meta, CODEC_NONE, &writer, &err), SB_OK, "%s",
		     err.message);
	return writer;
}

static int32_t commit(struct checkpoint_writer *writer, sb_error *err)
{
	struct checkpoint_totals totals;
	int64_t file_bytes;

	return checkpoint_writer_commit(writer, &totals, &file_bytes, err);
}

/* --- what it refuses -------------------------------------------------------------------- */

static void expect_no_beginning(int32_t status, const char *sentence)
{
	struct checkpoint_writer *writer = NULL;
	sb_error err = ERROR_INIT;

	cr_assert_eq(checkpoint_writer_begin(&io, dir, &fixture.meta, CODEC_NONE, &writer, &err), status);
	cr_assert(strstr(err.message, sentence), "%s", err.message);
	cr_assert_null(writer);
	cr_assert_eq(count_names(dir, ".json"), 0);
}

Test(checkpoint_writer, an_id_that_is_none_is_refused)
{
	strcpy(fixture.meta.id, "checkpoint-");
	expect_no_beginning(SB_ERR_INVALID, "checkpoint- is no checkpoint id");
	strcpy(fixture.meta.id, "../checkpoint-1");
	expect_no_beginning(SB_ERR_INVALID, "is no checkpoint id");
	strcpy(fixture.meta.id, "checkpoint-1x");
	expect_no_beginning(SB_ERR_INVALID, "is no checkpoint id");
}

/* It may be another writer's. */
Test(checkpoint_writer, a_temporary_that_is_there_stays)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/checkpoint-1.json.tmp", dir);
	file_write(path, "", 0);
	expect_no_beginning(SB_ERR_IO, "checkpoint-1.json.tmp");
	cr_assert_eq(count_names(dir, ".tmp"), 1);
}

Test(checkpoint_writer, names_of_parts_are_checked)
{
	static const char *const wrong[] = {"", "a/b", "a b",
					    "12345678901234567890123456789012345678901234567890123456789012345"};
	struct name_set full = {.count = CHECKPOINT_NAMES_MAX};
	struct checkpoint_writer *many = begin(&io);
	sb_error err = ERROR_INIT;
	char name[16];

	for (int i = 0; i < 5; i++) {
		snprintf(name, sizeof(name), "operator-%d", i);
		cr_assert_eq(checkpoint_writer_provider(many, name, (sb_slice){0}, &err), SB_OK, "%s", err.message);
	}
	cr_assert_eq(checkpoint_writer_provider(many, name, (sb_slice){0}, &err), SB_ERR_CORRUPT);
	cr_assert(strstr(err.message, "snapshot \"operator-4\" is there twice"), "%s", err.message);
	checkpoint_writer_abort(many);

	for (size_t i = 0; i < LENGTH(wrong); i++) {
		struct checkpoint_writer *writer = begin(&io);

		cr_assert_eq(checkpoint_writer_provider(writer, wrong[i], (sb_slice){0}, &err), SB_ERR_CORRUPT);
		cr_assert(strstr(err.message, "is no name of a snapshot"), "%s", err.message);
		checkpoint_writer_abort(writer);
	}
	cr_assert_eq(name_set_add(&full, "one-more", &err), SB_ERR_CORRUPT);
	cr_assert(strstr(err.message, "more than 65536 snapshots"), "%s", err.message);
}

Test(checkpoint_writer, what_an_operator_keeps_has_a_bound)
{
	AUTO(free_memory) uint8_t *bytes = calloc(1, CHECKPOINT_PROVIDER_MAX + 1);
	struct checkpoint_writer *writer = begin(&io);
	sb_error err = ERROR_INIT;

	cr_assert_eq(
		checkpoint_writer_provider(writer, "operator-0", slice_of(bytes, CHECKPOINT_PROVIDER_MAX + 1), &err),
		SB_ERR_NO_SPACE);
	cr_assert(strstr(err.message, "operator-0 has 16777217 bytes, at most 16777216"), "%s", err.message);
	checkpoint_writer_abort(writer);
	cr_assert_eq(count_names(dir, ".tmp"), 0);
	checkpoint_writer_abort(NULL);
}

/* A caller that lost it on the way commits nothing. */
Test(checkpoint_writer, the_first_failure_is_what_every_later_call_returns)
{
	struct checkpoint_writer *writer = begin(&io);
	sb_error first = ERROR_INIT, err = ERROR_INIT;

	cr_assert_eq(checkpoint_writer_provider(writer, "a/b", (sb_slice){0}, &first), SB_ERR_CORRUPT);
	cr_assert_eq(checkpoint_writer_provider(writer, "operator-0", (sb_slice){0}, &err), SB_ERR_CORRUPT);
	cr_assert_str_eq(err.message, first.message);
	cr_assert_eq(checkpoint_writer_snapshot_begin(writer, "backend-0", &err), SB_ERR_CORRUPT);
	cr_assert_eq(commit(writer, &err), SB_ERR_CORRUPT);
	cr_assert_str_eq(err.message, first.message);

	writer = begin(&io);
	cr_assert_eq(checkpoint_writer_snapshot_begin(writer, "backend-0", &err), SB_OK);
	cr_assert_eq(checkpoint_writer_entry(writer, 1, 0, (sb_slice){0}, (sb_slice){0}, 0, &first), SB_ERR_CORRUPT);
	cr_assert_eq(checkpoint_writer_entry(writer, 0, 0, (sb_slice){0}, (sb_slice){0}, 0, &err), SB_ERR_CORRUPT);
	cr_assert_eq(checkpoint_writer_snapshot_end(writer, &err), SB_ERR_CORRUPT);
	cr_assert_eq(commit(writer, &err), SB_ERR_CORRUPT);
	cr_assert_str_eq(err.message, first.message);
	cr_assert_eq(count_names(dir, ".json") + count_names(dir, ".tmp"), 0);
}

/* --- entries ------------------------------------------------------------------------------ */

/* An entry of state notes whose head, user part and value together have so many bytes; the value has value_len of them. */
struct note {
	struct buffer composed, value;
};

static uint32_t note_group(void)
{
	return key_group_of(key_hash(slice_of("k", 1)), fixture.meta.key_groups);
}

static void note_init(struct note *note, uint64_t user_len, uint64_t value_len)
{
	AUTO(buffer_done) struct buffer sub_key = BUFFER_INIT;

	*note = (struct note){.composed = BUFFER_INIT, .value = BUFFER_INIT};
	for (uint64_t i = 0; i < user_len - 3; i++)
		buffer_append_byte(&sub_key, 's');
	composed_append_raw(&note->composed, note_group(), NOTES, slice_of("k", 1), buffer_slice(&sub_key));
	cr_assert_eq(note->composed.len - COMPOSED_PREFIX_BYTES, user_len);
	for (uint64_t i = 0; i < value_len; i++)
		buffer_append_byte(&note->value, (uint8_t)i);
}

static void note_done(struct note *note)
{
	buffer_done(&note->composed);
	buffer_done(&note->value);
}

static int32_t put_note(struct checkpoint_writer *writer, const struct note *note, sb_error *err)
{
	return checkpoint_writer_entry(writer, NOTES, note_group(), composed_user_part(buffer_slice(&note->composed)),
				       buffer_slice(&note->value), SB_NO_EXPIRY, err);
}

static uint64_t head_bytes(uint64_t user_len, uint64_t value_len)
{
	static uint8_t byte;
	const struct snapshot_entry entry = {.state_id = NOTES,
					     .key_group = note_group(),
					     .user_part = slice_of(&byte, user_len),
					     .value = slice_of(&byte, value_len),
					     .expiry_ms = SB_NO_EXPIRY};
	uint8_t head[ENTRY_HEAD_BYTES_MAX];

	return entry_put_head(head, &entry);
}

static void expect_note_back(const struct note *note)
{
	struct checkpoint_reader *reader;
	struct checkpoint_item item;
	sb_error err = ERROR_INIT;
	char path[256];

	snprintf(path, sizeof(path), "%s/checkpoint-1.json", dir);
	cr_assert_eq(checkpoint_verify(&io, path, NULL, &err), SB_OK, "%s", err.message);
	cr_assert_eq(checkpoint_reader_open(&io, path, &reader, &err), SB_OK, "%s", err.message);
	do {
		cr_assert_eq(checkpoint_reader_next(reader, &item, &err), SB_OK, "%s", err.message);
	} while (item.kind != ITEM_ENTRY);
	cr_assert(slice_equal(item.user_part, composed_user_part(buffer_slice(&note->composed))));
	cr_assert(slice_equal(item.value, buffer_slice(&note->value)));
	checkpoint_reader_close(reader);
	unlink(path);
}

/* Where a part of an entry ends with a frame, the next one begins in another. */
Test(checkpoint_writer, entries_that_fill_a_frame_to_the_byte_come_back)
{
	const uint64_t fill = FRAME_RAW_FILL;
	const struct {
		uint64_t user_len, value_len;
	} shapes[] = {
		{3, fill - 3 - head_bytes(3, fill)}, /* all of it in one */
		{fill - head_bytes(fill, 5), 5}, /* the user part ends with one */
		{3, 2 * fill - 3 - head_bytes(3, 2 * fill)}, /* the value ends with the second */
	};

	for (size_t i = 0; i < LENGTH(shapes); i++) {
		struct checkpoint_writer *writer = begin(&io);
		AUTO(note_done) struct note note;
		sb_error err = ERROR_INIT;

		note_init(&note, shapes[i].user_len, shapes[i].value_len);
		cr_assert_eq((head_bytes(shapes[i].user_len, shapes[i].value_len) + shapes[i].user_len +
			      (i == 1 ? 0 : shapes[i].value_len)) %
				     fill,
			     0);
		cr_assert_eq(checkpoint_writer_snapshot_begin(writer, "backend-0", &err), SB_OK);
		cr_assert_eq(put_note(writer, &note, &err), SB_OK, "%s", err.message);
		cr_assert_eq(checkpoint_writer_snapshot_end(writer, &err), SB_OK);
		cr_assert_eq(commit(writer, &err), SB_OK, "%s", err.message);
		expect_note_back(&note);
	}
}

/* At a frame's end, for each number of bytes that may be left there. */
Test(checkpoint_writer, small_entries_at_the_end_of_a_frame_come_back)
{
	const uint64_t small = head_bytes(3, 40) + 3 + 40;

	for (uint64_t left = 0; left < ENTRY_HEAD_BYTES_MAX + small; left++) {
		const uint64_t large = FRAME_RAW_FILL - left - head_bytes(3, FRAME_RAW_FILL - 100) - 3;
		struct checkpoint_writer *writer = begin(&io);
		AUTO(note_done) struct note first, second;
		sb_error err = ERROR_INIT;

		note_init(&first, 3, large);
		note_init(&second, 3, 40);
		cr_assert_eq(checkpoint_writer_snapshot_begin(writer, "backend-0", &err), SB_OK);
		cr_assert_eq(put_note(writer, &first, &err), SB_OK, "%s", err.message);
		cr_assert_eq(put_note(writer, &second, &err), SB_OK, "%s", err.message);
		cr_assert_eq(checkpoint_writer_snapshot_end(writer, &err), SB_OK);
		cr_assert_eq(commit(writer, &err), SB_OK, "%s", err.message);
		expect_note_back(&first);
	}
}

Test(checkpoint_writer, a_key_beyond_its_bound_is_refused)
{
	struct checkpoint_writer *writer = begin(&io);
	AUTO(note_done) struct note note;
	sb_error err = ERROR_INIT;

	note_init(&note, CHECKPOINT_USER_PART_MAX + 1, 0);
	cr_assert_eq(checkpoint_writer_snapshot_begin(writer, "backend-0", &err), SB_OK);
	cr_assert_eq(put_note(writer, &note, &err), SB_ERR_CORRUPT);
	cr_assert(strstr(err.message, "is too large"), "%s", err.message);
	checkpoint_writer_abort(writer);
}

/* --- a full disk ---------------------------------------------------------------------------- */

static int32_t write_parts(struct checkpoint_writer *writer, sb_slice bytes, bool snapshot, sb_error *err)
{
	AUTO(note_done) struct note note;

	note_init(&note, 3, 8);
	TRY(checkpoint_writer_provider(writer, "operator-0", bytes, err));
	if (!snapshot)
		return SB_OK;
	TRY(checkpoint_writer_snapshot_begin(writer, "backend-0", err));
	TRY(put_note(writer, &note, err));
	return checkpoint_writer_snapshot_end(writer, err);
}

static int32_t write_whole(struct io *with, sb_slice bytes, bool snapshot, sb_error *err)
{
	struct checkpoint_writer *writer;
	int32_t status;

	TRY(checkpoint_writer_begin(with, dir, &fixture.meta, CODEC_NONE, &writer, err));
	status = write_parts(writer, bytes, snapshot, err);
	if (status != SB_OK) {
		checkpoint_writer_abort(writer);
		return status;
	}
	return commit(writer, err);
}

/* Bytes of the file that stand in front of what an operator keeps. */
static uint64_t bytes_before_provider(void)
{
	static const char begin_of_state[] = "\"StateData\":\"",
			  begin_of_part[] = "{\"provider_state\":{\"operator-0\":\"";
	AUTO(free_memory) uint8_t *file = NULL;
	sb_error err = ERROR_INIT;
	char path[256];
	const uint8_t *at;
	size_t len;

	cr_assert_eq(write_whole(&io, (sb_slice){0}, true, &err), SB_OK, "%s", err.message);
	snprintf(path, sizeof(path), "%s/checkpoint-1.json", dir);
	file = file_read(path, &len);
	at = memmem(file, len, begin_of_state, strlen(begin_of_state));
	cr_assert_not_null(at);
	unlink(path);
	return (uint64_t)(at - file) + strlen(begin_of_state) + strlen(begin_of_part) * 4 / 3;
}

static void expect_full_disk(struct failing_io *failing, sb_slice bytes, bool snapshot)
{
	sb_error err = ERROR_INIT;

	failing_io_arm(failing, 1, ENOSPC);
	failing->mask = IO_ONLY(IO_CALL_WRITE);
	cr_assert_eq(write_whole(&failing->io, bytes, snapshot, &err), SB_ERR_NO_SPACE);
	cr_assert(strstr(err.message, "checkpoint-1.json.tmp"), "%s", err.message);
	cr_assert_eq(count_names(dir, ".json") + count_names(dir, ".tmp"), 0);
}

/* With the header longer by a byte each time, from so many bytes before the sink is full until it is. The bytes' own length moves where the envelope's
 * groups of three end. */
static void fill_byte_by_byte(sb_slice bytes, uint64_t behind, bool snapshot)
{
	AUTO(free_memory) char *version = fixture.meta.host_version;
	struct failing_io failing;
	char pad[1024];

	failing_io_init(&failing);
	bytes.len += (SINK_BYTES - SINK_ROOM - bytes_before_provider() - behind) * 9 / 16;
	memset(pad, 'v', sizeof(pad));
	fixture.meta.host_version = pad;
	for (uint64_t len = 0; len < behind + 15; len++) {
		pad[len] = 0;
		expect_full_disk(&failing, bytes, snapshot);
		pad[len] = 'v';
	}
	fixture.meta.host_version = strdup(version);
}

/* The sink writes when it is full, and here that happens at each byte behind the operator's part in turn: at the quotes, names and braces
 * of the envelope, at the frames, at the end. */
Test(checkpoint_writer, a_disk_that_is_full_at_any_place_behind_the_operators_is_told)
{
	AUTO(free_memory) uint8_t *bytes = calloc(2, SINK_BYTES);
	struct failing_io failing;

	fill_byte_by_byte(slice_of(bytes, 0), 500, true);
	for (uint64_t more = 0; more < 9; more++) {
		fill_byte_by_byte(slice_of(bytes, more), 20, true);
		fill_byte_by_byte(slice_of(bytes, more), 20, false);
	}
	failing_io_init(&failing);
	expect_full_disk(&failing, slice_of(bytes, 2 * SINK_BYTES), true);
}

Test(checkpoint_writer, parts_larger_than_the_sink_come_back)
{
	AUTO(free_memory) uint8_t *bytes = calloc(2, SINK_BYTES);
	sb_error err = ERROR_INIT;
	char path[256];

	cr_assert_eq(write_whole(&io, slice_of(bytes, 2 * SINK_BYTES), true, &err), SB_OK, "%s", err.message);
	snprintf(path, sizeof(path), "%s/checkpoint-1.json", dir);
	cr_assert_eq(checkpoint_verify(&io, path, NULL, &err), SB_OK, "%s", err.message);
}

/* A header may be larger than what the sink gathers: then the disk is asked before there is any state. */
Test(checkpoint_writer, a_disk_that_is_full_at_the_header_is_told)
{
	struct checkpoint_writer *writer = NULL;
	struct failing_io failing;
	sb_error err = ERROR_INIT;

	fixture.meta.partitions = reallocarray(fixture.meta.partitions, 10000, sizeof(*fixture.meta.partitions));
	for (uint64_t i = 2; i < 10000; i++) {
		fixture.meta.partitions[i] = fixture.meta.partitions[0];
		fixture.meta.partitions[i].name = strdup(fixture.meta.partitions[0].name);
	}
	fixture.meta.partition_count = 10000;
	failing_io_init(&failing);
	failing_io_arm(&failing, 1, ENOSPC);
	failing.mask = IO_ONLY(IO_CALL_WRITE);
	cr_assert_eq(checkpoint_writer_begin(&failing.io, dir, &fixture.meta, CODEC_NONE, &writer, &err),
		     SB_ERR_NO_SPACE);
	cr_assert(failing.hit && !writer);
	cr_assert_eq(count_names(dir, ".tmp"), 0);
}

/* --- on its way to the disk --------------------------------------------------------------------- */

static struct {
	off_t written, begun; /* bytes */
} way;

static ssize_t note_write(struct io *system, int fd, const void *bytes, size_t len)
{
	ssize_t n = quick.write(system, fd, bytes, len);

	way.written += n > 0 ? n : 0;
	return n;
}

static int note_write_back(struct io *system, int fd, off_t offset, off_t len)
{
	(void)system, (void)fd;
	cr_assert_eq(offset, way.begun, "each byte once, in their order");
	way.begun += len;
	cr_assert_eq(way.begun, way.written, "what was written, and all of it");
	return 0;
}

Test(checkpoint_writer, the_disk_begins_with_what_was_written_while_the_rest_is_made)
{
	AUTO(free_memory) uint8_t *bytes = calloc(6, SINK_BYTES);
	struct io_ops ops = quick;
	struct io noting = {.ops = &ops};
	sb_error err = ERROR_INIT;

	ops.write = note_write;
	ops.write_back = note_write_back;
	cr_assert_eq(write_whole(&noting, slice_of(bytes, 6 * SINK_BYTES), true, &err), SB_OK, "%s", err.message);
	cr_assert_geq(way.begun, 2 * WRITE_BACK_BYTES);
	cr_assert_lt(way.written - way.begun, WRITE_BACK_BYTES + SINK_BYTES, "that much at most is left to the sync");
}

Test(checkpoint_writer, a_disk_that_cannot_begin_is_told)
{
	AUTO(free_memory) uint8_t *bytes = calloc(6, SINK_BYTES);
	struct failing_io failing;
	sb_error err = ERROR_INIT;

	failing_io_init(&failing);
	failing_io_arm(&failing, 2, EIO);
	failing.mask = IO_ONLY(IO_CALL_WRITE_BACK);
	cr_assert_eq(write_whole(&failing.io, slice_of(bytes, 6 * SINK_BYTES), true, &err), SB_ERR_IO);
	cr_assert(strstr(err.message, "checkpoint-1.json.tmp to disk"), "%s", err.message);
	cr_assert_eq(count_names(dir, ".json") + count_names(dir, ".tmp"), 0);
}

/* --- frames that fail on the second thread ----------------------------------------------------- */

/* The thread waits in its first write until the gate is opened, and finds the disk full. */
static sem_t gate;

static ssize_t fail_behind_gate(struct io *failing, int fd, const void *bytes, size_t len)
{
	(void)failing, (void)fd, (void)bytes, (void)len;
	while (sem_wait(&gate) != 0)
		continue;
	errno = ENOSPC;
	return -1;
}

/* Two frames fit into the sink, the third makes it write, and one more may wait behind it: whatever is handed over next learns what became of
 * these, however the threads run. */
static struct checkpoint_writer *fill_up_to_gate(struct io *gated, uint64_t pending)
{
	struct checkpoint_writer *writer = begin(gated);
	AUTO(note_done) struct note two_frames, rest;
	sb_error err = ERROR_INIT;

	note_init(&two_frames, 3, 2 * FRAME_RAW_FILL - 100);
	note_init(&rest, 3, pending);
	cr_assert_eq(checkpoint_writer_snapshot_begin(writer, "backend-0", &err), SB_OK);
	cr_assert_eq(put_note(writer, &two_frames, &err), SB_OK);
	cr_assert_eq(put_note(writer, &two_frames, &err), SB_OK);
	if (pending)
		cr_assert_eq(put_note(writer, &rest, &err), SB_OK);
	cr_assert_eq(sem_post(&gate), 0);
	return writer;
}

Test(checkpoint_writer, a_frame_that_fails_behind_our_back_is_told_by_the_next_call)
{
	const struct {
		uint64_t pending; /* bytes in the frame that is being filled */
		uint64_t entry; /* 0: the snapshot is ended */
	} cases[] = {
		{FRAME_RAW_FILL - 100, 200}, /* flushes the frame for an entry of its own size */
		{100, FRAME_RAW_FILL}, /* or for one that needs several */
		{0, FRAME_RAW_FILL}, /* the first piece of one */
		{100, 0},
		{0, 0},
	};
	struct io_ops ops = *io.ops;
	struct io gated = {.ops = &ops};

	ops.write = fail_behind_gate;
	cr_assert_eq(sem_init(&gate, 0, 0), 0);
	for (size_t i = 0; i < LENGTH(cases); i++) {
		struct checkpoint_writer *writer = fill_up_to_gate(&gated, cases[i].pending);
		sb_error err = ERROR_INIT;

		if (cases[i].entry) {
			AUTO(note_done) struct note note;

			note_init(&note, 3, cases[i].entry);
			cr_assert_eq(put_note(writer, &note, &err), SB_ERR_NO_SPACE, "case %zu", i);
		} else {
			cr_assert_eq(checkpoint_writer_snapshot_end(writer, &err), SB_ERR_NO_SPACE, "case %zu", i);
		}
		cr_assert(strstr(err.message, "checkpoint-1.json.tmp"), "%s", err.message);
		cr_assert_eq(commit(writer, &err), SB_ERR_NO_SPACE);
		cr_assert_eq(count_names(dir, ".json") + count_names(dir, ".tmp"), 0);
	}
	sem_destroy(&gate);
}
