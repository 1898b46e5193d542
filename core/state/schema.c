/* See schema.h. Owned schemas: made from a component, checked, searched, freed. Printing values
 * has its own file, schema_print.c. */
#include "state/schema.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/slice.h"
#include "state/schema_private.h"

static void field_done(struct schema_field *field)
{
	free(field->name);
	for (uint64_t i = 0; i < field->name_count; i++)
		free(field->names[i]);
	free(field->names);
	free(field->default_value);
}

static void state_done(struct schema_state *state)
{
	free(state->name);
	for (uint64_t i = 0; i < state->field_count; i++)
		field_done(&state->fields[i]);
	free(state->fields);
}

void schema_done(struct schema *schema)
{
	for (uint64_t i = 0; i < schema->count; i++)
		state_done(&schema->states[i]);
	free(schema->states);
	*schema = (struct schema){0};
}

const struct schema_state *schema_find_id(const struct schema *schema, uint32_t id)
{
	for (uint64_t i = 0; i < schema->count; i++)
		if (schema->states[i].id == id)
			return &schema->states[i];
	return NULL;
}

const struct schema_state *schema_find_name(const struct schema *schema, const char *name)
{
	for (uint64_t i = 0; i < schema->count; i++)
		if (strcmp(schema->states[i].name, name) == 0)
			return &schema->states[i];
	return NULL;
}

/* Checks that hold for every schema, wherever it comes from. */

static bool size_fits_type(uint32_t type, uint32_t size)
{
	bool power = size == 1 || size == 2 || size == 4 || size == 8;

	switch (type) {
	case SB_TYPE_BOOL:
		return size == 1;
	case SB_TYPE_I64:
	case SB_TYPE_F64:
	case SB_TYPE_TIME:
		return size == 8;
	case SB_TYPE_INT:
	case SB_TYPE_UINT:
		return power;
	case SB_TYPE_FLOAT:
		return size == 4 || size == 8;
	case SB_TYPE_ENUM:
		return power && size < 8;
	case SB_TYPE_CHARS:
	case SB_TYPE_BYTES:
		return size > 0;
	default:
		return false;
	}
}

static int32_t check_field(const struct schema_state *state, uint64_t index, int32_t code, sb_error *err)
{
	const struct schema_field *field = &state->fields[index];

	if (!field->name || !field->name[0])
		return error_set(err, code, "state %s has a field without a name", state->name);
	for (uint64_t i = 0; i < index; i++)
		if (strcmp(state->fields[i].name, field->name) == 0)
			return error_set(err, code, "state %s has two fields called %s", state->name, field->name);
	if (!size_fits_type(field->type, field->size))
		return error_set(err, code, "field %s of state %s cannot be of type %u and %u bytes", field->name,
				 state->name, field->type, field->size);
	if (field->offset > state->value_size || field->size > state->value_size - field->offset)
		return error_set(err, code, "field %s of state %s lies outside its %u bytes", field->name, state->name,
				 state->value_size);
	if (field->name_count && field->type != SB_TYPE_ENUM)
		return error_set(err, code, "field %s of state %s has names and is no enum", field->name, state->name);
	return SB_OK;
}

static int32_t check_state(const struct schema *schema, uint64_t index, int32_t code, sb_error *err)
{
	const struct schema_state *state = &schema->states[index];

	if (!state->name || !state->name[0] || strlen(state->name) > SCHEMA_NAME_MAX)
		return error_set(err, code, "a state has no name, or one of more than %u bytes", SCHEMA_NAME_MAX);
	if (state->id >= SCHEMA_STATES_MAX)
		return error_set(err, code, "state %s has number %u, above %u", state->name, state->id,
				 SCHEMA_STATES_MAX - 1);
	for (uint64_t i = 0; i < index; i++)
		if (strcmp(schema->states[i].name, state->name) == 0 || schema->states[i].id == state->id)
			return error_set(err, code, "state %s is there twice, or its number is", state->name);
	if (state->kind != SB_STATE_STRUCT && state->kind != SB_STATE_RAW)
		return error_set(err, code, "state %s is of unknown kind %u", state->name, state->kind);
	if (state->ttl_ms < 0 || state->ttl_ms > SCHEMA_TTL_MAX_MS)
		return error_set(err, code, "state %s has an impossible TTL", state->name);
	if (state->kind == SB_STATE_RAW && (state->field_count || state->value_size))
		return error_set(err, code, "raw state %s has fields or a size", state->name);
	if (state->kind == SB_STATE_STRUCT && (state->value_size < 1 || state->value_size > SCHEMA_VALUE_MAX))
		return error_set(err, code, "a value of state %s has %u bytes, not 1 to %u", state->name,
				 state->value_size, SCHEMA_VALUE_MAX);
	if (state->field_count > SCHEMA_FIELDS_MAX)
		return error_set(err, code, "state %s has more than %u fields", state->name, SCHEMA_FIELDS_MAX);
	for (uint64_t i = 0; i < state->field_count; i++)
		TRY(check_field(state, i, code, err));
	return SB_OK;
}

