/* See coordinator.h. */
#include "checkpoint/coordinator.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "checkpoint/native.h"
#include "plugin/extensions.h"
#include "state/composed_key.h"

#define ENTRIES_PER_CALL 256
#define NICE 10 /* a tenth of the share of a thread that is not */

struct coordinator {
	struct coordinator_config config;
	pthread_t thread;
	pthread_mutex_t mutex; /* guards the two below */
	pthread_cond_t changed;
	struct checkpoint_cut *cut; /* handed over and not yet finished */
	bool stopping;
};

static void close_iterators(struct checkpoint_cut *cut)
{
	for (uint32_t i = 0; i < cut->meta.tasks; i++) {
		struct cut_task *task = &cut->tasks[i];

		if (task->iter)
			MARK_CALL(&task->backend->walks, "iter_close",
				  task->backend->component->backend.iter_close(task->iter));
		task->iter = NULL;
		if (task->changes)
			MARK_CALL(&task->backend->walks, "changes_close",
				  component_delta(task->backend->component)->changes_close(task->changes));
		task->changes = NULL;
	}
}

void checkpoint_cut_free(struct checkpoint_cut *cut)
{
	if (!cut)
		return;
	if (cut->tasks) {
		close_iterators(cut);
		for (uint32_t i = 0; i < cut->meta.tasks; i++)
			buffer_done(&cut->tasks[i].provider);
	}
	free(cut->tasks);
	metadata_done(&cut->meta);
	free(cut);
}

/* A backend may return what has expired; a checkpoint never holds it, whatever purged first. */
static bool is_expired(const sb_entry *entry, int64_t cut_ms)
{
	return entry->expiry_ms != SB_NO_EXPIRY && entry->expiry_ms <= cut_ms;
}

static int32_t write_entries(struct checkpoint_writer *writer, const struct instance *backend, const sb_entry *entries,
			     uint64_t n, int64_t cut_ms, sb_error *err)
{
	for (uint64_t i = 0; i < n; i++) {
		sb_slice key = entries[i].key;

		if (is_expired(&entries[i], cut_ms))
			continue;
		if (key.len < COMPOSED_PREFIX_BYTES)
			return error_set(err, SB_ERR_CORRUPT,
					 "%s returned a key of %llu bytes that the host never wrote", backend->name,
					 (unsigned long long)key.len);
		TRY(checkpoint_writer_entry(writer, composed_state_id(key), composed_key_group(key),
					    composed_user_part(key), entries[i].value, entries[i].expiry_ms, err));
	}
	return SB_OK;
}

/* A put that has expired hides what the parent has, so it goes down as a deletion. */
static int32_t write_changes(struct checkpoint_writer *writer, const struct instance *backend, const sb_op *ops,
			     uint64_t n, int64_t cut_ms, sb_error *err)
{
	for (uint64_t i = 0; i < n; i++) {
		const sb_op *op = &ops[i];
		bool expired = op->expiry_ms != SB_NO_EXPIRY && op->expiry_ms <= cut_ms;

		if (op->key.len < COMPOSED_PREFIX_BYTES || (op->kind != SB_OP_PUT && op->kind != SB_OP_DELETE))
			return error_set(err, SB_ERR_CORRUPT, "%s returned a change that the host never made",
					 backend->name);
		if (op->kind == SB_OP_DELETE || expired)
			TRY(checkpoint_writer_deletion(writer, composed_state_id(op->key), composed_key_group(op->key),
						       composed_user_part(op->key), err));
		else
			TRY(checkpoint_writer_entry(writer, composed_state_id(op->key), composed_key_group(op->key),
						    composed_user_part(op->key), op->value, op->expiry_ms, err));
	}
	return SB_OK;
}

static int32_t write_delta(struct checkpoint_writer *writer, const struct cut_task *task, int64_t cut_ms, sb_error *err)
{
	const sb_delta_ops *delta = component_delta(task->backend->component);
	sb_op ops[ENTRIES_PER_CALL];
	uint64_t n;

	do {
		int32_t status;

		n = 0;
		memset(ops, 0, sizeof(ops));
		status = CALL_PLUGIN(&task->backend->walks, "changes_next", err,
				     delta->changes_next(task->changes, ENTRIES_PER_CALL, ops, &n, err));
		if (status != SB_OK)
			return instance_fault(task->backend, "changes_next", status, err);
		TRY(write_changes(writer, task->backend, ops, n, cut_ms, err));
	} while (n);
	return SB_OK;
}

static int32_t write_iterated(struct checkpoint_writer *writer, const struct cut_task *task, int64_t cut_ms,
			      sb_error *err)
{
	sb_entry entries[ENTRIES_PER_CALL];
	uint64_t n;

	do {
		int32_t status;

		n = 0;
		status = CALL_PLUGIN(
			&task->backend->walks, "iter_next", err,
			task->backend->component->backend.iter_next(task->iter, ENTRIES_PER_CALL, entries, &n, err));
		if (status != SB_OK)
			return instance_fault(task->backend, "iter_next", status, err);
		TRY(write_entries(writer, task->backend, entries, n, cut_ms, err));
	} while (n);
	return SB_OK;
}

/* Of native files the snapshot in the file itself is empty. */
static int32_t write_snapshot(struct checkpoint_writer *writer, const struct cut_task *task, int64_t cut_ms,
			      sb_error *err)
{
	TRY(checkpoint_writer_snapshot_begin(writer, task->backend->name, err));
	if (task->mode == CUT_ENTRIES)
		TRY(write_iterated(writer, task, cut_ms, err));
	if (task->mode == CUT_CHANGES)
		TRY(write_delta(writer, task, cut_ms, err));
	return checkpoint_writer_snapshot_end(writer, err);
}

