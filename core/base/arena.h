/* A bump allocator for what lives as long as one batch: many allocations, one reset. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stddef.h>
#include <stdint.h>

struct arena_chunk;

struct arena {
	struct arena_chunk *chunks; /* the newest first */
	uint8_t *at, *end; /* free room in the newest */
};

#define ARENA_INIT                                                                                                     \
	{                                                                                                              \
		0                                                                                                      \
	}

/* Aligned to 16; NULL when memory is out, and only then. */
void *arena_alloc(struct arena *arena, size_t size);
/* Frees everything but one chunk, which is kept for the next batch. */
void arena_reset(struct arena *arena);
void arena_done(struct arena *arena);

#endif
