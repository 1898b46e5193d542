/* What the files of the store share: store.c lists, numbers and collects; restore_pick.c finds the
 * checkpoint to restore; set_aside.c moves away those that must not be restored. */
#ifndef CHECKPOINT_STORE_PRIVATE_H
#define CHECKPOINT_STORE_PRIVATE_H

#include "checkpoint/shared.h"
#include "checkpoint/store.h"

struct checkpoint_store {
	struct io *io;
	const struct log *log;
	char *dir;
	int lock_fd; /* -1: not locked */
	uint64_t last_number; /* of the ids handed out */
	struct shared shared;
	const struct checkpoint_watch *watch; /* NULL: none */
	bool trust_files; /* a restore does not hash files */
};

/* A warning with the file and the error's message. */
void store_warn(const struct checkpoint_store *store, const char *message, const char *file, const sb_error *err);

/* chain.c: opens the parents of meta, the nearest first; ret_parents has room for CHECKPOINT_DEPTH_MAX. SB_ERR_CORRUPT when one is
 * missing or does not fit its child. With digest all of their bytes are checked. */
int32_t chain_open(struct checkpoint_store *store, const struct checkpoint_meta *meta, bool digest,
		   struct checkpoint_reader **ret_parents, uint32_t *ret_count, sb_error *err);
/* SB_ERR_CORRUPT when child cannot have been made of what changed since parent. */
int32_t chain_check_fit(const struct checkpoint_meta *parent, const struct checkpoint_meta *child, sb_error *err);
void chain_close(struct checkpoint_reader **parents, uint32_t count);

#endif
