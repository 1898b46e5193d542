/* The bounded queue between two threads. */
#include <criterion/criterion.h>
#include <unistd.h>

#include "base/error.h"
#include "stream/queue.h"

#define ITEMS 20000u

static struct queue queue;
static sb_error err = ERROR_INIT;
static int items[ITEMS];

static void set_up(void)
{
	alarm(60);
	cr_assert_eq(queue_init(&queue, 3, &err), SB_OK);
}

static void tear_down(void)
{
	queue_done(&queue);
}

TestSuite(queue, .init = set_up, .fini = tear_down);

Test(queue, gives_items_in_their_order_over_its_end)
{
	for (int round = 0; round < 5; round++) {
		cr_assert(queue_push(&queue, &items[2 * round]));
		cr_assert(queue_push(&queue, &items[2 * round + 1]));
		cr_assert_eq(queue_pop(&queue), &items[2 * round]);
		cr_assert_eq(queue_try_pop(&queue), &items[2 * round + 1]);
	}
	cr_assert(queue_is_empty(&queue));
	cr_assert_null(queue_try_pop(&queue));
}

Test(queue, closed_one_takes_nothing_and_gives_what_it_has)
{
	cr_assert(queue_push(&queue, &items[0]));
	queue_close(&queue);
	cr_assert_not(queue_push(&queue, &items[1]));
	cr_assert_not(queue_is_empty(&queue));
	cr_assert_eq(queue_pop(&queue), &items[0]);
	cr_assert_null(queue_pop(&queue));
	cr_assert_null(queue_pop(&queue));
}

Test(queue, done_twice_or_before_init_is_fine)
{
	struct queue empty = {0};

	queue_done(&empty);
	queue_done(&queue);
}

static void *push_all(void *arg)
{
	(void)arg;
	for (uint32_t i = 0; i < ITEMS; i++)
		if (!queue_push(&queue, &items[i]))
			return &items[i];
	return NULL;
}

Test(queue, producer_that_is_faster_waits_and_loses_nothing)
{
	pthread_t thread;
	void *failed;

	cr_assert_eq(pthread_create(&thread, NULL, push_all, NULL), 0);
	for (uint32_t i = 0; i < ITEMS; i++) {
		cr_assert_leq(queue.count, 3);
		cr_assert_eq(queue_pop(&queue), &items[i]);
	}
	pthread_join(thread, &failed);
	cr_assert_null(failed);
}

static void *pop_all(void *arg)
{
	(void)arg;
	while (queue_pop(&queue))
		;
	return NULL;
}

Test(queue, close_wakes_a_consumer_that_waits)
{
	pthread_t thread;

	cr_assert_eq(pthread_create(&thread, NULL, pop_all, NULL), 0);
	queue_push(&queue, &items[0]);
	queue_close(&queue);
	pthread_join(thread, NULL);
	cr_assert(queue_is_empty(&queue));
}

Test(queue, close_wakes_a_producer_that_waits)
{
	pthread_t thread;
	void *failed;

	cr_assert_eq(pthread_create(&thread, NULL, push_all, NULL), 0);
	for (int i = 0; i < 10; i++)
		queue_pop(&queue);
	queue_close(&queue);
	pthread_join(thread, &failed);
	cr_assert_not_null(failed);
}
