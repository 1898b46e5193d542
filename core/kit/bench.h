/* The operator under test, with a host around it that is as plain as can be.
 *
 * State is a sorted map (model.h), records are a buffer, and every call of the host is held against what the operator
 * declares: a state that does not exist, a record that does not fit its fields, is a verdict. What two runs leave behind, state and records,
 * can be compared as bytes. */
#ifndef KIT_BENCH_H
#define KIT_BENCH_H

#include "base/arena.h"
#include "base/hash.h"
#include "kit/subject.h"

#define BENCH_LIVE_MAX 4096 /* structs in hand during one batch */

struct live;

struct bench {
	sb_task task; /* first: the operator's handle */
	const struct trial *trial;
	struct process_state before; /* how the process was before the plugin was loaded */
	struct rng rng;
	struct log log;
	struct fake_clock clock;
	struct plugin_env env;
	struct plugin *plugin;
	const struct component *component;
	struct option_set options;
	struct instance *instance;
	struct model state; /* by state, key and sub-key */
	struct buffer records;
	/* Of the batch at hand. */
	const sb_event *events;
	uint64_t event_count;
	struct arena memory;
	struct live *live;
	uint64_t live_count;
};

void bench_init(struct bench *b, const struct trial *trial);
void bench_done(struct bench *b);
/* Loaded, but not open. */
void bench_close(struct bench *b);
int32_t bench_open(struct bench *b, sb_error *err);
void bench_must_open(struct bench *b);
/* Forgets state and records. */
void bench_clear(struct bench *b);

/* One call of process(); whatever it changed is in state and records when it succeeds. */
int32_t bench_process(struct bench *b, const sb_event *events, uint64_t n, sb_error *err);
/* The same, which must succeed; in batches of at most step. */
void bench_run(struct bench *b, const sb_event *events, uint64_t n, uint64_t step);
/* State and records as one digest. */
struct hash128 bench_digest(const struct bench *b);

/* --- events.c: valid events, by the component's declaration ------------------------ */

struct events {
	struct arena memory;
	sb_event *events;
	uint64_t count;
};

/* edges: among the values are the ends of their ranges, empty and long texts. */
void events_make(struct bench *b, struct events *ret_events, uint64_t count, bool edges);
void events_done(struct events *events);

#endif
