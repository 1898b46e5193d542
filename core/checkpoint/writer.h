/* Writing one checkpoint file, as a stream: memory does not grow with the state.
 *
 * begin creates a temporary file, commit makes it durable and gives it its name; until
 * commit has returned SB_OK there is no checkpoint. Every failure leaves the former
 * checkpoints as they were and no temporary behind (abort removes it; a kill leaves it for the next
 * start to collect). Order of calls: begin, provider*, (snapshot_begin, entry*, snapshot_end)*, commit or
 * abort. One thread. */
#ifndef CHECKPOINT_WRITER_H
#define CHECKPOINT_WRITER_H

#include "checkpoint/metadata.h"
#include "checkpoint/state_digest.h"
#include "io/io.h"

enum checkpoint_codec { CODEC_NONE, CODEC_LZ4, CODEC_ZSTD };

/* Measured (README.md): lz4 takes less time than none, since two base64 layers and SHA-256 cost more per byte than it
 * does. */
#define CHECKPOINT_CODEC_DEFAULT CODEC_LZ4

struct checkpoint_writer;

/* meta outlives the writer. dir is the checkpoint directory. */
int32_t checkpoint_writer_begin(struct io *io, const char *dir, const struct checkpoint_meta *meta,
				enum checkpoint_codec codec, struct checkpoint_writer **ret_writer, sb_error *err);
/* An operator's own snapshot; name is its instance ("operator-0"). */
int32_t checkpoint_writer_provider(struct checkpoint_writer *writer, const char *name, sb_slice bytes, sb_error *err);
int32_t checkpoint_writer_snapshot_begin(struct checkpoint_writer *writer, const char *name, sb_error *err);
/* user_part: the composed key without its first four bytes. In a checkpoint whose meta has a parent, entries are changes, and only there may
 * one be deleted. */
int32_t checkpoint_writer_put(struct checkpoint_writer *writer, const struct snapshot_entry *entry, sb_error *err);

/* Inline, so that two slices do not go over the stack, where whoever loads one as a whole waits for its halves. */
static inline int32_t checkpoint_writer_entry(struct checkpoint_writer *writer, uint32_t state_id, uint32_t key_group,
					      sb_slice user_part, sb_slice value, int64_t expiry_ms, sb_error *err)
{
	const struct snapshot_entry entry = {.state_id = state_id,
					     .key_group = key_group,
					     .user_part = user_part,
					     .value = value,
					     .expiry_ms = expiry_ms};

	return checkpoint_writer_put(writer, &entry, err);
}

static inline int32_t checkpoint_writer_deletion(struct checkpoint_writer *writer, uint32_t state_id,
						 uint32_t key_group, sb_slice user_part, sb_error *err)
{
	const struct snapshot_entry entry = {
		.state_id = state_id, .key_group = key_group, .user_part = user_part, .deleted = true};

	return checkpoint_writer_put(writer, &entry, err);
}

int32_t checkpoint_writer_snapshot_end(struct checkpoint_writer *writer, sb_error *err);
/* fsync, rename without replacing, fsync of the directory. Frees the writer in either case. *ret_file_bytes is the
 * file's size. */
int32_t checkpoint_writer_commit(struct checkpoint_writer *writer, struct checkpoint_totals *ret_totals,
				 int64_t *ret_file_bytes, sb_error *err);
/* Frees the writer and removes its temporary. NULL is fine. */
void checkpoint_writer_abort(struct checkpoint_writer *writer);

#endif
