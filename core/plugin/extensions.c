/* See extensions.h. */
#include "plugin/extensions.h"

static const void *find(const struct component *component, const char *id)
{
	return component->backend.extension ? component->backend.extension(id) : NULL;
}

const sb_files_ops *component_files(const struct component *component)
{
	const sb_files_ops *ops = find(component, SB_EXT_FILES);

	return ops && ops->struct_size >= sizeof(*ops) && ops->create && ops->is_immutable ? ops : NULL;
}

/* Its walks are stable ones, so a backend whose iterators are not cannot have it. */
const sb_delta_ops *component_delta(const struct component *component)
{
	const sb_delta_ops *ops = find(component, SB_EXT_DELTA);

	if (!ops || ops->struct_size < sizeof(*ops) || !(component->flags & SB_BACKEND_STABLE_ITER))
		return NULL;
	return ops->mark && ops->changes_open && ops->changes_next && ops->changes_close && ops->release ? ops : NULL;
}

/* The host reads a checkpoint's view while it goes on changing entries where they lie. */
const sb_inplace_ops *component_inplace(const struct component *component)
{
	const sb_inplace_ops *ops = find(component, SB_EXT_INPLACE);

	if (!ops || ops->struct_size < sizeof(*ops) || !(component->flags & SB_BACKEND_STABLE_ITER))
		return NULL;
	return ops->find && ops->write && ops->finish ? ops : NULL;
}
