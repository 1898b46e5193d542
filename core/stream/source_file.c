/* Files and standard input as sources.
 *
 * What is a regular file can be rewound: its offset is its byte position. All else (a pipe, a FIFO, a terminal, a device) is
 * a stream: it is read from where it is, its bytes are counted on from the offset it was started with, and it is
 * polled before each read, so that waiting is the caller's affair. A stream's header is read with its first record, for
 * the same reason.
 *
 * Bytes are read into blocks, and records stay where they were read. Consumers may hold a block for as long as they
 * like, so nothing in front of `filled` is ever written again while somebody else has a reference: a record that does
 * not fit to the end of its block is copied into a fresh one. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "base/slice.h"
#include "stream/source_private.h"

#define HEAD_BYTES 4096
#define OVERSIZE_KEPT ((size_t)4096)
#define BOM_BYTES 3

struct file_source {
	struct source base;
	struct io *io;
	const struct log *log;
	struct decoder *decoder;
	char *path;
	const char *title; /* for sentences: the path, or "standard input" */
	int fd;
	bool is_stdin;
	bool regular;
	bool ended;
	bool expect_bom; /* reading begins at byte 0, where a byte order mark may be */
	bool expect_header;
	int64_t size_at_open; /* regular */
	int64_t first_offset; /* of the first record */

	struct block *block;
	int64_t block_offset; /* of the block's first byte, in the file */
	size_t begin, filled; /* the bytes not yet handed out */
	size_t resume; /* decoder_split's, for bytes + begin */

	bool skipping; /* an oversize record: only its beginning is kept, at the block's start */
	int64_t oversize_offset;

	size_t head_len; /* regular: what was at its beginning when it was opened */
	uint8_t head[HEAD_BYTES];
};

static struct file_source *file_of(struct source *source)
{
	return (struct file_source *)source;
}

static const struct file_source *const_file_of(const struct source *source)
{
	return (const struct file_source *)source;
}

/* ---- reading ---- */

static bool is_shared(const struct block *block)
{
	return atomic_load_explicit(&block->references, memory_order_acquire) > 1;
}

/* Moves the `keep` bytes at begin to the start of a block of at least `size` that nobody else looks at. */
static int32_t move_to_front(struct file_source *f, size_t keep, size_t size, sb_error *err)
{
	struct block *block = f->block;

	if (is_shared(block) || block->size < size) {
		block = block_new(size);
		if (!block)
			return error_no_memory(err);
	}
	memmove(block->bytes, f->block->bytes + f->begin, keep);
	if (block != f->block) {
		block_unref(f->block);
		f->block = block;
	}
	f->block_offset += (int64_t)f->begin;
	f->begin = 0;
	f->filled = keep;
	return SB_OK;
}

/* Makes room behind filled. What is left of a record moves to a block of twice its size, so that a long one is
 * copied a few times at most; it is never longer than RECORD_MAX_BYTES here. */
static int32_t make_room(struct file_source *f, sb_error *err)
{
	size_t keep = f->filled - f->begin;
	size_t size = SOURCE_BLOCK_BYTES;

	if (f->filled < f->block->size)
		return SB_OK;
	while (size < 2 * keep)
		size *= 2;
	return move_to_front(f, keep, size, err);
}

/* Nothing can be read from a stream at the moment without waiting. */
static bool must_wait(const struct file_source *f)
{
	struct pollfd poll_fd = {.fd = f->fd, .events = POLLIN};

	return !f->regular && poll(&poll_fd, 1, 0) <= 0;
}

static int32_t check_end(const struct file_source *f, sb_error *err)
{
	int64_t end = f->block_offset + (int64_t)f->filled;

	if (!f->regular || end >= f->size_at_open)
		return SB_OK;
	return error_set(err, SB_ERR_IO,
			 "%s ends at byte %lld, but had %lld when it was opened: something cut it short", f->title,
			 (long long)end, (long long)f->size_at_open);
}

static int32_t read_more(struct file_source *f, size_t *ret_n, sb_error *err)
{
	int32_t status;

	if (f->base.profile)
		profile_lap(f->base.profile, PROFILE_DECODE);
	status = io_read(f->io, f->fd, f->block->bytes + f->filled, f->block->size - f->filled, ret_n, f->title, err);
	if (f->base.profile)
		profile_lap(f->base.profile, PROFILE_READ);
	return status;
}

/* SOURCE_RECORD: there are more bytes, or this is the end. */
static enum source_status fill(struct file_source *f, sb_error *err)
{
	size_t n = 0;

