/* The decoder's frame: maps, faults, what numbers become, and the way to the format's own file. */
#include "stream/decode.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "stream/decode_private.h"

/* ---- faults ---- */

/* Nothing of it could harm a terminal: sentences of ours, numbers, single printable characters, and names of fields, which are identifiers. */
bool fault_set(struct decode_fault *fault, const char *reason, const char *format, ...)
{
	va_list args;

	fault->reason = reason;
	va_start(args, format);
	vsnprintf(fault->detail, sizeof(fault->detail), format, args);
	va_end(args);
	return false;
}

static const char *expected_text(const struct decode_field *field)
{
	switch (field->type) {
	case SB_TYPE_STRING:
		return "a string";
	case SB_TYPE_BOOL:
		return "true or false";
	case SB_TYPE_I64:
		return "an integer";
	case SB_TYPE_F64:
		return "a number";
	default:
		return time_format_expected(field->time_format);
	}
}

bool field_wrong_type(const struct decode_field *field, const char *found, size_t at, struct decode_fault *fault)
{
	return fault_set(fault, "wrong-type", "field '%s': expected %s, found %s at byte %zu", field->name,
			 expected_text(field), found, at);
}

static bool field_out_of_range(const struct decode_field *field, const char *limits, size_t at,
			       struct decode_fault *fault)
{
	return fault_set(fault, "out-of-range", "field '%s': the number at byte %zu is beyond %s", field->name, at,
			 limits);
}

static bool field_set_time(const struct decode_field *field, enum time_result result, size_t at,
			   struct decode_fault *fault)
{
	if (result == TIME_OK)
		return true;
	if (result == TIME_RANGE)
		return fault_set(fault, "out-of-range",
				 "field '%s': the time at byte %zu is beyond the years 0000 to 9999", field->name, at);
	return fault_set(fault, "invalid-time", "field '%s': expected %s at byte %zu", field->name,
			 expected_text(field), at);
}

bool field_set_number(const struct decode_field *field, const struct decimal *number, size_t at, sb_value *ret_value,
		      struct decode_fault *fault)
{
	switch (field->type) {
	case SB_TYPE_F64:
		if (!decimal_to_f64(number, &ret_value->as.f64))
			return field_out_of_range(field, "the largest double", at, fault);
		break;
	case SB_TYPE_I64:
		if (!number->integer)
			return field_wrong_type(field, "a number with a fraction or an exponent", at, fault);
		if (!decimal_to_i64(number, &ret_value->as.i64))
			return field_out_of_range(field, "64 bits", at, fault);
		break;
	default: /* TIME: the formats' files have no number for a text or a truth */
		if (!field_set_time(field, time_from_decimal(number, field->time_format, &ret_value->as.i64), at,
				    fault))
			return false;
	}
	ret_value->len = 0;
	return true;
}

bool field_set_time_text(const struct decode_field *field, sb_slice text, size_t at, sb_value *ret_value,
			 struct decode_fault *fault)
{
	if (!field_set_time(field, time_from_text(text, field->time_format, &ret_value->as.i64), at, fault))
		return false;
	ret_value->len = 0;
	return true;
}

/* ---- maps ---- */

static uint32_t find_field(const struct decoder *d, sb_slice name)
{
	for (uint32_t i = 0; i < d->field_count; i++)
		if (slice_equal_text(name, d->fields[i].name))
			return i;
	return NO_INDEX;
}

static int32_t unknown_field(const struct decoder *d, const char *map, sb_error *err)
{
	struct buffer names = BUFFER_INIT;
	int32_t status;

	for (uint32_t i = 0; i < d->field_count; i++) {
		buffer_append_text(&names, i ? ", " : "");
		buffer_append_text(&names, d->fields[i].name);
	}
	buffer_append_byte(&names, 0);
	status = error_set(err, SB_ERR_CONFIG, "--map %s names no input field of the operator; it has: %s", map,
			   names.failed ? "?" : (const char *)names.data);
	buffer_done(&names);
	return status;
}

/* The column of a field: the one of that name, or a new one. */
static int32_t bind_column(struct decoder *d, uint32_t field, sb_slice name, sb_error *err)
{
	struct decode_column *column = d->columns;

	while (column < d->columns + d->column_count && !slice_equal(name, slice_of(column->name, column->name_len)))
		column++;
	if (column == d->columns + d->column_count) {
		char *copy = strndup((const char *)name.ptr, name.len);

		if (!copy)
			return error_no_memory(err);
		*column = (struct decode_column){.name = copy, .name_len = name.len, .first = NO_INDEX};
		d->column_count++;
	}
	d->fields[field].next = column->first;
	column->first = field;
	return SB_OK;
}

