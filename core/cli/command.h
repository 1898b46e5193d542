/* The commands of sbhost. Each takes its own part of argv (argv[0] names it in messages) and returns an exit status. This
 * folder alone prints to standard output and decides exit statuses. */
#ifndef CLI_COMMAND_H
#define CLI_COMMAND_H

#include "io/io.h"
#include "sb_plugin.h"

/* Documented in README.md; scripts count on them. */
enum exit_status {
	EXIT_DONE = 0,
	EXIT_RUN_FAILED = 1,
	EXIT_USAGE = 2,
	EXIT_BAD_CONFIG = 3,
	EXIT_PLUGIN_REFUSED = 4,
	EXIT_NO_CHECKPOINT = 5,
	EXIT_IN_USE = 6,
};

int command_run(int argc, char **argv);
int command_plugin(int argc, char **argv);
int command_state(int argc, char **argv);

/* "sbhost: <message>" on standard error; returns status. */
int cli_fail(int status, const sb_error *err);
/* The same for a mistake on the command line, with where to look. */
int cli_usage(const char *command, const char *message, const char *detail);

/* Writes all of text to standard output; EXIT_RUN_FAILED with a sentence when that fails. */
int cli_print(struct buffer *text);

/* Where plugins are looked up by name: plugins/ beside the program. malloc'ed; NULL when memory is out. */
char *cli_default_plugin_dir(void);

#endif
