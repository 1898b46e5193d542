/* A task: one operator instance, its keyed state, and the thread that runs them.
 *
 * Also the services that the operator is handed (sb_task). A service that fails keeps its cause here, and the batch
 * fails with it, whatever the operator makes of the status. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/slice.h"
#include "stream/pipeline_private.h"

#define MAINTAIN_PER_BATCH 512u
#define MAINTAIN_WHEN_IDLE 16384u

static struct task *task_of(sb_task *api)
{
	return (struct task *)api;
}

static void *api_state_upsert(sb_task *api, uint32_t state, uint64_t event, int32_t *ret_created)
{
	return keyed_state_upsert(task_of(api)->state, state, event, ret_created);
}

static const void *api_state_peek(sb_task *api, uint32_t state, uint64_t event)
{
	return keyed_state_peek(task_of(api)->state, state, event);
}

static int32_t api_state_delete(sb_task *api, uint32_t state, uint64_t event)
{
	return keyed_state_delete(task_of(api)->state, state, event);
}

static int32_t api_raw_get(sb_task *api, uint32_t state, uint64_t event, sb_slice sub_key, sb_slice *ret_value,
			   int32_t *ret_found)
{
	return keyed_state_raw_get(task_of(api)->state, state, event, sub_key, ret_value, ret_found);
}

static int32_t api_raw_put(sb_task *api, uint32_t state, uint64_t event, sb_slice sub_key, sb_slice value,
			   int64_t ttl_ms)
{
	return keyed_state_raw_put(task_of(api)->state, state, event, sub_key, value, ttl_ms);
}

static int32_t api_raw_delete(sb_task *api, uint32_t state, uint64_t event, sb_slice sub_key)
{
	return keyed_state_raw_delete(task_of(api)->state, state, event, sub_key);
}

static int32_t api_raw_scan(sb_task *api, uint32_t state, uint64_t event, sb_slice prefix, sb_scan_fn fn, void *arg)
{
	return keyed_state_raw_scan(task_of(api)->state, state, event, prefix, fn, arg);
}

static int32_t keep_failure(struct task *task, const sb_error *err)
{
	if (task->failure == SB_OK) {
		task->failure = err->code;
		task->failure_error = *err;
	}
	return task->failure;
}

static int32_t api_emit(sb_task *api, uint64_t event, const sb_value *values)
{
	struct task *task = task_of(api);
	int64_t begin_ns = 0;
	sb_error err;
	int32_t status;

	(void)event; /* records keep the order of the calls; the index is for later windows and timers */
	if (task->pipeline->config.output->kind == OUTPUT_NONE)
		return SB_OK;
	err.struct_size = sizeof(err);
	if (profile_begin_sample(&task->profile, &begin_ns)) {
		status = encoder_append(task->encoder, values, &task->records, &err);
		profile_end_sample(&task->profile, begin_ns);
	} else {
		status = encoder_append(task->encoder, values, &task->records, &err);
	}
	if (status == SB_OK)
		return SB_OK;
	error_prefix(&err, "%s emitted a record that cannot be written", task->operator->name);
	return keep_failure(task, &err);
}

static void *api_scratch(sb_task *api, uint64_t size_bytes)
{
	return arena_alloc(&task_of(api)->scratch, size_bytes);
}

static void init_api(struct task *task)
{
	task->api = (sb_task){
		.struct_size = sizeof(sb_task),
		.task_index = task->index,
		.task_count = task->pipeline->config.tasks,
		.state_upsert = api_state_upsert,
		.state_peek = api_state_peek,
		.state_delete = api_state_delete,
		.raw_get = api_raw_get,
		.raw_put = api_raw_put,
		.raw_delete = api_raw_delete,
		.raw_scan = api_raw_scan,
		.emit = api_emit,
		.scratch = api_scratch,
	};
}

static int32_t open_operator(struct task *task, const struct pipeline_task_config *part, sb_error *err)
{
	const struct pipeline_config *config = &task->pipeline->config;
	const struct plugin_env env = {.log = config->log,
				       .clock = config->clock,
				       .horizon_ms = part->horizon_ms,
				       .watchdog = config->watchdog};
	char name[32];
	int32_t status;

	snprintf(name, sizeof(name), "operator-%u", task->index);
	TRY(instance_open_operator(config->operator, name, config->operator_options, &task->api, &env, &task->operator,
				   err));
	if (part->provider_count == 0 || !config->operator->operator.restore)
		return SB_OK;
	status = CALL_PLUGIN(&task->operator->calls, "restore", err,
			     config->operator->operator.restore(task->operator->operator, part->provider_count,
								part->provider_parts, err));
	return status == SB_OK ? SB_OK : instance_fault(task->operator, "restore", status, err);
}

int32_t task_open(struct task *task, struct pipeline *p, uint32_t index, sb_error *err)
{
	const struct pipeline_task_config *part = &p->config.task_configs[index];
	const bool in_memory = part->backend->component->flags & SB_BACKEND_IN_MEMORY;
	const struct keyed_state_config state = {
		.backend = part->backend,
		.schema = p->config.schema,
		.key_groups = p->config.key_groups,
		.backend_empty = part->backend_empty,
		.cache_bytes = in_memory ? 0 : p->config.cache_bytes / p->config.tasks,
		.hold = &task->hold,
	};

	task->pipeline = p;
	task->index = index;
	write_hold_init(&task->hold);
	task->backend = part->backend;
	task->horizon_ms = part->horizon_ms;
	task->next_metrics = p->config.metrics_every;
	init_api(task);
	TRY(queue_init(&task->queue, QUEUE_BATCHES, err));
	TRY(keyed_state_open(&state, &task->state, err));
	TRY(encoder_new(p->config.operator->outputs, p->config.operator->output_count, &task->encoder, err));
	return open_operator(task, part, err);
}

