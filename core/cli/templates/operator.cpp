/* @name@: an operator for sbhost.
 *
 * Counts the purchases of each user and adds up what they spent. The host decodes and checks the events, routes them by key,
 * keeps and expires the state, and writes the records; what is left is the business itself. What each callback must keep is
 * told in sb_plugin.h: read the paragraph there before you change the one here. No exception may leave a callback:
 * sb::guard() (sb_plugin.hpp) makes a status of it. */
#include <algorithm>
#include <cstddef>
#include <cstring>
#include <limits>

#include "sb_plugin.hpp"

#define NAME "@name@"
#define VERSION "0.1.0"

namespace
{

/* What is kept of each user. It lies in every checkpoint, so once there are some: fields may be added, and their names stay. */
struct Totals {
	int64_t purchases;
	double spent;
};

enum { INPUT_USER_ID, INPUT_AMOUNT, INPUT_TIMESTAMP, INPUT_COUNT };
enum { OUTPUT_USER_ID, OUTPUT_PURCHASES, OUTPUT_SPENT, OUTPUT_COUNT };
enum { OPTION_EMIT_EVERY, OPTION_COUNT };
enum { STATE_TOTALS, STATE_COUNT };

} // namespace

struct sb_operator {
	const sb_host *host;
	sb_task *task;
	int64_t emit_every;
	uint64_t events; /* of all users; not keyed, so it goes through snapshot and restore */
};

