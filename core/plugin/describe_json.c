/* The same description for programs. cJSON keeps numbers as doubles and strings as bytes;
 * so numbers go in as raw text, and strings through our own escaping. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json_write.h"
#include "base/number.h"
#include "plugin/describe_private.h"
#include "plugin/plugin_private.h"

/* An item or an object that there was no memory for is NULL, which cJSON refuses. */
static void add_item(struct json_out *out, const char *name, cJSON *item)
{
	if (cJSON_AddItemToObject(out->object, name, item))
		return;
	cJSON_Delete(item);
	out->failed = true;
}

/* Takes text that is JSON already. */
static cJSON *raw_of(struct buffer *text)
{
	cJSON *item = buffer_text(text) ? cJSON_CreateRaw((char *)text->data) : NULL;

	buffer_done(text);
	return item;
}

static cJSON *text_item(const char *text)
{
	struct buffer quoted = BUFFER_INIT;

	if (!text)
		return cJSON_CreateNull();
	json_append_string(&quoted, slice_of_text(text));
	return raw_of(&quoted);
}

void json_text(struct json_out *out, const char *name, const char *text)
{
	add_item(out, name, text_item(text));
}

void json_number(struct json_out *out, const char *name, int64_t value)
{
	struct buffer text = BUFFER_INIT;

	number_append_i64(&text, value);
	add_item(out, name, raw_of(&text));
}

static void json_f64(struct json_out *out, const char *name, double value)
{
	struct buffer text = BUFFER_INIT;

	number_append_f64(&text, value);
	add_item(out, name, raw_of(&text));
}

static void json_bool(struct json_out *out, const char *name, bool value)
{
	add_item(out, name, cJSON_CreateBool(value));
}

/* A NULL-terminated array of texts. */
static void json_texts(struct json_out *out, const char *name, const char *const *texts)
{
	cJSON *array = cJSON_CreateArray();

	for (; *texts; texts++) {
		cJSON *item = text_item(*texts);

		if (!cJSON_AddItemToArray(array, item)) {
			cJSON_Delete(item);
			out->failed = true;
		}
	}
	add_item(out, name, array);
}

/* A new object at the end of array. */
static struct json_out json_element(cJSON *array)
{
	struct json_out out = {.object = cJSON_CreateObject()};

	if (!cJSON_AddItemToArray(array, out.object)) {
		cJSON_Delete(out.object);
		return (struct json_out){.failed = true};
	}
	return out;
}

static cJSON *json_array(struct json_out *out, const char *name)
{
	cJSON *array = cJSON_CreateArray();

	add_item(out, name, array);
	return out->failed ? NULL : array;
}

void json_delete(cJSON **item)
{
	cJSON_Delete(*item);
}

void json_print(const cJSON *item, struct buffer *out)
{
	char *text = cJSON_Print(item);

	if (text)
		buffer_printf(out, "%s\n", text);
	else
		out->failed = true;
	cJSON_free(text);
}

/* --- the description -------------------------------------------------------------- */

static void add_range(struct json_out *out, const sb_option *option)
{
	if (!option_has_range(option))
		return;
	if (option->type == SB_OPTION_F64) {
		json_f64(out, "min", option->min_f64);
		json_f64(out, "max", option->max_f64);
	} else {
		json_number(out, "min", option->min);
		json_number(out, "max", option->max);
	}
}

static bool add_option(cJSON *array, const sb_option *option)
{
	struct json_out out = json_element(array);
	bool secret = option->flags & SB_OPTION_SECRET;

	json_text(&out, "name", option->name);
	json_text(&out, "type", option_type_name(option->type));
	json_text(&out, "default", secret ? NULL : option->default_text);
	add_range(&out, option);
	if (option->type == SB_OPTION_CHOICE)
		json_texts(&out, "choices", option->choices);
	json_text(&out, "unit", option->unit);
	json_bool(&out, "secret", secret);
	json_text(&out, "doc", option->doc);
	return !out.failed;
}

static bool add_field(cJSON *array, const sb_field *field, bool input)
{
	struct json_out out = json_element(array);

	json_text(&out, "name", field->name);
	json_text(&out, "type", value_type_name(field->type));
	json_bool(&out, "optional", field->flags & SB_FIELD_OPTIONAL);
	if (input) {
		json_bool(&out, "key", field->flags & SB_FIELD_KEY);
		json_bool(&out, "event_time", field->flags & SB_FIELD_EVENT_TIME);
	} else if (field->type == SB_TYPE_F64 && field->decimals >= 0) {
		json_number(&out, "decimals", field->decimals);
	}
	json_text(&out, "doc", field->doc);
	return !out.failed;
}

