/* Which call of which plugin the watchdog takes for one that hangs. Instances stand still in a call here, or go on from call to call. */
#include <criterion/criterion.h>
#include <semaphore.h>

#include "base/error.h"
#include "plugin/instance.h"

#define TIMEOUT_MS 4 /* it looks once in a millisecond */

static struct component processor_component = {.kind = SB_KIND_OPERATOR}, backend_component = {.kind = SB_KIND_BACKEND};
static struct instance processor = {.component = &processor_component}, backend = {.component = &backend_component};

/* What it was told, the first times. */
static struct {
	sem_t told;
	int count;
	const struct instance *instances[2];
	const char *calls[2];
	void *context;
	void (*after_first)(void);
} verdict;

/* What happens to the backend between two looks: it begins a call, at which it has been seen often already, … */
static void backend_hangs(void)
{
	call_mark_enter(&backend.calls, "multi_get");
	backend.seen_calls = (struct call_seen){.turn = backend.calls.turn, .looks = 1000};
}

/* … or, seen often, has gone on to the next one. */
static void backend_goes_on(void)
{
	backend_hangs();
	call_mark_enter(&backend.calls, "write_batch");
}

/* On the watchdog's thread. Returns, unlike the host's, which ends the process: so it looks on. */
static void hang(void *context, const struct instance *instance, const char *call)
{
	if (verdict.count == 2)
		return;
	verdict.context = context;
	verdict.instances[verdict.count] = instance;
	verdict.calls[verdict.count] = call;
	if (verdict.count++ == 0)
		verdict.after_first();
	sem_post(&verdict.told);
}

/* Both are watched, added in this order, until it has told twice. */
static void watch(struct instance *first, struct instance *second, void (*after_first)(void))
{
	struct watchdog *watchdog;
	sb_error err = ERROR_INIT;

	verdict.after_first = after_first;
	cr_assert_eq(sem_init(&verdict.told, 0, 0), 0);
	cr_assert_eq(watchdog_start(TIMEOUT_MS, hang, &verdict, &watchdog, &err), SB_OK, "%s", err.message);
	watchdog_add(watchdog, first);
	watchdog_add(watchdog, second);
	cr_assert_eq(sem_wait(&verdict.told), 0);
	cr_assert_eq(sem_wait(&verdict.told), 0);
	watchdog_remove(watchdog, first);
	watchdog_remove(watchdog, second);
	watchdog_stop(watchdog);
	cr_assert_eq(verdict.context, &verdict);
}

static void assert_told(int index, const struct instance *instance, const char *call)
{
	cr_assert_eq(verdict.instances[index], instance);
	cr_assert_str_eq(verdict.calls[index], call);
}

TestSuite(plugin_watchdog, .timeout = 60);

Test(plugin_watchdog, names_the_backend_when_an_operator_waits_for_it)
{
	call_mark_enter(&processor.calls, "process");
	watch(&processor, &backend, backend_hangs);
	assert_told(0, &processor, "process");
	assert_told(1, &backend, "multi_get");
}

Test(plugin_watchdog, whichever_of_the_two_it_looks_at_first)
{
	call_mark_enter(&processor.calls, "process");
	watch(&backend, &processor, backend_hangs);
	assert_told(0, &processor, "process");
	assert_told(1, &backend, "multi_get");
}

Test(plugin_watchdog, one_that_goes_on_to_another_call_does_not_hang)
{
	call_mark_enter(&processor.calls, "process");
	watch(&processor, &backend, backend_goes_on);
	assert_told(0, &processor, "process");
	assert_told(1, &processor, "process");
}

Test(plugin_watchdog, a_walk_for_a_checkpoint_may_hang_as_well)
{
	call_mark_enter(&backend.walks, "iter_next");
	watch(&processor, &backend, backend_hangs);
	assert_told(0, &backend, "iter_next");
}

Test(plugin_watchdog, without_one_there_is_nothing_to_do)
{
	watchdog_add(NULL, &backend);
	watchdog_remove(NULL, &backend);
	watchdog_stop(NULL);
	cr_assert_null(backend.next_watched);
}
