/* From emitted values to a line of JSON, by a template made once from the output fields. */
#ifndef STREAM_ENCODE_H
#define STREAM_ENCODE_H

#include "base/buffer.h"
#include "sb_plugin.h"

struct encoder; /* used by one thread at a time */

int32_t encoder_new(const sb_field *fields, uint64_t field_count, struct encoder **ret_encoder, sb_error *err);
void encoder_free(struct encoder *encoder);

/* Appends one line: {"user_id":"…","total_spent":12.5}. SB_ERR_DATA when a value cannot be written (NaN, infinity, a
 * string that is not UTF-8, a missing value that is not optional), naming the field; out is then as it was. */
int32_t encoder_append(struct encoder *encoder, const sb_value *values, struct buffer *out, sb_error *err);

#endif
