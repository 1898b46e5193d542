/* What happened in a simulation, in order: a hash of all of it, and the lines themselves when somebody wants to read them.
 *
 * Two runs of a seed are the same run when their hashes are. So nothing may go in here that differs between them for no reason of the host's:
 * no address, no descriptor, no process id. One in a process, as there is one simulation. */
#ifndef SIMULATION_TRACE_H
#define SIMULATION_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void trace_begin(bool print);
/* text may be NULL. Thread and time are the scheduler's. */
void trace_add(unsigned thread, int64_t now_ns, const char *what, const char *text, int64_t a, int64_t b);
/* Of bytes that were read or written. */
int64_t trace_checksum(const void *bytes, size_t len);
uint64_t trace_hash(void);
uint64_t trace_lines(void);

#endif
