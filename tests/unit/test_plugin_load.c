/* Which files become plugins, and what is said about the others. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/nearest.h"
#include "support/elf_image.h"

static struct io io;
static char dir[64];

static void make_dir(void)
{
	io_init_system(&io);
	strcpy(dir, "/tmp/sbhost-load-XXXXXX");
	cr_assert(mkdtemp(dir));
}

static void remove_dir(void)
{
	sb_error err = ERROR_INIT;

	chmod(dir, 0700);
	io_remove_tree(&io, dir, &err);
}

TestSuite(plugin_load, .init = make_dir, .fini = remove_dir, .timeout = 60);

static const char *in_dir(const char *name)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static void copy_good(const char *to)
{
	char command[1024];

	snprintf(command, sizeof(command), "cp %s/libgood_backend.so %s && chmod 0644 %s", SB_TEST_PLUGIN_DIR, to, to);
	cr_assert_eq(system(command), 0);
}

static void write_file(const char *path, const char *content)
{
	sb_error err = ERROR_INIT;
	int fd;

	cr_assert_eq(io_create_new(&io, path, &fd, &err), SB_OK, "%s", err.message);
	cr_assert_eq(io_write_all(&io, fd, content, strlen(content), path, &err), SB_OK);
	io_close(&io, fd);
}

static void assert_refused_in(const char *plugin_dir, const char *name, int32_t code, const char *words)
{
	struct plugin *plugin = NULL;
	sb_error err = ERROR_INIT;

	cr_assert_eq(plugin_load(&io, name, plugin_dir, &plugin, &err), code, "%s: code %d: %s", name, err.code,
		     err.message);
	cr_assert_null(plugin);
	cr_assert(strstr(err.message, words), "%s: \"%s\" is not in: %s", name, words, err.message);
	cr_assert_null(strchr(err.message, '\n'));
}

/* By path: the sentence names the file, too. */
static void assert_refused(const char *path, int32_t code, const char *words)
{
	const char *file = strrchr(path, '/') + 1;

	assert_refused_in(NULL, path, code, words);
	assert_refused_in(NULL, path, code, file);
}

static void assert_loads(const char *path)
{
	struct plugin *plugin = NULL;
	sb_error err = ERROR_INIT;

	cr_assert_eq(plugin_load(&io, path, SB_TEST_PLUGIN_DIR, &plugin, &err), SB_OK, "%s: %s", path, err.message);
	cr_assert(plugin->path[0] == '/');
	plugin_free(plugin);
}

/* --- the path ------------------------------------------------------------------- */

Test(plugin_load, resolves_a_symbolic_link)
{
	struct plugin *plugin;
	sb_error err = ERROR_INIT;
	char *real = realpath(SB_TEST_PLUGIN_DIR "/libgood_backend.so", NULL);

	cr_assert_eq(symlink(real, in_dir("link.so")), 0);
	cr_assert_eq(plugin_load(&io, in_dir("link.so"), NULL, &plugin, &err), SB_OK, "%s", err.message);
	cr_assert_str_eq(plugin->path, real);
	plugin_free(plugin);
	free(real);
}

Test(plugin_load, refuses_a_file_that_is_not_there)
{
	assert_refused(in_dir("none.so"), SB_ERR_NOT_FOUND, "there is no plugin file");
	cr_assert_eq(symlink("nowhere.so", in_dir("dangling.so")), 0);
	assert_refused(in_dir("dangling.so"), SB_ERR_NOT_FOUND, "there is no plugin file");
}

Test(plugin_load, refuses_what_is_no_regular_file)
{
	cr_assert_eq(mkdir(in_dir("directory.so"), 0755), 0);
	assert_refused(in_dir("directory.so"), SB_ERR_INVALID, "is a directory");
	assert_refused("/dev/null", SB_ERR_INVALID, "is a device");
}

/* Opening a pipe would wait for a writer: the suite's timeout is the test. */
Test(plugin_load, refuses_a_named_pipe_without_waiting_for_it)
{
	cr_assert_eq(mkfifo(in_dir("pipe.so"), 0600), 0);
	assert_refused(in_dir("pipe.so"), SB_ERR_INVALID, "is a named pipe");
}

