/* From a checkpoint to running state.
 *
 * Two steps, because refusing must come before destroying: restore_choose finds and verifies a checkpoint and holds
 * it against the configuration; only then is the live directory emptied and restore_state loads it. A mismatch of configuration never falls
 * back to an older checkpoint: that would lose state on account of a typing error. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/number.h"
#include "base/slice.h"
#include "checkpoint/contents.h"
#include "host/job_private.h"
#include "plugin/extensions.h"
#include "state/composed_key.h"

#define LOAD_OPS 1024u
#define LOAD_BYTES ((size_t)4 << 20)
#define PROGRESS_NS INT64_C(5000000000)
#define PROGRESS_ENTRIES 4096u

static int32_t check_same(const char *what, const char *saved, const char *now, const char *id, sb_error *err)
{
	if (strcmp(saved, now) == 0)
		return SB_OK;
	return error_set(err, SB_ERR_CONFIG,
			 "%s was written with %s %s, this job has %s; use the same, another --checkpoint-dir, or start "
			 "over with --restore none",
			 id, what, saved, now);
}

/* The same backend in the same number of tasks, and values that stay as they are. */
static bool can_take_over_files(const struct job *job, const struct checkpoint_meta *meta)
{
	return meta->file_count && meta->backend_id && strcmp(meta->backend_id, job->backend->id) == 0 &&
	       meta->tasks == job->config->parallelism && migration_is_identity(job->migration) &&
	       component_files(job->backend);
}

static int32_t place_file(struct job *job, uint32_t index, const struct file_meta *file, sb_error *err)
{
	bool link = component_files(job->backend)->is_immutable(file->name) != 0;
	AUTO(free_memory) char *path = NULL;

	if (asprintf(&path, "%s/%s", job->tasks[index].dir, file->name) < 0) {
		path = NULL;
		return error_no_memory(err);
	}
	return checkpoint_store_take_file(job->store, file, link, true, path, err);
}

int32_t restore_place_files(struct job *job, uint32_t index, sb_error *err)
{
	const struct checkpoint_meta *meta;
	char snapshot[32];
	int32_t status;

	if (!job->native)
		return SB_OK;
	meta = checkpoint_reader_meta(job->checkpoint);
	snprintf(snapshot, sizeof(snapshot), "backend-%u", index);
	for (uint64_t i = 0; i < meta->file_count; i++) {
		if (strcmp(meta->files[i].snapshot, snapshot) != 0)
			continue;
		status = place_file(job, index, &meta->files[i], err);
		if (status == SB_ERR_CORRUPT)
			job->checkpoint_damaged = true;
		TRY(status);
	}
	return SB_OK;
}

static int32_t check_config(struct job *job, sb_error *err)
{
	const struct checkpoint_meta *meta = checkpoint_reader_meta(job->checkpoint);

	TRY(check_same("operator", meta->operator_id, job->operator->id, meta->id, err));
	TRY(check_same("--ttl-clock", meta->ttl_clock, job->config->event_time ? "event" : "wall", meta->id, err));
	if (migration_plan(&job->schema, &meta->schema, job->config->log, &job->migration, err) != SB_OK)
		return error_prefix(err, "%s does not fit operator %s %s", meta->id, job->operator->id,
				    job->operator_plugin->version);
	if (job->config->parallelism > meta->key_groups)
		return error_set(err, SB_ERR_CONFIG, "%s has %u key groups, so --parallelism can be at most that",
				 meta->id, meta->key_groups);
	job->native = can_take_over_files(job, meta);
	job->key_groups = meta->key_groups;
	job->restored_events = meta->events;
	memcpy(job->restored_id, meta->id, sizeof(job->restored_id));
	return SB_OK;
}

/* Nothing to restore: that is right for a new job, and a disaster for an old one. */
static int32_t check_fresh_start(struct job *job, uint64_t damaged, const sb_error *cause, sb_error *err)
{
	bool had_checkpoint;

	if (job->config->allow_fresh_start)
		return SB_OK;
	TRY(state_dir_had_checkpoint(job, &had_checkpoint, err));
	if (!had_checkpoint && damaged == 0 && !checkpoint_store_has_quarantine(job->store))
		return SB_OK;
	job->refusal = JOB_NO_CHECKPOINT;
	if (damaged)
		return error_set(err, SB_ERR_NOT_FOUND,
				 "%s; put a good one back, or start from nothing with --allow-fresh-start",
				 cause->message);
	return error_set(err, SB_ERR_NOT_FOUND,
			 "there is no checkpoint in %s, but there was one when this job last ran (%s); put it back, or "
			 "start from nothing with --allow-fresh-start",
			 job->config->checkpoint_dir, job->config->state_dir);
}

