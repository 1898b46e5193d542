/* The calls of the system that are not about files, answered by the simulation: threads, waiting, time, chance. The linker puts them in place of
 * the C library's (--wrap, in tests/CMakeLists.txt), so the host is compiled as it always is, and holds no code for this. */
#ifndef SIMULATION_SYSTEM_CALLS_H
#define SIMULATION_SYSTEM_CALLS_H

#include "base/buffer.h"
#include "base/clock.h"

#define SIM_LOG_FD 9999 /* for struct log */

/* A run begins: the log is empty, no signal has come, wall clock and monotonic clock are this far apart. */
void system_calls_begin(int64_t wall_offset_ns, unsigned idle_percent);
/* A jump of the wall clock. */
void system_calls_shift_wall(int64_t by_ns);
/* As if somebody had said kill. */
void system_calls_terminate(void);
/* Standard input is a pipe from now on, into which these bytes, which stay the caller's, go little by little. */
void system_calls_begin_stream(const void *bytes, size_t len);
void system_calls_feed_stream(size_t len);
struct clock *system_calls_clock(void);
/* What the host has logged in this run. */
struct buffer *system_calls_log(void);

#endif
