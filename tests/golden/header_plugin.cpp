/* The same from C++, where opaque types are completed as classes and the entry keeps its C name. */
#include "sb_plugin.h"

struct sb_backend {
	int value;
};

extern "C" {
static int32_t open_backend(const sb_backend_config *, sb_backend **ret_backend, sb_error *)
{
	*ret_backend = new sb_backend();
	return SB_OK;
}

static void close_backend(sb_backend *backend)
{
	delete backend;
}
}

static sb_backend_ops make_ops()
{
	sb_backend_ops ops = sb_backend_ops();

	ops.struct_size = sizeof(ops);
	ops.open = open_backend;
	ops.close = close_backend;
	return ops;
}

static const sb_backend_ops operations = make_ops();

static sb_plugin make_plugin()
{
	sb_plugin made = sb_plugin();

	made.struct_size = operations.struct_size ? sizeof(made) : 0;
	made.abi_major = SB_ABI_MAJOR;
	made.abi_minor = SB_ABI_MINOR;
	return made;
}

static const sb_plugin plugin = make_plugin();

SB_PLUGIN_REGISTER(plugin, "smallest", "1.0.0");
