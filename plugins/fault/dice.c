/* SPDX-License-Identifier: Apache-2.0
 *
 * Whether a fault comes: by chance, from the seed, or at the Nth time. The same seed and the same calls give the same
 * faults. Each iterator has dice of its own, drawn from the instance's when it is opened, so that the thread that
 * reads it changes nothing for the others; only the count towards an Nth iter_next is common to them.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "fault_private.h"

static const char *const names[FAULT_COUNT] = {
	[FAULT_MULTI_GET] = "multi_get",   [FAULT_WRITE_BATCH] = "write_batch",
	[FAULT_ITER_OPEN] = "iter_open",   [FAULT_ITER_NEXT] = "iter_next",
	[FAULT_MAINTAIN] = "maintain",	   [FAULT_TORN_BATCH] = "torn_batch",
	[FAULT_LOST_WRITE] = "lost_write", [FAULT_STALE_ITERATOR] = "stale_iterator",
	[FAULT_SHORT_READ] = "short_read", [FAULT_SHORT_ITERATOR] = "short_iterator",
	[FAULT_DELAY] = "delay",
};

const char *dice_name(enum fault fault)
{
	return names[fault];
}

/* SplitMix64: any seed is a good one. */
uint64_t dice_roll(struct dice *dice)
{
	uint64_t z = dice->state += UINT64_C(0x9E3779B97F4A7C15);

	z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
	return z ^ (z >> 31);
}

/* A fault without a chance rolls no dice, so that another option does not shift the rest. */
static bool is_due(const struct plan *plan, struct dice *dice, enum fault fault, uint64_t time)
{
	bool due = plan->nth[fault] && time == plan->nth[fault];

	if (plan->chance[fault] <= 0)
		return due;
	return (double)(dice_roll(dice) >> 11) * 0x1p-53 < plan->chance[fault] || due;
}

bool dice_fault(struct sb_backend *backend, struct dice *dice, enum fault fault)
{
	uint64_t time = 1 + atomic_fetch_add_explicit(&backend->tally.times[fault], 1, memory_order_relaxed);

	if (!is_due(&backend->plan, dice, fault, time))
		return false;
	atomic_fetch_add_explicit(&backend->tally.injected[fault], 1, memory_order_relaxed);
	return true;
}

void dice_delay(struct sb_backend *backend, struct dice *dice)
{
	const int64_t ms = backend->plan.delay_ms;
	struct timespec rest = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	if (ms == 0 || !dice_fault(backend, dice, FAULT_DELAY))
		return;
	while (nanosleep(&rest, &rest) != 0)
		;
}

int32_t fault_error(sb_error *err, int32_t code, const char *format, ...)
{
	va_list arguments;

	err->code = code;
	err->sys_errno = 0;
	err->flags = 0;
	va_start(arguments, format);
	vsnprintf(err->message, sizeof(err->message), format, arguments);
	va_end(arguments);
	return code;
}

int32_t dice_fail(struct sb_backend *backend, enum fault fault, sb_error *err)
{
	return fault_error(err, backend->plan.status,
			   "the fault backend made this fail (%s number %" PRIu64 " of %s, seed %" PRIu64
			   "), as its options ask: leave them out when the rehearsal is over",
			   dice_name(fault), (uint64_t)atomic_load(&backend->tally.times[fault]), backend->instance,
			   backend->plan.seed);
}

int32_t dice_call(struct sb_backend *backend, struct dice *dice, enum fault fault, sb_error *err)
{
	dice_delay(backend, dice);
	return dice_fault(backend, dice, fault) ? dice_fail(backend, fault, err) : SB_OK;
}
