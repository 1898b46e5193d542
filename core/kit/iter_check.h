/* An iterator and the moment that it must show: a copy of the model, taken when it was
 * opened. Every entry that it returns is looked up in the copy and ticked off; at the end
 * each one in range must have come once, but for those that may have been purged. */
#ifndef KIT_ITER_CHECK_H
#define KIT_ITER_CHECK_H

#include "kit/subject.h"

#define ITER_CHECK_STEP_MAX 128

struct iter_check {
	const struct subject *s;
	struct model moment;
	sb_iter *iter;
	sb_slice last_key; /* points into moment */
	/* What the last step returned must stay as it is until the next one. */
	sb_entry entries[ITER_CHECK_STEP_MAX];
	const struct model_entry *expected[ITER_CHECK_STEP_MAX];
	uint64_t entry_count;
};

/* On the instance's thread. An empty bound is none. */
void iter_check_open(struct iter_check *check, struct subject *s, sb_slice lower, sb_slice upper);
/* Reads up to max entries (1 to ITER_CHECK_STEP_MAX); false when that was the end. On any thread, if the backend's iterators are stable. */
bool iter_check_step(struct iter_check *check, uint64_t max);
/* Before or after the end; on any thread, as above. */
void iter_check_close(struct iter_check *check);

#endif
