/* Memory for the entries of a working set: carved from large pieces, kept by size when freed.
 *
 * malloc puts sixteen bytes before each entry, and entries across cache lines; here one of 64 bytes is one line, and one of
 * 128 is two. Large pieces may lie in huge pages, so that fewer addresses have to be translated. A piece goes
 * back to the system when the pool does. */
#ifndef STATE_ENTRY_POOL_H
#define STATE_ENTRY_POOL_H

#include <stddef.h>
#include <stdint.h>

#define ENTRY_POOL_UNIT 32u
#define ENTRY_POOL_CLASSES 32u /* up to 1 KiB; larger ones come from malloc */

struct entry_chunk;
struct entry_free;

struct entry_pool {
	struct entry_chunk *chunks;
	uint8_t *at; /* what is left of the newest one */
	size_t left;
	size_t chunk_bytes; /* of all */
	struct entry_free *freed[ENTRY_POOL_CLASSES + 1]; /* by size in units */
};

/* Zeroed memory that free() takes, aligned to a cache line, in huge pages where that is worth it; NULL when memory is out. */
void *entry_pages_alloc(size_t bytes);

/* What an entry of so many bytes takes. */
static inline size_t entry_pool_size(size_t bytes)
{
	return (bytes + ENTRY_POOL_UNIT - 1) & ~(size_t)(ENTRY_POOL_UNIT - 1);
}

/* size is entry_pool_size() of something. Not zeroed; NULL when memory is out. */
void *entry_pool_alloc(struct entry_pool *pool, size_t size);
void entry_pool_free(struct entry_pool *pool, void *entry, size_t size);
/* Frees all chunks, and with them every entry of 1 KiB or less. */
void entry_pool_done(struct entry_pool *pool);

#endif
