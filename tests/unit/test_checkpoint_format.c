/* The file format: what is written is read, by us and by an independent reader; what was damaged
 * is never read as something else; memory does not grow with the state. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/error.h"
#include "base/slice.h"
#include "checkpoint/checkpoint_private.h"
#include "fault/checkpoint_fixture.h"

#define NUMBER UINT64_C(1699564823000000000)

static struct io io;
static char dir[128];
static char path[256];
static struct fixture fixture;

static void set_up(void)
{
	io_init_system(&io);
	scratch_make(dir);
	snprintf(path, sizeof(path), "%s/checkpoint-%llu.json", dir, (unsigned long long)NUMBER);
}

static void tear_down(void)
{
	fixture_done(&fixture);
	scratch_remove(dir);
}

TestSuite(checkpoint_format, .init = set_up, .fini = tear_down);

static void write_fixture(enum checkpoint_codec codec, struct checkpoint_totals *ret_totals)
{
	sb_error err = ERROR_INIT;

	unlink(path);
	cr_assert_eq(fixture_write(&io, dir, &fixture, codec, ret_totals, &err), SB_OK, "%s", err.message);
}

static void expect_same(void)
{
	sb_error err = ERROR_INIT;

	cr_assert_eq(fixture_compare(&io, path, &fixture, &err), SB_OK, "%s", err.message);
	cr_assert_eq(checkpoint_verify(&io, path, NULL, &err), SB_OK, "%s", err.message);
}

Test(checkpoint_format, what_is_written_is_read_under_every_codec)
{
	for (int codec = CODEC_NONE; codec <= CODEC_ZSTD; codec++)
		for (uint32_t snapshots = 0; snapshots <= 5; snapshots += 1 + snapshots) {
			fixture_done(&fixture);
			fixture_init(&fixture, NUMBER, 11, snapshots ? 20000 : 0);
			fixture.snapshots = snapshots ? snapshots : 1;
			fixture.providers = snapshots;
			write_fixture(codec, NULL);
			expect_same();
		}
}

Test(checkpoint_format, nothing_at_all_is_a_checkpoint_too)
{
	struct checkpoint_totals totals;

	fixture_init(&fixture, NUMBER, 1, 0);
	fixture.snapshots = 0;
	fixture.providers = 0;
	write_fixture(CODEC_LZ4, &totals);
	expect_same();
	cr_assert(totals.entries == 0 && totals.state_digest.low == 0 && totals.state_digest.high == 0);
}

Test(checkpoint_format, values_larger_than_a_frame_come_back)
{
	static const uint64_t sizes[] = {(256 << 10) - 40, 256 << 10, (512 << 10) + 1, (64 << 20) + 4096};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		fixture_done(&fixture);
		fixture_init(&fixture, NUMBER, 3, 10);
		fixture.huge_value = sizes[i];
		write_fixture(i % 3, NULL);
		expect_same();
	}
}

Test(checkpoint_format, values_beyond_the_bound_are_refused_and_leave_nothing)
{
	sb_error err = ERROR_INIT;

	fixture_init(&fixture, NUMBER, 3, 10);
	fixture.huge_value = CHECKPOINT_VALUE_MAX + 1;
	cr_assert_eq(fixture_write(&io, dir, &fixture, CODEC_NONE, NULL, &err), SB_ERR_CORRUPT);
	cr_assert_eq(count_names(dir, ""), 0);
}

Test(checkpoint_format, ten_thousand_partitions_fit)
{
	fixture_init(&fixture, NUMBER, 5, 30);
	fixture.meta.partitions = reallocarray(fixture.meta.partitions, 10000, sizeof(struct partition_meta));
	for (uint64_t i = 2; i < 10000; i++) {
		fixture.meta.partitions[i] = fixture.meta.partitions[i % 2];
		fixture.meta.partitions[i].name = strdup(fixture.meta.partitions[i % 2].name);
		fixture.meta.partitions[i].offset = (int64_t)(i * UINT64_C(0x123456789abcdef));
	}
	fixture.meta.partition_count = 10000;
	write_fixture(CODEC_LZ4, NULL);
	expect_same();
}

Test(checkpoint_format, a_writer_refuses_entries_that_a_reader_would)
{
	struct checkpoint_writer *writer;
	sb_error err = ERROR_INIT;
	uint8_t value[24] = {0};
	uint32_t group = key_group_of(key_hash(slice_of("k", 1)), 128);
	struct {
		uint32_t state_id, key_group;
		uint64_t value_len;
	} wrong[] = {{1, group, 24}, {0, group ^ 1, 24}, {0, group, 23}, {700, group, 24}};

	fixture_init(&fixture, NUMBER, 1, 0);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct checkpoint_totals totals;
		int64_t bytes;

		cr_assert_eq(checkpoint_writer_begin(&io, dir, &fixture.meta, CODEC_NONE, &writer, &err), SB_OK);
		cr_assert_eq(checkpoint_writer_snapshot_begin(writer, "backend-0", &err), SB_OK);
		cr_assert_eq(checkpoint_writer_entry(writer, wrong[i].state_id, wrong[i].key_group, slice_of("k", 1),
						     slice_of(value, wrong[i].value_len), 0, &err),
			     SB_ERR_CORRUPT);
		cr_assert_eq(checkpoint_writer_commit(writer, &totals, &bytes, &err), SB_ERR_CORRUPT);
		cr_assert_eq(count_names(dir, ""), 0, "a failed writer must commit nothing and leave nothing");
	}
}

Test(checkpoint_format, names_are_taken_once)
{
	struct checkpoint_writer *writer;
	sb_error err = ERROR_INIT;

	fixture_init(&fixture, NUMBER, 1, 0);
	cr_assert_eq(checkpoint_writer_begin(&io, dir, &fixture.meta, CODEC_NONE, &writer, &err), SB_OK);
	cr_assert_eq(checkpoint_writer_provider(writer, "a", (sb_slice){0}, &err), SB_OK);
	cr_assert_neq(checkpoint_writer_provider(writer, "a", (sb_slice){0}, &err), SB_OK);
	checkpoint_writer_abort(writer);
	cr_assert_eq(count_names(dir, ""), 0);
}

Test(checkpoint_format, the_state_digest_depends_on_content_alone)
{
	struct checkpoint_totals first, other;

	fixture_init(&fixture, NUMBER, 8, 5000);
	write_fixture(CODEC_NONE, &first);
	fixture.snapshots = 3;
	fixture.reverse = true;
	fixture.meta.partitions[0].offset++;
	write_fixture(CODEC_ZSTD, &other);
	expect_same();
	cr_assert(first.state_digest.low == other.state_digest.low &&
		  first.state_digest.high == other.state_digest.high);
	fixture.seed++;
	write_fixture(CODEC_NONE, &other);
	cr_assert(first.state_digest.low != other.state_digest.low);
}

Test(checkpoint_format, jq_and_base64_open_it)
{
	char command[1024];

	if (system("command -v jq base64 >/dev/null") != 0)
		cr_skip_test("jq is not installed");
	fixture_init(&fixture, NUMBER, 8, 50);
	write_fixture(CODEC_LZ4, NULL);
	snprintf(command, sizeof(command),
		 "jq -r .StateData %s | base64 -d | jq -e '(.provider_state|keys)==[\"operator-0\"] and "
		 "(.backend_snapshots|keys)==[\"backend-0\"]' >/dev/null",
		 path);
	cr_assert_eq(system(command), 0);
	snprintf(command, sizeof(command),
		 "jq -e 'keys_unsorted[0:3]==[\"ID\",\"Timestamp\",\"Offsets\"] and .Timestamp=="
		 "\"2024-11-09T15:20:23.123456789Z\" and .Entries==50' %s >/dev/null",
		 path);
	cr_assert_eq(system(command), 0);
}

static void append_hex_member(struct buffer *out, const char *name, sb_slice bytes)
{
	buffer_printf(out, ",\"%s\":\"", name);
	hex_append(out, bytes);
	buffer_append_byte(out, '"');
}

/* As scripts/read_checkpoint.py prints it. */
static void print_items(struct buffer *out)
{
	struct checkpoint_reader *reader;
	struct checkpoint_item item;
	sb_error err = ERROR_INIT;

	cr_assert_eq(checkpoint_reader_open(&io, path, &reader, &err), SB_OK);
	do {
		cr_assert_eq(checkpoint_reader_next(reader, &item, &err), SB_OK);
		if (item.kind != ITEM_ENTRY)
			continue;
		buffer_printf(out, "{\"snapshot\":\"%s\",\"state\":\"%s\",\"key_group\":%u", item.name,
			      schema_find_id(&checkpoint_reader_meta(reader)->schema, item.state_id)->name,
			      item.key_group);
		append_hex_member(out, "user_part", item.user_part);
		append_hex_member(out, "value", item.value);
		buffer_printf(out, ",\"expiry_ms\":%lld}\n", (long long)item.expiry_ms);
	} while (item.kind != ITEM_END);
	checkpoint_reader_close(reader);
}

