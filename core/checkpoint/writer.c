/* See writer.h for the promises, README.md for the crash windows.
 *
 * A failed call makes the writer fail for good: commit then returns that first failure again, so a
 * caller that lost it on the way commits nothing. */
#include "checkpoint/writer.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json_write.h"
#include "base/slice.h"
#include "checkpoint/envelope_sink.h"
#include "checkpoint/frame_writer.h"
#include "checkpoint/names.h"

enum stage { STAGE_PROVIDERS, STAGE_SNAPSHOTS, STAGE_IN_SNAPSHOT };

struct checkpoint_writer {
	struct io *io;
	const struct checkpoint_meta *meta;
	char *dir, *path, *tmp_path;
	int dir_fd; /* opened at the beginning: when the new name must be synced, nothing but the sync itself can fail */
	bool created; /* the temporary is there */
	struct file_sink file;
	struct envelope_sink envelope;
	struct frame_writer frames;
	struct state_digest digest;
	struct name_set names;
	enum stage stage;
	bool first; /* of the providers, or of the snapshots */
	uint64_t frame_number;
	uint32_t raw_len, raw_count; /* in the frame that is being filled */
	uint64_t snapshot_entries;
	int64_t state_data_begin;
	struct checkpoint_totals totals;
	sb_error failure; /* code SB_OK: none */
};

static void writer_free(struct checkpoint_writer *writer)
{
	frame_writer_done(&writer->frames);
	file_sink_close(&writer->file);
	io_close(writer->io, writer->dir_fd);
	state_digest_done(&writer->digest);
	name_set_done(&writer->names);
	free(writer->dir);
	free(writer->path);
	free(writer->tmp_path);
	free(writer);
}

void checkpoint_writer_abort(struct checkpoint_writer *writer)
{
	sb_error ignored = ERROR_INIT;

	if (!writer)
		return;
	frame_writer_done(&writer->frames); /* first of all, so that nothing is written any more */
	if (writer->created)
		io_unlink(writer->io, writer->tmp_path, &ignored); /* if not now, the next start collects it */
	writer_free(writer);
}

/* The first failure: behind it nothing is tried any more. */
static int32_t remember(struct checkpoint_writer *writer, int32_t status, const sb_error *err)
{
	if (status != SB_OK)
		writer->failure = *err;
	return status;
}

static int32_t repeat_failure(const struct checkpoint_writer *writer, sb_error *err)
{
	if (writer->failure.code != SB_OK)
		*err = writer->failure;
	return writer->failure.code;
}

static int32_t make_paths(struct checkpoint_writer *writer, const char *dir, sb_error *err)
{
	if (!checkpoint_id_is_valid(writer->meta->id))
		return error_set(err, SB_ERR_INVALID, "%.40s is no checkpoint id", writer->meta->id);
	writer->dir = strdup(dir);
	if (asprintf(&writer->path, "%s/%s" CHECKPOINT_SUFFIX, dir, writer->meta->id) < 0)
		writer->path = NULL;
	if (asprintf(&writer->tmp_path, "%s/%s" CHECKPOINT_TMP_SUFFIX, dir, writer->meta->id) < 0)
		writer->tmp_path = NULL;
	return writer->dir && writer->path && writer->tmp_path ? SB_OK : error_no_memory(err);
}

static int32_t write_head(struct checkpoint_writer *writer, enum checkpoint_codec codec, sb_error *err)
{
	AUTO(buffer_done) struct buffer header = BUFFER_INIT;
	int32_t status;

	TRY(metadata_write_header(writer->meta, codec, &header, err));
	TRY(io_open(writer->io, writer->dir, O_RDONLY | O_DIRECTORY, 0, &writer->dir_fd, err));
	status = file_sink_open(&writer->file, writer->io, writer->tmp_path, err);
	/* An open that failed may have made the file all the same; but one that was there before is not ours. */
	writer->created = status == SB_OK || err->sys_errno != EEXIST;
	TRY(status);
	TRY(file_sink_write(&writer->file, buffer_slice(&header), err));
	writer->state_data_begin = writer->file.total;
	return envelope_write_text(&writer->envelope, "{\"provider_state\":{", err);
}

