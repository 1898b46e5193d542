/* Optimal string alignment distance: Levenshtein's table with one more case, two
 * neighbours in the wrong order, which is the commonest slip of all. Names are short and
 * this runs only on the way to an error, so the whole table lies on the stack as three rows. */
#include "base/nearest.h"

#include <string.h>

#include "base/slice.h"

static uint32_t smaller(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

uint32_t nearest_distance(sb_slice a, sb_slice b)
{
	uint32_t rows[3][NEAREST_NAME_BYTES + 1];
	uint32_t *before = rows[0], *above = rows[1], *row = rows[2];

	if (a.len > NEAREST_NAME_BYTES || b.len > NEAREST_NAME_BYTES)
		return UINT32_MAX;
	for (uint32_t j = 0; j <= b.len; j++)
		above[j] = j;
	for (uint32_t i = 1; i <= a.len; i++) {
		uint32_t *oldest = before;

		row[0] = i;
		for (uint32_t j = 1; j <= b.len; j++) {
			uint32_t cost = a.ptr[i - 1] != b.ptr[j - 1];

			row[j] = smaller(smaller(above[j], row[j - 1]) + 1, above[j - 1] + cost);
			if (i > 1 && j > 1 && a.ptr[i - 1] == b.ptr[j - 2] && a.ptr[i - 2] == b.ptr[j - 1])
				row[j] = smaller(row[j], before[j - 2] + 1);
		}
		before = above;
		above = row;
		row = oldest;
	}
	return above[b.len];
}

/* One slip in three letters; a one-letter name is near to nothing but itself. */
static uint32_t limit_of(sb_slice wanted)
{
	uint64_t slips = wanted.len / 3;

	return slips ? (uint32_t)slips : wanted.len > 1;
}

void nearest_offer(struct nearest *nearest, const char *name)
{
	uint32_t distance = nearest_distance(nearest->wanted, slice_of_text(name));

	if (distance > limit_of(nearest->wanted) || (nearest->name && distance >= nearest->distance))
		return;
	nearest->name = name;
	nearest->distance = distance;
}
