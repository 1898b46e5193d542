/* What all commands share: printing, failing, finding the plugin directory. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/escape.h"
#include "base/slice.h"
#include "cli/command.h"

int cli_complain(int status, const char *format, ...)
{
	AUTO(free_memory) char *text = NULL;
	AUTO(buffer_done) struct buffer visible = BUFFER_INIT;
	va_list args;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	if (text)
		escape_append_visible(&visible, slice_of_text(text), false);
	fprintf(stderr, "%s\n", text && buffer_text(&visible) ? (const char *)visible.data : "sbhost: out of memory");
	return status;
}

int cli_fail(int status, const sb_error *err)
{
	return cli_complain(status, "sbhost: %s", err->message);
}

static int32_t write_all(sb_slice text, sb_error *err)
{
	struct io io;

	io_init_system(&io);
	return io_write_all(&io, STDOUT_FILENO, text.ptr, text.len, "standard output", err);
}

int32_t cli_write(struct buffer *text, sb_error *err)
{
	AUTO(buffer_done) struct buffer visible = BUFFER_INIT;

	TRY(buffer_check(text, err));
	if (escape_is_visible(buffer_slice(text), true)) {
		TRY(write_all(buffer_slice(text), err));
	} else {
		escape_append_visible(&visible, buffer_slice(text), true);
		TRY(buffer_check(&visible, err));
		TRY(write_all(buffer_slice(&visible), err));
	}
	buffer_clear(text);
	return SB_OK;
}

int cli_print(struct buffer *text)
{
	sb_error err = ERROR_INIT;

	return cli_write(text, &err) == SB_OK ? EXIT_DONE : cli_fail(EXIT_RUN_FAILED, &err);
}

static char *beside(const char *program_dir, const char *relative)
{
	char *dir;

	return asprintf(&dir, "%s/%s", program_dir, relative) < 0 ? NULL : dir;
}

static bool is_directory(const char *path)
{
	sb_error ignored = ERROR_INIT;
	struct stat st;
	bool exists;
	struct io io;

	io_init_system(&io);
	return io_lstat(&io, path, &st, &exists, &ignored) == SB_OK && exists && S_ISDIR(st.st_mode);
}

char *cli_program_path(void)
{
	char self[4096];
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (length < 0)
		return strdup("sbhost");
	self[length] = 0;
	return strdup(self);
}

char *cli_default_plugin_dir(void)
{
	AUTO(free_memory) char *program = cli_program_path();
	AUTO(free_memory) char *built = NULL;
	char *slash = program ? strrchr(program, '/') : NULL;

	if (!slash)
		return program ? strdup("plugins") : NULL;
	*slash = 0;
	built = beside(program, "plugins");
	if (!built || is_directory(built))
		return TAKE(built);
	return beside(program, SBHOST_BIN_TO_PLUGINS);
}
