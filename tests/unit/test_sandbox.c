/* The sandbox of --sandbox, each time in a process of its own, since there is no way back. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "host/sandbox.h"

static char dir[] = "/tmp/sbhost-sandbox-XXXXXX";
static char state[64], checkpoints[64], inputs[64], outside[64], output[64];
static struct log silent = {.fd = -1};

static void set_up(void)
{
	cr_assert_not_null(mkdtemp(dir));
	snprintf(state, sizeof(state), "%s/state", dir);
	snprintf(checkpoints, sizeof(checkpoints), "%s/checkpoints", dir);
	snprintf(inputs, sizeof(inputs), "%s/inputs", dir);
	snprintf(outside, sizeof(outside), "%s/outside", dir);
	snprintf(output, sizeof(output), "%s/out", dir);
	for (const char *const *at = (const char *const[]){state, checkpoints, inputs, outside, NULL}; *at; at++)
		cr_assert_eq(mkdir(*at, 0700), 0);
}

static void tear_down(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", dir);
	cr_assert_eq(system(command), 0);
}

TestSuite(sandbox, .init = set_up, .fini = tear_down);

static bool can_make(const char *folder, const char *name)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static bool can_write(const char *path)
{
	int fd = open(path, O_WRONLY | O_TRUNC);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static bool can_read(const char *path)
{
	int fd = open(path, O_RDONLY);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static bool can_link(void)
{
	char from[128], to[128];

	snprintf(from, sizeof(from), "%s/table", state);
	snprintf(to, sizeof(to), "%s/table", checkpoints);
	return can_make(state, "table") && link(from, to) == 0 && rename(from, to) == 0 && unlink(to) == 0;
}

static bool has_socket(int family)
{
	int fd = socket(family, SOCK_STREAM, 0);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static void *nothing(void *argument)
{
	return argument;
}

static bool can_start_a_thread(void)
{
	pthread_t thread;

	return pthread_create(&thread, NULL, nothing, NULL) == 0 && pthread_join(thread, NULL) == 0;
}

/* A bit for each thing that is not as it should be. */
static int look_around(enum sandbox_mode mode)
{
	char name[] = "true";
	char *const arguments[] = {name, NULL};
	int wrong = 0;

	wrong |= !can_make(state, "file") << 0;
	wrong |= !can_link() << 1;
	wrong |= !can_write(output) << 2;
	wrong |= can_make(dir, "other") << 13;
	wrong |= can_make(outside, "file") << 3;
	wrong |= can_make(inputs, "file") << 4;
	wrong |= !can_read("/etc/passwd") << 5;
	wrong |= can_read("/root/.profile") << 6;
	wrong |= (has_socket(AF_INET) != (mode == SANDBOX_NET)) << 7;
	wrong |= (has_socket(AF_UNIX) != (mode == SANDBOX_NET)) << 8;
	wrong |= !can_start_a_thread() << 9;
	wrong |= (execv("/bin/true", arguments) == 0 || errno != EPERM) << 10;
	wrong |= (fork() >= 0) << 11;
	wrong |= (syscall(SYS_ptrace, 0, 0, 0, 0) == 0) << 12;
	return wrong;
}

/* Where a build with counters writes them, from inside as well; else nothing. */
static const char *counters(void)
{
	const char *counted = getenv("SBHOST_COVERAGE");

	return counted && strcmp(counted, "1") == 0 ? SB_BUILD_DIR : "/nonexistent/counters";
}

static int inside(enum sandbox_mode mode)
{
	const struct sandbox_path paths[] = {
		{state, SANDBOX_WRITE},
		{checkpoints, SANDBOX_WRITE},
		{inputs, SANDBOX_READ},
		{output, SANDBOX_OUTPUT},
		{"/nonexistent/directory", SANDBOX_READ},
		{counters(), SANDBOX_WRITE},
	};
	sb_error err = ERROR_INIT;
	int32_t status = sandbox_enter(mode, paths, sizeof(paths) / sizeof(paths[0]), &silent, &err);

	if (status == SB_ERR_UNSUPPORTED && strstr(err.message, "Landlock"))
		return -1;
	if (status != SB_OK) {
		fprintf(stderr, "%s\n", err.message);
		return 1 << 20;
	}
	return look_around(mode);
}

