/* What a collection keeps and removes, and why: the rule of checkpoint_store_collect (core/checkpoint/sweep.c), told.
 *
 * The newest N checkpoints that can be restored stay, and what is newer than the last of them; all that these need; and
 * all that abandoned ones need, which people may want to move back. A file in shared/ stays while a checkpoint that
 * stays, or one that was put aside, names it. */
#ifndef CLI_PRUNE_PLAN_H
#define CLI_PRUNE_PLAN_H

#include "cli/checkpoint_tools.h"

#define PRUNE_WHY_BYTES 128

struct planned {
	bool stays;
	char why[PRUNE_WHY_BYTES];
};

struct used_file;

struct prune_plan {
	struct checks checks;
	struct planned *checkpoints; /* by index in checks */
	struct used_file *used;
	uint64_t used_count;
	bool removes; /* at least one checkpoint goes */
};

int32_t prune_plan_make(struct tool *tool, struct checkpoint_store *store, struct prune_plan *ret_plan, sb_error *err);
void prune_plan_done(struct prune_plan *plan);
/* name: below the checkpoint directory, "shared/…" and the like included. */
void prune_plan_decide(const struct prune_plan *plan, const char *name, struct planned *ret_fate);

#endif
