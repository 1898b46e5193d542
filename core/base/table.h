/* Aligned columns for people. Sticky-failed like struct buffer, so that what formats needs no test per cell. */
#ifndef BASE_TABLE_H
#define BASE_TABLE_H

#include "base/buffer.h"

#define TABLE_COLUMNS_MAX 17

struct table {
	unsigned columns;
	uint32_t right; /* bit c: column c is aligned to the right, as numbers are */
	uint64_t count; /* of cells */
	struct buffer cells; /* texts, each ended by a NUL, row by row */
	uint64_t widths[TABLE_COLUMNS_MAX];
};

/* Control characters become blanks. */
void table_cell(struct table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Each line starts with indent; the last column is not padded. */
void table_append(const struct table *table, const char *indent, struct buffer *out);
/* Forgets the cells and keeps the widths: a table that is too long to be held is appended in blocks, whose columns stay
 * where they are as long as nothing wider comes. */
void table_clear(struct table *table);
void table_done(struct table *table);

#endif