void task_close(struct task *task)
{
	struct batch *batch;

	instance_close(task->operator);
	encoder_free(task->encoder);
	keyed_state_close(task->state);
	buffer_done(&task->records);
	arena_done(&task->scratch);
	while (task->queue.items && (batch = queue_try_pop(&task->queue)))
		batch_free(batch);
	queue_done(&task->queue);
	write_hold_done(&task->hold);
}

static int32_t call_operator(struct task *task, const struct batch *batch, sb_error *err)
{
	int32_t status;

	status = CALL_PLUGIN(&task->operator->calls, "process", err,
			     task->operator->component->operator.process(task->operator->operator, batch->events,
									 batch->count, err));
	arena_reset(&task->scratch);
	/* Our own failures first: the operator only passes their status on. */
	TRY(keyed_state_failure(task->state, err));
	if (task->failure != SB_OK) {
		*err = task->failure_error;
		return task->failure;
	}
	return status == SB_OK ? SB_OK : instance_fault(task->operator, "process", status, err);
}

static void count_events(struct task *task, uint32_t n)
{
	uint64_t events = atomic_fetch_add_explicit(&task->events, n, memory_order_relaxed) + n;

	if (task->pipeline->config.metrics_every && events >= task->next_metrics) {
		task_log_metrics(task);
		task->next_metrics = events + task->pipeline->config.metrics_every;
	}
}

/* The backend's upkeep. The horizon stands still while a checkpoint may still read the view of its barrier. */
static int32_t maintain(struct task *task, const struct batch *batch, sb_error *err)
{
	const sb_backend_ops *ops = &task->backend->component->backend;
	uint64_t purged;
	int32_t status;

	if (write_hold_is_set(&task->hold))
		return SB_OK;

	if (!atomic_load(&task->pipeline->view_open) && batch->horizon_ms > atomic_load(task->horizon_ms))
		atomic_store(task->horizon_ms, batch->horizon_ms);
	status = CALL_PLUGIN(&task->backend->calls, "maintain", err,
			     ops->maintain(task->backend->backend,
					   batch->count ? MAINTAIN_PER_BATCH : MAINTAIN_WHEN_IDLE, &purged, err));
	if (status == SB_OK || status == SB_ERR_UNSUPPORTED)
		return SB_OK;
	return instance_fault(task->backend, "maintain", status, err);
}

static int32_t process(struct task *task, const struct batch *batch, sb_error *err)
{
	struct output *output = task->pipeline->config.output;

	if (batch->count) {
		TRY(keyed_state_begin(task->state, batch->events, batch->hashes, batch->count, err));
		profile_lap(&task->profile, PROFILE_STATE);
		TRY(call_operator(task, batch, err));
		profile_lap_with_part(&task->profile, PROFILE_OPERATOR, PROFILE_ENCODE);
		TRY(keyed_state_end(task->state, err));
		profile_lap(&task->profile, PROFILE_STATE);
		TRY(buffer_check(&task->records, err));
		TRY(output_append(output, buffer_slice(&task->records), err));
		buffer_clear(&task->records);
		count_events(task, batch->count);
	}
	/* Nothing behind it: whoever reads the output need not wait for a full buffer. */
	if (queue_is_empty(&task->queue))
		TRY(output_flush(output, err));
	profile_lap(&task->profile, PROFILE_OUTPUT);
	TRY(maintain(task, batch, err));
	profile_lap(&task->profile, PROFILE_STATE);
	return SB_OK;
}

/* The next batch. While there is none, and something is frozen, there is time for that. */
static int32_t next_batch(struct task *task, struct batch **ret_batch, sb_error *err)
{
	*ret_batch = NULL;
	while (task->thaw.running && !atomic_load(&task->pipeline->closing)) {
		*ret_batch = queue_try_pop(&task->queue);
		if (*ret_batch)
			return SB_OK;
		TRY(thaw_when_idle(task, err));
		profile_lap(&task->profile, PROFILE_CHECKPOINT);
	}
	*ret_batch = queue_pop(&task->queue);
	profile_lap(&task->profile, *ret_batch ? PROFILE_WAIT : PROFILE_IDLE);
	return SB_OK;
}

static int32_t take_batch(struct task *task, const struct batch *batch, sb_error *err)
{
	if (batch->barrier) {
		TRY(barrier_arrive(task, err));
	} else {
		TRY(process(task, batch, err));
		if (task->thaw.running)
			TRY(thaw_beside_work(task, err));
	}
	profile_lap(&task->profile, PROFILE_CHECKPOINT);
	return SB_OK;
}

void *task_run(void *argument)
{
	struct task *task = argument;
	struct pipeline *p = task->pipeline;
	sb_error err = ERROR_INIT;
	struct batch *batch;

	profile_start(&task->profile, p->config.profile ? p->config.clock : NULL);
	while (!atomic_load(&p->closing)) {
		int32_t status = next_batch(task, &batch, &err);

		if (batch) {
			status = take_batch(task, batch, &err);
			batch_reset(batch);
			if (!queue_push(&p->free_batches, batch))
				batch_free(batch);
		}
		if (status != SB_OK)
			pipeline_fail(p, &err);
		if (status != SB_OK || !batch)
			break;
	}
	profile_stop(&task->profile, PROFILE_IDLE);
	return NULL;
}
