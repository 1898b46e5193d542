/* @name@: an operator for sbhost.
 *
 * Counts the purchases of each user and adds up what they spent. The host decodes and checks the events, routes them by key,
 * keeps and expires the state, and writes the records; what is left is the business itself. What each callback must keep is
 * told in sb_plugin.h: read the paragraph there before you change the one here. */
#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sb_plugin.h"

#define NAME "@name@"
#define VERSION "0.1.0"
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* What is kept of each user. It lies in every checkpoint, so once there are some: fields may be added, and their names stay. */
struct totals {
	int64_t purchases;
	double spent;
};

struct sb_operator {
	const sb_host *host;
	sb_task *task;
	int64_t emit_every;
	uint64_t events; /* of all users; not keyed, so it goes through snapshot and restore */
};

enum { INPUT_USER_ID, INPUT_AMOUNT, INPUT_TIMESTAMP, INPUT_COUNT };
enum { OUTPUT_USER_ID, OUTPUT_PURCHASES, OUTPUT_SPENT, OUTPUT_COUNT };
enum { OPTION_EMIT_EVERY, OPTION_COUNT };
enum { STATE_TOTALS, STATE_COUNT };

/* --- callbacks ----------------------------------------------------------------- */

static int32_t fail(sb_error *err, int32_t code, const char *message)
{
	snprintf(err->message, sizeof(err->message), "%s", message);
	err->code = code;
	return code;
}

static int32_t operator_open(const sb_operator_config *config, sb_operator **ret_operator, sb_error *err)
{
	sb_operator *op = calloc(1, sizeof(*op));

	if (!op)
		return fail(err, SB_ERR_NO_MEMORY, "out of memory");
	op->host = config->host;
	op->task = config->task;
	op->emit_every = config->options[OPTION_EMIT_EVERY].i64;
	*ret_operator = op;
	return SB_OK;
}

static void operator_close(sb_operator *op)
{
	free(op);
}

/* Amounts near the end of their range would add up to infinity, which no record can hold. */
static double add(double sum, double amount)
{
	sum += amount;
	return sum > DBL_MAX ? DBL_MAX : sum < -DBL_MAX ? -DBL_MAX : sum;
}

static int32_t emit(const sb_operator *op, const sb_event *events, uint64_t index, const struct totals *totals)
{
	const sb_value record[OUTPUT_COUNT] = {
		[OUTPUT_USER_ID] = events[index].values[INPUT_USER_ID],
		[OUTPUT_PURCHASES] = {.as = {.i64 = totals->purchases}},
		[OUTPUT_SPENT] = {.as = {.f64 = totals->spent}},
	};

	return op->task->emit(op->task, index, record);
}

/* The host keeps the cause of its own failures, so err is for those that this operator finds itself. */
static int32_t operator_process(sb_operator *op, const sb_event *events, uint64_t n, sb_error *err)
{
	(void)err;
	for (uint64_t i = 0; i < n; i++) {
		struct totals *totals = op->task->state_upsert(op->task, STATE_TOTALS, i, NULL);
		int32_t status;

		if (!totals)
			return SB_ERR_NO_MEMORY;
		totals->purchases++;
		totals->spent = add(totals->spent, events[i].values[INPUT_AMOUNT].as.f64);
		if (totals->purchases % op->emit_every)
			continue;
		status = emit(op, events, i, totals);
		if (status != SB_OK)
			return status;
	}
	op->events += n;
	op->host->metric(op->host, SB_METRIC_GAUGE, "events", (double)op->events);
	return SB_OK;
}

static int32_t operator_snapshot(sb_operator *op, sb_writer *writer, sb_error *err)
{
	return writer->write(writer, (sb_slice){(const uint8_t *)&op->events, sizeof(op->events)}, err);
}

/* With another number of tasks than before there are several parts, or none: what is kept here can be added up. */
static int32_t operator_restore(sb_operator *op, uint64_t n, const sb_slice *parts, sb_error *err)
{
	for (uint64_t i = 0; i < n; i++) {
		uint64_t events;

		if (parts[i].len != sizeof(events))
			return fail(err, SB_ERR_CORRUPT, "a part of the snapshot is not 8 bytes long");
		memcpy(&events, parts[i].ptr, sizeof(events));
		op->events += events;
	}
	return SB_OK;
}

static const void *operator_extension(const char *id)
{
	(void)id;
	return NULL;
}

/* --- what the host is told ----------------------------------------------------- */

