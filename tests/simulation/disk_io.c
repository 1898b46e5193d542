/* See disk_io.h. */
#include "simulation/disk_io.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "simulation/bugs.h"
#include "simulation/disk.h"
#include "simulation/scheduler.h"
#include "simulation/trace.h"

enum verdict { PASS, FAIL, SHORT };

static struct {
	struct io system, io;
	struct disk_faults faults;
	uint64_t calls, failed;
} state;

uint64_t disk_io_calls(void)
{
	return state.calls;
}

uint64_t disk_io_failed(void)
{
	return state.failed;
}

static int fail(void)
{
	errno = state.faults.code;
	return -1;
}

/* Before each call on the disk. */
static enum verdict enter(const char *what, const char *path, int64_t a, int64_t b)
{
	const struct disk_faults *faults = &state.faults;

	if (!scheduler_is_running())
		return PASS;
	scheduler_point(what, path, a, b);
	state.calls++;
	if (state.calls == faults->crash_at && !faults->crash_behind)
		scheduler_crash();
	if (faults->first == 0 || state.calls < faults->first || state.calls >= faults->first + faults->count)
		return PASS;
	state.failed++;
	return faults->code == DISK_SHORT ? SHORT : FAIL;
}

static void leave(void)
{
	if (scheduler_is_running() && state.calls == state.faults.crash_at)
		scheduler_crash();
}

/* A call that is made, or fails; SHORT means nothing to it. */
#define CALL(what, path, a, b, expression)                                                                             \
	do {                                                                                                           \
		__typeof__(expression) result_;                                                                        \
		if (enter(what, path, a, b) == FAIL)                                                                   \
			return fail();                                                                                 \
		result_ = (expression);                                                                                \
		leave();                                                                                               \
		return result_;                                                                                        \
	} while (0)

#define SYSTEM(call, ...) state.system.ops->call(&state.system, __VA_ARGS__)

static bool ends_with(const char *path, const char *end)
{
	const size_t len = strlen(path), end_len = strlen(end);

	return len >= end_len && strcmp(path + len - end_len, end) == 0;
}

static int sim_open(struct io *io, const char *path, int flags, mode_t mode)
{
	(void)io;
	if (!disk_has_path(path))
		return SYSTEM(open, path, flags, mode);
	CALL("open", path, flags, 0, disk_open(path, flags));
}

static int sim_close(struct io *io, int fd)
{
	(void)io;
	if (!disk_path_of(fd))
		return SYSTEM(close, fd);
	CALL("close", disk_path_of(fd), 0, 0, disk_close(fd));
}

static size_t cut(enum verdict verdict, size_t len)
{
	return verdict == SHORT && len > 1 ? len / 2 : len;
}

static ssize_t sim_read(struct io *io, int fd, void *bytes, size_t len)
{
	enum verdict verdict;
	ssize_t n;

	(void)io;
	if (!disk_path_of(fd))
		return SYSTEM(read, fd, bytes, len);
	verdict = enter("read", disk_path_of(fd), (int64_t)len, 0);
	if (verdict == FAIL)
		return fail();
	n = disk_read(fd, bytes, cut(verdict, len));
	leave();
	return n;
}

static ssize_t sim_pread(struct io *io, int fd, void *bytes, size_t len, off_t offset)
{
	enum verdict verdict;
	ssize_t n;

	(void)io;
	if (!disk_path_of(fd))
		return SYSTEM(pread, fd, bytes, len, offset);
	verdict = enter("pread", disk_path_of(fd), (int64_t)len, offset);
	if (verdict == FAIL)
		return fail();
	n = disk_pread(fd, bytes, cut(verdict, len), offset);
	leave();
	return n;
}

static ssize_t sim_write(struct io *io, int fd, const void *bytes, size_t len)
{
	const char *path = disk_path_of(fd);
	enum verdict verdict;
	ssize_t n;

	(void)io;
	if (!path)
		return SYSTEM(write, fd, bytes, len);
	verdict = enter("write", path, (int64_t)len, trace_checksum(bytes, len));
	if (verdict == FAIL)
		return fail();
	if (bug_is_set(BUG_LOST_WRITE) && ends_with(path, "/out.ndjson") && rng_chance(scheduler_rng(), 5))
		return (ssize_t)len;
	n = disk_write(fd, bytes, cut(verdict, len));
	leave();
	return n;
}

static bool leaves_sync_out(const char *path)
{
	return (bug_is_set(BUG_NO_FILE_SYNC) && ends_with(path, ".json.tmp")) ||
	       (bug_is_set(BUG_NO_DIRECTORY_SYNC) && ends_with(path, "/checkpoints")) ||
	       (bug_is_set(BUG_NO_SHARED_SYNC) && strstr(path, "/shared/")) ||
	       (bug_is_set(BUG_NO_SHARED_DIRECTORY_SYNC) && ends_with(path, "/shared")) ||
	       (bug_is_set(BUG_NO_OUTPUT_SYNC) && ends_with(path, "/out.ndjson"));
}

static int sim_fsync(struct io *io, int fd)
{
	(void)io;
	if (!disk_path_of(fd))
		return SYSTEM(fsync, fd);
	if (enter("fsync", disk_path_of(fd), 0, 0) == FAIL) {
		disk_spoil(fd);
		return fail();
	}
	if (!leaves_sync_out(disk_path_of(fd)))
		disk_fsync(fd);
	leave();
	return 0;
}

