/* See plugin_new.h. The files are those of core/cli/templates with the name put in where they say @name@ and the like. Beside
 * them go the header, the version script and the CMake function, so that the directory needs a compiler and nothing else,
 * wherever it is carried: an ABI that is kept makes the copy as good as any later header. */
#include "cli/plugin_new.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/slice.h"
#include "cli/templates.h"

#define NAME_BYTES_MAX 63 /* as the ABI has it */
#define ANY NULL

/* Which template goes where, for which --kind and --lang. */
static const struct entry {
	const char *kind, *lang;
	const char *template, *path;
} entries[] = {
	{"backend", "c", "backend.c", "@symbol@.c"},
	{"backend", "c++", "backend.cpp", "@symbol@.cpp"},
	{"backend", ANY, "backend.sh", "test.sh"},
	{"backend", ANY, "backend.md", "README.md"},
	{"operator", "c", "operator.c", "@symbol@.c"},
	{"operator", "c++", "operator.cpp", "@symbol@.cpp"},
	{"operator", ANY, "operator.sh", "test.sh"},
	{"operator", ANY, "operator.md", "README.md"},
	{"operator", ANY, "events.ndjson", "events.ndjson"},
	{"operator", ANY, "expected.ndjson", "expected.ndjson"},
	{ANY, ANY, "Makefile", "Makefile"},
	{ANY, ANY, "CMakeLists.txt", "CMakeLists.txt"},
	{ANY, ANY, "gitignore", ".gitignore"},
	{ANY, ANY, "SbhostPlugin.cmake", "sbhost/SbhostPlugin.cmake"},
	{ANY, ANY, "plugin.map", "sbhost/plugin.map"},
	{ANY, ANY, "sb_plugin.h", "sbhost/sb_plugin.h"},
	{ANY, "c++", "sb_plugin.hpp", "sbhost/sb_plugin.hpp"},
};

/* Words between two '@', and what takes their place. */
struct word {
	const char *name, *text;
};

#define WORDS_MAX 12

struct recipe {
	struct tool *tool;
	const char *dir;
	char *host;
	struct buffer symbol, title;
	struct word words[WORDS_MAX]; /* ended by one without a name */
};

static void recipe_done(struct recipe *recipe)
{
	free(recipe->host);
	buffer_done(&recipe->symbol);
	buffer_done(&recipe->title);
}

/* --- the name -------------------------------------------------------------------- */

/* Targets that make, CMake and CTest keep for themselves. */
static bool is_reserved(const char *name)
{
	static const char *const words[] = {"all",     "clean",		"edit-cache", "help", "install",
					    "package", "rebuild-cache", "sbhost",     "test"};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(name, words[i]) == 0)
			return true;
	return false;
}

static int32_t check_name(const char *name, sb_error *err)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz";
	size_t len = strlen(name);

	if (len > NAME_BYTES_MAX)
		return error_set(err, SB_ERR_CONFIG, "a plugin's name has at most %u bytes, and %.20s... has %zu",
				 NAME_BYTES_MAX, name, len);
	if (!len || !strchr(letters, name[0]) || strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != len)
		return error_set(
			err, SB_ERR_CONFIG,
			"\"%s\" cannot be a plugin's name: it is of small letters, digits and \"-\", and begins "
			"with a letter, such as my-plugin",
			name);
	if (is_reserved(name))
		return error_set(err, SB_ERR_CONFIG,
				 "\"%s\" is a word that build systems keep for themselves; choose another name", name);
	return SB_OK;
}

/* "my_plugin" and "My plugin". */
static int32_t derive_names(const char *name, struct recipe *recipe, sb_error *err)
{
	for (const char *at = name; *at; at++) {
		buffer_append_byte(&recipe->symbol, *at == '-' ? '_' : (uint8_t)*at);
		buffer_append_byte(&recipe->title, at == name	? (uint8_t)(*at - 'a' + 'A')
						   : *at == '-' ? ' '
								: (uint8_t)*at);
	}
	return buffer_text(&recipe->symbol) && buffer_text(&recipe->title) ? SB_OK : error_no_memory(err);
}

/* This program, for the test; by its bare name where make or a shell would read the path otherwise. */
static int32_t find_host(struct recipe *recipe, sb_error *err)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._+-";

	recipe->host = cli_program_path();
	if (recipe->host && recipe->host[strspn(recipe->host, plain)]) {
		free(recipe->host);
		recipe->host = strdup("sbhost");
	}
	return recipe->host ? SB_OK : error_no_memory(err);
}

