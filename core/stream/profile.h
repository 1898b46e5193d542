/* Where a thread's time goes: a stop watch that gives every lap to a stage, so that nothing is counted twice and nothing
 * is left out. A lap is a batch's or a block of input's, never an event's; while the watch is off it is a look at a pointer. */
#ifndef STREAM_PROFILE_H
#define STREAM_PROFILE_H

#include <stdbool.h>

#include "base/clock.h"

enum profile_stage {
	PROFILE_READ, /* bytes from the source */
	PROFILE_DECODE, /* splitting, decoding, routing; the generator's making of events */
	PROFILE_WAIT, /* for the other side of a queue */
	PROFILE_STATE, /* finding a batch's entries, putting them back, the backend's upkeep */
	PROFILE_OPERATOR, /* process(), with its calls for state */
	PROFILE_ENCODE, /* emitted records to text */
	PROFILE_OUTPUT, /* to the file */
	PROFILE_CHECKPOINT, /* the barrier, and writing back what it froze */
	PROFILE_IDLE, /* no input, or none any more */
	PROFILE_STAGES,
};

struct profile {
	struct clock *clock; /* NULL: off */
	int64_t lap_ns; /* when the last lap ended */
	int64_t ns[PROFILE_STAGES];
	int64_t cpu_ns; /* of the whole thread */
	uint64_t pieces; /* of work too short to be timed each */
	int64_t sampled_ns; /* what those that were timed took, since the last lap that they are a part of */
};

#define PROFILE_SAMPLE 32 /* one piece in so many stands for all */

/* On the thread whose time it is; a NULL clock leaves it off. */
static inline void profile_start(struct profile *profile, struct clock *clock)
{
	profile->clock = clock;
	if (clock)
		profile->lap_ns = clock_monotonic_ns(clock);
}

/* Ends the lap; what it took. */
static inline int64_t profile_take_lap(struct profile *profile)
{
	int64_t now_ns = clock_monotonic_ns(profile->clock), taken_ns = now_ns - profile->lap_ns;

	profile->lap_ns = now_ns;
	return taken_ns;
}

static inline void profile_lap(struct profile *profile, enum profile_stage stage)
{
	if (profile->clock)
		profile->ns[stage] += profile_take_lap(profile);
}

/* One of PROFILE_SAMPLE many short pieces of work within a lap is timed: true, and then profile_end_sample follows. */
static inline bool profile_begin_sample(struct profile *profile, int64_t *ret_begin_ns)
{
	if (!profile->clock || profile->pieces++ % PROFILE_SAMPLE)
		return false;
	*ret_begin_ns = clock_monotonic_ns(profile->clock);
	return true;
}

static inline void profile_end_sample(struct profile *profile, int64_t begin_ns)
{
	int64_t end_ns = clock_monotonic_ns(profile->clock);

	/* A second reading tells what a reading takes, which is no small part of it. */
	profile->sampled_ns += 2 * end_ns - begin_ns - clock_monotonic_ns(profile->clock);
}

/* A lap of which the sampled pieces were a part: that is an estimate, and no more than the whole. */
static inline void profile_lap_with_part(struct profile *profile, enum profile_stage stage, enum profile_stage part)
{
	int64_t lap_ns, part_ns = profile->sampled_ns * PROFILE_SAMPLE;

	if (!profile->clock)
		return;
	lap_ns = profile_take_lap(profile);
	part_ns = part_ns < 0 ? 0 : part_ns < lap_ns ? part_ns : lap_ns;
	profile->ns[part] += part_ns;
	profile->ns[stage] += lap_ns - part_ns;
	profile->sampled_ns = 0;
}

static inline void profile_stop(struct profile *profile, enum profile_stage stage)
{
	profile_lap(profile, stage);
	if (profile->clock)
		profile->cpu_ns = clock_thread_cpu_ns();
}

#endif
