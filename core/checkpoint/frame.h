/* Frames: what a snapshot's bytes are cut into. Each can be checked before anything in it is believed.
 *
 *   offset 0  type            1 byte: FRAME_*
 *          1  codec           1 byte: 0 none, 1 lz4 (block), 2 zstd (one frame)
 *          2  0               2 bytes
 *          4  raw length      4 bytes, at most FRAME_RAW_MAX
 *          8  stored length   4 bytes: the raw length with codec none, else less than it
 *         12  count           4 bytes: ENTRIES: how many; else 0
 *         16  number          8 bytes: 0, 1, 2, … within the snapshot
 *         24  payload         stored length bytes
 *          …  checksum        8 bytes: XXH3-64 of header and payload
 *
 * Numbers are little-endian. The frame's number is in the checksum's reach, so a frame cannot be lost, doubled or
 * moved.
 *
 * ENTRIES holds whole entries. One that is too large for a frame is cut up: PIECE, …, PIECE, LAST_PIECE. END is last
 * and holds
 * the number of the snapshot's entries. In a checkpoint with a parent CHANGES stands in the place of ENTRIES: they are to be
 * applied in their order. A reader that meets a type it does not know says that the file needs a newer program.
 *
 * An entry: varint(state id * 4 + 1 if it expires), varint(key group), varint(length of user part), varint(length of
 * value), when it expires zigzag varint(expiry in ms), user part, value. (The bit of value 2 marks a deletion, among changes only: it has neither value nor expiry.)
 * Varints are
 * LEB128 in their shortest form. */
#ifndef CHECKPOINT_FRAME_H
#define CHECKPOINT_FRAME_H

#include "checkpoint/checkpoint_private.h"
#include "checkpoint/state_digest.h"

enum frame_type {
	FRAME_ENTRIES = 1,
	FRAME_PIECE = 2,
	FRAME_LAST_PIECE = 3,
	FRAME_END = 4,
	FRAME_CHANGES = 5, /* entries and deletions */
};

#define FRAME_HEADER_BYTES 24u
#define FRAME_CHECKSUM_BYTES 8u
#define FRAME_RAW_MAX (1u << 20)
#define FRAME_RAW_FILL (256u << 10) /* where a writer begins the next one: half a second-level cache */
#define FRAME_ROOM_BYTES (FRAME_HEADER_BYTES + FRAME_RAW_FILL + FRAME_CHECKSUM_BYTES)
#define FRAME_BYTES_MAX (FRAME_HEADER_BYTES + FRAME_RAW_MAX + FRAME_CHECKSUM_BYTES)

#define VARINT_BYTES_MAX 10u
#define ENTRY_HEAD_BYTES_MAX (5u * VARINT_BYTES_MAX)
#define ENTRY_BYTES_MAX ((uint64_t)ENTRY_HEAD_BYTES_MAX + CHECKPOINT_USER_PART_MAX + CHECKPOINT_VALUE_MAX)

struct frame_header {
	uint8_t type, codec;
	uint32_t raw_len, stored_len, count;
	uint64_t number;
};

/* Packs payloads into frames. */
struct frame_encoder {
	enum checkpoint_codec codec;
	int lz4_step; /* bytes from one place where lz4 looks for something known to the next, to begin with */
	void *zstd;
};

/* only_structs: the values in the payloads are structs. */
int32_t frame_encoder_init(struct frame_encoder *encoder, enum checkpoint_codec codec, bool only_structs,
			   sb_error *err);
void frame_encoder_done(struct frame_encoder *encoder);
/* The frame around raw_len bytes of payload, which lie in raw behind the header's place. It is made there, or in packed
 * when it is shorter compressed; both have FRAME_ROOM_BYTES. */
sb_slice frame_encode(struct frame_encoder *encoder, uint8_t *raw, uint8_t *packed, enum frame_type type,
		      uint32_t raw_len, uint32_t count, uint64_t number);

struct frame_decoder {
	uint8_t *frame; /* FRAME_BYTES_MAX: the caller puts header, payload and checksum here */
	uint8_t *raw; /* FRAME_RAW_MAX */
	void *zstd;
};

int32_t frame_decoder_init(struct frame_decoder *decoder, sb_error *err);
void frame_decoder_done(struct frame_decoder *decoder);
/* Reads the header in decoder->frame and checks its bounds. Failures here and below are SB_ERR_CORRUPT (or INCOMPATIBLE
 * for a type to come) with a part of a sentence: the caller knows file and byte. */
int32_t frame_decode_header(const struct frame_decoder *decoder, struct frame_header *ret_header, sb_error *err);
/* Checks the checksum over the whole frame in decoder->frame, and unpacks; valid until the next call. */
int32_t frame_decode_payload(struct frame_decoder *decoder, const struct frame_header *header, sb_slice *ret_raw,
			     sb_error *err);

/* entry.c */
size_t varint_put(uint8_t *at, uint64_t value);
/* False when it is cut off, over-long or not in its shortest form. */
bool varint_take(sb_slice *from, uint64_t *ret_value);
/* Writes all but user part and value; at most ENTRY_HEAD_BYTES_MAX bytes. */
size_t entry_put_head(uint8_t *at, const struct snapshot_entry *entry);
/* Takes one entry from the front; the result points into from. */
int32_t entry_take(sb_slice *from, bool changes, struct snapshot_entry *ret_entry, sb_error *err);

#endif
