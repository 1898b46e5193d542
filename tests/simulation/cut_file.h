/* A checkpoint as it lies on the simulated disk, read by the format's description alone (core/checkpoint/README.md) and by nothing of
 * core/checkpoint, so that a mistake which writer and reader share would be seen. Of one that holds changes, the parents are read as well. */
#ifndef SIMULATION_CUT_FILE_H
#define SIMULATION_CUT_FILE_H

#include "simulation/model.h"

#define CUT_ERROR_BYTES 300u

struct cut_file {
	uint64_t number; /* of its id */
	int64_t offsets[PARTITIONS_MAX];
	int64_t watermarks_ms[PARTITIONS_MAX]; /* INT64_MIN: none */
	int64_t cut_ms;
	uint64_t events;
	int64_t output_bytes, dead_letter_bytes; /* 0 when it counts on none */
	uint64_t provider_total; /* of all operators' own parts */
	struct key_state state[PARTITIONS_MAX][KEYS_MAX];
};

/* The newest number among the names in the directory of checkpoints; 0: none. */
uint64_t cut_file_newest(void);
/* False, and why, when it is not as it has to be. */
bool cut_file_read(const struct input *input, uint64_t number, struct cut_file *ret_cut, char error[CUT_ERROR_BYTES]);

#endif
