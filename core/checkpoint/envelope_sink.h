/* The layers between frames and file, on the way out:
 *
 *   frames → inner base64 → a string of the JSON envelope → outer base64 → file_sink
 *
 * envelope_write takes the envelope's text, snapshot_write what stands inside one of its strings. */
#ifndef CHECKPOINT_ENVELOPE_SINK_H
#define CHECKPOINT_ENVELOPE_SINK_H

#include "checkpoint/base64.h"
#include "checkpoint/checkpoint_private.h"

struct envelope_sink {
	struct file_sink *file;
	struct base64_encoder outer, inner;
};

int32_t envelope_write(struct envelope_sink *sink, sb_slice text, sb_error *err);
int32_t envelope_write_text(struct envelope_sink *sink, const char *text, sb_error *err);
/* Ends the outer base64. */
int32_t envelope_end(struct envelope_sink *sink, sb_error *err);
int32_t snapshot_write(struct envelope_sink *sink, sb_slice bytes, sb_error *err);
/* Ends the inner base64. */
int32_t snapshot_write_end(struct envelope_sink *sink, sb_error *err);

#endif
