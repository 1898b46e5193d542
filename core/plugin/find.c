/* Short names: "rocksdb" is librocksdb_backend.so or librocksdb.so in the plugin directory,
 * "example-processor" libexample_processor.so. Whatever is found is still only a path, vetted
 * like any other. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/nearest.h"
#include "plugin/plugin_private.h"

#define LIB "lib"
#define BACKEND_SUFFIX "_backend"
#define SO ".so"

static bool ends_with(const char *text, const char *suffix)
{
	size_t len = strlen(text), suffix_len = strlen(suffix);

	return len >= suffix_len && strcmp(text + len - suffix_len, suffix) == 0;
}

static bool is_path(const char *name_or_path)
{
	return strchr(name_or_path, '/') || ends_with(name_or_path, SO);
}

static bool is_short_name(const char *name)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.+";
	size_t len = strlen(name);

	return len && len <= NEAREST_NAME_BYTES && strspn(name, allowed) == len;
}

/* "DIR/lib<name><suffix>.so", with '-' as '_' if underscores says so. */
static void append_candidate(struct buffer *path, const char *dir, const char *name, bool underscores,
			     const char *suffix)
{
	buffer_clear(path);
	buffer_printf(path, "%s/" LIB, dir);
	for (; *name; name++)
		buffer_append_byte(path, underscores && *name == '-' ? '_' : (uint8_t)*name);
	buffer_printf(path, "%s" SO, suffix);
}

static void done_buffer(struct buffer *buffer)
{
	buffer_done(buffer);
}

/* What users call the file: the way back from a candidate. */
static char *short_name_of(const char *file)
{
	char *name = strdup(file + strlen(LIB));

	if (!name)
		return NULL;
	name[strlen(name) - strlen(SO)] = 0;
	if (ends_with(name, BACKEND_SUFFIX))
		name[strlen(name) - strlen(BACKEND_SUFFIX)] = 0;
	for (char *at = name; *at; at++)
		if (*at == '_')
			*at = '-';
	return name;
}

struct inventory {
	struct buffer names; /* each ended by a NUL, with the nearest one pointing into it */
	struct buffer listed; /* "a, b, c" */
};

static void done_inventory(struct inventory *inventory)
{
	buffer_done(&inventory->names);
	buffer_done(&inventory->listed);
}

static int32_t take_inventory(struct io *io, const char *dir, struct inventory *ret, sb_error *err)
{
	AUTO(done_buffer) struct buffer files = BUFFER_INIT;
	uint64_t count;

	TRY(io_list(io, dir, &files, &count, err));
	for (size_t i = 0; i < files.len; i += strlen((char *)files.data + i) + 1) {
		const char *file = (char *)files.data + i;
		AUTO(free_memory) char *name = NULL;

		if (strncmp(file, LIB, strlen(LIB)) != 0 || !ends_with(file, SO) || strlen(file) <= strlen(LIB SO))
			continue;
		name = short_name_of(file);
		if (!name)
			return error_no_memory(err);
		buffer_append(&ret->names, name, strlen(name) + 1);
		buffer_printf(&ret->listed, "%s%s", ret->listed.len ? ", " : "", name);
	}
	TRY(buffer_check(&ret->names, err));
	return buffer_text(&ret->listed) ? SB_OK : error_no_memory(err);
}

static int32_t refuse_unknown(struct io *io, const char *name, const char *dir, sb_error *err)
{
	AUTO(done_inventory) struct inventory have = {0};
	struct nearest near = {.wanted = slice_of_text(name)};
	sb_error ignored = ERROR_INIT;

	if (take_inventory(io, dir, &have, &ignored) != SB_OK)
		return error_set(
			err, SB_ERR_NOT_FOUND,
			"there is no plugin \"%s\": plugin directory %s cannot be read; give the path of a *.so file",
			name, dir);
	for (size_t i = 0; i < have.names.len; i += strlen((char *)have.names.data + i) + 1)
		nearest_offer(&near, (char *)have.names.data + i);
	if (!have.names.len)
		return error_set(
			err, SB_ERR_NOT_FOUND,
			"there is no plugin \"%s\": plugin directory %s holds none; give the path of a *.so file", name,
			dir);
	if (near.name)
		return error_set(err, SB_ERR_NOT_FOUND,
				 "there is no plugin \"%s\" in %s; did you mean \"%s\"? There are: %.600s", name, dir,
				 near.name, (char *)have.listed.data);
	return error_set(err, SB_ERR_NOT_FOUND,
			 "there is no plugin \"%s\" in %s; there are: %.600s; or give the path of a *.so file", name,
			 dir, (char *)have.listed.data);
}

static int32_t find_in_dir(struct io *io, const char *name, const char *dir, struct buffer *path, sb_error *err)
{
	static const struct {
		bool underscores;
		const char *suffix;
	} forms[] = {{false, BACKEND_SUFFIX}, {false, ""}, {true, BACKEND_SUFFIX}, {true, ""}};

	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		struct stat st;
		bool exists;

		append_candidate(path, dir, name, forms[i].underscores, forms[i].suffix);
		if (!buffer_text(path))
			return error_no_memory(err);
		TRY(io_lstat(io, (char *)path->data, &st, &exists, err));
		if (exists)
			return SB_OK;
	}
	return refuse_unknown(io, name, dir, err);
}

int32_t plugin_find(struct io *io, const char *name_or_path, const char *plugin_dir, char **ret_path, sb_error *err)
{
	AUTO(done_buffer) struct buffer path = BUFFER_INIT;
	char *found;

	if (is_path(name_or_path)) {
		buffer_append_text(&path, name_or_path);
	} else if (!is_short_name(name_or_path)) {
		return error_set(
			err, SB_ERR_NOT_FOUND,
			"\"%.100s\" is not the name of a plugin: give a short name such as rocksdb, or the path of a *.so "
			"file",
			name_or_path);
	} else if (!plugin_dir) {
		return error_set(
			err, SB_ERR_NOT_FOUND,
			"plugin \"%s\" is a short name, and no plugin directory is set: give the path of the *.so file",
			name_or_path);
	} else {
		TRY(find_in_dir(io, name_or_path, plugin_dir, &path, err));
	}
	found = buffer_text(&path) ? strdup((char *)path.data) : NULL;
	if (!found)
		return error_no_memory(err);
	*ret_path = found;
	return SB_OK;
}
