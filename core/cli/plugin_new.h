/* "sbhost plugin new NAME": a directory with a plugin that builds, passes its test and runs at once. */
#ifndef CLI_PLUGIN_NEW_H
#define CLI_PLUGIN_NEW_H

#include "cli/tool.h"

int plugin_new(struct tool *tool);

#endif
