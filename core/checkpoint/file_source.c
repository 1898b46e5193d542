/* A stretch of a file, in pieces. Positional reads: several stretches can be read through one descriptor. */
#include "base/error.h"
#include "base/slice.h"
#include "checkpoint/checkpoint_private.h"

int32_t file_source_fill(void *context, sb_slice *ret_piece, sb_error *err)
{
	struct file_source *source = context;
	int64_t left = source->end - source->at;
	size_t len = left < (int64_t)FILE_SOURCE_BYTES ? (size_t)left : FILE_SOURCE_BYTES;

	if (len)
		TRY(io_pread_all(source->io, source->fd, source->bytes, len, source->at, source->path, err));
	source->at += (int64_t)len;
	*ret_piece = slice_of(source->bytes, len);
	return SB_OK;
}
