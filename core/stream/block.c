/* See block.h. */
#include "stream/block.h"

#include <stdlib.h>

struct block *block_new(size_t size)
{
	struct block *block = malloc(sizeof(*block) + size);

	if (!block)
		return NULL;
	atomic_init(&block->references, 1);
	block->size = size;
	return block;
}

void block_ref(struct block *block)
{
	atomic_fetch_add_explicit(&block->references, 1, memory_order_relaxed);
}

void block_unref(struct block *block)
{
	if (block && atomic_fetch_sub_explicit(&block->references, 1, memory_order_acq_rel) == 1)
		free(block);
}
