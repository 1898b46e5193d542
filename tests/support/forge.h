/* Checkpoints that a liar could have written, in C: frames, envelopes and files with any content, and every checksum and digest right.
 * integration/forge.py does the same to the whole program. */
#ifndef SUPPORT_FORGE_H
#define SUPPORT_FORGE_H

#include "base/buffer.h"
#include "checkpoint/frame.h"

/* Appends a frame around payload, which is stored as it is. */
void forge_frame(struct buffer *out, unsigned type, uint32_t count, uint64_t number, sb_slice payload);
/* Appends a frame of FRAME_RAW_MAX zeros, packed by zstd. */
void forge_zeros(struct buffer *out, unsigned type, uint64_t number);
/* Appends the frame that ends a snapshot of that many entries. */
void forge_end(struct buffer *out, uint64_t entries, uint64_t number);
/* Appends one entry, in the key group that its key belongs to. */
void forge_entry(struct buffer *out, const struct checkpoint_meta *meta, uint32_t state_id, const char *key,
		 sb_slice value);
void forge_base64(struct buffer *out, sb_slice bytes);
/* {"provider_state":{},"backend_snapshots":{"backend-0":"<frames>"}} */
void forge_envelope(struct buffer *out, sb_slice frames);
/* Writes a file with that text, as it is, for StateData; of totals the length of StateData is made right. */
void forge_file(const char *path, const struct checkpoint_meta *meta, const struct checkpoint_totals *totals,
		sb_slice state_data);
/* The same of an envelope. */
void forge_checkpoint(const char *path, const struct checkpoint_meta *meta, const struct checkpoint_totals *totals,
		      sb_slice envelope);

#endif
