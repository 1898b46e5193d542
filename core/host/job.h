/* A job from start to end: plugins, directories, restore, pipeline, control. Everything that runs hangs off one struct job. */
#ifndef HOST_JOB_H
#define HOST_JOB_H

#include "host/config.h"

/* How a job ended; the command line turns it into an exit status. */
enum job_end {
	JOB_DONE,
	JOB_FAILED, /* while running */
	JOB_BAD_CONFIG,
	JOB_PLUGIN_REFUSED,
	JOB_NO_CHECKPOINT, /* none that verifies, though there was state */
	JOB_DIRECTORY_IN_USE,
};

/* Runs until the input ends, max_events are reached, or a signal asks to stop; then writes a final checkpoint.
 * err is filled unless JOB_DONE is returned. Call it with SIGINT and SIGTERM blocked: it takes them through a descriptor. */
enum job_end job_run(const struct job_config *config, sb_error *err);

#endif
