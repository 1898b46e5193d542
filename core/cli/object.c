/* See object.h. */
#include "cli/object.h"

#include <inttypes.h>

#include "base/cleanup.h"
#include "base/json_write.h"
#include "base/number.h"
#include "base/slice.h"

struct object object_begin(struct buffer *out)
{
	buffer_append_byte(out, '{');
	return (struct object){.out = out};
}

void object_end(struct object *object)
{
	buffer_append_byte(object->out, '}');
}

void object_name(struct object *object, const char *name)
{
	if (object->more)
		buffer_append_byte(object->out, ',');
	object->more = true;
	json_append_string(object->out, slice_of_text(name));
	buffer_append_byte(object->out, ':');
}

void object_text(struct object *object, const char *name, const char *text)
{
	object_name(object, name);
	if (text)
		json_append_string(object->out, slice_of_text(text));
	else
		buffer_append_text(object->out, "null");
}

void object_u64(struct object *object, const char *name, uint64_t value)
{
	object_name(object, name);
	number_append_u64(object->out, value);
}

void object_i64(struct object *object, const char *name, int64_t value)
{
	object_name(object, name);
	number_append_i64(object->out, value);
}

void object_bool(struct object *object, const char *name, bool value)
{
	object_name(object, name);
	buffer_append_text(object->out, value ? "true" : "false");
}

void object_bytes(struct object *object, const char *name, sb_slice bytes)
{
	AUTO(buffer_done) struct buffer escaped = BUFFER_INIT;

	json_append_escaped_bytes(&escaped, bytes);
	object->out->failed |= escaped.failed;
	object_name(object, name);
	json_append_string(object->out, buffer_slice(&escaped));
}

void object_hex(struct object *object, const char *name, uint64_t value)
{
	object_name(object, name);
	buffer_printf(object->out, "\"%016" PRIx64 "\"", value);
}
