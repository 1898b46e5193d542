/* A job made by hand as far as a restore needs it, for tests of host/restore.c: the fixture's operator and states, and backends that only
 * note what they are given. Free of Criterion. */
#ifndef SUPPORT_RESTORE_RIG_H
#define SUPPORT_RESTORE_RIG_H

#include "fault/checkpoint_fixture.h"
#include "host/job_private.h"

#define RESTORE_TASKS 2u

struct restore_rig {
	char dir[128], checkpoints[160], state[160], log_path[160];
	struct io_ops ops;
	struct io io; /* waits for no disk */
	struct clock clock;
	int64_t now_ns, step_ns; /* each look at the clock moves it on by step_ns */
	struct log log; /* every line, into log_path */
	struct job_config config;
	struct job job;
	struct component backend, operator;
	struct plugin operator_plugin;
	struct instance instances[RESTORE_TASKS];
	/* What the backends do, and have been given. */
	int32_t write_status; /* of every write_batch */
	uint64_t writes, entries, bytes;
	bool immutable; /* all files, or none */
};

/* One at a time: backends find it by themselves. */
void restore_rig_init(struct restore_rig *rig);
void restore_rig_done(struct restore_rig *rig);
/* What a job that failed leaves goes, and another one is there, on the same directories. */
void restore_rig_renew(struct restore_rig *rig);
/* Writes it into the checkpoints, and frees it. */
void restore_rig_write(struct restore_rig *rig, struct fixture *fixture);
/* Replaces a text in a checkpoint by one of the same length, and signs it anew. */
void restore_rig_forge(struct restore_rig *rig, uint64_t number, const char *from, const char *to);
bool restore_rig_has_line(const struct restore_rig *rig, const char *message);
/* restore_choose and restore_state, as a job calls them. */
int32_t restore_rig_run(struct restore_rig *rig, sb_error *err);

#endif
