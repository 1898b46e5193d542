/* Holding back writes to backends while one of them makes the files of a checkpoint.
 *
 * Set while all tasks stand at the barrier; lifted by the checkpoint's thread. Meanwhile tasks read, and
 * keep what they would write in their working sets; who cannot go on without writing waits. */
#ifndef STATE_WRITE_HOLD_H
#define STATE_WRITE_HOLD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

struct write_hold {
	pthread_mutex_t mutex;
	pthread_cond_t lifted;
	_Atomic bool held;
};

void write_hold_init(struct write_hold *hold);
void write_hold_done(struct write_hold *hold);
void write_hold_set(struct write_hold *hold);
void write_hold_lift(struct write_hold *hold);
/* Returns when nothing is held back. NULL is fine. */
void write_hold_wait(struct write_hold *hold);

static inline bool write_hold_is_set(const struct write_hold *hold)
{
	return hold && atomic_load(&hold->held);
}

#endif
