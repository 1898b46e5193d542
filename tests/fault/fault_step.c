/* See fault_step.h. */
#include "fault_step.h"

#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "fault/checkpoint_fixture.h"
#include "fault/failing_io.h"
#include "fault/fault_job.h"
#include "fault/starve.h"

#define CALLS_MAX 20000

static int32_t go_well(const struct fault_step *step, uint64_t nth, sb_error *err)
{
	sb_error failure = ERROR_INIT;
	struct io_ops ops;
	struct io io;

	quick_io_init(&io, &ops);
	if (step->run(&io, &failure) != SB_OK)
		return error_set(err, SB_ERR_INTERNAL, "%s, after failure %" PRIu64 ": %s", step->name, nth,
				 failure.message);
	return SB_OK;
}

static int32_t end_well(const struct fault_step *step, uint64_t nth, sb_error *err)
{
	if (nth == CALLS_MAX)
		return error_set(err, SB_ERR_INTERNAL, "%s: there is no end of it", step->name);
	TRY(go_well(step, nth, err));
	if (fault_has_leaks())
		return error_set(err, SB_ERR_INTERNAL, "%s leaks after failure %" PRIu64, step->name, nth);
	return SB_OK;
}

static int32_t starve(const struct fault_step *step, void (*prepare)(void), bool sticky, sb_error *err)
{
	struct io_ops ops;
	uint64_t nth;
	struct io io;

	quick_io_init(&io, &ops);
	for (nth = 1; nth < CALLS_MAX; nth++) {
		sb_error failure = ERROR_INIT;
		int32_t status;

		if (prepare)
			prepare();
		starve_arm(nth, sticky);
		status = step->run(&io, &failure);
		starve_disarm();
		if (status != SB_OK && !(starve_hit() && failure.message[0]))
			return error_set(err, SB_ERR_INTERNAL, "%s, allocation %" PRIu64 ": %d %s", step->name, nth,
					 status, failure.message);
		if (!starve_hit())
			break;
		if (prepare)
			TRY(go_well(step, nth, err));
	}
	return end_well(step, nth, err);
}

int32_t fault_step_starve(const struct fault_step *step, sb_error *err)
{
	TRY(starve(step, NULL, false, err));
	return starve(step, NULL, true, err);
}

int32_t fault_step_starve_on(const struct fault_step *step, void (*prepare)(void), sb_error *err)
{
	return starve(step, prepare, false, err);
}

int32_t fault_step_fail(const struct fault_step *step, int sys_errno, sb_error *err)
{
	return fault_step_fail_on(step, NULL, sys_errno, err);
}

int32_t fault_step_fail_on(const struct fault_step *step, void (*prepare)(void), int sys_errno, sb_error *err)
{
	struct failing_io failing;
	struct io_ops ops;
	uint64_t nth;

	failing_io_init(&failing);
	quick_io_init(&failing.system, &ops);
	for (nth = 1; nth < CALLS_MAX; nth++) {
		sb_error failure = ERROR_INIT;
		int32_t status;

		if (prepare)
			prepare();
		failing_io_arm(&failing, nth, sys_errno);
		status = step->run(&failing.io, &failure);
		if (status != SB_OK && !(failing.hit && strlen(failure.message) > 20))
			return error_set(err, SB_ERR_INTERNAL, "%s, call %" PRIu64 " (%s): %d %s", step->name, nth,
					 failing_io_call_name(failing.hit_call), status, failure.message);
		if (!failing.hit)
			break;
		if (prepare)
			TRY(go_well(step, nth, err));
	}
	if (nth == 1)
		return error_set(err, SB_ERR_INTERNAL, "%s makes no calls on files", step->name);
	return end_well(step, nth, err);
}
