/* See tool.h: from a command's name to its function, and what all of them say and how. */
#include "cli/tool.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/nearest.h"
#include "base/slice.h"
#include "cli/show.h"

#define PRINT_BYTES ((size_t)256 << 10)
#define PROGRESS_NS INT64_C(200000000)

/* --- choosing ------------------------------------------------------------------------ */

static void print_help(const char *group, const struct tool_command *commands, size_t count)
{
	printf("Usage: sbhost %s COMMAND [OPTION...]\n\nCommands:\n", group);
	for (size_t i = 0; i < count; i++) {
		const struct tool_command *command = &commands[i];
		int width = printf("  %s %s", command->name, command->words ? command->words : "");

		printf("%*s%s\n", width < 25 ? 25 - width : 1, "", command->summary);
	}
	printf("\n'sbhost %s COMMAND --help' tells the rest.\n", group);
}

static int no_command(const char *group, const struct tool_command *commands, size_t count, const char *name)
{
	struct nearest near = {.wanted = slice_of_text(name ? name : "")};

	for (size_t i = 0; i < count; i++)
		nearest_offer(&near, commands[i].name);
	if (!name)
		return cli_complain(EXIT_USAGE, "sbhost %s: which command? See sbhost %s --help", group, group);
	if (near.name)
		return cli_complain(EXIT_USAGE,
				    "sbhost %s: there is no command %s; did you mean %s? See sbhost %s --help", group,
				    name, near.name, group);
	return cli_complain(EXIT_USAGE, "sbhost %s: there is no command %s; see sbhost %s --help", group, name, group);
}

static void show_checked(void *context, uint64_t bytes)
{
	struct tool *tool = context;
	AUTO(buffer_done) struct buffer doing = BUFFER_INIT;

	tool->checked_bytes += bytes;
	if (!tool->err_is_terminal)
		return;
	buffer_printf(&doing, "verifying %s  ", tool->checked);
	show_size(&doing, tool->checked_bytes);
	if (buffer_text(&doing))
		tool_progress(tool, (char *)doing.data, 0, 0);
}

static void init(struct tool *tool)
{
	clock_init_system(&tool->clock);
	io_init_system(&tool->io);
	tool->log = (struct log){.fd = STDERR_FILENO, .level = SB_LOG_WARN, .clock = &tool->clock};
	tool->err = (sb_error)ERROR_INIT;
	tool->out_is_terminal = isatty(STDOUT_FILENO);
	tool->err_is_terminal = isatty(STDERR_FILENO);
	tool->default_plugin_dir = cli_default_plugin_dir();
	tool->plugin_dir = tool->default_plugin_dir ? tool->default_plugin_dir : "plugins";
	tool->checkpoint_dir = "./checkpoints";
	tool->watch = (struct checkpoint_watch){.checked = show_checked, .context = tool};
	tool->checked = "checkpoints";
	tool->limit = UINT64_MAX;
	tool->samples = 3;
	tool->keep = 5;
	tool->memory_bytes = INT64_C(64) << 20;
	tool->codec = CHECKPOINT_CODEC_DEFAULT;
	tool->kind = "backend";
	tool->lang = "c";
}

static int run_command(const char *group, const struct tool_command *command, int argc, char **argv)
{
	struct tool tool = {.command = command};
	char name[64];
	int status;

	snprintf(name, sizeof(name), "sbhost %s %s", group, command->name);
	tool.name = argv[0] = name;
	init(&tool);
	status = tool_arguments_parse(&tool, argc, argv);
	if (status == EXIT_DONE)
		status = command->run(&tool);
	tool_progress_clear(&tool);
	buffer_done(&tool.out);
	free(tool.default_plugin_dir);
	return status;
}

int tool_main(const char *group, const struct tool_command *commands, size_t count, int argc, char **argv)
{
	if (argc >= 2 && strcmp(argv[1], "--help") == 0) {
		print_help(group, commands, count);
		return EXIT_DONE;
	}
	for (size_t i = 0; argc >= 2 && i < count; i++)
		if (strcmp(argv[1], commands[i].name) == 0)
			return run_command(group, &commands[i], argc - 1, argv + 1);
	return no_command(group, commands, count, argc < 2 ? NULL : argv[1]);
}

/* --- failing and printing ------------------------------------------------------------ */

int tool_status_of(const sb_error *err)
{
	switch (err->code) {
	case SB_ERR_CORRUPT:
		return EXIT_NO_CHECKPOINT;
	case SB_ERR_NOT_FOUND: /* a path that was named, or a checkpoint */
		return err->sys_errno ? EXIT_BAD_CONFIG : EXIT_NO_CHECKPOINT;
	case SB_ERR_CONFIG:
	case SB_ERR_INCOMPATIBLE:
		return EXIT_BAD_CONFIG;
	case SB_ERR_BUSY:
		return EXIT_IN_USE;
	default:
		return EXIT_RUN_FAILED;
	}
}

int tool_fail(struct tool *tool, int status, const sb_error *err)
{
	tool_progress_clear(tool);
	return cli_fail(status, err);
}

void tool_note(struct tool *tool, const char *format, ...)
{
	AUTO(free_memory) char *text = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	tool_progress_clear(tool);
	if (text)
		cli_complain(EXIT_DONE, "%s: %s", tool->name, text);
}

int32_t tool_print_if_full(struct tool *tool, sb_error *err)
{
	if (tool->out.len < PRINT_BYTES && !tool->out.failed)
		return SB_OK;
	tool_progress_clear(tool);
	return cli_write(&tool->out, err);
}

int tool_print(struct tool *tool)
{
	tool_progress_clear(tool);
	return cli_print(&tool->out);
}

/* --- progress ------------------------------------------------------------------------ */

static void write_progress(const struct buffer *line)
{
	ssize_t n = line->failed ? 0 : write(STDERR_FILENO, line->data, line->len);

	(void)n; /* what cannot be drawn is no loss */
}

void tool_progress(struct tool *tool, const char *doing, uint64_t done, uint64_t total)
{
	AUTO(buffer_done) struct buffer line = BUFFER_INIT;
	int64_t now;

	if (!tool->err_is_terminal)
		return;
	now = clock_monotonic_ns(&tool->clock);
	if (tool->progress_ns && now - tool->progress_ns < PROGRESS_NS)
		return;
	tool->progress_ns = now;
	buffer_printf(&line, "\r\033[K%s", doing);
	if (done)
		buffer_printf(&line, "  %" PRIu64 " entries", done);
	if (done && total >= done)
		buffer_printf(&line, "  %.0f%%", 100 * (double)done / (double)total);
	write_progress(&line);
	tool->progress_shown = true;
}

void tool_progress_clear(struct tool *tool)
{
	struct buffer line = {.data = (uint8_t *)"\r\033[K", .len = 4};

	if (tool->progress_shown)
		write_progress(&line);
	tool->progress_shown = false;
}
