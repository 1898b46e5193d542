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
int command_checkpoint(int argc, char **argv);
int command_state(int argc, char **argv);
int command_bench(int argc, char **argv);

/* One sentence on standard error, whatever is in it (nothing in it reaches a terminal as a control character); returns status. */
int cli_complain(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* "sbhost: <message>" of an error. */
int cli_fail(int status, const sb_error *err);

/* Writes all of text to standard output and clears it. Control characters other than line feeds and tabs are written as \u00NN,
 * which in JSON is the same character. */
int32_t cli_write(struct buffer *text, sb_error *err);
/* The same; EXIT_RUN_FAILED with a sentence when it fails. */
int cli_print(struct buffer *text);

/* This program's file, or "sbhost" when nobody can tell. malloc'ed; NULL when memory is out. */
char *cli_program_path(void);

/* Where plugins are looked up by name: plugins/ beside the program, as it is built, or else where they are installed, as seen from
 * the program, so that an installation may be moved. malloc'ed; NULL when memory is out. */
char *cli_default_plugin_dir(void);

#endif