Test(checkpoint_format, an_independent_reader_in_python_sees_the_same_entries)
{
	if (system("command -v python3 >/dev/null") != 0)
		cr_skip_test("python3 is not installed");
	for (int codec = CODEC_NONE; codec <= CODEC_LZ4; codec++) {
		struct buffer ours = BUFFER_INIT, theirs = BUFFER_INIT;
		char command[1024];
		FILE *pipe;
		size_t n;

		fixture_done(&fixture);
		fixture_init(&fixture, NUMBER, 21, 2000);
		fixture.snapshots = 2;
		fixture.huge_value = 300 << 10;
		write_fixture(codec, NULL);
		print_items(&ours);
		snprintf(command, sizeof(command), "python3 " SB_SOURCE_DIR "/scripts/read_checkpoint.py %s", path);
		pipe = popen(command, "r");
		do {
			uint8_t *room = buffer_reserve(&theirs, 65536);

			n = fread(room, 1, 65536, pipe);
			theirs.len += n;
		} while (n);
		cr_assert_eq(pclose(pipe), 0);
		cr_assert(ours.len > 100000 && slice_equal(buffer_slice(&ours), buffer_slice(&theirs)));
		buffer_done(&ours);
		buffer_done(&theirs);
	}
}

Test(checkpoint_format, golden_files_of_version_1_are_read_for_ever)
{
	static const char *const names[] = {"checkpoint_v1", "checkpoint_v1_lz4", "checkpoint_v1_zstd"};
	sb_error err = ERROR_INIT;
	char golden[512];

	fixture_init(&fixture, NUMBER, 42, 12);
	fixture.snapshots = 2;
	fixture.meta.operator_version = (free(fixture.meta.operator_version), NULL);
	for (int codec = CODEC_NONE; codec <= CODEC_ZSTD; codec++) {
		snprintf(golden, sizeof(golden), SB_SOURCE_DIR "/tests/golden/%s.json", names[codec]);
		if (getenv("SBHOST_WRITE_GOLDEN")) {
			write_fixture(codec, NULL);
			cr_assert_eq(rename(path, golden), 0);
		}
		cr_assert_eq(fixture_compare(&io, golden, &fixture, &err), SB_OK, "%s", err.message);
	}
}

