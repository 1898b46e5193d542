/* What the files of the JSON decoder share: the scan of one record, and how a string is passed over.
 *
 * The scanner keeps an invariant that saves it nearly all bound checks: a record is trimmed and must end in '}', which
 * no number, literal or blank goes on over. So outside of strings, at < end holds, and reading *at is safe, up to the last
 * '}'; strings check for the end themselves, and closing that last brace ends the scan. */
#ifndef STREAM_DECODE_JSON_PRIVATE_H
#define STREAM_DECODE_JSON_PRIVATE_H

#include "base/json_text.h"
#include "stream/decode_private.h"

struct scan {
	const uint8_t *at, *end;
	const uint8_t *begin; /* of the record, untrimmed: positions count from here */
	struct arena *arena;
	struct decode_fault *fault;
	bool no_memory;
};

static inline size_t json_position(const struct scan *s)
{
	return (size_t)(s->at - s->begin);
}

static inline bool is_blank(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static inline void skip_blanks(struct scan *s)
{
	while (is_blank(*s->at))
		s->at++;
}

/* False, with the fault. */
bool json_unexpected(struct scan *s, const char *expected) __attribute__((cold));

/* decode_json_skip.c: checks the value at s->at and passes over it. The record's own '}' must still come. */
bool json_skip_value(struct scan *s);
/* The same for a value that is neither object nor array, and may be the last thing of all. */
bool json_skip_scalar(struct scan *s);
/* Goes on in a string with what is not plain ASCII, up to its closing quote; s->at is at the first special byte. */
bool json_scan_string_rest(struct scan *s, bool *ret_escaped);
/* The string as the record means it, in the arena if it has escapes. */
bool json_resolve_string(struct scan *s, sb_slice *text, bool escaped);

#if JSON_TEXT_SSE2
/* The first special byte at or behind p, or end. */
static inline const uint8_t *skip_plain(const uint8_t *p, const uint8_t *begin, const uint8_t *end)
{
	unsigned mask;

	for (; end - p >= 16; p += 16) {
		mask = json_special_mask(p);
		if (mask)
			return p + __builtin_ctz(mask);
	}
	if (end - begin >= 16) { /* the record's last 16 bytes, those before p shifted out */
		mask = json_special_mask(end - 16) >> (16 - (end - p));
		return mask ? p + __builtin_ctz(mask) : end;
	}
	while (p < end && !json_is_special(*p))
		p++;
	return p;
}
#else
static inline const uint8_t *skip_plain(const uint8_t *p, const uint8_t *begin, const uint8_t *end)
{
	uint64_t word;

	(void)begin;
	for (; end - p >= 8; p += 8) {
		memcpy(&word, p, 8);
		if (json_special_word(word))
			break;
	}
	while (p < end && !json_is_special(*p))
		p++;
	return p;
}
#endif

/* From the opening quote to behind the closing one; ret is what stands between. */
static inline bool scan_string(struct scan *s, sb_slice *ret, bool *ret_escaped)
{
	const uint8_t *start = s->at + 1;

	*ret_escaped = false;
	s->at = skip_plain(start, s->begin, s->end);
	if (__builtin_expect(s->at == s->end || *s->at != '"', 0) && !json_scan_string_rest(s, ret_escaped))
		return false;
	*ret = slice_of(start, (size_t)(s->at - start));
	s->at++;
	return true;
}

#endif
