/* The smallest plugin: what SB_PLUGIN_REGISTER writes compiles without a warning. */
#include "sb_plugin.h"

static const sb_plugin plugin = {
	.struct_size = sizeof(sb_plugin),
	.abi_major = SB_ABI_MAJOR,
	.abi_minor = SB_ABI_MINOR,
	.name = "smallest",
	.version = "1.0.0",
};

SB_PLUGIN_REGISTER(plugin, "smallest", "1.0.0");