/* Damage. */

/* Refused as damaged; and what the cheap look at head and tail gives, if anything, does not survive the digest. */
static void expect_refused(const uint8_t *bytes, size_t len, const char *how, size_t where)
{
	struct checkpoint_reader *reader;
	sb_error err = ERROR_INIT;
	int32_t status;

	file_write(path, bytes, len);
	status = checkpoint_verify(&io, path, NULL, &err);
	cr_assert_eq(status, SB_ERR_CORRUPT, "%s at %zu gave %d: %s", how, where, status, err.message);
	cr_assert(strstr(err.message, path), "%s", err.message);
	if (checkpoint_reader_open(&io, path, &reader, &err) == SB_OK) {
		cr_assert_eq(checkpoint_reader_verify_digest(reader, &err), SB_ERR_CORRUPT);
		checkpoint_reader_close(reader);
	}
}

static uint8_t *small_checkpoint(size_t *ret_len)
{
	fixture_init(&fixture, NUMBER, 2, 6);
	write_fixture(CODEC_LZ4, NULL);
	return file_read(path, ret_len);
}

Test(checkpoint_format, every_truncation_is_refused)
{
	size_t len;
	uint8_t *bytes = small_checkpoint(&len);

	for (size_t cut = 0; cut < len; cut++)
		expect_refused(bytes, cut, "truncation", cut);
	free(bytes);
}

