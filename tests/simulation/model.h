/* What a simulated job reads, and what must come of it, computed from positions alone, slowly and without anything of the host's.
 *
 * Each partition has keys of its own and its own time, so that its records' effects do not depend on the others'. The operator is the counting
 * operator (tests/fixtures/plugins): a value of FORGET deletes the key's counter. */
#ifndef SIMULATION_MODEL_H
#define SIMULATION_MODEL_H

#include <stdbool.h>

#include "base/buffer.h"
#include "kit/rng.h"

#define PARTITIONS_MAX 3u
#define KEYS_MAX 40u
#define FORGET 7 /* and below it, what values there are */
#define NEVER INT64_MAX /* for an expiry */

struct record {
	int64_t begin, end; /* offsets */
	unsigned key, value;
	int64_t time_ms;
	bool bad; /* goes to the dead letters */
	/* What the operator emits for it. */
	bool emits;
	int64_t count, sum, different;
};

struct partition_input {
	bool is_stream; /* standard input, a pipe: what has been read is gone, and is sent again from where a start goes on */
	char path[32]; /* "-" of a stream */
	char prefix; /* of its keys */
	struct buffer text;
	struct record *records;
	unsigned count, keys;
	unsigned there; /* records that are in the file by now */
};

struct input {
	struct partition_input partitions[PARTITIONS_MAX];
	unsigned partition_count;
	int64_t ttl_ms; /* 0: none */
};

struct key_state {
	bool has_counter;
	int64_t count, sum, expiry_ms;
	int64_t times[FORGET + 1], times_expiry_ms[FORGET + 1]; /* 0 times: not there */
};

/* Of one partition, after some of its records. */
struct partition_state {
	struct key_state keys[KEYS_MAX];
	int64_t watermark_ms; /* INT64_MIN: none */
	unsigned good, bad;
};

/* The files hold a part of their records, or all. */
void input_init(struct input *input, struct rng *rng);
bool input_is_whole(const struct input *input);
/* Somebody has written more to some of them, or all that is left. */
void input_grow(struct input *input, struct rng *rng, bool to_the_end);
int64_t input_bytes(const struct partition_input *partition);
/* How many records end at or before offset; -1 when it is in the midst of one. */
int input_records_before(const struct partition_input *partition, int64_t offset);
/* Also fills in what the records emit. */
void model_compute(const struct input *input, unsigned partition, unsigned records, struct partition_state *ret_state);

#endif
