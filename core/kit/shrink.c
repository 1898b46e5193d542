/* Shrinking: see shrink.h. Delta debugging: pieces are left out, first halves, then quarters, at last single steps, and stay out
 * when the rest still fails. Every attempt is a trial of its own in a process of its own, so a crash shrinks like
 * anything else; the number of attempts is bounded, since few steps are enough and the fewest are not needed. */
#include "kit/shrink.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/number.h"
#include "base/slice.h"

#define ATTEMPTS_MAX 250
#define STEPS_MAX 100000
#define STEPS_TRIED 1500

struct shrink {
	struct trial *trial;
	int64_t limit_ms;
	uint32_t attempts;
	sb_error *err;
};

void plan_done(struct plan *plan)
{
	free(plan->steps);
	*plan = (struct plan){0};
}

/* --- text ----------------------------------------------------------------------- */

void plan_append(const struct plan *plan, struct buffer *out)
{
	buffer_printf(out, ":%u:%u:", plan->round, plan->batch);
	for (uint32_t i = 0; i < plan->step_count;) {
		uint32_t end = i;

		while (end + 1 < plan->step_count && plan->steps[end + 1] == plan->steps[end] + 1)
			end++;
		buffer_printf(out, "%s%u", i ? "," : "", plan->steps[i]);
		if (end > i)
			buffer_printf(out, "-%u", plan->steps[end]);
		i = end + 1;
	}
}

static int32_t add_steps(struct plan *plan, uint32_t first, uint32_t last, sb_error *err)
{
	const uint32_t count = last - first + 1;
	uint32_t *grown = realloc(plan->steps, ((size_t)plan->step_count + count) * sizeof(*grown));

	if (!grown)
		return error_no_memory(err);
	plan->steps = grown;
	for (uint32_t i = 0; i < count; i++)
		plan->steps[plan->step_count++] = first + i;
	return SB_OK;
}

int32_t plan_parse(const char *text, struct plan *ret_plan, sb_error *err)
{
	struct plan plan = {.given = true};
	int taken = 0;
	int fields = sscanf(text, ":%9u:%9u:%n", &plan.round, &plan.batch, &taken);

	if (fields != 2 || !taken)
		return error_set(err, SB_ERR_CONFIG, "%s: expected :ROUND:BATCH:STEPS, as the report says it", text);
	for (text += taken; *text;) {
		uint32_t first, last;

		taken = 0;
		if (sscanf(text, "%9u%n", &first, &taken) != 1)
			break;
		text += taken;
		last = first;
		if (*text == '-' && sscanf(text, "-%9u%n", &last, &taken) == 1)
			text += taken;
		if (last < first || last >= STEPS_MAX || (*text != ',' && *text != 0))
			break;
		text += *text == ',';
		if (add_steps(&plan, first, last, err) != SB_OK) {
			plan_done(&plan);
			return err->code;
		}
	}
	if (*text || !plan.step_count) {
		plan_done(&plan);
		return error_set(err, SB_ERR_CONFIG, "steps %s: expected numbers and ranges, say 3,17,20-25", text);
	}
	*ret_plan = plan;
	return SB_OK;
}

/* --- shrinking ------------------------------------------------------------------ */

/* With a failure the plan ends with the step that the trial came to. */
static int32_t attempt(struct shrink *shrink, struct plan *plan, struct trial_result *ret_result, bool *ret_failed)
{
	const struct plan before = shrink->trial->plan;
	int32_t status;

	shrink->trial->plan = *plan;
	shrink->attempts++;
	status = trial_run(shrink->trial, shrink->limit_ms, ret_result, shrink->err);
	shrink->trial->plan = before;
	if (status != SB_OK)
		return status;
	*ret_failed = ret_result->verdict == VERDICT_FAILED;
	if (*ret_failed)
		while (plan->step_count > 1 && plan->steps[plan->step_count - 1] > shrink->trial->witness->step)
			plan->step_count--;
	return SB_OK;
}

