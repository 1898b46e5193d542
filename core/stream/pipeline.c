/* Life and control of the pipeline; see pipeline.h. */
#include "stream/pipeline.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/error.h"
#include "plugin/extensions.h"
#include "stream/pipeline_private.h"

static void write_eventfd(int fd)
{
	const uint64_t one = 1;
	ssize_t n = write(fd, &one, sizeof(one));

	(void)n; /* full means readable already */
}

void pipeline_tell(struct pipeline *p)
{
	write_eventfd(p->event_fd);
}

static void close_queues(struct pipeline *p)
{
	atomic_store(&p->closing, true);
	for (uint32_t i = 0; i < p->opened_tasks; i++)
		queue_close(&p->tasks[i].queue);
	queue_close(&p->free_batches);
	barrier_close(p);
	pthread_mutex_lock(&p->mutex);
	pthread_cond_broadcast(&p->checkpoint_ended);
	pthread_mutex_unlock(&p->mutex);
	write_eventfd(p->wake_fd);
}

void pipeline_fail(struct pipeline *p, const sb_error *err)
{
	pthread_mutex_lock(&p->mutex);
	if (!p->status.failed) {
		p->status.failed = true;
		p->status.error = *err;
	}
	pthread_mutex_unlock(&p->mutex);
	close_queues(p);
	pipeline_tell(p);
}

static int32_t sync_outputs(void *context, sb_error *err)
{
	struct pipeline *p = context;

	TRY(output_sync(p->config.output, err));
	return output_sync(p->config.dead_letters, err);
}

static void release_writes(void *context)
{
	struct pipeline *p = context;

	for (uint32_t i = 0; i < p->config.tasks; i++)
		write_hold_lift(&p->tasks[i].hold);
}

static void choose_mode(struct pipeline *p)
{
	const struct component *backend = p->config.task_configs[0].backend->component;

	p->mode = CUT_ENTRIES;
	if (p->config.full_checkpoints)
		return;
	if (component_files(backend))
		p->mode = CUT_FILES;
	else if (component_delta(backend))
		p->mode = CUT_CHANGES;
	else
		LOG(p->config.log, SB_LOG_INFO, "Every checkpoint will be a full one: this backend offers nothing else",
		    LOG_S("backend", p->config.backend_id));
}

static void checkpoint_ended(void *context, const struct checkpoint_result *result)
{
	struct pipeline *p = context;

	atomic_store(&p->view_open, false);
	pthread_mutex_lock(&p->mutex);
	barrier_note_result(p, result);
	p->status.checkpoint_running = false;
	p->ended_checkpoints++;
	p->status.has_result = true;
	p->status.result = *result;
	pthread_cond_broadcast(&p->checkpoint_ended);
	pthread_mutex_unlock(&p->mutex);
	pipeline_tell(p);
}

static int32_t fill_free_batches(struct pipeline *p, sb_error *err)
{
	/* Each task: a full queue, one in work, one being filled; and a barrier's. */
	uint32_t count = p->config.tasks * (QUEUE_BATCHES + 3);

	TRY(queue_init(&p->free_batches, count, err));
	for (uint32_t i = 0; i < count; i++) {
		struct batch *batch = batch_new((uint32_t)p->config.operator->input_count);

		if (!batch)
			return error_no_memory(err);
		queue_push(&p->free_batches, batch);
	}
	return SB_OK;
}

static int32_t open_parts(struct pipeline *p, sb_error *err)
{
	p->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	p->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (p->event_fd < 0 || p->wake_fd < 0)
		return error_set_errno(err, errno, "cannot create an eventfd");
	p->positions = calloc(p->config.partition_count + 1, sizeof(*p->positions));
	p->tasks = calloc(p->config.tasks, sizeof(*p->tasks));
	if (!p->positions || !p->tasks)
		return error_no_memory(err);
	for (uint32_t i = 0; i < p->config.partition_count; i++)
		p->positions[i] = p->config.partitions[i].offset;
	TRY(fill_free_batches(p, err));
	for (uint32_t i = 0; i < p->config.tasks; i++) {
		p->opened_tasks++;
		TRY(task_open(&p->tasks[i], p, i, err));
	}
	return SB_OK;
}

int32_t pipeline_open(const struct pipeline_config *config, struct pipeline **ret_pipeline, sb_error *err)
{
	struct pipeline *p = calloc(1, sizeof(*p));
	int32_t status;

	if (!p)
		return error_no_memory(err);
	p->config = *config;
	p->event_fd = p->wake_fd = -1;
	p->clock_ms = clock_wall_ms(config->clock);
	pthread_mutex_init(&p->mutex, NULL);
	pthread_cond_init(&p->checkpoint_ended, NULL);
	barrier_init(&p->barrier);
	choose_mode(p);
	p->coordinator_config = (struct coordinator_config){
		.io = config->io,
		.clock = config->clock,
		.log = config->log,
		.store = config->store,
		.codec = config->codec,
		.keep = config->keep,
		.release_writes = release_writes,
		.sync_outputs = sync_outputs,
		.done = checkpoint_ended,
		.context = p,
	};
	status = open_parts(p, err);
	if (status != SB_OK) {
		pipeline_close(p);
		return status;
	}
	p->config.task_configs = NULL; /* the caller's, needed until here */
	*ret_pipeline = p;
	return SB_OK;
}

