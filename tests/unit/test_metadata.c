/* A checkpoint's header and trailer, member by member: what a reader refuses to believe, in the sentence that is meant for it. They are parsed here as they
 * are, without a file around them, so no digest stands in front. What a writer refuses to say is in test_metadata_write.c. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/slice.h"
#include "checkpoint/checkpoint_private.h"
#include "fault/checkpoint_fixture.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define HASH "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static struct fixture fixture;

/* Native, so that every list has something in it. */
static void set_up(void)
{
	static struct file_meta files[] = {{.bytes = 7, .sha256 = HASH}, {.bytes = INT64_MAX, .sha256 = HASH}};
	struct checkpoint_meta *meta = &fixture.meta;

	fixture_init(&fixture, 12, 1, 0);
	meta->kind = CHECKPOINT_INCREMENTAL;
	meta->files = calloc(2, sizeof(*meta->files));
	memcpy(meta->files, files, sizeof(files));
	for (uint64_t i = 0; i < 2; i++) {
		meta->files[i].snapshot = strdup("backend-0");
		meta->files[i].name = strdup(i ? "CURRENT" : "000001.sst");
	}
	meta->file_count = 2;
}

static void tear_down(void)
{
	fixture_done(&fixture);
}

TestSuite(metadata, .init = set_up, .fini = tear_down);

struct pieces {
	sb_slice left;
	size_t step;
	uint64_t fills, fail_at; /* the fill that fails; 0: none */
};

static int32_t fill(void *context, sb_slice *ret_piece, sb_error *err)
{
	struct pieces *pieces = context;
	uint64_t len = pieces->left.len < pieces->step ? pieces->left.len : pieces->step;

	if (++pieces->fills == pieces->fail_at)
		return error_set(err, SB_ERR_IO, "a loose cable");
	*ret_piece = slice_of(pieces->left.ptr, len);
	pieces->left = slice_of(pieces->left.ptr + len, pieces->left.len - len);
	return SB_OK;
}

static void write_header(struct buffer *ret_text)
{
	sb_error err = ERROR_INIT;

	buffer_clear(ret_text);
	cr_assert_eq(metadata_write_header(&fixture.meta, CODEC_ZSTD, ret_text, &err), SB_OK, "%s", err.message);
}

static int32_t read_header(struct pieces *pieces, sb_error *err)
{
	struct checkpoint_meta meta;
	struct json_pull pull;
	uint64_t newer;

	json_pull_init(&pull, fill, pieces, "the header", 0);
	TRY(metadata_read_header(&pull, &meta, &newer, err));
	metadata_done(&meta);
	return SB_OK;
}

static void write_trailer(struct buffer *ret_text)
{
	const struct checkpoint_totals totals = {.entries = 1, .key_bytes = 2, .value_bytes = 3, .state_data_bytes = 4};

	metadata_write_trailer(&totals, ret_text);
	buffer_append_text(ret_text, HASH CHECKPOINT_FILE_END);
}

/* Behind the quote that ends StateData. */
static int32_t read_trailer(struct pieces *pieces, sb_error *err)
{
	char digest[CHECKPOINT_DIGEST_HEX + 1];
	struct checkpoint_totals totals;
	struct json_pull pull;

	pieces->left = slice_of(pieces->left.ptr + 1, pieces->left.len - 1);
	json_pull_init_behind_member(&pull, fill, pieces, "the trailer", 0);
	return metadata_read_trailer(&pull, &totals, digest, err);
}

typedef int32_t reading(struct pieces *pieces, sb_error *err);

static void expect_every_cut_refused(reading *read, const struct buffer *text, size_t from)
{
	for (size_t len = from; len < text->len; len++) {
		struct pieces pieces = {.left = slice_of(text->data, len), .step = 1};
		sb_error err = ERROR_INIT;

		cr_assert_eq(read(&pieces, &err), SB_ERR_CORRUPT, "%zu bytes: %s", len, err.message);
	}
}

static void expect_every_cable_told(reading *read, const struct buffer *text)
{
	uint64_t fail_at = 0;
	int32_t status;

	do {
		struct pieces pieces = {.left = buffer_slice(text), .step = 1, .fail_at = ++fail_at};
		sb_error err = ERROR_INIT;

		status = read(&pieces, &err);
		cr_assert(status == SB_OK ? pieces.fills < fail_at : strcmp(err.message, "a loose cable") == 0,
			  "fill %llu: %s", (unsigned long long)fail_at, err.message);
	} while (status != SB_OK);
	cr_assert_geq(fail_at, text->len);
}