static int32_t fails(struct shrink *shrink, struct plan *plan, bool *ret_failed)
{
	struct trial_result result;

	TRY(attempt(shrink, plan, &result, ret_failed));
	trial_result_done(&result);
	return SB_OK;
}

/* Smaller batches change every step, so they are tried first, and with more steps, since each of them does less. */
static int32_t shrink_batches(struct shrink *shrink, struct plan *plan)
{
	bool failed = false;

	for (uint32_t batch = 1; batch <= 16 && !failed; batch *= 2) {
		struct plan smaller = {.given = true, .round = plan->round, .batch = batch};

		TRY(add_steps(&smaller, 0, STEPS_TRIED - 1, shrink->err));
		if (fails(shrink, &smaller, &failed) != SB_OK) {
			plan_done(&smaller);
			return shrink->err->code;
		}
		if (failed) {
			struct plan larger = *plan;

			*plan = smaller;
			smaller = larger;
		}
		plan_done(&smaller);
	}
	return SB_OK;
}

/* Leaves out count steps at from, if the rest still fails. */
static int32_t leave_out(struct shrink *shrink, struct plan *plan, uint32_t from, uint32_t count, bool *ret_failed)
{
	const uint32_t behind = plan->step_count - from - count;
	uint32_t *kept = malloc(((size_t)from + behind + 1) * sizeof(*kept));
	struct plan shorter = *plan;
	int32_t status;

	if (!kept)
		return error_no_memory(shrink->err);
	memcpy(kept, plan->steps, from * sizeof(*kept));
	memcpy(kept + from, plan->steps + from + count, behind * sizeof(*kept));
	shorter.steps = kept;
	shorter.step_count = from + behind;
	status = fails(shrink, &shorter, ret_failed);
	if (status == SB_OK && *ret_failed) {
		memcpy(plan->steps, kept, shorter.step_count * sizeof(*kept));
		plan->step_count = shorter.step_count;
	}
	free(kept);
	return status;
}

static int32_t shrink_steps(struct shrink *shrink, struct plan *plan)
{
	for (uint32_t piece = (plan->step_count + 1) / 2; piece > 0 && plan->step_count > 1;
	     piece = piece > 1 ? (piece + 1) / 2 : 0) {
		uint32_t from = 0;

		while (from < plan->step_count && plan->step_count > 1 && shrink->attempts < ATTEMPTS_MAX) {
			const uint32_t left = plan->step_count - from;
			bool failed;

			TRY(leave_out(shrink, plan, from, left < piece ? left : piece, &failed));
			if (!failed)
				from += piece;
		}
	}
	return SB_OK;
}

/* *ret_failed: the steps up to the one at which the trial failed fail again; then plan holds the fewest, and *ret_again what came of them. */
static int32_t find_fewest(struct shrink *shrink, struct plan *plan, struct trial_result *ret_again, bool *ret_failed)
{
	bool ignored;

	TRY(add_steps(plan, 0, shrink->trial->witness->step, shrink->err));
	TRY(fails(shrink, plan, ret_failed));
	if (!*ret_failed)
		return SB_OK;
	TRY(shrink_batches(shrink, plan));
	TRY(shrink_steps(shrink, plan));
	plan->trace = true;
	TRY(attempt(shrink, plan, ret_again, &ignored));
	plan->trace = false;
	return SB_OK;
}

int32_t shrink_run(struct trial *trial, int64_t limit_ms, struct trial_result *result, sb_error *err)
{
	struct shrink shrink = {.trial = trial, .limit_ms = limit_ms, .err = err};
	struct plan plan = {.given = true, .round = trial->witness->round};
	struct trial_result again;
	bool failed = false;
	const int32_t status = find_fewest(&shrink, &plan, &again, &failed);

	if (status != SB_OK || !failed) {
		plan_done(&plan);
		return status;
	}
	trial_result_done(result);
	*result = again;
	trial->plan = plan;
	return SB_OK;
}
