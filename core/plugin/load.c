/* From a vetted file to a description: dlopen, entry, normalisation.
 *
 * RTLD_NOW finds a missing function now and not in the middle of a run; RTLD_LOCAL keeps
 * two plugins' libraries apart; RTLD_NODELETE, and no dlclose anywhere, because threads, atexit
 * handlers and thread-local destructors of a library cannot be proven gone. A plugin that is
 * refused after dlopen stays mapped and unused. */
#include <assert.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "plugin/instance.h"
#include "plugin/plugin_private.h"

#define ENTRY_NAME "sb_plugin_entry_v" SB_STRINGIZE(SB_ABI_MAJOR)

typedef const sb_plugin *(*entry_fn)(const sb_host *host, sb_error *err);

/* dlerror() names the library or the symbol that is missing; what to do about it is ours to say. */
static int32_t refuse_library(const char *path, sb_error *err)
{
	const char *reason = dlerror();
	const char *remedy = "build it against the libraries of this machine";

	assert(reason);
	if (strstr(reason, "cannot open shared object file"))
		remedy = "install the library that is missing, or build the plugin with what is installed";
	else if (strstr(reason, "undefined symbol"))
		remedy = "link the plugin with the library that defines it";
	return error_set(err, SB_ERR_INCOMPATIBLE, "%s cannot be loaded: %s; %s", path, reason, remedy);
}

static int32_t open_library(const struct vetted *vetted, void **ret_library, sb_error *err)
{
	void *library;

	TRY(vet_unchanged(vetted, err));
	library = dlopen(vetted->path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
	if (!library)
		return refuse_library(vetted->path, err);
	TRY(vet_unchanged(vetted, err));
	*ret_library = library;
	return SB_OK;
}

void plugin_tidy_error(sb_error *err)
{
	err->message[sizeof(err->message) - 1] = 0;
	for (char *at = err->message; *at; at++)
		if ((unsigned char)*at < 0x20 || *at == 0x7f)
			*at = ' ';
}

static int32_t refuse_by_entry(const char *path, sb_error *told, sb_error *err)
{
	plugin_tidy_error(told);
	if (!told->message[0])
		return error_set(
			err, SB_ERR_INVALID,
			"%s: " ENTRY_NAME "() returned NULL without a reason: report it to the plugin's author", path);
	return error_set(err, told->code < SB_OK ? told->code : SB_ERR_INCOMPATIBLE, "%s will not work here: %s", path,
			 told->message);
}

static int32_t call_entry(void *library, const char *path, const sb_plugin **ret_given, sb_error *err)
{
	void *symbol = dlsym(library, ENTRY_NAME);
	sb_error told = ERROR_INIT;
	const sb_plugin *given;
	entry_fn entry;
	sb_host host;

	if (!symbol)
		return refuse_library(path, err);
	memcpy(&entry, &symbol, sizeof(entry));
	plugin_env_init_host(&host);
	given = entry(&host, &told);
	if (!given)
		return refuse_by_entry(path, &told, err);
	*ret_given = given;
	return SB_OK;
}

static int32_t load_vetted(struct vetted *vetted, struct plugin *plugin, sb_error *err)
{
	const sb_plugin *given = NULL;

	TRY(open_library(vetted, &plugin->library, err));
	TRY(call_entry(plugin->library, vetted->path, &given, err));
	plugin->path = TAKE(vetted->path);
	return normalize_plugin(given, &vetted->note, plugin, err);
}

static void free_plugin(struct plugin **plugin)
{
	plugin_free(*plugin);
}

int32_t plugin_load(struct io *io, const char *name_or_path, const char *plugin_dir, struct plugin **ret_plugin,
		    sb_error *err)
{
	return plugin_load_vouched(io, name_or_path, plugin_dir, NULL, ret_plugin, err);
}

/* What is hashed is what was vetted and is loaded: a file that is changed or replaced in between is found out by open_library. */
int32_t plugin_load_vouched(struct io *io, const char *name_or_path, const char *plugin_dir,
			    const struct manifest *manifest, struct plugin **ret_plugin, sb_error *err)
{
	AUTO(vetted_done) struct vetted vetted = VETTED_INIT;
	AUTO(free_memory) char *path = NULL;
	AUTO(free_plugin) struct plugin *plugin = NULL;

	TRY(plugin_find(io, name_or_path, plugin_dir, &path, err));
	TRY(vet_file(io, path, &vetted, err));
	TRY(manifest_check(manifest, io, vetted.fd, vetted.path, err));
	plugin = calloc(1, sizeof(*plugin));
	if (!plugin)
		return error_no_memory(err);
	TRY(load_vetted(&vetted, plugin, err));
	*ret_plugin = TAKE(plugin);
	return SB_OK;
}

void plugin_free(struct plugin *plugin)
{
	if (!plugin)
		return;
	arena_done(&plugin->memory);
	free(plugin->path);
	free(plugin);
}

static const struct component *find_kind(const struct plugin *plugin, uint32_t kind)
{
	for (uint64_t i = 0; i < plugin->component_count; i++)
		if (plugin->components[i].kind == kind)
			return &plugin->components[i];
	return NULL;
}

int32_t plugin_find_component(const struct plugin *plugin, uint32_t kind, const struct component **ret_component,
			      sb_error *err)
{
	const struct component *component = find_kind(plugin, kind);

	if (!component)
		return error_set(err, SB_ERR_INVALID, "%s holds no %s, but the %s \"%s\"%s: name another plugin",
				 plugin->path, kind_name(kind), kind_name(plugin->components[0].kind),
				 plugin->components[0].id, plugin->component_count > 1 ? " and others" : "");
	*ret_component = component;
	return SB_OK;
}
