/* A value as JSON, by its schema alone.
 *
 * Integers are printed exactly. What JSON has no number for (NaN and the infinities) becomes a string, so that
 * nothing is lost and the line stays valid. Text that is not UTF-8 is printed as escaped bytes. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/json_write.h"
#include "base/number.h"
#include "base/slice.h"
#include "state/schema.h"

static uint64_t load_uint(const uint8_t *at, uint32_t size)
{
	uint64_t value = 0;

	for (uint32_t i = 0; i < size; i++)
		value |= (uint64_t)at[i] << 8 * i;
	return value;
}

static int64_t load_int(const uint8_t *at, uint32_t size)
{
	unsigned unused = 64 - 8 * size;

	return (int64_t)(load_uint(at, size) << unused) >> unused;
}

/* The shortest text that reads back as the same float; as a double it would show digits that the value never had. */
static void append_f32(struct buffer *out, float value)
{
	char text[32];

	for (int digits = 6; digits <= 9; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, (double)value);
		if (strtof(text, NULL) == value)
			break;
	}
	buffer_append_text(out, text);
}

static void append_float(struct buffer *out, const uint8_t *at, uint32_t size)
{
	double wide;
	float narrow;

	if (size == 4) {
		memcpy(&narrow, at, 4);
		wide = (double)narrow;
	} else {
		memcpy(&wide, at, 8);
	}
	if (isnan(wide))
		buffer_append_text(out, "\"NaN\"");
	else if (isinf(wide))
		buffer_append_text(out, wide > 0 ? "\"Infinity\"" : "\"-Infinity\"");
	else if (size == 4)
		append_f32(out, (float)wide);
	else
		number_append_f64(out, wide);
}

static void append_escaped_string(struct buffer *out, sb_slice bytes)
{
	struct buffer escaped = BUFFER_INIT;

	json_append_escaped_bytes(&escaped, bytes);
	json_append_string(out, buffer_slice(&escaped));
	out->failed |= escaped.failed;
	buffer_done(&escaped);
}

static void append_chars(struct buffer *out, const uint8_t *at, uint32_t size)
{
	sb_slice text;

	while (size && at[size - 1] == 0)
		size--;
	text = slice_of(at, size);
	if (utf8_is_valid(text))
		json_append_string(out, text);
	else
		append_escaped_string(out, text);
}

static void append_time(struct buffer *out, int64_t unix_ms)
{
	buffer_append_byte(out, '"');
	time_append_rfc3339_ms(out, unix_ms);
	buffer_append_byte(out, '"');
}

static void append_enum(struct buffer *out, const struct schema_field *field, uint64_t value)
{
	if (value < field->name_count)
		json_append_string(out, slice_of_text(field->names[value]));
	else
		number_append_u64(out, value);
}

static void append_field(struct buffer *out, const struct schema_field *field, const uint8_t *at)
{
	switch (field->type) {
	case SB_TYPE_BOOL:
		buffer_append_text(out, *at ? "true" : "false");
		break;
	case SB_TYPE_I64:
	case SB_TYPE_INT:
		number_append_i64(out, load_int(at, field->size));
		break;
	case SB_TYPE_UINT:
		number_append_u64(out, load_uint(at, field->size));
		break;
	case SB_TYPE_F64:
	case SB_TYPE_FLOAT:
		append_float(out, at, field->size);
		break;
	case SB_TYPE_TIME:
		append_time(out, load_int(at, 8));
		break;
	case SB_TYPE_ENUM:
		append_enum(out, field, load_uint(at, field->size));
		break;
	case SB_TYPE_CHARS:
		append_chars(out, at, field->size);
		break;
	default:
		append_escaped_string(out, slice_of(at, field->size));
	}
}

int32_t schema_value_to_json(const struct schema_state *state, sb_slice value, struct buffer *out, sb_error *err)
{
	if (state->kind == SB_STATE_RAW) {
		append_escaped_string(out, value);
		return buffer_check(out, err);
	}
	if (value.len != state->value_size)
		return error_set(err, SB_ERR_CORRUPT, "a value of state %s has %llu bytes, not %u", state->name,
				 (unsigned long long)value.len, state->value_size);
	for (uint64_t i = 0; i < state->field_count; i++) {
		buffer_append_byte(out, i ? ',' : '{');
		json_append_string(out, slice_of_text(state->fields[i].name));
		buffer_append_byte(out, ':');
		append_field(out, &state->fields[i], value.ptr + state->fields[i].offset);
	}
	buffer_append_text(out, state->field_count ? "}" : "{}");
	return buffer_check(out, err);
}
