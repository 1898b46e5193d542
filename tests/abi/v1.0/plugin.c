/* SPDX-License-Identifier: Apache-2.0
 *
 * A plugin as somebody wrote it when ABI 1.0 was frozen: a backend and an operator in one file. It is compiled with the header of
 * that day, which lies beside it, and its binary of that day lies there, too: every later sbhost must run both. So this
 * file never changes. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "sb_plugin.h"

struct entry {
	struct entry *next;
	sb_slice key, value; /* both in bytes */
	int64_t expiry_ms;
	uint8_t bytes[];
};

struct sb_backend {
	struct entry *first;
	const sb_host *host;
	int purge;
};

struct sb_iter {
	sb_slice lower, upper;
	struct entry *next;
	uint8_t bytes[]; /* of the two bounds */
};

static int32_t fail(sb_error *err, int32_t code, const char *message)
{
	err->code = code;
	strcpy(err->message, message);
	return code;
}

static int32_t no_memory(sb_error *err)
{
	return fail(err, SB_ERR_NO_MEMORY, "out of memory");
}

static int compare(sb_slice a, sb_slice b)
{
	uint64_t shorter = a.len < b.len ? a.len : b.len;
	int order = shorter ? memcmp(a.ptr, b.ptr, shorter) : 0;

	return order ? order : (a.len > b.len) - (a.len < b.len);
}

static sb_slice append(uint8_t **at, sb_slice bytes)
{
	uint8_t *copy = *at;

	if (bytes.len)
		memcpy(copy, bytes.ptr, bytes.len);
	*at += bytes.len;
	return (sb_slice){copy, bytes.len};
}

static struct entry *new_entry(sb_slice key, sb_slice value, int64_t expiry_ms)
{
	struct entry *entry = malloc(sizeof(*entry) + key.len + value.len);
	uint8_t *at;

	if (!entry)
		return NULL;
	at = entry->bytes;
	entry->key = append(&at, key);
	entry->value = append(&at, value);
	entry->expiry_ms = expiry_ms;
	entry->next = NULL;
	return entry;
}

static struct entry **find(sb_backend *backend, sb_slice key)
{
	struct entry **link = &backend->first;

	while (*link && compare((*link)->key, key) != 0)
		link = &(*link)->next;
	return link;
}

static void free_list(struct entry *entry)
{
	while (entry) {
		struct entry *next = entry->next;

		free(entry);
		entry = next;
	}
}

static int32_t list_open(const sb_backend_config *config, sb_backend **ret_backend, sb_error *err)
{
	*ret_backend = calloc(1, sizeof(**ret_backend));
	if (!*ret_backend)
		return no_memory(err);
	(*ret_backend)->host = config->host;
	(*ret_backend)->purge = config->options[0].i64 != 0;
	return SB_OK;
}

static void list_close(sb_backend *backend)
{
	free_list(backend->first);
	free(backend);
}

static void list_unpin(sb_backend *backend, uint64_t n, sb_pin *pins)
{
	(void)backend;
	for (uint64_t i = 0; i < n; i++)
		free(pins[i].owner);
}

/* A pin stays as it is, whatever is written before unpin: so it holds a copy. */
static int32_t list_multi_get(sb_backend *backend, uint64_t n, const sb_slice *keys, sb_pin *pins, sb_error *err)
{
	for (uint64_t i = 0; i < n; i++) {
		struct entry *entry = *find(backend, keys[i]);
		struct entry *copy;

		memset(&pins[i], 0, sizeof(pins[i]));
		if (!entry)
			continue;
		copy = new_entry(entry->key, entry->value, entry->expiry_ms);
		if (!copy) {
			list_unpin(backend, i, pins);
			return no_memory(err);
		}
		pins[i] = (sb_pin){.value = copy->value, .expiry_ms = copy->expiry_ms, .owner = copy, .found = 1};
	}
	return SB_OK;
}

static void apply(sb_backend *backend, const sb_op *op, struct entry *fresh)
{
	struct entry **link = find(backend, op->key);
	struct entry *old = *link;

	if (old) {
		*link = old->next;
		free(old);
	}
	if (op->kind == SB_OP_PUT) {
		fresh->next = backend->first;
		backend->first = fresh;
	}
}

