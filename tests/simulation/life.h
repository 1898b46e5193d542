/* One run of the job from start to end, and what is to happen in it. A seed is a few of them on one disk, until one has read all the input. */
#ifndef SIMULATION_LIFE_H
#define SIMULATION_LIFE_H

#include "simulation/disk.h"
#include "simulation/disk_io.h"
#include "simulation/oracle.h"
#include "simulation/scheduler.h"

/* Each in a directory of its own, so that none is synced for another's sake. */
#define LIFE_STATE DISK_ROOT "/live/state"
#define LIFE_CHECKPOINTS DISK_ROOT "/kept/checkpoints"
#define LIFE_OUTPUT DISK_ROOT "/out/out.ndjson"
#define LIFE_DEAD_LETTERS DISK_ROOT "/dead/dead.ndjson"

#define LIFE_OPTIONS_MAX 12u
#define LIFE_OPTION_BYTES 256u

struct life {
	struct scheduler_config scheduler;
	struct disk_faults faults;
	enum disk_cut cut; /* when it crashes */
	uint64_t terminate_at, shift_wall_at; /* points; 0: never */
	int64_t wall_shift_ns;
	unsigned idle_percent;
	uint64_t feed_every; /* points */
	size_t feed_bytes;
	const char *backend;
	char options[LIFE_OPTIONS_MAX][LIFE_OPTION_BYTES];
	unsigned option_count;
	bool with_files; /* the backend offers sb.files/1 */
	bool backend_fails; /* now and then */
	bool full, metrics;
	uint32_t parallelism;
	uint64_t keep, cache_bytes, max_failed;
	int64_t interval_ms;
	unsigned codec;
};

struct life_end {
	enum sim_end end;
	bool done; /* the job said so */
	bool terminated; /* it was asked to stop */
	uint64_t points, checkpoints, failures; /* of calls */
};

/* calm: nothing goes wrong, and it reads all there is. */
void life_draw(struct life *life, struct rng *rng, bool calm);
/* A line that says what was drawn. */
void life_print(const struct life *life);
/* False, and oracle->error, when the job has done what it must not, or has left what it must not. The disk is as the end has left it. */
bool life_run(const struct life *life, struct oracle *oracle, bool event_time, struct rng *rng,
	      struct life_end *ret_end);

#endif
