/* The thaw: what a barrier froze goes to the backend in slices, between batches.
 *
 * Beside work it may take a fifth of the thread's time: so events slow down by a known share, for a time that grows with what is
 * frozen. The account is kept over the whole thaw, because a thread that has to share its core finds single readings of the clock far off. With
 * nothing else to do the thaw takes all the time, in slices so short that an event hardly waits for one.
 * When the working set has outgrown its budget, keyed state thaws more by itself. */
#include "base/error.h"
#include "stream/pipeline_private.h"

#define SLICE_MIN 64u
#define SLICE_MAX 4096u
#define SLICE_IDLE 256u
#define WORK_PER_THAW 4 /* this much time of work for one of thaw */

void thaw_begin(struct task *task, uint64_t generation)
{
	task->thaw = (struct thaw){.running = true,
				   .generation = generation,
				   .since_ns = clock_monotonic_ns(task->pipeline->config.clock)};
}

static int32_t complete(struct task *task, sb_error *err)
{
	task->thaw.running = false;
	return barrier_complete_part(task, err);
}

/* Returns how long it took, in *ret_ns. */
static int32_t thaw_slice(struct task *task, uint64_t max, int64_t *ret_ns, sb_error *err)
{
	struct thaw *thaw = &task->thaw;
	struct clock *clock = task->pipeline->config.clock;
	const uint64_t before = keyed_state_frozen(task->state);
	const int64_t begin_ns = clock_monotonic_ns(clock);

	TRY(keyed_state_thaw(task->state, max, err));
	thaw->since_ns = clock_monotonic_ns(clock);
	*ret_ns = thaw->since_ns - begin_ns;
	thaw->spent_ns += *ret_ns;
	thaw->entries += before - keyed_state_frozen(task->state);
	return keyed_state_frozen(task->state) ? SB_OK : complete(task, err);
}

int32_t thaw_beside_work(struct task *task, sb_error *err)
{
	struct thaw *thaw = &task->thaw;
	const int64_t now_ns = clock_monotonic_ns(task->pipeline->config.clock);
	uint64_t slice = SLICE_MIN;
	int64_t took_ns = 0;

	thaw->credit_ns += (now_ns - thaw->since_ns) / WORK_PER_THAW;
	thaw->since_ns = now_ns;
	/* A full working set may have thawed the rest by itself. Then nothing is waited for, however long a write may have been
	 * held up before: until the barrier has its part, what is new and dirty cannot leave, and the set grows. */
	if (!keyed_state_frozen(task->state))
		return complete(task, err);
	if (thaw->credit_ns < 0)
		return SB_OK;
	if (thaw->spent_ns > 0)
		slice = (uint64_t)((double)thaw->credit_ns * (double)thaw->entries / (double)thaw->spent_ns);
	slice = slice < SLICE_MIN ? SLICE_MIN : slice > SLICE_MAX ? SLICE_MAX : slice;
	TRY(thaw_slice(task, slice, &took_ns, err));
	thaw->credit_ns -= took_ns;
	return SB_OK;
}

int32_t thaw_when_idle(struct task *task, sb_error *err)
{
	int64_t took_ns;

	return thaw_slice(task, SLICE_IDLE, &took_ns, err);
}
