/* What the files of this module share. The way of a plugin through them:
 *
 *   find.c       a short name becomes a path
 *   vet.c        the path and its permissions; the file is opened, and held open
 *   elf*.c       the bytes: a whole shared object for this machine, with our entry and note
 *   load.c       dlopen and the entry function, the first code of the plugin that runs
 *   normalize.c  the descriptor, copied to our own sizes and checked member by member, with
 *                declared_options.c, declared_fields.c and declared_states.c for its parts
 *   stubs.c      callbacks that the plugin lacks
 */
#ifndef PLUGIN_PRIVATE_H
#define PLUGIN_PRIVATE_H

#include "base/slice.h"
#include "plugin/plugin.h"

/* --- vet.c --- */

/* A plugin file that may be loaded, and the open file that was vetted. */
struct vetted {
	struct io *io;
	char *path; /* absolute, links resolved */
	int fd;
	struct stat st;
	struct plugin_note note;
};

#define VETTED_INIT                                                                                                    \
	{                                                                                                              \
		.fd = -1                                                                                               \
	}

int32_t vet_file(struct io *io, const char *path, struct vetted *ret_vetted, sb_error *err);
/* SB_ERR_BUSY when path no longer names the file that was vetted, or its content was changed. */
int32_t vet_unchanged(const struct vetted *vetted, sb_error *err);
void vetted_done(struct vetted *vetted);

/* --- elf.c --- */

#define ELF_SEARCH_BYTES 4096

/* ret_search: where it wants libraries looked for (RPATH and RUNPATH), as the file says it. */
int32_t elf_inspect(struct io *io, int fd, uint64_t size, const char *path, struct plugin_note *ret_note,
		    char ret_search[ELF_SEARCH_BYTES], sb_error *err);

/* elf_linkage.c */
int32_t elf_examine_linkage(struct io *io, int fd, uint64_t size, const char *path, struct plugin_linkage *ret_linkage,
			    sb_error *err);

/* --- normalize.c --- */

/* Fills all of plugin but path and library from what the entry function returned. */
int32_t normalize_plugin(const sb_plugin *given, const struct plugin_note *note, struct plugin *plugin, sb_error *err);

/* Where we are in a descriptor, for sentences; passed down by the parts. */
struct declaration {
	const char *path;
	const char *component; /* NULL: the plugin itself */
	bool newer; /* the plugin knows a later minor ABI: unknown flags are no mistake */
	struct arena *memory;
	sb_error *err;
};

/* "PATH: component "rocksdb": " and the sentence. Returns code. */
int32_t declaration_refuse(const struct declaration *d, int32_t code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
int32_t declaration_no_memory(const struct declaration *d);

/* Copies an array of pointers to the plugin's structs into an array of our own, each cut or zero-extended to size.
 * what ("option") is for sentences. *ret_array is NULL when count is 0. */
int32_t declaration_copy(const struct declaration *d, const char *what, const void *const *given, uint64_t count,
			 uint32_t v1_size, uint32_t size, void **ret_array);
/* One struct. */
int32_t declaration_copy_one(const struct declaration *d, const char *what, const void *given, uint32_t v1_size,
			     uint32_t size, void *ret_struct);
/* A string that must be there, is not too long and is valid UTF-8. */
int32_t declaration_check_text(const struct declaration *d, const char *what, const char *member, const char *text);
/* A doc, which may be absent: then it becomes "", which spares readers the test. */
int32_t declaration_check_doc(const struct declaration *d, const char *what, const char **doc);
/* Flags that this header does not know are refused, or forgotten when the plugin is newer than the host. */
int32_t declaration_check_flags(const struct declaration *d, const char *what, const char *name, uint32_t *flags,
				uint32_t known);

/* [a-z][a-z0-9<extra>]* */
bool name_is_lower(const char *name, const char *extra);
/* [A-Za-z_][A-Za-z0-9_]* */
bool name_is_identifier(const char *name);

#define NAME_BYTES_MAX 255 /* of anything that has a name */
#define TEXT_BYTES_MAX 4096 /* of documentation and default values */
#define COUNT_MAX 4096 /* of anything that is counted; catches members that were never set */
#define STATES_MAX 1024

/* The end of a struct's last member in ABI 1.0: no plugin's struct is smaller. */
#define MEMBER_END(type, member) ((uint32_t)(offsetof(type, member) + sizeof(((type *)0)->member)))
#define V1_SIZE_PLUGIN MEMBER_END(sb_plugin, component_count)
#define V1_SIZE_COMPONENT MEMBER_END(sb_component, state_count)
#define V1_SIZE_OPTION MEMBER_END(sb_option, doc)
#define V1_SIZE_FIELD MEMBER_END(sb_field, doc)
#define V1_SIZE_STATE MEMBER_END(sb_state, doc)
#define V1_SIZE_SCHEMA_FIELD MEMBER_END(sb_schema_field, doc)
#define V1_SIZE_BACKEND_OPS MEMBER_END(sb_backend_ops, extension)
#define V1_SIZE_OPERATOR_OPS MEMBER_END(sb_operator_ops, extension)

/* "backend", "operator", … */
const char *kind_name(uint32_t kind);

/* --- declared_options.c, declared_fields.c, declared_states.c --- */

int32_t declare_options(const struct declaration *d, const sb_component *given, struct component *component);
int32_t declare_fields(const struct declaration *d, const sb_component *given, struct component *component);
int32_t declare_states(const struct declaration *d, const sb_component *given, struct component *component);

/* --- stubs.c --- */

void stubs_fill_backend(sb_backend_ops *ops);

/* --- options.c --- */

/* Parses and range-checks a value; on failure appends what is wrong with it ("is not a size (…)") to reason. */
bool option_parse(const sb_option *option, sb_slice text, sb_option_value *ret_value, struct buffer *reason);
/* "64KiB to 64GiB", "1 or more"; nothing when there is no limit. */
void option_append_range(const sb_option *option, struct buffer *out);
bool option_has_range(const sb_option *option);

/* --- describe.c --- */

const char *option_type_name(uint32_t type);
const char *value_type_name(uint32_t type);

/* --- load.c --- */

/* Makes what a plugin wrote into an sb_error fit to be shown: ended by a NUL, one line. */
void plugin_tidy_error(sb_error *err);

#endif
