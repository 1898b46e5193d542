/* Writing JSON text. Strings that are not valid UTF-8 cannot stand in JSON, so each
 * offending byte is written as U+FFFD; what must survive exactly goes as base64 or escaped. */
#ifndef BASE_JSON_WRITE_H
#define BASE_JSON_WRITE_H

#include "base/buffer.h"

/* With its quotes. */
void json_append_string(struct buffer *out, sb_slice text);
/* Key bytes for people and for scripts: printable ASCII as is, backslash doubled, the rest as \xNN, without quotes. */
void json_append_escaped_bytes(struct buffer *out, sb_slice bytes);
/* Length of the valid UTF-8 sequence at s (1 to 4), or 0. No surrogates, no overlong forms. */
unsigned utf8_sequence(const uint8_t *s, size_t len);
int utf8_is_valid(sb_slice text);

#endif
