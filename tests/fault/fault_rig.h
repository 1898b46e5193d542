/* The ground that the fault tests start from, made once for each mode: a job's directories with several checkpoints in them, of which
 * copies are run, failed, damaged and run again. */
#ifndef FAULT_FAULT_RIG_H
#define FAULT_FAULT_RIG_H

#include "fault/fault_job.h"

/* The modes, by index; false behind the last, and for what this build lacks. */
#define FAULT_MODES 5u
bool fault_mode_get(unsigned index, struct fault_mode *ret_mode);

/* Of so many cases, one in how many is tried: enough for a short form of so many, unless SBHOST_FAULTS says "whole" or, as a number, one in
 * how many (scripts/fault-campaign). Of a slow mode, a tenth of that. */
uint64_t fault_step(const struct fault_mode *mode, uint64_t cases, uint64_t short_form);

struct fault_past { /* a checkpoint of the ground */
	char id[CHECKPOINT_ID_BYTES];
	uint64_t number;
	uint32_t stream_records; /* before its offset */
};

struct fault_rig {
	struct fault_mode mode;
	char dir[128]; /* holds both below */
	char ground[160], run[160];
	struct fault_input file, stream;
	struct fault_past newest, older;
};

/* Aborts on what goes wrong in the rig itself. */
void fault_rig_init(struct fault_rig *rig, const struct fault_mode *mode);
void fault_rig_done(struct fault_rig *rig);
/* The run directory anew: a copy of the ground, or, fresh, the input alone. The input has grown since the ground was made. */
void fault_rig_reset(struct fault_rig *rig, bool fresh);
/* A job on the run directory with everything in place but the stream and the fault. */
struct fault_job fault_rig_job(const struct fault_rig *rig);

#endif
