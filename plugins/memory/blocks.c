/* SPDX-License-Identifier: Apache-2.0
 *
 * blocks.c: see blocks.h.
 */
#include "blocks.h"

#include <string.h>

struct block_area {
	struct block_area *next, *prev; /* areas with free blocks come before full ones */
	void *free_block; /* each free block begins with a pointer to the next */
	uint32_t used, capacity;
	uint32_t cut; /* blocks that were ever given out */
	int kind;
};

/* What 85 blocks of 24 KiB leave over; of 16 KiB there are 127. */
#define HEAD_BYTES 8192u

_Static_assert(sizeof(struct block_area) <= HEAD_BYTES, "the head fits");

uint32_t blocks_size(int kind)
{
	return kind ? 24576 : 16384;
}

static void unlink_area(struct blocks *blocks, struct block_area *area)
{
	if (area->prev)
		area->prev->next = area->next;
	else
		blocks->areas = area->next;
	if (area->next)
		area->next->prev = area->prev;
	area->next = area->prev = NULL;
}

static void push_front(struct blocks *blocks, struct block_area *area)
{
	area->prev = NULL;
	area->next = blocks->areas;
	if (area->next)
		area->next->prev = area;
	blocks->areas = area;
}

static void push_back(struct blocks *blocks, struct block_area *area, struct block_area *after)
{
	while (after && after->next && after->next->used < after->next->capacity)
		after = after->next;
	if (!after) {
		push_front(blocks, area);
		return;
	}
	area->prev = after;
	area->next = after->next;
	if (area->next)
		area->next->prev = area;
	after->next = area;
}

static struct block_area *add_area(struct blocks *blocks, int kind)
{
	struct block_area *area = pages_map_area(blocks->pages);

	if (!area)
		return NULL;
	area->kind = kind;
	area->capacity = (uint32_t)((AREA_BYTES - HEAD_BYTES) / blocks_size(kind));
	push_front(blocks, area);
	return area;
}

static struct block_area *area_with_room(struct blocks *blocks, int kind)
{
	struct block_area *area = blocks->areas;

	while (area && area->used < area->capacity) {
		if (area->kind == kind)
			return area;
		area = area->next;
	}
	return add_area(blocks, kind);
}

void *blocks_take(struct blocks *blocks, int kind)
{
	struct block_area *area = area_with_room(blocks, kind);
	void *block;

	if (!area)
		return NULL;
	block = area->free_block;
	if (block)
		memcpy(&area->free_block, block, sizeof(void *));
	else
		block = (uint8_t *)area + HEAD_BYTES + (size_t)area->cut++ * blocks_size(kind);
	area->used++;
	if (area->used == area->capacity) {
		struct block_area *first;

		unlink_area(blocks, area);
		first = blocks->areas;
		push_back(blocks, area, first && first->used < first->capacity ? first : NULL);
	}
	blocks->used_bytes += blocks_size(kind);
	return block;
}

static struct block_area *area_of(void *block)
{
	return (struct block_area *)(void *)((uint8_t *)block - ((uintptr_t)block & (AREA_BYTES - 1)));
}

static bool has_other_spare(const struct blocks *blocks, const struct block_area *area)
{
	for (const struct block_area *a = blocks->areas; a && a->used < a->capacity; a = a->next) {
		if (a != area && a->kind == area->kind && !a->used)
			return true;
	}
	return false;
}

void blocks_give(struct blocks *blocks, int kind, void *block)
{
	struct block_area *area = area_of(block);

	memcpy(block, &area->free_block, sizeof(void *));
	area->free_block = block;
	if (area->used == area->capacity) {
		unlink_area(blocks, area);
		push_front(blocks, area);
	}
	area->used--;
	blocks->used_bytes -= blocks_size(kind);
	if (!area->used && has_other_spare(blocks, area)) {
		unlink_area(blocks, area);
		pages_unmap_area(blocks->pages, area);
	}
}

void blocks_done(struct blocks *blocks)
{
	while (blocks->areas) {
		struct block_area *area = blocks->areas;

		unlink_area(blocks, area);
		pages_unmap_area(blocks->pages, area);
	}
}
