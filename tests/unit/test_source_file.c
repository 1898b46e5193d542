/* Files and standard input as sources: every record once, wherever reading begins and wherever blocks end. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/slice.h"
#include "stream/source.h"

static const sb_field inputs[] = {
	{.struct_size = sizeof(sb_field), .type = SB_TYPE_STRING, .flags = SB_FIELD_KEY, .name = "a"},
};

static struct io io;
static struct clock system_clock;
static struct log silent;
static struct decoder *decoder;
static sb_error err = ERROR_INIT;
static char directory[64], path[96];

static void make_decoder(enum input_format format, bool has_header)
{
	struct decoder_config config = {
		.format = format, .fields = inputs, .field_count = 1, .delimiter = ',', .has_header = has_header};

	decoder_free(decoder);
	decoder = NULL;
	cr_assert_eq(decoder_new(&config, &decoder, &err), SB_OK, "%s", err.message);
}

static void set_up(void)
{
	io_init_system(&io);
	clock_init_system(&system_clock);
	strcpy(directory, "/tmp/sbhost-source-XXXXXX");
	cr_assert_not_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/input", directory);
	make_decoder(FORMAT_NDJSON, false);
}

static void tear_down(void)
{
	decoder_free(decoder);
	unlink(path);
	rmdir(directory);
}

TestSuite(source_file, .init = set_up, .fini = tear_down);

static void write_file(const void *bytes, size_t len)
{
	FILE *file = fopen(path, "wb");

	cr_assert_not_null(file);
	cr_assert_eq(fwrite(bytes, 1, len, file), len);
	fclose(file);
}

static int32_t try_open(bool has_header, struct source **ret)
{
	struct source_config config = {.kind = SOURCE_FILE,
				       .path = path,
				       .decoder = decoder,
				       .has_header = has_header,
				       .io = &io,
				       .clock = &system_clock,
				       .log = &silent};

	return source_open(&config, ret, &err);
}

static struct source *open_at(int64_t offset, const struct source_identity *expected, bool has_header)
{
	struct source *source = NULL;

	cr_assert_eq(try_open(has_header, &source), SB_OK, "%s", err.message);
	cr_assert_eq(source_start(source, offset, expected, &err), SB_OK, "%s", err.message);
	return source;
}

static bool next(struct source *source, struct source_record *ret)
{
	enum source_status status = source_next(source, ret, &err);

	cr_assert(status == SOURCE_RECORD || status == SOURCE_END, "%d: %s", (int)status, err.message);
	return status == SOURCE_RECORD;
}

/* Reads all, asserting that the records are the file's bytes from offset on, without a gap. */
static unsigned assert_tail(const struct buffer *content, int64_t offset)
{
	struct source *source = open_at(offset, NULL, false);
	struct source_record record;
	unsigned records = 0;
	int64_t at = offset;

	while (next(source, &record)) {
		cr_assert_eq(record.offset, at);
		cr_assert_not(record.oversize);
		cr_assert_eq(record.next_offset, at + (int64_t)record.bytes.len);
		cr_assert_eq(memcmp(record.bytes.ptr, content->data + at, record.bytes.len), 0);
		cr_assert(record.bytes.ptr >= record.block->bytes &&
			  record.bytes.ptr + record.bytes.len <= record.block->bytes + record.block->size);
		at = record.next_offset;
		records++;
	}
	cr_assert_eq(at, (int64_t)content->len);
	source_close(source);
	return records;
}

static void add_line(struct buffer *out, size_t len, unsigned number)
{
	size_t start = out->len;

	buffer_printf(out, "{\"a\":\"%u ", number);
	while (out->len - start + 3 < len)
		buffer_append_byte(out, (uint8_t)('a' + out->len % 26));
	buffer_append_text(out, "\"}\n");
}

Test(source_file, the_tail_is_the_same_from_every_record)
{
	struct buffer content = BUFFER_INIT;
	unsigned lines = 0;

	for (; lines < 60; lines++)
		add_line(&content, 12 + lines * 7 % 40, lines);
	write_file(content.data, content.len);
	for (size_t at = 0; at < content.len; at++)
		if (at == 0 || content.data[at - 1] == '\n')
			cr_assert_eq(assert_tail(&content, (int64_t)at), lines--);
	buffer_done(&content);
}

