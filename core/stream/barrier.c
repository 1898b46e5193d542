/* The barrier: how a consistent cut is taken; see pipeline.h.
 *
 * Between first arrival and release nothing is processed, so at the moment the last task arrives, the output holds
 * exactly the records of the events before the barrier: its length is part of the cut. The
 * dead letters' length and all positions are the reader's, taken when it made the barrier.
 *
 * At the barrier a task only freezes what it has changed and takes its operator's snapshot; what grows with the state comes
 * after the release (thaw.c). A task whose backend has everything that it froze opens the view of the checkpoint on it: at the
 * barrier, when nothing was frozen (all backends in memory), else between two later batches. The last one to do so hands the cut over.
 *
 * Locks: barrier.mutex, then pipeline.mutex; never the other way. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "plugin/extensions.h"
#include "stream/pipeline_private.h"

/* A chain: the full one and so many more at most, and no longer than half of the full one, or so. */
#define CHAIN_MAX 16u
#define CHAIN_SLACK_BYTES (64 << 10)

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

	meta->kind = p->mode == CUT_FILES ? CHECKPOINT_INCREMENTAL : CHECKPOINT_FULL;
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

/* A parent that somebody removed is no parent. */
static bool chain_is_there(struct pipeline *p)
{
	for (uint32_t i = 0; i < p->chain.count; i++) {
		AUTO(free_memory) char *path = checkpoint_store_path(p->config.store, p->chain.ids[i]);
		sb_error ignored = ERROR_INIT;
		bool exists = false;
		struct stat st;

		if (!path || io_lstat(p->config.io, path, &st, &exists, &ignored) != SB_OK || !exists)
			return false;
	}
	return p->chain.count > 0;
}

/* Whether this checkpoint holds changes. */
static int32_t choose_parent(struct pipeline *p, struct checkpoint_meta *meta, sb_error *err)
{
	int32_t status = SB_OK;

	pthread_mutex_lock(&p->mutex);
	p->barrier.last_succeeded = p->chain.last_succeeded;
	p->chain.last_succeeded = false;
	if (p->mode == CUT_CHANGES && p->chain.count < CHAIN_MAX &&
	    p->chain.delta_bytes <= p->chain.base_bytes / 2 + CHAIN_SLACK_BYTES && chain_is_there(p)) {
		meta->kind = CHECKPOINT_INCREMENTAL;
		meta->depth = p->chain.count;
		status = copy_text(&meta->parent, p->chain.ids[p->chain.count - 1], err);
	}
	pthread_mutex_unlock(&p->mutex);
	return status;
}

/* With the pipeline's mutex held. A failed checkpoint changes nothing: the next one builds on what the failed one did. */
void barrier_note_result(struct pipeline *p, const struct checkpoint_result *result)
{
	struct delta_chain *chain = &p->chain;

	chain->last_succeeded = result->status == SB_OK;
	if (result->status != SB_OK || p->mode != CUT_CHANGES)
		return;
	if (result->mode == CUT_ENTRIES) {
		chain->count = 0;
		chain->base_bytes = result->file_bytes;
		chain->delta_bytes = 0;
	} else {
		chain->delta_bytes += result->file_bytes;
	}
	memcpy(chain->ids[chain->count++], result->id, CHECKPOINT_ID_BYTES);
}

int32_t barrier_inject(struct pipeline *p, sb_error *err)
{
	struct barrier *barrier = &p->barrier;
	struct checkpoint_cut *cut;
	int32_t status;

	atomic_store(&p->view_open, true);
	TRY(output_flush(p->config.dead_letters, err));
	TRY(make_cut(p, &cut, err));
	status = choose_parent(p, &cut->meta, err);
	pthread_mutex_lock(&barrier->mutex);
	barrier->cut = cut;
	pthread_mutex_unlock(&barrier->mutex);
	TRY(status);
	atomic_store(&barrier->mark_lost, false);
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
	status = CALL_PLUGIN(&task->operator->calls, "snapshot", err,
			     ops->snapshot(task->operator->operator, & writer, err));
	return status == SB_OK ? SB_OK : instance_fault(task->operator, "snapshot", status, err);
}

