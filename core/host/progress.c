/* See progress.h. */
#include "host/progress.h"

#include <stdio.h>
#include <unistd.h>

#include "base/number.h"

#define BAR_NS INT64_C(200000000)
#define LINE_NS INT64_C(5000000000)
#define BAR_CELLS 30

void progress_init(struct progress *progress, const struct job_config *config)
{
	int64_t now = clock_monotonic_ns(config->clock);

	*progress = (struct progress){.config = config, .start_ns = now, .last_ns = now, .start_position = -1};
	progress->next_ns = now + (config->progress_bar ? BAR_NS : LINE_NS);
}

int64_t progress_due_ns(const struct progress *progress)
{
	return progress->config->show_progress ? progress->next_ns : INT64_MAX;
}

static void write_bar(const struct progress *progress, const struct buffer *line)
{
	ssize_t n = write(progress->config->log->fd, line->data, line->len);

	(void)n; /* a bar that cannot be drawn is no loss */
}

void progress_clear(struct progress *progress)
{
	struct buffer line = BUFFER_INIT;

	if (!progress->bar_shown)
		return;
	buffer_append_text(&line, "\r\033[K");
	write_bar(progress, &line);
	buffer_done(&line);
	progress->bar_shown = false;
}

/* Seconds to the end at the pace so far; -1: nobody knows. */
static int64_t seconds_left(const struct progress *progress, const struct pipeline_progress *now, int64_t now_ns)
{
	double pace =
		(double)(now->position - progress->start_position) / ((double)(now_ns - progress->start_ns) / 1e9);

	if (now->total <= 0 || pace <= 0)
		return -1;
	return (int64_t)((double)(now->total - now->position) / pace + 0.5);
}

static void show_bar(struct progress *progress, const struct pipeline_progress *now, double rate, int64_t left)
{
	struct buffer line = BUFFER_INIT;
	double share = now->total > 0 ? (double)now->position / (double)now->total : 0;

	buffer_append_text(&line, "\r\033[K");
	if (now->total > 0) {
		buffer_append_byte(&line, '[');
		for (int i = 0; i < BAR_CELLS; i++)
			buffer_append_byte(&line, i < share * BAR_CELLS ? '#' : '.');
		buffer_printf(&line, "] %5.1f%%  ", share * 100);
	}
	buffer_printf(&line, "%llu events  %.0f/s", (unsigned long long)now->events, rate);
	if (left >= 0)
		buffer_printf(&line, "  %lld:%02lld left", (long long)left / 60, (long long)left % 60);
	if (!line.failed)
		write_bar(progress, &line);
	buffer_done(&line);
	progress->bar_shown = true;
}

static void show_line(const struct progress *progress, const struct pipeline_progress *now, double rate, int64_t left)
{
	const struct log *log = progress->config->log;

	if (now->total > 0)
		LOG(log, SB_LOG_INFO, "Progress", LOG_I("events", now->events), LOG_F("events_per_s", rate, 0),
		    LOG_I("position", now->position), LOG_I("total", now->total), LOG_I("seconds_left", left));
	else
		LOG(log, SB_LOG_INFO, "Progress", LOG_I("events", now->events), LOG_F("events_per_s", rate, 0),
		    LOG_I("position", now->position));
}

void progress_show(struct progress *progress, const struct pipeline *pipeline)
{
	int64_t now_ns = clock_monotonic_ns(progress->config->clock);
	struct pipeline_progress now;
	double rate;

	if (!progress->config->show_progress)
		return;
	pipeline_get_progress(pipeline, &now);
	if (progress->start_position < 0)
		progress->start_position = now.position;
	if (now_ns < progress->next_ns)
		return;
	rate = (double)(now.events - progress->last_events) / ((double)(now_ns - progress->last_ns) / 1e9);
	if (progress->config->progress_bar)
		show_bar(progress, &now, rate, seconds_left(progress, &now, now_ns));
	else
		show_line(progress, &now, rate, seconds_left(progress, &now, now_ns));
	progress->last_events = now.events;
	progress->last_ns = now_ns;
	progress->next_ns = now_ns + (progress->config->progress_bar ? BAR_NS : LINE_NS);
}

void progress_summarize(struct progress *progress, const struct pipeline *pipeline)
{
	double seconds = (double)(clock_monotonic_ns(progress->config->clock) - progress->start_ns) / 1e9;
	struct pipeline_progress now;

	pipeline_get_progress(pipeline, &now);
	LOG(progress->config->log, SB_LOG_INFO, "Finished", LOG_I("events", now.events),
	    LOG_I("bad_records", now.bad_records), LOG_F("seconds", seconds, 3),
	    LOG_F("events_per_s", seconds > 0 ? (double)now.events / seconds : 0, 0));
}
