/* SPDX-License-Identifier: Apache-2.0
 *
 * What the Redis plugin shows to the host. Its iterators are in order, but no views of a moment: Redis has none to give.
 */
#include "redis_private.h"

#define TEXT(option_name, text, ...)                                                                                   \
	&(const sb_option)                                                                                             \
	{                                                                                                              \
		.struct_size = sizeof(sb_option), .type = SB_OPTION_STRING, .name = (option_name),                     \
		.default_text = (text), __VA_ARGS__                                                                    \
	}
#define NUMBER(kind, option_name, text, lowest, highest, ...)                                                          \
	&(const sb_option)                                                                                             \
	{                                                                                                              \
		.struct_size = sizeof(sb_option), .type = (kind), .name = (option_name), .default_text = (text),       \
		.min = (lowest), .max = (highest), __VA_ARGS__                                                         \
	}

const sb_option *const options_declared[OPTION_COUNT] = {
	[OPTION_HOST] = TEXT("host", "127.0.0.1", .doc = "Name or address of the server, or of any node of a cluster."),
	[OPTION_PORT] = NUMBER(SB_OPTION_I64, "port", "6379", 1, 65535, .doc = "The server's port."),
	[OPTION_SOCKET] =
		TEXT("socket", NULL, .doc = "Path of the server's Unix socket; then host and port are not used."),
	[OPTION_USERNAME] = TEXT("username", NULL, .doc = "User of the server's access list."),
	[OPTION_PASSWORD] =
		TEXT("password", NULL, .flags = SB_OPTION_SECRET, .doc = "The server's or the user's password."),
	[OPTION_DB] = NUMBER(SB_OPTION_I64, "db", "0", 0, 65535, .doc = "Number of the database; 0 in a cluster."),
	[OPTION_NAMESPACE] =
		TEXT("namespace", "sbhost", .doc = "What all keys begin with; give each job one of its own."),
	[OPTION_TIMEOUT] = NUMBER(SB_OPTION_DURATION, "timeout", "5s", 1, 3600000, .unit = "milliseconds",
				  .doc = "How long to wait for a connection and for each reply."),
	[OPTION_RETRIES] = NUMBER(SB_OPTION_I64, "retries", "8", 0, 1000,
				  .doc = "How often a call is tried again, with pauses that grow to a second."),
	[OPTION_EXPIRY_MARGIN] =
		NUMBER(SB_OPTION_DURATION, "expiry_margin", "24h", 0, INT64_C(315360000000), .unit = "milliseconds",
		       .doc = "How long after its expiry Redis drops an entry by itself; 0: never."),
};

static const sb_backend_ops operations = {
	.struct_size = sizeof(sb_backend_ops),
	.open = backend_open,
	.close = backend_close,
	.multi_get = read_multi_get,
	.unpin = read_unpin,
	.write_batch = write_batch,
	.iter_open = iter_open,
	.iter_next = iter_next,
	.iter_close = iter_close,
	.maintain = maintain_run,
	.stats = maintain_stats,
};

static const sb_component backend = {
	.struct_size = sizeof(sb_component),
	.kind = SB_KIND_BACKEND,
	.flags = SB_BACKEND_ORDERED,
	.threads = SB_THREADS_INSTANCE,
	.id = "redis",
	.title = "Redis",
	.doc = "Keeps state in a Redis server or cluster, for state that may outgrow one machine.",
	.options = options_declared,
	.option_count = OPTION_COUNT,
	.ops = &operations,
};

static const sb_component *const components[] = {&backend};

static const sb_plugin plugin = {
	.struct_size = sizeof(sb_plugin),
	.abi_major = SB_ABI_MAJOR,
	.abi_minor = SB_ABI_MINOR,
	.name = "redis-backend",
	.version = "1.0.0",
	.vendor = "sbhost",
	.license = "Apache-2.0",
	.doc = "State backend on Redis.",
	.components = components,
	.component_count = sizeof(components) / sizeof(components[0]),
};

SB_PLUGIN_REGISTER(plugin, "redis-backend", "1.0.0");
