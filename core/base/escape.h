/* Between bytes and people: what they see holds nothing that a terminal would obey, and what they type can name any byte.
 * How key bytes are printed is json_append_escaped_bytes (json_write.h). */
#ifndef BASE_ESCAPE_H
#define BASE_ESCAPE_H

#include <stdbool.h>

#include "base/buffer.h"

/* Text with its control characters (C0, DEL, and C1, which is two bytes in UTF-8) as \u00NN and what is no UTF-8 as \xNN.
 * With lines true, line feeds and tabs stay. JSON text, in which such characters can only stand in strings, stays the same JSON. */
void escape_append_visible(struct buffer *out, sb_slice text, bool lines);
/* True when the above would change nothing. */
bool escape_is_visible(sb_slice text, bool lines);

/* Key bytes as they are printed and typed: \xNN and \\, the rest as it is. Appends; SB_ERR_CONFIG with a sentence. */
int32_t escape_parse(sb_slice text, struct buffer *bytes, sb_error *err);

#endif
