/* See reader.h. Opening looks at two places: the head, up to where StateData begins, and the
 * last 4 KiB, which hold the trailer. So listing a directory of large checkpoints is cheap. */
#include "checkpoint/reader.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/slice.h"
#include "checkpoint/reader_private.h"
#include "checkpoint/shared.h"

static int32_t damaged(const struct checkpoint_reader *reader, const char *what, int64_t at, sb_error *err)
{
	return error_set(err, SB_ERR_CORRUPT, "%s is damaged: %s at byte %lld", reader->subject, what, (long long)at);
}

void checkpoint_reader_close(struct checkpoint_reader *reader)
{
	if (!reader)
		return;
	item_stream_free(reader->items);
	io_close(reader->io, reader->fd);
	metadata_done(&reader->meta);
	free(reader->bytes);
	free(reader->path);
	free(reader->subject);
	free(reader->envelope_subject);
	free(reader);
}

const struct checkpoint_meta *checkpoint_reader_meta(const struct checkpoint_reader *reader)
{
	return &reader->meta;
}

const struct checkpoint_totals *checkpoint_reader_totals(const struct checkpoint_reader *reader)
{
	return &reader->totals;
}

static int32_t make_strings(struct checkpoint_reader *reader, const char *path, sb_error *err)
{
	reader->path = strdup(path);
	if (asprintf(&reader->subject, "checkpoint file %s", path) < 0)
		reader->subject = NULL;
	if (asprintf(&reader->envelope_subject, "StateData of checkpoint file %s", path) < 0)
		reader->envelope_subject = NULL;
	reader->bytes = malloc(FILE_SOURCE_BYTES);
	if (!reader->path || !reader->subject || !reader->envelope_subject || !reader->bytes)
		return error_no_memory(err);
	return SB_OK;
}

/* O_NONBLOCK: a FIFO under a checkpoint's name must not hold up the start. */
static int32_t open_file(struct checkpoint_reader *reader, sb_error *err)
{
	struct stat st;

	TRY(io_open(reader->io, reader->path, O_RDONLY | O_NONBLOCK, 0, &reader->fd, err));
	TRY(io_stat_fd(reader->io, reader->fd, &st, reader->path, err));
	if (!S_ISREG(st.st_mode))
		return error_set(err, SB_ERR_CORRUPT, "%s is damaged: it is no regular file", reader->subject);
	reader->size = st.st_size;
	return SB_OK;
}

static struct file_source source_of(struct checkpoint_reader *reader, int64_t begin, int64_t end)
{
	return (struct file_source){.io = reader->io,
				    .path = reader->path,
				    .fd = reader->fd,
				    .at = begin,
				    .end = end,
				    .bytes = reader->bytes};
}

/* The end that all versions of the format have in common: `"Digest":"sha256:<64 digits>"}` and a line feed. */
static int32_t read_digest(struct checkpoint_reader *reader, sb_error *err)
{
	char end[sizeof(CHECKPOINT_DIGEST_PREFIX) - 1 + CHECKPOINT_FILE_END_BYTES];
	size_t prefix_len = sizeof(CHECKPOINT_DIGEST_PREFIX) - 1;

	if (reader->size < (int64_t)sizeof(end))
		return damaged(reader, "it ends too early", reader->size, err);
	TRY(io_pread_all(reader->io, reader->fd, end, sizeof(end), reader->size - (int64_t)sizeof(end), reader->path,
			 err));
	if (memcmp(end, CHECKPOINT_DIGEST_PREFIX, prefix_len) != 0 ||
	    memcmp(end + prefix_len + CHECKPOINT_DIGEST_HEX, CHECKPOINT_FILE_END, 3) != 0)
		return damaged(reader, "it does not end with a digest", reader->size, err);
	memcpy(reader->digest, end + prefix_len, CHECKPOINT_DIGEST_HEX);
	reader->digest[CHECKPOINT_DIGEST_HEX] = 0;
	return SB_OK;
}

