/* See contents.h. */
#include "checkpoint/contents.h"

#include <stdlib.h>

#include "base/error.h"

struct checkpoint_contents {
	struct checkpoint_contents_config config;
	struct checkpoint_reader *reader;
};

int32_t checkpoint_contents_open(const struct checkpoint_contents_config *config, struct checkpoint_reader *reader,
				 struct checkpoint_contents **ret_contents, sb_error *err)
{
	struct checkpoint_contents *contents = calloc(1, sizeof(*contents));

	if (!contents) {
		checkpoint_reader_close(reader);
		return error_no_memory(err);
	}
	contents->config = *config;
	contents->reader = reader;
	*ret_contents = contents;
	return SB_OK;
}

void checkpoint_contents_close(struct checkpoint_contents *contents)
{
	if (!contents)
		return;
	checkpoint_reader_close(contents->reader);
	free(contents);
}

const struct checkpoint_meta *checkpoint_contents_meta(const struct checkpoint_contents *contents)
{
	return checkpoint_reader_meta(contents->reader);
}

int32_t checkpoint_contents_next(struct checkpoint_contents *contents, struct checkpoint_item *ret_item, sb_error *err)
{
	return checkpoint_reader_next(contents->reader, ret_item, err);
}