static int32_t write_parts(struct checkpoint_writer *writer, const struct checkpoint_cut *cut, sb_error *err)
{
	for (uint32_t i = 0; i < cut->meta.tasks; i++)
		if (cut->tasks[i].has_provider)
			TRY(checkpoint_writer_provider(writer, cut->tasks[i].operator->name,
						       buffer_slice(&cut->tasks[i].provider), err));
	for (uint32_t i = 0; i < cut->meta.tasks; i++)
		TRY(write_snapshot(writer, &cut->tasks[i], cut->meta.cut_ms, err));
	return SB_OK;
}

static int32_t write_checkpoint(const struct coordinator_config *config, struct checkpoint_cut *cut,
				struct checkpoint_result *result)
{
	struct checkpoint_writer *writer;
	sb_error *err = &result->error;
	int32_t status;

	TRY(checkpoint_store_next_id(config->store, config->clock, cut->meta.id, err));
	memcpy(result->id, cut->meta.id, sizeof(result->id));
	if (result->mode == CUT_FILES)
		TRY(native_write(config, cut, result));
	TRY(checkpoint_writer_begin(config->io, checkpoint_store_dir(config->store), &cut->meta, config->codec, &writer,
				    err));
	status = write_parts(writer, cut, err);
	/* The backends can drop what the view held back before the disk is waited for. */
	close_iterators(cut);
	if (status == SB_OK)
		status = config->sync_outputs(config->context, err);
	if (status != SB_OK) {
		checkpoint_writer_abort(writer);
		return status;
	}
	return checkpoint_writer_commit(writer, &result->totals, &result->file_bytes, err);
}

static void collect(const struct coordinator_config *config)
{
	sb_error err = ERROR_INIT;
	uint64_t removed;

	if (checkpoint_store_collect(config->store, config->keep, &removed, &err) != SB_OK)
		LOG(config->log, SB_LOG_WARN, "Old checkpoints could not be removed", LOG_S("error", err.message));
}

void coordinator_write(const struct coordinator_config *config, struct checkpoint_cut *cut,
		       struct checkpoint_result *ret_result)
{
	int64_t begin_ns = clock_monotonic_ns(config->clock);

	memset(ret_result, 0, sizeof(*ret_result));
	ret_result->error.struct_size = sizeof(sb_error);
	ret_result->pause_ns = cut->pause_ns;
	ret_result->thaw_ns = cut->thaw_ns;
	ret_result->mode = cut->tasks[0].mode;
	ret_result->status = write_checkpoint(config, cut, ret_result);
	if (ret_result->mode == CUT_FILES)
		native_end(config, cut, ret_result);
	close_iterators(cut);
	ret_result->duration_ns = clock_monotonic_ns(config->clock) - begin_ns;
	if (ret_result->status == SB_OK)
		collect(config);
}

static struct checkpoint_cut *wait_for_cut(struct coordinator *c)
{
	struct checkpoint_cut *cut;

	pthread_mutex_lock(&c->mutex);
	while (!c->cut && !c->stopping)
		pthread_cond_wait(&c->changed, &c->mutex);
	cut = c->cut;
	pthread_mutex_unlock(&c->mutex);
	return cut;
}

/* Where cores are short, events come first. Linux keeps a nice value for each thread; where it cannot be set, all are equal. */
static void step_back(void)
{
	setpriority(PRIO_PROCESS, (id_t)gettid(), NICE);
}

static void *run(void *argument)
{
	struct coordinator *c = argument;
	struct checkpoint_result result;
	struct checkpoint_cut *cut;

	step_back();
	while ((cut = wait_for_cut(c))) {
		coordinator_write(&c->config, cut, &result);
		checkpoint_cut_free(cut);
		pthread_mutex_lock(&c->mutex);
		c->cut = NULL;
		pthread_mutex_unlock(&c->mutex);
		c->config.done(c->config.context, &result);
	}
	return NULL;
}

int32_t coordinator_start(const struct coordinator_config *config, struct coordinator **ret_coordinator, sb_error *err)
{
	struct coordinator *c = calloc(1, sizeof(*c));
	int sys_errno;

	if (!c)
		return error_no_memory(err);
	c->config = *config;
	pthread_mutex_init(&c->mutex, NULL);
	pthread_cond_init(&c->changed, NULL);
	sys_errno = pthread_create(&c->thread, NULL, run, c);
	if (sys_errno) {
		free(c);
		return error_set_errno(err, sys_errno, "cannot start the checkpoint thread");
	}
	*ret_coordinator = c;
	return SB_OK;
}

void coordinator_submit(struct coordinator *c, struct checkpoint_cut *cut)
{
	pthread_mutex_lock(&c->mutex);
	assert(!c->cut);
	c->cut = cut;
	pthread_cond_signal(&c->changed);
	pthread_mutex_unlock(&c->mutex);
}

void coordinator_stop(struct coordinator *c)
{
	if (!c)
		return;
	pthread_mutex_lock(&c->mutex);
	c->stopping = true;
	pthread_cond_signal(&c->changed);
	pthread_mutex_unlock(&c->mutex);
	pthread_join(c->thread, NULL);
	pthread_cond_destroy(&c->changed);
	pthread_mutex_destroy(&c->mutex);
	free(c);
}
