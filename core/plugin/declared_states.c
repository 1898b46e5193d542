/* States of an operator and the schemas of their structs. The host reads, prints and
 * migrates values by these schemas alone, so one that does not fit its struct would corrupt
 * state later and far away. */
#include <string.h>

#include "base/error.h"
#include "plugin/plugin_private.h"

#define VALUE_SIZE_MAX 65536u

static bool is_power_of_two_up_to(uint32_t size, uint32_t limit)
{
	return size && size <= limit && (size & (size - 1)) == 0;
}

static bool is_legal_size(uint32_t type, uint32_t size)
{
	switch (type) {
	case SB_TYPE_BOOL:
		return size == 1;
	case SB_TYPE_I64:
	case SB_TYPE_F64:
	case SB_TYPE_TIME:
		return size == 8;
	case SB_TYPE_INT:
	case SB_TYPE_UINT:
		return is_power_of_two_up_to(size, 8);
	case SB_TYPE_FLOAT:
		return size == 4 || size == 8;
	case SB_TYPE_ENUM:
		return is_power_of_two_up_to(size, 4);
	default:
		return size > 0; /* CHARS, BYTES */
	}
}

static int32_t check_enum(const struct declaration *d, const char *state, const sb_schema_field *field)
{
	uint64_t limit = field->size == 1 ? 256 : COUNT_MAX;
	uint64_t count = 0;
	uint32_t value = 0;

	if (!field->names || !field->names[0])
		return declaration_refuse(d, SB_ERR_INVALID, "enum field \"%s\" of state \"%s\" has no names",
					  field->name, state);
	for (; field->names[count]; count++) {
		if (count == limit)
			return declaration_refuse(d, SB_ERR_INVALID,
						  "enum field \"%s\" of state \"%s\" has more than %llu names",
						  field->name, state, (unsigned long long)limit);
		TRY(declaration_check_text(d, field->name, "names", field->names[count]));
		for (uint64_t i = 0; i < count; i++)
			if (strcmp(field->names[i], field->names[count]) == 0)
				return declaration_refuse(
					d, SB_ERR_INVALID,
					"enum field \"%s\" of state \"%s\" has the name \"%.64s\" twice", field->name,
					state, field->names[i]);
	}
	if (field->default_value)
		memcpy(&value, field->default_value, field->size);
	if (value >= count)
		return declaration_refuse(d, SB_ERR_INVALID,
					  "the default of enum field \"%s\" of state \"%s\" has no name", field->name,
					  state);
	return SB_OK;
}

static int32_t check_schema_field(const struct declaration *d, const sb_state *state, sb_schema_field *field)
{
	if (!field->name)
		return declaration_refuse(d, SB_ERR_INVALID, "a field of state \"%s\" has no name (NULL)", state->name);
	if (!name_is_identifier(field->name))
		return declaration_refuse(
			d, SB_ERR_INVALID,
			"field name \"%.64s\" of state \"%s\" is not of the form [A-Za-z_][A-Za-z0-9_]*", field->name,
			state->name);
	if (field->type < SB_TYPE_BOOL || field->type > SB_TYPE_BYTES)
		return declaration_refuse(d, d->newer ? SB_ERR_INCOMPATIBLE : SB_ERR_INVALID,
					  "field \"%s\" of state \"%s\" has type %u, which a struct cannot hold",
					  field->name, state->name, field->type);
	if (!is_legal_size(field->type, field->size))
		return declaration_refuse(d, SB_ERR_INVALID,
					  "field \"%s\" of state \"%s\" has %u bytes, which does not go with its type",
					  field->name, state->name, field->size);
	if (field->size > state->value_size || field->offset > state->value_size - field->size)
		return declaration_refuse(
			d, SB_ERR_INVALID,
			"field \"%s\" of state \"%s\" ends at byte %llu, behind the %u bytes of the struct",
			field->name, state->name, (unsigned long long)field->offset + field->size, state->value_size);
	if (field->type == SB_TYPE_ENUM)
		TRY(check_enum(d, state->name, field));
	return declaration_check_doc(d, field->name, &field->doc);
}