static void expect_same_behind(const struct checkpoint_meta *wanted)
{
	AUTO(buffer_done) struct buffer text = BUFFER_INIT;
	struct pieces pieces = {.step = 7};
	struct checkpoint_meta got;
	struct json_pull pull;
	sb_error err = ERROR_INIT;
	uint64_t newer;

	cr_assert_eq(metadata_write_header(wanted, CODEC_NONE, &text, &err), SB_OK, "%s", err.message);
	pieces.left = buffer_slice(&text);
	json_pull_init(&pull, fill, &pieces, "the header", 0);
	cr_assert_eq(metadata_read_header(&pull, &got, &newer, &err), SB_OK, "%s", err.message);
	cr_assert_eq(json_pull_offset(&pull), (int64_t)text.len);
	cr_assert_eq(fixture_compare_meta(&got, wanted, &err), SB_OK, "%s", err.message);
	cr_assert(got.depth == wanted->depth && got.file_count == wanted->file_count);
	for (uint64_t i = 0; i < got.file_count; i++) {
		cr_assert_str_eq(got.files[i].snapshot, wanted->files[i].snapshot);
		cr_assert_str_eq(got.files[i].name, wanted->files[i].name);
		cr_assert_str_eq(got.files[i].sha256, wanted->files[i].sha256);
		cr_assert_eq(got.files[i].bytes, wanted->files[i].bytes);
	}
	metadata_done(&got);
}

Test(metadata, what_a_writer_says_is_what_a_reader_hears_whatever_the_kind)
{
	struct checkpoint_meta meta = fixture.meta;
	struct output_meta outputs[2] = {meta.outputs[0], {.role = meta.outputs[0].role, .path = meta.outputs[0].path}};
	struct file_meta files[2] = {meta.files[0], meta.files[1]};
	char other[] = "backend-1", parent[] = "checkpoint-11";

	files[1].snapshot = other;
	meta.files = files;
	expect_same_behind(&meta);
	meta.file_count = 0;
	meta.parent = parent;
	meta.depth = CHECKPOINT_DEPTH_MAX;
	meta.outputs = outputs;
	meta.output_count = 2;
	expect_same_behind(&meta);
	meta.kind = CHECKPOINT_FULL;
	meta.parent = NULL;
	meta.depth = 0;
	meta.partition_count = 0;
	expect_same_behind(&meta);
}

/* Each in the middle of any member, name, or list. */
Test(metadata, every_truncation_of_a_header_is_refused_and_every_loose_cable_told)
{
	AUTO(buffer_done) struct buffer text = BUFFER_INIT;

	write_header(&text);
	expect_every_cut_refused(read_header, &text, 0);
	expect_every_cable_told(read_header, &text);
}

Test(metadata, every_truncation_of_a_trailer_is_refused_and_every_loose_cable_told)
{
	AUTO(buffer_done) struct buffer text = BUFFER_INIT;

	write_trailer(&text);
	text.len--; /* the line feed is no member: reader.c looks for it */
	expect_every_cut_refused(read_trailer, &text, 1);
	expect_every_cable_told(read_trailer, &text);
}

struct forgery {
	const char *from, *to; /* the first from becomes to */
	const char *says; /* NULL: it is taken */
};

static void expect_answer(reading *read, const struct buffer *text, const struct forgery *forgery)
{
	AUTO(buffer_done) struct buffer forged = BUFFER_INIT;
	const uint8_t *found = memmem(text->data, text->len, forgery->from, strlen(forgery->from));
	struct pieces pieces = {.step = 1000};
	sb_error err = ERROR_INIT;
	size_t before;
	int32_t status;

	cr_assert(found, "%s", forgery->from);
	before = (size_t)(found - text->data);
	buffer_append(&forged, text->data, before);
	buffer_append_text(&forged, forgery->to);
	before += strlen(forgery->from);
	buffer_append(&forged, text->data + before, text->len - before);
	pieces.left = buffer_slice(&forged);
	status = read(&pieces, &err);
	if (!forgery->says)
		cr_assert_eq(status, SB_OK, "%s: %s", forgery->to, err.message);
	else
		cr_assert(status == SB_ERR_CORRUPT && strstr(err.message, forgery->says), "%s: %d %s", forgery->to,
			  status, err.message);
}

