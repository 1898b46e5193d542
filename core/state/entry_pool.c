/* See entry_pool.h. */
#include "state/entry_pool.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define LINE_BYTES 64u
#define HUGE_BYTES ((size_t)2 << 20)
#define FIRST_CHUNK_BYTES ((size_t)64 << 10)
#define LAST_CHUNK_BYTES ((size_t)64 << 20)

struct entry_chunk {
	_Alignas(LINE_BYTES) struct entry_chunk *next;
};

struct entry_free {
	struct entry_free *next;
};

static void *alloc_pages(size_t bytes)
{
	void *pages = aligned_alloc(bytes < HUGE_BYTES ? LINE_BYTES : HUGE_BYTES, bytes);

	/* Advice: without huge pages it works as well. */
	if (pages && bytes >= HUGE_BYTES)
		(void)madvise(pages, bytes & ~(HUGE_BYTES - 1), MADV_HUGEPAGE);
	return pages;
}

void *entry_pages_alloc(size_t bytes)
{
	void *pages = alloc_pages(bytes);

	if (pages)
		memset(pages, 0, bytes);
	return pages;
}

static void put(struct entry_pool *pool, void *at, size_t size)
{
	struct entry_free *freed = at;

	freed->next = pool->freed[size / ENTRY_POOL_UNIT];
	pool->freed[size / ENTRY_POOL_UNIT] = freed;
}

/* Small while there is little, so that a job with a few keys takes little; huge pages once they are filled, then an eighth of what there
 * is. For an aligned piece malloc takes twice its size from a heap and leaves the rest as a hole, so pieces of one huge page each
 * tore up the heaps. Of a large piece, pages that nobody has touched take no memory. */
static size_t next_chunk_bytes(const struct entry_pool *pool)
{
	const size_t share = pool->chunk_bytes / 8 & ~(HUGE_BYTES - 1);

	if (pool->chunk_bytes < HUGE_BYTES)
		return FIRST_CHUNK_BYTES;
	return share < HUGE_BYTES ? HUGE_BYTES : share > LAST_CHUNK_BYTES ? LAST_CHUNK_BYTES : share;
}

static int add_chunk(struct entry_pool *pool)
{
	const size_t bytes = next_chunk_bytes(pool);
	struct entry_chunk *chunk = alloc_pages(bytes);

	if (!chunk)
		return 0;
	if (pool->left)
		put(pool, pool->at, pool->left);
	chunk->next = pool->chunks;
	pool->chunks = chunk;
	pool->chunk_bytes += bytes;
	pool->at = (uint8_t *)chunk + sizeof(*chunk);
	pool->left = bytes - sizeof(*chunk);
	return 1;
}

void *entry_pool_alloc(struct entry_pool *pool, size_t size)
{
	struct entry_free *freed;
	uint8_t *entry;

	if (size > ENTRY_POOL_UNIT * ENTRY_POOL_CLASSES)
		return malloc(size);
	freed = pool->freed[size / ENTRY_POOL_UNIT];
	if (freed) {
		pool->freed[size / ENTRY_POOL_UNIT] = freed->next;
		return freed;
	}
	if (pool->left < size && !add_chunk(pool))
		return NULL;
	entry = pool->at;
	pool->at += size;
	pool->left -= size;
	return entry;
}

void entry_pool_free(struct entry_pool *pool, void *entry, size_t size)
{
	if (size > ENTRY_POOL_UNIT * ENTRY_POOL_CLASSES)
		free(entry);
	else
		put(pool, entry, size);
}

void entry_pool_done(struct entry_pool *pool)
{
	while (pool->chunks) {
		struct entry_chunk *next = pool->chunks->next;

		free(pool->chunks);
		pool->chunks = next;
	}
	memset(pool, 0, sizeof(*pool));
}
