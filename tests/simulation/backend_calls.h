/* Each call of the job's backend is a point of the scheduler's before and behind it, and is noted in the trace. */
#ifndef SIMULATION_BACKEND_CALLS_H
#define SIMULATION_BACKEND_CALLS_H

#include <stdbool.h>

/* A run begins: the next backend that is looked up is the job's. One within it (the fault plugin's) is not watched. with_files: it offers sb.files/1,
 * whatever it is (backend_files.h). */
void backend_calls_begin(bool with_files);

#endif