Test(plugin_load, refuses_empty_and_text_files)
{
	write_file(in_dir("empty.so"), "");
	assert_refused(in_dir("empty.so"), SB_ERR_CORRUPT, "is empty");
	write_file(in_dir("text.so"), "INPUT(libgood_backend.so)\n");
	assert_refused(in_dir("text.so"), SB_ERR_INVALID, "not a shared object");
}

Test(plugin_load, refuses_a_truncated_file)
{
	copy_good(in_dir("cut.so"));
	cr_assert_eq(truncate(in_dir("cut.so"), 9000), 0);
	assert_refused(in_dir("cut.so"), SB_ERR_CORRUPT, "truncated");
}

static ssize_t failing_pread(struct io *failing, int fd, void *bytes, size_t len, off_t offset)
{
	(void)failing;
	(void)fd;
	(void)bytes;
	(void)len;
	(void)offset;
	errno = EIO;
	return -1;
}

Test(plugin_load, reports_a_disk_that_cannot_be_read)
{
	struct io_ops ops = *io.ops;
	struct io failing = {.ops = &ops};
	struct plugin_note note;
	sb_error err = ERROR_INIT;

	ops.pread = failing_pread;
	copy_good(in_dir("p.so"));
	cr_assert_eq(plugin_vet(&failing, in_dir("p.so"), &note, &err), SB_ERR_IO);
	cr_assert_eq(err.sys_errno, EIO);
}

/* --- permissions ---------------------------------------------------------------- */

Test(plugin_load, refuses_a_file_that_others_can_write)
{
	copy_good(in_dir("p.so"));
	assert_loads(in_dir("p.so"));
	cr_assert_eq(chmod(in_dir("p.so"), 0646), 0);
	assert_refused(in_dir("p.so"), SB_ERR_INVALID, "can be written by others (mode 0646)");
	cr_assert_eq(chmod(in_dir("p.so"), 0664), 0);
	assert_refused(in_dir("p.so"), SB_ERR_INVALID, "chmod go-w");
}

Test(plugin_load, refuses_a_directory_that_others_can_write_unless_it_is_sticky)
{
	copy_good(in_dir("p.so"));
	cr_assert_eq(chmod(dir, 0777), 0);
	assert_refused(in_dir("p.so"), SB_ERR_INVALID, "can be written by others");
	cr_assert_eq(chmod(dir, 0775), 0);
	assert_refused(in_dir("p.so"), SB_ERR_INVALID, "can be written by others");
	cr_assert_eq(chmod(dir, 01777), 0);
	assert_loads(in_dir("p.so"));
}

Test(plugin_load, looks_at_every_directory_above)
{
	cr_assert_eq(mkdir(in_dir("below"), 0755), 0);
	copy_good(in_dir("below/p.so"));
	assert_loads(in_dir("below/p.so"));
	cr_assert_eq(chmod(dir, 0757), 0);
	assert_refused(in_dir("below/p.so"), SB_ERR_INVALID, dir);
}

Test(plugin_load, refuses_what_belongs_to_another_user)
{
	if (geteuid() != 0)
		cr_skip_test("only root can give files away");
	copy_good(in_dir("p.so"));
	cr_assert_eq(chown(in_dir("p.so"), 12345, 0), 0);
	assert_refused(in_dir("p.so"), SB_ERR_INVALID, "belongs to user 12345");
	cr_assert_eq(chown(in_dir("p.so"), 0, 0), 0);
	cr_assert_eq(chmod(dir, 01777), 0);
	cr_assert_eq(chown(dir, 12345, 0), 0);
	assert_refused(in_dir("p.so"), SB_ERR_INVALID, "belongs to user 12345");
	cr_assert_eq(chown(dir, 0, 0), 0);
}

/* Root's plugins are good for everybody; those of a user are not for another. */
Test(plugin_load, lets_a_user_load_roots_plugins)
{
	int status;
	pid_t child;

	if (geteuid() != 0)
		cr_skip_test("only root can become another user");
	copy_good(in_dir("p.so"));
	cr_assert_eq(chmod(dir, 0755), 0);
	child = fork();
	if (child == 0) {
		struct plugin_note note;
		sb_error err = ERROR_INIT;

		_exit(setuid(12345) != 0 || plugin_vet(&io, in_dir("p.so"), &note, &err) != SB_OK);
	}
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert_eq(status, 0);
}

Test(plugin_load, notices_a_file_that_was_exchanged_after_vetting)
{
	struct vetted vetted = VETTED_INIT;
	sb_error err = ERROR_INIT;

	copy_good(in_dir("p.so"));
	copy_good(in_dir("other.so"));
	cr_assert_eq(vet_file(&io, in_dir("p.so"), &vetted, &err), SB_OK, "%s", err.message);
	cr_assert_eq(vet_unchanged(&vetted, &err), SB_OK);
	cr_assert_eq(truncate(in_dir("p.so"), 100), 0);
	cr_assert_eq(vet_unchanged(&vetted, &err), SB_ERR_BUSY);
	cr_assert(strstr(err.message, "exchanged"));
	vetted_done(&vetted);
	cr_assert_eq(vet_file(&io, in_dir("other.so"), &vetted, &err), SB_OK);
	copy_good(in_dir("third.so"));
	{
		char from[256];

		snprintf(from, sizeof(from), "%s", in_dir("third.so"));
		cr_assert_eq(rename(from, in_dir("other.so")), 0);
	}
	cr_assert_eq(vet_unchanged(&vetted, &err), SB_ERR_BUSY);
	vetted_done(&vetted);
}

/* --- the zoo -------------------------------------------------------------------- */

#define ZOO(name) SB_TEST_PLUGIN_DIR "/lib" name ".so"

