/* A plugin's descriptor becomes ours: every struct copied at our own size, every rule of
 * sb_plugin.h checked. After this no code of the host looks at a plugin's own structs; the
 * strings stay the plugin's, which is never unloaded.
 *
 * Growth works both ways here. A struct that ends before our last member is filled with
 * zeros, which the header promises to mean "absent"; of one that goes on behind it, the rest is not
 * looked at. What lies below the size of ABI 1.0 cannot be real. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/json_write.h"
#include "plugin/plugin_private.h"

int32_t declaration_refuse(const struct declaration *d, int32_t code, const char *format, ...)
{
	char sentence[SB_ERROR_MESSAGE_BYTES];
	va_list args;

	va_start(args, format);
	vsnprintf(sentence, sizeof(sentence), format, args);
	va_end(args);
	if (d->component)
		return error_set(d->err, code, "%s: component \"%s\": %s", d->path, d->component, sentence);
	return error_set(d->err, code, "%s: %s", d->path, sentence);
}

int32_t declaration_no_memory(const struct declaration *d)
{
	return error_no_memory(d->err);
}

int32_t declaration_copy_one(const struct declaration *d, const char *what, const void *given, uint32_t v1_size,
			     uint32_t size, void *ret_struct)
{
	uint32_t given_size;

	if (!given)
		return declaration_refuse(d, SB_ERR_INVALID, "%s is NULL", what);
	if ((uintptr_t)given % _Alignof(void *))
		return declaration_refuse(d, SB_ERR_INVALID, "%s is not aligned: its pointer is wrong", what);
	memcpy(&given_size, given, sizeof(given_size));
	if (given_size < v1_size)
		return declaration_refuse(
			d, SB_ERR_INCOMPATIBLE,
			"%s has struct_size %u, less than the %u of ABI 1.0: set it with sizeof and build the "
			"plugin with a released sb_plugin.h",
			what, given_size, v1_size);
	memset(ret_struct, 0, size);
	memcpy(ret_struct, given, given_size < size ? given_size : size);
	return SB_OK;
}

int32_t declaration_copy(const struct declaration *d, const char *what, const void *const *given, uint64_t count,
			 uint32_t v1_size, uint32_t size, void **ret_array)
{
	uint8_t *array = NULL;
	char label[64];

	if (count > COUNT_MAX)
		return declaration_refuse(d, SB_ERR_INVALID, "it declares %llu %ss, more than %u",
					  (unsigned long long)count, what, COUNT_MAX);
	if (count && !given)
		return declaration_refuse(d, SB_ERR_INVALID, "it declares %llu %ss, and their array is NULL",
					  (unsigned long long)count, what);
	if (count) {
		array = arena_alloc(d->memory, count * size);
		if (!array)
			return declaration_no_memory(d);
	}
	for (uint64_t i = 0; i < count; i++) {
		snprintf(label, sizeof(label), "%s %llu", what, (unsigned long long)i);
		TRY(declaration_copy_one(d, label, given[i], v1_size, size, array + i * size));
	}
	*ret_array = array;
	return SB_OK;
}

int32_t declaration_check_text(const struct declaration *d, const char *what, const char *member, const char *text)
{
	if (!text)
		return declaration_refuse(d, SB_ERR_INVALID, "%s has no %s (NULL)", what, member);
	if (strnlen(text, TEXT_BYTES_MAX + 1) > TEXT_BYTES_MAX)
		return declaration_refuse(d, SB_ERR_INVALID, "the %s of %s is longer than %u bytes", member, what,
					  TEXT_BYTES_MAX);
	if (!utf8_is_valid(slice_of_text(text)))
		return declaration_refuse(d, SB_ERR_INVALID, "the %s of %s is not UTF-8", member, what);
	return SB_OK;
}

int32_t declaration_check_doc(const struct declaration *d, const char *what, const char **doc)
{
	if (!*doc)
		*doc = "";
	return declaration_check_text(d, what, "doc", *doc);
}

int32_t declaration_check_flags(const struct declaration *d, const char *what, const char *name, uint32_t *flags,
				uint32_t known)
{
	if ((*flags & ~known) && !d->newer)
		return declaration_refuse(d, SB_ERR_INVALID, "%s \"%s\" has flags 0x%x, which ABI %u.%u does not know",
					  what, name, *flags & ~known, SB_ABI_MAJOR, SB_ABI_MINOR);
	*flags &= known;
	return SB_OK;
}

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

static bool has_form(const char *name, const char *first, const char *rest, const char *extra)
{
	size_t len = strnlen(name, NAME_BYTES_MAX + 1);

	if (len == 0 || len > NAME_BYTES_MAX || !strchr(first, name[0]))
		return false;
	for (size_t i = 1; i < len; i++)
		if (!strchr(rest, name[i]) && !strchr(extra, name[i]))
			return false;
	return true;
}

bool name_is_lower(const char *name, const char *extra)
{
	return has_form(name, LOWER, LOWER DIGITS, extra);
}

bool name_is_identifier(const char *name)
{
	return has_form(name, LOWER UPPER "_", LOWER UPPER DIGITS "_", "");
}

const char *kind_name(uint32_t kind)
{
	switch (kind) {
	case SB_KIND_BACKEND:
		return "backend";
	case SB_KIND_OPERATOR:
		return "operator";
	case SB_KIND_SOURCE:
		return "source";
	case SB_KIND_SINK:
		return "sink";
	default:
		return "component of unknown kind";
	}
}

/* --- operations ----------------------------------------------------------------- */

