/* Bytes into a new file: buffered to writes of 1 MiB, and hashed (SHA-256) on their way.
 * The hash follows in steps of 64 KiB, while the bytes are still in the processor's cache. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/slice.h"
#include "checkpoint/checkpoint_private.h"

#define WRITE_BYTES (1u << 20)
#define WRITE_BACK_BYTES (4 << 20) /* what goes to the disk in one go; the kernel has work with each */

int32_t file_sink_open(struct file_sink *sink, struct io *io, const char *path, sb_error *err)
{
	*sink = (struct file_sink){.io = io, .path = path, .fd = -1};
	sha256_init(&sink->sha256);
	sink->bytes = malloc(WRITE_BYTES);
	if (!sink->bytes)
		return error_no_memory(err);
	return io_create_new(io, path, &sink->fd, err);
}

int32_t file_sink_flush(struct file_sink *sink, sb_error *err)
{
	TRY(io_write_all(sink->io, sink->fd, sink->bytes, sink->used, sink->path, err));
	sink->used = 0;
	return SB_OK;
}

/* The disk begins with what is there while the rest is made, so that the sync at the end has little to wait for. */
static int32_t make_room(struct file_sink *sink, sb_error *err)
{
	TRY(file_sink_flush(sink, err));
	if (sink->total - sink->begun < WRITE_BACK_BYTES)
		return SB_OK;
	TRY(io_write_back(sink->io, sink->fd, sink->begun, sink->total - sink->begun, sink->path, err));
	sink->begun = sink->total;
	return SB_OK;
}

uint8_t *file_sink_room(struct file_sink *sink, size_t len, sb_error *err)
{
	if (len > WRITE_BYTES - sink->used && make_room(sink, err) != SB_OK)
		return NULL;
	return sink->bytes + sink->used;
}

void file_sink_filled(struct file_sink *sink, size_t len)
{
	sha256_update(&sink->sha256, len, sink->bytes + sink->used);
	sink->used += len;
	sink->total += (int64_t)len;
}

int32_t file_sink_write(struct file_sink *sink, sb_slice bytes, sb_error *err)
{
	while (bytes.len) {
		size_t len = bytes.len < FILE_SINK_ROOM_MAX ? bytes.len : FILE_SINK_ROOM_MAX;
		uint8_t *room = file_sink_room(sink, len, err);

		if (!room)
			return err->code;
		memcpy(room, bytes.ptr, len);
		file_sink_filled(sink, len);
		bytes = slice_of(bytes.ptr + len, bytes.len - len);
	}
	return SB_OK;
}

void file_sink_digest(struct file_sink *sink, char ret_hex[CHECKPOINT_DIGEST_HEX + 1])
{
	static const char digits[] = "0123456789abcdef";
	uint8_t digest[SHA256_DIGEST_SIZE];

	sha256_digest(&sink->sha256, sizeof(digest), digest);
	for (size_t i = 0; i < sizeof(digest); i++) {
		ret_hex[2 * i] = digits[digest[i] >> 4];
		ret_hex[2 * i + 1] = digits[digest[i] & 15];
	}
	ret_hex[CHECKPOINT_DIGEST_HEX] = 0;
}

int32_t file_sink_sync(struct file_sink *sink, sb_error *err)
{
	TRY(file_sink_flush(sink, err));
	return io_fsync(sink->io, sink->fd, sink->path, err);
}

void file_sink_close(struct file_sink *sink)
{
	io_close(sink->io, sink->fd);
	sink->fd = -1;
	free(TAKE(sink->bytes));
}
