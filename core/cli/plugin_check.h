/* "sbhost plugin check FILE": the conformance kit (core/kit) and its report. */
#ifndef CLI_PLUGIN_CHECK_H
#define CLI_PLUGIN_CHECK_H

#include "cli/tool.h"

int plugin_check(struct tool *tool);

#endif
