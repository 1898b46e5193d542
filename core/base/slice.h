/* Small helpers over sb_slice: a view that borrows. What owns is struct buffer. */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H

#include <stdbool.h>
#include <string.h>

#include "sb_plugin.h"

static inline sb_slice slice_of(const void *ptr, size_t len)
{
	return (sb_slice){.ptr = (const uint8_t *)ptr, .len = len};
}

static inline sb_slice slice_of_text(const char *text)
{
	return slice_of(text, strlen(text));
}

static inline bool slice_equal(sb_slice a, sb_slice b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool slice_equal_text(sb_slice a, const char *text)
{
	return slice_equal(a, slice_of_text(text));
}

static inline uint64_t slice_word(const uint8_t *bytes)
{
	uint64_t word;

	memcpy(&word, bytes, sizeof(word));
	return word;
}

/* As slice_equal(), without the call for the lengths that most keys have: words that overlap in the middle. */
static inline bool slice_equal_key(sb_slice a, sb_slice b)
{
	uint64_t different;

	if (a.len != b.len || a.len < 8 || a.len > 32)
		return slice_equal(a, b);
	different = (slice_word(a.ptr) ^ slice_word(b.ptr)) |
		    (slice_word(a.ptr + a.len - 8) ^ slice_word(b.ptr + a.len - 8));
	if (a.len > 16)
		different |= (slice_word(a.ptr + 8) ^ slice_word(b.ptr + 8)) |
			     (slice_word(a.ptr + a.len - 16) ^ slice_word(b.ptr + a.len - 16));
	return different == 0;
}

/* As memcpy, without the call for the lengths that most keys have: words that overlap in the middle. */
static inline void slice_copy(uint8_t *to, sb_slice from)
{
	uint64_t words[4];

	if (from.len < 8 || from.len > 32) {
		if (from.len)
			memcpy(to, from.ptr, from.len);
		return;
	}
	memcpy(&words[0], from.ptr, 8);
	memcpy(&words[1], from.ptr + from.len - 8, 8);
	if (from.len > 16) {
		memcpy(&words[2], from.ptr + 8, 8);
		memcpy(&words[3], from.ptr + from.len - 16, 8);
		memcpy(to + 8, &words[2], 8);
		memcpy(to + from.len - 16, &words[3], 8);
	}
	memcpy(to, &words[0], 8);
	memcpy(to + from.len - 8, &words[1], 8);
}

/* Bytewise order, as memcmp and then by length. */
static inline int slice_compare(sb_slice a, sb_slice b)
{
	size_t shorter = a.len < b.len ? a.len : b.len;
	int order = shorter ? memcmp(a.ptr, b.ptr, shorter) : 0;

	return order ? order : (a.len > b.len) - (a.len < b.len);
}

#endif
