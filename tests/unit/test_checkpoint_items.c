/* What lies in StateData, layer by layer (its base64, the envelope, the base64 in that, frames, entries, the sums of the trailer), forged with right checksums and
 * a right digest: each is refused in the sentence that is meant for it, and never handed out. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/slice.h"
#include "fault/checkpoint_fixture.h"
#include "support/forge.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static struct io io;
static struct fixture fixture;
static char dir[128], path[256];
static const uint8_t value[24] = "twenty-four bytes of it";

static void set_up(void)
{
	io_init_system(&io);
	scratch_make(dir);
	snprintf(path, sizeof(path), "%s/checkpoint-12.json", dir);
	fixture_init(&fixture, 12, 1, 0);
}

static void tear_down(void)
{
	fixture_done(&fixture);
	scratch_remove(dir);
}

TestSuite(checkpoint_items, .init = set_up, .fini = tear_down);

static int32_t read_all(sb_error *err)
{
	struct checkpoint_reader *reader;
	struct checkpoint_item item;
	int32_t status;

	cr_assert_eq(checkpoint_reader_open(&io, path, &reader, err), SB_OK, "%s", err->message);
	do {
		status = checkpoint_reader_next(reader, &item, err);
	} while (status == SB_OK && item.kind != ITEM_END);
	if (status == SB_OK) {
		status = checkpoint_reader_next(reader, &item, err);
		cr_assert(status == SB_OK && item.kind == ITEM_END, "behind the end there is nothing but the end");
	} else {
		sb_error again = ERROR_INIT;

		cr_assert_eq(checkpoint_reader_next(reader, &item, &again), status, "a failure passes away");
		cr_assert_str_eq(again.message, err->message);
	}
	checkpoint_reader_close(reader);
	return status;
}

static void expect(int32_t wanted, const char *says)
{
	sb_error err = ERROR_INIT;
	int32_t status = read_all(&err);

	cr_assert(status == wanted && strstr(err.message, says), "%s: %d %s", says, status, err.message);
	cr_assert(status == SB_OK || strstr(err.message, path), "%s", err.message);
}

/* What the trailer says where nothing else is said: all that there can be. */
static const struct checkpoint_totals plenty = {.entries = 100, .key_bytes = 10000, .value_bytes = 1 << 30};
static const struct checkpoint_totals nothing = {.entries = 0};

Test(checkpoint_items, state_data_that_is_no_base64_is_refused_by_its_byte)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
		{"", "it ends too early"},
		{"e", "its base64 is cut off at byte"},
		{"eyJ", "its base64 is cut off at byte"},
		{"eyJwcm92aWRlcl9", "its base64 is cut off at byte"},
		{"eyJ!", "no base64 at byte"},
		{"ew==ew==", "no base64 at byte"},
		{"ew==", "it ends too early"},
	};

	for (size_t i = 0; i < LENGTH(cases); i++) {
		forge_file(path, &fixture.meta, &nothing, slice_of_text(cases[i].text));
		expect(SB_ERR_CORRUPT, cases[i].says);
	}
}

static void forge_text(const char *envelope)
{
	forge_checkpoint(path, &fixture.meta, &nothing, slice_of_text(envelope));
}