/* All or nothing: what can fail (an unknown kind, memory for each put) comes first. */
static int32_t list_write_batch(sb_backend *backend, uint64_t n, const sb_op *ops, sb_error *err)
{
	struct entry *fresh = NULL, **last = &fresh;

	for (uint64_t i = 0; i < n; i++)
		if (ops[i].kind != SB_OP_PUT && ops[i].kind != SB_OP_DELETE)
			return fail(err, SB_ERR_INVALID, "an operation of unknown kind");
	for (uint64_t i = 0; i < n; i++) {
		if (ops[i].kind != SB_OP_PUT)
			continue;
		*last = new_entry(ops[i].key, ops[i].value, ops[i].expiry_ms);
		if (!*last) {
			free_list(fresh);
			return no_memory(err);
		}
		last = &(*last)->next;
	}
	for (uint64_t i = 0; i < n; i++) {
		struct entry *entry = fresh;

		if (ops[i].kind == SB_OP_PUT)
			fresh = entry->next;
		apply(backend, &ops[i], entry);
	}
	return SB_OK;
}

static int32_t list_iter_open(sb_backend *backend, const sb_iter_options *options, sb_iter **ret_iter, sb_error *err)
{
	sb_iter *iter = malloc(sizeof(*iter) + options->lower.len + options->upper.len);
	uint8_t *at;

	if (!iter)
		return no_memory(err);
	at = iter->bytes;
	iter->lower = append(&at, options->lower);
	iter->upper = append(&at, options->upper);
	iter->next = backend->first;
	*ret_iter = iter;
	return SB_OK;
}

static int32_t list_iter_next(sb_iter *iter, uint64_t max, sb_entry *entries, uint64_t *ret_count, sb_error *err)
{
	uint64_t n = 0;

	(void)err;
	for (; n < max && iter->next; iter->next = iter->next->next) {
		const struct entry *entry = iter->next;

		if (compare(entry->key, iter->lower) >= 0 &&
		    (iter->upper.len == 0 || compare(entry->key, iter->upper) < 0))
			entries[n++] = (sb_entry){entry->key, entry->value, entry->expiry_ms};
	}
	*ret_count = n;
	return SB_OK;
}

static void list_iter_close(sb_iter *iter)
{
	free(iter);
}

static int32_t list_maintain(sb_backend *backend, uint64_t budget, uint64_t *ret_purged, sb_error *err)
{
	const int64_t horizon_ms = backend->host->expiry_horizon_ms(backend->host);
	struct entry **link = &backend->first;
	uint64_t purged = 0;

	(void)err;
	while (*link && backend->purge && purged < budget) {
		struct entry *entry = *link;

		if (entry->expiry_ms == SB_NO_EXPIRY || entry->expiry_ms > horizon_ms) {
			link = &entry->next;
			continue;
		}
		*link = entry->next;
		free(entry);
		purged++;
	}
	*ret_purged = purged;
	return SB_OK;
}

static int32_t list_stats(sb_backend *backend, uint64_t capacity, sb_stat *stats, uint64_t *ret_count, sb_error *err)
{
	uint64_t entries = 0;

	(void)err;
	for (const struct entry *entry = backend->first; entry; entry = entry->next)
		entries++;
	if (capacity)
		stats[0] = (sb_stat){
			.name = "entries", .value = (double)entries, .unit = "entries", .kind = SB_METRIC_GAUGE};
	*ret_count = 1;
	return SB_OK;
}

static const void *list_extension(const char *id)
{
	(void)id;
	return NULL;
}

static const sb_backend_ops backend_ops = {
	.struct_size = sizeof(sb_backend_ops),
	.open = list_open,
	.close = list_close,
	.multi_get = list_multi_get,
	.unpin = list_unpin,
	.write_batch = list_write_batch,
	.iter_open = list_iter_open,
	.iter_next = list_iter_next,
	.iter_close = list_iter_close,
	.maintain = list_maintain,
	.stats = list_stats,
	.extension = list_extension,
};

