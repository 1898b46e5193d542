/* See failing_io.h. */
#include "failing_io.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum verdict { PASS_ON, CUT_SHORT, FAIL_BEFORE, FAIL_BEHIND };

static struct failing_io *self(struct io *io)
{
	return io->context;
}

static bool counts(const struct failing_io *failing, enum io_call call, bool inside)
{
	return (failing->mask & IO_ONLY(call)) && (!failing->only_under || inside);
}

/* Whether this call, which is counted here, is the one; with the mutex held. */
static bool is_hit(struct failing_io *failing, enum io_call call, bool inside)
{
	failing->count[call]++;
	if (!counts(failing, call, inside))
		return false;
	failing->calls++;
	if (failing->fail_at == 0 || failing->calls < failing->fail_at ||
	    (failing->calls > failing->fail_at && !failing->sticky))
		return false;
	if (!failing->hit) {
		failing->hit_call = call;
		failing->hit_inside = inside;
	}
	failing->hit = true;
	return true;
}

static enum verdict judge(struct io *io, enum io_call call, bool inside)
{
	struct failing_io *failing = self(io);
	bool hit;

	pthread_mutex_lock(&failing->mutex);
	hit = is_hit(failing, call, inside);
	pthread_mutex_unlock(&failing->mutex);
	if (!hit)
		return PASS_ON;
	if (failing->failure == FAIL_KILL && failing->before_kill)
		failing->before_kill();
	if (failing->failure == FAIL_KILL)
		_exit(FAILING_IO_KILL_STATUS);
	if (failing->failure == FAIL_SHORT)
		return CUT_SHORT;
	return failing->failure & FAIL_AFTER ? FAIL_BEHIND : FAIL_BEFORE;
}

static bool path_inside(struct io *io, const char *path)
{
	const char *under = self(io)->under;
	size_t len = under ? strlen(under) : 0;

	return under && strncmp(path, under, len) == 0 && (path[len] == 0 || path[len] == '/');
}

static bool fd_inside(struct io *io, int fd)
{
	struct failing_io *failing = self(io);
	bool inside;

	pthread_mutex_lock(&failing->mutex);
	inside = fd >= 0 && fd < FAILING_IO_FDS && failing->inside[fd];
	pthread_mutex_unlock(&failing->mutex);
	return inside;
}

static void note_fd(struct io *io, int fd, bool inside)
{
	struct failing_io *failing = self(io);

	pthread_mutex_lock(&failing->mutex);
	if (fd >= 0 && fd < FAILING_IO_FDS)
		failing->inside[fd] = inside;
	pthread_mutex_unlock(&failing->mutex);
}

static int fail(struct io *io)
{
	errno = self(io)->failure & ~FAIL_AFTER;
	return -1;
}

/* The call, unless it is to fail; its result, unless that is to look like a failure. */
#define RUN(io, call, inside, expression)                                                                              \
	do {                                                                                                           \
		enum verdict verdict_ = judge(io, call, inside);                                                       \
		if (verdict_ == FAIL_BEFORE)                                                                           \
			return fail(io);                                                                               \
		__typeof__(expression) result_ = (expression);                                                         \
		return verdict_ == FAIL_BEHIND ? fail(io) : result_;                                                   \
	} while (0)

#define SYSTEM(io) (&self(io)->system)

static int failing_open(struct io *io, const char *path, int flags, mode_t mode)
{
	const bool inside = path_inside(io, path);
	enum verdict verdict = judge(io, IO_CALL_OPEN, inside);
	int fd;

	if (verdict == FAIL_BEFORE)
		return fail(io);
	fd = SYSTEM(io)->ops->open(SYSTEM(io), path, flags, mode);
	if (verdict == FAIL_BEHIND && fd >= 0) {
		SYSTEM(io)->ops->close(SYSTEM(io), fd);
		return fail(io);
	}
	note_fd(io, fd, inside);
	return fd;
}

/* close(2) always closes, whatever it reports. */
static int failing_close(struct io *io, int fd)
{
	enum verdict verdict = judge(io, IO_CALL_CLOSE, fd_inside(io, fd));
	int result = SYSTEM(io)->ops->close(SYSTEM(io), fd);

	return verdict == PASS_ON || verdict == CUT_SHORT ? result : fail(io);
}

static size_t cut(enum verdict verdict, size_t len)
{
	return verdict == CUT_SHORT && len > 1 ? len / 2 : len;
}

static ssize_t failing_read(struct io *io, int fd, void *bytes, size_t len)
{
	enum verdict verdict = judge(io, IO_CALL_READ, fd_inside(io, fd));

	if (verdict == FAIL_BEFORE || verdict == FAIL_BEHIND)
		return fail(io);
	return SYSTEM(io)->ops->read(SYSTEM(io), fd, bytes, cut(verdict, len));
}

static ssize_t failing_pread(struct io *io, int fd, void *bytes, size_t len, off_t offset)
{
	enum verdict verdict = judge(io, IO_CALL_PREAD, fd_inside(io, fd));

	if (verdict == FAIL_BEFORE || verdict == FAIL_BEHIND)
		return fail(io);
	return SYSTEM(io)->ops->pread(SYSTEM(io), fd, bytes, cut(verdict, len), offset);
}

static ssize_t failing_write(struct io *io, int fd, const void *bytes, size_t len)
{
	enum verdict verdict = judge(io, IO_CALL_WRITE, fd_inside(io, fd));

	if (verdict == FAIL_BEFORE)
		return fail(io);
	if (verdict == FAIL_BEHIND) { /* half of it got there */
		(void)SYSTEM(io)->ops->write(SYSTEM(io), fd, bytes, len / 2);
		return fail(io);
	}
	return SYSTEM(io)->ops->write(SYSTEM(io), fd, bytes, cut(verdict, len));
}

