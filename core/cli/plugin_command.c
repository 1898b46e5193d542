/* "sbhost plugin info FILE" and "sbhost plugin list"; "sbhost plugin check FILE" is in plugin_check.c, "new NAME" in plugin_new.c. */
#include "base/error.h"
#include "cli/plugin_check.h"
#include "cli/plugin_new.h"
#include "cli/tool.h"
#include "plugin/plugin.h"

#define OPTIONS (TOOL_OPTION(TOOL_JSON) | TOOL_OPTION(TOOL_PLUGIN_DIR))

static int info(struct tool *tool)
{
	sb_error err = ERROR_INIT;
	struct plugin *plugin;

	if (plugin_load(&tool->io, tool->words[0], tool->plugin_dir, &plugin, &err) != SB_OK)
		return tool_fail(tool, EXIT_PLUGIN_REFUSED, &err);
	if (tool->json)
		plugin_describe_json(plugin, &tool->out);
	else
		plugin_describe_text(plugin, &tool->out);
	plugin_free(plugin);
	return tool_print(tool);
}

static int list(struct tool *tool)
{
	sb_error err = ERROR_INIT;

	if (plugin_list(&tool->io, tool->plugin_dir, tool->json, &tool->out, &err) != SB_OK)
		return tool_fail(tool, EXIT_BAD_CONFIG, &err);
	return tool_print(tool);
}

int command_plugin(int argc, char **argv)
{
	static const struct tool_command commands[] = {
		{"info", "FILE|NAME", 1, 1, OPTIONS, "load a plugin and print all that it declares",
		 "Components, OPTIONS, fields, states. A name is looked up in the plugin directory.", info},
		{"list", NULL, 0, 0, OPTIONS, "tell what lies in the plugin directory, without running any of it", NULL,
		 list},
		{"check", "FILE|NAME", 1, 1,
		 OPTIONS | TOOL_OPTION(TOOL_FILTER) | TOOL_OPTION(TOOL_REPRODUCE) | TOOL_OPTION(TOOL_SEED) |
			 TOOL_OPTION(TOOL_THOROUGH) | TOOL_OPTION(TOOL_TIMEOUT) | TOOL_OPTION(TOOL_OPT),
		 "try every rule that a plugin must keep",
		 "Each rule runs in a process of its own. Status 0: all are kept; 4: one is broken, or the file is no "
		 "plugin.",
		 plugin_check},
		{"new", "NAME", 1, 1, TOOL_OPTION(TOOL_KIND) | TOOL_OPTION(TOOL_LANG) | TOOL_OPTION(TOOL_DIR),
		 "write a directory with a plugin that builds, tests itself and runs at once",
		 "NAME is of small letters, digits and \"-\". An existing directory is refused.", plugin_new},
	};

	return tool_main("plugin", commands, sizeof(commands) / sizeof(commands[0]), argc, argv);
}
