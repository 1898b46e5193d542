/* The life of a job: what is opened in which order, and closed in the reverse one.
 *
 * Nothing is changed on disk before everything that can be refused has been: plugins and options first,
 * then locks, then the choice of a checkpoint and its fit, then the inputs; only after that is the live directory
 * emptied and the state loaded. */
#include "host/job.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/hash.h"
#include "host/job_private.h"

static int32_t load_component(const struct job *job, const char *name, uint32_t kind, struct plugin **ret_plugin,
			      const struct component **ret_component, sb_error *err)
{
	const struct job_config *config = job->config;

	TRY(plugin_load_vouched(config->io, name, config->plugin_dir, job->manifest, ret_plugin, err));
	return plugin_find_component(*ret_plugin, kind, ret_component, err);
}

static int32_t load_plugins(struct job *job, sb_error *err)
{
	const struct job_config *config = job->config;

	job->refusal = JOB_PLUGIN_REFUSED;
	if (config->manifest)
		TRY(manifest_load(config->io, config->manifest, config->manifest_key, &job->manifest, err));
	TRY(load_component(job, config->backend, SB_KIND_BACKEND, &job->backend_plugin, &job->backend, err));
	TRY(load_component(job, config->operator, SB_KIND_OPERATOR, &job->operator_plugin, &job->operator, err));
	job->refusal = JOB_BAD_CONFIG;
	TRY(option_set_parse(job->backend, "--backend-opt", config->backend_options, config->backend_option_count,
			     &job->backend_options, err));
	TRY(option_set_parse(job->operator, "--operator-opt", config->operator_options, config->operator_option_count,
			     &job->operator_options, err));
	return schema_from_component(job->operator, config->ttl_ms, &job->schema, err);
}

static int32_t check_event_time(const struct job *job, sb_error *err)
{
	if (!job->config->event_time)
		return SB_OK;
	for (uint64_t i = 0; i < job->operator->input_count; i++)
		if (job->operator->inputs[i].flags & SB_FIELD_EVENT_TIME)
			return SB_OK;
	return error_set(
		err, SB_ERR_CONFIG,
		"--ttl-clock event needs an input field that is the event's time, and operator %s declares none",
		job->operator->id);
}

static int32_t open_directories(struct job *job, sb_error *err)
{
	const struct job_config *config = job->config;

	TRY(checkpoint_store_open(config->io, config->log, config->checkpoint_dir, true, true, &job->store, err));
	checkpoint_store_trust_files(job->store, config->trust_files);
	return state_dir_open(job, err);
}

static bool names_a_file(const char *output)
{
	return strcmp(output, "-") != 0 && strcmp(output, "none") != 0;
}

/* What the job still has to reach. */
static int32_t enter_sandbox(const struct job *job, sb_error *err)
{
	const struct job_config *config = job->config;
	struct sandbox_path *paths = calloc(config->input_count + 8, sizeof(*paths));
	uint64_t n = 0;
	int32_t status;

	if (!paths)
		return error_no_memory(err);
	paths[n++] = (struct sandbox_path){config->state_dir, SANDBOX_WRITE};
	paths[n++] = (struct sandbox_path){config->checkpoint_dir, SANDBOX_WRITE};
	if (names_a_file(config->output))
		paths[n++] = (struct sandbox_path){config->output, SANDBOX_OUTPUT};
	if (names_a_file(config->dead_letters))
		paths[n++] = (struct sandbox_path){config->dead_letters, SANDBOX_OUTPUT};
	paths[n++] = (struct sandbox_path){config->plugin_dir, SANDBOX_READ};
	if (config->source_plugin)
		paths[n++] = (struct sandbox_path){config->source_plugin, SANDBOX_READ};
	for (uint64_t i = 0; i < config->input_count; i++)
		if (config->inputs[i].kind == SOURCE_FILE)
			paths[n++] = (struct sandbox_path){config->inputs[i].path, SANDBOX_READ};
	status = sandbox_enter(config->sandbox, paths, n, config->log, err);
	free(paths);
	return status;
}

static int32_t init_tasks(struct job *job, sb_error *err)
{
	job->tasks = calloc(job->config->parallelism, sizeof(*job->tasks));
	if (!job->tasks)
		return error_no_memory(err);
	for (uint32_t i = 0; i < job->config->parallelism; i++)
		atomic_init(&job->tasks[i].horizon_ms, INT64_MIN);
	return SB_OK;
}