Test(checkpoint_items, an_envelope_that_is_none_is_refused)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
		{"[]", "an array where an object should be"},
		{"{\"provider\":{}}", "where \"provider_state\" should be"},
		{"{\"provider_state\":[]}", "an array where an object should be"},
		{"{\"provider_state\":{\"\":\"\"}}", "\"\" is no name"},
		{"{\"provider_state\":{\"../a\":\"\"}}", "\"../a\" is no name"},
		{"{\"provider_state\":{\"a\\u0000b\":\"\"}}", "a name with a NUL in it"},
		{"{\"provider_state\":{\"a\":\"\",\"a\":\"\"}}", "\"a\" is there twice"},
		{"{\"provider_state\":{\"a\":{}}}", "an object where a string should be"},
		{"{\"provider_state\":{\"a\":\"eyJ\"}}", "base64 that is cut off"},
		{"{\"provider_state\":{\"a\":\"eyJ\\\\\"}}", "no base64"},
		{"{\"provider_state\":{}}", "the end of an object where member \"backend_snapshots\" should be"},
		{"{\"provider_state\":{},\"backend_snapshots\":1}", "a number where an object should be"},
		{"{\"provider_state\":{},\"backend_snapshots\":{\"a b\":\"\"}}", "\"a b\" is no name"},
		{"{\"provider_state\":{},\"backend_snapshots\":{\"a\":\"\"}}", "a snapshot that ends too early"},
		{"{\"provider_state\":{},\"backend_snapshots\":{\"a\":\"eyJ\"}}", "base64 that is cut off"},
		{"{\"provider_state\":{},\"backend_snapshots\":{},\"more\":{}}",
		 "where the end of an object should be"},
		{"{\"provider_state\":{},\"backend_snapshots\":{}}{}", "bytes behind the end"},
	};

	for (size_t i = 0; i < LENGTH(cases); i++) {
		forge_text(cases[i].text);
		expect(SB_ERR_CORRUPT, cases[i].says);
	}
	forge_text("{\"provider_state\":{\"a\":\"AA==\"},\"backend_snapshots\":{}} ");
	expect(SB_OK, "");
}

/* Between any two characters: names, separators, base64, the middle of a frame. */
Test(checkpoint_items, every_truncation_of_an_envelope_is_refused)
{
	AUTO(buffer_done) struct buffer envelope = BUFFER_INIT;
	AUTO(buffer_done) struct buffer entry = BUFFER_INIT;
	AUTO(buffer_done) struct buffer frames = BUFFER_INIT;

	forge_entry(&entry, &fixture.meta, 0, "k", slice_of(value, sizeof(value)));
	forge_frame(&frames, FRAME_ENTRIES, 1, 0, buffer_slice(&entry));
	forge_end(&frames, 1, 1);
	buffer_append_text(&envelope,
			   "{\"provider_state\":{\"operator-0\":\"AAAA\"},\"backend_snapshots\":{\"backend-0\":\"");
	forge_base64(&envelope, buffer_slice(&frames));
	buffer_append_text(&envelope, "\"}}");
	for (size_t len = 0; len < envelope.len; len++) {
		forge_checkpoint(path, &fixture.meta, &plenty, slice_of(envelope.data, len));
		expect(SB_ERR_CORRUPT, "is damaged");
	}
}

/* --- frames ---------------------------------------------------------------------- */

enum part {
	NO_MORE,
	ONE, /* ENTRIES that hold one */
	TWO_AS_ONE, /* … two, and say one */
	NONE_OF_IT, /* … and say none */
	RAW_ENTRY, /* of a state whose keys are escaped */
	UNKNOWN, /* of a state that is not in the schema */
	CHANGE, /* CHANGES that hold one */
	PIECE,
	COUNTED_PIECE,
	LAST,
	END_0,
	END_1,
	COUNTED_END,
	EMPTY_END,
	LONG_END,
	TO_COME, /* of a type that a later version may have */
	NOT_A_FRAME,
	WRONG_SUM,
	HALF, /* of a frame */
	BYTE,
};

static void add_entries(struct buffer *frames, enum part part, uint64_t number)
{
	AUTO(buffer_done) struct buffer entries = BUFFER_INIT;
	uint32_t state = part == RAW_ENTRY ? 700 : part == UNKNOWN ? 1 : 0;

	forge_entry(&entries, &fixture.meta, state, "k", slice_of(value, sizeof(value)));
	if (part == TWO_AS_ONE)
		forge_entry(&entries, &fixture.meta, state, "l", slice_of(value, sizeof(value)));
	forge_frame(frames, part == CHANGE ? FRAME_CHANGES : FRAME_ENTRIES, part != NONE_OF_IT, number,
		    buffer_slice(&entries));
}