static bool add_schema_field(cJSON *array, const sb_schema_field *field)
{
	struct json_out out = json_element(array);

	json_text(&out, "name", field->name);
	json_text(&out, "type", value_type_name(field->type));
	json_number(&out, "offset", field->offset);
	json_number(&out, "size", field->size);
	if (field->type == SB_TYPE_ENUM)
		json_texts(&out, "names", field->names);
	json_text(&out, "doc", field->doc);
	return !out.failed;
}

static bool add_state(cJSON *array, const sb_state *state)
{
	struct json_out out = json_element(array);
	cJSON *fields;

	json_text(&out, "name", state->name);
	json_text(&out, "kind", state->kind == SB_STATE_STRUCT ? "struct" : "raw");
	if (state->ttl_ms == SB_TTL_JOB)
		json_text(&out, "ttl", "job");
	else if (state->ttl_ms == SB_TTL_NONE)
		json_text(&out, "ttl", "none");
	else
		json_number(&out, "ttl_ms", state->ttl_ms);
	json_text(&out, "doc", state->doc);
	if (state->kind != SB_STATE_STRUCT)
		return !out.failed;
	json_number(&out, "value_size", state->value_size);
	fields = json_array(&out, "fields");
	for (uint64_t i = 0; i < state->field_count; i++)
		out.failed |= !add_schema_field(fields, state->fields[i]);
	return !out.failed;
}

static void add_backend_traits(struct json_out *out, const struct component *component)
{
	json_bool(out, "stable_iterators", component->flags & SB_BACKEND_STABLE_ITER);
	json_bool(out, "ordered", component->flags & SB_BACKEND_ORDERED);
	json_bool(out, "in_memory", component->flags & SB_BACKEND_IN_MEMORY);
}

static void add_operator_traits(struct json_out *out, const struct component *component)
{
	cJSON *inputs = json_array(out, "inputs");
	cJSON *outputs = json_array(out, "outputs");
	cJSON *states = json_array(out, "states");

	for (uint64_t i = 0; i < component->input_count; i++)
		out->failed |= !add_field(inputs, &component->inputs[i], true);
	for (uint64_t i = 0; i < component->output_count; i++)
		out->failed |= !add_field(outputs, &component->outputs[i], false);
	for (uint64_t i = 0; i < component->state_count; i++)
		out->failed |= !add_state(states, &component->states[i]);
	json_bool(out, "snapshot", component->operator.snapshot != NULL);
}

static bool add_component(cJSON *array, const struct component *component)
{
	struct json_out out = json_element(array);
	cJSON *options;

	json_text(&out, "kind", kind_name(component->kind));
	json_text(&out, "id", component->id);
	json_text(&out, "title", component->title);
	json_text(&out, "doc", component->doc);
	json_bool(&out, "one_instance", component->threads == SB_THREADS_ONE_INSTANCE);
	options = json_array(&out, "options");
	for (uint64_t i = 0; i < component->option_count; i++)
		out.failed |= !add_option(options, &component->options[i]);
	if (component->kind == SB_KIND_BACKEND)
		add_backend_traits(&out, component);
	if (component->kind == SB_KIND_OPERATOR)
		add_operator_traits(&out, component);
	return !out.failed;
}

void plugin_describe_json(const struct plugin *plugin, struct buffer *out)
{
	AUTO(json_delete) cJSON *root = cJSON_CreateObject();
	struct json_out json = {.object = root};
	cJSON *components;

	json_text(&json, "name", plugin->name);
	json_text(&json, "version", plugin->version);
	json_text(&json, "file", plugin->path);
	json_text(&json, "vendor", plugin->vendor);
	json_text(&json, "license", plugin->license);
	json_text(&json, "doc", plugin->doc);
	json_number(&json, "abi_major", plugin->abi_major);
	json_number(&json, "abi_minor", plugin->abi_minor);
	components = json_array(&json, "components");
	for (uint64_t i = 0; i < plugin->component_count; i++)
		json.failed |= !add_component(components, &plugin->components[i]);
	if (json.failed)
		out->failed = true;
	else
		json_print(root, out);
}
