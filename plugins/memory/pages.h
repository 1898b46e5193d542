/* SPDX-License-Identifier: Apache-2.0
 *
 * pages.h: where all memory of an instance that grows with its state comes from:
 * areas of 2 MiB, aligned to 2 MiB so that one huge page can back each, and plain
 * blocks.
 *
 * Invariant: mapped_bytes is the sum of everything handed out and not given
 * back, and never exceeds limit_bytes. One place to count means that the
 * memory_limit option and the stats cannot disagree.
 *
 * Owner thread only.
 */
#ifndef MEMORY_PAGES_H
#define MEMORY_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AREA_SHIFT 21
#define AREA_BYTES ((size_t)1 << AREA_SHIFT)

struct pages {
	uint64_t mapped_bytes;
	uint64_t limit_bytes; /* 0: none */
	bool huge;
};

/* An area of AREA_BYTES of zeros, or NULL. */
void *pages_map_area(struct pages *pages);
void pages_unmap_area(struct pages *pages, void *area);

/* malloc(), realloc() and free() with the size remembered by the caller. */
void *pages_alloc(struct pages *pages, size_t size_bytes);
void *pages_resize(struct pages *pages, void *block, size_t old_bytes, size_t new_bytes);
void pages_free(struct pages *pages, void *block, size_t size_bytes);

#endif
