/* Loaded in front of sbhost (LD_PRELOAD) by scripts/crashloop and scripts/powerloss: ends the process at one system call, or leaves calls out.
 *
 * STRIKE holds rules, separated by semicolons: ACTION:CALL:N:PATTERN. The Nth CALL (write stands for pwrite, fsync for fdatasync) on a path that
 * matches the shell pattern, in which * stands for slashes as well, is
 *
 *     before  the last thing that does not happen     after  the last thing that happens
 *     half    done to half its bytes (a write)         skip   answered with success, and not made (N 0: every one)
 *
 * So a process dies at a point that no timing would hit again, and the program that is tested is the one that users have: it holds no code for
 * this. What was struck is told on standard error. Reads need no rules, for nothing is different after them. */
#include <dlfcn.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RULES_MAX 8

struct rule {
	char action[8], call[12], pattern[200];
	unsigned long nth;
	atomic_ulong seen;
};

static struct {
	struct rule rules[RULES_MAX];
	size_t count;
} strike;

#define NEXT(name) ((__typeof__(&(name)))dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void read_rules(void)
{
	const char *text = getenv("STRIKE");

	for (; text && *text; text = strchr(text, ';') ? strchr(text, ';') + 1 : NULL) {
		struct rule *rule = &strike.rules[strike.count];

		if (strike.count == RULES_MAX || sscanf(text, "%7[^:]:%11[^:]:%lu:%199[^;]", rule->action, rule->call,
							&rule->nth, rule->pattern) != 4) {
			dprintf(STDERR_FILENO, "strike: not a rule: %s\n", text);
			_exit(99);
		}
		strike.count++;
	}
}

/* The process's end is not a call of our own: nothing is flushed, no handler runs. */
static _Noreturn void end_here(const struct rule *rule, const char *path)
{
	dprintf(STDERR_FILENO, "STRUCK  %s %s %s\n", rule->action, rule->call, path);
	kill(getpid(), SIGKILL);
	for (;;)
		pause();
}

/* The rule whose turn it is at this call, or NULL; "before" has then ended the process. */
static const struct rule *rule_for(const char *call, const char *path, const char *other)
{
	for (size_t i = 0; i < strike.count; i++) {
		struct rule *rule = &strike.rules[i];

		if (strcmp(rule->call, call) != 0 ||
		    (fnmatch(rule->pattern, path, 0) != 0 && (!other || fnmatch(rule->pattern, other, 0) != 0)))
			continue;
		if (atomic_fetch_add(&rule->seen, 1) + 1 != rule->nth && rule->nth != 0)
			continue;
		if (strcmp(rule->action, "before") == 0)
			end_here(rule, path);
		return rule;
	}
	return NULL;
}

static bool is_watched(const char *call)
{
	for (size_t i = 0; i < strike.count; i++)
		if (strcmp(strike.rules[i].call, call) == 0)
			return true;
	return false;
}

/* Of an open file, by its descriptor; ret_path is "" when it has none. */
static const struct rule *rule_for_fd(const char *call, int fd, char ret_path[PATH_MAX])
{
	char link_name[32];
	ssize_t len;

	ret_path[0] = 0;
	if (!is_watched(call))
		return NULL;
	snprintf(link_name, sizeof(link_name), "/proc/self/fd/%d", fd);
	len = readlink(link_name, ret_path, PATH_MAX - 1);
	ret_path[len > 0 ? len : 0] = 0;
	return rule_for(call, ret_path, NULL);
}

static bool is_skipped(const struct rule *rule)
{
	return rule && strcmp(rule->action, "skip") == 0;
}

/* What the rule says about a call that was made. */
static void after(const struct rule *rule, const char *path)
{
	if (rule && strcmp(rule->action, "skip") != 0)
		end_here(rule, path);
}

#define PATH_CALL(name, skipped, call)                                                                                 \
	do {                                                                                                           \
		const struct rule *rule = rule_for(name, path, NULL);                                                  \
		__typeof__(call) result;                                                                               \
                                                                                                                       \
		if (is_skipped(rule))                                                                                  \
			return skipped;                                                                                \
		result = call;                                                                                         \
		after(rule, path);                                                                                     \
		return result;                                                                                         \
	} while (0)

