/* Plugins: finding, vetting, loading and describing them.
 *
 * A plugin is trusted code once it is loaded, so every check that can refuse it happens on the
 * file, before dlopen runs its constructors. What loading yields is a normalised copy of the
 * descriptor: structs of other sizes than ours cut or zero-extended, missing callbacks
 * replaced by stubs that return SB_ERR_UNSUPPORTED, every name checked. Nothing else in core
 * looks at a plugin's own structs. Libraries are never unloaded. */
#ifndef PLUGIN_PLUGIN_H
#define PLUGIN_PLUGIN_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "io/io.h"
#include "plugin/manifest.h"
#include "sb_plugin.h"

struct plugin;

/* A component as core sees it: all arrays hold full structs of our own size. */
struct component {
	const struct plugin *plugin;
	uint32_t kind;
	uint32_t flags;
	uint32_t threads;
	const char *id;
	const char *title;
	const char *doc;
	sb_option *options;
	uint64_t option_count;
	sb_field *inputs;
	uint64_t input_count;
	sb_field *outputs;
	uint64_t output_count;
	sb_state *
		states; /* their fields point to normalised copies, too; a doc that is missing is "", here and everywhere */
	uint64_t state_count;
	/* kind SB_KIND_BACKEND; no member is NULL but extension: unpin's stub does nothing, those of maintain and
	 * stats return SB_ERR_UNSUPPORTED, which is no fault of the plugin */
	sb_backend_ops backend;
	sb_operator_ops operator; /* kind SB_KIND_OPERATOR; snapshot and restore NULL together */
	_Atomic uint32_t *open_instances; /* for SB_THREADS_ONE_INSTANCE */
};

struct plugin {
	char *path; /* absolute, links resolved */
	char *name, *version, *vendor, *license, *doc;
	uint32_t abi_major, abi_minor;
	struct component *components;
	uint64_t component_count;
	void *library; /* from dlopen; never closed */
	struct arena memory; /* holds all that components point to and the plugin's own data does not */
};

/* name_or_path with a '/' or ending in ".so" is a path; anything else a short name ("rocksdb"), looked up in plugin_dir
 * as lib<name>_backend.so, lib<name>.so, lib<name with '-' as '_'>.so.
 * Fails with SB_ERR_NOT_FOUND, SB_ERR_INCOMPATIBLE, SB_ERR_CORRUPT, SB_ERR_INVALID; one sentence each, naming the
 * file and the remedy. */
int32_t plugin_load(struct io *io, const char *name_or_path, const char *plugin_dir, struct plugin **ret_plugin,
		    sb_error *err);
/* The same, if the manifest vouches for it; manifest NULL: for all. SB_ERR_INVALID when it does not. */
int32_t plugin_load_vouched(struct io *io, const char *name_or_path, const char *plugin_dir,
			    const struct manifest *manifest, struct plugin **ret_plugin, sb_error *err);
/* The file that plugin_load would load, as it is named; to be freed. */
int32_t plugin_find(struct io *io, const char *name_or_path, const char *plugin_dir, char **ret_path, sb_error *err);
/* Frees the description; the library stays loaded. NULL is fine. */
void plugin_free(struct plugin *plugin);

/* The plugin's component of that kind (the first, when there are several), or an error that says what it holds instead. */
int32_t plugin_find_component(const struct plugin *plugin, uint32_t kind, const struct component **ret_component,
			      sb_error *err);

/* What the ELF note says, read without running anything. */
struct plugin_note {
	char name[128];
	char version[64];
	uint32_t abi_major, abi_minor;
};

/* Vets the file and reads its note; what plugin_load does first. */
int32_t plugin_vet(struct io *io, const char *path, struct plugin_note *ret_note, sb_error *err);

/* How the file meets other libraries in one process: what plugin_load lets pass, and a conformance check does not. */
struct plugin_linkage {
	bool executable_stack; /* asks for one: the stacks of the whole process would become executable */
	bool text_relocations; /* its code is written to when it is loaded */
	bool static_tls; /* takes from a small reserve that all libraries share */
	uint64_t export_count; /* of symbols beside the entry function */
	char first_export[128];
	uint64_t unique_count; /* of STB_GNU_UNIQUE: one definition for all libraries, whoever came first */
	char first_unique[128];
};

/* Vets the file, too. */
int32_t plugin_examine_linkage(struct io *io, const char *path, struct plugin_linkage *ret_linkage, sb_error *err);

/* Appends the description of a loaded plugin: for people, or as one JSON object. */
void plugin_describe_text(const struct plugin *plugin, struct buffer *out);
void plugin_describe_json(const struct plugin *plugin, struct buffer *out);

/* Appends one row (or JSON object) for each *.so in dir, the refused ones with their reason; runs no plugin code. */
int32_t plugin_list(struct io *io, const char *dir, bool json, struct buffer *out, sb_error *err);

#endif
