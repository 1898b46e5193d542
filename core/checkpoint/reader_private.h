/* The reader's two halves: reader.c opens a file, reads its head and tail and checks its digest;
 * reader_items.c streams what lies in StateData. */
#ifndef CHECKPOINT_READER_PRIVATE_H
#define CHECKPOINT_READER_PRIVATE_H

#include "checkpoint/base64.h"
#include "checkpoint/checkpoint_private.h"
#include "checkpoint/frame.h"
#include "checkpoint/names.h"
#include "checkpoint/reader.h"

enum item_stage {
	STAGE_START,
	STAGE_PROVIDERS, /* between two providers */
	STAGE_SNAPSHOTS, /* between two snapshots */
	STAGE_IN_SNAPSHOT,
	STAGE_SNAPSHOT_ENDED, /* its END frame has been read */
	STAGE_DONE,
};

/* Everything that reading items needs; made anew by each rewind. The layers, from the file up:
 * source (StateData's characters), outer (the envelope's text), pull (its strings), inner (the frames' bytes). */
struct item_stream {
	struct file_source source;
	struct base64_decoder outer, inner;
	uint8_t *envelope_bytes; /* what pull is working on */
	uint8_t *inner_bytes; /* decoded, [inner_at, inner_end) not yet taken */
	size_t inner_at, inner_end;
	bool string_ended;
	struct json_pull pull;
	struct frame_decoder frames;
	struct frame_header frame;
	sb_slice entries; /* what is left of the frame at hand */
	uint32_t entries_left;
	struct buffer large; /* a provider's bytes, or an entry that came in pieces */
	uint64_t frame_number;
	uint64_t snapshot_entries;
	struct state_digest digest;
	struct name_set names;
	char name[CHECKPOINT_NAME_MAX + 1];
	struct checkpoint_totals totals;
	enum item_stage stage;
};

struct checkpoint_reader {
	struct io *io;
	const struct checkpoint_watch *watch; /* NULL: none */
	char *path;
	char *subject; /* "checkpoint file <path>" */
	char *envelope_subject; /* "StateData of checkpoint file <path>" */
	int fd;
	int64_t size;
	int64_t state_data_begin, state_data_end;
	char digest[CHECKPOINT_DIGEST_HEX + 1]; /* as the file says */
	struct checkpoint_meta meta;
	struct checkpoint_totals totals;
	uint8_t *bytes; /* FILE_SOURCE_BYTES */
	struct item_stream *items; /* NULL until the first item is asked for */
	sb_error failure; /* of an item: repeated from then on */
};

void item_stream_free(struct item_stream *items);

#endif
