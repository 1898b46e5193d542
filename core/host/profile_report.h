/* What --profile prints at the end of a job. */
#ifndef HOST_PROFILE_REPORT_H
#define HOST_PROFILE_REPORT_H

#include "host/config.h"
#include "stream/pipeline.h"

/* To where the log goes: a table, or with another log format than text a line for each row. pipeline is stopped. */
void profile_report(const struct job_config *config, const struct pipeline *pipeline, uint64_t checkpoints,
		    int64_t checkpoint_ns);

#endif
