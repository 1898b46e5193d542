/* See contents.h. */
#include "checkpoint/contents.h"

#include <stdlib.h>

#include "base/error.h"
#include "checkpoint/contents_private.h"

static int32_t open_kind(struct checkpoint_contents *contents, sb_error *err)
{
	const struct checkpoint_meta *meta = checkpoint_reader_meta(contents->reader);

	if (meta->parent)
		return delta_contents_open(contents, &contents->delta, err);
	if (meta->file_count)
		return native_contents_open(contents, &contents->native, err);
	return SB_OK;
}

int32_t checkpoint_contents_open(const struct checkpoint_contents_config *config, struct checkpoint_reader *reader,
				 struct checkpoint_contents **ret_contents, sb_error *err)
{
	struct checkpoint_contents *contents = calloc(1, sizeof(*contents));
	int32_t status;

	if (!contents) {
		checkpoint_reader_close(reader);
		return error_no_memory(err);
	}
	contents->config = *config;
	contents->reader = reader;
	status = open_kind(contents, err);
	if (status != SB_OK) {
		checkpoint_contents_close(contents);
		return status;
	}
	*ret_contents = contents;
	return SB_OK;
}

void checkpoint_contents_close(struct checkpoint_contents *contents)
{
	if (!contents)
		return;
	delta_contents_close(contents->delta);
	native_contents_close(contents->native);
	checkpoint_reader_close(contents->reader);
	free(contents);
}

const struct checkpoint_meta *checkpoint_contents_meta(const struct checkpoint_contents *contents)
{
	return checkpoint_reader_meta(contents->reader);
}

int32_t checkpoint_contents_next(struct checkpoint_contents *contents, struct checkpoint_item *ret_item, sb_error *err)
{
	if (contents->delta)
		return delta_contents_next(contents->delta, ret_item, err);
	if (contents->native)
		return native_contents_next(contents->native, ret_item, err);
	return checkpoint_reader_next(contents->reader, ret_item, err);
}
