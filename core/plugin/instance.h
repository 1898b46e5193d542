/* Open instances of components, and the host services that each is handed.
 *
 * An instance owns its sb_host; the table's functions find their way back through
 * host->context. All services are callable from any thread. */
#ifndef PLUGIN_INSTANCE_H
#define PLUGIN_INSTANCE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "base/log.h"
#include "plugin/call_mark.h"
#include "plugin/options.h"
#include "plugin/plugin.h"
#include "plugin/watchdog.h"

/* What the host provides to all of its instances; outlives them. */
struct plugin_env {
	const struct log *log;
	struct clock *clock;
	_Atomic int64_t *horizon_ms; /* see sb_host.expiry_horizon_ms */
	const struct manifest *manifest; /* for backends that it opens (sb.backend-open/1); NULL: all may be */
	struct watchdog *watchdog; /* NULL: nobody looks for calls that hang */
};

/* What a watchdog saw of a mark when it last looked. */
struct call_seen {
	uint32_t turn, looks; /* looks: at this very call */
};

#define METRIC_NAME_BYTES 64
#define METRICS_PER_INSTANCE 64

struct metric {
	char name[METRIC_NAME_BYTES];
	uint32_t kind; /* SB_METRIC_* */
	_Atomic double value;
};

struct instance {
	const struct component *component;
	char name[48]; /* "backend-0" */
	sb_host host;
	struct plugin_env env;
	_Atomic uint32_t metric_count; /* only grows; an entry below it is complete */
	struct metric metrics[METRICS_PER_INSTANCE];
	pthread_mutex_t metrics_lock; /* held to add an entry */
	sb_backend *backend; /* kind SB_KIND_BACKEND */
	sb_operator *operator; /* kind SB_KIND_OPERATOR */
	struct call_mark calls; /* by the thread that the instance belongs to at the time */
	struct call_mark walks; /* by the one that writes a checkpoint beside it */
	/* The watchdog's. */
	struct call_seen seen_calls, seen_walks;
	struct instance *next_watched;
};

/* The table for the entry function, before any instance exists. */
void plugin_env_init_host(sb_host *ret_host);

/* Opens a backend on an existing directory; dir, options and env outlive it. The instance has a fixed address. */
int32_t instance_open_backend(const struct component *component, const char *name, const char *dir, uint32_t flags,
			      const struct option_set *options, const struct plugin_env *env,
			      struct instance **ret_instance, sb_error *err);
int32_t instance_open_operator(const struct component *component, const char *name, const struct option_set *options,
			       sb_task *task, const struct plugin_env *env, struct instance **ret_instance,
			       sb_error *err);
/* Closes and frees; NULL is fine. */
void instance_close(struct instance *instance);

/* Before each call of a plugin: struct_size, as the ABI asks, and no message of an earlier failure. */
static inline void instance_expect(sb_error *err)
{
	err->struct_size = sizeof(*err);
	err->code = SB_OK;
	err->sys_errno = 0;
	err->flags = 0;
	err->message[0] = 0;
}

/* A plugin's function, called with the mark set meanwhile; for those that cannot fail. */
#define MARK_CALL(mark, name, call)                                                                                    \
	do {                                                                                                           \
		struct call_mark *mark_ = (mark);                                                                      \
                                                                                                                       \
		call_mark_enter(mark_, name);                                                                          \
		call;                                                                                                  \
		call_mark_leave(mark_);                                                                                \
	} while (0)

/* The status of a plugin's function, called with err prepared and the mark set meanwhile. */
#define CALL_PLUGIN(mark, name, err, call)                                                                             \
	({                                                                                                             \
		int32_t answer_;                                                                                       \
                                                                                                                       \
		instance_expect(err);                                                                                  \
		MARK_CALL(mark, name, answer_ = (call));                                                               \
		answer_;                                                                                               \
	})

/* A plugin that fails must say why and return a status that exists; what it did not say is said here: the name of the instance and call go
 * in front, an empty message or a positive status is replaced. Returns the status to go on with (never SB_OK). */
int32_t instance_fault(const struct instance *instance, const char *call, int32_t status, sb_error *err);

#endif