static int32_t open_iterator(struct task *task, struct cut_task *part, sb_error *err)
{
	const sb_iter_options all = {.struct_size = sizeof(all)};
	int32_t status;

	part->mode = CUT_ENTRIES;
	status = CALL_PLUGIN(
		&task->backend->calls, "iter_open", err,
		task->backend->component->backend.iter_open(task->backend->backend, &all, &part->iter, err));
	if (status != SB_OK)
		return instance_fault(task->backend, "iter_open", status, err);
	return SB_OK;
}

/* The mark of this moment, for the next checkpoint; and what happened to the one before. */
static int32_t move_mark(struct task *task, const sb_delta_ops *delta, sb_error *err)
{
	int32_t status;

	if (task->pipeline->barrier.last_succeeded && task->mark) {
		task->good_mark = task->mark;
		MARK_CALL(&task->backend->calls, "release", delta->release(task->backend->backend, task->good_mark));
	}
	status = CALL_PLUGIN(&task->backend->calls, "mark", err, delta->mark(task->backend->backend, &task->mark, err));
	return status == SB_OK ? SB_OK : instance_fault(task->backend, "mark", status, err);
}

/* Not known any more is no failure: then everything is written. */
static int32_t open_changes(struct task *task, const sb_delta_ops *delta, struct cut_task *part, sb_error *err)
{
	int32_t status;

	part->mode = CUT_CHANGES;
	status = CALL_PLUGIN(&task->backend->calls, "changes_open", err,
			     delta->changes_open(task->backend->backend, task->good_mark, &part->changes, err));
	if (status == SB_ERR_NOT_FOUND) {
		atomic_store(&task->pipeline->barrier.mark_lost, true);
		return SB_OK;
	}
	return status == SB_OK ? SB_OK : instance_fault(task->backend, "changes_open", status, err);
}

/* Of a backend that is cached, the last view may be opened when others' backends have moved on: so each has both at
 * hand until it is known which one counts. */
static int32_t open_view(struct task *task, struct cut_task *part, sb_error *err)
{
	const struct pipeline *p = task->pipeline;
	const sb_delta_ops *delta = p->mode == CUT_CHANGES ? component_delta(task->backend->component) : NULL;

	part->backend = task->backend;
	if (p->mode == CUT_FILES) {
		part->mode = CUT_FILES;
		write_hold_set(&task->hold);
		return SB_OK;
	}
	if (delta)
		TRY(move_mark(task, delta, err));
	if (!p->barrier.cut->meta.parent)
		return open_iterator(task, part, err);
	if (!(task->backend->component->flags & SB_BACKEND_IN_MEMORY))
		TRY(open_iterator(task, part, err));
	return open_changes(task, delta, part, err);
}

/* When a backend cannot tell what has changed, all parts of the cut are full ones. An iterator that is not there yet belongs to a
 * backend in memory: then all tasks still stand at the barrier, and each instance has been left alone by its own thread. */
static int32_t fall_back_to_full(struct pipeline *p, struct checkpoint_cut *cut, sb_error *err)
{
	LOG(p->config.log, SB_LOG_INFO, "The backend no longer knows all changes, so this checkpoint is a full one",
	    LOG_S("parent", cut->meta.parent));
	free(TAKE(cut->meta.parent));
	cut->meta.depth = 0;
	cut->meta.kind = CHECKPOINT_FULL;
	for (uint32_t i = 0; i < p->config.tasks; i++) {
		struct cut_task *part = &cut->tasks[i];

		if (part->changes)
			MARK_CALL(&part->backend->walks, "changes_close",
				  component_delta(part->backend->component)->changes_close(TAKE(part->changes)));
		part->mode = CUT_ENTRIES;
		if (!part->iter)
			TRY(open_iterator(&p->tasks[i], part, err));
	}
	return SB_OK;
}

static void close_spare_iterators(struct pipeline *p, struct checkpoint_cut *cut)
{
	for (uint32_t i = 0; i < p->config.tasks; i++)
		if (cut->tasks[i].mode == CUT_CHANGES && cut->tasks[i].iter)
			cut->tasks[i].backend->component->backend.iter_close(TAKE(cut->tasks[i].iter));
}