	if (make_room(f, err) != SB_OK)
		return SOURCE_FAILED;
	if (must_wait(f))
		return SOURCE_IDLE;
	if (read_more(f, &n, err) != SB_OK)
		return err->sys_errno == EAGAIN ? SOURCE_IDLE : SOURCE_FAILED;
	f->filled += n;
	if (n)
		return SOURCE_RECORD;
	f->ended = true;
	return check_end(f, err) == SB_OK ? SOURCE_RECORD : SOURCE_FAILED;
}

/* ---- records ---- */

static sb_slice unread(const struct file_source *f)
{
	return slice_of(f->block->bytes + f->begin, f->filled - f->begin);
}

static void take(struct file_source *f, size_t len, struct source_record *ret)
{
	int64_t offset = f->block_offset + (int64_t)f->begin;
	bool oversize = len > RECORD_MAX_BYTES;

	*ret = (struct source_record){
		.bytes = slice_of(f->block->bytes + f->begin, oversize ? OVERSIZE_KEPT : len),
		.block = f->block,
		.offset = offset,
		.next_offset = offset + (int64_t)len,
		.oversize = oversize,
	};
	f->begin += len;
	f->resume = 0;
}

/* Keeps the beginning of a record that is too long, and no more, however long it is. */
static int32_t begin_skipping(struct file_source *f, sb_error *err)
{
	size_t len = f->filled - f->begin;

	f->oversize_offset = f->block_offset + (int64_t)f->begin;
	TRY(move_to_front(f, OVERSIZE_KEPT, SOURCE_BLOCK_BYTES, err));
	/* The block now stands for the bytes up to filled; those in between are forgotten. */
	f->block_offset += (int64_t)(len - OVERSIZE_KEPT);
	f->resume = decoder_split_carry(f->resume);
	f->skipping = true;
	return SB_OK;
}

static enum source_status end_skipping(struct file_source *f, size_t len, struct source_record *ret)
{
	f->begin = OVERSIZE_KEPT + len;
	f->resume = 0;
	f->skipping = false;
	*ret = (struct source_record){
		.bytes = slice_of(f->block->bytes, OVERSIZE_KEPT),
		.block = f->block,
		.offset = f->oversize_offset,
		.next_offset = f->block_offset + (int64_t)f->begin,
		.oversize = true,
	};
	return SOURCE_RECORD;
}

/* Reads on behind what is kept of an oversize record until it ends. */
static enum source_status skip(struct file_source *f, struct source_record *ret, sb_error *err)
{
	for (;;) {
		enum source_status status = fill(f, err);
		sb_slice bytes = slice_of(f->block->bytes + OVERSIZE_KEPT, f->filled - OVERSIZE_KEPT);
		size_t len;

		if (status != SOURCE_RECORD)
			return status;
		if (f->ended)
			return end_skipping(f, 0, ret);
		len = decoder_split(f->decoder, bytes, &f->resume);
		if (len)
			return end_skipping(f, len, ret);
		f->resume = decoder_split_carry(f->resume);
		f->block_offset += (int64_t)bytes.len;
		f->filled = OVERSIZE_KEPT;
	}
}

/* False: more bytes are needed to tell. */
static bool skip_bom(struct file_source *f)
{
	sb_slice bytes = unread(f);
	size_t compared = bytes.len < BOM_BYTES ? bytes.len : BOM_BYTES;

	if (memcmp(bytes.ptr, "\xef\xbb\xbf", compared) == 0) {
		if (compared < BOM_BYTES && !f->ended)
			return false;
		if (compared == BOM_BYTES)
			f->begin += BOM_BYTES;
	}
	f->expect_bom = false;
	return true;
}

static enum source_status next_record(struct file_source *f, struct source_record *ret, sb_error *err)
{
	enum source_status status;
	size_t len;

	if (f->skipping)
		return skip(f, ret, err);
	for (;;) {
		if (!f->expect_bom || skip_bom(f)) {
			len = decoder_split(f->decoder, unread(f), &f->resume);
			if (len == 0 && f->ended)
				len = f->filled - f->begin; /* a last line without its end */
			if (len) {
				take(f, len, ret);
				return SOURCE_RECORD;
			}
			if (f->ended)
				return SOURCE_END;
		}
		if (f->filled - f->begin > RECORD_MAX_BYTES)
			return begin_skipping(f, err) == SB_OK ? skip(f, ret, err) : SOURCE_FAILED;
		status = fill(f, err);
		if (status != SOURCE_RECORD)
			return status;
	}
}

/* The header, when it is there. */
static enum source_status read_header(struct file_source *f, sb_error *err)
{
	struct source_record record;
	enum source_status status = next_record(f, &record, err);

