/* The process that a plugin runs in: see process.h. */
#include "kit/process.h"

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"

#define ROUNDS_BEFORE 3 /* caches fill, tables grow */
/* malloc counts what its threads have cached as in use, so even what leaks nothing grows for a while. */
#define ROUNDS 40
/* A thread that is gone for its joiner may be there for the kernel a moment longer; so many looks it gets. */
#define LOOKS_MAX 2000

static uint64_t count_names(const struct trial *trial, const char *path)
{
	struct buffer names = BUFFER_INIT;
	sb_error err = ERROR_INIT;
	uint64_t count = 0;

	if (io_list(trial->io, path, &names, &count, &err) != SB_OK)
		trial_fail(trial, "%s", err.message);
	buffer_done(&names);
	return count;
}

static uint64_t mapped_bytes(const struct trial *trial)
{
	char text[128] = "";
	sb_error err = ERROR_INIT;
	size_t len = 0;
	int fd;

	if (io_open(trial->io, "/proc/self/statm", O_RDONLY, 0, &fd, &err) != SB_OK ||
	    io_read(trial->io, fd, text, sizeof(text) - 1, &len, "/proc/self/statm", &err) != SB_OK)
		trial_fail(trial, "%s", err.message);
	io_close(trial->io, fd);
	return strtoull(text, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t printed_bytes(const struct trial *trial)
{
	sb_error err = ERROR_INIT;
	struct stat st;

	fflush(NULL);
	if (io_stat_fd(trial->io, STDOUT_FILENO, &st, "standard output", &err) != SB_OK)
		trial_fail(trial, "%s", err.message);
	return (uint64_t)st.st_size;
}

static void look_at_settings(struct process_state *state)
{
	if (!getcwd(state->directory, sizeof(state->directory)))
		state->directory[0] = 0;
	snprintf(state->locale, sizeof(state->locale), "%s", setlocale(LC_ALL, NULL));
	state->umask = umask(0);
	umask(state->umask);
	for (int i = 1; i < _NSIG; i++)
		if (sigaction(i, NULL, &state->signals[i]) != 0)
			memset(&state->signals[i], 0, sizeof(state->signals[i]));
}

void process_look(const struct trial *trial, struct process_state *ret_state)
{
	const struct mallinfo2 heap = mallinfo2();

	memset(ret_state, 0, sizeof(*ret_state));
	ret_state->heap_bytes = heap.uordblks + heap.hblkhd;
	ret_state->printed_bytes = printed_bytes(trial);
	look_at_settings(ret_state);
	ret_state->threads = count_names(trial, "/proc/self/task");
	ret_state->descriptors = count_names(trial, "/proc/self/fd");
	ret_state->mapped_bytes = mapped_bytes(trial);
}

void process_must_be_alike(const struct trial *trial, const struct process_state *before)
{
	struct process_state now;

	process_look(trial, &now);
	if (strcmp(before->directory, now.directory) != 0)
		trial_fail(trial, "the working directory is %s now", now.directory);
	if (strcmp(before->locale, now.locale) != 0)
		trial_fail(trial, "the locale is %s now", now.locale);
	if (before->umask != now.umask)
		trial_fail(trial, "the umask is %04o now", (unsigned)now.umask);
	for (int i = 1; i < _NSIG; i++)
		if (before->signals[i].sa_handler != now.signals[i].sa_handler ||
		    before->signals[i].sa_flags != now.signals[i].sa_flags)
			trial_fail(trial, "SIG%s is handled in another way now",
				   sigabbrev_np(i) ? sigabbrev_np(i) : "?");
	if (waitpid(-1, NULL, WNOHANG) >= 0 || errno != ECHILD)
		trial_fail(trial, "it started a process");
}

/* --- growth --------------------------------------------------------------------- */

static uint64_t measure(const struct trial *trial, enum process_leak leak)
{
	struct process_state state;

	process_look(trial, &state);
	if (leak == LEAK_DESCRIPTORS)
		return state.descriptors;
	return leak == LEAK_THREADS ? state.threads : state.heap_bytes + state.mapped_bytes;
}

static bool has_grown(const struct trial *trial, enum process_leak leak, uint64_t before, uint64_t *ret_now)
{
	*ret_now = measure(trial, leak);
	for (unsigned look = 0; leak == LEAK_THREADS && *ret_now > before && look < LOOKS_MAX; look++)
		*ret_now = measure(trial, leak);
	return *ret_now > before;
}

/* Of the sanitizers, when this program is built with one: their heap is another one, and the leak sanitizer looks into it itself. */
extern void __asan_init(void) __attribute__((weak));
extern void __tsan_init(void) __attribute__((weak));

bool process_is_instrumented(void)
{
	return __asan_init || __tsan_init;
}

void process_must_not_grow(const struct trial *trial, enum process_leak leak, const char *what,
			   void (*round)(void *arg), void *arg)
{
	static const char *const names[] = {"bytes of memory", "descriptors", "threads"};
	uint64_t before, now, first;

	for (unsigned i = 0; i < ROUNDS_BEFORE; i++)
		round(arg);
	if (leak == LEAK_MEMORY && process_is_instrumented())
		return;
	first = before = measure(trial, leak);
	for (unsigned i = 0; i < ROUNDS; i++) {
		round(arg);
		if (!has_grown(trial, leak, before, &now))
			return;
		before = now;
	}
	trial_fail(trial, "%s takes %llu %s each time and never gives them back", what,
		   (unsigned long long)(now - first) / ROUNDS, names[leak]);
}