Test(plugin_load, refuses_each_bad_plugin_with_its_own_sentence)
{
	static const struct {
		const char *path;
		int32_t code;
		const char *words;
	} cases[] = {
		{ZOO("bad_note_major"), SB_ERR_INCOMPATIBLE, "is a plugin for ABI 2, and this sbhost has ABI 1.0"},
		{ZOO("bad_entry_major"), SB_ERR_INCOMPATIBLE, "is a plugin for ABI 2, and this sbhost has ABI 1.0"},
		{ZOO("bad_no_entry"), SB_ERR_INVALID, "is a shared library but no sbhost plugin"},
		{ZOO("bad_no_note"), SB_ERR_INVALID, "SB_PLUGIN_REGISTER"},
		{ZOO("bad_note_short"), SB_ERR_CORRUPT, "note"},
		{ZOO("bad_other_version"), SB_ERR_INVALID, "\"2.0.0\", and its ELF note says \"1.0.0\""},
		{ZOO("bad_abi_major"), SB_ERR_INCOMPATIBLE, "ABI 3"},
		{ZOO("bad_short_descriptor"), SB_ERR_INCOMPATIBLE, "its sb_plugin has struct_size 8"},
		{ZOO("bad_short_component"), SB_ERR_INCOMPATIBLE, "component 0 has struct_size 104"},
		{ZOO("bad_null_name"), SB_ERR_INVALID, "the plugin has no name"},
		{ZOO("bad_duplicate_option"), SB_ERR_INVALID, "two options have the name \"size\""},
		{ZOO("bad_missing_callback"), SB_ERR_INVALID, "write_batch() is NULL"},
		{ZOO("bad_entry_null"), SB_ERR_INVALID, "returned NULL without a reason"},
		{ZOO("bad_entry_refuses"), SB_ERR_UNSUPPORTED, "needs sbhost 9.9 or"},
		{ZOO("bad_entry_no_code"), SB_ERR_INCOMPATIBLE, "will not work here: not on a  Tuesday"},
		{ZOO("bad_missing_library"), SB_ERR_INCOMPATIBLE, "libabsent.so"},
		{ZOO("bad_undefined_symbol"), SB_ERR_INCOMPATIBLE, "nobody_defines_this"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_refused(cases[i].path, cases[i].code, cases[i].words);
}

/* What only the dynamic linker finds: each says what to do about it. */
Test(plugin_load, refuses_what_the_dynamic_linker_refuses)
{
	struct elf_image image;
	const Elf64_Sym *symbols;
	const char *strings;
	uint64_t entry = 1;

	elf_image_open(&image, ZOO("good_old_hash"));
	symbols = elf_image_at(&image, elf_image_dynamic(&image, DT_SYMTAB)->d_un.d_ptr);
	strings = elf_image_at(&image, elf_image_dynamic(&image, DT_STRTAB)->d_un.d_ptr);
	while (strcmp(strings + symbols[entry].st_name, "sb_plugin_entry_v1") != 0)
		entry++;
	((Elf64_Sym *)(uintptr_t)symbols)[entry].st_info = ELF64_ST_INFO(STB_LOCAL, STT_FUNC);
	elf_image_save(&image, in_dir("local.so"));
	elf_image_close(&image);
	assert_refused(in_dir("local.so"), SB_ERR_INCOMPATIBLE,
		       "undefined symbol: sb_plugin_entry_v1; link the plugin");
	elf_image_open(&image, ZOO("good_backend"));
	elf_image_set_dynamic(&image, DT_FLAGS_1, DF_1_NOOPEN);
	elf_image_save(&image, in_dir("shut.so"));
	elf_image_close(&image);
	assert_refused(in_dir("shut.so"), SB_ERR_INCOMPATIBLE, "build it against the libraries of this machine");
}

Test(plugin_load, takes_a_plugin_of_a_later_minor_and_ignores_what_it_does_not_know)
{
	struct plugin *plugin;
	const struct component *component;
	sb_error err = ERROR_INIT;

	cr_assert_eq(plugin_load(&io, ZOO("good_newer"), NULL, &plugin, &err), SB_OK, "%s", err.message);
	cr_assert_eq(plugin->abi_minor, 7);
	cr_assert_eq(plugin->component_count, 2);
	cr_assert_eq(plugin_find_component(plugin, SB_KIND_BACKEND, &component, &err), SB_OK);
	cr_assert_eq(component->flags, SB_BACKEND_ORDERED);
	cr_assert_eq(component->backend.struct_size, sizeof(sb_backend_ops));
	plugin_free(plugin);
}

Test(plugin_load, fills_missing_callbacks_with_stubs)
{
	struct plugin *plugin;
	const struct component *component;
	sb_error err = ERROR_INIT;
	uint64_t count = 7;
	sb_stat stat;

	cr_assert_eq(plugin_load(&io, "good-backend", SB_TEST_PLUGIN_DIR, &plugin, &err), SB_OK, "%s", err.message);
	cr_assert_eq(plugin_find_component(plugin, SB_KIND_BACKEND, &component, &err), SB_OK);
	component->backend.unpin(NULL, 0, NULL);
	cr_assert_eq(component->backend.maintain(NULL, 1, &count, &err), SB_ERR_UNSUPPORTED);
	cr_assert_eq(component->backend.stats(NULL, 1, &stat, &count, &err), SB_ERR_UNSUPPORTED);
	cr_assert_eq(count, 7);
	plugin_free(plugin);
}

Test(plugin_load, says_what_a_plugin_holds_instead)
{
	struct plugin *plugin;
	const struct component *component = NULL;
	sb_error err = ERROR_INIT;

	cr_assert_eq(plugin_load(&io, "counting-operator", SB_TEST_PLUGIN_DIR, &plugin, &err), SB_OK, "%s",
		     err.message);
	cr_assert_eq(plugin_find_component(plugin, SB_KIND_BACKEND, &component, &err), SB_ERR_INVALID);
	cr_assert_null(component);
	cr_assert(strstr(err.message, "holds no backend, but the operator \"counting-operator\": name"), "%s",
		  err.message);
	plugin_free(plugin);
	cr_assert_eq(plugin_load(&io, ZOO("good_newer"), NULL, &plugin, &err), SB_OK, "%s", err.message);
	cr_assert_eq(plugin_find_component(plugin, SB_KIND_OPERATOR, &component, &err), SB_ERR_INVALID);
	cr_assert(strstr(err.message, "holds no operator, but the backend \"zoo\" and others: name"), "%s",
		  err.message);
	plugin_free(plugin);
}

/* --- short names ---------------------------------------------------------------- */

Test(plugin_load, finds_short_names_in_the_plugin_directory)
{
	copy_good(in_dir("libplain.so"));
	copy_good(in_dir("libfast_store_backend.so"));
	copy_good(in_dir("libword-with-dash.so"));
	for (const char *const *name =
		     (const char *const[]){"plain", "fast_store", "fast-store", "word-with-dash", NULL};
	     *name; name++) {
		struct plugin *plugin;
		sb_error err = ERROR_INIT;

		cr_assert_eq(plugin_load(&io, *name, dir, &plugin, &err), SB_OK, "%s: %s", *name, err.message);
		plugin_free(plugin);
	}
}

Test(plugin_load, suggests_a_near_name_and_lists_what_there_is)
{
	static const char *const strangers[] = {"README", "lib.so", "libzzz.a", "zzz.so"};
	char long_name[NEAREST_NAME_BYTES + 2] = {0};

	copy_good(in_dir("librocksdb_backend.so"));
	copy_good(in_dir("libexample_processor.so"));
	for (size_t i = 0; i < sizeof(strangers) / sizeof(strangers[0]); i++)
		write_file(in_dir(strangers[i]), "");
	assert_refused_in(dir, "rocskdb", SB_ERR_NOT_FOUND, "did you mean \"rocksdb\"?");
	assert_refused_in(dir, "rocskdb", SB_ERR_NOT_FOUND, "example-processor, rocksdb");
	assert_refused_in(dir, "leveldb", SB_ERR_NOT_FOUND, "there are: example-processor, rocksdb");
	assert_refused_in(in_dir("nowhere"), "rocksdb", SB_ERR_NOT_FOUND, "cannot be read");
	assert_refused_in(NULL, "rocksdb", SB_ERR_NOT_FOUND, "no plugin directory");
	assert_refused_in(dir, "", SB_ERR_NOT_FOUND, "is not the name of a plugin");
	assert_refused_in(dir, "a b", SB_ERR_NOT_FOUND, "is not the name of a plugin");
	memset(long_name, 'a', NEAREST_NAME_BYTES);
	assert_refused_in(dir, long_name, SB_ERR_NOT_FOUND, "there are: example-processor, rocksdb;");
	long_name[NEAREST_NAME_BYTES] = 'a';
	assert_refused_in(dir, long_name, SB_ERR_NOT_FOUND, "is not the name of a plugin");
}

Test(plugin_load, what_ends_like_a_library_is_a_path)
{
	assert_refused_in(dir, "nowhere.so", SB_ERR_NOT_FOUND, "there is no plugin file nowhere.so");
}

Test(plugin_load, says_that_the_plugin_directory_is_empty)
{
	assert_refused_in(dir, "rocksdb", SB_ERR_NOT_FOUND, "holds none");
}

/* --- list ----------------------------------------------------------------------- */

Test(plugin_load, lists_a_directory_without_running_code)
{
	struct buffer out = BUFFER_INIT;
	sb_error err = ERROR_INIT;

	copy_good(in_dir("libgood.so"));
	write_file(in_dir("broken.so"), "no ELF");
	write_file(in_dir("README"), "not listed");
	write_file(in_dir(".so"), "not listed either");
	cr_assert_eq(plugin_list(&io, dir, false, &out, &err), SB_OK, "%s", err.message);
	cr_assert(strstr(buffer_text(&out), "NAME  VERSION  ABI  FILE        STATUS\n"), "%s", (char *)out.data);
	cr_assert(strstr((char *)out.data, "\n-     -        -    broken.so   refused: "), "%s", (char *)out.data);
	cr_assert(strstr((char *)out.data, "\nzoo   1.0.0    1.0  libgood.so  ok\n"), "%s", (char *)out.data);
	cr_assert_null(strstr((char *)out.data, "README"));
	cr_assert_null(strstr((char *)out.data, " .so "));
	buffer_clear(&out);
	cr_assert_eq(plugin_list(&io, dir, true, &out, &err), SB_OK, "%s", err.message);
	cr_assert(strstr(buffer_text(&out), "\"reason\":\t\""), "%s", (char *)out.data);
	buffer_done(&out);
}

Test(plugin_load, cannot_list_a_directory_that_is_not_there)
{
	struct buffer out = BUFFER_INIT;
	sb_error err = ERROR_INIT;

	cr_assert_eq(plugin_list(&io, in_dir("none"), true, &out, &err), SB_ERR_NOT_FOUND);
	cr_assert_eq(out.len, 0);
	buffer_done(&out);
}
