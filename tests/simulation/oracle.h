/* Holds what a run has left on the disk against what its newest checkpoint says it must be. */
#ifndef SIMULATION_ORACLE_H
#define SIMULATION_ORACLE_H

#include "simulation/cut_file.h"

struct oracle {
	const struct input *input;
	uint64_t reported; /* the newest checkpoint that was said to be there */
	struct cut_file last; /* the newest of those that was looked at; number 0: none */
	char error[512];
};

/* False, and oracle->error, when something is wrong. ended: the job said that it had read all its input. */
bool oracle_check(struct oracle *oracle, bool ended);

#endif
