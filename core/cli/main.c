/* sbhost: the first word chooses the command; without one, or with an option first, it is run. */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/nearest.h"
#include "base/slice.h"
#include "cli/command.h"

static const struct command {
	const char *name;
	int (*main)(int argc, char **argv);
	const char *doc;
} commands[] = {
	{"run", command_run, "run a job (also without the word)"},
	{"plugin", command_plugin,
	 "info FILE, list, check FILE, new NAME: what plugins there are, whether one can be trusted, one of your own"},
	{"checkpoint", command_checkpoint,
	 "list, inspect, verify, diff, export, import, prune: look after checkpoints"},
	{"state", command_state, "get KEY, scan, export: print the state that a checkpoint holds"},
	{"bench", command_bench, "measure state backends on this machine, beside each other"},
};

#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

static void print_help(void)
{
	puts("Usage: sbhost [run] [OPTION...]\n"
	     "       sbhost COMMAND ...\n\n"
	     "A native host for stateful stream processing. Without an operator or input it runs a\n"
	     "demonstration: five users, one purchase a second.\n\nCommands:");
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		printf("  %-12s%s\n", commands[i].name, commands[i].doc);
	puts("\n'sbhost COMMAND --help' tells the rest.");
}

static int unknown_command(const char *name)
{
	struct nearest near = {.wanted = slice_of_text(name)};

	for (size_t i = 0; i < COMMAND_COUNT; i++)
		nearest_offer(&near, commands[i].name);
	if (near.name)
		return cli_complain(EXIT_USAGE,
				    "sbhost: there is no command '%s'; did you mean '%s'? See sbhost --help", name,
				    near.name);
	return cli_complain(EXIT_USAGE, "sbhost: there is no command '%s'; see sbhost --help", name);
}

/* A descriptor that was closed when we were started would be given to the next file that is opened, and records or log lines would
 * go into a checkpoint. What takes its place fails where it is used: standard output cannot be written, standard input
 * not read. */
static void fill_standard_descriptors(void)
{
	static const int modes[] = {O_WRONLY, O_RDONLY, O_WRONLY};

	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", modes[fd]) != fd)
			_exit(EXIT_RUN_FAILED);
}

/* Blocks from half a MiB on are pages of their own, which go back to the system when they are freed. malloc starts so, but the first such block
 * that is freed moves its threshold up, at last to 32 MiB. Then RocksDB's write buffers, blocks of a MiB that come and go
 * among small ones that stay, leave a third of the heaps as holes. Naming one threshold ends the moving of the other, too,
 * and what is trimmed from the end of a heap should be worth the call. */
static void keep_large_blocks_apart(void)
{
	(void)mallopt(M_MMAP_THRESHOLD, 512 << 10);
	(void)mallopt(M_TRIM_THRESHOLD, 1 << 20);
}

/* What help and the like have printed counts only when it arrived. */
static void flush_standard_output(void)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return;
	fprintf(stderr, "sbhost: cannot write standard output: %s\n", strerror(errno));
	_exit(EXIT_RUN_FAILED);
}

int main(int argc, char **argv)
{
	static char run_name[] = "sbhost run"; /* as usage errors call it */

	keep_large_blocks_apart();
	fill_standard_descriptors();
	atexit(flush_standard_output);
	umask(077); /* state and checkpoints are the user's own */
	signal(SIGPIPE, SIG_IGN); /* a closed pipe is an error of write, reported like any other */
	signal(SIGXFSZ, SIG_IGN); /* and so is a file that has reached its limit */
	if (argc < 2 || (argv[1][0] == '-' && strcmp(argv[1], "--help") != 0 && strcmp(argv[1], "--version") != 0))
		return command_run(argc, argv);
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0) {
		print_help();
		return EXIT_DONE;
	}
	if (strcmp(argv[1], "--version") == 0) {
		puts("sbhost " SBHOST_VERSION);
		return EXIT_DONE;
	}
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		if (strcmp(argv[1], commands[i].name) == 0) {
			if (commands[i].main == command_run)
				argv[1] = run_name;
			return commands[i].main(argc - 1, argv + 1);
		}
	return unknown_command(argv[1]);
}
