/* One step of the host, done again and again: with the first of its allocations failing, with the second, … until it makes no more of them; and the same
 * with its calls on files. A step that fails says why, leaks nothing, and goes well right after it. For steps of milliseconds: whole jobs are fault_job.h's. */
#ifndef FAULT_FAULT_STEP_H
#define FAULT_FAULT_STEP_H

#include "io/io.h"

struct fault_step {
	const char *name;
	/* SB_OK when all went as it should; a refusal that is the right answer is SB_OK, too. */
	int32_t (*run)(struct io *io, sb_error *err);
	bool files; /* touches some */
};

/* Each allocation, alone and (sticky) with all behind it. SB_ERR_INTERNAL says which failure of which step went unreported. */
int32_t fault_step_starve(const struct fault_step *step, sb_error *err);
/* Each call on files, with that errno. */
int32_t fault_step_fail(const struct fault_step *step, int sys_errno, sb_error *err);

/* For a step that changes its ground: prepare makes that anew before each attempt, and what a failure leaves of it is good for the step again. */
int32_t fault_step_starve_on(const struct fault_step *step, void (*prepare)(void), sb_error *err);
int32_t fault_step_fail_on(const struct fault_step *step, void (*prepare)(void), int sys_errno, sb_error *err);

#endif