static int32_t refuse_missing(const struct declaration *d, const char *callback)
{
	return declaration_refuse(d, SB_ERR_INVALID, "mandatory callback %s() is NULL", callback);
}

static int32_t declare_backend(const struct declaration *d, const void *given, struct component *component)
{
	sb_backend_ops *ops = &component->backend;

	TRY(declaration_copy_one(d, "its sb_backend_ops", given, V1_SIZE_BACKEND_OPS, sizeof(*ops), ops));
	ops->struct_size = sizeof(*ops);
	if (!ops->open)
		return refuse_missing(d, "open");
	if (!ops->close)
		return refuse_missing(d, "close");
	if (!ops->multi_get)
		return refuse_missing(d, "multi_get");
	if (!ops->write_batch)
		return refuse_missing(d, "write_batch");
	if (!ops->iter_open)
		return refuse_missing(d, "iter_open");
	if (!ops->iter_next)
		return refuse_missing(d, "iter_next");
	if (!ops->iter_close)
		return refuse_missing(d, "iter_close");
	stubs_fill_backend(ops);
	return SB_OK;
}

static int32_t declare_operator(const struct declaration *d, const sb_component *given, struct component *component)
{
	sb_operator_ops *ops = &component->operator;

	TRY(declaration_copy_one(d, "its sb_operator_ops", given->ops, V1_SIZE_OPERATOR_OPS, sizeof(*ops), ops));
	ops->struct_size = sizeof(*ops);
	if (!ops->open)
		return refuse_missing(d, "open");
	if (!ops->close)
		return refuse_missing(d, "close");
	if (!ops->process)
		return refuse_missing(d, "process");
	if (!ops->snapshot != !ops->restore)
		return declaration_refuse(
			d, SB_ERR_INVALID, "it has %s() without %s(): an operator has both or neither",
			ops->snapshot ? "snapshot" : "restore", ops->snapshot ? "restore" : "snapshot");
	TRY(declare_fields(d, given, component));
	return declare_states(d, given, component);
}

/* --- components ----------------------------------------------------------------- */

static int32_t check_component_texts(const struct declaration *d, const sb_component *given)
{
	if (!given->id)
		return declaration_refuse(d, SB_ERR_INVALID, "a component has no id (NULL)");
	if (!name_is_lower(given->id, "-"))
		return declaration_refuse(d, SB_ERR_INVALID,
					  "component id \"%.64s\" is not of the form [a-z][a-z0-9-]*", given->id);
	return declaration_check_text(d, given->id, "title", given->title);
}

