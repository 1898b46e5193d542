/* What stays in a checkpoint directory and what goes, and why: the one rule, for the collection that follows each checkpoint, for
 * what a start cleans up, and for "sbhost checkpoint prune".
 *
 * The newest N checkpoints that can be restored (by their heads, see heads.h) stay, and what is newer than the last of them; all
 * that these need; and all that abandoned ones need, which people may want to move back. A file in shared/ stays while any
 * checkpoint that stays, or one in abandoned/ or quarantine/, names it. What cannot be parsed names nothing. A checkpoint that
 * cannot be read for another reason makes that there is no plan: not knowing is no reason to delete. What is no file of
 * ours stays. */
#ifndef CHECKPOINT_SWEEP_H
#define CHECKPOINT_SWEEP_H

#include "checkpoint/store.h"

#define SWEEP_WHY_BYTES 160

struct sweep_file {
	char *name; /* below the directory: "checkpoint-….json", "shared/…", … */
	char id[CHECKPOINT_ID_BYTES]; /* when it is a checkpoint of the directory itself, else "" */
	bool stays;
	bool removed; /* by sweep_execute */
	char why[SWEEP_WHY_BYTES];
};

/* Checkpoints first, the newest first; then what else lies in the directory, and in its folders, by name. */
struct sweep_plan {
	struct sweep_file *files;
	uint64_t count, cap;
};

/* keep: UINT64_MAX for all. nobody_writes: no temporary is one that is being written. */
int32_t sweep_plan_make(struct checkpoint_store *store, uint64_t keep, bool nobody_writes, struct sweep_plan *ret_plan,
			sb_error *err);
void sweep_plan_done(struct sweep_plan *plan);

/* Removes what goes; the store has its lock. A checkpoint that cannot be removed, or whose removal cannot be made durable, is
 * logged, and ends it: what it needs must stay. An error is one of removing other files. */
int32_t sweep_execute(struct checkpoint_store *store, struct sweep_plan *plan, uint64_t *ret_checkpoints,
		      sb_error *err);

#endif