static int failing_fsync(struct io *io, int fd)
{
	RUN(io, IO_CALL_FSYNC, fd_inside(io, fd), SYSTEM(io)->ops->fsync(SYSTEM(io), fd));
}

static int failing_write_back(struct io *io, int fd, off_t offset, off_t len)
{
	RUN(io, IO_CALL_WRITE_BACK, fd_inside(io, fd), SYSTEM(io)->ops->write_back(SYSTEM(io), fd, offset, len));
}

static int failing_ftruncate(struct io *io, int fd, off_t len)
{
	RUN(io, IO_CALL_FTRUNCATE, fd_inside(io, fd), SYSTEM(io)->ops->ftruncate(SYSTEM(io), fd, len));
}

static off_t failing_lseek(struct io *io, int fd, off_t offset, int whence)
{
	RUN(io, IO_CALL_LSEEK, fd_inside(io, fd), SYSTEM(io)->ops->lseek(SYSTEM(io), fd, offset, whence));
}

static int failing_fstat(struct io *io, int fd, struct stat *ret)
{
	RUN(io, IO_CALL_FSTAT, fd_inside(io, fd), SYSTEM(io)->ops->fstat(SYSTEM(io), fd, ret));
}

static int failing_lstat(struct io *io, const char *path, struct stat *ret)
{
	RUN(io, IO_CALL_LSTAT, path_inside(io, path), SYSTEM(io)->ops->lstat(SYSTEM(io), path, ret));
}

static int failing_stat(struct io *io, const char *path, struct stat *ret)
{
	RUN(io, IO_CALL_STAT, path_inside(io, path), SYSTEM(io)->ops->stat(SYSTEM(io), path, ret));
}

static char *failing_realpath(struct io *io, const char *path)
{
	enum verdict verdict = judge(io, IO_CALL_REALPATH, path_inside(io, path));

	if (verdict == FAIL_BEFORE || verdict == FAIL_BEHIND) {
		fail(io);
		return NULL;
	}
	return SYSTEM(io)->ops->realpath(SYSTEM(io), path);
}

static int failing_rename(struct io *io, const char *from, const char *to, bool replace)
{
	RUN(io, IO_CALL_RENAME, path_inside(io, from) || path_inside(io, to),
	    SYSTEM(io)->ops->rename(SYSTEM(io), from, to, replace));
}

static int failing_link(struct io *io, const char *from, const char *to)
{
	RUN(io, IO_CALL_LINK, path_inside(io, from) || path_inside(io, to),
	    SYSTEM(io)->ops->link(SYSTEM(io), from, to));
}

static int failing_unlink(struct io *io, const char *path)
{
	RUN(io, IO_CALL_UNLINK, path_inside(io, path), SYSTEM(io)->ops->unlink(SYSTEM(io), path));
}

static int failing_rmdir(struct io *io, const char *path)
{
	RUN(io, IO_CALL_RMDIR, path_inside(io, path), SYSTEM(io)->ops->rmdir(SYSTEM(io), path));
}

static int failing_mkdir(struct io *io, const char *path, mode_t mode)
{
	RUN(io, IO_CALL_MKDIR, path_inside(io, path), SYSTEM(io)->ops->mkdir(SYSTEM(io), path, mode));
}

static int failing_flock(struct io *io, int fd, int operation)
{
	RUN(io, IO_CALL_FLOCK, fd_inside(io, fd), SYSTEM(io)->ops->flock(SYSTEM(io), fd, operation));
}

static int failing_list(struct io *io, const char *path, struct buffer *names)
{
	RUN(io, IO_CALL_LIST, path_inside(io, path), SYSTEM(io)->ops->list(SYSTEM(io), path, names));
}

void failing_io_init(struct failing_io *failing)
{
	static const struct io_ops ops = {
		.open = failing_open,
		.close = failing_close,
		.read = failing_read,
		.pread = failing_pread,
		.write = failing_write,
		.fsync = failing_fsync,
		.write_back = failing_write_back,
		.ftruncate = failing_ftruncate,
		.lseek = failing_lseek,
		.fstat = failing_fstat,
		.lstat = failing_lstat,
		.stat = failing_stat,
		.realpath = failing_realpath,
		.rename = failing_rename,
		.link = failing_link,
		.unlink = failing_unlink,
		.rmdir = failing_rmdir,
		.mkdir = failing_mkdir,
		.flock = failing_flock,
		.list = failing_list,
	};

	memset(failing, 0, sizeof(*failing));
	pthread_mutex_init(&failing->mutex, NULL);
	io_init_system(&failing->system);
	failing->io = (struct io){.ops = &ops, .context = failing};
	failing->mask = IO_ANY_CALL;
}

void failing_io_arm(struct failing_io *failing, uint64_t nth, int failure)
{
	failing->mask = IO_ANY_CALL;
	failing->calls = 0;
	failing->fail_at = nth;
	failing->failure = failure;
	failing->sticky = false;
	failing->hit = false;
	memset(failing->count, 0, sizeof(failing->count));
}

void failing_io_disarm(struct failing_io *failing)
{
	failing_io_arm(failing, 0, 0);
}

const char *failing_io_call_name(enum io_call call)
{
	static const char *const names[IO_CALL_COUNT] = {
		"open",	 "close", "read",     "pread",	"write", "fsync",  "write_back", "ftruncate", "lseek", "fstat",
		"lstat", "stat",  "realpath", "rename", "link",	 "unlink", "rmdir",	 "mkdir",     "flock", "list"};

	return names[call];
}
