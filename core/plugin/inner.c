/* The host service sb.backend-open/1: a backend within another one.
 *
 * A plugin that wraps a backend must not load it by itself, past everything that vets plugins. It names it, and what it gets is an
 * instance like those of the host: its file found and vetted, its options parsed, its missing callbacks filled in. The
 * inner instance bears the outer one's name and uses its clocks and its horizon.
 *
 * Each open loads a description of its own. That is cheap, since the library itself is mapped once, but a component that a
 * process can have open once could not be counted; such a one is refused. */
#include "plugin/inner.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "plugin/options.h"
#include "plugin/plugin_private.h"

struct inner {
	struct io io;
	struct plugin *plugin;
	struct option_set options;
	struct instance *instance;
};

static void free_inner(struct inner **inner)
{
	if (!*inner)
		return;
	instance_close((*inner)->instance);
	option_set_done(&(*inner)->options);
	plugin_free((*inner)->plugin);
	free(*inner);
}

/* Where the plugin that asks lies. */
static char *own_dir(const struct instance *outer)
{
	const char *path = outer->component->plugin->path; /* absolute */

	return strndup(path, (size_t)(strrchr(path, '/') - path));
}

static int32_t load(struct inner *inner, const struct instance *outer, const char *name,
		    const struct component **ret_component, sb_error *err)
{
	AUTO(free_memory) char *dir = own_dir(outer);

	if (!dir)
		return error_no_memory(err);
	io_init_system(&inner->io);
	TRY(plugin_load_vouched(&inner->io, name, dir, outer->env.manifest, &inner->plugin, err));
	TRY(plugin_find_component(inner->plugin, SB_KIND_BACKEND, ret_component, err));
	if ((*ret_component)->threads == SB_THREADS_ONE_INSTANCE)
		return error_set(
			err, SB_ERR_UNSUPPORTED,
			"backend \"%s\" (%s) can be open once in a process, and cannot be wrapped: name another one",
			(*ret_component)->id, inner->plugin->path);
	return SB_OK;
}

static int32_t open_inner(const sb_host *host, const char *name, uint64_t option_count, const char *const *options,
			  const char *dir, uint32_t flags, sb_inner_backend *ret_inner, sb_error *err)
{
	const struct instance *outer = host->context;
	const struct component *component;
	AUTO(free_inner) struct inner *inner = calloc(1, sizeof(*inner));

	if (!inner)
		return error_no_memory(err);
	if (ret_inner->struct_size < sizeof(*ret_inner))
		return error_set(
			err, SB_ERR_INVALID,
			"sb.backend-open/1 was given a struct of %u bytes: set its struct_size before the call",
			ret_inner->struct_size);
	TRY(load(inner, outer, name, &component, err));
	TRY(option_set_parse(component, "the inner backend's option", options, option_count, &inner->options, err));
	TRY(instance_open_backend(component, outer->name, dir, flags, &inner->options, &outer->env, &inner->instance,
				  err));
	ret_inner->flags = component->flags;
	ret_inner->id = component->id;
	ret_inner->ops = &component->backend;
	ret_inner->backend = inner->instance->backend;
	ret_inner->owner = TAKE(inner);
	return SB_OK;
}

static void close_inner(const sb_host *host, sb_inner_backend *inner)
{
	struct inner *owned = inner->owner;

	(void)host;
	free_inner(&owned);
	inner->owner = NULL;
}

const sb_backend_open_ops inner_backend_ops = {
	.struct_size = sizeof(sb_backend_open_ops),
	.open = open_inner,
	.close = close_inner,
};
