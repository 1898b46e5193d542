/* The standard workload of "sbhost bench" on one backend: load, change, walk, check.
 *
 * The parts that change entries run for a time, not for a number of operations, so that a slow backend takes no longer than a
 * fast one. Each entry counts its own changes; the walk at the end compares every one of them
 * with a count kept beside, so a figure of a backend that loses writes is never shown. */
#ifndef CLI_BENCH_WORKLOAD_H
#define CLI_BENCH_WORKLOAD_H

#include "base/clock.h"
#include "cli/bench_keys.h"
#include "plugin/instance.h"

#define BENCH_BATCH 256u
#define BENCH_VALUE_BYTES 80u

/* What is measured, in the order in which it is done. */
enum bench_part {
	BENCH_LOAD, /* write_batch of entries that are new */
	BENCH_UNIFORM, /* multi_get and write_batch, nothing in between */
	BENCH_ZIPF,
	BENCH_STATE_UNIFORM, /* upserts through keyed state and its cache, as a job does them */
	BENCH_STATE_ZIPF,
	BENCH_WALK, /* an iterator over everything */
	BENCH_PARTS,
};

struct bench_workload {
	uint64_t keys;
	int64_t part_ns; /* for each of the four parts in the middle */
	uint64_t cache_bytes; /* of keyed state; not for a backend in memory */
	uint64_t seed;
	struct clock *clock;
	bool (*is_wanted)(void *context); /* asked before each batch; false ends it with SB_ERR_BUSY */
	void *context;
};

struct bench_figures {
	double per_second[BENCH_PARTS]; /* entries, or pairs of a get and a put */
};

/* The backend is open and empty. SB_ERR_CORRUPT: what it holds at the end is not what was written. */
int32_t bench_workload_run(const struct bench_workload *workload, struct instance *backend,
			   struct bench_figures *ret_figures, sb_error *err);

#endif
