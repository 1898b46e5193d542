/* Which bytes of a JSON string stand for themselves: all but '"', '\\', those below 0x20, and, because they must prove to be
 * UTF-8, those above 0x7f. Many are asked at once. */
#ifndef BASE_JSON_TEXT_H
#define BASE_JSON_TEXT_H

#include <stdint.h>
#include <string.h>

/* SBHOST_PORTABLE: as on a machine without SSE2, for tests. */
#if defined(__SSE2__) && !defined(SBHOST_PORTABLE)
#include <emmintrin.h>
#define JSON_TEXT_SSE2 1

/* A bit for each of the 16 bytes at p that is special. */
static inline unsigned json_special_mask(const uint8_t *p)
{
	__m128i bytes = _mm_loadu_si128((const __m128i *)p);
	__m128i special =
		_mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('"')), _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\')));

	/* Signed: what is above 0x7f is below 0x20, too. */
	special = _mm_or_si128(special, _mm_cmplt_epi8(bytes, _mm_set1_epi8(0x20)));
	return (unsigned)_mm_movemask_epi8(special);
}
#else
#define JSON_TEXT_SSE2 0
#endif

/* Not zero when one of the eight bytes is special. */
static inline uint64_t json_special_word(uint64_t word)
{
	const uint64_t ones = UINT64_C(0x0101010101010101), high = UINT64_C(0x8080808080808080);

	return (word | (word - ones * 0x20) | ((word ^ ones * '"') - ones) | ((word ^ ones * '\\') - ones)) & high;
}

static inline int json_is_special(uint8_t c)
{
	return c < 0x20 || c > 0x7f || c == '"' || c == '\\';
}

#endif
