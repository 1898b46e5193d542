/* Blocks of input: events borrow their strings from them, so a block lives until the last batch that points into it is
 * done. Counted, because one block may feed several tasks. */
#ifndef STREAM_BLOCK_H
#define STREAM_BLOCK_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct block {
	atomic_uint references;
	size_t size;
	uint8_t bytes[];
};

/* With one reference; NULL when memory is out. */
struct block *block_new(size_t size);
void block_ref(struct block *block);
/* NULL is fine. */
void block_unref(struct block *block);

#endif
