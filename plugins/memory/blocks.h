/* SPDX-License-Identifier: Apache-2.0
 *
 * blocks.h: memory for the blocks of the index, in two sizes, cut from areas.
 *
 * An area holds blocks of one size and begins with a head that counts and lists
 * its free ones; one that is all free goes back to the system, but for one spare.
 * malloc would do, without the huge pages that are worth a third of the speed.
 *
 * Owner thread only.
 */
#ifndef MEMORY_BLOCKS_H
#define MEMORY_BLOCKS_H

#include "pages.h"

#define BLOCK_SIZES 2

struct block_area;

struct blocks {
	struct pages *pages;
	struct block_area *areas; /* all; those with free blocks are found from the front */
	uint64_t used_bytes;
};

/* kind 0: 16 KiB, kind 1: 24 KiB. Aligned to a cache line, content undefined; or NULL. */
void *blocks_take(struct blocks *blocks, int kind);
void blocks_give(struct blocks *blocks, int kind, void *block);
void blocks_done(struct blocks *blocks);
uint32_t blocks_size(int kind);

#endif