static int32_t open_pipeline(struct job *job, sb_error *err)
{
	const struct job_config *config = job->config;
	struct pipeline_task_config *tasks = calloc(config->parallelism, sizeof(*tasks));
	const struct pipeline_config pipeline = {
		.io = config->io,
		.clock = config->clock,
		.log = config->log,
		.operator= job->operator,
		.operator_options = & job->operator_options,
		.schema = &job->schema,
		.key_groups = job->key_groups,
		.tasks = config->parallelism,
		.task_configs = tasks,
		.partitions = job->partitions,
		.partition_count = (uint32_t)job->partition_count,
		.output = &job->output,
		.dead_letters = &job->dead_letters,
		.stop_on_bad_record = config->stop_on_bad_record,
		.event_time = config->event_time,
		.cache_bytes = config->cache_bytes,
		.max_events = config->max_events,
		.events_before = job->restored_events,
		.metrics_every = config->metrics_every,
		.store = job->store,
		.codec = config->codec,
		.keep = config->keep,
		.profile = config->profile,
		.watchdog = job->watchdog,
		.full_checkpoints = config->full_checkpoints,
		.backend_id = job->backend->id,
		.backend_version = job->backend_plugin->version,
		.operator_version = job->operator_plugin->version,
	};
	int32_t status;

	if (!tasks)
		return error_no_memory(err);
	for (uint32_t i = 0; i < config->parallelism; i++)
		tasks[i] = (struct pipeline_task_config){
			.backend = job->tasks[i].backend,
			.backend_empty = job->starts_empty,
			.horizon_ms = &job->tasks[i].horizon_ms,
			.provider_parts = job->tasks[i].parts,
			.provider_count = job->tasks[i].part_count,
		};
	status = pipeline_open(&pipeline, &job->pipeline, err);
	free(tasks); /* needed while it opens, not later */
	return status;
}

static int32_t start_state(struct job *job, sb_error *err)
{
	job->refusal = JOB_BAD_CONFIG;
	TRY(restore_choose(job, err));
	TRY(open_inputs(job, err));
	TRY(state_dir_open_backends(job, err));
	job->refusal = JOB_FAILED;
	return restore_state(job, err);
}

/* The newest checkpoint whose digest is right and whose entries can all be read. One that was asked for by its id has no
 * substitute. */
static int32_t start_from_newest_good(struct job *job, sb_error *err)
{
	int32_t status = start_state(job, err);

	while (status != SB_OK && job->checkpoint_damaged && job->config->restore == RESTORE_LATEST) {
		sb_error cause = *err;

		TRY(restore_set_aside(job, &cause, err));
		status = start_state(job, err);
	}
	return status;
}

static int32_t run(struct job *job, sb_error *err)
{
	TRY(load_plugins(job, err));
	LOG(job->config->log, SB_LOG_INFO, "Starting sbhost", LOG_S("version", SBHOST_VERSION),
	    LOG_S("backend", job->backend->id), LOG_S("operator", job->operator->id));
	TRY(check_event_time(job, err));
	TRY(check_paths(job->config, err));
	TRY(open_directories(job, err));
	notify_init(&job->notify, clock_monotonic_ns(job->config->clock)); /* the sandbox lets no socket be opened */
	TRY(enter_sandbox(job, err));
	TRY(init_tasks(job, err));
	TRY(hang_watch(job, err));
	TRY(start_from_newest_good(job, err));
	TRY(restore_leave_newer(job, err));
	job->refusal = JOB_BAD_CONFIG;
	TRY(open_outputs(job, err));
	job->starts_empty = !job->checkpoint;
	checkpoint_reader_close(job->checkpoint);
	job->checkpoint = NULL;
	TRY(open_pipeline(job, err));
	job->refusal = JOB_FAILED;
	atomic_store(&job->running, job->pipeline);
	TRY(pipeline_start(job->pipeline, err));
	return control_run(job, err);
}

static void done(struct job *job)
{
	atomic_store(&job->running, NULL);
	pipeline_close(job->pipeline);
	checkpoint_reader_close(job->checkpoint);
	state_dir_close_backends(job);
	watchdog_stop(job->watchdog);
	output_close(&job->output);
	output_close(&job->dead_letters);
	close_inputs(job);
	for (uint32_t i = 0; job->tasks && i < job->config->parallelism; i++) {
		buffer_done(&job->tasks[i].provider);
		free(job->tasks[i].parts);
		free(job->tasks[i].part_ends);
		free(job->tasks[i].dir);
	}
	free(job->tasks);
	io_close(job->config->io, job->state_lock_fd);
	checkpoint_store_close(job->store);
	migration_free(job->migration);
	schema_done(&job->schema);
	option_set_done(&job->backend_options);
	option_set_done(&job->operator_options);
	notify_done(&job->notify);
	plugin_free(job->backend_plugin);
	plugin_free(job->operator_plugin);
	manifest_free(job->manifest);
}

/* A refusal's kind follows from the stage; but what the system denies is a failure, and a lock that is held has its own status. */
static enum job_end end_of(const struct job *job, int32_t status)
{
	if (status == SB_OK)
		return JOB_DONE;
	if (status == SB_ERR_BUSY)
		return JOB_DIRECTORY_IN_USE;
	return job->refusal;
}

enum job_end job_run(const struct job_config *config, sb_error *err)
{
	struct job job = {.config = config,
			  .refusal = JOB_BAD_CONFIG,
			  .state_lock_fd = -1,
			  .notify = {.fd = -1},
			  .key_groups = KEY_GROUPS_DEFAULT};
	int32_t status = run(&job, err);
	enum job_end end = end_of(&job, status);

	done(&job);
	return end;
}
