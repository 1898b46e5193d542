/* Shared by the host's files: job.c (life), check_paths.c, open_inputs.c, state_dir.c, restore.c, control.c. */
#ifndef HOST_JOB_PRIVATE_H
#define HOST_JOB_PRIVATE_H

#include <stdatomic.h>

#include "checkpoint/store.h"
#include "host/job.h"
#include "host/notify.h"
#include "plugin/instance.h"
#include "state/migration.h"
#include "state/schema.h"
#include "stream/pipeline.h"

struct job_task {
	_Atomic int64_t horizon_ms;
	char *dir;
	struct instance *backend;
	struct buffer provider; /* parts for the operator, one behind the other */
	sb_slice *parts;
	uint64_t *part_ends;
	uint64_t part_count;
};

struct job {
	const struct job_config *config;
	enum job_end refusal; /* what a failure means at the present stage */
	struct plugin *backend_plugin, *operator_plugin;
	const struct component *backend, *operator;
	struct option_set backend_options, operator_options;
	struct schema schema;
	struct migration *migration; /* from the checkpoint's schema to this one; NULL on a fresh start */
	uint64_t dropped_entries; /* of states that the operator no longer has */
	uint32_t key_groups;
	struct checkpoint_store *store;
	int state_lock_fd;
	struct job_task *tasks; /* config->parallelism of them */
	struct partition *partitions;
	uint64_t partition_count;
	struct output output, dead_letters;
	struct checkpoint_reader *checkpoint; /* being restored, or NULL on a fresh start */
	bool native; /* its files are taken over as they are */
	bool checkpoint_damaged; /* found so while its entries were read */
	int64_t verify_ns; /* how long it took to find the checkpoint good */
	uint64_t restored_events;
	char restored_id[CHECKPOINT_ID_BYTES];
	struct notify notify;
	struct manifest *manifest; /* NULL: every plugin may be loaded */
	bool starts_empty; /* no checkpoint was restored */
	struct pipeline *pipeline;
	struct watchdog *watchdog; /* NULL: none */
	_Atomic(const struct pipeline *) running; /* for the watchdog: whom to ask for the position */
};

/* hang.c: watches over the plugins' calls, when --plugin-timeout asks for it. */
int32_t hang_watch(struct job *job, sb_error *err);

/* check_paths.c: SB_ERR_CONFIG when one file or directory would be lost to another's sake. */
int32_t check_paths(const struct job_config *config, sb_error *err);

/* state_dir.c: the live directory is scratch, made anew at every start. */
int32_t state_dir_open(struct job *job, sb_error *err);
/* Whether a former run had a checkpoint; and the sign for a later one that this has. */
int32_t state_dir_had_checkpoint(struct job *job, bool *ret_had, sb_error *err);
int32_t state_dir_mark_checkpoint(struct job *job, sb_error *err);
/* Empties it, makes each task's directory and opens the backends in them. */
int32_t state_dir_open_backends(struct job *job, sb_error *err);
void state_dir_close_backends(struct job *job);

/* restore.c: finds the checkpoint, or decides that the start is a fresh one. */
int32_t restore_choose(struct job *job, sb_error *err);
/* Loads the state into fresh backends. Sets checkpoint_damaged when the cause of a failure is the checkpoint. */
int32_t restore_state(struct job *job, sb_error *err);
/* Puts the files of a task's backend into its directory, when they are taken over as they are. */
int32_t restore_place_files(struct job *job, uint32_t index, sb_error *err);
/* With --restore none or an id: what is newer belongs to a history that this job does not go on with. */
int32_t restore_leave_newer(struct job *job, sb_error *err);
/* Sets the damaged checkpoint aside and takes back all that was done with it, so that the next older one can be chosen. */
int32_t restore_set_aside(struct job *job, const sb_error *cause, sb_error *err);

/* open_inputs.c: sources at their offsets, outputs cut back. */
int32_t open_inputs(struct job *job, sb_error *err);
int32_t open_outputs(struct job *job, sb_error *err);
void close_inputs(struct job *job);

/* control.c: signals, the checkpoint timer, progress; returns when the job is over. */
int32_t control_run(struct job *job, sb_error *err);

#endif
