/* How the thaw shares a thread's time, on a clock that stands still until it is moved: keyed state and barrier are stand-ins
 * that the linker finds before the library's, so that a write can take as long as the test wants. */
#include <criterion/criterion.h>

#include "base/error.h"
#include "stream/pipeline_private.h"

#define SECOND_NS 1000000000ll
#define WORK_NS 1000000ll /* of a batch */
#define GENERATION 7u

static struct pipeline pipeline;
static struct task task;
static struct fake_clock fake;
static sb_error err = ERROR_INIT;

/* What the stand-ins do and see. */
static uint64_t frozen;
static uint64_t largest_slice;
static uint32_t completed;
static int64_t entry_ns; /* what the backend takes for an entry */
static int64_t thaw_ns; /* all of it */
static int32_t write_status;

uint64_t keyed_state_frozen(const struct keyed_state *ks)
{
	(void)ks;
	return frozen;
}

int32_t keyed_state_thaw(struct keyed_state *ks, uint64_t max, sb_error *ret_err)
{
	const uint64_t count = max < frozen ? max : frozen;

	(void)ks;
	fake.now_ns += (int64_t)count * entry_ns;
	thaw_ns += (int64_t)count * entry_ns;
	largest_slice = count > largest_slice ? count : largest_slice;
	if (write_status != SB_OK)
		return error_set(ret_err, write_status, "the disk is gone");
	frozen -= count;
	return SB_OK;
}

int32_t barrier_complete_part(struct task *completing, sb_error *ret_err)
{
	(void)ret_err;
	cr_assert_eq(completing, &task);
	completed++;
	return SB_OK;
}

static void set_up(void)
{
	fake_clock_init(&fake, SECOND_NS);
	pipeline.config.clock = &fake.clock;
	task.pipeline = &pipeline;
	entry_ns = 1000;
	thaw_begin(&task, GENERATION);
}

TestSuite(thaw, .init = set_up);

static void batch(void)
{
	fake.now_ns += WORK_NS;
	cr_assert_eq(thaw_beside_work(&task, &err), SB_OK, "%s", err.message);
}

Test(thaw, takes_a_fifth_of_the_time_beside_work)
{
	int64_t begin_ns = fake.now_ns;
	double share;

	frozen = 1000000;
	while (task.thaw.running)
		batch();
	share = (double)thaw_ns / (double)(fake.now_ns - begin_ns);
	cr_assert(share > 0.19 && share < 0.21, "%.3f", share);
	cr_assert_eq(frozen, 0);
	cr_assert_eq(completed, 1);
	cr_assert_eq(task.thaw.entries, 1000000);
	cr_assert_eq(task.thaw.spent_ns, thaw_ns);
}

Test(thaw, slices_have_an_upper_bound)
{
	frozen = 1000000;
	entry_ns = 1;
	while (task.thaw.running)
		batch();
	cr_assert_leq(largest_slice, 4096);
}

Test(thaw, with_nothing_else_to_do_takes_all_the_time_in_short_slices)
{
	uint32_t calls = 0;

	frozen = 10000;
	for (; task.thaw.running; calls++)
		cr_assert_eq(thaw_when_idle(&task, &err), SB_OK);
	cr_assert_eq(calls, (10000 + largest_slice - 1) / largest_slice);
	cr_assert_leq(largest_slice, 256);
	cr_assert_eq(completed, 1);
}

/* A write that the backend holds up puts the account into debt, and work has to earn it back. */
Test(thaw, waits_after_a_write_that_took_long)
{
	frozen = 1000;
	entry_ns = SECOND_NS / 2;
	batch();
	entry_ns = 1000;
	cr_assert_eq(frozen, 1000 - 64);
	for (int i = 0; i < 1000; i++)
		batch();
	cr_assert_eq(frozen, 1000 - 64);
}

/* But when a full working set has meanwhile thawed the rest by itself there is nothing to wait for: until the barrier has its part,
 * what is new and dirty cannot leave the set, which grows beyond its budget. */
Test(thaw, is_complete_at_once_when_nothing_is_left_whatever_is_owed)
{
	frozen = 1000;
	entry_ns = SECOND_NS / 2;
	batch();
	cr_assert(task.thaw.running);
	frozen = 0;
	batch();
	cr_assert_not(task.thaw.running);
	cr_assert_eq(completed, 1);
}

Test(thaw, that_fails_says_why_and_is_not_complete)
{
	frozen = 10;
	write_status = SB_ERR_IO;
	fake.now_ns += WORK_NS;
	cr_assert_eq(thaw_beside_work(&task, &err), SB_ERR_IO);
	cr_assert_str_eq(err.message, "the disk is gone");
	cr_assert_eq(thaw_when_idle(&task, &err), SB_ERR_IO);
	cr_assert_eq(completed, 0);
	cr_assert(task.thaw.running);
}
