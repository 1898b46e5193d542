/* Ends the process when a call of a plugin does not return: nobody can take a thread back out of one, and what it holds may be
 * anything. The state is where the last checkpoint left it, and the next start goes on from there.
 *
 * It looks at every instance's marks four times in the time that a call may take, and counts looks, not time: a process that was
 * stopped and goes on is not one that hangs. */
#ifndef PLUGIN_WATCHDOG_H
#define PLUGIN_WATCHDOG_H

#include <stdint.h>

#include "sb_plugin.h"

struct instance;
struct watchdog;

/* Told on the watchdog's thread, and does not return. */
typedef void (*watchdog_hang_fn)(void *context, const struct instance *instance, const char *call);

/* timeout_ms is above 0. hang is called after this time, or a quarter more. */
int32_t watchdog_start(int64_t timeout_ms, watchdog_hang_fn hang, void *context, struct watchdog **ret_watchdog,
		       sb_error *err);
/* All instances have been closed; NULL is fine. */
void watchdog_stop(struct watchdog *watchdog);

/* For instance.c, any thread; NULL is fine. */
void watchdog_add(struct watchdog *watchdog, struct instance *instance);
void watchdog_remove(struct watchdog *watchdog, struct instance *instance);

#endif
