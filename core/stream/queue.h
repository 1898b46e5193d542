/* A bounded queue of pointers between two threads: when it is full the producer waits, and so
 * a slow disk slows the reader. A batch a time passes here, so a mutex is cheap enough. */
#ifndef STREAM_QUEUE_H
#define STREAM_QUEUE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "sb_plugin.h"

struct queue {
	pthread_mutex_t mutex;
	pthread_cond_t not_empty, not_full;
	void **items;
	uint32_t capacity, count, first;
	bool closed;
};

int32_t queue_init(struct queue *queue, uint32_t capacity, sb_error *err);
/* What is still inside is the owner's to take out before. */
void queue_done(struct queue *queue);
/* Waits while full; false when the queue is closed: the item is still the caller's. */
bool queue_push(struct queue *queue, void *item);
/* Waits while empty; NULL when the queue is closed and empty. */
void *queue_pop(struct queue *queue);
/* NULL when empty. */
void *queue_try_pop(struct queue *queue);
bool queue_is_empty(struct queue *queue);
/* Wakes everybody; no push succeeds any more. */
void queue_close(struct queue *queue);

#endif
