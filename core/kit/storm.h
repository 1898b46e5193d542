/* A storm of random operations on one backend, each answer checked against the model.
 *
 * A step's dice are drawn from the seed and the step's own number, so it does the same whatever ran before it. That is what
 * shrinking rests on (shrink.h): steps are left out until only those remain without which the failure is gone. */
#ifndef KIT_STORM_H
#define KIT_STORM_H

#include "kit/subject.h"

struct storm;

struct storm *storm_new(struct subject *s, size_t key_count, size_t value_bytes_max);
/* The next so many steps. */
void storm_run(struct storm *storm, uint32_t steps);
/* The steps of a plan alone; each is noted in the witness, and told when the plan says so. */
void storm_run_plan(struct storm *storm, const struct plan *plan, uint32_t steps);
/* One batch of writes, nothing else. */
void storm_write(struct storm *storm);
/* One batch of reads, checked. */
void storm_read(struct storm *storm);
/* Releases what is held. */
void storm_free(struct storm *storm);

#endif