static void add_part(struct buffer *frames, enum part part, uint64_t number)
{
	const sb_slice some = slice_of(value, 1), zero = slice_of("", 1);

	switch (part) {
	case PIECE:
	case COUNTED_PIECE:
		forge_frame(frames, FRAME_PIECE, part == COUNTED_PIECE, number, some);
		break;
	case LAST:
		forge_frame(frames, FRAME_LAST_PIECE, 0, number, some);
		break;
	case END_0:
	case END_1:
		forge_end(frames, part == END_1, number);
		break;
	case COUNTED_END:
		forge_frame(frames, FRAME_END, 1, number, zero);
		break;
	case EMPTY_END:
		forge_frame(frames, FRAME_END, 0, number, (sb_slice){0});
		break;
	case LONG_END:
		forge_frame(frames, FRAME_END, 0, number, slice_of("\0\0", 2));
		break;
	case TO_COME:
		forge_frame(frames, FRAME_CHANGES + 1, 0, number, some);
		break;
	case NOT_A_FRAME:
		buffer_append(frames, (const uint8_t[FRAME_HEADER_BYTES]){0}, FRAME_HEADER_BYTES);
		break;
	case WRONG_SUM:
		add_entries(frames, ONE, number);
		frames->data[frames->len - 1] ^= 1;
		break;
	case HALF:
		add_entries(frames, ONE, number);
		frames->len -= FRAME_CHECKSUM_BYTES + 3;
		break;
	case BYTE:
		buffer_append_byte(frames, 0);
		break;
	default:
		add_entries(frames, part, number);
	}
}

static void forge_parts(const enum part *parts, uint64_t first, const struct checkpoint_totals *totals)
{
	AUTO(buffer_done) struct buffer frames = BUFFER_INIT;
	AUTO(buffer_done) struct buffer envelope = BUFFER_INIT;

	for (uint64_t i = 0; parts[i] != NO_MORE; i++)
		add_part(&frames, parts[i], first + i);
	forge_envelope(&envelope, buffer_slice(&frames));
	forge_checkpoint(path, &fixture.meta, totals, buffer_slice(&envelope));
}

struct frames_case {
	enum part parts[4];
	const char *says;
};

static void expect_refused(const struct frames_case *cases, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		forge_parts(cases[i].parts, 0, &plenty);
		expect(SB_ERR_CORRUPT, cases[i].says);
	}
}

Test(checkpoint_items, frames_that_do_not_fit_together_are_refused)
{
	static const struct frames_case cases[] = {
		{{NOT_A_FRAME}, "no frame"},
		{{ONE, NOT_A_FRAME}, "no frame"},
		{{WRONG_SUM, END_1}, "a frame whose checksum does not match"},
		{{HALF}, "a snapshot that ends too early"},
		{{BYTE}, "a snapshot that ends too early"},
		{{ONE}, "a snapshot that ends too early"},
		{{NONE_OF_IT, END_0}, "a frame with a wrong count"},
		{{COUNTED_PIECE, LAST, END_1}, "a frame with a wrong count"},
		{{COUNTED_END}, "a frame with a wrong count"},
		{{EMPTY_END}, "a malformed end of a snapshot"},
		{{LONG_END}, "a malformed end of a snapshot"},
		{{ONE, END_0}, "a snapshot of 1 entries that should have 0"},
		{{END_1}, "a snapshot of 0 entries that should have 1"},
		{{END_0, BYTE}, "bytes behind a snapshot's end"},
		{{END_0, END_0}, "bytes behind a snapshot's end"},
		{{LAST, END_1}, "a last piece without a first"},
		{{PIECE, ONE, END_1}, "an entry whose pieces do not go on"},
		{{PIECE, END_1}, "an entry whose pieces do not go on"},
		{{PIECE, HALF}, "a snapshot that ends too early"},
		{{PIECE, LAST, END_1}, "an entry whose numbers are malformed"},
		{{CHANGE, END_1}, "a frame of the wrong kind"},
		{{TWO_AS_ONE, END_1}, "bytes behind a frame's last entry"},
		{{UNKNOWN, END_1}, "an entry of state number 1, which the schema lacks"},
		{{RAW_ENTRY, END_1}, "the key of a raw state has no end mark"},
	};

	expect_refused(cases, LENGTH(cases));
	forge_parts((const enum part[]){ONE, END_1, NO_MORE}, 1, &plenty);
	expect(SB_ERR_CORRUPT, "a frame out of order");
	forge_parts((const enum part[]){TO_COME, NO_MORE}, 0, &plenty);
	expect(SB_ERR_INCOMPATIBLE, "holds: a frame of type 6, which this version does not know");
}