Test(source_file, records_straddle_the_ends_of_blocks)
{
	struct buffer content = BUFFER_INIT;
	unsigned lines = 0;

	/* Lengths that let records end just before, at and behind each end of a block, and some longer than a block. */
	for (; content.len < 3u << 20; lines++)
		add_line(&content,
			 lines % 97 == 96   ? 700000
			 : lines % 31 == 30 ? 65536 - 17 + lines % 34
					    : 4096 - lines % 3,
			 lines);
	buffer_append_text(&content, "{\"a\":\"no line end\"}");
	write_file(content.data, content.len);
	cr_assert_eq(assert_tail(&content, 0), lines + 1);
	buffer_done(&content);
}

Test(source_file, blocks_that_are_held_are_never_written_again)
{
	enum { HELD = 4000 };
	static struct source_record held[HELD];
	struct buffer content = BUFFER_INIT;
	struct source *source;
	unsigned count = 0;

	for (unsigned i = 0; i < HELD; i++)
		add_line(&content, 20 + i * 37 % 1000, i);
	write_file(content.data, content.len);
	source = open_at(0, NULL, false);
	while (next(source, &held[count]))
		block_ref(held[count++].block);
	source_close(source);
	cr_assert_eq(count, HELD);
	for (unsigned i = 0; i < HELD; i++) {
		cr_assert_eq(memcmp(held[i].bytes.ptr, content.data + held[i].offset, held[i].bytes.len), 0);
		block_unref(held[i].block);
	}
	buffer_done(&content);
}

static void assert_one_oversize(size_t line_bytes, bool line_end, bool expected)
{
	size_t before = 10, after = line_end ? 5 : 0, len = before + line_bytes + after;
	char *content = malloc(len);
	struct source_record record;
	struct source *source;

	memset(content, 'x', len);
	content[before - 1] = '\n';
	if (line_end) {
		content[before + line_bytes - 1] = '\n';
		content[len - 1] = '\n';
	}
	write_file(content, len);
	source = open_at(0, NULL, false);
	cr_assert(next(source, &record) && record.bytes.len == before && !record.oversize);
	cr_assert(next(source, &record));
	cr_assert_eq(record.oversize, expected);
	cr_assert_eq(record.offset, (int64_t)before);
	cr_assert_eq(record.next_offset, (int64_t)(before + line_bytes));
	cr_assert_eq(record.bytes.len, expected ? 4096 : line_bytes);
	cr_assert_eq(memcmp(record.bytes.ptr, content + before, record.bytes.len), 0);
	if (line_end) {
		cr_assert(next(source, &record));
		cr_assert_eq(record.offset, (int64_t)(before + line_bytes));
		cr_assert_eq(record.bytes.len, after);
	}
	cr_assert_not(next(source, &record));
	source_close(source);
	free(content);
}

Test(source_file, a_record_beyond_the_limit_is_cut_and_the_next_one_is_whole)
{
	assert_one_oversize(RECORD_MAX_BYTES, true, false);
	assert_one_oversize(RECORD_MAX_BYTES, false, false);
	assert_one_oversize(RECORD_MAX_BYTES + 1, true, true);
	assert_one_oversize(RECORD_MAX_BYTES + 1, false, true);
	assert_one_oversize(9 * RECORD_MAX_BYTES + 12345, true, true);
	assert_one_oversize(9 * RECORD_MAX_BYTES + 12345, false, true);
}

Test(source_file, a_long_record_takes_a_fixed_amount_of_memory)
{
	struct source_record record;
	struct source *source;

	write_file("x", 1);
	cr_assert_eq(truncate(path, 64 << 20), 0); /* NULs, and no line end in sight */
	source = open_at(0, NULL, false);
	cr_assert(next(source, &record) && record.oversize);
	cr_assert_eq(record.next_offset, 64 << 20);
	cr_assert_leq(record.block->size, 4 * RECORD_MAX_BYTES);
	cr_assert_not(next(source, &record));
	source_close(source);
}

Test(source_file, a_byte_order_mark_is_passed_over)
{
	struct source_record record;
	struct source *source;

	write_file("\xef\xbb\xbf{}\n", 6);
	source = open_at(0, NULL, false);
	cr_assert(next(source, &record));
	cr_assert_eq(record.offset, 3);
	cr_assert_eq(record.bytes.len, 3);
	source_close(source);
	for (size_t len = 0; len <= 3; len++) {
		write_file("\xef\xbb\xbf", len);
		source = open_at(0, NULL, false);
		cr_assert_eq(next(source, &record), len == 1 || len == 2);
		source_close(source);
	}
}