Test(checkpoint_format, every_flipped_byte_is_refused)
{
	size_t len;
	uint8_t *bytes = small_checkpoint(&len);

	for (size_t at = 0; at < len; at++)
		for (int flip = 0; flip < 3; flip++) {
			uint8_t old = bytes[at];

			bytes[at] = (uint8_t)(old ^ (flip == 0 ? 1 : flip == 1 ? 0x20 : 0xff));
			expect_refused(bytes, len, "flip", at);
			bytes[at] = old;
		}
	free(bytes);
}

Test(checkpoint_format, bytes_behind_the_end_are_refused)
{
	size_t len;
	uint8_t *bytes = small_checkpoint(&len);
	uint8_t *longer = malloc(len + 10);

	memcpy(longer, bytes, len);
	memcpy(longer + len, "\n{}\n      ", 10);
	for (size_t more = 1; more <= 10; more++)
		expect_refused(longer, len + more, "extension", more);
	free(longer);
	free(bytes);
}

/* What a forger would do: change something, then make the digest right. */
static size_t replace_and_seal(const uint8_t *bytes, size_t len, const char *from, const char *to, uint8_t *out)
{
	const uint8_t *found = memmem(bytes, len, from, strlen(from));
	size_t before, new_len = len - strlen(from) + strlen(to);
	uint8_t digest[SHA256_DIGEST_SIZE];
	struct buffer hex = BUFFER_INIT;
	struct sha256_ctx sha256;

	cr_assert_not_null(found, "%s", from);
	before = (size_t)(found - bytes);
	memcpy(out, bytes, before);
	memcpy(out + before, to, strlen(to));
	memcpy(out + before + strlen(to), found + strlen(from), len - before - strlen(from));
	sha256_init(&sha256);
	sha256_update(&sha256, new_len - CHECKPOINT_FILE_END_BYTES, out);
	sha256_digest(&sha256, sizeof(digest), digest);
	hex_append(&hex, slice_of(digest, sizeof(digest)));
	memcpy(out + new_len - CHECKPOINT_FILE_END_BYTES, hex.data, hex.len);
	buffer_done(&hex);
	return new_len;
}

Test(checkpoint_format, a_right_digest_over_wrong_content_helps_nobody)
{
	static const struct {
		const char *from, *to;
	} forgeries[] = {
		{"\"Kind\":\"full\"", "\"Kind\":\"half\""},
		{"\"Entries\":6", "\"Entries\":7"},
		{"\"Entries\":6", "\"Entries\":5"},
		{"\"KeyBytes\":", "\"KeyBytes\":1"},
		{"\"StateDataBytes\":", "\"StateDataBytes\":1"},
		{"\"StateDigest\":\"", "\"StateDigest\":\"0"},
		{"\"KeyGroups\":128", "\"KeyGroups\":64"},
		{"\"KeyGroups\":128", "\"KeyGroups\":0"},
		{"\"KeyGroups\":128", "\"KeyGroups\":99999"},
		{"\"Tasks\":2", "\"Tasks\":129"},
		{"\"Tasks\":2,\n", ""},
		{"\"Tasks\":2", "\"Tasks\":2,\n\"Tasks\":2"},
		{"\"Tasks\":2", "\"tasks\":2"},
		{"\"Offsets\":{\"0\"", "\"Offsets\":{\"1\""},
		{"\"id\":700", "\"id\":701"},
		{"\"value_size\":24", "\"value_size\":32"},
		{"\"kind\":\"raw\"", "\"kind\":\"row\""},
		{"\"Timestamp\":\"2024-11-09", "\"Timestamp\":\"2024-11-31"},
		{"\"ID\":\"checkpoint-1699564823000000000", "\"ID\":\"checkpoint-1699564823000000001"},
		{"\"StateData\":\"", "\"StateData\":\"\","},
		{"\"FormatVersion\":1", "\"FormatVersion\":0"},
		{"\"FormatVersion\":1", "\"FormatVersion\":1.0"},
		{"\"Rate\":0.1", "\"Rate\":1e999"},
		{"\"Finished\":true", "\"Finished\":1"},
	};
	size_t len, forged_len;
	uint8_t *bytes = small_checkpoint(&len);
	uint8_t *forged = malloc(len + 100);
	sb_error err = ERROR_INIT;

	for (size_t i = 0; i < sizeof(forgeries) / sizeof(forgeries[0]); i++) {
		forged_len = replace_and_seal(bytes, len, forgeries[i].from, forgeries[i].to, forged);
		file_write(path, forged, forged_len);
		cr_assert_eq(checkpoint_verify(&io, path, NULL, &err), SB_ERR_CORRUPT, "%s taken", forgeries[i].to);
	}
	free(forged);
	free(bytes);
}