static int32_t apply_map(struct decoder *d, const char *map, sb_error *err)
{
	const char *equals = strchr(map, '='), *colon;
	struct decode_field *field;
	uint32_t index;

	if (!equals || equals == map || !equals[1])
		return error_set(err, SB_ERR_CONFIG, "--map %s is not of the form FIELD=COLUMN", map);
	index = find_field(d, slice_of(map, (size_t)(equals - map)));
	if (index == NO_INDEX)
		return unknown_field(d, map, err);
	field = &d->fields[index];
	if (field->mapped)
		return error_set(err, SB_ERR_CONFIG, "--map %s is the second map for field %s; give one", map,
				 field->name);
	field->mapped = true;
	colon = field->type == SB_TYPE_TIME ? strrchr(equals, ':') : NULL;
	if (!colon)
		return bind_column(d, index, slice_of_text(equals + 1), err);
	if (colon == equals + 1)
		return error_set(err, SB_ERR_CONFIG, "--map %s names no column", map);
	if (!time_format_parse(colon + 1, &field->time_format))
		return error_set(
			err, SB_ERR_CONFIG,
			"--map %s: '%s' is no time format; known are %s (a column with a colon in its name takes :auto "
			"at its end)",
			map, colon + 1, TIME_FORMAT_NAMES);
	return bind_column(d, index, slice_of(equals + 1, (size_t)(colon - equals - 1)), err);
}

static int32_t bind_columns(struct decoder *d, const struct decoder_config *config, sb_error *err)
{
	for (uint64_t i = 0; i < config->map_count; i++)
		TRY(apply_map(d, config->maps[i], err));
	for (uint32_t i = 0; i < d->field_count; i++)
		if (!d->fields[i].mapped)
			TRY(bind_column(d, i, slice_of_text(d->fields[i].name), err));
	return SB_OK;
}

/* ---- the decoder ---- */

static void free_decoder(struct decoder **decoder)
{
	decoder_free(*decoder);
}

int32_t decoder_new(const struct decoder_config *config, struct decoder **ret_decoder, sb_error *err)
{
	AUTO(free_decoder) struct decoder *d = calloc(1, sizeof(*d));

	if (!d)
		return error_no_memory(err);
	if (config->format == FORMAT_CSV && (config->delimiter & 0x80 || memchr("\"\r\n", config->delimiter, 3)))
		return error_set(err, SB_ERR_CONFIG,
				 "the delimiter of CSV must be one ASCII character, and no quote or line end");
	d->format = config->format;
	d->delimiter = config->delimiter;
	d->has_header = config->has_header;
	d->fields = calloc(config->field_count + 1, sizeof(*d->fields));
	d->columns = calloc(config->field_count + 1, sizeof(*d->columns));
	if (!d->fields || !d->columns)
		return error_no_memory(err);
	d->field_count = (uint32_t)config->field_count;
	for (uint32_t i = 0; i < d->field_count; i++) {
		const sb_field *field = &config->fields[i];

		d->fields[i] = (struct decode_field){
			.name = field->name,
			.type = field->type,
			.optional = field->flags & SB_FIELD_OPTIONAL,
			.next = NO_INDEX,
		};
	}
	TRY(bind_columns(d, config, err));
	if (d->format == FORMAT_CSV && !d->has_header)
		TRY(csv_bind_numbers(d, err));
	*ret_decoder = TAKE(d);
	return SB_OK;
}

void decoder_free(struct decoder *decoder)
{
	if (!decoder)
		return;
	for (uint32_t i = 0; i < decoder->column_count; i++)
		free(decoder->columns[i].name);
	free(decoder->columns);
	free(decoder->fields);
	free(decoder->positions);
	free(decoder);
}

int32_t decoder_set_header(struct decoder *decoder, sb_slice line, sb_error *err)
{
	return csv_bind_header(decoder, line, err);
}

size_t decoder_split(const struct decoder *decoder, sb_slice bytes, size_t *resume)
{
	const uint8_t *found;

	if (decoder->format == FORMAT_CSV && decoder->delimiter != DELIMITER_WHITESPACE)
		return csv_split(decoder, bytes, resume);
	found = bytes.len > *resume ? memchr(bytes.ptr + *resume, '\n', bytes.len - *resume) : NULL;
	if (found)
		return (size_t)(found - bytes.ptr) + 1;
	*resume = bytes.len;
	return 0;
}

/* What no value was found for is missing, unless it may be. */
static enum decode_result check_missing(const struct decoder *d, const sb_value *values, struct decode_fault *fault)
{
	for (uint32_t i = 0; i < d->field_count; i++) {
		if (values[i].len == SB_NULL && !d->fields[i].optional) {
			fault_set(fault, "missing-field", "field '%s': the record has no value for it",
				  d->fields[i].name);
			return DECODE_BAD;
		}
	}
	return DECODE_EVENT;
}

enum decode_result decoder_decode(struct decoder *decoder, sb_slice record, struct arena *arena, sb_value *ret_values,
				  struct decode_fault *ret_fault)
{
	enum decode_result result;

	if (record.len > RECORD_MAX_BYTES) {
		fault_set(ret_fault, "too-large", "the record is longer than %zu bytes", RECORD_MAX_BYTES);
		return DECODE_BAD;
	}
	for (uint32_t i = 0; i < decoder->field_count; i++)
		ret_values[i] = (sb_value){.len = SB_NULL};
	result = decoder->format == FORMAT_CSV ? csv_decode(decoder, record, arena, ret_values, ret_fault)
					       : json_decode(decoder, record, arena, ret_values, ret_fault);
	return result == DECODE_EVENT ? check_missing(decoder, ret_values, ret_fault) : result;
}