static const sb_option purge = {
	.struct_size = sizeof(sb_option),
	.type = SB_OPTION_BOOL,
	.name = "purge",
	.default_text = "true",
	.doc = "Purge expired entries.",
};
static const sb_option limit = {
	.struct_size = sizeof(sb_option),
	.type = SB_OPTION_SIZE,
	.name = "limit",
	.default_text = "1MiB",
	.min = 1,
	.max = 1 << 30,
	.unit = "bytes",
	.doc = "Limits nothing.",
};
static const char *const modes[] = {"plain", "fancy", NULL};
static const sb_option mode = {
	.struct_size = sizeof(sb_option),
	.type = SB_OPTION_CHOICE,
	.name = "mode",
	.default_text = "plain",
	.choices = modes,
	.doc = "Chooses nothing.",
};
static const sb_option *const backend_options[] = {&purge, &limit, &mode};

static const sb_component backend = {
	.struct_size = sizeof(sb_component),
	.kind = SB_KIND_BACKEND,
	.id = "frozen-list",
	.title = "Frozen list",
	.doc = "Keeps entries in a linked list.",
	.options = backend_options,
	.option_count = sizeof(backend_options) / sizeof(backend_options[0]),
	.ops = &backend_ops,
};

/* --- an operator: visits and spending of each user ---------------------------------- */

struct visits {
	int64_t count;
	double spent;
	int64_t last_ms;
	uint32_t kind;
	uint32_t reserved;
};

struct sb_operator {
	sb_task *task;
	uint64_t events;
};

enum input { IN_USER_ID, IN_AMOUNT, IN_TIMESTAMP };

static int32_t visits_open(const sb_operator_config *config, sb_operator **ret_operator, sb_error *err)
{
	*ret_operator = calloc(1, sizeof(**ret_operator));
	if (!*ret_operator)
		return no_memory(err);
	(*ret_operator)->task = config->task;
	return SB_OK;
}

static void visits_close(sb_operator *op)
{
	free(op);
}

static int32_t visit(sb_operator *op, const sb_event *event, uint64_t index, sb_error *err)
{
	static const uint8_t last[] = {'l', 'a', 's', 't'};
	struct visits *visits = op->task->state_upsert(op->task, 0, index, NULL);
	const sb_value *values = event->values;
	sb_value record[3];

	if (!visits)
		return fail(err, SB_ERR_INTERNAL, "no struct to count in");
	visits->count++;
	visits->spent += values[IN_AMOUNT].as.f64;
	visits->last_ms = values[IN_TIMESTAMP].as.i64;
	visits->kind = visits->count > 1;
	op->events++;
	if (op->task->raw_put(op->task, 1, index, (sb_slice){last, sizeof(last)},
			      (sb_slice){(const uint8_t *)&visits->last_ms, sizeof(visits->last_ms)},
			      SB_TTL_JOB) != SB_OK)
		return fail(err, SB_ERR_INTERNAL, "cannot keep the last visit");
	record[0] = values[IN_USER_ID];
	record[1] = (sb_value){.as = {.i64 = visits->count}};
	record[2] = (sb_value){.as = {.i64 = (int64_t)op->events}};
	return op->task->emit(op->task, index, record);
}

static int32_t visits_process(sb_operator *op, const sb_event *events, uint64_t n, sb_error *err)
{
	int32_t status = SB_OK;

	for (uint64_t i = 0; i < n && status == SB_OK; i++)
		status = visit(op, &events[i], i, err);
	return status;
}

static int32_t visits_snapshot(sb_operator *op, sb_writer *writer, sb_error *err)
{
	return writer->write(writer, (sb_slice){(const uint8_t *)&op->events, sizeof(op->events)}, err);
}

static int32_t visits_restore(sb_operator *op, uint64_t n, const sb_slice *parts, sb_error *err)
{
	for (uint64_t i = 0; i < n; i++) {
		uint64_t events;

		if (parts[i].len != sizeof(events))
			return fail(err, SB_ERR_CORRUPT, "a part of the snapshot is damaged");
		memcpy(&events, parts[i].ptr, sizeof(events));
		op->events += events;
	}
	return SB_OK;
}