Test(checkpoint_items, a_delta_holds_changes_and_a_native_one_nothing)
{
	static const struct frames_case of_delta[] = {{{ONE, END_1}, "a frame of the wrong kind"}};
	static const struct frames_case of_native[] = {{{ONE, END_1}, "entries beside files"},
						       {{CHANGE, END_1}, "entries beside files"},
						       {{PIECE, LAST, END_1}, "entries beside files"}};
	struct checkpoint_meta *meta = &fixture.meta;

	meta->kind = CHECKPOINT_INCREMENTAL;
	meta->parent = strdup("checkpoint-11");
	meta->depth = 1;
	expect_refused(of_delta, LENGTH(of_delta));
	free(TAKE(meta->parent));
	meta->depth = 0;
	meta->files = calloc(1, sizeof(*meta->files));
	meta->files[0] = (struct file_meta){.snapshot = strdup("backend-0"), .name = strdup("a")};
	memset(meta->files[0].sha256, 'a', CHECKPOINT_SHA256_HEX);
	meta->file_count = 1;
	expect_refused(of_native, LENGTH(of_native));
	forge_parts((const enum part[]){END_0, NO_MORE}, 0, &nothing);
	expect(SB_OK, "");
}

/* Of zeros, a MiB in each frame, which take some bytes in the file. */
Test(checkpoint_items, an_entry_grows_no_further_than_an_entry_may)
{
	AUTO(buffer_done) struct buffer frames = BUFFER_INIT;
	AUTO(buffer_done) struct buffer envelope = BUFFER_INIT;

	for (uint64_t i = 0; i < 80; i++)
		forge_zeros(&frames, FRAME_PIECE, i);
	forge_envelope(&envelope, buffer_slice(&frames));
	forge_checkpoint(path, &fixture.meta, &plenty, buffer_slice(&envelope));
	expect(SB_ERR_CORRUPT, "an entry of more than");
}

Test(checkpoint_items, a_provider_grows_no_further_than_a_provider_may)
{
	const uint64_t len = CHECKPOINT_PROVIDER_MAX + 1;
	AUTO(free_memory) uint8_t *zeros = calloc(1, len);
	AUTO(buffer_done) struct buffer envelope = BUFFER_INIT;

	buffer_append_text(&envelope, "{\"provider_state\":{\"operator-0\":\"");
	forge_base64(&envelope, slice_of(zeros, len));
	buffer_append_text(&envelope, "\"},\"backend_snapshots\":{}}");
	forge_checkpoint(path, &fixture.meta, &nothing, buffer_slice(&envelope));
	expect(SB_ERR_CORRUPT, "an operator's snapshot of more than 16777216 bytes");
}

/* --- sums ------------------------------------------------------------------------ */

static struct hash128 digest_of_one(void)
{
	const sb_slice key = slice_of("k", 1);
	const struct snapshot_entry entry = {.user_part = key,
					     .key_group = key_group_of(key_hash(key), fixture.meta.key_groups),
					     .value = slice_of(value, sizeof(value)),
					     .expiry_ms = SB_NO_EXPIRY};
	struct state_digest digest;

	state_digest_init(&digest, &fixture.meta);
	state_digest_add(&digest, &entry);
	state_digest_done(&digest);
	return digest.sum;
}

Test(checkpoint_items, each_sum_of_the_trailer_has_to_be_right)
{
	static const enum part parts[] = {ONE, END_1, NO_MORE};
	const struct checkpoint_totals right = {
		.entries = 1, .key_bytes = 1, .value_bytes = sizeof(value), .state_digest = digest_of_one()};

	forge_parts(parts, 0, &right);
	expect(SB_OK, "");
	for (unsigned which = 0; which < 5; which++)
		for (int by = -1; by <= 1; by += 2) {
			struct checkpoint_totals said = right;
			uint64_t *sums[] = {&said.entries, &said.key_bytes, &said.value_bytes, &said.state_digest.low,
					    &said.state_digest.high};

			*sums[which] += (uint64_t)by;
			forge_parts(parts, 0, &said);
			expect(SB_ERR_CORRUPT, which > 2 ? "another state than the trailer's StateDigest says"
					       : by < 0	 ? "more entries than the trailer says"
							 : "1 entries where the trailer says");
		}
}
