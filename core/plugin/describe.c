/* A loaded plugin's description for people: "sbhost plugin info FILE". */
#include <string.h>

#include "base/cleanup.h"
#include "base/number.h"
#include "plugin/describe_private.h"
#include "plugin/plugin_private.h"

static const char *const option_types[] = {"?", "bool", "i64", "f64", "size", "duration", "string", "choice"};
static const char *const value_types[] = {"?",	 "string", "bool",  "i64",  "f64",   "time",
					  "int", "uint",   "float", "enum", "chars", "bytes"};

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

const char *option_type_name(uint32_t type)
{
	return option_types[type < LENGTH(option_types) ? type : 0];
}

const char *value_type_name(uint32_t type)
{
	return value_types[type < LENGTH(value_types) ? type : 0];
}

static void done_buffer(struct buffer *buffer)
{
	buffer_done(buffer);
}

/* Adds a cell of what was put together for it, or a dash when that is nothing. */
static void add_cell(struct table *table, struct buffer *content)
{
	const char *text = buffer_text(content);

	table_cell(table, "%s", text && *text ? text : "-");
	table->cells.failed |= content->failed;
}

/* "a|b|c" or "64KiB to 64GiB" */
static void append_allowed(const sb_option *option, struct buffer *out)
{
	if (option->type != SB_OPTION_CHOICE) {
		option_append_range(option, out);
		return;
	}
	for (uint64_t i = 0; option->choices[i]; i++)
		buffer_printf(out, "%s%s", i ? "|" : "", option->choices[i]);
}

static const char *shown_default(const sb_option *option)
{
	if (option->flags & SB_OPTION_SECRET)
		return "(secret)";
	return option->default_text ? option->default_text : "-";
}

static void add_option_row(struct table *table, const sb_option *option)
{
	AUTO(done_buffer) struct buffer allowed = BUFFER_INIT;

	append_allowed(option, &allowed);
	table_cell(table, "%s", option->name);
	table_cell(table, "%s", option_type_name(option->type));
	table_cell(table, "%s", shown_default(option));
	add_cell(table, &allowed);
	table_cell(table, "%s", option->unit && option->unit[0] ? option->unit : "-");
	table_cell(table, "%s", option->doc);
}

static void append_options(const struct component *component, struct buffer *out)
{
	AUTO(table_done) struct table table = {.columns = 6};

	if (component->option_count == 0)
		return;
	buffer_append_text(out, "  options\n");
	table_cell(&table, "NAME");
	table_cell(&table, "TYPE");
	table_cell(&table, "DEFAULT");
	table_cell(&table, "ALLOWED");
	table_cell(&table, "UNIT");
	table_cell(&table, "MEANING");
	for (uint64_t i = 0; i < component->option_count; i++)
		add_option_row(&table, &component->options[i]);
	table_append(&table, "    ", out);
}

static const char *field_note(const sb_field *field)
{
	if (field->flags & SB_FIELD_KEY)
		return "key";
	if (field->flags & SB_FIELD_EVENT_TIME)
		return field->flags & SB_FIELD_OPTIONAL ? "event time, optional" : "event time";
	return field->flags & SB_FIELD_OPTIONAL ? "optional" : "-";
}

static void append_fields(const char *title, const sb_field *fields, uint64_t count, struct buffer *out)
{
	AUTO(table_done) struct table table = {.columns = 4};

	if (count == 0)
		return;
	buffer_printf(out, "  %s\n", title);
	table_cell(&table, "NAME");
	table_cell(&table, "TYPE");
	table_cell(&table, "ROLE");
	table_cell(&table, "MEANING");
	for (uint64_t i = 0; i < count; i++) {
		table_cell(&table, "%s", fields[i].name);
		table_cell(&table, "%s", value_type_name(fields[i].type));
		table_cell(&table, "%s", field_note(&fields[i]));
		table_cell(&table, "%s", fields[i].doc);
	}
	table_append(&table, "    ", out);
}

static void append_ttl(int64_t ttl_ms, struct buffer *out)
{
	if (ttl_ms == SB_TTL_JOB)
		buffer_append_text(out, "as set by --ttl");
	else if (ttl_ms == SB_TTL_NONE)
		buffer_append_text(out, "never expires");
	else
		buffer_printf(out, "expires %lld ms after the last write", (long long)ttl_ms);
}