int32_t pipeline_start(struct pipeline *p, sb_error *err)
{
	int sys_errno;

	if (p->config.profile)
		p->start_ns = clock_monotonic_ns(p->config.clock);
	TRY(coordinator_start(&p->coordinator_config, &p->coordinator, err));
	for (uint32_t i = 0; i < p->config.tasks; i++) {
		sys_errno = pthread_create(&p->tasks[i].thread, NULL, task_run, &p->tasks[i]);
		if (sys_errno)
			return error_set_errno(err, sys_errno, "cannot start the thread of task %u", i);
		p->tasks[i].has_thread = true;
	}
	sys_errno = pthread_create(&p->reader_thread, NULL, reader_run, p);
	if (sys_errno)
		return error_set_errno(err, sys_errno, "cannot start the reader's thread");
	p->has_reader = true;
	return SB_OK;
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

void pipeline_stop(struct pipeline *p)
{
	if (p->free_batches.items)
		close_queues(p);
	if (p->has_reader)
		pthread_join(p->reader_thread, NULL);
	p->has_reader = false;
	for (uint32_t i = 0; i < p->opened_tasks; i++) {
		if (p->tasks[i].has_thread)
			pthread_join(p->tasks[i].thread, NULL);
		p->tasks[i].has_thread = false;
	}
	coordinator_stop(p->coordinator);
	p->coordinator = NULL;
	if (p->config.profile && !p->stop_ns)
		p->stop_ns = clock_monotonic_ns(p->config.clock);
}

void pipeline_close(struct pipeline *p)
{
	struct batch *batch;

	if (!p)
		return;
	pipeline_stop(p);
	barrier_done(&p->barrier); /* before the backends' instances go: it may hold iterators */
	for (uint32_t i = 0; i < p->opened_tasks; i++)
		task_close(&p->tasks[i]);
	while (p->free_batches.items && (batch = queue_try_pop(&p->free_batches)))
		batch_free(batch);
	queue_done(&p->free_batches);
	free(p->tasks);
	free((void *)p->positions);
	close_fd(p->event_fd);
	close_fd(p->wake_fd);
	pthread_cond_destroy(&p->checkpoint_ended);
	pthread_mutex_destroy(&p->mutex);
	free(p);
}

int pipeline_event_fd(const struct pipeline *p)
{
	return p->event_fd;
}

void pipeline_poll(struct pipeline *p, struct pipeline_status *ret_status)
{
	uint64_t ignored;
	ssize_t n = read(p->event_fd, &ignored, sizeof(ignored));

	(void)n;
	pthread_mutex_lock(&p->mutex);
	*ret_status = p->status;
	p->status.has_result = false;
	pthread_mutex_unlock(&p->mutex);
}

void pipeline_request_checkpoint(struct pipeline *p)
{
	pthread_mutex_lock(&p->mutex);
	p->status.checkpoint_running = true;
	pthread_mutex_unlock(&p->mutex);
	atomic_store(&p->barrier_wanted, true);
	write_eventfd(p->wake_fd);
}

void pipeline_request_stop(struct pipeline *p)
{
	atomic_store(&p->stop_wanted, true);
	write_eventfd(p->wake_fd);
}

void pipeline_get_progress(const struct pipeline *p, struct pipeline_progress *ret_progress)
{
	*ret_progress = (struct pipeline_progress){.decoded = atomic_load(&p->decoded),
						   .bad_records = atomic_load(&p->bad_records)};
	for (uint32_t i = 0; i < p->config.tasks; i++)
		ret_progress->events += atomic_load_explicit(&p->tasks[i].events, memory_order_relaxed);
	for (uint32_t i = 0; i < p->config.partition_count; i++) {
		int64_t total = source_total(p->config.partitions[i].source);

		ret_progress->position += atomic_load_explicit(&p->positions[i], memory_order_relaxed);
		if (total < 0 || ret_progress->total < 0)
			ret_progress->total = -1;
		else
			ret_progress->total += total;
	}
}

void pipeline_get_profile(const struct pipeline *p, struct pipeline_profile *ret_profile)
{
	*ret_profile = (struct pipeline_profile){.reader = p->reader_profile, .elapsed_ns = p->stop_ns - p->start_ns};
	for (uint32_t i = 0; i < p->config.tasks; i++) {
		const struct profile *profile = &p->tasks[i].profile;

		for (unsigned stage = 0; stage < PROFILE_STAGES; stage++)
			ret_profile->tasks.ns[stage] += profile->ns[stage];
		ret_profile->tasks.cpu_ns += profile->cpu_ns;
		ret_profile->events += atomic_load(&p->tasks[i].events);
	}
}