static int32_t check_against_earlier(const struct declaration *d, const sb_state *state, const sb_schema_field *fields,
				     uint64_t index)
{
	const sb_schema_field *field = &fields[index];

	for (uint64_t i = 0; i < index; i++) {
		if (strcmp(fields[i].name, field->name) == 0)
			return declaration_refuse(d, SB_ERR_INVALID, "two fields of state \"%s\" have the name \"%s\"",
						  state->name, field->name);
		if (fields[i].offset < field->offset + field->size && field->offset < fields[i].offset + fields[i].size)
			return declaration_refuse(d, SB_ERR_INVALID, "fields \"%s\" and \"%s\" of state \"%s\" overlap",
						  fields[i].name, field->name, state->name);
	}
	return SB_OK;
}

/* state->fields points to the plugin's structs before, and to our copies after. */
static int32_t declare_schema(const struct declaration *d, sb_state *state)
{
	const sb_schema_field **pointers;
	sb_schema_field *fields;
	void *array;

	if (state->value_size == 0 || state->value_size > VALUE_SIZE_MAX)
		return declaration_refuse(d, SB_ERR_INVALID, "struct state \"%s\" has value_size %u: 1 to %u bytes",
					  state->name, state->value_size, VALUE_SIZE_MAX);
	if (state->field_count == 0)
		return declaration_refuse(d, SB_ERR_INVALID, "struct state \"%s\" declares no fields", state->name);
	TRY(declaration_copy(d, "schema field", (const void *const *)state->fields, state->field_count,
			     V1_SIZE_SCHEMA_FIELD, sizeof(sb_schema_field), &array));
	fields = array;
	pointers = arena_alloc(d->memory, state->field_count * sizeof(const sb_schema_field *));
	if (!pointers)
		return declaration_no_memory(d);
	for (uint64_t i = 0; i < state->field_count; i++) {
		TRY(check_schema_field(d, state, &fields[i]));
		TRY(check_against_earlier(d, state, fields, i));
		pointers[i] = &fields[i];
	}
	state->fields = pointers;
	return SB_OK;
}

static int32_t check_state(const struct declaration *d, sb_state *state)
{
	if (!state->name)
		return declaration_refuse(d, SB_ERR_INVALID, "a state has no name (NULL)");
	if (!name_is_lower(state->name, "_-"))
		return declaration_refuse(d, SB_ERR_INVALID, "state name \"%.64s\" is not of the form [a-z][a-z0-9_-]*",
					  state->name);
	if (state->kind != SB_STATE_STRUCT && state->kind != SB_STATE_RAW)
		return declaration_refuse(d, d->newer ? SB_ERR_INCOMPATIBLE : SB_ERR_INVALID,
					  "state \"%s\" has the unknown kind %u", state->name, state->kind);
	if (state->ttl_ms < 0 && state->ttl_ms != SB_TTL_JOB)
		return declaration_refuse(d, SB_ERR_INVALID,
					  "state \"%s\" has ttl_ms %lld: milliseconds, SB_TTL_JOB or SB_TTL_NONE",
					  state->name, (long long)state->ttl_ms);
	if (state->kind == SB_STATE_RAW && (state->field_count || state->value_size))
		return declaration_refuse(d, SB_ERR_INVALID,
					  "raw state \"%s\" has fields or a value_size, which are for struct states",
					  state->name);
	return declaration_check_doc(d, state->name, &state->doc);
}

int32_t declare_states(const struct declaration *d, const sb_component *given, struct component *component)
{
	void *array;

	if (given->state_count > STATES_MAX)
		return declaration_refuse(d, SB_ERR_INVALID, "it declares %llu states, more than %u",
					  (unsigned long long)given->state_count, STATES_MAX);
	TRY(declaration_copy(d, "state", (const void *const *)given->states, given->state_count, V1_SIZE_STATE,
			     sizeof(sb_state), &array));
	component->states = array;
	component->state_count = given->state_count;
	for (uint64_t i = 0; i < component->state_count; i++) {
		sb_state *state = &component->states[i];

		TRY(check_state(d, state));
		TRY(declaration_check_flags(d, "state", state->name, &state->flags, 0));
		for (uint64_t j = 0; j < i; j++)
			if (strcmp(component->states[j].name, state->name) == 0)
				return declaration_refuse(d, SB_ERR_INVALID, "two states have the name \"%s\"",
							  state->name);
		if (state->kind == SB_STATE_STRUCT)
			TRY(declare_schema(d, state));
	}
	return SB_OK;
}