Test(metadata, a_header_that_lies_is_refused_by_the_member_that_does)
{
	static const struct forgery forgeries[] = {
		{"{\"ID\"", "[\"ID\"", "an array where an object"},
		{"\"ID\":\"checkpoint-12\"", "\"ID\":null", "a \"ID\" that is null"},
		{"\"ID\":\"checkpoint-12\"", "\"ID\":12", "\"ID\" is neither a string nor null"},
		{"checkpoint-12", "checkpoint-012", "an \"ID\" that is none"},
		{"checkpoint-12", "checkpoint-12x", "an \"ID\" that is none"},
		{"checkpoint-12", "checkpoint-99999999999999999999", "an \"ID\" that is none"},
		{"checkpoint-12", "chequepoint-12", "an \"ID\" that is none"},
		{"2024-11-09T", "2024-11-09 ", "a malformed \"Timestamp\""},
		{"2024-11-09T", "2024-11-9T", "a malformed \"Timestamp\""},
		{"789Z", "789Zx", "a malformed \"Timestamp\""},
		{"789Z", "789", "a malformed \"Timestamp\""},
		{"2024-11-09T", "2024-00-09T", "a malformed \"Timestamp\""},
		{"2024-11-09T", "2024-13-09T", "a malformed \"Timestamp\""},
		{"2024-11-09T", "2024-11-00T", "a malformed \"Timestamp\""},
		{"2024-11-09T", "2024-02-30T", "a malformed \"Timestamp\""},
		{"2024-11-09T", "2024-11-+9T", "a malformed \"Timestamp\""},
		{"2024-11-09T", "9999-11-09T", "a malformed \"Timestamp\""},
		{"2024-11-09T15:20:23.123456789", "2262-04-11T23:47:16.854775808", "a malformed \"Timestamp\""},
		{"2024-11-09T15:20:23.123456789", "2262-04-11T23:47:16.854775807", NULL},
		{"\"Offsets\":{\"0\"", "\"Offsets\":{\"\"", "offset \"\" where \"0\" should be"},
		{"\"Offsets\":{\"0\"", "\"Offsets\":{\"0\\u0000x\"", "where \"0\" should be"},
		{"\"FormatVersion\":1", "\"FormatVersion\":0", "a \"FormatVersion\" of 0"},
		{"\"FormatVersion\":1", "\"FormatVersion\":2", NULL}, /* all that follows is that one's */
		{"\"incremental\"", "\"half\"", "an unknown \"Kind\""},
		{"\"incremental\"", "\"full\"", "a \"Kind\" that does not fit"},
		{"\"Parent\":null", "\"Parent\":\"checkpoint-5\"", "a \"Kind\" that does not fit"},
		{"\"Parent\":null", "\"Parent\":\"../checkpoint-5\"", "a \"Parent\" that is no id"},
		{"\"Parent\":null,\n\"Depth\":0", "\"Parent\":\"checkpoint-5\",\n\"Depth\":1",
		 "a \"Kind\" that does not fit"},
		{"\"Depth\":0", "\"Depth\":1", "a \"Kind\" that does not fit"},
		{"\"Depth\":0", "\"Depth\":65", "\"Depth\" is not between 0 and 64"},
		{"\"Operator\":\"example-processor\"", "\"Operator\":null", "a \"Operator\" that is null"},
		{"\"OperatorVersion\":\"1.0\"", "\"OperatorVersion\":null", NULL},
		{"\"KeyGroups\":128", "\"KeyGroups\":0", "\"KeyGroups\" is not between 1"},
		{"\"Tasks\":2", "\"Tasks\":0", "\"Tasks\" is not between 1 and 128"},
		{"\"Name\":\"data", "\"Nome\":\"data", "member \"Nome\" where \"Name\" should be"},
		{",\"NameHex\":", ",\"NameHexe\":", "member \"NameHexe\" where \"WatermarkMs\" should be"},
		{",\"NameHex\":", ",\"NameHex\\u0000\":", "where \"WatermarkMs\" should be"},
		{"\"NameHex\":\"6", "\"NameHex\":\"", "a malformed \"NameHex\""}, /* an odd number of digits */
		{"\"NameHex\":\"64", "\"NameHex\":\"00", "a malformed \"NameHex\""},
		{"\"NameHex\":\"64", "\"NameHex\":\"g4", "a malformed \"NameHex\""},
		{"\"NameHex\":\"64", "\"NameHex\":\"6/", "a malformed \"NameHex\""},
		{"\"NameHex\":\"64", "\"NameHex\":\"6:", "a malformed \"NameHex\""},
		{"\"NameHex\":\"64", "\"NameHex\":\"6a", NULL},
		{"\"WatermarkMs\":null", "\"WatermarkMs\":1.5", "a \"WatermarkMs\" that is neither"},
		{"\"WatermarkMs\":null", "\"WatermarkMs\":true", "a \"WatermarkMs\" that is neither"},
		{"\"HeadHash\":\"fedcba9876543210\"", "\"HeadHash\":\"fedcba987654321\"", "\"HeadHash\" is not 16"},
		{"\"HeadHash\":\"fedcba9876543210\"", "\"HeadHash\":\"fedcba987654321G\"", "\"HeadHash\" is not 16"},
		{"\"HeadHash\":\"fedcba9876543210\"", "\"HeadHash\":\"fedcba98765432100\"", "more than 16 bytes"},
		{"\"Generator\":null", "\"Generator\":[]", "a \"Generator\" that is neither"},
		{"\"Users\":5", "\"Users\":0", "a generator without users"},
		{"\"Finished\":true", "\"Finished\":1", "a number where true or false"},
		{"\"Outputs\":[{", "\"Outputs\":[null,{", "an output that is no object"},
		{"\"Length\":77", "\"Length\":-1", "a negative \"Length\""},
		{"\"Name\":\"out.ndjson\"", "\"Name\":\"\",\"NameHex\":\"ff\"", NULL},
		{"\"States\":[", "\"States\":[1,", "the header is damaged"},
		{"\"Files\":[{", "\"Files\":[7,{", "a file that is no object"},
		{"\"Snapshot\":\"backend-0\"", "\"Snapshot\":\"backend0\"", "a file of no snapshot"},
		{"\"Snapshot\":\"backend-0\"", "\"Snapshot\":\"backend-/\"", "a file of no snapshot"},
		{"\"Snapshot\":\"backend-0\"", "\"Snapshot\":\"backend-1\"", "doubled or out of order"},
		{"\"Name\":\"000001.sst\"", "\"Name\":\"\"", "a file whose name is none"},
		{"\"Name\":\"000001.sst\"", "\"Name\":\".\"", "a file whose name is none"},
		{"\"Name\":\"000001.sst\"", "\"Name\":\"..\"", "a file whose name is none"},
		{"\"Name\":\"000001.sst\"", "\"Name\":\"../000001.sst\"", "a file whose name is none"},
		{"\"Name\":\"000001.sst\"", "\"Name\":\"\\u001b[2J\"", "a file whose name is none"},
		{"\"Name\":\"000001.sst\"", "\"Name\":\"D\"", "out of order"},
		{"\"Name\":\"000001.sst\"", "\"Name\":\"CURRENT\"", "doubled or out of order"},
		{"\"Bytes\":7", "\"Bytes\":-1", "a file of impossible size or hash"},
		{HASH, "", "a file of impossible size or hash"},
		{"0123456789abcdef0", "0123456789Abcdef0", "a file of impossible size or hash"},
		{"\"Codec\":\"zstd\"", "\"Codec\":\"gzip\"", "an unknown \"Codec\""},
		{"\"StateData\":\"", "\"StateData\":7\"", "a number where a string should be"},
	};
	AUTO(buffer_done) struct buffer text = BUFFER_INIT;

	write_header(&text);
	for (size_t i = 0; i < LENGTH(forgeries); i++)
		expect_answer(read_header, &text, &forgeries[i]);
}

