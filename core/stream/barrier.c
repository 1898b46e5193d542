/* The barrier: how a consistent cut is taken; see pipeline.h.
 *
 * Between first arrival and release nothing is processed, so at the moment the last task arrives, the output holds
 * exactly the records of the events before the barrier: its length is part of the cut. The
 * dead letters' length and all positions are the reader's, taken when it made the barrier.
 *
 * Locks: barrier.mutex, then pipeline.mutex; never the other way. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "stream/pipeline_private.h"

void barrier_init(struct barrier *barrier)
{
	pthread_mutex_init(&barrier->mutex, NULL);
	pthread_cond_init(&barrier->released_changed, NULL);
}

void barrier_done(struct barrier *barrier)
{
	checkpoint_cut_free(barrier->cut);
	pthread_cond_destroy(&barrier->released_changed);
	pthread_mutex_destroy(&barrier->mutex);
}

static int32_t copy_text(char **ret_copy, const char *text, sb_error *err)
{
	*ret_copy = strdup(text);
	return *ret_copy ? SB_OK : error_no_memory(err);
}

static int32_t describe_partition(const struct partition *partition, struct partition_meta *meta, sb_error *err)
{
	struct source_identity identity;

	TRY(source_identity(partition->source, &identity, err));
	meta->name = identity.name;
	meta->offset = partition->offset;
	meta->watermark_ms = partition->watermark_ms;
	meta->head_bytes = identity.head_bytes;
	meta->head_hash = identity.head_hash;
	meta->size = identity.size;
	meta->generator_users = identity.generator.users;
	meta->generator_rate = identity.generator.rate;
	meta->generator_seed = identity.generator.seed;
	meta->generator_count = identity.generator.count;
	meta->finished = partition->finished;
	return SB_OK;
}

static int32_t describe_output(struct checkpoint_meta *meta, struct output *output, sb_error *err)
{
	struct output_meta *slot = &meta->outputs[meta->output_count];

	/* What is no regular file cannot be cut back: devices and pipes are like standard output. */
	if (output->kind != OUTPUT_FILE || (output->fd >= 0 && !output->is_regular))
		return SB_OK;
	meta->output_count++;
	TRY(copy_text(&slot->role, output->role, err));
	TRY(copy_text(&slot->path, output->path, err));
	slot->length = output_length(output);
	return SB_OK;
}

/* By a round trip through its own text: the cut outlives the pipeline's schema by no rule, and a copy costs nothing here. */
static int32_t copy_schema(const struct schema *schema, struct schema *ret_copy, sb_error *err)
{
	struct buffer text = BUFFER_INIT;
	int32_t status;

	schema_to_json(schema, &text);
	status = buffer_check(&text, err);
	if (status == SB_OK)
		status = schema_from_json(buffer_slice(&text), ret_copy, err);
	buffer_done(&text);
	return status;
}

/* The time by which expiry is decided for what comes next: events behind the barrier have no earlier clock. */
static int64_t clock_at_cut(const struct pipeline *p)
{
	int64_t lowest = INT64_MAX;
	int64_t lowest_of_all = INT64_MAX; /* a file that was read to its end may have grown at the next start */

	if (!p->config.event_time)
		return p->clock_ms;
	for (uint32_t i = 0; i < p->config.partition_count; i++) {
		const struct partition *partition = &p->config.partitions[i];

		if (!partition->finished && partition->watermark_ms < lowest)
			lowest = partition->watermark_ms;
		if (partition->watermark_ms < lowest_of_all)
			lowest_of_all = partition->watermark_ms;
	}
	return lowest == INT64_MAX ? lowest_of_all : lowest;
}

static int32_t describe_job(const struct pipeline *p, struct checkpoint_meta *meta, sb_error *err)
{
	const struct pipeline_config *config = &p->config;

	meta->kind = CHECKPOINT_FULL;
	meta->key_groups = config->key_groups;
	meta->cut_ms = clock_at_cut(p);
	meta->timestamp_ns = clock_wall_ns(config->clock);
	meta->events = config->events_before + atomic_load(&p->decoded);
	TRY(copy_text(&meta->host_version, SBHOST_VERSION, err));
	TRY(copy_text(&meta->operator_id, config->operator->id, err));
	TRY(copy_text(&meta->operator_version, config->operator_version, err));
	TRY(copy_text(&meta->backend_id, config->backend_id, err));
	TRY(copy_text(&meta->backend_version, config->backend_version, err));
	TRY(copy_text(&meta->ttl_clock, config->event_time ? "event" : "wall", err));
	TRY(copy_schema(config->schema, &meta->schema, err));
	meta->partitions = calloc(config->partition_count + 1, sizeof(*meta->partitions));
	meta->outputs = calloc(2, sizeof(*meta->outputs));
	if (!meta->partitions || !meta->outputs)
		return error_no_memory(err);
	for (uint32_t i = 0; i < config->partition_count; i++) {
		meta->partition_count++;
		TRY(describe_partition(&config->partitions[i], &meta->partitions[i], err));
	}
	return describe_output(meta, config->dead_letters, err);
}

