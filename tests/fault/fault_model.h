/* What a job of the fault tests reads, and what must come of it: a slow recomputation, from offsets alone, which shares no code
 * with what is tested but the composition of keys.
 *
 * There are two inputs with keys of their own: a file, which can be rewound, and a stream, which keeps the job alive and whose records are
 * gone when they have been read. The operator is the counting operator; a value of FAULT_FORGET deletes a key's counter. */
#ifndef FAULT_FAULT_MODEL_H
#define FAULT_FAULT_MODEL_H

#include <stdbool.h>

#include "base/buffer.h"
#include "checkpoint/contents.h"

#define FAULT_FORGET 7
#define FAULT_FORGET_TEXT "7"
#define FAULT_KEYS 12u
#define FAULT_FILE "in.ndjson"
#define FAULT_OUTPUT "out.ndjson"
#define FAULT_DEAD_LETTERS "dead.ndjson"

struct fault_record {
	int64_t end; /* offset behind it */
	uint32_t key;
	int64_t value;
	bool bad; /* a dead letter */
};

struct fault_input {
	char prefix; /* of its keys */
	struct buffer text;
	struct fault_record *records;
	uint32_t count;
};

/* Aborts when memory is out. Every bad_every-th record is none; 0: all are good. */
void fault_input_init(struct fault_input *input, char prefix, uint32_t records, uint64_t seed, uint32_t bad_every);
void fault_input_done(struct fault_input *input);
/* The offset behind the first so many records. */
int64_t fault_input_end(const struct fault_input *input, uint32_t records);

/* Holds the newest checkpoint of a job that has ended (state, operators' parts, number of events) and its outputs, in the working
 * directory, against what its own offsets say. SB_ERR_INTERNAL says how they differ. */
int32_t fault_compare(const struct fault_input *file, const struct fault_input *stream,
		      struct checkpoint_contents *contents, sb_error *err);

#endif