Test(source_file, a_header_is_no_record_and_is_read_on_a_restart_too)
{
	static const char text[] = "\xef\xbb\xbf"
				   "b,a\n1,x\n2,y\n";
	struct source_record record;
	struct source *source;

	make_decoder(FORMAT_CSV, true);
	write_file(text, sizeof(text) - 1);
	source = open_at(0, NULL, true);
	cr_assert(next(source, &record));
	cr_assert_eq(record.offset, 7);
	source_close(source);
	make_decoder(FORMAT_CSV, true);
	source = open_at(11, NULL, true);
	cr_assert(next(source, &record));
	cr_assert(slice_equal_text(record.bytes, "2,y\n"));
	source_close(source);
	make_decoder(FORMAT_CSV, true);
	write_file("", 0);
	cr_assert_eq(try_open(true, &source), SB_ERR_CONFIG);
	write_file("b,c\n", 4);
	cr_assert_eq(try_open(true, &source), SB_ERR_CONFIG);
	cr_assert(strstr(err.message, path), "%s", err.message);
}

/* ---- identity ---- */

static struct source_identity identity_after(unsigned records)
{
	struct source *source = open_at(0, NULL, false);
	struct source_identity identity;
	struct source_record record;

	while (records-- > 0)
		cr_assert(next(source, &record));
	cr_assert_eq(source_identity(source, &identity, &err), SB_OK);
	source_close(source);
	return identity;
}

static void assert_start(int64_t offset, const struct source_identity *expected, int32_t status)
{
	struct source *source = NULL;

	cr_assert_eq(try_open(false, &source), SB_OK, "%s", err.message);
	cr_assert_eq(source_start(source, offset, expected, &err), status, "%s", err.message);
	if (status != SB_OK)
		cr_assert(strstr(err.message, path) && strstr(err.message, "--restore none"), "%s", err.message);
	source_close(source);
}

Test(source_file, an_input_that_is_another_one_is_refused)
{
	struct source_identity identity;

	write_file("{\"a\":1}\n{\"a\":2}\n", 16);
	identity = identity_after(1);
	cr_assert_str_eq(identity.name, path);
	cr_assert_eq(identity.size, 16);
	assert_start(8, &identity, SB_OK);
	write_file("{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n", 24); /* has grown */
	assert_start(8, &identity, SB_OK);
	write_file("{\"a\":9}\n{\"a\":2}\n", 16); /* begins otherwise */
	assert_start(8, &identity, SB_ERR_CONFIG);
	write_file("{\"a\":1}\n", 8); /* is shorter */
	assert_start(16, &identity, SB_ERR_CONFIG);
	free(identity.name);
	identity.name = strdup("-");
	assert_start(0, &identity, SB_ERR_CONFIG);
	source_identity_done(&identity);
}

Test(source_file, a_file_that_was_empty_may_have_anything_later)
{
	struct source_identity identity;

	write_file("", 0);
	identity = identity_after(0);
	cr_assert_eq(identity.head_bytes, 0);
	write_file("{\"a\":9}\n", 8);
	assert_start(0, &identity, SB_OK);
	source_identity_done(&identity);
}

/* ---- what cannot be opened ---- */

Test(source_file, what_cannot_be_read_is_refused_with_its_name)
{
	struct source *source = NULL;

	cr_assert_eq(try_open(false, &source), SB_ERR_CONFIG);
	cr_assert(strstr(err.message, path) && strstr(err.message, "does not exist"), "%s", err.message);
	cr_assert_eq(mkdir(path, 0700), 0);
	cr_assert_eq(try_open(false, &source), SB_ERR_CONFIG);
	cr_assert(strstr(err.message, "directory"), "%s", err.message);
	cr_assert_eq(rmdir(path), 0);
	cr_assert_null(source);
}

static ssize_t failing_read(struct io *failing, int fd, void *bytes, size_t len)
{
	(void)failing;
	(void)fd;
	(void)bytes;
	(void)len;
	errno = EIO;
	return -1;
}

