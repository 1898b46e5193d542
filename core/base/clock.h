/* Every reading of time goes through a struct clock, so that tests and replays can
 * put their own in its place. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

#include "base/buffer.h"

struct clock {
	int64_t (*wall_ns)(struct clock *clock); /* since 1970; may jump */
	int64_t (*monotonic_ns)(struct clock *clock); /* never goes back */
	void *context;
};

/* The system's clocks. With SBHOST_FAKE_CLOCK_FILE set in the environment, the wall clock is
 * read from that file (milliseconds, decimal) instead: for tests of expiry from outside. */
void clock_init_system(struct clock *clock);

static inline int64_t clock_wall_ns(struct clock *clock)
{
	return clock->wall_ns(clock);
}

static inline int64_t clock_wall_ms(struct clock *clock)
{
	return clock->wall_ns(clock) / 1000000;
}

static inline int64_t clock_monotonic_ns(struct clock *clock)
{
	return clock->monotonic_ns(clock);
}

/* Processor time of the calling thread so far; the system's only, since a test could not tell what it should be. */
int64_t clock_thread_cpu_ns(void);

/* A clock that stands still until it is moved. */
struct fake_clock {
	struct clock clock;
	int64_t now_ns;
};

void fake_clock_init(struct fake_clock *fake, int64_t now_ns);

/* "2024-11-09T15:20:23.123456789Z"; fraction_digits 0, 3 or 9. */
void time_append_rfc3339(struct buffer *out, int64_t unix_ns, int fraction_digits);
/* The same for milliseconds, over the whole range of int64_t. */
void time_append_rfc3339_ms(struct buffer *out, int64_t unix_ms);
/* Days since 1970-01-01 of a date of the Gregorian calendar. */
int64_t time_days_from_civil(int64_t year, unsigned month, unsigned day);

#endif
