/* The running job: one reader thread, one thread per task, and the coordinator's.
 *
 *   sources → reader (split, decode, route) → queue per task → task (working set, operator) → output
 *
 * A checkpoint begins with a barrier, which the reader puts into every queue between two batches: all that is
 * before it counts, nothing behind it does. At the barrier each task freezes what it has changed; when the last one has, the output's length
 * is taken, and all go on. Between later batches each task brings what is frozen to its backend (the thaw), then opens a stable view of it; when the
 * last one has, the cut is handed to the coordinator, which writes. A task whose backend has no stable iterators waits until the writing is done.
 *
 * The functions here are called by one controlling thread; what happens inside is told by event_fd. */
#ifndef STREAM_PIPELINE_H
#define STREAM_PIPELINE_H

#include "checkpoint/coordinator.h"
#include "plugin/instance.h"
#include "stream/output.h"
#include "stream/profile.h"
#include "stream/source.h"

struct partition {
	struct source *source;
	struct decoder *decoder;
	char *name;
	int64_t offset; /* of the next record */
	int64_t watermark_ms; /* highest event time seen; INT64_MIN: none */
	bool finished;
};

struct pipeline_task_config {
	struct instance *backend; /* open, restored; the pipeline does not close it */
	bool backend_empty; /* there was nothing to restore */
	_Atomic int64_t *horizon_ms; /* of the backend's env */
	const sb_slice *provider_parts; /* for the operator's restore; valid during pipeline_open */
	uint64_t provider_count;
};

struct pipeline_config {
	struct io *io;
	struct clock *clock;
	const struct log *log;
	const struct component *operator;
	const struct option_set *operator_options;
	const struct schema *schema;
	uint32_t key_groups;
	uint32_t tasks;
	const struct pipeline_task_config *task_configs;
	struct partition *partitions; /* started; the pipeline does not close them */
	uint32_t partition_count;
	struct output *output;
	struct output *dead_letters;
	bool stop_on_bad_record;
	bool event_time; /* --ttl-clock event */
	uint64_t cache_bytes; /* of all tasks together */
	uint64_t max_events; /* 0: no limit */
	uint64_t events_before; /* of former runs */
	uint64_t metrics_every; /* events between metrics lines; 0: none */
	struct checkpoint_store *store;
	enum checkpoint_codec codec;
	uint64_t keep;
	bool profile; /* watch where the time goes */
	struct watchdog *watchdog; /* over calls of plugins; NULL: none */
	bool full_checkpoints; /* even if the backend can do better */
	const char *backend_id, *backend_version;
	const char *operator_version;
};

struct pipeline;

/* Opens operators and keyed states; no thread yet. config's pointers outlive the pipeline. */
int32_t pipeline_open(const struct pipeline_config *config, struct pipeline **ret_pipeline, sb_error *err);
int32_t pipeline_start(struct pipeline *pipeline, sb_error *err);
/* Ends all threads at once (batches in flight are lost), so that what they counted stands still. */
void pipeline_stop(struct pipeline *pipeline);
/* Ends all threads at once (batches in flight are lost) and frees. NULL is fine. */
void pipeline_close(struct pipeline *pipeline);

/* Readable when something happened that pipeline_poll tells. */
int pipeline_event_fd(const struct pipeline *pipeline);

struct pipeline_status {
	bool failed; /* err is the first failure */
	sb_error error;
	bool input_ended; /* the reader reads no more, all its batches are in the queues */
	bool checkpoint_running; /* between request and result */
	bool has_result; /* of a checkpoint; told once */
	struct checkpoint_result result;
};

void pipeline_poll(struct pipeline *pipeline, struct pipeline_status *ret_status);

/* Asks for a checkpoint; none may be running. */
void pipeline_request_checkpoint(struct pipeline *pipeline);
/* Asks the reader to stop at the next record; input_ended follows. */
void pipeline_request_stop(struct pipeline *pipeline);

struct pipeline_progress {
	uint64_t events; /* processed in this run */
	uint64_t decoded; /* taken from the input, processed or on the way */
	uint64_t bad_records;
	int64_t position, total; /* bytes or events over all partitions; total -1: unknown */
};

void pipeline_get_progress(const struct pipeline *pipeline, struct pipeline_progress *ret_progress);

struct pipeline_profile {
	struct profile reader;
	struct profile tasks; /* all tasks' together */
	int64_t elapsed_ns; /* from start to stop */
	uint64_t events;
};

/* With config.profile, after pipeline_stop. */
void pipeline_get_profile(const struct pipeline *pipeline, struct pipeline_profile *ret_profile);

#endif
