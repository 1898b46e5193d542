/* What the files of the store share: store.c lists, numbers and collects; restore_pick.c finds the
 * checkpoint to restore; set_aside.c moves away those that must not be restored. */
#ifndef CHECKPOINT_STORE_PRIVATE_H
#define CHECKPOINT_STORE_PRIVATE_H

#include "checkpoint/store.h"

struct checkpoint_store {
	struct io *io;
	const struct log *log;
	char *dir;
	int lock_fd; /* -1: not locked */
	uint64_t last_number; /* of the ids handed out */
};

/* A warning with the file and the error's message. */
void store_warn(const struct checkpoint_store *store, const char *message, const char *file, const sb_error *err);

#endif
