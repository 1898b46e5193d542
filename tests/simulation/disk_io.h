/* The host's struct io over the simulated disk: each call is a point of the scheduler's, is noted in the trace, and may go wrong.
 * What is not on that disk (plugins) is the system's. */
#ifndef SIMULATION_DISK_IO_H
#define SIMULATION_DISK_IO_H

#include <stdint.h>

#include "io/io.h"

#define DISK_SHORT (-1) /* half of what was asked, for a read or a write */

struct disk_faults {
	uint64_t first, count; /* calls that fail, numbered from 1; first 0: none */
	int code; /* an errno, or DISK_SHORT */
	uint64_t crash_at; /* the call at which the run ends; 0: none */
	bool crash_behind; /* when it has been made */
};

/* A run begins. */
void disk_io_begin(const struct disk_faults *faults);
struct io *disk_io(void);
/* Calls so far in this run, and how many of them failed. */
uint64_t disk_io_calls(void);
uint64_t disk_io_failed(void);

#endif
