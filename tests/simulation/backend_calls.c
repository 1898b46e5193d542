/* See backend_calls.h. The host looks a plugin's component up once; what it gets is a copy whose calls are these. */
#include "simulation/backend_calls.h"

#include "plugin/plugin.h"
#include "simulation/scheduler.h"

static struct {
	bool has_component;
	struct component component;
	sb_backend_ops ops; /* the backend's own */
} watched;

void backend_calls_begin(void)
{
	watched.has_component = false;
}

static void before(const char *what, uint64_t n)
{
	if (scheduler_is_running())
		scheduler_point(what, NULL, (int64_t)n, 0);
}

static int32_t behind(const char *what, int32_t status)
{
	if (scheduler_is_running())
		scheduler_point(what, "done", status, 0);
	return status;
}

static int32_t watched_multi_get(sb_backend *backend, uint64_t n, const sb_slice *keys, sb_pin *pins, sb_error *err)
{
	before("multi_get", n);
	return behind("multi_get", watched.ops.multi_get(backend, n, keys, pins, err));
}

static int32_t watched_write_batch(sb_backend *backend, uint64_t n, const sb_op *ops, sb_error *err)
{
	before("write_batch", n);
	return behind("write_batch", watched.ops.write_batch(backend, n, ops, err));
}

static int32_t watched_iter_open(sb_backend *backend, const sb_iter_options *options, sb_iter **ret_iter, sb_error *err)
{
	before("iter_open", 0);
	return behind("iter_open", watched.ops.iter_open(backend, options, ret_iter, err));
}

static int32_t watched_iter_next(sb_iter *iter, uint64_t max, sb_entry *entries, uint64_t *ret_count, sb_error *err)
{
	before("iter_next", max);
	return behind("iter_next", watched.ops.iter_next(iter, max, entries, ret_count, err));
}

static void watched_iter_close(sb_iter *iter)
{
	before("iter_close", 0);
	watched.ops.iter_close(iter);
}

static int32_t watched_maintain(sb_backend *backend, uint64_t budget, uint64_t *ret_purged, sb_error *err)
{
	before("maintain", budget);
	return watched.ops.maintain(backend, budget, ret_purged, err);
}

int32_t __real_plugin_find_component(const struct plugin *plugin, uint32_t kind, const struct component **ret_component,
				     sb_error *err);
int32_t __wrap_plugin_find_component(const struct plugin *plugin, uint32_t kind, const struct component **ret_component,
				     sb_error *err);

int32_t __wrap_plugin_find_component(const struct plugin *plugin, uint32_t kind, const struct component **ret_component,
				     sb_error *err)
{
	int32_t status = __real_plugin_find_component(plugin, kind, ret_component, err);

	if (status != SB_OK || kind != SB_KIND_BACKEND || watched.has_component)
		return status;
	watched.has_component = true;
	watched.component = **ret_component;
	watched.ops = watched.component.backend;
	watched.component.backend.multi_get = watched_multi_get;
	watched.component.backend.write_batch = watched_write_batch;
	watched.component.backend.iter_open = watched_iter_open;
	watched.component.backend.iter_next = watched_iter_next;
	watched.component.backend.iter_close = watched_iter_close;
	watched.component.backend.maintain = watched_maintain;
	*ret_component = &watched.component;
	return SB_OK;
}
