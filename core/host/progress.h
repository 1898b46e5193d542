/* How far the job is: a bar on a terminal, a log line every few seconds elsewhere, a summary at the end. */
#ifndef HOST_PROGRESS_H
#define HOST_PROGRESS_H

#include "host/config.h"
#include "stream/pipeline.h"

struct progress {
	const struct job_config *config;
	int64_t start_ns, next_ns;
	uint64_t last_events;
	int64_t last_ns;
	int64_t start_position; /* -1: not seen yet */
	bool bar_shown;
};

void progress_init(struct progress *progress, const struct job_config *config);
/* When progress_show has something to do next; INT64_MAX: never. */
int64_t progress_due_ns(const struct progress *progress);
void progress_show(struct progress *progress, const struct pipeline *pipeline);
/* Takes the bar off the terminal, so that a log line can be written. */
void progress_clear(struct progress *progress);
void progress_summarize(struct progress *progress, const struct pipeline *pipeline);

#endif
