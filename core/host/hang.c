/* What is said of a plugin that does not return, and the end. Nothing is written any more but this line: what the plugin and its thread
 * hold at this moment may be anything, so no destructor and no handler runs. */
#include "host/job_private.h"
#include "plugin/watchdog.h"

static void end(void *context, const struct instance *instance, const char *call)
{
	const struct job *job = context;
	const struct pipeline *running = atomic_load(&job->running);
	struct pipeline_progress progress = {.position = -1};

	if (running)
		pipeline_get_progress(running, &progress);
	LOG(job->config->log, SB_LOG_ERROR,
	    "A plugin did not return within --plugin-timeout, so the process ends; the next start goes on from the last checkpoint",
	    LOG_S("plugin", instance->component->plugin->path), LOG_S("instance", instance->name), LOG_S("call", call),
	    LOG_I("timeout_ms", job->config->plugin_timeout_ms),
	    LOG_I("events", job->restored_events + progress.events), LOG_I("position", progress.position));
	job->config->give_up();
}

int32_t hang_watch(struct job *job, sb_error *err)
{
	if (job->config->plugin_timeout_ms == 0)
		return SB_OK;
	return watchdog_start(job->config->plugin_timeout_ms, end, job, &job->watchdog, err);
}
