/* Two ways to show things: aligned tables and JSON trees. Both are sticky-failed like
 * struct buffer, so that what formats needs no test per cell. */
#ifndef PLUGIN_DESCRIBE_PRIVATE_H
#define PLUGIN_DESCRIBE_PRIVATE_H

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "base/buffer.h"

/* --- table.c --- */

#define TABLE_COLUMNS_MAX 8

struct table {
	unsigned columns;
	uint64_t count; /* of cells */
	struct buffer cells; /* texts, each ended by a NUL, row by row */
	uint64_t widths[TABLE_COLUMNS_MAX];
};

/* Control characters become blanks. */
void table_cell(struct table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Each line starts with indent; the last column is not padded. */
void table_append(const struct table *table, const char *indent, struct buffer *out);
void table_done(struct table *table);

/* --- describe_json.c --- */

struct json_out {
	cJSON *object;
	bool failed;
};

/* Members of the object. Text that is not UTF-8 gets U+FFFD in its place; NULL is null. */
void json_text(struct json_out *out, const char *name, const char *text);
/* Exact, unlike cJSON's own numbers. */
void json_number(struct json_out *out, const char *name, int64_t value);
void json_delete(cJSON **item);
/* Indented, with a line feed at the end. */
void json_print(const cJSON *item, struct buffer *out);

#endif
