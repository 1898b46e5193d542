/* Random operations that failed, made few: which of them fail when the rest is left out? */
#ifndef KIT_SHRINK_H
#define KIT_SHRINK_H

#include "kit/trial.h"

/* trial has failed, as result and its witness say. On return trial->plan holds the fewest steps found, result what they lead to,
 * and the witness their trace. A failure that does not come again is left as it is. */
int32_t shrink_run(struct trial *trial, int64_t limit_ms, struct trial_result *result, sb_error *err);

/* ":round:batch:steps", and back. Steps are ranges: "3,17,20-25". */
void plan_append(const struct plan *plan, struct buffer *out);
int32_t plan_parse(const char *text, struct plan *ret_plan, sb_error *err);
void plan_done(struct plan *plan);

#endif