static void add_schema_row(struct table *table, const sb_schema_field *field)
{
	AUTO(done_buffer) struct buffer names = BUFFER_INIT;

	for (uint64_t i = 0; field->type == SB_TYPE_ENUM && field->names[i]; i++)
		buffer_printf(&names, "%s%s", i ? "|" : "", field->names[i]);
	table_cell(table, "%u", field->offset);
	table_cell(table, "%u", field->size);
	table_cell(table, "%s", field->name);
	table_cell(table, "%s", value_type_name(field->type));
	add_cell(table, &names);
	table_cell(table, "%s", field->doc);
}

static void append_schema(const sb_state *state, struct buffer *out)
{
	AUTO(table_done) struct table table = {.columns = 6};

	table_cell(&table, "OFFSET");
	table_cell(&table, "BYTES");
	table_cell(&table, "NAME");
	table_cell(&table, "TYPE");
	table_cell(&table, "NAMES");
	table_cell(&table, "MEANING");
	for (uint64_t i = 0; i < state->field_count; i++)
		add_schema_row(&table, state->fields[i]);
	table_append(&table, "      ", out);
}

/* A doc may be absent, and then leaves no line. */
static void append_doc(const char *indent, const char *doc, struct buffer *out)
{
	if (*doc)
		buffer_printf(out, "%s%s\n", indent, doc);
}

static void append_states(const struct component *component, struct buffer *out)
{
	for (uint64_t i = 0; i < component->state_count; i++) {
		const sb_state *state = &component->states[i];

		buffer_printf(out, "  state %s: ", state->name);
		if (state->kind == SB_STATE_STRUCT)
			buffer_printf(out, "struct of %u bytes, ", state->value_size);
		else
			buffer_append_text(out, "raw bytes, ");
		append_ttl(state->ttl_ms, out);
		buffer_append_byte(out, '\n');
		append_doc("    ", state->doc, out);
		if (state->kind == SB_STATE_STRUCT)
			append_schema(state, out);
	}
}

static void append_traits(const struct component *component, struct buffer *out)
{
	if (component->kind == SB_KIND_BACKEND) {
		buffer_printf(out, "  iterators: %s, %s order\n",
			      component->flags & SB_BACKEND_STABLE_ITER ? "stable while it is written to"
									: "not stable: checkpoints stop the stream",
			      component->flags & SB_BACKEND_ORDERED ? "in key" : "in no");
		if (component->flags & SB_BACKEND_IN_MEMORY)
			buffer_append_text(out, "  keeps all values in memory\n");
	}
	if (component->threads == SB_THREADS_ONE_INSTANCE)
		buffer_append_text(out, "  can be open once in a process: --parallelism 1\n");
	if (component->kind == SB_KIND_OPERATOR && component->operator.snapshot)
		buffer_append_text(out, "  has state of its own besides the keyed states (snapshot, restore)\n");
	if (component->kind != SB_KIND_BACKEND && component->kind != SB_KIND_OPERATOR)
		buffer_append_text(out, "  cannot be used by this version of sbhost\n");
}

static void append_component(const struct component *component, struct buffer *out)
{
	buffer_printf(out, "\n%s %s: %s\n", kind_name(component->kind), component->id, component->title);
	append_doc("  ", component->doc, out);
	append_traits(component, out);
	append_options(component, out);
	append_fields("input fields", component->inputs, component->input_count, out);
	append_fields("output fields", component->outputs, component->output_count, out);
	append_states(component, out);
}

/* A description may hold what a terminal would obey; nothing but line feeds of our own gets through. */
static void append_printable(struct buffer *out, const struct buffer *text)
{
	for (size_t i = 0; i < text->len; i++) {
		uint8_t byte = text->data[i];

		buffer_append_byte(out, (byte < 0x20 && byte != '\n') || byte == 0x7f ? ' ' : byte);
	}
	out->failed |= text->failed;
}

void plugin_describe_text(const struct plugin *plugin, struct buffer *out)
{
	AUTO(done_buffer) struct buffer text = BUFFER_INIT;

	buffer_printf(&text, "%s %s\n", plugin->name, plugin->version);
	append_doc("  ", plugin->doc, &text);
	buffer_printf(&text, "  file     %s\n", plugin->path);
	buffer_printf(&text, "  vendor   %s\n", plugin->vendor);
	buffer_printf(&text, "  license  %s\n", plugin->license);
	buffer_printf(&text, "  abi      %u.%u\n", plugin->abi_major, plugin->abi_minor);
	for (uint64_t i = 0; i < plugin->component_count; i++)
		append_component(&plugin->components[i], &text);
	append_printable(out, &text);
}