	if (status == SOURCE_END) {
		error_set(err, SB_ERR_CONFIG, "%s is empty, but its first line should name the columns", f->title);
		return SOURCE_FAILED;
	}
	if (status != SOURCE_RECORD)
		return status;
	if (record.oversize) {
		error_set(err, SB_ERR_CONFIG,
			  "the first line of %s, which should name the columns, is longer than %zu bytes", f->title,
			  RECORD_MAX_BYTES);
		return SOURCE_FAILED;
	}
	if (decoder_set_header(f->decoder, record.bytes, err) != SB_OK) {
		error_prefix(err, "%s", f->title);
		return SOURCE_FAILED;
	}
	f->expect_header = false;
	return SOURCE_RECORD;
}

static enum source_status file_next(struct source *source, struct source_record *ret, sb_error *err)
{
	struct file_source *f = file_of(source);

	if (f->expect_header) {
		enum source_status status = read_header(f, err);

		if (status != SOURCE_RECORD)
			return status;
	}
	return next_record(f, ret, err);
}

/* ---- starting ---- */

static int32_t check_kind(const struct file_source *f, const struct source_identity *expected, sb_error *err)
{
	bool was_stdin = strcmp(expected->name, "-") == 0;

	if (strcmp(expected->name, "generator") != 0 && was_stdin == f->is_stdin)
		return SB_OK;
	return error_set(
		err, SB_ERR_CONFIG,
		"the checkpoint was written while reading %s, not %s; give the input it was, or start over with "
		"--restore none",
		was_stdin ? "standard input" : expected->name, f->title);
}

static int32_t check_same_file(const struct file_source *f, int64_t offset, const struct source_identity *expected,
			       sb_error *err)
{
	size_t head = (size_t)expected->head_bytes;

	if (expected->size < 0 && offset > 0)
		return error_set(
			err, SB_ERR_CONFIG,
			"%s was a pipe when the checkpoint was written and is a file now, whose byte %lld need not be "
			"where reading stopped; give the pipe again, or start over with --restore none",
			f->title, (long long)offset);
	if (f->size_at_open < offset || f->head_len < head)
		return error_set(
			err, SB_ERR_CONFIG,
			"%s is shorter (%lld bytes) than what was already read of it (%lld bytes); restore the file "
			"it was, or start over with --restore none",
			f->title, (long long)f->size_at_open, (long long)offset);
	if (head && hash64_of(slice_of(f->head, head)) != expected->head_hash)
		return error_set(
			err, SB_ERR_CONFIG,
			"%s is not the file that was read before: its first %zu bytes differ; restore the file it "
			"was, or start over with --restore none",
			f->title, head);
	return SB_OK;
}

/* At offset, which is at or behind the first record. */
static int32_t rewind_to(struct file_source *f, int64_t offset, sb_error *err)
{
	if (offset == f->block_offset + (int64_t)f->begin)
		return SB_OK;
	TRY(io_seek(f->io, f->fd, offset, f->title, err));
	f->block_offset = offset;
	f->begin = f->filled = f->resume = 0;
	f->ended = f->skipping = f->expect_bom = false;
	return SB_OK;
}

static int32_t start_stream(struct file_source *f, int64_t offset, const struct source_identity *expected)
{
	if (expected)
		LOG(f->log, SB_LOG_WARN,
		    "This input cannot be rewound: events that were read after the checkpoint and are not sent again are lost, "
		    "and events that are sent again count twice",
		    LOG_S("input", f->title), LOG_I("offset", offset));
	f->block_offset = offset;
	return SB_OK;
}

static int32_t file_start(struct source *source, int64_t offset, const struct source_identity *expected, sb_error *err)
{
	struct file_source *f = file_of(source);

	if (expected)
		TRY(check_kind(f, expected, err));
	if (!f->regular)
		return start_stream(f, offset, expected);
	if (expected)
		TRY(check_same_file(f, offset, expected, err));
	return rewind_to(f, offset < f->first_offset ? f->first_offset : offset, err);
}

/* ---- opening ---- */

static int32_t open_path(struct file_source *f, sb_error *err)
{
	/* Without O_NONBLOCK, opening a FIFO waits for its writer. */
	int32_t status = io_open(f->io, f->path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, &f->fd, err);
	int sys_errno = err->sys_errno;

	if (status == SB_OK)
		return SB_OK;
	if (sys_errno == ENOENT || sys_errno == ENOTDIR)
		status = error_set(err, SB_ERR_CONFIG,
				   "the input %s does not exist; give --input a file that does, or - for "
				   "standard input",
				   f->path);
	else if (sys_errno == EACCES || sys_errno == EPERM)
		status = error_set(err, SB_ERR_CONFIG,
				   "the input %s may not be read; give this user permission to read it", f->path);
	err->sys_errno = sys_errno;
	return status;
}