static int32_t check_component_members(const struct declaration *d, const sb_component *given)
{
	if (given->threads > SB_THREADS_ONE_INSTANCE)
		return declaration_refuse(d, d->newer ? SB_ERR_INCOMPATIBLE : SB_ERR_INVALID,
					  "its thread model (threads = %u) is unknown to ABI %u.%u", given->threads,
					  SB_ABI_MAJOR, SB_ABI_MINOR);
	if (given->kind != SB_KIND_OPERATOR && (given->input_count || given->output_count || given->state_count))
		return declaration_refuse(d, SB_ERR_INVALID,
					  "a %s cannot declare inputs, outputs or states: those are for operators",
					  kind_name(given->kind));
	return SB_OK;
}

static int32_t declare_ops(const struct declaration *d, const sb_component *given, struct component *component)
{
	if (!given->ops)
		return declaration_refuse(d, SB_ERR_INVALID, "its table of operations (ops) is NULL");
	switch (given->kind) {
	case SB_KIND_BACKEND:
		TRY(declaration_check_flags(d, "component", given->id, &component->flags,
					    SB_BACKEND_STABLE_ITER | SB_BACKEND_ORDERED | SB_BACKEND_IN_MEMORY));
		return declare_backend(d, given->ops, component);
	case SB_KIND_OPERATOR:
		TRY(declaration_check_flags(d, "component", given->id, &component->flags, 0));
		return declare_operator(d, given, component);
	default:
		/* Of a later minor: shown by "plugin info", and of no use to this host. */
		if (d->newer)
			return SB_OK;
		return declaration_refuse(d, SB_ERR_INVALID, "kind %u (%s) cannot be used with ABI %u.%u", given->kind,
					  kind_name(given->kind), SB_ABI_MAJOR, SB_ABI_MINOR);
	}
}

static int32_t declare_component(const struct declaration *outer, const sb_component *given,
				 struct component *component)
{
	struct declaration d = *outer;

	TRY(check_component_texts(&d, given));
	d.component = given->id;
	component->kind = given->kind;
	component->flags = given->flags;
	component->threads = given->threads;
	component->id = given->id;
	component->title = given->title;
	component->doc = given->doc;
	TRY(declaration_check_doc(&d, given->id, &component->doc));
	component->open_instances = arena_alloc(d.memory, sizeof(*component->open_instances));
	if (!component->open_instances)
		return declaration_no_memory(&d);
	atomic_init(component->open_instances, 0);
	TRY(check_component_members(&d, given));
	TRY(declare_options(&d, given, component));
	return declare_ops(&d, given, component);
}

static int32_t check_unique_id(const struct declaration *d, const struct plugin *plugin, uint64_t index)
{
	for (uint64_t i = 0; i < index; i++)
		if (strcmp(plugin->components[i].id, plugin->components[index].id) == 0)
			return declaration_refuse(d, SB_ERR_INVALID, "two components have the id \"%s\"",
						  plugin->components[i].id);
	return SB_OK;
}

static int32_t declare_components(const struct declaration *d, const sb_plugin *given, struct plugin *plugin)
{
	sb_component *copies;
	void *array;

	if (given->component_count == 0)
		return declaration_refuse(d, SB_ERR_INVALID, "it holds no component");
	TRY(declaration_copy(d, "component", (const void *const *)given->components, given->component_count,
			     V1_SIZE_COMPONENT, sizeof(sb_component), &array));
	copies = array;
	plugin->components = arena_alloc(d->memory, given->component_count * sizeof(*plugin->components));
	if (!plugin->components)
		return declaration_no_memory(d);
	memset(plugin->components, 0, given->component_count * sizeof(*plugin->components));
	for (uint64_t i = 0; i < given->component_count; i++) {
		plugin->components[i].plugin = plugin;
		TRY(declare_component(d, &copies[i], &plugin->components[i]));
		TRY(check_unique_id(d, plugin, i));
		plugin->component_count = i + 1;
	}
	return SB_OK;
}