static int32_t prepare(struct tool *tool, struct recipe *recipe, sb_error *err)
{
	const bool cpp = strcmp(tool->lang, "c++") == 0;
	const char *name = tool->words[0];

	TRY(check_name(name, err));
	TRY(derive_names(name, recipe, err));
	TRY(find_host(recipe, err));
	recipe->dir = tool->dir ? tool->dir : name;
	memcpy(recipe->words,
	       (const struct word[WORDS_MAX]){
		       {"name", name},
		       {"symbol", (const char *)recipe->symbol.data},
		       {"title", (const char *)recipe->title.data},
		       {"host", recipe->host},
		       {"kind", tool->kind},
		       {"extension", cpp ? "cpp" : "c"},
		       {"language", cpp ? "CXX" : "C"},
		       {"compiler", cpp ? "CXX" : "CC"},
		       {"flags", cpp ? "CXXFLAGS" : "CFLAGS"},
		       {"standard", cpp ? "c++17" : "c11"},
		       {"cmake_standard", cpp ? "17" : "11"},
	       },
	       sizeof(recipe->words));
	return SB_OK;
}

/* --- the files ------------------------------------------------------------------- */

static const struct word *find_word(const struct recipe *recipe, sb_slice name)
{
	for (const struct word *word = recipe->words; word->name; word++)
		if (slice_equal_text(name, word->name))
			return word;
	return NULL;
}

/* An '@' that begins no word of ours stays: makefiles have many. */
static void fill(const struct recipe *recipe, sb_slice text, struct buffer *out)
{
	while (text.len) {
		const uint8_t *end = text.len > 1 ? memchr(text.ptr + 1, '@', text.len - 1) : NULL;
		const struct word *word = NULL;
		size_t len = 1;

		if (text.ptr[0] == '@' && end)
			word = find_word(recipe, slice_of(text.ptr + 1, (size_t)(end - text.ptr) - 1));
		if (word) {
			buffer_append_text(out, word->text);
			len = (size_t)(end - text.ptr) + 1;
		} else {
			len = end ? (size_t)(end - text.ptr) : text.len;
			buffer_append(out, text.ptr, len);
		}
		text = slice_of(text.ptr + len, text.len - len);
	}
}

static sb_slice find_template(const char *name)
{
	for (size_t i = 0; i < template_file_count; i++)
		if (strcmp(template_files[i].name, name) == 0)
			return slice_of(template_files[i].bytes, template_files[i].len);
	__builtin_unreachable(); /* core/CMakeLists.txt lists them; a test writes them all */
}

static int32_t write_file(struct recipe *recipe, const struct entry *entry, sb_error *err)
{
	struct io *io = &recipe->tool->io;
	AUTO(buffer_done) struct buffer path = BUFFER_INIT;
	AUTO(buffer_done) struct buffer content = BUFFER_INIT;
	int32_t status;
	int fd;

	buffer_printf(&path, "%s/", recipe->dir);
	fill(recipe, slice_of_text(entry->path), &path);
	fill(recipe, find_template(entry->template), &content);
	TRY(buffer_check(&content, err));
	if (!buffer_text(&path))
		return error_no_memory(err);
	TRY(io_open(io, (char *)path.data, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0644, &fd, err));
	status = io_write_all(io, fd, content.data, content.len, (char *)path.data, err);
	io_close(io, fd);
	return status;
}

static bool is_wanted(const struct tool *tool, const struct entry *entry)
{
	return (!entry->kind || strcmp(entry->kind, tool->kind) == 0) &&
	       (!entry->lang || strcmp(entry->lang, tool->lang) == 0);
}

static int32_t write_files(struct recipe *recipe, sb_error *err)
{
	AUTO(buffer_done) struct buffer sdk = BUFFER_INIT;

	buffer_printf(&sdk, "%s/sbhost", recipe->dir);
	if (!buffer_text(&sdk))
		return error_no_memory(err);
	TRY(io_mkdir_new(&recipe->tool->io, (char *)sdk.data, 0755, err));
	for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++)
		if (is_wanted(recipe->tool, &entries[i]))
			TRY(write_file(recipe, &entries[i], err));
	return SB_OK;
}

static int32_t refuse_existing(const char *dir, sb_error *err)
{
	if (err->sys_errno != EEXIST)
		return err->code;
	return error_set(err, SB_ERR_CONFIG, "%s is there already; give another directory with --dir", dir);
}

/* The whole directory or none of it. */
static int32_t create(struct recipe *recipe, sb_error *err)
{
	struct io *io = &recipe->tool->io;
	sb_error ignored = ERROR_INIT;
	int32_t status;

	umask(022); /* sources are for others to read, unlike state */
	if (io_mkdir_new(io, recipe->dir, 0755, err) != SB_OK)
		return refuse_existing(recipe->dir, err);
	status = write_files(recipe, err);
	if (status != SB_OK)
		io_remove_tree(io, recipe->dir, &ignored);
	return status;
}

int plugin_new(struct tool *tool)
{
	AUTO(recipe_done) struct recipe recipe = {.tool = tool};
	sb_error err = ERROR_INIT;

	if (prepare(tool, &recipe, &err) != SB_OK || create(&recipe, &err) != SB_OK)
		return tool_fail(tool, tool_status_of(&err), &err);
	buffer_printf(&tool->out, "%s holds %s %s %s; it builds and tests itself:\n  cd %s && make test\n", recipe.dir,
		      tool->kind[0] == 'o' ? "an" : "a", tool->kind, tool->words[0], recipe.dir);
	return tool_print(tool);
}