static int32_t examine(struct file_source *f, sb_error *err)
{
	struct stat st;

	TRY(io_stat_fd(f->io, f->fd, &st, f->title, err));
	if (S_ISDIR(st.st_mode))
		return error_set(err, SB_ERR_CONFIG, "the input %s is a directory; name the files in it", f->title);
	f->regular = S_ISREG(st.st_mode);
	f->size_at_open = st.st_size;
	return SB_OK;
}

/* Where it stands and how it begins. */
static int32_t open_regular(struct file_source *f, sb_error *err)
{
	off_t at = f->is_stdin ? f->io->ops->lseek(f->io, f->fd, 0, SEEK_CUR) : 0;

	if (at < 0)
		return error_set_errno(err, errno, "cannot tell the position of %s", f->title);
	f->head_len = f->size_at_open < HEAD_BYTES ? (size_t)f->size_at_open : HEAD_BYTES;
	TRY(io_pread_all(f->io, f->fd, f->head, f->head_len, 0, f->title, err));
	f->block_offset = at;
	f->expect_bom = at == 0;
	/* The mark and the header now, so that what is wrong with them is said before anything starts. */
	if (f->expect_header && read_header(f, err) != SOURCE_RECORD)
		return err->code;
	while (f->expect_bom && !skip_bom(f))
		if (fill(f, err) != SOURCE_RECORD)
			return err->code;
	f->first_offset = f->block_offset + (int64_t)f->begin;
	return SB_OK;
}

static void file_close(struct source *source)
{
	struct file_source *f = file_of(source);

	if (!f->is_stdin)
		io_close(f->io, f->fd);
	block_unref(f->block);
	free(f->path);
	free(f);
}

static void close_file(struct file_source **f)
{
	if (*f)
		file_close(&(*f)->base);
}

static int file_poll_fd(const struct source *source)
{
	const struct file_source *f = const_file_of(source);

	return f->regular ? -1 : f->fd;
}

static int64_t file_due_ns(const struct source *source)
{
	(void)source;
	return INT64_MAX;
}

static int64_t file_total(const struct source *source)
{
	const struct file_source *f = const_file_of(source);

	return f->regular ? f->size_at_open : -1;
}

/* The head is what was there at the opening, as far as it has been read: bytes that came later may still change. */
static int32_t file_identity(const struct source *source, struct source_identity *ret_identity, sb_error *err)
{
	const struct file_source *f = const_file_of(source);
	int64_t read_to = f->block_offset + (int64_t)f->filled;
	struct source_identity identity = {.size = -1};
	struct stat st;

	if (f->regular) {
		TRY(io_stat_fd(f->io, f->fd, &st, f->title, err));
		identity.size = st.st_size;
		identity.head_bytes = read_to < (int64_t)f->head_len ? read_to : (int64_t)f->head_len;
		identity.head_hash = hash64_of(slice_of(f->head, (size_t)identity.head_bytes));
	}
	identity.name = strdup(f->path);
	if (!identity.name)
		return error_no_memory(err);
	*ret_identity = identity;
	return SB_OK;
}

static const struct source_ops file_ops = {
	.start = file_start,
	.next = file_next,
	.poll_fd = file_poll_fd,
	.due_ns = file_due_ns,
	.identity = file_identity,
	.total = file_total,
	.close = file_close,
};

int32_t source_file_open(const struct source_config *config, struct source **ret_source, sb_error *err)
{
	AUTO(close_file) struct file_source *f = calloc(1, sizeof(*f));

	if (!f)
		return error_no_memory(err);
	f->base.ops = &file_ops;
	f->io = config->io;
	f->log = config->log;
	f->decoder = config->decoder;
	f->is_stdin = config->kind == SOURCE_STDIN;
	f->fd = f->is_stdin ? STDIN_FILENO : -1;
	f->expect_bom = true;
	f->expect_header = config->has_header;
	f->path = strdup(f->is_stdin ? "-" : config->path);
	f->block = block_new(SOURCE_BLOCK_BYTES);
	if (!f->path || !f->block)
		return error_no_memory(err);
	f->title = f->is_stdin ? "standard input" : f->path;
	if (!f->is_stdin)
		TRY(open_path(f, err));
	TRY(examine(f, err));
	if (f->regular)
		TRY(open_regular(f, err));
	*ret_source = &TAKE(f)->base;
	return SB_OK;
}