/* Makes nothing durable that a cut would have to leave: it is a hint. */
static int sim_write_back(struct io *io, int fd, off_t offset, off_t len)
{
	(void)io;
	if (!disk_path_of(fd))
		return SYSTEM(write_back, fd, offset, len);
	CALL("write_back", disk_path_of(fd), offset, len, 0);
}

static int sim_ftruncate(struct io *io, int fd, off_t len)
{
	(void)io;
	if (!disk_path_of(fd))
		return SYSTEM(ftruncate, fd, len);
	if (bug_is_set(BUG_NO_TRUNCATE) && ends_with(disk_path_of(fd), "/out.ndjson"))
		return 0;
	CALL("ftruncate", disk_path_of(fd), len, 0, disk_truncate(fd, len));
}

static off_t sim_lseek(struct io *io, int fd, off_t offset, int whence)
{
	(void)io;
	if (!disk_path_of(fd))
		return SYSTEM(lseek, fd, offset, whence);
	if (bug_is_set(BUG_NO_TRUNCATE) && ends_with(disk_path_of(fd), "/out.ndjson")) {
		offset = 0;
		whence = SEEK_END;
	}
	CALL("lseek", disk_path_of(fd), offset, whence, disk_seek(fd, offset, whence));
}

static int sim_fstat(struct io *io, int fd, struct stat *ret)
{
	(void)io;
	if (!disk_path_of(fd))
		return SYSTEM(fstat, fd, ret);
	CALL("fstat", disk_path_of(fd), 0, 0, disk_fstat(fd, ret));
}

static int sim_lstat(struct io *io, const char *path, struct stat *ret)
{
	(void)io;
	if (!disk_has_path(path))
		return SYSTEM(lstat, path, ret);
	CALL("lstat", path, 0, 0, disk_stat(path, ret));
}

/* There are no links on this disk. */
static int sim_stat(struct io *io, const char *path, struct stat *ret)
{
	(void)io;
	if (!disk_has_path(path))
		return SYSTEM(stat, path, ret);
	CALL("stat", path, 0, 0, disk_stat(path, ret));
}

static char *sim_realpath(struct io *io, const char *path)
{
	struct stat st;

	(void)io;
	if (!disk_has_path(path))
		return SYSTEM(realpath, path);
	if (enter("realpath", path, 0, 0) == FAIL) {
		fail();
		return NULL;
	}
	return disk_stat(path, &st) == 0 ? strdup(path) : NULL;
}

static int sim_rename(struct io *io, const char *from, const char *to, bool replace)
{
	(void)io;
	if (!disk_has_path(from))
		return SYSTEM(rename, from, to, replace);
	if (bug_is_set(BUG_NO_RENAME) && ends_with(from, ".json.tmp"))
		return 0;
	CALL("rename", to, replace, 0, disk_rename(from, to, replace));
}

static int sim_link(struct io *io, const char *from, const char *to)
{
	(void)io;
	if (!disk_has_path(from))
		return SYSTEM(link, from, to);
	CALL("link", to, 0, 0, disk_link(from, to));
}

static int sim_unlink(struct io *io, const char *path)
{
	(void)io;
	if (!disk_has_path(path))
		return SYSTEM(unlink, path);
	CALL("unlink", path, 0, 0, disk_unlink(path));
}

static int sim_rmdir(struct io *io, const char *path)
{
	(void)io;
	if (!disk_has_path(path))
		return SYSTEM(rmdir, path);
	CALL("rmdir", path, 0, 0, disk_rmdir(path));
}

static int sim_mkdir(struct io *io, const char *path, mode_t mode)
{
	(void)io;
	if (!disk_has_path(path))
		return SYSTEM(mkdir, path, mode);
	CALL("mkdir", path, 0, 0, disk_mkdir(path));
}

static int sim_flock(struct io *io, int fd, int operation)
{
	(void)io;
	if (!disk_path_of(fd))
		return SYSTEM(flock, fd, operation);
	CALL("flock", disk_path_of(fd), 0, 0, disk_lock(fd));
}

static int sim_list(struct io *io, const char *path, struct buffer *names)
{
	(void)io;
	if (!disk_has_path(path))
		return SYSTEM(list, path, names);
	CALL("list", path, 0, 0, disk_list(path, names));
}

void disk_io_begin(const struct disk_faults *faults)
{
	state.faults = *faults;
	state.calls = state.failed = 0;
}

struct io *disk_io(void)
{
	static const struct io_ops ops = {
		.open = sim_open,
		.close = sim_close,
		.read = sim_read,
		.pread = sim_pread,
		.write = sim_write,
		.fsync = sim_fsync,
		.write_back = sim_write_back,
		.ftruncate = sim_ftruncate,
		.lseek = sim_lseek,
		.fstat = sim_fstat,
		.lstat = sim_lstat,
		.stat = sim_stat,
		.realpath = sim_realpath,
		.rename = sim_rename,
		.link = sim_link,
		.unlink = sim_unlink,
		.rmdir = sim_rmdir,
		.mkdir = sim_mkdir,
		.flock = sim_flock,
		.list = sim_list,
	};

	io_init_system(&state.system);
	state.io = (struct io){.ops = &ops};
	return &state.io;
}