Test(metadata, a_trailer_that_lies_is_refused_by_the_member_that_does)
{
	static const struct forgery forgeries[] = {
		{"\"Entries\":1", "\"Entries\":-1", "-1 is no unsigned"},
		{"\"StateDigest\":\"0", "\"StateDigest\":\"", "not 32 hexadecimal digits"},
		{"\"StateDigest\":\"0", "\"StateDigest\":\"g", "not 32 hexadecimal digits"},
		{"0\",\n\"Digest\"", "G\",\n\"Digest\"", "not 32 hexadecimal digits"},
		{"sha256:", "sha512:", "\"Digest\" is not sha256"},
		{"sha256:0", "sha256:", "\"Digest\" is not sha256"},
		{"\"}\n", "\",\"More\":1}\n", "member \"More\" where the end of an object"},
		{"\"}\n", "\"}{", "bytes behind the end"},
	};
	AUTO(buffer_done) struct buffer text = BUFFER_INIT;

	write_trailer(&text);
	for (size_t i = 0; i < LENGTH(forgeries); i++)
		expect_answer(read_trailer, &text, &forgeries[i]);
}

Test(metadata, offsets_are_at_most_as_many_as_there_may_be_inputs)
{
	AUTO(buffer_done) struct buffer text = BUFFER_INIT;
	struct pieces pieces = {.step = 1 << 20};
	sb_error err = ERROR_INIT;

	buffer_append_text(
		&text,
		"{\"ID\":\"checkpoint-1\",\"Timestamp\":\"2024-11-09T15:20:23.123456789Z\",\"Offsets\":{\"0\":0");
	for (unsigned i = 1; i <= CHECKPOINT_NAMES_MAX; i++)
		buffer_printf(&text, ",\"%u\":0", i);
	pieces.left = buffer_slice(&text);
	cr_assert_eq(read_header(&pieces, &err), SB_ERR_CORRUPT);
	cr_assert(strstr(err.message, "more than 65536 \"Offsets\""), "%s", err.message);
}