Test(checkpoint_format, a_newer_format_is_refused_with_the_remedy_and_a_flipped_version_is_damage)
{
	size_t len, forged_len;
	uint8_t *bytes = small_checkpoint(&len);
	uint8_t *forged = malloc(len + 100);
	struct checkpoint_reader *reader;
	sb_error err = ERROR_INIT;

	forged_len = replace_and_seal(bytes, len, "\"FormatVersion\":1,\n\"Kind\":\"full\"",
				      "\"FormatVersion\":2,\n\"Novelty\":[{}]", forged);
	file_write(path, forged, forged_len);
	cr_assert_eq(checkpoint_reader_open(&io, path, &reader, &err), SB_ERR_INCOMPATIBLE);
	cr_assert(strstr(err.message, "newer one"), "%s", err.message);
	forged[forged_len - 10] ^= 1;
	file_write(path, forged, forged_len);
	cr_assert_eq(checkpoint_reader_open(&io, path, &reader, &err), SB_ERR_CORRUPT);
	free(forged);
	free(bytes);
}

Test(checkpoint_format, an_exported_file_may_have_any_name_but_not_another_checkpoints)
{
	sb_error err = ERROR_INIT;
	char other[256];

	fixture_init(&fixture, NUMBER, 2, 6);
	write_fixture(CODEC_NONE, NULL);
	snprintf(other, sizeof(other), "%s/backup.json", dir);
	cr_assert_eq(rename(path, other), 0);
	cr_assert_eq(checkpoint_verify(&io, other, NULL, &err), SB_OK);
	snprintf(path, sizeof(path), "%s/checkpoint-5.json", dir);
	cr_assert_eq(rename(other, path), 0);
	cr_assert_eq(checkpoint_verify(&io, path, NULL, &err), SB_ERR_CORRUPT);
	snprintf(other, sizeof(other), "%s/checkpoint-5.bak", dir);
	cr_assert_eq(rename(path, other), 0);
	cr_assert_eq(chdir(dir), 0);
	cr_assert_eq(checkpoint_verify(&io, "checkpoint-5.bak", NULL, &err), SB_OK, "%s", err.message);
}

Test(checkpoint_format, what_cannot_be_opened_leaves_nothing_to_close)
{
	struct checkpoint_reader *reader = NULL;
	sb_error err = ERROR_INIT;

	cr_assert_eq(checkpoint_reader_open(&io, path, &reader, &err), SB_ERR_NOT_FOUND);
	cr_assert_null(reader);
	checkpoint_reader_close(reader);
}

Test(checkpoint_format, what_is_no_regular_file_is_refused_without_waiting)
{
	sb_error err = ERROR_INIT;

	fixture_init(&fixture, NUMBER, 1, 0);
	cr_assert_eq(mkfifo(path, 0600), 0);
	cr_assert_eq(checkpoint_verify(&io, path, NULL, &err), SB_ERR_CORRUPT);
}

static long peak_kib(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_maxrss;
}

Test(checkpoint_format, memory_does_not_grow_with_the_state)
{
	long before, behind;

	fixture_init(&fixture, NUMBER, 1, 3000);
	write_fixture(CODEC_ZSTD, NULL);
	expect_same();
	before = peak_kib();
	fixture.entries = 300000;
	write_fixture(CODEC_ZSTD, NULL);
	expect_same();
	behind = peak_kib();
	/* 25 MB of state; the address sanitizer holds freed buffers back, so not zero. */
	cr_assert_lt(behind - before, 8192, "%ld KiB more for a hundred times the state", behind - before);
}
