/* See buffer.h. */
#include "base/buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/slice.h"

void buffer_done(struct buffer *b)
{
	free(b->data);
	*b = (struct buffer)BUFFER_INIT;
}

void buffer_clear(struct buffer *b)
{
	b->len = 0;
	b->failed = false;
}

uint8_t *buffer_reserve(struct buffer *b, size_t extra)
{
	size_t cap = b->cap ? b->cap : 64;
	uint8_t *data;

	if (b->failed)
		return NULL;
	if (extra <= b->cap - b->len)
		return b->data + b->len;
	if (extra > SIZE_MAX / 4 - b->len) {
		b->failed = true;
		return NULL;
	}
	while (cap < b->len + extra)
		cap *= 2;
	data = realloc(b->data, cap);
	if (!data) {
		b->failed = true;
		return NULL;
	}
	b->data = data;
	b->cap = cap;
	return data + b->len;
}

void buffer_append(struct buffer *b, const void *bytes, size_t len)
{
	uint8_t *at;

	if (len == 0)
		return;
	at = buffer_reserve(b, len);
	if (!at)
		return;
	memcpy(at, bytes, len);
	b->len += len;
}

void buffer_append_slice(struct buffer *b, sb_slice s)
{
	buffer_append(b, s.ptr, s.len);
}

void buffer_append_text(struct buffer *b, const char *text)
{
	buffer_append(b, text, strlen(text));
}

void buffer_append_byte(struct buffer *b, uint8_t byte)
{
	buffer_append(b, &byte, 1);
}

void buffer_printf(struct buffer *b, const char *format, ...)
{
	va_list args, again;
	uint8_t *at;
	int len;

	va_start(args, format);
	va_copy(again, args);
	len = vsnprintf(NULL, 0, format, args);
	at = len < 0 ? NULL : buffer_reserve(b, (size_t)len + 1);
	if (at) {
		vsnprintf((char *)at, (size_t)len + 1, format, again);
		b->len += (size_t)len;
	} else {
		b->failed = true;
	}
	va_end(again);
	va_end(args);
}

const char *buffer_text(struct buffer *b)
{
	uint8_t *at = buffer_reserve(b, 1);

	if (!at)
		return NULL;
	*at = 0;
	return (const char *)b->data;
}

sb_slice buffer_slice(const struct buffer *b)
{
	return slice_of(b->data, b->len);
}

int32_t buffer_check(const struct buffer *b, sb_error *err)
{
	return b->failed ? error_no_memory(err) : SB_OK;
}
