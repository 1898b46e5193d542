/* What a task tells about itself in the log: the state metrics line, and at debug level what its backend and its
 * plugins count. Runs on the task's thread, between batches. */
#include <stdio.h>

#include "base/error.h"
#include "stream/pipeline_private.h"

#define FIELDS_MAX 64u

void task_log_metrics(struct task *task)
{
	struct keyed_state_stats stats;
	char message[96];

	keyed_state_get_stats(task->state, &stats);
	snprintf(message, sizeof(message), "%s metrics", task->backend->component->title);
	LOG(task->pipeline->config.log, SB_LOG_INFO, message, LOG_I("gets", stats.gets), LOG_I("puts", stats.puts),
	    LOG_I("deletes", stats.deletes));
}

static void log_working_set(struct task *task)
{
	struct keyed_state_stats stats;

	keyed_state_get_stats(task->state, &stats);
	LOG(task->pipeline->config.log, SB_LOG_DEBUG, "Working set", LOG_S("instance", task->backend->name),
	    LOG_I("hits", stats.hits), LOG_I("misses", stats.misses), LOG_I("written_back", stats.written_back),
	    LOG_I("cached_entries", stats.cached_entries), LOG_I("cached_bytes", stats.cached_bytes));
}

static void log_backend_figures(struct task *task)
{
	sb_stat figures[FIELDS_MAX];
	sb_log_field fields[FIELDS_MAX];
	sb_error err = ERROR_INIT;
	uint64_t count = 0;

	if (CALL_PLUGIN(&task->backend->calls, "stats", &err,
			task->backend->component->backend.stats(task->backend->backend, FIELDS_MAX, figures, &count,
								&err)) != SB_OK)
		return; /* a backend need not have any */
	count = count < FIELDS_MAX ? count : FIELDS_MAX;
	for (uint64_t i = 0; i < count; i++)
		fields[i] = (sb_log_field){.name = figures[i].name,
					   .value = {.as = {.f64 = figures[i].value}},
					   .type = SB_TYPE_F64,
					   .decimals = -1};
	log_write(task->pipeline->config.log, SB_LOG_DEBUG, task->backend->name, "Backend figures", fields, count);
}

static void log_plugin_metrics(const struct log *log, const struct instance *instance)
{
	sb_log_field fields[METRICS_PER_INSTANCE];
	uint32_t count = atomic_load(&instance->metric_count);

	for (uint32_t i = 0; i < count; i++)
		fields[i] = (sb_log_field){.name = instance->metrics[i].name,
					   .value = {.as = {.f64 = atomic_load(&instance->metrics[i].value)}},
					   .type = SB_TYPE_F64,
					   .decimals = -1};
	if (count)
		log_write(log, SB_LOG_DEBUG, instance->name, "Plugin metrics", fields, count);
}

void task_log_figures(struct task *task)
{
	const struct log *log = task->pipeline->config.log;

	if (!log_enabled(log, SB_LOG_DEBUG))
		return;
	log_working_set(task);
	log_backend_figures(task);
	log_plugin_metrics(log, task->backend);
	log_plugin_metrics(log, task->operator);
}
