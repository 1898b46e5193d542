/* Any sequence of operations: storms of several shapes, one after the other, each on an empty backend. */
#include "kit/storm.h"

struct shape {
	size_t keys, value_bytes_max;
	uint32_t steps;
};

static void run_round(struct subject *s, const struct shape *shape, uint32_t round)
{
	struct storm *storm;

	s->trial->witness->round = round;
	storm = storm_new(s, shape->keys, shape->value_bytes_max);
	storm_run_plan(storm, &s->trial->plan, shape->steps);
	storm_free(storm);
	subject_check_all(s);
	subject_reopen(s);
}

/* A round's dice are its own, so that it can be run without those before it. */
void case_random_operations_agree_with_the_model(struct subject *s)
{
	static const struct shape shapes[] = {
		{30, 300, 1500}, {900, 20000, 1500}, {6000, 500, 1500}, {200, 400000, 300}};
	const uint32_t shape_count = sizeof(shapes) / sizeof(shapes[0]);
	const uint32_t rounds = s->trial->thorough ? 10 * shape_count : shape_count;

	for (uint32_t round = 0; round < rounds; round++) {
		if (s->trial->plan.given && s->trial->plan.round != round)
			continue;
		rng_init(&s->rng, s->trial->seed + round);
		run_round(s, &shapes[round % shape_count], round);
	}
}
