/* SPDX-License-Identifier: Apache-2.0
 *
 * plugin.c: what the host sees: descriptor, options, the table of operations.
 */
#include "backend.h"

static const sb_option initial_capacity = {
	.struct_size = sizeof(sb_option),
	.type = SB_OPTION_I64,
	.name = "initial_capacity",
	.default_text = "0",
	.min = 0,
	.max = INT64_C(1) << 32,
	.unit = "entries",
	.doc = "Entries per task to make room for in the index when it is opened; it grows beyond by itself.",
};

static const sb_option huge_pages = {
	.struct_size = sizeof(sb_option),
	.type = SB_OPTION_BOOL,
	.name = "huge_pages",
	.default_text = "true",
	.doc = "Ask the kernel for pages of 2 MiB: faster on large states, a few MiB more for small ones.",
};

static const sb_option memory_limit = {
	.struct_size = sizeof(sb_option),
	.type = SB_OPTION_SIZE,
	.name = "memory_limit",
	.default_text = "0",
	.min = 0,
	.max = INT64_MAX,
	.unit = "bytes",
	.doc = "Memory per task beyond which writes are refused; 0: as much as there is.",
};

static const sb_option *const options[] = {
	[OPTION_INITIAL_CAPACITY] = &initial_capacity,
	[OPTION_HUGE_PAGES] = &huge_pages,
	[OPTION_MEMORY_LIMIT] = &memory_limit,
};

_Static_assert(sizeof(options) / sizeof(options[0]) == OPTION_COUNT, "an option is missing");

static const sb_delta_ops delta_ops = {
	.struct_size = sizeof(sb_delta_ops),
	.mark = backend_mark,
	.changes_open = backend_changes_open,
	.changes_next = delta_changes_next,
	.changes_close = delta_changes_close,
	.release = backend_release,
};

static const sb_inplace_ops inplace_ops = {
	.struct_size = sizeof(sb_inplace_ops),
	.find = backend_find,
	.write = backend_write,
	.finish = backend_finish,
};

static const void *extension(const char *id)
{
	if (!strcmp(id, SB_EXT_DELTA))
		return &delta_ops;
	return strcmp(id, SB_EXT_INPLACE) ? NULL : &inplace_ops;
}

static const sb_backend_ops ops = {
	.struct_size = sizeof(sb_backend_ops),
	.open = backend_open,
	.close = backend_close,
	.multi_get = backend_multi_get,
	.unpin = backend_unpin,
	.write_batch = backend_write_batch,
	.iter_open = backend_iter_open,
	.iter_next = snapshot_iter_next,
	.iter_close = snapshot_iter_close,
	.maintain = backend_maintain,
	.stats = backend_stats,
	.extension = extension,
};

static const sb_component component = {
	.struct_size = sizeof(sb_component),
	.kind = SB_KIND_BACKEND,
	.flags = SB_BACKEND_STABLE_ITER | SB_BACKEND_IN_MEMORY,
	.threads = SB_THREADS_INSTANCE,
	.id = "memory",
	.title = "Memory",
	.doc = "Keeps all state in a hash table in memory.",
	.options = options,
	.option_count = OPTION_COUNT,
	.ops = &ops,
};

static const sb_component *const components[] = {&component};

static const sb_plugin plugin = {
	.struct_size = sizeof(sb_plugin),
	.abi_major = SB_ABI_MAJOR,
	.abi_minor = SB_ABI_MINOR,
	.name = "memory-backend",
	.version = "1.0.0",
	.vendor = "sbhost",
	.license = "Apache-2.0",
	.doc = "State backend that keeps everything in memory, with stable iterators.",
	.components = components,
	.component_count = 1,
};

SB_PLUGIN_REGISTER(plugin, "memory-backend", "1.0.0");
