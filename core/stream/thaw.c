/* The thaw: what a barrier froze goes to the backend in slices, between batches.
 *
 * Beside work it may take a quarter of the thread's time, by what an entry took lately: so events slow down by a known share, for a
 * time that grows with what is frozen. With nothing else to do it takes all of it, in slices after which the queue is looked at.
 * When the working set has outgrown its budget, keyed state thaws more by itself. */
#include "base/error.h"
#include "stream/pipeline_private.h"

#define SLICE_MIN 64u /* some progress, whatever the clock says */
#define SLICE_MAX 4096u
#define WORK_PER_THAW 3 /* this much time of work for one of thaw */

static int32_t thaw_slice(struct task *task, uint64_t max, sb_error *err)
{
	struct clock *clock = task->pipeline->config.clock;
	const uint64_t before = keyed_state_frozen(task->state);
	const int64_t begin_ns = clock_monotonic_ns(clock);
	uint64_t written;

	TRY(keyed_state_thaw(task->state, max, err));
	task->thaw.since_ns = clock_monotonic_ns(clock);
	written = before - keyed_state_frozen(task->state);
	if (written)
		task->thaw.entry_ns = (task->thaw.since_ns - begin_ns) / (int64_t)written + 1;
	if (written < before)
		return SB_OK;
	task->thaw.running = false;
	return barrier_complete_part(task, err);
}

int32_t thaw_beside_work(struct task *task, sb_error *err)
{
	const int64_t work_ns = clock_monotonic_ns(task->pipeline->config.clock) - task->thaw.since_ns;
	uint64_t slice = SLICE_MIN;

	if (task->thaw.entry_ns)
		slice = (uint64_t)(work_ns / WORK_PER_THAW / task->thaw.entry_ns);
	slice = slice < SLICE_MIN ? SLICE_MIN : slice > SLICE_MAX ? SLICE_MAX : slice;
	return thaw_slice(task, slice, err);
}

int32_t thaw_when_idle(struct task *task, sb_error *err)
{
	return thaw_slice(task, SLICE_MAX / 4, err);
}