/* With the barrier's mutex held, when all views are there. */
static int32_t hand_over(struct pipeline *p, sb_error *err)
{
	struct barrier *barrier = &p->barrier;
	struct checkpoint_cut *cut = barrier->cut;

	if (atomic_load(&p->closing))
		return SB_OK; /* barrier_done frees it: the holds have been lifted, and nobody would set them again */
	if (atomic_load(&barrier->mark_lost))
		TRY(fall_back_to_full(p, cut, err));
	close_spare_iterators(p, cut);
	cut->thaw_ns = clock_monotonic_ns(p->config.clock) - barrier->released_ns;
	barrier->cut = NULL;
	barrier->views = 0;
	/* Last: once it is handed over it may be written, and the next one requested, before we go on. */
	coordinator_submit(p->coordinator, cut);
	return SB_OK;
}

/* With the barrier's mutex held, by the last to arrive. */
static int32_t release(struct pipeline *p, sb_error *err)
{
	struct barrier *barrier = &p->barrier;

	TRY(output_flush(p->config.output, err));
	TRY(describe_output(&barrier->cut->meta, p->config.output, err));
	barrier->released_ns = clock_monotonic_ns(p->config.clock);
	barrier->cut->pause_ns = barrier->released_ns - barrier->first_arrival_ns;
	barrier->arrived = 0;
	barrier->first_arrival_ns = 0;
	barrier->generation++;
	pthread_cond_broadcast(&barrier->released_changed);
	return barrier->views == p->config.tasks ? hand_over(p, err) : SB_OK;
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

/* What its backend has is the state of the barrier. */
static int32_t complete_part(struct task *task, sb_error *err)
{
	TRY(open_view(task, &task->pipeline->barrier.cut->tasks[task->index], err));
	keyed_state_release(task->state);
	return SB_OK;
}

static void wait_if_unstable(struct task *task, uint64_t generation)
{
	if (task->pipeline->mode != CUT_FILES && !(task->backend->component->flags & SB_BACKEND_STABLE_ITER))
		wait_until_written(task->pipeline, generation); /* checkpoints are counted by releases */
	task_log_figures(task);
}

int32_t barrier_complete_part(struct task *task, sb_error *err)
{
	struct pipeline *p = task->pipeline;
	struct barrier *barrier = &p->barrier;
	int32_t status = SB_OK;

	TRY(complete_part(task, err));
	pthread_mutex_lock(&barrier->mutex);
	if (++barrier->views == p->config.tasks)
		status = hand_over(p, err);
	pthread_mutex_unlock(&barrier->mutex);
	TRY(status);
	wait_if_unstable(task, task->thaw.generation);
	return SB_OK;
}

void barrier_close(struct pipeline *p)
{
	struct barrier *barrier = &p->barrier;

	pthread_mutex_lock(&barrier->mutex);
	/* Once the cut is handed over the coordinator lifts them, when the files have been made. */
	for (uint32_t i = 0; barrier->cut && i < p->opened_tasks; i++)
		write_hold_lift(&p->tasks[i].hold);
	pthread_cond_broadcast(&barrier->released_changed);
	pthread_mutex_unlock(&barrier->mutex);
}

static int32_t freeze(struct task *task, sb_error *err)
{
	keyed_state_freeze(task->state);
	if (keyed_state_frozen(task->state) == 0)
		TRY(complete_part(task, err));
	return snapshot_operator(task, &task->pipeline->barrier.cut->tasks[task->index], err);
}

int32_t barrier_arrive(struct task *task, sb_error *err)
{
	struct pipeline *p = task->pipeline;
	struct barrier *barrier = &p->barrier;
	int64_t now_ns = clock_monotonic_ns(p->config.clock);
	uint64_t generation;
	int32_t status;
	bool complete;

	pthread_mutex_lock(&barrier->mutex);
	if (barrier->first_arrival_ns == 0)
		barrier->first_arrival_ns = now_ns;
	pthread_mutex_unlock(&barrier->mutex);

	status = freeze(task, err);

	complete = keyed_state_frozen(task->state) == 0;
	pthread_mutex_lock(&barrier->mutex);
	generation = barrier->generation;
	if (complete)
		barrier->views++;
	if (status == SB_OK && ++barrier->arrived == p->config.tasks)
		status = release(p, err);
	while (status == SB_OK && barrier->generation == generation && !atomic_load(&p->closing))
		pthread_cond_wait(&barrier->released_changed, &barrier->mutex);
	pthread_mutex_unlock(&barrier->mutex);
	TRY(status);
	if (!complete)
		thaw_begin(task, generation);
	else
		wait_if_unstable(task, generation);
	return SB_OK;
}