static int32_t compute_digest(struct checkpoint_reader *reader, char ret_hex[CHECKPOINT_DIGEST_HEX + 1], sb_error *err)
{
	struct file_source source = source_of(reader, 0, reader->size - (int64_t)CHECKPOINT_FILE_END_BYTES);
	AUTO(buffer_done) struct buffer hex = BUFFER_INIT;
	uint8_t digest[SHA256_DIGEST_SIZE];
	struct sha256_ctx sha256;
	sb_slice piece;

	sha256_init(&sha256);
	do {
		TRY(file_source_fill(&source, &piece, err));
		sha256_update(&sha256, piece.len, piece.ptr);
		watch_checked(reader->watch, piece.len);
	} while (piece.len);
	sha256_digest(&sha256, sizeof(digest), digest);
	hex_append(&hex, slice_of(digest, sizeof(digest)));
	if (!buffer_text(&hex))
		return error_no_memory(err);
	memcpy(ret_hex, hex.data, CHECKPOINT_DIGEST_HEX + 1);
	return SB_OK;
}

static int32_t check_digest(struct checkpoint_reader *reader, sb_error *err)
{
	char hex[CHECKPOINT_DIGEST_HEX + 1];

	TRY(compute_digest(reader, hex, err));
	if (strcmp(hex, reader->digest) != 0)
		return error_set(err, SB_ERR_CORRUPT, "%s is damaged: its digest does not match its content",
				 reader->subject);
	return SB_OK;
}

void checkpoint_reader_rewind(struct checkpoint_reader *reader)
{
	item_stream_free(TAKE(reader->items));
	reader->failure.code = SB_OK;
}

void checkpoint_reader_watch(struct checkpoint_reader *reader, const struct checkpoint_watch *watch)
{
	reader->watch = watch;
}

int32_t checkpoint_reader_verify_digest(struct checkpoint_reader *reader, sb_error *err)
{
	checkpoint_reader_rewind(reader);
	return check_digest(reader, err);
}

/* A flipped bit in the version must not make a damaged file a newer one, on which everything would stop: the digest
 * decides. */
static int32_t refuse_newer(struct checkpoint_reader *reader, uint64_t version, sb_error *err)
{
	TRY(check_digest(reader, err));
	return error_set(err, SB_ERR_INCOMPATIBLE,
			 "checkpoint file %s has format version %llu, this sbhost (" SBHOST_VERSION
			 ") knows versions up to %d: run the sbhost that wrote it, or a newer one",
			 reader->path, (unsigned long long)version, CHECKPOINT_FORMAT_VERSION);
}

static int32_t read_head(struct checkpoint_reader *reader, sb_error *err)
{
	int64_t limit = reader->size < (int64_t)CHECKPOINT_HEADER_MAX ? reader->size : (int64_t)CHECKPOINT_HEADER_MAX;
	struct file_source source = source_of(reader, 0, limit);
	uint64_t newer;
	struct json_pull pull;

	json_pull_init(&pull, file_source_fill, &source, reader->subject, 0);
	TRY(metadata_read_header(&pull, &reader->meta, &newer, err));
	if (newer)
		return refuse_newer(reader, newer, err);
	reader->state_data_begin = json_pull_offset(&pull);
	return SB_OK;
}

/* A checkpoint that was renamed, or copied over another one, is not the one that its name promises. Files that are
 * not called like a
 * checkpoint (an export) may have any name. */
static int32_t check_name(const struct checkpoint_reader *reader, sb_error *err)
{
	const char *slash = strrchr(reader->path, '/');
	const char *name = slash ? slash + 1 : reader->path;
	const char *rest;
	uint64_t number;

	if (!checkpoint_id_parse(name, &number, &rest) || strncmp(rest, CHECKPOINT_SUFFIX, 5) != 0)
		return SB_OK;
	if (strlen(reader->meta.id) != (size_t)(rest - name) ||
	    memcmp(reader->meta.id, name, (size_t)(rest - name)) != 0)
		return error_set(err, SB_ERR_CORRUPT, "%s is damaged: it holds %s", reader->subject, reader->meta.id);
	return SB_OK;
}

