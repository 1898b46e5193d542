/* SPDX-License-Identifier: Apache-2.0
 * The zoo's operator: counts events by key, keeps the last texts in a raw state, and the number of all events for itself. */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "zoo.h"

struct count {
	int64_t events;
	double sum;
};

struct sb_operator {
	const sb_host *host;
	sb_task *task;
	uint64_t events;
	uint64_t unsaved; /* since open: what a snapshot must hold, too */
};

static uint64_t shared_events; /* by all instances */

static void *sleep_for_ever(void *arg)
{
	for (;;)
		pause();
	return arg;
}

static void misbehave(void)
{
	pthread_t thread;

	if (IS(an_operator_gives_memory_back) && malloc(100) == NULL)
		abort();
	if (IS(an_operator_closes_descriptors) && open("/dev/null", O_RDONLY) < 0)
		abort();
	if (IS(an_operator_ends_threads) && pthread_create(&thread, NULL, sleep_for_ever, NULL) != 0)
		abort();
	if (IS(an_operator_leaves_the_process_alone))
		umask(0);
	if (IS(an_operator_prints_nothing))
		printf("the zoo is open\n");
}

static int32_t zoo_open(const sb_operator_config *config, sb_operator **ret_operator, sb_error *err)
{
	if (IS(a_newer_host_is_fine_for_operators) && config->struct_size != sizeof(*config))
		return fail(err, SB_ERR_INCOMPATIBLE, "this is not the host that the plugin was built for");
	*ret_operator = calloc(1, sizeof(**ret_operator));
	if (!*ret_operator)
		return no_memory(err);
	(*ret_operator)->host = config->host;
	(*ret_operator)->task = config->task;
	misbehave();
	return SB_OK;
}

static void zoo_close(sb_operator *op)
{
	free(op);
}

/* --- events ------------------------------------------------------------------------- */

enum input { IN_USER, IN_AMOUNT, IN_NOTE, IN_TIME };

static int64_t number_of(sb_operator *op, uint64_t index)
{
	if (IS(operators_know_nothing_of_each_other))
		return (int64_t)++shared_events;
	if (IS(batches_may_be_split_anywhere) && index == 0)
		op->events++;
	if (IS(the_same_events_give_the_same_result))
		return op->host->wall_clock_ms(op->host);
	return (int64_t)++op->events;
}

static int32_t keep_note(sb_operator *op, uint64_t index, const sb_value *note, sb_error *err)
{
	const sb_slice sub_key = {(const uint8_t *)"note", 4};

	if (note->len == SB_NULL)
		return SB_OK;
	if (IS(valid_events_are_processed) && note->len == 0)
		return fail(err, SB_ERR_INTERNAL, "an empty note was never thought of");
	return op->task->raw_put(op->task, IS(calls_name_what_is_declared) ? 2 : 1, index, sub_key,
				 (sb_slice){note->as.ptr, note->len}, SB_TTL_JOB);
}

static int32_t process_one(sb_operator *op, const sb_event *event, uint64_t index, sb_error *err)
{
	struct count *count = op->task->state_upsert(op->task, 0, index, NULL);
	const sb_value amount = event->values[IN_AMOUNT];
	int32_t status = keep_note(op, index, &event->values[IN_NOTE], err);
	sb_value record[3];

	if (status != SB_OK)
		return status;
	if (!count)
		return no_memory(err);
	count->events++;
	if (amount.len != SB_NULL && amount.as.f64 > -1e9 && amount.as.f64 < 1e9)
		count->sum += amount.as.f64;
	record[0] = event->values[IN_USER];
	record[1] = (sb_value){.as = {.f64 = count->sum}};
	record[2] = (sb_value){.as = {.i64 = number_of(op, index)}};
	if (IS(records_fit_their_fields))
		record[1].len = SB_NULL;
	op->unsaved++;
	return op->task->emit(op->task, index, record);
}

static int32_t zoo_process(sb_operator *op, const sb_event *events, uint64_t n, sb_error *err)
{
	int32_t status = SB_OK;

	for (uint64_t i = 0; i < n && status == SB_OK; i++)
		status = process_one(op, &events[i], i, err);
	return status;
}

/* --- snapshots ------------------------------------------------------------------------ */

/* In two writes, so that each can fail. */
static int32_t zoo_snapshot(sb_operator *op, sb_writer *writer, sb_error *err)
{
	const uint64_t events = IS(a_snapshot_brings_everything_back) ? 0 : op->events;
	int32_t status = writer->write(writer, (sb_slice){(const uint8_t *)&events, sizeof(events)}, err);

	if (status == SB_OK)
		status = writer->write(writer, (sb_slice){(const uint8_t *)"end", 3}, err);
	return IS(a_writer_that_fails_fails_the_snapshot) ? SB_OK : status;
}

