/* Who may put code into sbhost: root and the user who runs it, nobody else.
 *
 * A plugin runs with all the rights of the host from the moment dlopen calls its
 * constructors, so the rules are those of sshd for its key files: the file and every directory
 * above it belong to root or to the user, and nobody else can write to them. A sticky
 * directory (/tmp) may be writable for all, since others can neither remove nor rename in it
 * what is ours.
 *
 * Between vetting and dlopen the file could be exchanged, by the rules above only by root or
 * the user themselves: an accident (a reinstallation), not an attack. So dlopen gets the
 * real path, and vet_unchanged() compares what the path names with the open file that was vetted,
 * before and after. dlopen("/proc/self/fd/N") would close the gap and open a worse one: the dynamic
 * linker knows libraries by that name, hands out the first one again when N is used a second
 * time, and looks for $ORIGIN in /proc/self/fd. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "plugin/plugin_private.h"

#define WRITABLE_BY_OTHERS (S_IWGRP | S_IWOTH)

static bool is_ours(const struct stat *st)
{
	return st->st_uid == 0 || st->st_uid == geteuid();
}

static int32_t refuse_owner(const char *path, const struct stat *st, sb_error *err)
{
	return error_set(
		err, SB_ERR_INVALID,
		"%s belongs to user %u, who could put any code into sbhost: only files and directories of root or of "
		"user %u are trusted; change its owner, or copy the plugin into a directory of your own",
		path, (unsigned)st->st_uid, (unsigned)geteuid());
}

static int32_t check_directory(const char *path, const struct stat *st, sb_error *err)
{
	if (!is_ours(st))
		return refuse_owner(path, st, err);
	if ((st->st_mode & WRITABLE_BY_OTHERS) && !(st->st_mode & S_ISVTX))
		return error_set(
			err, SB_ERR_INVALID,
			"directory %s can be written by others (mode %04o), who could exchange what is in it: run chmod "
			"go-w %s, or move the plugin",
			path, (unsigned)(st->st_mode & 07777), path);
	return SB_OK;
}

/* path is absolute and resolved: none of its directories is a link. */
static int32_t check_parents(struct io *io, const char *path, sb_error *err)
{
	AUTO(free_memory) char *parent = strdup(path);

	if (!parent)
		return error_no_memory(err);
	while (parent[1]) {
		char *slash = strrchr(parent, '/');
		struct stat st;
		bool exists;

		slash[slash == parent] = 0;
		TRY(io_lstat(io, parent, &st, &exists, err));
		if (!exists || !S_ISDIR(st.st_mode))
			return error_set(err, SB_ERR_BUSY,
					 "directory %s was exchanged while it was examined: try again", parent);
		if (check_directory(parent, &st, err) != SB_OK)
			return error_prefix(err, "plugin %s", path);
	}
	return SB_OK;
}

static const char *name_of_type(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFDIR:
		return "a directory";
	case S_IFIFO:
		return "a named pipe";
	case S_IFSOCK:
		return "a socket";
	case S_IFCHR:
	case S_IFBLK:
		return "a device";
	default:
		return "no regular file";
	}
}

static int32_t check_file(const char *path, const struct stat *st, sb_error *err)
{
	if (!S_ISREG(st->st_mode))
		return error_set(err, SB_ERR_INVALID, "%s is %s, not a plugin: name the shared object (*.so) itself",
				 path, name_of_type(st->st_mode));
	if (!is_ours(st))
		return refuse_owner(path, st, err);
	if (st->st_mode & WRITABLE_BY_OTHERS)
		return error_set(
			err, SB_ERR_INVALID,
			"%s can be written by others (mode %04o), who could put any code into sbhost: run chmod go-w %s",
			path, (unsigned)(st->st_mode & 07777), path);
	return SB_OK;
}

static int32_t resolve(struct io *io, const char *path, char **ret_path, sb_error *err)
{
	TRY(io_real_path(io, path, ret_path, err));
	if (!*ret_path)
		return error_set(
			err, SB_ERR_NOT_FOUND,
			"there is no plugin file %s: check the path, or see \"sbhost plugin list\" for what is installed",
			path);
	return SB_OK;
}

/* Looked at before it is opened, since opening a device can have effects; O_NONBLOCK, for a pipe that takes its place. */
static int32_t open_file(struct vetted *v, sb_error *err)
{
	bool exists;

	TRY(io_lstat(v->io, v->path, &v->st, &exists, err));
	if (!exists)
		return error_set(err, SB_ERR_NOT_FOUND, "plugin file %s vanished while it was examined", v->path);
	TRY(check_file(v->path, &v->st, err));
	TRY(io_open(v->io, v->path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY, 0, &v->fd, err));
	TRY(io_stat_fd(v->io, v->fd, &v->st, v->path, err));
	return check_file(v->path, &v->st, err);
}

