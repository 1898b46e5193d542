/* sbhost: the first word chooses the command; without one, or with an option first, it is run. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/nearest.h"
#include "base/slice.h"
#include "cli/command.h"

static const struct command {
	const char *name;
	int (*main)(int argc, char **argv);
	const char *doc;
} commands[] = {
	{"run", command_run, "run a job (also without the word)"},
	{"plugin", command_plugin, "info FILE, list: what a plugin holds, what plugins there are"},
	{"state", command_state, "export: print the state that a checkpoint holds"},
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
	fprintf(stderr, "sbhost: there is no command '%s'", name);
	if (near.name)
		fprintf(stderr, "; did you mean '%s'?", near.name);
	fputs(" See sbhost --help\n", stderr);
	return EXIT_USAGE;
}

int main(int argc, char **argv)
{
	umask(077); /* state and checkpoints are the user's own */
	signal(SIGPIPE, SIG_IGN); /* a closed pipe is an error of write, reported like any other */
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
		if (strcmp(argv[1], commands[i].name) == 0)
			return commands[i].main(argc - 1, argv + 1);
	return unknown_command(argv[1]);
}
