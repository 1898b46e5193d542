/* A byte buffer that owns what it holds and grows by doubling.
 *
 * A failed allocation makes the buffer sticky-failed: later appends do nothing, and
 * buffer_check() reports it once, where it can be reported. So code that formats needs no
 * test per append, and no failure is lost as long as the owner checks before it uses. */
#ifndef BASE_BUFFER_H
#define BASE_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sb_plugin.h"

struct buffer {
	uint8_t *data; /* NULL when cap is 0 */
	size_t len;
	size_t cap;
	bool failed;
};

#define BUFFER_INIT                                                                                                    \
	{                                                                                                              \
		0                                                                                                      \
	}

void buffer_done(struct buffer *b);
/* Forgets the content, keeps the memory. */
void buffer_clear(struct buffer *b);
/* Room for extra more bytes: a pointer to write them at (then add to len), or NULL. */
uint8_t *buffer_reserve(struct buffer *b, size_t extra);
void buffer_append(struct buffer *b, const void *bytes, size_t len);
void buffer_append_slice(struct buffer *b, sb_slice s);
void buffer_append_text(struct buffer *b, const char *text);
void buffer_append_byte(struct buffer *b, uint8_t byte);
void buffer_printf(struct buffer *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* NUL behind the content, not counted in len: the content as a C string, or NULL when failed. */
const char *buffer_text(struct buffer *b);
sb_slice buffer_slice(const struct buffer *b);
int32_t buffer_check(const struct buffer *b, sb_error *err);

#endif
