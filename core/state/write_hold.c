/* See write_hold.h. */
#include "state/write_hold.h"

#include <stddef.h>

void write_hold_init(struct write_hold *hold)
{
	pthread_mutex_init(&hold->mutex, NULL);
	pthread_cond_init(&hold->lifted, NULL);
	atomic_init(&hold->held, false);
}

void write_hold_done(struct write_hold *hold)
{
	pthread_cond_destroy(&hold->lifted);
	pthread_mutex_destroy(&hold->mutex);
}

void write_hold_set(struct write_hold *hold)
{
	atomic_store(&hold->held, true);
}

void write_hold_lift(struct write_hold *hold)
{
	pthread_mutex_lock(&hold->mutex);
	atomic_store(&hold->held, false);
	pthread_cond_broadcast(&hold->lifted);
	pthread_mutex_unlock(&hold->mutex);
}

void write_hold_wait(struct write_hold *hold)
{
	if (!write_hold_is_set(hold))
		return;
	pthread_mutex_lock(&hold->mutex);
	while (atomic_load(&hold->held))
		pthread_cond_wait(&hold->lifted, &hold->mutex);
	pthread_mutex_unlock(&hold->mutex);
}
