/* Dead letters: records that could not become events, one JSON object a line, with where they stood and why.
 *
 *   {"source":"purchases.ndjson","offset":1234,"reason":"missing-field","detail":"…","record":"…"}
 *
 * A record that is not UTF-8 stands under "record_base64"; one that was cut has "truncated":true. */
#ifndef STREAM_DEAD_LETTER_H
#define STREAM_DEAD_LETTER_H

#include "stream/decode.h"
#include "stream/output.h"
#include "stream/source.h"

int32_t dead_letter_write(struct output *output, const char *source, const struct source_record *record,
			  const struct decode_fault *fault, sb_error *err);

#endif
