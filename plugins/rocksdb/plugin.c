/* SPDX-License-Identifier: Apache-2.0
 *
 * What the RocksDB plugin shows to the host: one backend, "rocksdb", and its
 * operations. Everything here is constant data.
 *
 * An extension (sb.files/1; sb.bulkload/1 may come) is a further table that
 * extension() hands out; it needs nothing of the operations below but the
 * engine of the instance.
 */
#include <string.h>

#include "rocksdb_private.h"

static const void *extension(const char *id)
{
	return strcmp(id, SB_EXT_FILES) == 0 ? &files_operations : NULL;
}

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
	.maintain = NULL, /* ttl.c tells why */
	.stats = stats_read,
	.extension = extension,
};

static const sb_component backend = {
	.struct_size = sizeof(sb_component),
	.kind = SB_KIND_BACKEND,
	.flags = SB_BACKEND_STABLE_ITER | SB_BACKEND_ORDERED,
	.threads = SB_THREADS_INSTANCE,
	.id = "rocksdb",
	.title = "RocksDB",
	.doc = "Keeps state on disk in a log-structured merge tree, for state that is larger than memory.",
	.options = options_declared,
	.option_count = OPTION_COUNT,
	.ops = &operations,
};

static const sb_component *const components[] = {&backend};

static const sb_plugin plugin = {
	.struct_size = sizeof(sb_plugin),
	.abi_major = SB_ABI_MAJOR,
	.abi_minor = SB_ABI_MINOR,
	.name = "rocksdb-backend",
	.version = "1.0.0",
	.vendor = "sbhost",
	.license = "Apache-2.0",
	.doc = "State backend on RocksDB.",
	.components = components,
	.component_count = sizeof(components) / sizeof(components[0]),
};

SB_PLUGIN_REGISTER(plugin, "rocksdb-backend", "1.0.0");
