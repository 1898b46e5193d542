/* See backend_calls.h. The host looks a plugin's component up once; what it gets is a copy whose calls are these. */
#include "simulation/backend_calls.h"

#include <string.h>

#include "plugin/plugin.h"
#include "simulation/backend_files.h"
#include "simulation/scheduler.h"

#define FEW 24u

static struct {
	bool with_files, has_component, is_opening;
	struct component component;
	sb_backend_ops ops; /* the backend's own */
	const sb_delta_ops *delta;
	/* What reads a checkpoint's files when they cannot be taken over as they are. */
	struct component reader;
	sb_backend_ops reader_ops;
} watched;

void backend_calls_begin(bool with_files)
{
	watched.with_files = with_files;
	watched.has_component = watched.is_opening = false;
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

/* A walk may give less than it is asked for: so more comes between its steps. */
static uint64_t draw_max(uint64_t max)
{
	return scheduler_is_running() && max > FEW ? 1 + rng_below(scheduler_rng(), FEW) : max;
}

static int32_t watched_iter_next(sb_iter *iter, uint64_t max, sb_entry *entries, uint64_t *ret_count, sb_error *err)
{
	before("iter_next", max);
	return behind("iter_next", watched.ops.iter_next(iter, draw_max(max), entries, ret_count, err));
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

/* ---- changes ---- */

static int32_t watched_mark(sb_backend *backend, uint64_t *ret_mark, sb_error *err)
{
	before("mark", 0);
	return behind("mark", watched.delta->mark(backend, ret_mark, err));
}

static int32_t watched_changes_open(sb_backend *backend, uint64_t since, sb_changes **ret_changes, sb_error *err)
{
	before("changes", since);
	return behind("changes", watched.delta->changes_open(backend, since, ret_changes, err));
}

static int32_t watched_changes_next(sb_changes *changes, uint64_t max, sb_op *ops, uint64_t *ret_count, sb_error *err)
{
	before("changes", max);
	return behind("changes", watched.delta->changes_next(changes, draw_max(max), ops, ret_count, err));
}

static void watched_changes_close(sb_changes *changes)
{
	before("changes", 0);
	watched.delta->changes_close(changes);
}

static void watched_release(sb_backend *backend, uint64_t mark)
{
	before("release", mark);
	watched.delta->release(backend, mark);
}

static const void *watched_changes(void)
{
	static const sb_delta_ops delta = {
		.struct_size = sizeof(delta),
		.mark = watched_mark,
		.changes_open = watched_changes_open,
		.changes_next = watched_changes_next,
		.changes_close = watched_changes_close,
		.release = watched_release,
	};

	watched.delta = watched.ops.extension(SB_EXT_DELTA);
	return watched.delta ? &delta : NULL;
}

/* ---- files ---- */

static int32_t watched_create(sb_backend *backend, const char *dir, sb_error *err)
{
	before("create", 0);
	return behind("create", backend_files_create(&watched.ops, backend, dir, err));
}

static const void *watched_extension(const char *id)
{
	static const sb_files_ops files = {
		.struct_size = sizeof(files), .create = watched_create, .is_immutable = backend_files_is_immutable};

	if (watched.with_files && strcmp(id, SB_EXT_FILES) == 0)
		return &files;
	if (!watched.ops.extension)
		return NULL;
	return strcmp(id, SB_EXT_DELTA) == 0 ? watched_changes() : watched.ops.extension(id);
}

static int32_t open_on_files(const sb_backend_ops *ops, const sb_backend_config *config, sb_backend **ret_backend,
			     sb_error *err)
{
	sb_backend_config plain = *config;
	int32_t status;

	plain.flags &= ~(SB_OPEN_FILES | SB_OPEN_READ_ONLY);
	watched.is_opening = true;
	status = ops->open(&plain, ret_backend, err);
	watched.is_opening = false;
	if (status != SB_OK || !(config->flags & SB_OPEN_FILES))
		return status;
	status = backend_files_load(ops, *ret_backend, config->dir, err);
	if (status != SB_OK)
		ops->close(*ret_backend);
	return status;
}

static int32_t watched_open(const sb_backend_config *config, sb_backend **ret_backend, sb_error *err)
{
	return open_on_files(&watched.ops, config, ret_backend, err);
}

static int32_t reader_open(const sb_backend_config *config, sb_backend **ret_backend, sb_error *err)
{
	return open_on_files(&watched.reader_ops, config, ret_backend, err);
}

/* ---- looking it up ---- */

static const struct component *watch(const struct component *component)
{
	sb_backend_ops *ops = &watched.component.backend;

	watched.has_component = true;
	watched.component = *component;
	watched.ops = *ops;
	ops->open = watched_open;
	ops->multi_get = watched_multi_get;
	ops->write_batch = watched_write_batch;
	ops->iter_open = watched_iter_open;
	ops->iter_next = watched_iter_next;
	ops->iter_close = watched_iter_close;
	ops->maintain = watched_maintain;
	ops->extension = watched_extension;
	return &watched.component;
}

/* Nothing is created with it. */
static const void *reader_extension(const char *id)
{
	static const sb_files_ops files = {
		.struct_size = sizeof(files), .create = watched_create, .is_immutable = backend_files_is_immutable};

	return strcmp(id, SB_EXT_FILES) == 0 ? &files : NULL;
}

static const struct component *make_reader(const struct component *component)
{
	watched.reader = *component;
	watched.reader_ops = component->backend;
	watched.reader.backend.open = reader_open;
	watched.reader.backend.extension = reader_extension;
	return &watched.reader;
}

int32_t __wrap_plugin_find_component(const struct plugin *plugin, uint32_t kind, const struct component **ret_component,
				     sb_error *err)
{
	int32_t status = __real_plugin_find_component(plugin, kind, ret_component, err);

	if (status == SB_OK && kind == SB_KIND_BACKEND && !watched.is_opening)
		*ret_component = watched.has_component ? make_reader(*ret_component) : watch(*ret_component);
	return status;
}
