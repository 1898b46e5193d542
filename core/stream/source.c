/* See source.h: the way from the interface to the kinds. */
#include "stream/source.h"

#include <stdlib.h>

#include "stream/source_private.h"

int32_t source_open(const struct source_config *config, struct source **ret_source, sb_error *err)
{
	if (config->kind == SOURCE_GENERATOR)
		return source_generator_open(config, ret_source, err);
	return source_file_open(config, ret_source, err);
}

void source_close(struct source *source)
{
	if (source)
		source->ops->close(source);
}

int32_t source_start(struct source *source, int64_t offset, const struct source_identity *expected, sb_error *err)
{
	return source->ops->start(source, offset, expected, err);
}

enum source_status source_next(struct source *source, struct source_record *ret_record, sb_error *err)
{
	return source->ops->next(source, ret_record, err);
}

void source_set_profile(struct source *source, struct profile *profile)
{
	source->profile = profile;
}

int source_poll_fd(const struct source *source)
{
	return source->ops->poll_fd(source);
}

int64_t source_due_ns(const struct source *source)
{
	return source->ops->due_ns(source);
}

int32_t source_identity(const struct source *source, struct source_identity *ret_identity, sb_error *err)
{
	return source->ops->identity(source, ret_identity, err);
}

int64_t source_total(const struct source *source)
{
	return source->ops->total(source);
}

void source_identity_done(struct source_identity *identity)
{
	free(identity->name);
	*identity = (struct source_identity){0};
}
