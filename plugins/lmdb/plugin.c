/* SPDX-License-Identifier: Apache-2.0
 *
 * What the LMDB plugin shows to the host: one backend, "lmdb". It has no extension: its one file changes in place, so
 * sb.files/1 could only copy all of it, each time.
 */
#include "lmdb_private.h"

static const sb_option map_size = {
	.struct_size = sizeof(sb_option),
	.type = SB_OPTION_SIZE,
	.name = "map_size",
	.default_text = "1TiB",
	.min = MAP_BYTES_MIN,
	.max = MAP_BYTES_MAX,
	.unit = "bytes",
	.doc = "Address space per task to reserve for the file, which takes no memory; grows, but not while somebody reads.",
};

static const sb_option read_ahead = {
	.struct_size = sizeof(sb_option),
	.type = SB_OPTION_BOOL,
	.name = "read_ahead",
	.default_text = "true",
	.doc = "Let the kernel read ahead; false is better when the state is larger than memory.",
};

static const sb_option *const options[] = {
	[OPTION_MAP_SIZE] = &map_size,
	[OPTION_READ_AHEAD] = &read_ahead,
};

_Static_assert(sizeof(options) / sizeof(options[0]) == OPTION_COUNT, "an option is missing");

static const sb_backend_ops operations = {
	.struct_size = sizeof(sb_backend_ops),
	.open = backend_open,
	.close = backend_close,
	.multi_get = batch_multi_get,
	.unpin = batch_unpin,
	.write_batch = batch_write,
	.iter_open = iter_open,
	.iter_next = iter_next,
	.iter_close = iter_close,
	.maintain = maintain_run,
	.stats = maintain_stats,
};

static const sb_component backend = {
	.struct_size = sizeof(sb_component),
	.kind = SB_KIND_BACKEND,
	.flags = SB_BACKEND_STABLE_ITER | SB_BACKEND_ORDERED,
	.threads = SB_THREADS_INSTANCE,
	.id = "lmdb",
	.title = "LMDB",
	.doc = "Keeps state on disk in a memory-mapped B+ tree, for state that is read more than written.",
	.options = options,
	.option_count = OPTION_COUNT,
	.ops = &operations,
};

static const sb_component *const components[] = {&backend};

static const sb_plugin plugin = {
	.struct_size = sizeof(sb_plugin),
	.abi_major = SB_ABI_MAJOR,
	.abi_minor = SB_ABI_MINOR,
	.name = "lmdb-backend",
	.version = "1.0.0",
	.vendor = "sbhost",
	.license = "Apache-2.0",
	.doc = "State backend on LMDB.",
	.components = components,
	.component_count = sizeof(components) / sizeof(components[0]),
};

SB_PLUGIN_REGISTER(plugin, "lmdb-backend", "1.0.0");
