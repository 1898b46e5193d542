/* SPDX-License-Identifier: Apache-2.0
 *
 * pages.c: see pages.h.
 */
#include "pages.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/mman.h>

static bool fits(const struct pages *pages, size_t size_bytes)
{
	return !pages->limit_bytes || size_bytes <= pages->limit_bytes - pages->mapped_bytes;
}

/* Maps twice the size and gives back both ends: mmap knows no alignment. */
void *pages_map_area(struct pages *pages)
{
	uint8_t *raw, *area;
	size_t before;

	if (!fits(pages, AREA_BYTES))
		return NULL;
	raw = mmap(NULL, 2 * AREA_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (raw == MAP_FAILED)
		return NULL;
	before = (AREA_BYTES - ((uintptr_t)raw & (AREA_BYTES - 1))) & (AREA_BYTES - 1);
	area = raw + before;
	if (before)
		munmap(raw, before);
	munmap(area + AREA_BYTES, AREA_BYTES - before);
	if (pages->huge)
		(void)madvise(area, AREA_BYTES, MADV_HUGEPAGE); /* advice: a kernel without it changes nothing */
	pages->mapped_bytes += AREA_BYTES;
	return area;
}

void pages_unmap_area(struct pages *pages, void *area)
{
	munmap(area, AREA_BYTES);
	pages->mapped_bytes -= AREA_BYTES;
}

void *pages_alloc(struct pages *pages, size_t size_bytes)
{
	return pages_resize(pages, NULL, 0, size_bytes);
}

void *pages_resize(struct pages *pages, void *block, size_t old_bytes, size_t new_bytes)
{
	void *resized;

	assert(new_bytes > 0);
	if (new_bytes > old_bytes && !fits(pages, new_bytes - old_bytes))
		return NULL;
	resized = realloc(block, new_bytes);
	if (resized)
		pages->mapped_bytes += new_bytes - old_bytes;
	return resized;
}

void pages_free(struct pages *pages, void *block, size_t size_bytes)
{
	if (!block)
		return;
	free(block);
	pages->mapped_bytes -= size_bytes;
}
