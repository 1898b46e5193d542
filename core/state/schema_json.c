/* Schemas as JSON and back. cJSON parses: a schema is a small document, and its numbers stay far
 * below 2^53. cJSON is lenient where we are not, so every object's members are checked here: no unknown ones, none
 * twice, names case by case. */
#include <cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json_write.h"
#include "base/slice.h"
#include "state/schema.h"
#include "state/schema_private.h"

static const struct type_name {
	uint32_t type;
	const char *name;
} type_names[] = {
	{SB_TYPE_BOOL, "bool"},	  {SB_TYPE_I64, "i64"},	    {SB_TYPE_F64, "f64"},     {SB_TYPE_TIME, "time"},
	{SB_TYPE_INT, "int"},	  {SB_TYPE_UINT, "uint"},   {SB_TYPE_FLOAT, "float"}, {SB_TYPE_ENUM, "enum"},
	{SB_TYPE_CHARS, "chars"}, {SB_TYPE_BYTES, "bytes"},
};

#define TYPE_COUNT (sizeof(type_names) / sizeof(type_names[0]))

const char *schema_type_name(uint32_t type)
{
	for (size_t i = 0; i < TYPE_COUNT; i++)
		if (type_names[i].type == type)
			return type_names[i].name;
	return "unknown";
}

static uint32_t type_of_name(const char *name)
{
	for (size_t i = 0; i < TYPE_COUNT; i++)
		if (strcmp(type_names[i].name, name) == 0)
			return type_names[i].type;
	return 0;
}

static void append_hex(struct buffer *out, const uint8_t *bytes, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		buffer_printf(out, "%02x", bytes[i]);
}

static void field_to_json(const struct schema_field *field, struct buffer *out)
{
	buffer_append_text(out, "{\"name\":");
	json_append_string(out, slice_of_text(field->name));
	buffer_printf(out, ",\"type\":\"%s\",\"offset\":%u,\"size\":%u", schema_type_name(field->type), field->offset,
		      field->size);
	if (field->type == SB_TYPE_ENUM) {
		buffer_append_text(out, ",\"names\":[");
		for (uint64_t i = 0; i < field->name_count; i++) {
			if (i)
				buffer_append_byte(out, ',');
			json_append_string(out, slice_of_text(field->names[i]));
		}
		buffer_append_byte(out, ']');
	}
	if (field->default_value) {
		buffer_append_text(out, ",\"default\":\"");
		append_hex(out, field->default_value, field->size);
		buffer_append_byte(out, '"');
	}
	buffer_append_byte(out, '}');
}

static void state_to_json(const struct schema_state *state, struct buffer *out)
{
	buffer_append_text(out, "{\"name\":");
	json_append_string(out, slice_of_text(state->name));
	buffer_printf(out, ",\"id\":%u,\"kind\":\"%s\",\"ttl_ms\":%lld", state->id,
		      state->kind == SB_STATE_STRUCT ? "struct" : "raw", (long long)state->ttl_ms);
	if (state->kind == SB_STATE_STRUCT) {
		buffer_printf(out, ",\"value_size\":%u,\"fields\":[", state->value_size);
		for (uint64_t i = 0; i < state->field_count; i++) {
			if (i)
				buffer_append_byte(out, ',');
			field_to_json(&state->fields[i], out);
		}
		buffer_append_byte(out, ']');
	}
	buffer_append_byte(out, '}');
}

void schema_to_json(const struct schema *schema, struct buffer *out)
{
	buffer_append_byte(out, '[');
	for (uint64_t i = 0; i < schema->count; i++) {
		if (i)
			buffer_append_byte(out, ',');
		state_to_json(&schema->states[i], out);
	}
	buffer_append_byte(out, ']');
}

/* Back. */

static int32_t bad(sb_error *err, const char *what, const char *of)
{
	return error_set(err, SB_ERR_CORRUPT, "the states' schema has %s (%.64s)", what, of);
}

/* Only members named in allowed (NULL-terminated), each once. */
static int32_t check_members(const cJSON *object, const char *const *allowed, sb_error *err)
{
	const cJSON *member;
	uint32_t seen = 0;

	if (!cJSON_IsObject(object))
		return bad(err, "something else where an object should be", allowed[0]);
	cJSON_ArrayForEach(member, object)
	{
		unsigned i = 0;

		while (allowed[i] && strcmp(allowed[i], member->string) != 0)
			i++;
		if (!allowed[i])
			return bad(err, "an unknown member", member->string);
		if (seen & 1u << i)
			return bad(err, "a member twice", member->string);
		seen |= 1u << i;
	}
	return SB_OK;
}

static int32_t get_text(const cJSON *object, const char *name, const char **ret_text, sb_error *err)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);

	if (!cJSON_IsString(item))
		return bad(err, "no string where one should be", name);
	*ret_text = item->valuestring;
	return SB_OK;
}

static int32_t get_number(const cJSON *object, const char *name, int64_t max, int64_t *ret_value, sb_error *err)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);

	if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0 && item->valuedouble <= (double)max) ||
	    (double)(int64_t)item->valuedouble != item->valuedouble)
		return bad(err, "no fitting integer where one should be", name);
	*ret_value = (int64_t)item->valuedouble;
	return SB_OK;
}

static int32_t get_u32(const cJSON *object, const char *name, uint32_t *ret_value, sb_error *err)
{
	int64_t value = 0;

	TRY(get_number(object, name, UINT32_MAX, &value, err));
	*ret_value = (uint32_t)value;
	return SB_OK;
}

static int32_t copy_text(const char *text, char **ret_copy, sb_error *err)
{
	*ret_copy = strdup(text);
	return *ret_copy ? SB_OK : error_no_memory(err);
}

