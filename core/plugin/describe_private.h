/* Two ways to show things: aligned tables (base/table.h) and JSON trees. Both are sticky-failed like
 * struct buffer, so that what formats needs no test per cell. */
#ifndef PLUGIN_DESCRIBE_PRIVATE_H
#define PLUGIN_DESCRIBE_PRIVATE_H

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "base/buffer.h"
#include "base/table.h"

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