/* What went wrong is told through a pipe, for an exit status has eight bits. */
static void expect_held(enum sandbox_mode mode)
{
	int ends[2], wrong = 1 << 21;
	pid_t pid;

	cr_assert_eq(pipe(ends), 0);
	pid = fork();
	cr_assert_geq(pid, 0);
	if (pid == 0) {
		wrong = inside(mode);
		_exit(write(ends[1], &wrong, sizeof(wrong)) != sizeof(wrong));
	}
	cr_assert_eq(read(ends[0], &wrong, sizeof(wrong)), (ssize_t)sizeof(wrong));
	waitpid(pid, NULL, 0);
	if (wrong == -1)
		cr_skip_test("Skipping sandbox test (not available): this kernel has no Landlock");
	cr_assert_eq(wrong, 0, "wrong: %x", (unsigned)wrong);
}

Test(sandbox, local_leaves_the_job_its_files_and_nothing_else)
{
	expect_held(SANDBOX_LOCAL);
}

Test(sandbox, net_leaves_connections_as_well)
{
	expect_held(SANDBOX_NET);
}

static void *wait_for_ever(void *argument)
{
	pause();
	return argument;
}

Test(sandbox, is_refused_while_another_thread_is_there)
{
	sb_error err = ERROR_INIT;
	pthread_t thread;
	int32_t status;

	cr_assert_eq(pthread_create(&thread, NULL, wait_for_ever, NULL), 0);
	status = sandbox_enter(SANDBOX_LOCAL, NULL, 0, &silent, &err);
	cr_assert_eq(status, SB_ERR_UNSUPPORTED);
	cr_assert(strstr(err.message, "a plugin started") || strstr(err.message, "Landlock"), "%s", err.message);
}

/* Fails before anything is given up for good: in a process of its own all the same. */
static void expect_refusal(const struct sandbox_path *path, const char *says)
{
	int ends[2];
	char said[sizeof(((sb_error *)NULL)->message)] = "";
	pid_t pid;

	cr_assert_eq(pipe(ends), 0);
	pid = fork();
	cr_assert_geq(pid, 0);
	if (pid == 0) {
		sb_error err = ERROR_INIT;
		int32_t status = sandbox_enter(SANDBOX_LOCAL, path, 1, &silent, &err);

		if (status == SB_OK)
			snprintf(err.message, sizeof(err.message), "it was entered");
		_exit(write(ends[1], err.message, sizeof(err.message)) != sizeof(err.message));
	}
	cr_assert_eq(read(ends[0], said, sizeof(said)), (ssize_t)sizeof(said));
	waitpid(pid, NULL, 0);
	if (!strstr(said, "Landlock, or"))
		cr_assert(strstr(said, says), "%s", said);
}

Test(sandbox, path_that_cannot_be_had_is_refused_in_a_sentence)
{
	char loop[64], below[128];

	snprintf(loop, sizeof(loop), "%s/loop", dir);
	snprintf(below, sizeof(below), "%s/absent/out", dir);
	cr_assert_eq(symlink(loop, loop), 0);
	expect_refusal(&(struct sandbox_path){loop, SANDBOX_READ}, "cannot look at");
	expect_refusal(&(struct sandbox_path){loop, SANDBOX_WRITE}, "cannot look at");
	expect_refusal(&(struct sandbox_path){below, SANDBOX_OUTPUT}, "cannot make");
}

static int32_t enter_with_output(const char *path, const struct log *log)
{
	const struct sandbox_path paths[] = {{path, SANDBOX_OUTPUT}, {counters(), SANDBOX_WRITE}};
	sb_error err = ERROR_INIT;

	return sandbox_enter(SANDBOX_LOCAL, paths, 2, log, &err);
}

/* By a name without a directory, and twice: the second time it is there. Says so in the log. */
Test(sandbox, output_in_the_working_directory_is_made_once)
{
	const struct log told = {.fd = STDERR_FILENO, .level = SB_LOG_INFO, .clock = &(struct clock){0}};
	int status;

	cr_assert_eq(chdir(dir), 0);
	clock_init_system(told.clock);
	for (int i = 0; i < 2; i++) {
		pid_t pid = fork();

		cr_assert_geq(pid, 0);
		if (pid == 0) {
			int32_t entered = enter_with_output("lonely", &told);

			_exit(entered == SB_ERR_UNSUPPORTED ? 2 : entered != SB_OK || !can_write("lonely"));
		}
		cr_assert_eq(waitpid(pid, &status, 0), pid);
		cr_assert(WIFEXITED(status) && WEXITSTATUS(status) != 1);
	}
}

Test(sandbox, off_gives_up_nothing)
{
	sb_error err = ERROR_INIT;

	cr_assert_eq(sandbox_enter(SANDBOX_OFF, NULL, 0, &silent, &err), SB_OK);
	cr_assert(can_make(outside, "file"));
}
