/* What all commands share: printing, failing, finding the plugin directory. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "cli/command.h"

int cli_fail(int status, const sb_error *err)
{
	fprintf(stderr, "sbhost: %s\n", err->message);
	return status;
}

int cli_usage(const char *command, const char *message, const char *detail)
{
	fprintf(stderr, "%s: %s%s%s; see %s --help\n", command, message, detail ? " " : "", detail ? detail : "",
		command);
	return EXIT_USAGE;
}

int cli_print(struct buffer *text)
{
	sb_error err = ERROR_INIT;
	struct io io;

	io_init_system(&io);
	if (buffer_check(text, &err) != SB_OK ||
	    io_write_all(&io, STDOUT_FILENO, text->data, text->len, "standard output", &err) != SB_OK)
		return cli_fail(EXIT_RUN_FAILED, &err);
	buffer_clear(text);
	return EXIT_DONE;
}

char *cli_default_plugin_dir(void)
{
	char self[4096];
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;
	char *dir;

	if (length < 0)
		return strdup("plugins");
	self[length] = 0;
	slash = strrchr(self, '/');
	if (slash)
		*slash = 0;
	return asprintf(&dir, "%s/plugins", self) < 0 ? NULL : dir;
}