static const sb_operator_ops operator_ops = {
	.struct_size = sizeof(sb_operator_ops),
	.open = visits_open,
	.close = visits_close,
	.process = visits_process,
	.snapshot = visits_snapshot,
	.restore = visits_restore,
};

static const sb_field in_user_id = {
	.struct_size = sizeof(sb_field), .type = SB_TYPE_STRING, .flags = SB_FIELD_KEY, .name = "user_id"};
static const sb_field in_amount = {.struct_size = sizeof(sb_field), .type = SB_TYPE_F64, .name = "amount"};
static const sb_field in_timestamp = {
	.struct_size = sizeof(sb_field), .type = SB_TYPE_TIME, .flags = SB_FIELD_EVENT_TIME, .name = "timestamp"};
static const sb_field *const inputs[] = {&in_user_id, &in_amount, &in_timestamp};

static const sb_field out_user_id = {
	.struct_size = sizeof(sb_field), .type = SB_TYPE_STRING, .decimals = -1, .name = "user_id"};
static const sb_field out_visits = {
	.struct_size = sizeof(sb_field), .type = SB_TYPE_I64, .decimals = -1, .name = "visits"};
static const sb_field out_events = {
	.struct_size = sizeof(sb_field), .type = SB_TYPE_I64, .decimals = -1, .name = "events"};
static const sb_field *const outputs[] = {&out_user_id, &out_visits, &out_events};

#define VISITS_FIELD(member, field_type)                                                                               \
	{                                                                                                              \
		.struct_size = sizeof(sb_schema_field), .type = (field_type),                                          \
		.offset = offsetof(struct visits, member), .size = sizeof(((struct visits *)0)->member),               \
		.name = #member                                                                                        \
	}

static const char *const kinds[] = {"first", "again", NULL};
static const sb_schema_field field_count = VISITS_FIELD(count, SB_TYPE_I64);
static const sb_schema_field field_spent = VISITS_FIELD(spent, SB_TYPE_FLOAT);
static const sb_schema_field field_last_ms = VISITS_FIELD(last_ms, SB_TYPE_TIME);
static const sb_schema_field field_kind = {
	.struct_size = sizeof(sb_schema_field),
	.type = SB_TYPE_ENUM,
	.offset = offsetof(struct visits, kind),
	.size = sizeof(uint32_t),
	.name = "kind",
	.names = kinds,
};
static const sb_schema_field *const visits_fields[] = {&field_count, &field_spent, &field_last_ms, &field_kind};
static const sb_state visits_state = {
	.struct_size = sizeof(sb_state),
	.kind = SB_STATE_STRUCT,
	.value_size = sizeof(struct visits),
	.ttl_ms = SB_TTL_JOB,
	.name = "visits",
	.fields = visits_fields,
	.field_count = sizeof(visits_fields) / sizeof(visits_fields[0]),
};
static const sb_state lasts_state = {
	.struct_size = sizeof(sb_state), .kind = SB_STATE_RAW, .ttl_ms = SB_TTL_NONE, .name = "lasts"};
static const sb_state *const states[] = {&visits_state, &lasts_state};

static const sb_component operator_component = {
	.struct_size = sizeof(sb_component),
	.kind = SB_KIND_OPERATOR,
	.id = "frozen-visits",
	.title = "Frozen visits",
	.doc = "Counts the visits of each user.",
	.ops = &operator_ops,
	.inputs = inputs,
	.input_count = sizeof(inputs) / sizeof(inputs[0]),
	.outputs = outputs,
	.output_count = sizeof(outputs) / sizeof(outputs[0]),
	.states = states,
	.state_count = sizeof(states) / sizeof(states[0]),
};

static const sb_component *const components[] = {&backend, &operator_component};
static const sb_plugin plugin = {
	.struct_size = sizeof(sb_plugin),
	.abi_major = SB_ABI_MAJOR,
	.abi_minor = SB_ABI_MINOR,
	.name = "frozen",
	.version = "1.0.0",
	.vendor = "sbhost",
	.license = "Apache-2.0",
	.doc = "A plugin of ABI 1.0, for ever.",
	.components = components,
	.component_count = sizeof(components) / sizeof(components[0]),
};
SB_PLUGIN_REGISTER(plugin, "frozen", "1.0.0");