struct piece_once {
	sb_slice piece;
};

static int32_t fill_once(void *context, sb_slice *ret_piece, sb_error *err)
{
	struct piece_once *once = context;

	(void)err;
	*ret_piece = once->piece;
	once->piece = (sb_slice){0};
	return SB_OK;
}

/* The trailer begins with the only quote in StateData's end that a comma and "Entries" follow: base64 has neither. */
static int32_t read_tail(struct checkpoint_reader *reader, sb_error *err)
{
	static const char start[] = "\",\n\"Entries\":";
	int64_t room = reader->size - reader->state_data_begin;
	size_t len = room < (int64_t)CHECKPOINT_TRAILER_MAX ? (size_t)room : CHECKPOINT_TRAILER_MAX;
	uint8_t tail[CHECKPOINT_TRAILER_MAX];
	const uint8_t *quote;
	struct piece_once once;
	struct json_pull pull;

	TRY(io_pread_all(reader->io, reader->fd, tail, len, reader->size - (int64_t)len, reader->path, err));
	quote = memmem(tail, len, start, sizeof(start) - 1);
	if (!quote)
		return damaged(reader, "no end of StateData in the last bytes, which end", reader->size, err);
	reader->state_data_end = reader->size - (int64_t)len + (quote - tail);
	once.piece = slice_of(quote + 1, len - (size_t)(quote + 1 - tail));
	json_pull_init_behind_member(&pull, fill_once, &once, reader->subject, reader->state_data_end + 1);
	TRY(metadata_read_trailer(&pull, &reader->totals, reader->digest, err));
	if (reader->totals.state_data_bytes != (uint64_t)(reader->state_data_end - reader->state_data_begin))
		return damaged(reader, "StateData is not as long as the trailer says; it ends", reader->state_data_end,
			       err);
	return SB_OK;
}

static int32_t open_reader(struct checkpoint_reader *reader, const char *path, sb_error *err)
{
	TRY(make_strings(reader, path, err));
	TRY(open_file(reader, err));
	TRY(read_digest(reader, err));
	TRY(read_head(reader, err));
	TRY(check_name(reader, err));
	return read_tail(reader, err);
}

int32_t checkpoint_reader_open(struct io *io, const char *path, struct checkpoint_reader **ret_reader, sb_error *err)
{
	struct checkpoint_reader *reader = calloc(1, sizeof(*reader));
	int32_t status;

	if (!reader)
		return error_no_memory(err);
	reader->io = io;
	reader->fd = -1;
	status = open_reader(reader, path, err);
	if (status != SB_OK) {
		checkpoint_reader_close(reader);
		return status;
	}
	*ret_reader = reader;
	return SB_OK;
}

static int32_t read_all_items(struct checkpoint_reader *reader, sb_error *err)
{
	struct checkpoint_item item;

	do {
		TRY(checkpoint_reader_next(reader, &item, err));
	} while (item.kind != ITEM_END);
	return SB_OK;
}

static int32_t verify_files(struct checkpoint_reader *reader, sb_error *err)
{
	const char *slash = strrchr(reader->path, '/');
	AUTO(free_memory) char *dir = slash ? strndup(reader->path, (size_t)(slash - reader->path)) : strdup(".");

	if (!dir)
		return error_no_memory(err);
	return shared_check(reader->io, dir, &reader->meta, true, reader->watch, err);
}

int32_t checkpoint_verify(struct io *io, const char *path, const struct checkpoint_watch *watch, sb_error *err)
{
	struct checkpoint_reader *reader;
	int32_t status;

	TRY(checkpoint_reader_open(io, path, &reader, err));
	checkpoint_reader_watch(reader, watch);
	status = checkpoint_reader_verify_digest(reader, err);
	if (status == SB_OK)
		status = read_all_items(reader, err);
	if (status == SB_OK)
		status = verify_files(reader, err);
	checkpoint_reader_close(reader);
	return status;
}
