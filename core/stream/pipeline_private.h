/* Shared by the pipeline's files: pipeline.c (life, control), reader.c, task.c, barrier.c. */
#ifndef STREAM_PIPELINE_PRIVATE_H
#define STREAM_PIPELINE_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/arena.h"
#include "state/keyed_state.h"
#include "stream/batch.h"
#include "stream/encode.h"
#include "stream/pipeline.h"
#include "stream/queue.h"

#define QUEUE_BATCHES 8u

/* Bringing to the backend what a barrier froze, between batches; see thaw.c. */
struct thaw {
	bool running;
	uint64_t generation; /* of the barrier */
	int64_t since_ns; /* the last look at the clock: what follows is work */
	int64_t credit_ns; /* what the work so far allows, less what was taken */
	int64_t spent_ns; /* for entries, of this thaw */
	uint64_t entries;
};

struct task {
	sb_task api; /* what the operator gets; first, so that it converts back */
	struct pipeline *pipeline;
	uint32_t index;
	pthread_t thread;
	bool has_thread;
	struct queue queue; /* of batches, from the reader */
	struct instance *backend;
	struct instance *operator;
	struct keyed_state *state;
	struct encoder *encoder;
	struct buffer records; /* encoded, of the batch at hand */
	struct arena scratch;
	int32_t failure; /* of a service that the operator called */
	sb_error failure_error;
	_Atomic int64_t *horizon_ms;
	struct write_hold hold; /* CUT_FILES: from the view of a checkpoint until its files have been made */
	struct thaw thaw;
	uint64_t mark; /* of the newest barrier, 0: none yet */
	uint64_t good_mark; /* of the newest checkpoint that succeeded, 0: none yet */
	_Atomic uint64_t events;
	struct profile profile;
	uint64_t next_metrics; /* number of events at which the next metrics line is due */
};

/* Where tasks meet. Owned by the pipeline while a checkpoint is requested. */
struct barrier {
	pthread_mutex_t mutex;
	pthread_cond_t released_changed;
	struct checkpoint_cut *cut; /* until it is handed over */
	uint32_t arrived;
	uint32_t views; /* tasks whose part of the cut is complete */
	bool last_succeeded; /* the checkpoint before this one */
	_Atomic bool mark_lost; /* a backend cannot tell what has changed */
	uint64_t generation; /* counts releases: who arrived in one waits for the next */
	int64_t first_arrival_ns; /* 0: nobody has arrived */
	int64_t released_ns;
};

/* The checkpoints that the next one of changes would build on; guarded by the pipeline's mutex. */
struct delta_chain {
	char ids[CHECKPOINT_DEPTH_MAX][CHECKPOINT_ID_BYTES]; /* the full one first */
	uint32_t count; /* 0: the next one is full */
	int64_t base_bytes, delta_bytes;
	bool last_succeeded;
};

struct pipeline {
	struct pipeline_config config;
	struct task *tasks;
	uint32_t opened_tasks;
	struct queue free_batches;
	struct coordinator_config coordinator_config;
	struct coordinator *coordinator;

	pthread_t reader_thread;
	bool has_reader;
	struct profile reader_profile;
	int64_t start_ns, stop_ns; /* with config.profile */
	int wake_fd; /* wakes the reader from its wait */
	_Atomic bool stop_wanted, barrier_wanted, closing;
	_Atomic uint64_t decoded, bad_records;
	_Atomic int64_t *positions; /* per partition, for progress */
	int64_t clock_ms; /* the reader's: wall clock that never goes back */

	enum cut_mode mode; /* the best that the backend can do and the user wants */
	struct delta_chain chain; /* CHANGES */
	_Atomic bool view_open; /* a checkpoint may still read the backends: no horizon moves */
	struct barrier barrier; /* one checkpoint at a time */

	int event_fd;
	pthread_mutex_t mutex; /* guards status */
	pthread_cond_t checkpoint_ended;
	struct pipeline_status status;
	uint64_t ended_checkpoints; /* written or failed */
};

/* Task: some more of what the last barrier froze, as much as the work since the last slice allows, or without limit when the
 * task has nothing else to do; with the last of it the task's part of the cut is complete. Only while thaw.running. */
void thaw_begin(struct task *task, uint64_t generation);
int32_t thaw_beside_work(struct task *task, sb_error *err);
int32_t thaw_when_idle(struct task *task, sb_error *err);

/* Threads' functions: of a struct pipeline, of a struct task. */
void *reader_run(void *argument);
void *task_run(void *argument);
int32_t task_open(struct task *task, struct pipeline *pipeline, uint32_t index, sb_error *err);
void task_close(struct task *task);
/* task_report.c */
void task_log_metrics(struct task *task);
void task_log_figures(struct task *task);

/* The first failure counts; it closes the queues, so that every thread ends. */
void pipeline_fail(struct pipeline *pipeline, const sb_error *err);
void pipeline_tell(struct pipeline *pipeline); /* makes event_fd readable */

void barrier_init(struct barrier *barrier);
void barrier_done(struct barrier *barrier);
/* Reader: fills the cut with positions and hands the barrier to all tasks. */
int32_t barrier_inject(struct pipeline *pipeline, sb_error *err);
/* Coordinator: what the result means for the next checkpoint. */
void barrier_note_result(struct pipeline *pipeline, const struct checkpoint_result *result);
/* Task: freezes its state and snapshots its operator; returns when processing may go on. */
int32_t barrier_arrive(struct task *task, sb_error *err);
/* Task: nothing is frozen any more. Opens its view; the last one hands the cut over. */
int32_t barrier_complete_part(struct task *task, sb_error *err);
/* Closing: lifts the holds that nobody else would lift. */
void barrier_close(struct pipeline *pipeline);

#endif
