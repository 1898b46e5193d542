/* SPDX-License-Identifier: Apache-2.0
 *
 * probe.h: one chunk of the index, one cache line: a tag byte for each of twelve
 * slots, the number of entries that had to pass the chunk by, and twelve references
 * to records. A tag of 0 is an empty slot.
 *
 * Twelve slots and not fourteen: with references of 32 bits that is what one
 * line holds, and a lookup that misses touches no second one.
 *
 * chunk_match() tells which slots have a tag, as a bit mask. The portable form is always
 * compiled, so that a test can hold both against each other;
 * -DMEMORY_PORTABLE_PROBE makes the backend use it.
 */
#ifndef MEMORY_PROBE_H
#define MEMORY_PROBE_H

#include <stdint.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#define CHUNK_SLOTS 12u
#define CHUNK_MASK ((1u << CHUNK_SLOTS) - 1)
#define TAG_EMPTY 0

struct chunk {
	uint8_t tags[CHUNK_SLOTS];
	uint16_t passed; /* entries whose search starts at or before this chunk and ends behind it */
	uint16_t reserved;
	uint32_t refs[CHUNK_SLOTS];
};

_Static_assert(sizeof(struct chunk) == 64, "a chunk is a cache line");

static inline uint32_t chunk_match_portable(const struct chunk *chunk, uint8_t tag)
{
	uint32_t mask = 0;

	for (uint32_t i = 0; i < CHUNK_SLOTS; ++i)
		mask |= (uint32_t)(chunk->tags[i] == tag) << i;
	return mask;
}

#if defined(__SSE2__)
static inline uint32_t chunk_match_sse2(const struct chunk *chunk, uint8_t tag)
{
	__m128i line = _mm_load_si128((const __m128i *)(const void *)chunk);
	__m128i same = _mm_cmpeq_epi8(line, _mm_set1_epi8((char)tag));

	return (uint32_t)_mm_movemask_epi8(same) & CHUNK_MASK;
}
#endif

static inline uint32_t chunk_match(const struct chunk *chunk, uint8_t tag)
{
#if defined(__SSE2__) && !defined(MEMORY_PORTABLE_PROBE)
	return chunk_match_sse2(chunk, tag);
#else
	return chunk_match_portable(chunk, tag);
#endif
}

#endif
