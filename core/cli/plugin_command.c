/* "sbhost plugin info FILE" and "sbhost plugin list". */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "cli/command.h"
#include "plugin/plugin.h"

struct plugin_arguments {
	const char *file; /* info */
	const char *dir;
	bool json;
};

static void print_help(void)
{
	puts("Usage: sbhost plugin info FILE|NAME [--json] [--plugin-dir DIR]\n"
	     "       sbhost plugin list [--json] [--plugin-dir DIR]\n\n"
	     "info loads a plugin and prints all that it declares: components, options, fields, states.\n"
	     "list tells what lies in the plugin directory, without running any of it.");
}

static int parse(int argc, char **argv, struct plugin_arguments *ret)
{
	for (int i = 2; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0)
			ret->json = true;
		else if (strcmp(argv[i], "--plugin-dir") == 0 && i + 1 < argc)
			ret->dir = argv[++i];
		else if (argv[i][0] == '-' || ret->file)
			return cli_usage("sbhost plugin", "unexpected argument", argv[i]);
		else
			ret->file = argv[i];
	}
	return EXIT_DONE;
}

static int info(struct io *io, const struct plugin_arguments *arguments)
{
	struct buffer text = BUFFER_INIT;
	sb_error err = ERROR_INIT;
	struct plugin *plugin;
	int status;

	if (!arguments->file)
		return cli_usage("sbhost plugin", "info needs a FILE or NAME", NULL);
	if (plugin_load(io, arguments->file, arguments->dir, &plugin, &err) != SB_OK)
		return cli_fail(EXIT_PLUGIN_REFUSED, &err);
	if (arguments->json)
		plugin_describe_json(plugin, &text);
	else
		plugin_describe_text(plugin, &text);
	status = cli_print(&text);
	buffer_done(&text);
	plugin_free(plugin);
	return status;
}

static int list(struct io *io, const struct plugin_arguments *arguments)
{
	struct buffer text = BUFFER_INIT;
	sb_error err = ERROR_INIT;
	int status;

	if (arguments->file)
		return cli_usage("sbhost plugin", "list takes no", arguments->file);
	if (plugin_list(io, arguments->dir, arguments->json, &text, &err) != SB_OK)
		status = cli_fail(EXIT_BAD_CONFIG, &err);
	else
		status = cli_print(&text);
	buffer_done(&text);
	return status;
}

int command_plugin(int argc, char **argv)
{
	struct plugin_arguments arguments = {0};
	char *default_dir = cli_default_plugin_dir();
	struct io io;
	int status;

	arguments.dir = default_dir ? default_dir : "plugins";
	io_init_system(&io);
	if (argc >= 2 && strcmp(argv[1], "--help") == 0) {
		print_help();
		status = EXIT_DONE;
	} else if (argc < 2) {
		status = cli_usage("sbhost plugin", "info or list?", NULL);
	} else {
		status = parse(argc, argv, &arguments);
		if (status == EXIT_DONE && strcmp(argv[1], "info") == 0)
			status = info(&io, &arguments);
		else if (status == EXIT_DONE && strcmp(argv[1], "list") == 0)
			status = list(&io, &arguments);
		else if (status == EXIT_DONE)
			status = cli_usage("sbhost plugin", "there is no command", argv[1]);
	}
	free(default_dir);
	return status;
}
