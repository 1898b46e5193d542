/* See fault_step.h. */
#include "fault_step.h"

#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "fault/failing_io.h"
#include "fault/fault_job.h"
#include "fault/starve.h"

#define CALLS_MAX 20000

static int32_t expect_well(const struct fault_step *step, uint64_t nth, sb_error *err)
{
	sb_error failure = ERROR_INIT;
	struct io io;

	io_init_system(&io);
	if (nth == CALLS_MAX)
		return error_set(err, SB_ERR_INTERNAL, "%s: there is no end of it", step->name);
	if (step->run(&io, &failure) != SB_OK)
		return error_set(err, SB_ERR_INTERNAL, "%s, after failure %" PRIu64 ": %s", step->name, nth,
				 failure.message);
	if (fault_has_leaks())
		return error_set(err, SB_ERR_INTERNAL, "%s leaks after failure %" PRIu64, step->name, nth);
	return SB_OK;
}

static int32_t starve(const struct fault_step *step, bool sticky, sb_error *err)
{
	uint64_t nth;
	struct io io;

	io_init_system(&io);
	for (nth = 1; nth < CALLS_MAX; nth++) {
		sb_error failure = ERROR_INIT;
		int32_t status;

		starve_arm(nth, sticky);
		status = step->run(&io, &failure);
		starve_disarm();
		if (status != SB_OK && !(starve_hit() && failure.message[0]))
			return error_set(err, SB_ERR_INTERNAL, "%s, allocation %" PRIu64 ": %d %s", step->name, nth,
					 status, failure.message);
		if (!starve_hit())
			break;
	}
	return expect_well(step, nth, err);
}

int32_t fault_step_starve(const struct fault_step *step, sb_error *err)
{
	TRY(starve(step, false, err));
	return starve(step, true, err);
}

int32_t fault_step_fail(const struct fault_step *step, int sys_errno, sb_error *err)
{
	struct failing_io failing;
	uint64_t nth;

	failing_io_init(&failing);
	for (nth = 1; nth < CALLS_MAX; nth++) {
		sb_error failure = ERROR_INIT;
		int32_t status;

		failing_io_arm(&failing, nth, sys_errno);
		status = step->run(&failing.io, &failure);
		if (status != SB_OK && !(failing.hit && strlen(failure.message) > 20))
			return error_set(err, SB_ERR_INTERNAL, "%s, call %" PRIu64 " (%s): %d %s", step->name, nth,
					 failing_io_call_name(failing.hit_call), status, failure.message);
		if (!failing.hit)
			break;
	}
	if (nth == 1)
		return error_set(err, SB_ERR_INTERNAL, "%s makes no calls on files", step->name);
	return expect_well(step, nth, err);
}
