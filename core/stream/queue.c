/* See queue.h. */
#include "stream/queue.h"

#include <stdlib.h>

#include "base/error.h"

int32_t queue_init(struct queue *queue, uint32_t capacity, sb_error *err)
{
	*queue = (struct queue){.capacity = capacity};
	queue->items = calloc(capacity, sizeof(*queue->items));
	if (!queue->items)
		return error_no_memory(err);
	pthread_mutex_init(&queue->mutex, NULL);
	pthread_cond_init(&queue->not_empty, NULL);
	pthread_cond_init(&queue->not_full, NULL);
	return SB_OK;
}

void queue_done(struct queue *queue)
{
	if (!queue->items)
		return;
	pthread_cond_destroy(&queue->not_full);
	pthread_cond_destroy(&queue->not_empty);
	pthread_mutex_destroy(&queue->mutex);
	free(queue->items);
	queue->items = NULL;
}

bool queue_push(struct queue *queue, void *item)
{
	bool pushed = false;

	pthread_mutex_lock(&queue->mutex);
	while (queue->count == queue->capacity && !queue->closed)
		pthread_cond_wait(&queue->not_full, &queue->mutex);
	if (!queue->closed) {
		queue->items[(queue->first + queue->count++) % queue->capacity] = item;
		pthread_cond_signal(&queue->not_empty);
		pushed = true;
	}
	pthread_mutex_unlock(&queue->mutex);
	return pushed;
}

static void *take(struct queue *queue)
{
	void *item;

	if (queue->count == 0)
		return NULL;
	item = queue->items[queue->first];
	queue->first = (queue->first + 1) % queue->capacity;
	queue->count--;
	pthread_cond_signal(&queue->not_full);
	return item;
}

void *queue_pop(struct queue *queue)
{
	void *item;

	pthread_mutex_lock(&queue->mutex);
	while (queue->count == 0 && !queue->closed)
		pthread_cond_wait(&queue->not_empty, &queue->mutex);
	item = take(queue);
	pthread_mutex_unlock(&queue->mutex);
	return item;
}

void *queue_try_pop(struct queue *queue)
{
	void *item;

	pthread_mutex_lock(&queue->mutex);
	item = take(queue);
	pthread_mutex_unlock(&queue->mutex);
	return item;
}

bool queue_is_empty(struct queue *queue)
{
	bool empty;

	pthread_mutex_lock(&queue->mutex);
	empty = queue->count == 0;
	pthread_mutex_unlock(&queue->mutex);
	return empty;
}

void queue_close(struct queue *queue)
{
	pthread_mutex_lock(&queue->mutex);
	queue->closed = true;
	pthread_cond_broadcast(&queue->not_empty);
	pthread_cond_broadcast(&queue->not_full);
	pthread_mutex_unlock(&queue->mutex);
}
