/* One rule tried on one plugin: see trial.h.
 *
 * The child takes its own end with it: it dies with its parent (PR_SET_PDEATHSIG), leaves no core file, and what the
 * plugin prints goes into a file in memory instead of the report. It leaves by _exit(), so that a
 * plugin's destructors, which nobody promised to run, decide nothing. */
#include "kit/trial.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "kit/rules.h"

#define SAID_BYTES_MAX 4000
#define CHILD_FAILED 1

/* --- verdicts, in the child --------------------------------------------------------- */

#define JUDGE(trial, verdict, format)                                                                                  \
	do {                                                                                                           \
		char sentence_[WITNESS_SENTENCE_BYTES];                                                                \
		va_list args_;                                                                                         \
		va_start(args_, format);                                                                               \
		vsnprintf(sentence_, sizeof(sentence_), format, args_);                                                \
		va_end(args_);                                                                                         \
		witness_judge((trial)->witness, verdict, "%s", sentence_);                                             \
		(trial)->end(trial);                                                                                   \
		abort();                                                                                               \
	} while (0)

_Noreturn void trial_fail(const struct trial *trial, const char *format, ...)
{
	JUDGE(trial, VERDICT_FAILED, format);
}

_Noreturn void trial_skip(const struct trial *trial, const char *format, ...)
{
	JUDGE(trial, VERDICT_SKIPPED, format);
}

_Noreturn void trial_warn(const struct trial *trial, const char *format, ...)
{
	JUDGE(trial, VERDICT_WARNED, format);
}

/* Another thread may be the one whose sentence counts, and be writing it still. */
static _Noreturn void end_child(const struct trial *trial)
{
	while (!atomic_load(&trial->witness->written))
		sched_yield();
	_exit(0);
}

/* --- the child -------------------------------------------------------------------- */

/* Of the address sanitizer, when this program is built with it: leaks are looked for here, since _exit() does not. */
extern int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

static _Noreturn void run_child(const struct trial *given, int said)
{
	const struct rlimit no_core = {0, 0};
	struct trial trial = *given;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setrlimit(RLIMIT_CORE, &no_core);
	if (dup2(said, STDOUT_FILENO) < 0 || dup2(said, STDERR_FILENO) < 0)
		_exit(CHILD_FAILED);
	trial.end = end_child;
	rule_run(&trial);
	if (__lsan_do_recoverable_leak_check && __lsan_do_recoverable_leak_check())
		trial_fail(&trial, "memory is lost: see what the leak sanitizer says");
	witness_judge(trial.witness, VERDICT_PASSED, "%s", "");
	end_child(&trial);
}

/* --- the parent ------------------------------------------------------------------- */

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* True when the child has ended by itself. */
static bool wait_until(pid_t child, int64_t deadline_ms)
{
	int fd = (int)syscall(SYS_pidfd_open, child, 0);
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
	int ready = 0;

	while (fd >= 0 && ready == 0) {
		int64_t left = deadline_ms - now_ms();

		if (left <= 0)
			break;
		ready = poll(&poll_fd, 1, left < INT32_MAX ? (int)left : INT32_MAX);
		if (ready < 0 && errno == EINTR)
			ready = 0;
	}
	if (fd >= 0)
		close(fd);
	return ready > 0;
}

static void tell_end(const struct trial *trial, int status, bool in_time, int64_t limit_ms, struct trial_result *result)
{
	struct buffer calls = BUFFER_INIT;
	const char *in;

	witness_append_calls(trial->witness, &calls);
	in = buffer_text(&calls);
	result->verdict = VERDICT_FAILED;
	if (!in_time)
		snprintf(result->sentence, sizeof(result->sentence), "did not return from %s within %lld ms",
			 in ? in : "?", (long long)limit_ms);
	else if (WIFSIGNALED(status))
		snprintf(result->sentence, sizeof(result->sentence), "crashed in %s: SIG%s", in ? in : "?",
			 sigabbrev_np(WTERMSIG(status)) ? sigabbrev_np(WTERMSIG(status)) : "?");
	else
		snprintf(result->sentence, sizeof(result->sentence), "ended the process in %s, with status %d",
			 in ? in : "?", WEXITSTATUS(status));
	buffer_done(&calls);
}

static void take_said(int said, struct buffer *out)
{
	off_t end = lseek(said, 0, SEEK_END);
	off_t from = end > SAID_BYTES_MAX ? end - SAID_BYTES_MAX : 0;
	uint8_t *room = end > from ? buffer_reserve(out, (size_t)(end - from)) : NULL;
	ssize_t len = room ? pread(said, room, (size_t)(end - from), from) : 0;

	if (len > 0)
		out->len += (size_t)len;
}

static void judge(const struct trial *trial, int status, bool in_time, int64_t limit_ms, struct trial_result *result)
{
	const enum verdict verdict = (enum verdict)atomic_load(&trial->witness->verdict);

	if (verdict == VERDICT_NONE || !in_time || WIFSIGNALED(status) || WEXITSTATUS(status) != 0) {
		tell_end(trial, status, in_time, limit_ms, result);
		return;
	}
	result->verdict = verdict;
	memcpy(result->sentence, trial->witness->sentence, sizeof(result->sentence));
}

int32_t trial_run(const struct trial *trial, int64_t limit_ms, struct trial_result *ret_result, sb_error *err)
{
	const int64_t started_ms = now_ms();
	int said = memfd_create("said", MFD_CLOEXEC);
	bool in_time;
	int status;
	pid_t child;

	if (said < 0)
		return error_set_errno(err, errno, "cannot make a file in memory for what a plugin prints");
	if (io_mkdir_p(trial->io, trial->dir, err) != SB_OK) {
		close(said);
		return err->code;
	}
	memset(ret_result, 0, sizeof(*ret_result));
	witness_clear(trial->witness);
	child = fork();
	if (child < 0) {
		close(said);
		return error_set_errno(err, errno, "cannot start a process to check the plugin in");
	}
	if (child == 0)
		run_child(trial, said);
	in_time = wait_until(child, started_ms + limit_ms);
	if (!in_time)
		kill(child, SIGKILL);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	judge(trial, status, in_time, limit_ms, ret_result);
	take_said(said, &ret_result->said);
	close(said);
	ret_result->duration_ms = now_ms() - started_ms;
	if (io_remove_tree(trial->io, trial->dir, err) == SB_OK)
		return SB_OK;
	trial_result_done(ret_result);
	return err->code;
}

void trial_result_done(struct trial_result *result)
{
	buffer_done(&result->said);
}