static int32_t names_from_json(const cJSON *json, struct schema_field *field, sb_error *err)
{
	const cJSON *names = cJSON_GetObjectItemCaseSensitive(json, "names");
	const cJSON *name;

	if (!names)
		return SB_OK;
	if (!cJSON_IsArray(names))
		return bad(err, "no array where one should be", "names");
	field->names = calloc((size_t)cJSON_GetArraySize(names) + 1, sizeof(*field->names));
	if (!field->names)
		return error_no_memory(err);
	cJSON_ArrayForEach(name, names)
	{
		if (!cJSON_IsString(name))
			return bad(err, "no string where one should be", "names");
		TRY(copy_text(name->valuestring, &field->names[field->name_count], err));
		field->name_count++;
	}
	return SB_OK;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int32_t default_from_json(const cJSON *json, struct schema_field *field, sb_error *err)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, "default");

	if (!item)
		return SB_OK;
	if (!cJSON_IsString(item) || field->size == 0 || strlen(item->valuestring) != 2 * (size_t)field->size)
		return bad(err, "a default of another size than its field", field->name);
	field->default_value = malloc(field->size);
	if (!field->default_value)
		return error_no_memory(err);
	for (uint32_t i = 0; i < field->size; i++) {
		int high = hex_value(item->valuestring[2 * i]), low = hex_value(item->valuestring[2 * i + 1]);

		if (high < 0 || low < 0)
			return bad(err, "a default that is not hexadecimal", field->name);
		field->default_value[i] = (uint8_t)(high << 4 | low);
	}
	return SB_OK;
}

static int32_t field_from_json(const cJSON *json, struct schema_field *field, sb_error *err)
{
	static const char *const allowed[] = {"name", "type", "offset", "size", "names", "default", NULL};
	const char *name = "", *type = "";

	TRY(check_members(json, allowed, err));
	TRY(get_text(json, "name", &name, err));
	TRY(copy_text(name, &field->name, err));
	TRY(get_text(json, "type", &type, err));
	field->type = type_of_name(type);
	if (field->type == 0)
		return bad(err, "an unknown type", type);
	TRY(get_u32(json, "offset", &field->offset, err));
	TRY(get_u32(json, "size", &field->size, err));
	TRY(names_from_json(json, field, err));
	return default_from_json(json, field, err);
}

static int32_t fields_from_json(const cJSON *json, struct schema_state *state, sb_error *err)
{
	const cJSON *fields = cJSON_GetObjectItemCaseSensitive(json, "fields");
	const cJSON *field;

	if (!cJSON_IsArray(fields))
		return bad(err, "no array where one should be", "fields");
	state->fields = calloc((size_t)cJSON_GetArraySize(fields) + 1, sizeof(*state->fields));
	if (!state->fields)
		return error_no_memory(err);
	cJSON_ArrayForEach(field, fields) TRY(field_from_json(field, &state->fields[state->field_count++], err));
	return SB_OK;
}

static int32_t state_from_json(const cJSON *json, struct schema_state *state, sb_error *err)
{
	static const char *const struct_members[] = {"name", "id", "kind", "ttl_ms", "value_size", "fields", NULL};
	static const char *const raw_members[] = {"name", "id", "kind", "ttl_ms", NULL};
	const char *name = "", *kind = "";

	TRY(check_members(json, struct_members, err));
	TRY(get_text(json, "name", &name, err));
	TRY(copy_text(name, &state->name, err));
	TRY(get_u32(json, "id", &state->id, err));
	TRY(get_number(json, "ttl_ms", SCHEMA_TTL_MAX_MS, &state->ttl_ms, err));
	TRY(get_text(json, "kind", &kind, err));
	if (strcmp(kind, "raw") == 0) {
		state->kind = SB_STATE_RAW;
		return check_members(json, raw_members, err);
	}
	if (strcmp(kind, "struct") != 0)
		return bad(err, "an unknown kind", kind);
	state->kind = SB_STATE_STRUCT;
	TRY(get_u32(json, "value_size", &state->value_size, err));
	return fields_from_json(json, state, err);
}

static int32_t states_from_json(const cJSON *json, struct schema *schema, sb_error *err)
{
	const cJSON *state;

	if (!cJSON_IsArray(json) || cJSON_GetArraySize(json) > (int)SCHEMA_STATES_MAX)
		return bad(err, "no array, or too long a one", "states");
	schema->states = calloc((size_t)cJSON_GetArraySize(json) + 1, sizeof(*schema->states));
	if (!schema->states)
		return error_no_memory(err);
	cJSON_ArrayForEach(state, json) TRY(state_from_json(state, &schema->states[schema->count++], err));
	return schema_check(schema, SB_ERR_CORRUPT, err);
}

static void free_json(cJSON **json)
{
	cJSON_Delete(*json);
}

int32_t schema_from_json(sb_slice json, struct schema *ret_schema, sb_error *err)
{
	struct schema schema = {0};
	AUTO(free_json) cJSON *root = NULL;
	const char *end = NULL;
	int32_t status;

	if (json.len > SCHEMA_JSON_MAX)
		return bad(err, "too many bytes", "states");
	root = cJSON_ParseWithLengthOpts((const char *)json.ptr, json.len, &end, 0);
	if (!root)
		return bad(err, "text that is no JSON", "states");
	for (; end < (const char *)json.ptr + json.len; end++)
		if (!strchr(" \t\r\n", *end) || *end == 0)
			return bad(err, "bytes behind its end", "states");
	status = states_from_json(root, &schema, err);
	if (status != SB_OK) {
		schema_done(&schema);
		return status;
	}
	*ret_schema = schema;
	return SB_OK;
}
