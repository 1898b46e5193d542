/* The known name nearest to what a user typed, for "did you mean" in refusals. */
#ifndef BASE_NEAREST_H
#define BASE_NEAREST_H

#include "sb_plugin.h"

/* Names longer than this are never near to anything. */
#define NEAREST_NAME_BYTES 64

/* Insertions, deletions, replacements and swaps of neighbours between a and b; UINT32_MAX when one is too long. */
uint32_t nearest_distance(sb_slice a, sb_slice b);

/* struct nearest near = {.wanted = typed}; nearest_offer(&near, name) for each; near.name is the first of the
 * nearest, or NULL when all are too far off to be a slip of the keyboard. The names are borrowed. */
struct nearest {
	sb_slice wanted;
	const char *name;
	uint32_t distance;
};

void nearest_offer(struct nearest *nearest, const char *name);

#endif
