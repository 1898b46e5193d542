/* Who wants to know how far it is while checkpoints are read from the first byte to the last, which takes minutes when they are
 * large: digests, and files in shared/. */
#ifndef CHECKPOINT_WATCH_H
#define CHECKPOINT_WATCH_H

#include <stdint.h>

struct checkpoint_watch {
	/* So many more bytes have been checked; called for each piece of some 100 KiB. */
	void (*checked)(void *context, uint64_t bytes);
	void *context;
};

/* NULL: nobody does. */
static inline void watch_checked(const struct checkpoint_watch *watch, uint64_t bytes)
{
	if (watch)
		watch->checked(watch->context, bytes);
}

#endif