namespace
{

int32_t operator_open(const sb_operator_config *config, sb_operator **ret_operator, sb_error *err)
{
	return sb::guard(err, [&] {
		*ret_operator =
			new sb_operator{config->host, config->task, config->options[OPTION_EMIT_EVERY].i64, 0};
	});
}

void operator_close(sb_operator *op) noexcept
{
	delete op;
}

/* Amounts near the end of their range would add up to infinity, which no record can hold. */
double add(double sum, double amount)
{
	constexpr double most = std::numeric_limits<double>::max();

	return std::min(std::max(sum + amount, -most), most);
}

/* The host keeps the cause of its own failures: their status is all that is passed on. */
int32_t process_one(sb_operator *op, const sb_event *events, uint64_t index)
{
	auto *totals = static_cast<Totals *>(op->task->state_upsert(op->task, STATE_TOTALS, index, nullptr));
	sb_value record[OUTPUT_COUNT] = {};

	if (!totals)
		return SB_ERR_NO_MEMORY;
	totals->purchases++;
	totals->spent = add(totals->spent, events[index].values[INPUT_AMOUNT].as.f64);
	if (totals->purchases % op->emit_every)
		return SB_OK;
	record[OUTPUT_USER_ID] = events[index].values[INPUT_USER_ID];
	record[OUTPUT_PURCHASES].as.i64 = totals->purchases;
	record[OUTPUT_SPENT].as.f64 = totals->spent;
	return op->task->emit(op->task, index, record);
}

int32_t operator_process(sb_operator *op, const sb_event *events, uint64_t n, sb_error *err)
{
	return sb::guard(err, [&]() -> int32_t {
		for (uint64_t i = 0; i < n; i++) {
			int32_t status = process_one(op, events, i);

			if (status != SB_OK)
				return status;
		}
		op->events += n;
		op->host->metric(op->host, SB_METRIC_GAUGE, "events", static_cast<double>(op->events));
		return SB_OK;
	});
}

int32_t operator_snapshot(sb_operator *op, sb_writer *writer, sb_error *err)
{
	return writer->write(writer, {reinterpret_cast<const uint8_t *>(&op->events), sizeof(op->events)}, err);
}

/* With another number of tasks than before there are several parts, or none: what is kept here can be added up. */
int32_t operator_restore(sb_operator *op, uint64_t n, const sb_slice *parts, sb_error *err)
{
	return sb::guard(err, [&] {
		for (uint64_t i = 0; i < n; i++) {
			uint64_t events;

			if (parts[i].len != sizeof(events))
				throw sb::error(SB_ERR_CORRUPT, "a part of the snapshot is not 8 bytes long");
			std::memcpy(&events, parts[i].ptr, sizeof(events));
			op->events += events;
		}
	});
}

const void *operator_extension(const char *) noexcept
{
	return nullptr;
}

/* --- what the host is told: constants, so that nothing runs when the file is loaded --- */

constexpr sb_field make_field(const char *name, uint32_t type, uint32_t flags, int32_t decimals, const char *doc)
{
	return {sizeof(sb_field), type, flags, decimals, name, doc};
}
constexpr sb_field in_user_id = make_field("user_id", SB_TYPE_STRING, SB_FIELD_KEY, 0, "Who bought.");
constexpr sb_field in_amount = make_field("amount", SB_TYPE_F64, 0, 0, "What was paid.");
constexpr sb_field in_timestamp = make_field("timestamp", SB_TYPE_TIME, SB_FIELD_EVENT_TIME, 0,
					     "When it was bought; expiry goes by it with --ttl-clock event.");
constexpr const sb_field *inputs[INPUT_COUNT] = {&in_user_id, &in_amount, &in_timestamp};

constexpr sb_field out_user_id = make_field("user_id", SB_TYPE_STRING, 0, 0, "The user.");
constexpr sb_field out_purchases = make_field("purchases", SB_TYPE_I64, 0, 0, "Purchases so far.");
constexpr sb_field out_spent = make_field("spent", SB_TYPE_F64, 0, 2, "Sum of all amounts so far.");
constexpr const sb_field *outputs[OUTPUT_COUNT] = {&out_user_id, &out_purchases, &out_spent};

constexpr sb_schema_field make_schema_field(const char *name, uint32_t type, uint32_t offset, uint32_t size)
{
	sb_schema_field field = {};

	field.struct_size = sizeof(field);
	field.type = type;
	field.offset = offset;
	field.size = size;
	field.name = name;
	return field;
}
constexpr sb_schema_field field_purchases =
	make_schema_field("purchases", SB_TYPE_I64, offsetof(Totals, purchases), sizeof(int64_t));
constexpr sb_schema_field field_spent =
	make_schema_field("spent", SB_TYPE_F64, offsetof(Totals, spent), sizeof(double));
constexpr const sb_schema_field *fields[] = {&field_purchases, &field_spent};

constexpr sb_state make_state()
{
	sb_state state = {};

	state.struct_size = sizeof(state);
	state.kind = SB_STATE_STRUCT;
	state.value_size = sizeof(Totals);
	state.ttl_ms = SB_TTL_JOB;
	state.name = "totals";
	state.fields = fields;
	state.field_count = 2;
	state.doc = "One for each user.";
	return state;
}
constexpr sb_state state_totals = make_state();
constexpr const sb_state *states[STATE_COUNT] = {&state_totals};

constexpr sb_option make_option()
{
	sb_option option = {};

	option.struct_size = sizeof(option);
	option.type = SB_OPTION_I64;
	option.name = "emit_every";
	option.default_text = "1";
	option.min = 1;
	option.max = INT32_MAX;
	option.doc = "Emit a record for every so many purchases of a user.";
	return option;
}
constexpr sb_option option_emit_every = make_option();
constexpr const sb_option *options[OPTION_COUNT] = {&option_emit_every};

constexpr sb_operator_ops make_ops()
{
	sb_operator_ops ops = {};

	ops.struct_size = sizeof(ops);
	ops.open = operator_open;
	ops.close = operator_close;
	ops.process = operator_process;
	ops.snapshot = operator_snapshot;
	ops.restore = operator_restore;
	ops.extension = operator_extension;
	return ops;
}
constexpr sb_operator_ops ops = make_ops();

constexpr sb_component make_component()
{
	sb_component component = {};

	component.struct_size = sizeof(component);
	component.kind = SB_KIND_OPERATOR;
	component.threads = SB_THREADS_INSTANCE;
	component.id = NAME;
	component.title = "@title@";
	component.doc = "Counts the purchases of each user and adds up what they spent.";
	component.options = options;
	component.option_count = OPTION_COUNT;
	component.ops = &ops;
	component.inputs = inputs;
	component.input_count = INPUT_COUNT;
	component.outputs = outputs;
	component.output_count = OUTPUT_COUNT;
	component.states = states;
	component.state_count = STATE_COUNT;
	return component;
}
constexpr sb_component component = make_component();
constexpr const sb_component *components[] = {&component};

constexpr sb_plugin make_plugin()
{
	sb_plugin plugin = {};

	plugin.struct_size = sizeof(plugin);
	plugin.abi_major = SB_ABI_MAJOR;
	plugin.abi_minor = SB_ABI_MINOR;
	plugin.name = NAME;
	plugin.version = VERSION;
	plugin.vendor = "you";
	plugin.license = "Apache-2.0";
	plugin.doc = "An operator for sbhost.";
	plugin.components = components;
	plugin.component_count = 1;
	return plugin;
}
constexpr sb_plugin plugin = make_plugin();

} // namespace

SB_PLUGIN_REGISTER(plugin, NAME, VERSION);
