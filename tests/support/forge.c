/* See forge.h. */
#include "forge.h"

#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/slice.h"
#include "checkpoint/base64.h"
#include "fault/checkpoint_fixture.h"
#include "support/resign.h"

static void append_le(struct buffer *out, uint64_t value, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		buffer_append_byte(out, (uint8_t)(value >> 8 * i));
}

static void append_frame(struct buffer *out, unsigned type, unsigned codec, uint32_t raw_len, uint32_t count,
			 uint64_t number, sb_slice stored)
{
	const size_t begin = out->len;

	buffer_append_byte(out, (uint8_t)type);
	buffer_append_byte(out, (uint8_t)codec);
	append_le(out, 0, 2);
	append_le(out, raw_len, 4);
	append_le(out, stored.len, 4);
	append_le(out, count, 4);
	append_le(out, number, 8);
	buffer_append_slice(out, stored);
	append_le(out, hash64_of(slice_of(out->data + begin, out->len - begin)), FRAME_CHECKSUM_BYTES);
}

void forge_frame(struct buffer *out, unsigned type, uint32_t count, uint64_t number, sb_slice payload)
{
	append_frame(out, type, CODEC_NONE, (uint32_t)payload.len, count, number, payload);
}

void forge_zeros(struct buffer *out, unsigned type, uint64_t number)
{
	AUTO(free_memory) uint8_t *zeros = calloc(1, FRAME_RAW_MAX);
	uint8_t packed[4096];
	size_t len = zeros ? ZSTD_compress(packed, sizeof(packed), zeros, FRAME_RAW_MAX, 1) : (size_t)-1;

	if (ZSTD_isError(len))
		abort();
	append_frame(out, type, CODEC_ZSTD, FRAME_RAW_MAX, 0, number, slice_of(packed, len));
}

void forge_end(struct buffer *out, uint64_t entries, uint64_t number)
{
	uint8_t count[VARINT_BYTES_MAX];

	forge_frame(out, FRAME_END, 0, number, slice_of(count, varint_put(count, entries)));
}

void forge_entry(struct buffer *out, const struct checkpoint_meta *meta, uint32_t state_id, const char *key,
		 sb_slice value)
{
	const struct snapshot_entry entry = {.state_id = state_id,
					     .key_group = key_group_of(key_hash(slice_of_text(key)), meta->key_groups),
					     .user_part = slice_of_text(key),
					     .value = value,
					     .expiry_ms = SB_NO_EXPIRY};
	uint8_t head[ENTRY_HEAD_BYTES_MAX];

	buffer_append(out, head, entry_put_head(head, &entry));
	buffer_append_slice(out, entry.user_part);
	buffer_append_slice(out, entry.value);
}

void forge_base64(struct buffer *out, sb_slice bytes)
{
	struct base64_encoder encoder = {0};
	char *room = (char *)buffer_reserve(out, BASE64_ENCODED_MAX(bytes.len));
	size_t len = base64_encode(&encoder, bytes.ptr, bytes.len, room);

	out->len += len + base64_encode_end(&encoder, room + len);
}

void forge_envelope(struct buffer *out, sb_slice frames)
{
	buffer_append_text(out, "{\"provider_state\":{},\"backend_snapshots\":{\"backend-0\":\"");
	forge_base64(out, frames);
	buffer_append_text(out, "\"}}");
}

void forge_file(const char *path, const struct checkpoint_meta *meta, const struct checkpoint_totals *totals,
		sb_slice state_data)
{
	AUTO(buffer_done) struct buffer file = BUFFER_INIT;
	struct checkpoint_totals said = *totals;
	sb_error err = ERROR_INIT;

	said.state_data_bytes = state_data.len;
	if (metadata_write_header(meta, CODEC_NONE, &file, &err) != SB_OK)
		abort();
	buffer_append_slice(&file, state_data);
	metadata_write_trailer(&said, &file);
	for (unsigned i = 0; i < CHECKPOINT_DIGEST_HEX; i++)
		buffer_append_byte(&file, '0');
	buffer_append_text(&file, CHECKPOINT_FILE_END);
	resign_digest(file.data, file.len);
	file_write(path, file.data, file.len);
}

void forge_checkpoint(const char *path, const struct checkpoint_meta *meta, const struct checkpoint_totals *totals,
		      sb_slice envelope)
{
	AUTO(buffer_done) struct buffer state_data = BUFFER_INIT;

	forge_base64(&state_data, envelope);
	forge_file(path, meta, totals, buffer_slice(&state_data));
}