static int32_t open_checkpoint(struct job *job, sb_error *err)
{
	const char *id = job->config->restore == RESTORE_ID ? job->config->restore_id : NULL;
	uint64_t damaged = 0;
	sb_error cause = ERROR_INIT;
	int32_t status = checkpoint_store_open_newest(job->store, id, id == NULL, &job->checkpoint, &damaged, &cause);

	if (status == SB_OK)
		return SB_OK;
	if (status == SB_ERR_NOT_FOUND && !id)
		return check_fresh_start(job, damaged, &cause, err);
	*err = cause;
	job->refusal = status == SB_ERR_INCOMPATIBLE ? JOB_BAD_CONFIG : JOB_NO_CHECKPOINT;
	return status;
}

/* Large checkpoints take their time: SHA-256 does a gigabyte or two a second, and a disk often less. */
struct verifying {
	const struct job_config *config;
	uint64_t bytes;
	int64_t next_line_ns;
};

static void show_verifying(void *context, uint64_t bytes)
{
	struct verifying *verifying = context;
	const int64_t now_ns = clock_monotonic_ns(verifying->config->clock);

	verifying->bytes += bytes;
	if (now_ns < verifying->next_line_ns)
		return;
	verifying->next_line_ns = now_ns + PROGRESS_NS;
	LOG(verifying->config->log, SB_LOG_INFO, "Verifying checkpoints", LOG_I("bytes", verifying->bytes));
}

static int32_t open_watched(struct job *job, sb_error *err)
{
	const int64_t begin_ns = clock_monotonic_ns(job->config->clock);
	struct verifying verifying = {.config = job->config, .next_line_ns = begin_ns + PROGRESS_NS};
	const struct checkpoint_watch watch = {.checked = show_verifying, .context = &verifying};
	int32_t status;

	checkpoint_store_watch(job->store, &watch);
	status = open_checkpoint(job, err);
	checkpoint_store_watch(job->store, NULL);
	job->verify_ns = clock_monotonic_ns(job->config->clock) - begin_ns;
	return status;
}

int32_t restore_choose(struct job *job, sb_error *err)
{
	if (job->config->restore == RESTORE_NONE)
		return SB_OK;
	TRY(open_watched(job, err));
	return job->checkpoint ? check_config(job, err) : SB_OK;
}

/* Entries on their way into one backend: copied, because the reader's are gone with the next one. */
struct load {
	sb_op ops[LOAD_OPS];
	uint32_t count;
	size_t bytes;
	struct arena arena;
	struct buffer migrated; /* the value at hand */
};

static int32_t load_flush(struct instance *backend, struct load *load, sb_error *err)
{
	int32_t status;

	if (load->count == 0)
		return SB_OK;
	status = CALL_PLUGIN(&backend->calls, "write_batch", err,
			     backend->component->backend.write_batch(backend->backend, load->count, load->ops, err));
	load->count = 0;
	load->bytes = 0;
	arena_reset(&load->arena);
	return status == SB_OK ? SB_OK : instance_fault(backend, "write_batch", status, err);
}

static int32_t load_entry(struct instance *backend, struct load *load, const struct checkpoint_item *item,
			  sb_error *err)
{
	size_t key_len = COMPOSED_PREFIX_BYTES + item->user_part.len;
	uint8_t *bytes = arena_alloc(&load->arena, key_len + item->value.len);

	if (!bytes)
		return error_no_memory(err);
	composed_put_prefix(bytes, item->key_group, item->state_id);
	if (item->user_part.len)
		memcpy(bytes + COMPOSED_PREFIX_BYTES, item->user_part.ptr, item->user_part.len);
	if (item->value.len)
		memcpy(bytes + key_len, item->value.ptr, item->value.len);
	load->ops[load->count++] = (sb_op){
		.kind = SB_OP_PUT,
		.key = slice_of(bytes, key_len),
		.value = slice_of(bytes + key_len, item->value.len),
		.expiry_ms = item->expiry_ms,
	};
	load->bytes += key_len + item->value.len;
	if (load->count == LOAD_OPS || load->bytes >= LOAD_BYTES)
		return load_flush(backend, load, err);
	return SB_OK;
}

/* The entry in the operator's present form, to the task that owns it; or nowhere, when its state is gone. */
static int32_t load_migrated(struct job *job, struct load *loads, const struct checkpoint_item *item, sb_error *err)
{
	const uint32_t task = key_group_task(item->key_group, job->config->parallelism, job->key_groups);
	struct checkpoint_item now = *item;
	bool dropped;
	int32_t status = migration_apply(job->migration, item->state_id, item->value, &loads[task].migrated, &now.value,
					 &dropped, err);

	if (status == SB_ERR_INCOMPATIBLE)
		job->refusal = JOB_BAD_CONFIG;
	if (status != SB_OK)
		return status;
	if (dropped) {
		job->dropped_entries++;
		return SB_OK;
	}
	return load_entry(job->tasks[task].backend, &loads[task], &now, err);
}