static bool holds_only_structs(const struct schema *schema)
{
	for (uint64_t i = 0; i < schema->count; i++)
		if (schema->states[i].kind != SB_STATE_STRUCT)
			return false;
	return true;
}

static int32_t begin(struct checkpoint_writer *writer, const char *dir, enum checkpoint_codec codec, sb_error *err)
{
	TRY(make_paths(writer, dir, err));
	TRY(frame_writer_init(&writer->frames, codec, holds_only_structs(&writer->meta->schema), &writer->envelope,
			      err));
	state_digest_init(&writer->digest, writer->meta);
	return write_head(writer, codec, err);
}

int32_t checkpoint_writer_begin(struct io *io, const char *dir, const struct checkpoint_meta *meta,
				enum checkpoint_codec codec, struct checkpoint_writer **ret_writer, sb_error *err)
{
	struct checkpoint_writer *writer = calloc(1, sizeof(*writer));
	int32_t status;

	if (!writer)
		return error_no_memory(err);
	writer->io = io;
	writer->meta = meta;
	writer->dir_fd = -1;
	writer->file.io = io;
	writer->file.fd = -1;
	writer->envelope.file = &writer->file;
	writer->first = true;
	status = begin(writer, dir, codec, err);
	if (status != SB_OK) {
		checkpoint_writer_abort(writer);
		return status;
	}
	*ret_writer = writer;
	return SB_OK;
}

/* `,"name":"`, with a comma unless it is the first; the name once only. */
static int32_t open_string(struct checkpoint_writer *writer, const char *name, sb_error *err)
{
	AUTO(buffer_done) struct buffer text = BUFFER_INIT;

	TRY(name_set_add(&writer->names, name, err));
	if (!writer->first)
		buffer_append_byte(&text, ',');
	json_append_string(&text, slice_of_text(name));
	buffer_append_text(&text, ":\"");
	TRY(buffer_check(&text, err));
	writer->first = false;
	return envelope_write(&writer->envelope, buffer_slice(&text), err);
}

static int32_t close_string(struct checkpoint_writer *writer, sb_error *err)
{
	TRY(snapshot_write_end(&writer->envelope, err));
	return envelope_write_text(&writer->envelope, "\"", err);
}

static int32_t write_provider(struct checkpoint_writer *writer, const char *name, sb_slice bytes, sb_error *err)
{
	if (bytes.len > CHECKPOINT_PROVIDER_MAX)
		return error_set(err, SB_ERR_NO_SPACE, "the snapshot of %s has %llu bytes, at most %u are allowed",
				 name, (unsigned long long)bytes.len, CHECKPOINT_PROVIDER_MAX);
	TRY(open_string(writer, name, err));
	TRY(snapshot_write(&writer->envelope, bytes, err));
	return close_string(writer, err);
}

int32_t checkpoint_writer_provider(struct checkpoint_writer *writer, const char *name, sb_slice bytes, sb_error *err)
{
	assert(writer->stage == STAGE_PROVIDERS);
	TRY(repeat_failure(writer, err));
	return remember(writer, write_provider(writer, name, bytes, err), err);
}

static int32_t end_providers(struct checkpoint_writer *writer, sb_error *err)
{
	if (writer->stage != STAGE_PROVIDERS)
		return SB_OK;
	writer->stage = STAGE_SNAPSHOTS;
	writer->first = true;
	name_set_done(&writer->names);
	return envelope_write_text(&writer->envelope, "},\"backend_snapshots\":{", err);
}

static int32_t begin_snapshot(struct checkpoint_writer *writer, const char *name, sb_error *err)
{
	TRY(end_providers(writer, err));
	writer->stage = STAGE_IN_SNAPSHOT;
	writer->frame_number = 0;
	writer->snapshot_entries = 0;
	return open_string(writer, name, err);
}

int32_t checkpoint_writer_snapshot_begin(struct checkpoint_writer *writer, const char *name, sb_error *err)
{
	assert(writer->stage != STAGE_IN_SNAPSHOT);
	TRY(repeat_failure(writer, err));
	return remember(writer, begin_snapshot(writer, name, err), err);
}

