/* See arena.h. */
#include "base/arena.h"

#include <stdlib.h>

#define CHUNK_BYTES ((size_t)64 << 10)

struct arena_chunk {
	struct arena_chunk *next;
	size_t size; /* of bytes */
	_Alignas(16) uint8_t bytes[];
};

static void use_chunk(struct arena *arena, struct arena_chunk *chunk)
{
	arena->chunks = chunk;
	arena->at = chunk->bytes;
	arena->end = chunk->bytes + chunk->size;
}

void *arena_alloc(struct arena *arena, size_t size)
{
	struct arena_chunk *chunk;
	size_t chunk_size;
	void *result;

	if (size > SIZE_MAX / 2)
		return NULL;
	/* Nothing is as good as one byte: NULL always means that memory is out. */
	size = (size + !size + 15) & ~(size_t)15;
	if (size > (size_t)(arena->end - arena->at)) {
		chunk_size = size > CHUNK_BYTES ? size : CHUNK_BYTES;
		chunk = malloc(sizeof(*chunk) + chunk_size);
		if (!chunk)
			return NULL;
		chunk->next = arena->chunks;
		chunk->size = chunk_size;
		use_chunk(arena, chunk);
	}
	result = arena->at;
	arena->at += size;
	return result;
}

static void free_chunks(struct arena_chunk *chunk)
{
	while (chunk) {
		struct arena_chunk *next = chunk->next;

		free(chunk);
		chunk = next;
	}
}

void arena_reset(struct arena *arena)
{
	struct arena_chunk *kept = arena->chunks;

	if (!kept)
		return;
	free_chunks(kept->next);
	kept->next = NULL;
	if (kept->size > CHUNK_BYTES) { /* a giant is not kept around */
		arena_done(arena);
		return;
	}
	use_chunk(arena, kept);
}

void arena_done(struct arena *arena)
{
	free_chunks(arena->chunks);
	*arena = (struct arena)ARENA_INIT;
}
