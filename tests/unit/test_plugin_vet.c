/* Who may have written to what: the file, the directories above it, those in which its libraries are looked for, and all of it once more when they change
 * while they are looked at. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "support/elf_image.h"

#define GOOD SB_TEST_PLUGIN_DIR "/libgood_backend.so"
#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static char dir[64];

/* The system, but what it says of one path is another thing. */
static struct {
	struct io io, system;
	struct io_ops ops;
	const char *path;
	mode_t mode; /* of that path; 0: there is none */
	bool vanished; /* no path can be resolved but that of a plugin */
} spoilt;

static int spoilt_lstat(struct io *io, const char *path, struct stat *ret)
{
	int result = spoilt.system.ops->lstat(&spoilt.system, path, ret);

	(void)io;
	if (!spoilt.path || strcmp(path, spoilt.path) != 0)
		return result;
	ret->st_mode = spoilt.mode;
	errno = ENOENT;
	return spoilt.mode ? 0 : -1;
}

static char *spoilt_realpath(struct io *io, const char *path)
{
	(void)io;
	if (!spoilt.vanished || strstr(path, ".so"))
		return spoilt.system.ops->realpath(&spoilt.system, path);
	errno = ENOENT;
	return NULL;
}

static void set_up(void)
{
	memset(&spoilt, 0, sizeof(spoilt));
	io_init_system(&spoilt.system);
	spoilt.ops = *spoilt.system.ops;
	spoilt.ops.lstat = spoilt_lstat;
	spoilt.ops.realpath = spoilt_realpath;
	spoilt.io = (struct io){.ops = &spoilt.ops, .context = spoilt.system.context};
	strcpy(dir, "/tmp/sbhost-vet-XXXXXX");
	cr_assert(mkdtemp(dir));
}

static void tear_down(void)
{
	sb_error err = ERROR_INIT;

	io_remove_tree(&spoilt.system, dir, &err);
}

TestSuite(plugin_vet, .init = set_up, .fini = tear_down, .timeout = 60);

static const char *in_dir(const char *name)
{
	static char path[4][256];
	static unsigned next;
	char *at = path[next++ % LENGTH(path)];

	snprintf(at, sizeof(path[0]), "%s/%s", dir, name);
	return at;
}

static void make_plugin(const char *search)
{
	struct elf_image image;

	unlink(in_dir("p.so"));
	elf_image_open(&image, GOOD);
	if (search)
		elf_image_set_search(&image, search);
	elf_image_save(&image, in_dir("p.so"));
	elf_image_close(&image);
}

static void assert_vetted(int32_t code, const char *words)
{
	struct plugin_note note;
	sb_error err = ERROR_INIT;

	cr_assert_eq(plugin_vet(&spoilt.io, in_dir("p.so"), &note, &err), code, "not \"%s\", but %d: %s", words,
		     err.code, err.message);
	cr_assert(code == SB_OK || strstr(err.message, words), "\"%s\" is not in: %s", words, err.message);
}

/* --- what changes meanwhile --------------------------------------------------------- */

Test(plugin_vet, names_what_is_no_regular_file)
{
	static const struct {
		mode_t type;
		const char *words;
	} types[] = {{S_IFDIR, "is a directory, not a plugin"}, {S_IFIFO, "is a named pipe, not a plugin"},
		     {S_IFSOCK, "is a socket, not a plugin"},	{S_IFCHR, "is a device, not a plugin"},
		     {S_IFBLK, "is a device, not a plugin"},	{S_IFLNK, "is no regular file, not a plugin"}};

	make_plugin(NULL);
	spoilt.path = in_dir("p.so");
	for (size_t i = 0; i < LENGTH(types); i++) {
		spoilt.mode = types[i].type | 0600;
		assert_vetted(SB_ERR_INVALID, types[i].words);
	}
	spoilt.mode = 0;
	assert_vetted(SB_ERR_NOT_FOUND, "vanished while it was examined");
}

Test(plugin_vet, a_directory_that_is_exchanged_meanwhile_is_busy)
{
	make_plugin(NULL);
	assert_vetted(SB_OK, "");
	spoilt.path = dir;
	assert_vetted(SB_ERR_BUSY, "was exchanged while it was examined: try again");
	spoilt.mode = S_IFLNK | 0777;
	assert_vetted(SB_ERR_BUSY, "was exchanged while it was examined: try again");
}