static int32_t make_cut(const struct pipeline *p, struct checkpoint_cut **ret_cut, sb_error *err)
{
	struct checkpoint_cut *cut = calloc(1, sizeof(*cut));
	int32_t status;

	if (!cut)
		return error_no_memory(err);
	cut->tasks = calloc(p->config.tasks, sizeof(*cut->tasks));
	if (cut->tasks)
		cut->meta.tasks = p->config.tasks;
	status = cut->tasks ? describe_job(p, &cut->meta, err) : error_no_memory(err);
	if (status != SB_OK) {
		checkpoint_cut_free(cut);
		return status;
	}
	*ret_cut = cut;
	return SB_OK;
}

int32_t barrier_inject(struct pipeline *p, sb_error *err)
{
	struct barrier *barrier = &p->barrier;

	atomic_store(&p->view_open, true);
	TRY(output_flush(p->config.dead_letters, err));
	TRY(make_cut(p, &barrier->cut, err));
	for (uint32_t i = 0; i < p->config.tasks; i++) {
		struct batch *batch = queue_pop(&p->free_batches);

		if (!batch)
			return SB_OK; /* closed: the pipeline ends */
		batch->barrier = barrier;
		if (!queue_push(&p->tasks[i].queue, batch))
			batch_free(batch);
	}
	return SB_OK;
}

static int32_t write_provider(sb_writer *writer, sb_slice bytes, sb_error *err)
{
	struct buffer *buffer = writer->context;

	if (bytes.len > ((uint64_t)16 << 20) - buffer->len)
		return error_set(err, SB_ERR_NO_SPACE, "an operator's own snapshot has 16 MiB at most");
	buffer_append_slice(buffer, bytes);
	return buffer_check(buffer, err);
}

static int32_t snapshot_operator(struct task *task, struct cut_task *part, sb_error *err)
{
	sb_writer writer = {.struct_size = sizeof(writer), .context = &part->provider, .write = write_provider};
	const sb_operator_ops *ops = &task->operator->component->operator;
	int32_t status;

	part->operator= task->operator;
	if (!ops->snapshot)
		return SB_OK;
	part->has_provider = true;
	instance_expect(err);
	status = ops->snapshot(task->operator->operator, & writer, err);
	return status == SB_OK ? SB_OK : instance_fault(task->operator, "snapshot", status, err);
}

static int32_t snapshot_task(struct task *task, struct cut_task *part, sb_error *err)
{
	const sb_iter_options all = {.struct_size = sizeof(all)};
	int32_t status;

	TRY(keyed_state_flush(task->state, err));
	part->backend = task->backend;
	instance_expect(err);
	status = task->backend->component->backend.iter_open(task->backend->backend, &all, &part->iter, err);
	if (status != SB_OK)
		return instance_fault(task->backend, "iter_open", status, err);
	return snapshot_operator(task, part, err);
}

/* With the barrier's mutex held, by the last to arrive. */
static int32_t complete(struct pipeline *p, sb_error *err)
{
	struct barrier *barrier = &p->barrier;
	struct checkpoint_cut *cut = barrier->cut;

	TRY(output_flush(p->config.output, err));
	TRY(describe_output(&cut->meta, p->config.output, err));
	cut->pause_ns = clock_monotonic_ns(p->config.clock) - barrier->first_arrival_ns;
	barrier->cut = NULL;
	barrier->arrived = 0;
	barrier->first_arrival_ns = 0;
	barrier->generation++;
	pthread_cond_broadcast(&barrier->released_changed);
	/* Last: once it is handed over it may be written, and the next one requested, before we go on. */
	coordinator_submit(p->coordinator, cut);
	return SB_OK;
}

/* Without stable iterators, writes would show in the snapshot that is being read. Waits for one checkpoint by its
 * number: when this thread wakes, the next one may be requested already, and that one waits for us. */
static void wait_until_written(struct pipeline *p, uint64_t number)
{
	pthread_mutex_lock(&p->mutex);
	while (p->ended_checkpoints <= number && !p->status.failed && !atomic_load(&p->closing))
		pthread_cond_wait(&p->checkpoint_ended, &p->mutex);
	pthread_mutex_unlock(&p->mutex);
}

int32_t barrier_arrive(struct task *task, sb_error *err)
{
	struct pipeline *p = task->pipeline;
	struct barrier *barrier = &p->barrier;
	int64_t now_ns = clock_monotonic_ns(p->config.clock);
	uint64_t generation;
	int32_t status;

	pthread_mutex_lock(&barrier->mutex);
	if (barrier->first_arrival_ns == 0)
		barrier->first_arrival_ns = now_ns;
	pthread_mutex_unlock(&barrier->mutex);

	status = snapshot_task(task, &barrier->cut->tasks[task->index], err);

	pthread_mutex_lock(&barrier->mutex);
	generation = barrier->generation;
	if (status == SB_OK && ++barrier->arrived == p->config.tasks)
		status = complete(p, err);
	while (status == SB_OK && barrier->generation == generation && !atomic_load(&p->closing))
		pthread_cond_wait(&barrier->released_changed, &barrier->mutex);
	pthread_mutex_unlock(&barrier->mutex);
	if (status == SB_OK && !(task->backend->component->flags & SB_BACKEND_STABLE_ITER))
		wait_until_written(p, generation); /* checkpoints are counted by releases */
	if (status == SB_OK)
		task_log_figures(task);
	return status;
}
