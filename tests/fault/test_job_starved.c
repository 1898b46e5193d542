/* A whole job, one of whose allocations fails, or from which on all do: while it starts and restores, while it reads, writes back and takes checkpoints.
 * It ends with a sentence, or well; no descriptor and no memory is lost; and the next start goes on from the newest state that was reported, and ends
 * with exactly the right output.
 *
 * The first allocations, of which each is another place in the code, are tried one by one, the rest, which repeat themselves, with
 * growing gaps. */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "fault/checkpoint_fixture.h"
#include "fault/fault_rig.h"

#define DENSE 280u
#define ALLOCATIONS_MAX 1000000u

struct parameters {
	unsigned mode;
	bool fresh, sticky;
	unsigned step; /* in the dense part */
};

static const char *describe(const struct parameters *parameters, uint64_t nth, const struct fault_outcome *outcome)
{
	static char text[4096];

	snprintf(text, sizeof(text), "mode %u, %s, allocation %llu%s: %s\n%s", parameters->mode,
		 parameters->fresh ? "fresh" : "resumed", (unsigned long long)nth,
		 parameters->sticky ? " and all behind it" : "", outcome->error.message,
		 outcome->log.len ? (char *)outcome->log.data : "");
	return text;
}

static struct fault_job prepare(struct fault_rig *rig, const struct parameters *parameters, uint64_t nth)
{
	struct fault_job job = fault_rig_job(rig);

	fault_rig_reset(rig, parameters->fresh);
	job.starve_at = nth;
	job.starve_on = parameters->sticky;
	job.stream_begin = parameters->fresh ? 0 : rig->newest.stream_records;
	job.stream_end =
		job.stream_begin + FAULT_PORTION; /* all at once: a job that starves may not have the memory to log */
	return job;
}

static void check_next_start(const struct fault_rig *rig, const struct parameters *parameters, uint64_t nth,
			     const struct fault_outcome *first)
{
	struct fault_job job = fault_rig_job(rig);
	uint64_t reported = fault_logged_id(first, "Checkpoint created ");
	struct fault_outcome second;

	job.compare = true;
	fault_job_run(&job, &second);
	cr_assert(second.wait_status == 0 && second.end == JOB_DONE, "the next start: %s",
		  describe(parameters, nth, &second));
	cr_assert_eq(second.differs.code, SB_OK, "%s: %s", second.differs.message, describe(parameters, nth, &second));
	cr_assert_geq(fault_logged_id(&second, "Restoring from checkpoint "), reported, "%s",
		      describe(parameters, nth, &second));
	fault_outcome_done(&second);
}

/* False when there are not so many allocations. */
static bool starve(struct fault_rig *rig, const struct parameters *parameters, uint64_t nth)
{
	struct fault_job job = prepare(rig, parameters, nth);
	struct fault_outcome first;
	bool starved;

	fault_job_run(&job, &first);
	starved = first.starved;
	cr_assert_eq(first.wait_status, 0, "it crashed: %s", describe(parameters, nth, &first));
	cr_assert_eq(first.descriptors_lost, 0, "%d descriptors lost: %s", first.descriptors_lost,
		     describe(parameters, nth, &first));
	cr_assert(!first.has_leaks, "leaks: %s", describe(parameters, nth, &first));
	cr_assert(first.end == JOB_DONE || (starved && strlen(first.error.message) > 10), "%s",
		  describe(parameters, nth, &first));
	check_next_start(rig, parameters, nth, &first);
	fault_outcome_done(&first);
	return starved;
}

static uint64_t gap(const struct parameters *parameters, uint64_t nth)
{
	return nth < DENSE ? parameters->step : nth / 5;
}

ParameterizedTestParameters(job_starved, memory_that_runs_out_costs_no_state)
{
	static struct parameters all[] = {
		{.mode = 1, .fresh = true, .step = 2},
		{.mode = 1, .step = 2},
		{.mode = 1, .sticky = true, .step = 9},
		{.mode = 0, .step = 9},
		{.mode = 2, .step = 9},
	};

	return cr_make_param_array(struct parameters, all, sizeof(all) / sizeof(all[0]));
}

ParameterizedTest(struct parameters *parameters, job_starved, memory_that_runs_out_costs_no_state)
{
	struct fault_rig rig;
	struct fault_mode mode;
	uint64_t nth = 1;

	cr_assert(fault_mode_get(parameters->mode, &mode));
	fault_rig_init(&rig, &mode);
	while (starve(&rig, parameters, nth)) {
		nth += gap(parameters, nth);
		cr_assert_lt(nth, ALLOCATIONS_MAX);
	}
	cr_assert_gt(nth, 100, "it has only %llu allocations", (unsigned long long)nth);
	fault_rig_done(&rig);
}
