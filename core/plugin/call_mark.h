/* What of a plugin runs at this moment, for a watchdog to look at: two relaxed stores before a call and one behind it, and calls
 * come once for a batch. */
#ifndef PLUGIN_CALL_MARK_H
#define PLUGIN_CALL_MARK_H

#include <stdatomic.h>
#include <stdint.h>

struct call_mark {
	_Atomic(const char *) call; /* NULL: none; a constant */
	_Atomic uint32_t turn; /* another for each call */
};

static inline void call_mark_enter(struct call_mark *mark, const char *call)
{
	uint32_t turn = atomic_load_explicit(&mark->turn, memory_order_relaxed);

	atomic_store_explicit(&mark->turn, turn + 1, memory_order_relaxed);
	atomic_store_explicit(&mark->call, call, memory_order_relaxed);
}

static inline void call_mark_leave(struct call_mark *mark)
{
	atomic_store_explicit(&mark->call, NULL, memory_order_relaxed);
}

#endif
