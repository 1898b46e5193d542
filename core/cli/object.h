/* JSON objects, member by member, straight into a buffer: numbers stay exact, and nothing is held twice. */
#ifndef CLI_OBJECT_H
#define CLI_OBJECT_H

#include <stdbool.h>

#include "base/buffer.h"

struct object {
	struct buffer *out;
	bool more; /* a comma is due */
};

struct object object_begin(struct buffer *out);
void object_end(struct object *object);
/* `"name":`, for whoever writes the value itself. */
void object_name(struct object *object, const char *name);
/* NULL is null. Paths and names that are not UTF-8 get U+FFFD in the place of each byte that is not. */
void object_text(struct object *object, const char *name, const char *text);
void object_u64(struct object *object, const char *name, uint64_t value);
void object_i64(struct object *object, const char *name, int64_t value);
void object_bool(struct object *object, const char *name, bool value);
/* Bytes as they are typed and printed: \xNN. */
void object_bytes(struct object *object, const char *name, sb_slice bytes);
/* 16 hexadecimal digits: JSON tools would round the number. */
void object_hex(struct object *object, const char *name, uint64_t value);

#endif