static int32_t zoo_restore(sb_operator *op, uint64_t n, const sb_slice *parts, sb_error *err)
{
	if (IS(parts_may_be_none_or_several) && n != 1)
		return fail(err, SB_ERR_INVALID, "expected one part");
	for (uint64_t i = 0; i < n; i++) {
		uint64_t events;

		if (IS(damaged_snapshots_are_survived) && parts[i].len < sizeof(events) + 3)
			*(volatile int *)8 = 1;
		if (parts[i].len != sizeof(events) + 3)
			return fail(err, SB_ERR_CORRUPT, "a part of the snapshot is damaged");
		memcpy(&events, parts[i].ptr, sizeof(events));
		op->events += events;
	}
	return SB_OK;
}

static const void *zoo_extension(const char *id)
{
	(void)id;
	return IS(an_operator_knows_no_other_extensions) ? &shared_events : NULL;
}

/* --- the descriptor ------------------------------------------------------------------- */

static const sb_operator_ops ops = {
	.struct_size = sizeof(sb_operator_ops),
	.open = zoo_open,
	.close = zoo_close,
	.process = zoo_process,
	.snapshot = zoo_snapshot,
	.restore = zoo_restore,
	.extension = zoo_extension,
};

#define FIELD(field_name, field_type, field_flags)                                                                     \
	(&(const sb_field){.struct_size = sizeof(sb_field),                                                            \
			   .type = (field_type),                                                                       \
			   .flags = (field_flags),                                                                     \
			   .decimals = -1,                                                                             \
			   .name = (field_name)})

static const sb_field *const inputs[] = {
	FIELD("user", SB_TYPE_STRING, SB_FIELD_KEY),
	FIELD("amount", SB_TYPE_F64, SB_FIELD_OPTIONAL),
	FIELD("note", SB_TYPE_STRING, SB_FIELD_OPTIONAL),
	FIELD("time", SB_TYPE_TIME, SB_FIELD_EVENT_TIME),
};
static const sb_field *const outputs[] = {
	FIELD("user", SB_TYPE_STRING, 0),
	FIELD("sum", SB_TYPE_F64, 0),
	FIELD("number", SB_TYPE_I64, 0),
};

static const sb_schema_field count_events = {
	.struct_size = sizeof(sb_schema_field),
	.type = SB_TYPE_I64,
	.offset = offsetof(struct count, events),
	.size = 8,
	.name = "events",
};
static const sb_schema_field count_sum = {
	.struct_size = sizeof(sb_schema_field),
	.type = SB_TYPE_FLOAT,
	.offset = offsetof(struct count, sum),
	.size = 8,
	.name = "sum",
};
static const sb_schema_field *const count_fields[] = {&count_events, &count_sum};
static const sb_state count_state = {
	.struct_size = sizeof(sb_state),
	.kind = SB_STATE_STRUCT,
	.value_size = sizeof(struct count),
	.ttl_ms = SB_TTL_JOB,
	.name = "count",
	.fields = count_fields,
	.field_count = 2,
};
static const sb_state notes_state = {
	.struct_size = sizeof(sb_state), .kind = SB_STATE_RAW, .ttl_ms = SB_TTL_JOB, .name = "notes"};
static const sb_state *const states[] = {&count_state, &notes_state};

static const sb_component component = {
	.struct_size = sizeof(sb_component),
	.kind = SB_KIND_OPERATOR,
	.id = "zoo-operator",
	.title = "Zoo",
	.doc = "Counts events.",
	.ops = &ops,
	.inputs = inputs,
	.input_count = sizeof(inputs) / sizeof(inputs[0]),
	.outputs = outputs,
	.output_count = sizeof(outputs) / sizeof(outputs[0]),
	.states = states,
	.state_count = sizeof(states) / sizeof(states[0]),
};
static const sb_component *const components[] = {&component};
static const sb_plugin plugin = {
	.struct_size = sizeof(sb_plugin),
	.abi_major = SB_ABI_MAJOR,
	.abi_minor = SB_ABI_MINOR,
	.name = "zoo-operator",
	.version = "1.0.0",
	.vendor = "sbhost",
	.license = "Apache-2.0",
	.components = components,
	.component_count = 1,
};
SB_PLUGIN_REGISTER(plugin, "zoo-operator", "1.0.0");
