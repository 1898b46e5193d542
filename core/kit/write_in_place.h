/* A batch of operations, applied as write_batch would, but through sb.inplace/1.
 *
 * What keeps its length or is new is changed where it lies; what changes its length goes to write_batch, once the
 * round has ended. Every answer on the way is checked against what the ABI says. */
#ifndef KIT_WRITE_IN_PLACE_H
#define KIT_WRITE_IN_PLACE_H

#include "kit/witness.h"
#include "sb_plugin.h"

#define WRITE_IN_PLACE_MAX 512u

struct write_in_place {
	const sb_backend_ops *ops;
	const sb_inplace_ops *inplace;
	sb_backend *backend;
	struct witness *witness; /* notes the calls; NULL: nobody does */
	/* May be NULL: told the answer for each key. */
	void (*found)(void *arg, sb_slice key, const sb_place *place);
	/* May be NULL: called in the middle of the round. */
	void (*between)(void *arg);
	void *arg;
};

/* n is at most WRITE_IN_PLACE_MAX. NULL, or a sentence that says what went wrong. */
const char *write_in_place(const struct write_in_place *with, uint64_t n, const sb_op *ops);

#endif
