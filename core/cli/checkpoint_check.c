/* Whether checkpoints are good to the last byte, with all that they build on: the form first, which costs nothing, then the store's
 * own verification, the same that a restore begins with. */
#include "base/error.h"
#include "cli/checkpoint_tools.h"

int32_t checkpoint_check_whole(struct tool *tool, struct checkpoint_heads *heads, uint64_t i, uint64_t *ret_links,
			       sb_error *err)
{
	TRY(checkpoint_heads_check(heads, i, ret_links, err));
	tool_begin_check(tool, heads->refs[i].id);
	return checkpoint_store_verify(heads->store, heads->refs[i].id, err);
}

uint64_t checkpoint_shared_bytes(const struct checkpoint_meta *meta)
{
	uint64_t bytes = 0;

	for (uint64_t i = 0; i < meta->file_count; i++)
		bytes += (uint64_t)meta->files[i].bytes;
	return bytes;
}