Test(source_file, a_failing_read_is_reported)
{
	struct io_ops ops = *io.ops;
	struct source_record record;
	struct source *source;

	write_file("{}\n", 3);
	ops.read = failing_read;
	io.ops = &ops;
	source = NULL;
	if (try_open(false, &source) == SB_OK)
		cr_assert_eq(source_next(source, &record, &err), SOURCE_FAILED);
	cr_assert_eq(err.code, SB_ERR_IO);
	source_close(source);
	io_init_system(&io);
}

/* ---- streams ---- */

Test(source_file, a_fifo_is_read_as_it_comes)
{
	struct source_record record;
	struct source *source;
	int fd;

	cr_assert_eq(mkfifo(path, 0600), 0);
	source = open_at(100, NULL, false); /* does not wait for a writer */
	cr_assert_eq(source_next(source, &record, &err), SOURCE_IDLE);
	cr_assert_geq(source_poll_fd(source), 0);
	fd = open(path, O_WRONLY);
	cr_assert_eq(write(fd, "{}\n{\"a\"", 7), 7);
	cr_assert(next(source, &record));
	cr_assert_eq(record.offset, 100);
	cr_assert_eq(source_next(source, &record, &err), SOURCE_IDLE);
	cr_assert_eq(write(fd, ":1}", 3), 3);
	cr_assert_eq(source_next(source, &record, &err), SOURCE_IDLE);
	close(fd);
	cr_assert(next(source, &record));
	cr_assert_eq(record.offset, 103);
	cr_assert(slice_equal_text(record.bytes, "{\"a\":1}"));
	cr_assert_not(next(source, &record));
	cr_assert_eq(source_total(source), -1);
	source_close(source);
}

static struct source *open_stdin(void)
{
	struct source_config config = {
		.kind = SOURCE_STDIN, .decoder = decoder, .io = &io, .clock = &system_clock, .log = &silent};
	struct source *source = NULL;

	cr_assert_eq(source_open(&config, &source, &err), SB_OK, "%s", err.message);
	return source;
}

Test(source_file, standard_input_from_a_file_begins_where_it_stands_and_rewinds)
{
	struct source_identity identity;
	struct source_record record;
	struct source *source;
	int fd;

	write_file("skipped\n{\"a\":1}\n{\"a\":2}\n", 24);
	fd = open(path, O_RDONLY);
	cr_assert_eq(lseek(fd, 8, SEEK_SET), 8);
	cr_assert_eq(dup2(fd, STDIN_FILENO), STDIN_FILENO);
	source = open_stdin();
	cr_assert_eq(source_start(source, 0, NULL, &err), SB_OK);
	cr_assert(next(source, &record));
	cr_assert_eq(record.offset, 8);
	cr_assert_eq(source_identity(source, &identity, &err), SB_OK);
	cr_assert_str_eq(identity.name, "-");
	source_close(source);
	cr_assert_eq(lseek(fd, 0, SEEK_SET), 0);
	source = open_stdin();
	cr_assert_eq(source_start(source, 16, &identity, &err), SB_OK, "%s", err.message);
	cr_assert(next(source, &record));
	cr_assert(slice_equal_text(record.bytes, "{\"a\":2}\n"));
	source_close(source);
	source_identity_done(&identity);
	close(fd);
}

Test(source_file, a_pipe_is_read_on_and_its_offsets_go_on)
{
	char name[] = "-";
	struct source_identity identity = {.name = name, .size = -1};
	struct source_record record;
	struct source *source;
	int ends[2];

	cr_assert_eq(pipe(ends), 0);
	cr_assert_eq(dup2(ends[0], STDIN_FILENO), STDIN_FILENO);
	close(ends[0]);
	source = open_stdin();
	cr_assert_eq(source_start(source, 1000, &identity, &err), SB_OK);
	cr_assert_eq(source_next(source, &record, &err), SOURCE_IDLE);
	cr_assert_eq(fcntl(STDIN_FILENO, F_GETFL) & O_NONBLOCK, 0);
	cr_assert_eq(write(ends[1], "{}\n", 3), 3);
	cr_assert(next(source, &record));
	cr_assert_eq(record.offset, 1000);
	cr_assert_eq(record.next_offset, 1003);
	close(ends[1]);
	cr_assert_not(next(source, &record));
	source_close(source);
}