/* Every part goes to exactly one task: its own when the number of tasks is the same, else dealt out in turn. */
static int32_t keep_provider(struct job *job, const struct checkpoint_item *item, sb_error *err)
{
	static const char prefix[] = "operator-";
	struct job_task *task;
	uint64_t number;
	uint64_t *ends;

	if (strncmp(item->name, prefix, strlen(prefix)) != 0 ||
	    !number_parse_u64(slice_of_text(item->name + strlen(prefix)), &number))
		return error_set(err, SB_ERR_CORRUPT, "%s holds a snapshot of an operator called %s", job->restored_id,
				 item->name);
	task = &job->tasks[number % job->config->parallelism];
	ends = realloc(task->part_ends, (task->part_count + 1) * sizeof(*ends));
	if (!ends)
		return error_no_memory(err);
	task->part_ends = ends;
	buffer_append_slice(&task->provider, item->bytes);
	TRY(buffer_check(&task->provider, err));
	ends[task->part_count++] = task->provider.len;
	return SB_OK;
}

static int32_t slice_providers(struct job_task *task, sb_error *err)
{
	uint64_t begin = 0;

	if (task->part_count == 0)
		return SB_OK;
	free(task->parts);
	task->parts = calloc(task->part_count, sizeof(*task->parts));
	if (!task->parts)
		return error_no_memory(err);
	for (uint64_t i = 0; i < task->part_count; i++) {
		task->parts[i] = slice_of(task->provider.data + begin, task->part_ends[i] - begin);
		begin = task->part_ends[i];
	}
	return SB_OK;
}

struct loading {
	struct checkpoint_contents *contents; /* NULL: the files have been taken over, and only providers are wanted */
	uint64_t entries, bytes; /* of keys and values */
	int64_t next_line_ns;
};

static void show_progress(const struct job *job, struct loading *loading, const struct checkpoint_item *item)
{
	int64_t now_ns;

	loading->bytes += item->user_part.len + item->value.len;
	if (++loading->entries % PROGRESS_ENTRIES)
		return;
	now_ns = clock_monotonic_ns(job->config->clock);
	if (now_ns < loading->next_line_ns)
		return;
	loading->next_line_ns = now_ns + PROGRESS_NS;
	LOG(job->config->log, SB_LOG_INFO, "Restoring", LOG_I("entries", loading->entries),
	    LOG_I("bytes", loading->bytes));
}

static int32_t next_item(struct job *job, struct loading *loading, struct checkpoint_item *ret_item, sb_error *err)
{
	if (loading->contents)
		return checkpoint_contents_next(loading->contents, ret_item, err);
	return checkpoint_reader_next(job->checkpoint, ret_item, err);
}

static int32_t load_items(struct job *job, struct loading *loading, struct load *loads, sb_error *err)
{
	const uint32_t tasks = job->config->parallelism;
	struct checkpoint_item item;

	do {
		int32_t status = next_item(job, loading, &item, err);

		if (status != SB_OK) {
			job->checkpoint_damaged = status == SB_ERR_CORRUPT;
			return status;
		}
		if (item.kind == ITEM_PROVIDER)
			TRY(keep_provider(job, &item, err));
		if (item.kind == ITEM_ENTRY) {
			TRY(load_migrated(job, loads, &item, err));
			show_progress(job, loading, &item);
		}
	} while (item.kind != ITEM_END);
	for (uint32_t i = 0; i < tasks; i++) {
		TRY(load_flush(job->tasks[i].backend, &loads[i], err));
		TRY(slice_providers(&job->tasks[i], err));
	}
	return SB_OK;
}

/* With a reader of its own: that of the job is asked for metadata until the inputs and outputs are open. */
static int32_t open_contents(struct job *job, struct checkpoint_contents **ret_contents, sb_error *err)
{
	const struct job_config *config = job->config;
	const struct checkpoint_contents_config contents = {
		.io = config->io,
		.clock = config->clock,
		.log = config->log,
		.store = job->store,
		.plugin_dir = config->plugin_dir,
		.source_plugin = config->source_plugin,
		.manifest = job->manifest,
	};
	AUTO(free_memory) char *path = checkpoint_store_path(job->store, job->restored_id);
	struct checkpoint_reader *reader;
	int32_t status;

	if (!path)
		return error_no_memory(err);
	TRY(checkpoint_reader_open(config->io, path, &reader, err));
	status = checkpoint_contents_open(&contents, reader, ret_contents, err);
	if (status == SB_ERR_CORRUPT)
		job->checkpoint_damaged = true;
	else if (status != SB_OK && checkpoint_reader_meta(job->checkpoint)->file_count)
		job->refusal = JOB_BAD_CONFIG;
	return status;
}

