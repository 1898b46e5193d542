/* "sbhost checkpoint verify": every byte, every frame, every entry, and all that the checkpoint builds on; a line each. */
#include <inttypes.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "cli/checkpoint_tools.h"
#include "cli/show.h"

static void append_line(struct tool *tool, const struct checkpoint_ref *ref, uint64_t links, const sb_error *problem)
{
	if (tool->json) {
		struct object object = object_begin(&tool->out);

		object_text(&object, "id", ref->id);
		object_bool(&object, "valid", problem->code == SB_OK);
		object_text(&object, "problem", problem->code == SB_OK ? NULL : problem->message);
		object_i64(&object, "file_bytes", ref->file_bytes);
		object_u64(&object, "links", links);
		object_end(&object);
		buffer_append_byte(&tool->out, '\n');
		return;
	}
	buffer_printf(&tool->out, "%s  ", ref->id);
	if (problem->code != SB_OK) {
		buffer_printf(&tool->out, "%s\n", problem->message);
		return;
	}
	buffer_append_text(&tool->out, "ok  ");
	show_size(&tool->out, (uint64_t)ref->file_bytes);
	if (links > 1)
		buffer_printf(&tool->out, ", with %" PRIu64 " that it builds on", links - 1);
	buffer_append_byte(&tool->out, '\n');
}

/* Lines appear as they are found out: a large checkpoint takes its time. */
static int verify_range(struct tool *tool, struct checkpoint_heads *heads, uint64_t from, uint64_t to)
{
	int status = EXIT_DONE;

	for (uint64_t i = from; i < to; i++) {
		sb_error problem = ERROR_INIT;
		uint64_t links = 1;
		int32_t checked = checkpoint_check_whole(tool, heads, i, &links, &problem);
		int printed;

		if (checked == SB_ERR_NO_MEMORY)
			return tool_fail(tool, EXIT_RUN_FAILED, &problem); /* it says nothing about the checkpoint */
		if (checked != SB_OK)
			status = EXIT_NO_CHECKPOINT;
		append_line(tool, &heads->refs[i], links, &problem);
		printed = tool_print(tool);
		if (printed != EXIT_DONE)
			return printed;
	}
	return status;
}

static int verify(struct tool *tool, struct checkpoint_heads *heads, const char *id)
{
	sb_error err = ERROR_INIT;
	uint64_t at = tool_is_latest(id) ? 0 : checkpoint_heads_find(heads, id);

	if (at == UINT64_MAX) {
		error_set(&err, SB_ERR_NOT_FOUND, "there is no %s in %s: see sbhost checkpoint list", id,
			  tool->checkpoint_dir);
		return tool_fail(tool, EXIT_NO_CHECKPOINT, &err);
	}
	if (heads->count == 0) {
		error_set(&err, SB_ERR_NOT_FOUND, "no checkpoint in %s", tool->checkpoint_dir);
		return tool_fail(tool, EXIT_NO_CHECKPOINT, &err);
	}
	return tool->all ? verify_range(tool, heads, 0, heads->count) : verify_range(tool, heads, at, at + 1);
}

int checkpoint_verify_command(struct tool *tool)
{
	struct checkpoint_store *store = NULL;
	struct checkpoint_heads heads = {0};
	sb_error err = ERROR_INIT;
	int status;

	if (tool->all && tool->word_count)
		return cli_complain(EXIT_USAGE, "%s: an ID or --all, not both; see %s --help", tool->name, tool->name);
	status = tool_open_store(tool, &store);
	if (status != EXIT_DONE)
		return status;
	if (checkpoint_heads_open(store, &heads, &err) == SB_OK)
		status = verify(tool, &heads, tool->words[0]);
	else
		status = tool_fail(tool, EXIT_RUN_FAILED, &err);
	checkpoint_heads_close(&heads);
	checkpoint_store_close(store);
	return status;
}
