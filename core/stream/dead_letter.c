/* See dead_letter.h. */
#include "stream/dead_letter.h"

#include "base/error.h"
#include "base/json_write.h"
#include "base/number.h"
#include "base/slice.h"
#include "checkpoint/base64.h"

static void append_base64(struct buffer *out, sb_slice bytes)
{
	struct base64_encoder encoder = {0};
	uint8_t *at = buffer_reserve(out, BASE64_ENCODED_MAX(bytes.len));

	if (!at)
		return;
	out->len += base64_encode(&encoder, bytes.ptr, bytes.len, (char *)at);
	out->len += base64_encode_end(&encoder, (char *)out->data + out->len);
}

static sb_slice without_line_end(sb_slice record)
{
	if (record.len && record.ptr[record.len - 1] == '\n')
		record.len--;
	if (record.len && record.ptr[record.len - 1] == '\r')
		record.len--;
	return record;
}

int32_t dead_letter_write(struct output *output, const char *source, const struct source_record *record,
			  const struct decode_fault *fault, sb_error *err)
{
	struct buffer line = BUFFER_INIT;
	sb_slice bytes = without_line_end(record->bytes);
	int32_t status;

	buffer_append_text(&line, "{\"source\":");
	json_append_string(&line, slice_of_text(source));
	buffer_append_text(&line, ",\"offset\":");
	number_append_i64(&line, record->offset);
	buffer_append_text(&line, ",\"reason\":");
	json_append_string(&line, slice_of_text(fault->reason));
	buffer_append_text(&line, ",\"detail\":");
	json_append_string(&line, slice_of_text(fault->detail));
	if (utf8_is_valid(bytes)) {
		buffer_append_text(&line, ",\"record\":");
		json_append_string(&line, bytes);
	} else {
		buffer_append_text(&line, ",\"record_base64\":\"");
		append_base64(&line, bytes);
		buffer_append_byte(&line, '"');
	}
	if (record->oversize)
		buffer_append_text(&line, ",\"truncated\":true");
	buffer_append_text(&line, "}\n");
	status = buffer_check(&line, err);
	if (status == SB_OK)
		status = output_append(output, buffer_slice(&line), err);
	buffer_done(&line);
	return status;
}
