/* What the checkpoints of a directory look like by their heads and tails: whether each could be restored, so far as that shows
 * without reading what they hold. It takes no time however large they are.
 *
 * Good by its form is a checkpoint whose head and tail make sense, whose files lie in shared/ with their sizes, whose parent is
 * there, fits it, and is good in the same sense. Heads are read as they are asked for, and each once however many others
 * need it. Parents are older, so a chain has an end; a file that claims a younger parent is damaged. */
#ifndef CHECKPOINT_HEADS_H
#define CHECKPOINT_HEADS_H

#include "checkpoint/store.h"

struct checkpoint_head {
	bool read;
	sb_error problem; /* its own, not its parents'; code SB_OK: none */
	char parent[CHECKPOINT_ID_BYTES]; /* "" for none, or when it cannot be read */
};

/* All checkpoints of a directory, newest first. */
struct checkpoint_heads {
	struct checkpoint_store *store;
	struct checkpoint_ref *refs;
	struct checkpoint_head *heads;
	uint64_t count;
};

int32_t checkpoint_heads_open(struct checkpoint_store *store, struct checkpoint_heads *ret_heads, sb_error *err);
void checkpoint_heads_close(struct checkpoint_heads *heads);
/* UINT64_MAX when there is none of that id. */
uint64_t checkpoint_heads_find(const struct checkpoint_heads *heads, const char *id);
/* SB_OK when refs[i] is good by its form. SB_ERR_CORRUPT and a sentence when it is not; SB_ERR_NOT_FOUND when it has been removed
 * since; any other status when that cannot be told. *ret_links counts the checkpoints that were looked at, itself included. */
int32_t checkpoint_heads_check(struct checkpoint_heads *heads, uint64_t i, uint64_t *ret_links, sb_error *err);
/* What refs[i] says it builds on: "" for nothing. */
const char *checkpoint_heads_parent(struct checkpoint_heads *heads, uint64_t i);

#endif
