/* Input and output fields of an operator. The host routes by the key and orders by the
 * event time, so it must be certain which fields those are. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "plugin/plugin_private.h"

static bool is_event_type(uint32_t type)
{
	return type >= SB_TYPE_STRING && type <= SB_TYPE_TIME;
}

static int32_t check_field(const struct declaration *d, const char *what, sb_field *field)
{
	char label[64 + 16];

	if (!field->name)
		return declaration_refuse(d, SB_ERR_INVALID, "an %s field has no name (NULL)", what);
	if (!name_is_identifier(field->name))
		return declaration_refuse(d, SB_ERR_INVALID,
					  "%s field name \"%.64s\" is not of the form [A-Za-z_][A-Za-z0-9_]*", what,
					  field->name);
	if (!is_event_type(field->type))
		return declaration_refuse(
			d, SB_ERR_INVALID,
			"%s field \"%s\" has type %u, which events cannot have: STRING, BOOL, I64, F64 or TIME", what,
			field->name, field->type);
	snprintf(label, sizeof(label), "%s field %.50s", what, field->name);
	return declaration_check_doc(d, label, &field->doc);
}

static int32_t check_unique(const struct declaration *d, const char *what, const sb_field *fields, uint64_t index)
{
	for (uint64_t i = 0; i < index; i++)
		if (strcmp(fields[i].name, fields[index].name) == 0)
			return declaration_refuse(d, SB_ERR_INVALID, "two %s fields have the name \"%s\"", what,
						  fields[i].name);
	return SB_OK;
}

static int32_t check_key(const struct declaration *d, sb_field *field)
{
	if (field->type != SB_TYPE_STRING && field->type != SB_TYPE_I64)
		return declaration_refuse(d, SB_ERR_INVALID, "key field \"%s\" must be of type STRING or I64",
					  field->name);
	if (field->flags & SB_FIELD_OPTIONAL)
		return declaration_refuse(d, SB_ERR_INVALID,
					  "key field \"%s\" cannot be optional: an event without a key has no state",
					  field->name);
	return SB_OK;
}

static int32_t check_inputs(const struct declaration *d, sb_field *fields, uint64_t count)
{
	uint64_t keys = 0, times = 0;

	for (uint64_t i = 0; i < count; i++) {
		sb_field *field = &fields[i];

		TRY(check_field(d, "input", field));
		TRY(check_unique(d, "input", fields, i));
		TRY(declaration_check_flags(d, "input field", field->name, &field->flags,
					    SB_FIELD_KEY | SB_FIELD_OPTIONAL | SB_FIELD_EVENT_TIME));
		if (field->flags & SB_FIELD_KEY)
			TRY(check_key(d, field));
		if ((field->flags & SB_FIELD_EVENT_TIME) && field->type != SB_TYPE_TIME)
			return declaration_refuse(d, SB_ERR_INVALID, "event time field \"%s\" must be of type TIME",
						  field->name);
		keys += (field->flags & SB_FIELD_KEY) != 0;
		times += (field->flags & SB_FIELD_EVENT_TIME) != 0;
	}
	if (keys != 1)
		return declaration_refuse(d, SB_ERR_INVALID,
					  "%llu input fields are SB_FIELD_KEY: exactly one is the key",
					  (unsigned long long)keys);
	if (times > 1)
		return declaration_refuse(d, SB_ERR_INVALID,
					  "%llu input fields are SB_FIELD_EVENT_TIME: at most one can be",
					  (unsigned long long)times);
	return SB_OK;
}

static int32_t check_outputs(const struct declaration *d, sb_field *fields, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++) {
		TRY(check_field(d, "output", &fields[i]));
		TRY(check_unique(d, "output", fields, i));
		TRY(declaration_check_flags(d, "output field", fields[i].name, &fields[i].flags, SB_FIELD_OPTIONAL));
		if (fields[i].type == SB_TYPE_F64 && fields[i].decimals > 17)
			return declaration_refuse(d, SB_ERR_INVALID,
						  "output field \"%s\" has %d decimals, more than 17", fields[i].name,
						  fields[i].decimals);
	}
	return SB_OK;
}

int32_t declare_fields(const struct declaration *d, const sb_component *given, struct component *component)
{
	void *inputs, *outputs;

	TRY(declaration_copy(d, "input field", (const void *const *)given->inputs, given->input_count, V1_SIZE_FIELD,
			     sizeof(sb_field), &inputs));
	TRY(declaration_copy(d, "output field", (const void *const *)given->outputs, given->output_count, V1_SIZE_FIELD,
			     sizeof(sb_field), &outputs));
	component->inputs = inputs;
	component->input_count = given->input_count;
	component->outputs = outputs;
	component->output_count = given->output_count;
	TRY(check_inputs(d, component->inputs, component->input_count));
	return check_outputs(d, component->outputs, component->output_count);
}