#define FD_CALL(name, call)                                                                                            \
	do {                                                                                                           \
		char path[PATH_MAX];                                                                                   \
		const struct rule *rule = rule_for_fd(name, fd, path);                                                 \
		__typeof__(call) result;                                                                               \
                                                                                                                       \
		if (is_skipped(rule))                                                                                  \
			return 0;                                                                                      \
		result = call;                                                                                         \
		after(rule, path);                                                                                     \
		return result;                                                                                         \
	} while (0)

#define PAIR_CALL(name, call)                                                                                          \
	do {                                                                                                           \
		const struct rule *rule = rule_for(name, from, to);                                                    \
		__typeof__(call) result;                                                                               \
                                                                                                                       \
		if (is_skipped(rule))                                                                                  \
			return 0;                                                                                      \
		result = call;                                                                                         \
		after(rule, from);                                                                                     \
		return result;                                                                                         \
	} while (0)

#define WRITE_CALL(call_with_len)                                                                                      \
	do {                                                                                                           \
		char path[PATH_MAX];                                                                                   \
		const struct rule *rule = rule_for_fd("write", fd, path);                                              \
		const size_t whole = len;                                                                              \
		ssize_t result;                                                                                        \
                                                                                                                       \
		if (is_skipped(rule))                                                                                  \
			return (ssize_t)whole;                                                                         \
		if (rule && strcmp(rule->action, "half") == 0)                                                         \
			len = whole / 2;                                                                               \
		result = call_with_len;                                                                                \
		after(rule, path);                                                                                     \
		return result;                                                                                         \
	} while (0)

/* mode is there only when a file may be made; without it what is read is not used either. */
#define OPEN_MODE()                                                                                                    \
	mode_t mode = 0;                                                                                               \
	if (flags & (O_CREAT | O_TMPFILE)) {                                                                           \
		va_list arguments;                                                                                     \
		va_start(arguments, flags);                                                                            \
		mode = va_arg(arguments, mode_t);                                                                      \
		va_end(arguments);                                                                                     \
	}

/* The C library's headers name some arguments otherwise. */
/* NOLINTBEGIN(readability-inconsistent-declaration-parameter-name) */
int open(const char *path, int flags, ...)
{
	OPEN_MODE();
	PATH_CALL("open", -1, NEXT(open)(path, flags, mode));
}

int open64(const char *path, int flags, ...)
{
	OPEN_MODE();
	PATH_CALL("open", -1, NEXT(open64)(path, flags, mode));
}

ssize_t write(int fd, const void *bytes, size_t len)
{
	WRITE_CALL(NEXT(write)(fd, bytes, len));
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t offset)
{
	WRITE_CALL(NEXT(pwrite)(fd, bytes, len, offset));
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t offset)
{
	WRITE_CALL(NEXT(pwrite64)(fd, bytes, len, offset));
}

int fsync(int fd)
{
	FD_CALL("fsync", NEXT(fsync)(fd));
}

int fdatasync(int fd)
{
	FD_CALL("fsync", NEXT(fdatasync)(fd));
}

int ftruncate(int fd, off_t len)
{
	FD_CALL("ftruncate", NEXT(ftruncate)(fd, len));
}

int ftruncate64(int fd, off64_t len)
{
	FD_CALL("ftruncate", NEXT(ftruncate64)(fd, len));
}

int rename(const char *from, const char *to)
{
	PAIR_CALL("rename", NEXT(rename)(from, to));
}

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
	PAIR_CALL("rename", NEXT(renameat2)(from_dir, from, to_dir, to, flags));
}

int link(const char *from, const char *to)
{
	PAIR_CALL("link", NEXT(link)(from, to));
}

int unlink(const char *path)
{
	PATH_CALL("unlink", 0, NEXT(unlink)(path));
}

int rmdir(const char *path)
{
	PATH_CALL("rmdir", 0, NEXT(rmdir)(path));
}

int mkdir(const char *path, mode_t mode)
{
	PATH_CALL("mkdir", 0, NEXT(mkdir)(path, mode));
}
/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */
