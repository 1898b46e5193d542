/* A backend that returns whatever a test tells it, to whoever reads it for a checkpoint: an entry, a change, files, a failure. Free of Criterion. */
#ifndef SUPPORT_FORGED_BACKEND_H
#define SUPPORT_FORGED_BACKEND_H

#include "plugin/plugin.h"

enum forged_files { MAKES_A_FILE, MAKES_NONE, MAKES_A_FOLDER, MAKES_TWO_OF_ONE_CONTENT, FAILS_TO_MAKE };

/* What it does, all instances together; and what has been done with it. */
struct forged {
	sb_op op; /* returned once by an iterator or a walk over changes, unless its key is empty */
	bool returned;
	int32_t status; /* of every call that may fail */
	enum forged_files makes;
	bool changeable; /* the files it makes are not immutable */
	unsigned open; /* iterators and walks: whoever hands one out counts it */
};

extern struct forged forged;

/* A failure with a sentence, or none. */
int32_t forged_say(sb_error *err, int32_t status);
void forged_component(struct component *ret_component);

#endif