/* --- plugin --------------------------------------------------------------------- */

static int32_t check_abi(const struct declaration *d, const sb_plugin *given, const struct plugin_note *note)
{
	if (given->abi_major != SB_ABI_MAJOR)
		return declaration_refuse(
			d, SB_ERR_INCOMPATIBLE,
			"its descriptor is of ABI %u, and this sbhost has ABI %u.%u: build it with this sbhost's "
			"sb_plugin.h",
			given->abi_major, SB_ABI_MAJOR, SB_ABI_MINOR);
	if (given->abi_minor != note->abi_minor)
		return declaration_refuse(
			d, SB_ERR_INVALID,
			"its descriptor is of ABI %u.%u, and its ELF note says %u.%u: both come from the same "
			"sb_plugin.h",
			given->abi_major, given->abi_minor, note->abi_major, note->abi_minor);
	return SB_OK;
}

static int32_t check_same(const struct declaration *d, const char *member, const char *given, const char *noted)
{
	if (strcmp(given, noted) != 0)
		return declaration_refuse(
			d, SB_ERR_INVALID,
			"its descriptor's %s is \"%.64s\", and its ELF note says \"%s\": give SB_PLUGIN_REGISTER the "
			"same",
			member, given, noted);
	return SB_OK;
}

static int32_t check_plugin_texts(const struct declaration *d, sb_plugin *given)
{
	TRY(declaration_check_text(d, "the plugin", "name", given->name));
	TRY(declaration_check_text(d, "the plugin", "version", given->version));
	TRY(declaration_check_text(d, "the plugin", "vendor", given->vendor));
	TRY(declaration_check_text(d, "the plugin", "license", given->license));
	TRY(declaration_check_doc(d, "the plugin", &given->doc));
	if (!name_is_lower(given->name, "-"))
		return declaration_refuse(d, SB_ERR_INVALID, "plugin name \"%.64s\" is not of the form [a-z][a-z0-9-]*",
					  given->name);
	return SB_OK;
}

static char *copy_text(struct arena *memory, const char *text)
{
	size_t size = strlen(text) + 1;
	char *copy = arena_alloc(memory, size);

	return copy ? memcpy(copy, text, size) : NULL;
}

static int32_t copy_plugin_texts(const struct declaration *d, const sb_plugin *given, struct plugin *plugin)
{
	plugin->name = copy_text(d->memory, given->name);
	plugin->version = copy_text(d->memory, given->version);
	plugin->vendor = copy_text(d->memory, given->vendor);
	plugin->license = copy_text(d->memory, given->license);
	plugin->doc = copy_text(d->memory, given->doc);
	if (!plugin->name || !plugin->version || !plugin->vendor || !plugin->license || !plugin->doc)
		return declaration_no_memory(d);
	return SB_OK;
}

int32_t normalize_plugin(const sb_plugin *given, const struct plugin_note *note, struct plugin *plugin, sb_error *err)
{
	struct declaration d = {.path = plugin->path, .memory = &plugin->memory, .err = err};
	sb_plugin copy;

	TRY(declaration_copy_one(&d, "its sb_plugin", given, V1_SIZE_PLUGIN, sizeof(copy), &copy));
	TRY(check_abi(&d, &copy, note));
	d.newer = copy.abi_minor > SB_ABI_MINOR;
	TRY(check_plugin_texts(&d, &copy));
	TRY(check_same(&d, "name", copy.name, note->name));
	TRY(check_same(&d, "version", copy.version, note->version));
	TRY(copy_plugin_texts(&d, &copy, plugin));
	plugin->abi_major = copy.abi_major;
	plugin->abi_minor = copy.abi_minor;
	return declare_components(&d, &copy, plugin);
}
