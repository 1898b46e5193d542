/* A whole pipeline for tests: files of numbered records in, a small operator, real checkpoints; and a slow
 * recomputation of what a checkpoint must hold, from its own offsets alone. Free of Criterion.
 *
 * The operator ("tally") keeps, for each key, number and sum of its events (struct state), under each
 * value modulo 8 how often the key had it (raw state), and beyond the keys how many events its instance had (provider
 * state). It changes its struct after a raw scan, through the pointer it got before. For each event it emits key and number. */
#ifndef SUPPORT_PIPELINE_RIG_H
#define SUPPORT_PIPELINE_RIG_H

#include "plugin/instance.h"
#include "stream/pipeline.h"
#include "support/rng.h"

#define RIG_PARTITIONS_MAX 4u
#define RIG_TASKS_MAX 8u

struct rig_config {
	const struct component *backend;
	const struct option_set *backend_options; /* may be NULL */
	uint32_t tasks;
	uint32_t partitions;
	uint32_t records; /* of each partition, bad and blank lines among them */
	uint64_t seed;
	uint64_t cache_bytes;
	int64_t ttl_ms; /* 0: none; else by event time, and then one partition only */
	uint32_t checkpoints; /* asked for while it runs, at random moments; one more at the end */
	uint64_t max_events; /* 0: all */
	bool stop_on_bad_record;
	bool full_checkpoints; /* even if the backend can do better */
	const char *output; /* NULL: a file of its own; else as on the command line */
	/* Faults. */
	uint64_t fail_at; /* the event of an instance at which the operator fails; 0: none */
	bool fail_without_a_word; /* with a status, but no message */
	bool fail_in_service; /* not by its own status but by a call that the host refuses, whose status it drops */
	bool fail_snapshot;
	int fsync_errno; /* what fsync of the output fails with; 0: it succeeds without doing anything */
};

struct rig;

/* In a new directory below /tmp. Everything that goes wrong in the rig itself aborts. */
struct rig *rig_new(const struct rig_config *config);
void rig_free(struct rig *rig);

/* Runs to the end of the input, or to max_events, and writes a final checkpoint; or until the first failure, which is returned.
 * When it ends well, every checkpoint that was written has been compared. */
int32_t rig_run(struct rig *rig, sb_error *err);
/* Goes on from the newest checkpoint, in fresh backends, perhaps with other tasks; 0: as many as before. */
int32_t rig_resume(struct rig *rig, uint32_t tasks, sb_error *err);

/* Compares every checkpoint in the directory with a recomputation; SB_ERR_CORRUPT says how one differs. */
int32_t rig_compare_checkpoints(struct rig *rig, uint64_t *ret_checkpoints, sb_error *err);

struct rig_counts {
	uint64_t good, bad; /* records of all partitions */
	uint64_t checkpoints; /* written */
	uint64_t failed_checkpoints;
	uint64_t good_after_failed; /* checkpoints written after one that failed */
};

/* Events that the newest checkpoint counts. */
uint64_t rig_last_events(struct rig *rig);

void rig_get_counts(const struct rig *rig, struct rig_counts *ret_counts);

#endif