int32_t schema_check(const struct schema *schema, int32_t code, sb_error *err)
{
	if (schema->count > SCHEMA_STATES_MAX)
		return error_set(err, code, "more than %u states", SCHEMA_STATES_MAX);
	for (uint64_t i = 0; i < schema->count; i++)
		TRY(check_state(schema, i, code, err));
	return SB_OK;
}

/* From a component. */

static int32_t copy_names(const char *const *names, struct schema_field *field, sb_error *err)
{
	uint64_t count = 0;

	while (names && names[count])
		count++;
	if (count == 0)
		return SB_OK;
	field->names = calloc(count, sizeof(*field->names));
	if (!field->names)
		return error_no_memory(err);
	for (; field->name_count < count; field->name_count++) {
		field->names[field->name_count] = strdup(names[field->name_count]);
		if (!field->names[field->name_count])
			return error_no_memory(err);
	}
	return SB_OK;
}

static int32_t copy_field(const sb_schema_field *from, struct schema_field *field, sb_error *err)
{
	field->type = from->type;
	field->offset = from->offset;
	field->size = from->size;
	field->name = strdup(from->name ? from->name : "");
	if (!field->name)
		return error_no_memory(err);
	if (from->type == SB_TYPE_ENUM)
		TRY(copy_names(from->names, field, err));
	if (!from->default_value || from->size == 0 || from->size > SCHEMA_VALUE_MAX)
		return SB_OK;
	field->default_value = malloc(from->size);
	if (!field->default_value)
		return error_no_memory(err);
	memcpy(field->default_value, from->default_value, from->size);
	return SB_OK;
}

static int32_t copy_state(const sb_state *from, uint32_t id, int64_t job_ttl_ms, struct schema_state *state,
			  sb_error *err)
{
	bool is_struct = from->kind == SB_STATE_STRUCT;

	state->id = id;
	state->kind = from->kind;
	state->value_size = is_struct ? from->value_size : 0;
	state->ttl_ms = from->ttl_ms == SB_TTL_JOB ? job_ttl_ms : from->ttl_ms;
	state->name = strdup(from->name ? from->name : "");
	if (!state->name)
		return error_no_memory(err);
	if (!is_struct || from->field_count == 0)
		return SB_OK;
	state->fields = calloc(from->field_count, sizeof(*state->fields));
	if (!state->fields)
		return error_no_memory(err);
	while (state->field_count < from->field_count) {
		uint64_t i = state->field_count++;

		TRY(copy_field(from->fields[i], &state->fields[i], err));
	}
	return SB_OK;
}

/* Every checkpoint tells the schema, and no reader takes a larger one. */
static int32_t check_text(const struct schema *schema, sb_error *err)
{
	AUTO(buffer_done) struct buffer json = BUFFER_INIT;

	schema_to_json(schema, &json);
	TRY(buffer_check(&json, err));
	if (json.len > SCHEMA_JSON_MAX)
		return error_set(
			err, SB_ERR_INVALID,
			"its states take %zu bytes to describe, more than %u: declare fewer fields, or shorter names",
			json.len, SCHEMA_JSON_MAX);
	return SB_OK;
}

static int32_t copy_component(const struct component *component, int64_t job_ttl_ms, struct schema *schema,
			      sb_error *err)
{
	schema->states = calloc(component->state_count + 1, sizeof(*schema->states));
	if (!schema->states)
		return error_no_memory(err);
	while (schema->count < component->state_count) {
		uint64_t i = schema->count++;

		TRY(copy_state(&component->states[i], (uint32_t)i, job_ttl_ms, &schema->states[i], err));
	}
	TRY(schema_check(schema, SB_ERR_INVALID, err));
	return check_text(schema, err);
}

int32_t schema_from_component(const struct component *component, int64_t job_ttl_ms, struct schema *ret_schema,
			      sb_error *err)
{
	struct schema schema = {0};
	int32_t status;

	if (component->state_count > SCHEMA_STATES_MAX)
		return error_set(err, SB_ERR_INVALID, "%s has more than %u states", component->id, SCHEMA_STATES_MAX);
	status = copy_component(component, job_ttl_ms, &schema, err);
	if (status != SB_OK) {
		schema_done(&schema);
		return error_prefix(err, "operator %s", component->id);
	}
	*ret_schema = schema;
	return SB_OK;
}