/* What a copy into the same place changes, one at a time. */
Test(plugin_vet, a_file_is_the_same_by_place_size_and_time)
{
	struct vetted vetted = VETTED_INIT;
	sb_error err = ERROR_INIT;
	struct stat st;

	make_plugin(NULL);
	cr_assert_eq(vet_file(&spoilt.io, in_dir("p.so"), &vetted, &err), SB_OK, "%s", err.message);
	cr_assert_eq(vet_unchanged(&vetted, &err), SB_OK, "%s", err.message);
	st = vetted.st;
#define CHANGED(member)                                                                                                \
	do {                                                                                                           \
		vetted.st.member++;                                                                                    \
		cr_assert_eq(vet_unchanged(&vetted, &err), SB_ERR_BUSY, #member);                                      \
		vetted.st = st;                                                                                        \
	} while (0)
	CHANGED(st_dev);
	CHANGED(st_ino);
	CHANGED(st_size);
	CHANGED(st_mtim.tv_sec);
	CHANGED(st_mtim.tv_nsec);
	cr_assert_eq(unlink(in_dir("p.so")), 0);
	cr_assert_eq(vet_unchanged(&vetted, &err), SB_ERR_BUSY);
	vetted_done(&vetted);
}

Test(plugin_vet, a_user_may_load_plugins_of_their_own)
{
	if (geteuid() != 0)
		cr_skip_test("only root can become another user");
	make_plugin(NULL);
	cr_assert_eq(chown(in_dir("p.so"), 12345, 12345), 0);
	cr_assert_eq(chown(dir, 12345, 12345), 0);
	assert_vetted(SB_ERR_INVALID, "belongs to user 12345");
	cr_assert_eq(seteuid(12345), 0);
	assert_vetted(SB_OK, "");
	cr_assert_eq(seteuid(0), 0);
}

/* --- where its libraries are looked for ------------------------------------------------ */

Test(plugin_vet, libraries_may_lie_where_nobody_else_writes)
{
	static const char *const good[] = {
		"$ORIGIN",	     "${ORIGIN}", "$ORIGIN/own",       "${ORIGIN}/not/there", "$ORIGIN/../there",
		"$ORIGIN:/usr/lib:", "/",	  "/not/there/at/all", "$ORIGIN/p.so"};

	cr_assert_eq(mkdir(in_dir("own"), 0700), 0);
	for (size_t i = 0; i < LENGTH(good); i++) {
		make_plugin(good[i]);
		assert_vetted(SB_OK, good[i]);
	}
}

Test(plugin_vet, and_nowhere_else)
{
	static const struct {
		const char *search, *words;
	} bad[] = {
		{"lib", "depends on where sbhost is started"},
		{"/usr/lib::/usr/lib", "depends on where sbhost is started"},
		{"$ORIGINAL", "of which sbhost knows no more than a leading $ORIGIN"},
		{"/usr/$LIB", "of which sbhost knows no more than a leading $ORIGIN"},
		{"$ORIGIN/$PLATFORM", "of which sbhost knows no more than a leading $ORIGIN"},
		{"/usr/$ORIGIN", "of which sbhost knows no more than a leading $ORIGIN"},
		{"$ORIGIN/open", "which has its libraries looked for there (RUNPATH)"},
		{"/usr/lib:$ORIGIN/open", "which has its libraries looked for there (RUNPATH)"},
		{"$ORIGIN/open/not/there", "which has its libraries looked for there (RUNPATH)"},
		{"$ORIGIN/open/closed", "could exchange what is in it"},
	};

	cr_assert_eq(mkdir(in_dir("open"), 0700), 0);
	cr_assert_eq(mkdir(in_dir("open/closed"), 0700), 0);
	cr_assert_eq(chmod(in_dir("open"), 0777), 0);
	for (size_t i = 0; i < LENGTH(bad); i++) {
		make_plugin(bad[i].search);
		assert_vetted(SB_ERR_INVALID, bad[i].words);
	}
}

Test(plugin_vet, a_search_directory_that_vanishes_meanwhile_has_parents_still)
{
	make_plugin("$ORIGIN/own");
	cr_assert_eq(mkdir(in_dir("own"), 0700), 0);
	spoilt.path = in_dir("own");
	assert_vetted(SB_OK, "");
	cr_assert_eq(chmod(dir, 0777), 0);
	assert_vetted(SB_ERR_INVALID, "could exchange what is in it");
}

/* It was asked for its parents for ever once. */
Test(plugin_vet, a_root_directory_that_vanishes_is_busy)
{
	make_plugin("/usr/lib");
	spoilt.vanished = true;
	assert_vetted(SB_ERR_BUSY, "directory / vanished: try again");
}