static int32_t load_checkpoint(struct job *job, struct loading *loading, sb_error *err)
{
	struct load *loads = calloc(job->config->parallelism, sizeof(*loads));
	int32_t status;

	if (!loads)
		return error_no_memory(err);
	status = load_items(job, loading, loads, err);
	for (uint32_t i = 0; i < job->config->parallelism; i++) {
		arena_done(&loads[i].arena);
		buffer_done(&loads[i].migrated);
	}
	free(loads);
	return status;
}

/* The digest was right, so this is no broken disk but a writer's bug or a forgery: rare, and still no reason to stay down. */
int32_t restore_set_aside(struct job *job, const sb_error *cause, sb_error *err)
{
	checkpoint_reader_close(job->checkpoint);
	job->checkpoint = NULL;
	job->checkpoint_damaged = false;
	close_inputs(job);
	state_dir_close_backends(job);
	for (uint32_t i = 0; i < job->config->parallelism; i++) {
		buffer_clear(&job->tasks[i].provider);
		job->tasks[i].part_count = 0;
	}
	migration_free(job->migration);
	job->migration = NULL;
	job->dropped_entries = 0;
	job->native = false;
	schema_done(&job->schema);
	TRY(schema_from_component(job->operator, job->config->ttl_ms, &job->schema, err));
	LOG(job->config->log, SB_LOG_ERROR, "Damaged checkpoint passed over", LOG_S("id", job->restored_id),
	    LOG_S("error", cause->message));
	return checkpoint_store_quarantine(job->store, job->restored_id, err);
}

int32_t restore_leave_newer(struct job *job, sb_error *err)
{
	const struct job_config *config = job->config;
	uint64_t count;

	if (config->restore == RESTORE_LATEST)
		return SB_OK;
	TRY(checkpoint_store_abandon_newer(job->store, job->checkpoint ? job->restored_id : NULL, &count, err));
	if (count)
		LOG(config->log, SB_LOG_WARN, "Newer checkpoints were moved to the folder abandoned",
		    LOG_S("dir", config->checkpoint_dir), LOG_I("count", count));
	return SB_OK;
}

static void log_restored(const struct job *job, const struct loading *loading, int64_t begin_ns)
{
	const struct checkpoint_meta *meta = checkpoint_reader_meta(job->checkpoint);
	const int64_t duration_ms = (clock_monotonic_ns(job->config->clock) - begin_ns) / 1000000;
	const int64_t verify_ms = job->verify_ns / 1000000;
	int64_t bytes = 0;

	for (uint64_t i = 0; i < meta->file_count; i++)
		bytes += meta->files[i].bytes;
	if (job->native)
		LOG(job->config->log, SB_LOG_INFO, "Successfully restored from checkpoint",
		    LOG_I("files", meta->file_count), LOG_I("bytes", bytes), LOG_I("verify_ms", verify_ms),
		    LOG_I("duration_ms", duration_ms));
	else
		LOG(job->config->log, SB_LOG_INFO, "Successfully restored from checkpoint",
		    LOG_I("entries", loading->entries), LOG_I("bytes", loading->bytes), LOG_I("depth", meta->depth),
		    LOG_I("files", meta->file_count), LOG_I("verify_ms", verify_ms), LOG_I("duration_ms", duration_ms));
}

int32_t restore_state(struct job *job, sb_error *err)
{
	const struct log *log = job->config->log;
	int64_t begin_ns = clock_monotonic_ns(job->config->clock);
	struct loading loading = {.next_line_ns = begin_ns + PROGRESS_NS};
	int32_t status;

	if (!job->checkpoint) {
		LOG(log, SB_LOG_INFO, "No checkpoint found, starting fresh");
		return SB_OK;
	}
	LOG(log, SB_LOG_INFO, "Restoring from checkpoint", LOG_S("id", job->restored_id));
	if (!job->native)
		TRY(open_contents(job, &loading.contents, err));
	status = load_checkpoint(job, &loading, err);
	checkpoint_contents_close(loading.contents);
	TRY(status);
	TRY(state_dir_mark_checkpoint(job, err));
	if (job->dropped_entries)
		LOG(log, SB_LOG_WARN, "Entries of states that the operator no longer has were left behind",
		    LOG_I("entries", job->dropped_entries));
	log_restored(job, &loading, begin_ns);
	return SB_OK;
}
