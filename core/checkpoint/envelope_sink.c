/* See envelope_sink.h. Steps are small enough for what one layer leaves to be in the first-level cache for the next. */
#include "checkpoint/envelope_sink.h"

#include "base/error.h"
#include "base/slice.h"

#define INNER_STEP 9216u
#define OUTER_STEP (36u << 10)

int32_t envelope_write(struct envelope_sink *sink, sb_slice text, sb_error *err)
{
	while (text.len) {
		size_t len = text.len < OUTER_STEP ? text.len : OUTER_STEP;
		char *room = (char *)file_sink_room(sink->file, BASE64_ENCODED_MAX(OUTER_STEP), err);

		if (!room)
			return err->code;
		file_sink_filled(sink->file, base64_encode(&sink->outer, text.ptr, len, room));
		text = slice_of(text.ptr + len, text.len - len);
	}
	return SB_OK;
}

int32_t envelope_write_text(struct envelope_sink *sink, const char *text, sb_error *err)
{
	return envelope_write(sink, slice_of_text(text), err);
}

int32_t envelope_end(struct envelope_sink *sink, sb_error *err)
{
	char *room = (char *)file_sink_room(sink->file, 4, err);

	if (!room) /* GCOVR_EXCL_BR_LINE: the text in front of it asked for more room than it took */
		return err->code;
	file_sink_filled(sink->file, base64_encode_end(&sink->outer, room));
	return SB_OK;
}

int32_t snapshot_write(struct envelope_sink *sink, sb_slice bytes, sb_error *err)
{
	char text[BASE64_ENCODED_MAX(INNER_STEP)];

	while (bytes.len) {
		size_t len = bytes.len < INNER_STEP ? bytes.len : INNER_STEP;

		TRY(envelope_write(sink, slice_of(text, base64_encode(&sink->inner, bytes.ptr, len, text)), err));
		bytes = slice_of(bytes.ptr + len, bytes.len - len);
	}
	return SB_OK;
}

int32_t snapshot_write_end(struct envelope_sink *sink, sb_error *err)
{
	char text[4];

	return envelope_write(sink, slice_of(text, base64_encode_end(&sink->inner, text)), err);
}