/* What exists of a directory's path: whoever may write there could make the rest. */
static int32_t nearest(struct io *io, char *dir, char **ret_real, sb_error *err)
{
	for (;;) {
		char *slash = strrchr(dir, '/');

		TRY(io_real_path(io, dir, ret_real, err));
		if (*ret_real)
			return SB_OK;
		if (!dir[1])
			return error_set(err, SB_ERR_BUSY, "directory / vanished: try again");
		slash[slash == dir] = 0;
	}
}

/* One directory that the dynamic linker will look into before the system's. */
static int32_t check_search_dir(struct vetted *v, const char *dir, size_t len, sb_error *err)
{
	static const char *const origins[] = {"$ORIGIN", "${ORIGIN}"};
	AUTO(free_memory) char *path = NULL;
	AUTO(free_memory) char *real = NULL;
	struct stat st;
	bool exists;
	size_t skip = 0;

	for (size_t i = 0; i < 2; i++) {
		const size_t origin_len = strlen(origins[i]);

		/* $ORIGINAL is another name, for the dynamic linker as well. */
		if (len >= origin_len && memcmp(dir, origins[i], origin_len) == 0 &&
		    (len == origin_len || dir[origin_len] == '/'))
			skip = origin_len;
	}
	/* $LIB and $PLATFORM mean something else on each machine, and a name with a dollar is none that we could look at. */
	if (memchr(dir + skip, '$', len - skip))
		return error_set(
			err, SB_ERR_INVALID,
			"%s has its libraries looked for in \"%.*s\" (RUNPATH), of which sbhost knows no more than "
			"a leading $ORIGIN: link it with a plain path",
			v->path, (int)len, dir);
	if (asprintf(&path, "%.*s%.*s", skip ? (int)(strrchr(v->path, '/') - v->path) : 0, v->path, (int)(len - skip),
		     dir + skip) < 0) {
		path = NULL;
		return error_no_memory(err);
	}
	if (path[0] != '/')
		return error_set(
			err, SB_ERR_INVALID,
			"%s has its libraries looked for in \"%s\" (RUNPATH), which depends on where sbhost is "
			"started: link it with an absolute path, or one below $ORIGIN",
			v->path, path);
	TRY(nearest(v->io, path, &real, err));
	TRY(io_lstat(v->io, real, &st, &exists, err));
	if (exists && S_ISDIR(st.st_mode) && check_directory(real, &st, err) != SB_OK)
		return error_prefix(err, "plugin %s, which has its libraries looked for there (RUNPATH)", v->path);
	return check_parents(v->io, real, err);
}

/* Its libraries' code runs with the same rights. */
static int32_t check_search(struct vetted *v, const char *search, sb_error *err)
{
	while (*search) {
		const size_t len = strcspn(search, ":");

		TRY(check_search_dir(v, search, len, err));
		search += len + (search[len] == ':');
	}
	return SB_OK;
}

int32_t vet_file(struct io *io, const char *path, struct vetted *ret_vetted, sb_error *err)
{
	AUTO(vetted_done) struct vetted v = VETTED_INIT;
	char search[ELF_SEARCH_BYTES];

	v.io = io;
	TRY(resolve(io, path, &v.path, err));
	TRY(open_file(&v, err));
	TRY(check_parents(io, v.path, err));
	TRY(elf_inspect(io, v.fd, (uint64_t)v.st.st_size, v.path, &v.note, search, err));
	TRY(check_search(&v, search, err));
	*ret_vetted = v;
	v = (struct vetted)VETTED_INIT;
	return SB_OK;
}

static bool same_content(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

int32_t vet_unchanged(const struct vetted *vetted, sb_error *err)
{
	struct stat st;
	bool exists;

	TRY(io_lstat(vetted->io, vetted->path, &st, &exists, err));
	if (!exists || !same_content(&st, &vetted->st))
		return error_set(err, SB_ERR_BUSY, "plugin %s was exchanged while it was being loaded: start again",
				 vetted->path);
	return SB_OK;
}

void vetted_done(struct vetted *vetted)
{
	if (vetted->io)
		io_close(vetted->io, vetted->fd);
	free(vetted->path);
	*vetted = (struct vetted)VETTED_INIT;
}

int32_t plugin_examine_linkage(struct io *io, const char *path, struct plugin_linkage *ret_linkage, sb_error *err)
{
	AUTO(vetted_done) struct vetted v = VETTED_INIT;

	TRY(vet_file(io, path, &v, err));
	return elf_examine_linkage(io, v.fd, (uint64_t)v.st.st_size, v.path, ret_linkage, err);
}

int32_t plugin_vet(struct io *io, const char *path, struct plugin_note *ret_note, sb_error *err)
{
	AUTO(vetted_done) struct vetted v = VETTED_INIT;

	TRY(vet_file(io, path, &v, err));
	*ret_note = v.note;
	return SB_OK;
}
