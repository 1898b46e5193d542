/* The names of an envelope's members: checked, and each allowed once. */
#ifndef CHECKPOINT_NAMES_H
#define CHECKPOINT_NAMES_H

#include "checkpoint/checkpoint_private.h"

struct name_set {
	uint64_t *hashes; /* of all names so far; two names of one hash are refused as one */
	uint64_t count;
};

/* SB_ERR_CORRUPT when name is there already, or is no name: [A-Za-z0-9._-], 1 to CHECKPOINT_NAME_MAX bytes. */
int32_t name_set_add(struct name_set *set, const char *name, sb_error *err);
void name_set_done(struct name_set *set);

#endif
