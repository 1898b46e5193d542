/* Options are looked at before argp sees them, because argp names no nearest option and says what is wrong in two lines. */
#ifndef CLI_CHECK_OPTIONS_H
#define CLI_CHECK_OPTIONS_H

#include <argp.h>

/* EXIT_DONE, or EXIT_USAGE after one sentence: an option that is not in the table (NULL-terminated, as argp's), is ambiguous, or
 * lacks its value. name is how the command is called in the sentence; argv[0] is not looked at. */
int check_options(const char *name, const struct argp_option *table, int argc, char **argv);

#endif