/* What lies in the frame buffer leaves as one frame. */
static int32_t write_frame(struct checkpoint_writer *writer, enum frame_type type, sb_error *err)
{
	const uint32_t len = writer->raw_len, count = writer->raw_count;

	writer->raw_len = 0;
	writer->raw_count = 0;
	return frame_writer_put(&writer->frames, type, len, count, writer->frame_number++, err);
}

static int32_t flush_entries(struct checkpoint_writer *writer, sb_error *err)
{
	return writer->raw_len ? write_frame(writer, writer->meta->parent ? FRAME_CHANGES : FRAME_ENTRIES, err) : SB_OK;
}

static void put(struct checkpoint_writer *writer, sb_slice bytes)
{
	slice_copy(frame_writer_payload(&writer->frames) + writer->raw_len, bytes);
	writer->raw_len += (uint32_t)bytes.len;
}

/* An entry larger than a frame: its parts, one behind the other, cut into frames of their own. */
static int32_t write_large(struct checkpoint_writer *writer, const sb_slice parts[3], sb_error *err)
{
	TRY(flush_entries(writer, err));
	for (int i = 0; i < 3; i++) {
		sb_slice part = parts[i];

		while (part.len) {
			size_t room = FRAME_RAW_FILL - writer->raw_len;
			size_t len = part.len < room ? part.len : room;

			put(writer, slice_of(part.ptr, len));
			part = slice_of(part.ptr + len, part.len - len);
			if (writer->raw_len == FRAME_RAW_FILL && (part.len || i < 2))
				TRY(write_frame(writer, FRAME_PIECE, err));
		}
	}
	return write_frame(writer, FRAME_LAST_PIECE, err);
}

/* An entry that may not fit into what is left of the frame: near its end every byte of the head counts. */
static int32_t write_at_end(struct checkpoint_writer *writer, const struct snapshot_entry *entry, sb_error *err)
{
	uint8_t bytes[ENTRY_HEAD_BYTES_MAX];
	const sb_slice head = slice_of(bytes, entry_put_head(bytes, entry));
	const uint64_t len = head.len + entry->user_part.len + entry->value.len;

	if (len > FRAME_RAW_FILL)
		return write_large(writer, (sb_slice[]){head, entry->user_part, entry->value}, err);
	if (writer->raw_len + len > FRAME_RAW_FILL)
		TRY(flush_entries(writer, err));
	put(writer, head);
	put(writer, entry->user_part);
	put(writer, entry->value);
	writer->raw_count++;
	return SB_OK;
}

static void count_entry(struct checkpoint_writer *writer, const struct snapshot_entry *entry)
{
	state_digest_add(&writer->digest, entry);
	writer->snapshot_entries++;
	writer->totals.entries++;
	writer->totals.key_bytes += entry->user_part.len;
	writer->totals.value_bytes += entry->value.len;
}

static int32_t write_entry(struct checkpoint_writer *writer, const struct snapshot_entry *entry, sb_error *err)
{
	TRY(state_digest_check(&writer->digest, entry, err));
	count_entry(writer, entry);
	if (writer->raw_len + ENTRY_HEAD_BYTES_MAX + entry->user_part.len + entry->value.len > FRAME_RAW_FILL)
		return write_at_end(writer, entry, err);
	writer->raw_len += (uint32_t)entry_put_head(frame_writer_payload(&writer->frames) + writer->raw_len, entry);
	put(writer, entry->user_part);
	put(writer, entry->value);
	writer->raw_count++;
	return SB_OK;
}

int32_t checkpoint_writer_put(struct checkpoint_writer *writer, const struct snapshot_entry *entry, sb_error *err)
{
	int32_t status;

	assert(writer->stage == STAGE_IN_SNAPSHOT);
	assert(!entry->deleted || writer->meta->parent);
	TRY(repeat_failure(writer, err));
	status = write_entry(writer, entry, err);
	if (status == SB_ERR_CORRUPT)
		error_prefix(err, "the backend returned what cannot go into a checkpoint");
	return remember(writer, status, err);
}

