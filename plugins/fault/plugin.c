/* SPDX-License-Identifier: Apache-2.0
 *
 * What the fault plugin shows to the host. Its iterators are stable whatever the inner backend's are (iter.c), and
 * it promises no order, since not every inner backend has one. The inner one's extensions are not passed on.
 */
#include "fault_private.h"

#define CHANCE(fault, option_name, sentence)                                                                           \
	[OPTION_CHANCE(fault)] = &(const sb_option)                                                                    \
	{                                                                                                              \
		.struct_size = sizeof(sb_option), .type = SB_OPTION_F64, .name = (option_name), .default_text = "0",   \
		.max_f64 = 1, .doc = (sentence)                                                                        \
	}
#define NTH(fault, option_name, sentence)                                                                              \
	[OPTION_NTH(fault)] = &(const sb_option)                                                                       \
	{                                                                                                              \
		.struct_size = sizeof(sb_option), .type = SB_OPTION_I64, .name = (option_name), .default_text = "0",   \
		.max = INT64_MAX, .doc = (sentence)                                                                    \
	}

static const char *const statuses[] = {"io", "no-space", "no-memory", "busy", "corrupt", NULL};

static const sb_option inner = {
	.struct_size = sizeof(sb_option),
	.type = SB_OPTION_STRING,
	.name = "inner",
	.default_text = "memory",
	.doc = "The backend that is wrapped: a name or a path, as for --backend.",
};

static const sb_option inner_options = {
	.struct_size = sizeof(sb_option),
	.type = SB_OPTION_STRING,
	.name = "inner_options",
	.default_text = "",
	.doc = "Options of the inner backend: name=value, several of them separated by commas.",
};

static const sb_option seed = {
	.struct_size = sizeof(sb_option),
	.type = SB_OPTION_I64,
	.name = "seed",
	.default_text = "1",
	.max = INT64_MAX,
	.doc = "The same seed and the same calls give the same faults.",
};

static const sb_option delay = {
	.struct_size = sizeof(sb_option),
	.type = SB_OPTION_DURATION,
	.name = "delay",
	.default_text = "0ms",
	.max = 3600000,
	.unit = "milliseconds",
	.doc = "How long a delayed call waits before it is made.",
};

static const sb_option status = {
	.struct_size = sizeof(sb_option),
	.type = SB_OPTION_CHOICE,
	.name = "error",
	.default_text = "io",
	.choices = statuses,
	.doc = "What a failing call says that went wrong.",
};

const sb_option *const options_declared[OPTION_COUNT] = {
	CHANCE(FAULT_MULTI_GET, "fail_multi_get", "Chance that a call of multi_get fails."),
	CHANCE(FAULT_WRITE_BATCH, "fail_write_batch", "Chance that a call of write_batch fails, with nothing written."),
	CHANCE(FAULT_ITER_OPEN, "fail_iter_open", "Chance that a call of iter_open fails."),
	CHANCE(FAULT_ITER_NEXT, "fail_iter_next", "Chance that a call of iter_next fails."),
	CHANCE(FAULT_MAINTAIN, "fail_maintain", "Chance that a call of maintain fails."),
	CHANCE(FAULT_TORN_BATCH, "torn_batch", "Chance that a batch is written in part, and then fails."),
	CHANCE(FAULT_LOST_WRITE, "lost_write", "Chance that one operation of a batch is left out in silence."),
	CHANCE(FAULT_STALE_ITERATOR, "stale_iterator", "Chance that an iterator shows an earlier moment."),
	CHANCE(FAULT_SHORT_READ, "short_read", "Chance that a value that is read has lost its second half."),
	CHANCE(FAULT_SHORT_ITERATOR, "short_iterator", "Chance that a call of iter_next says that this is the end."),
	CHANCE(FAULT_DELAY, "delay_chance", "Chance that a call is delayed."),
	NTH(FAULT_MULTI_GET, "fail_multi_get_nth", "The Nth call of multi_get fails."),
	NTH(FAULT_WRITE_BATCH, "fail_write_batch_nth", "The Nth call of write_batch fails, with nothing written."),
	NTH(FAULT_ITER_OPEN, "fail_iter_open_nth", "The Nth call of iter_open fails."),
	NTH(FAULT_ITER_NEXT, "fail_iter_next_nth", "The Nth call of iter_next fails."),
	NTH(FAULT_MAINTAIN, "fail_maintain_nth", "The Nth call of maintain fails."),
	NTH(FAULT_TORN_BATCH, "torn_batch_nth", "The Nth batch is written in part, and then fails."),
	NTH(FAULT_LOST_WRITE, "lost_write_nth", "The Nth operation is left out in silence."),
	NTH(FAULT_STALE_ITERATOR, "stale_iterator_nth", "The Nth iterator shows an earlier moment."),
	NTH(FAULT_SHORT_READ, "short_read_nth", "The Nth value that is read has lost its second half."),
	NTH(FAULT_SHORT_ITERATOR, "short_iterator_nth", "The Nth call of iter_next says that this is the end."),
	NTH(FAULT_DELAY, "delay_nth", "The Nth call is delayed."),
	[OPTION_INNER] = &inner,
	[OPTION_INNER_OPTIONS] = &inner_options,
	[OPTION_SEED] = &seed,
	[OPTION_DELAY] = &delay,
	[OPTION_STATUS] = &status,
};

static const sb_backend_ops operations = {
	.struct_size = sizeof(sb_backend_ops),
	.open = backend_open,
	.close = backend_close,
	.multi_get = backend_multi_get,
	.unpin = backend_unpin,
	.write_batch = backend_write_batch,
	.iter_open = iter_open,
	.iter_next = iter_next,
	.iter_close = iter_close,
	.maintain = backend_maintain,
	.stats = backend_stats,
};

static const sb_component backend = {
	.struct_size = sizeof(sb_component),
	.kind = SB_KIND_BACKEND,
	.flags = SB_BACKEND_STABLE_ITER,
	.threads = SB_THREADS_INSTANCE,
	.id = "fault",
	.title = "Fault",
	.doc = "Wraps another backend and lets it go wrong as its options say, for rehearsals and tests.",
	.options = options_declared,
	.option_count = OPTION_COUNT,
	.ops = &operations,
};

static const sb_component *const components[] = {&backend};

static const sb_plugin plugin = {
	.struct_size = sizeof(sb_plugin),
	.abi_major = SB_ABI_MAJOR,
	.abi_minor = SB_ABI_MINOR,
	.name = "fault-backend",
	.version = "1.0.0",
	.vendor = "sbhost",
	.license = "Apache-2.0",
	.doc = "State backend that makes another one fail.",
	.components = components,
	.component_count = sizeof(components) / sizeof(components[0]),
};

SB_PLUGIN_REGISTER(plugin, "fault-backend", "1.0.0");