static const sb_field in_user_id = {
	.struct_size = sizeof(sb_field),
	.type = SB_TYPE_STRING,
	.flags = SB_FIELD_KEY,
	.name = "user_id",
	.doc = "Who bought.",
};
static const sb_field in_amount = {
	.struct_size = sizeof(sb_field),
	.type = SB_TYPE_F64,
	.name = "amount",
	.doc = "What was paid.",
};
static const sb_field in_timestamp = {
	.struct_size = sizeof(sb_field),
	.type = SB_TYPE_TIME,
	.flags = SB_FIELD_EVENT_TIME,
	.name = "timestamp",
	.doc = "When it was bought; expiry goes by it with --ttl-clock event.",
};
static const sb_field *const inputs[INPUT_COUNT] = {
	[INPUT_USER_ID] = &in_user_id,
	[INPUT_AMOUNT] = &in_amount,
	[INPUT_TIMESTAMP] = &in_timestamp,
};

static const sb_field out_user_id = {
	.struct_size = sizeof(sb_field),
	.type = SB_TYPE_STRING,
	.name = "user_id",
	.doc = "The user.",
};
static const sb_field out_purchases = {
	.struct_size = sizeof(sb_field),
	.type = SB_TYPE_I64,
	.name = "purchases",
	.doc = "Purchases so far.",
};
static const sb_field out_spent = {
	.struct_size = sizeof(sb_field),
	.type = SB_TYPE_F64,
	.decimals = 2,
	.name = "spent",
	.doc = "Sum of all amounts so far.",
};
static const sb_field *const outputs[OUTPUT_COUNT] = {
	[OUTPUT_USER_ID] = &out_user_id,
	[OUTPUT_PURCHASES] = &out_purchases,
	[OUTPUT_SPENT] = &out_spent,
};

static const sb_schema_field field_purchases = {
	.struct_size = sizeof(sb_schema_field),
	.type = SB_TYPE_I64,
	.offset = offsetof(struct totals, purchases),
	.size = sizeof(int64_t),
	.name = "purchases",
};
static const sb_schema_field field_spent = {
	.struct_size = sizeof(sb_schema_field),
	.type = SB_TYPE_F64,
	.offset = offsetof(struct totals, spent),
	.size = sizeof(double),
	.name = "spent",
};
static const sb_schema_field *const fields[] = {&field_purchases, &field_spent};

static const sb_state state_totals = {
	.struct_size = sizeof(sb_state),
	.kind = SB_STATE_STRUCT,
	.value_size = sizeof(struct totals),
	.ttl_ms = SB_TTL_JOB,
	.name = "totals",
	.fields = fields,
	.field_count = COUNT_OF(fields),
	.doc = "One for each user.",
};
static const sb_state *const states[STATE_COUNT] = {[STATE_TOTALS] = &state_totals};

static const sb_option option_emit_every = {
	.struct_size = sizeof(sb_option),
	.type = SB_OPTION_I64,
	.name = "emit_every",
	.default_text = "1",
	.min = 1,
	.max = INT32_MAX,
	.doc = "Emit a record for every so many purchases of a user.",
};
static const sb_option *const options[OPTION_COUNT] = {[OPTION_EMIT_EVERY] = &option_emit_every};

static const sb_operator_ops ops = {
	.struct_size = sizeof(sb_operator_ops),
	.open = operator_open,
	.close = operator_close,
	.process = operator_process,
	.snapshot = operator_snapshot,
	.restore = operator_restore,
	.extension = operator_extension,
};

static const sb_component component = {
	.struct_size = sizeof(sb_component),
	.kind = SB_KIND_OPERATOR,
	.threads = SB_THREADS_INSTANCE,
	.id = NAME,
	.title = "@title@",
	.doc = "Counts the purchases of each user and adds up what they spent.",
	.options = options,
	.option_count = OPTION_COUNT,
	.ops = &ops,
	.inputs = inputs,
	.input_count = INPUT_COUNT,
	.outputs = outputs,
	.output_count = OUTPUT_COUNT,
	.states = states,
	.state_count = STATE_COUNT,
};
static const sb_component *const components[] = {&component};

static const sb_plugin plugin = {
	.struct_size = sizeof(sb_plugin),
	.abi_major = SB_ABI_MAJOR,
	.abi_minor = SB_ABI_MINOR,
	.name = NAME,
	.version = VERSION,
	.vendor = "you",
	.license = "Apache-2.0",
	.doc = "An operator for sbhost.",
	.components = components,
	.component_count = COUNT_OF(components),
};

SB_PLUGIN_REGISTER(plugin, NAME, VERSION);