static int32_t end_snapshot(struct checkpoint_writer *writer, sb_error *err)
{
	TRY(flush_entries(writer, err));
	writer->raw_len = (uint32_t)varint_put(frame_writer_payload(&writer->frames), writer->snapshot_entries);
	TRY(write_frame(writer, FRAME_END, err));
	TRY(frame_writer_drain(&writer->frames, err));
	writer->stage = STAGE_SNAPSHOTS;
	return close_string(writer, err);
}

int32_t checkpoint_writer_snapshot_end(struct checkpoint_writer *writer, sb_error *err)
{
	assert(writer->stage == STAGE_IN_SNAPSHOT);
	TRY(repeat_failure(writer, err));
	return remember(writer, end_snapshot(writer, err), err);
}

static int32_t write_tail(struct checkpoint_writer *writer, sb_error *err)
{
	AUTO(buffer_done) struct buffer trailer = BUFFER_INIT;
	char digest[CHECKPOINT_DIGEST_HEX + 1];

	TRY(end_providers(writer, err));
	TRY(envelope_write_text(&writer->envelope, "}}", err));
	TRY(envelope_end(&writer->envelope, err)); /* GCOVR_EXCL_BR_LINE: see there */
	writer->totals.state_data_bytes = (uint64_t)(writer->file.total - writer->state_data_begin);
	writer->totals.state_digest = writer->digest.sum;
	metadata_write_trailer(&writer->totals, &trailer);
	TRY(buffer_check(&trailer, err));
	/* GCOVR_EXCL_BR_START: the braces asked for room for a whole step of the envelope, and the rest of the file takes less */
	TRY(file_sink_write(&writer->file, buffer_slice(&trailer), err));
	file_sink_digest(&writer->file, digest);
	TRY(file_sink_write(&writer->file, slice_of_text(digest), err));
	/* GCOVR_EXCL_BR_STOP */
	return file_sink_write(&writer->file, slice_of_text(CHECKPOINT_FILE_END), err);
}

/* Takes the final name away again, if it is our file that has it: a rename that failed may have happened all the
 * same, and
 * after one whose directory cannot be synced nobody knows what the disk holds. What failed shall not be there, as far
 * as
 * that is in our hands; should it come back after a crash, it is whole and fit to be restored (README.md). */
static void take_name_back(struct checkpoint_writer *writer)
{
	struct stat ours, named;
	bool exists;
	sb_error ignored = ERROR_INIT;

	if (io_stat_fd(writer->io, writer->file.fd, &ours, writer->tmp_path, &ignored) == SB_OK &&
	    io_lstat(writer->io, writer->path, &named, &exists, &ignored) == SB_OK && exists &&
	    ours.st_dev == named.st_dev && ours.st_ino == named.st_ino)
		io_unlink(writer->io, writer->path, &ignored);
}

static int32_t publish(struct checkpoint_writer *writer, sb_error *err)
{
	int32_t status;

	TRY(file_sink_sync(&writer->file, err));
	status = io_rename_new(writer->io, writer->tmp_path, writer->path, err);
	if (status == SB_OK) {
		writer->created = false;
		status = io_fsync(writer->io, writer->dir_fd, writer->dir, err);
	}
	if (status != SB_OK)
		take_name_back(writer);
	return status;
}

static int32_t commit(struct checkpoint_writer *writer, sb_error *err)
{
	TRY(repeat_failure(writer, err));
	assert(writer->stage != STAGE_IN_SNAPSHOT);
	TRY(write_tail(writer, err));
	return publish(writer, err);
}

int32_t checkpoint_writer_commit(struct checkpoint_writer *writer, struct checkpoint_totals *ret_totals,
				 int64_t *ret_file_bytes, sb_error *err)
{
	int32_t status = commit(writer, err);

	if (status == SB_OK) {
		*ret_totals = writer->totals;
		*ret_file_bytes = writer->file.total;
	}
	checkpoint_writer_abort(writer); /* after a success there is no temporary left to remove */
	return status;
}
