/* Opening what a tool reads. Tools look only: no lock, no quarantine, and the job may be running. */
#include <string.h>

#include "base/error.h"
#include "base/nearest.h"
#include "base/slice.h"
#include "cli/tool.h"

#define PROGRESS_ENTRIES 4096u

int tool_open_store(struct tool *tool, struct checkpoint_store **ret_store)
{
	sb_error err = ERROR_INIT;

	if (checkpoint_store_open(&tool->io, &tool->log, tool->checkpoint_dir, false, false, ret_store, &err) != SB_OK)
		return tool_fail(tool, EXIT_BAD_CONFIG, &err);
	checkpoint_store_watch(*ret_store, &tool->watch);
	return EXIT_DONE;
}

void tool_begin_check(struct tool *tool, const char *what)
{
	tool->checked = what;
	tool->checked_bytes = 0;
}

int tool_source_open_reader(struct tool *tool, struct checkpoint_store *store, struct checkpoint_reader *reader,
			    struct tool_source *ret_source)
{
	const struct checkpoint_contents_config config = {
		.io = &tool->io,
		.clock = &tool->clock,
		.log = &tool->log,
		.store = store,
		.plugin_dir = tool->plugin_dir,
		.source_plugin = tool->source_plugin,
	};
	const bool is_full = checkpoint_reader_meta(reader)->kind == CHECKPOINT_FULL;
	struct tool_source source = {.totals = *checkpoint_reader_totals(reader)};
	sb_error err = ERROR_INIT;
	int32_t status = checkpoint_contents_open(&config, reader, &source.contents, &err);

	if (status == SB_OK) {
		source.meta = checkpoint_contents_meta(source.contents);
		*ret_source = source;
		return EXIT_DONE;
	}
	/* What a native one lacks in the end is the plugin that reads it. */
	if (!is_full && (status == SB_ERR_NOT_FOUND || status == SB_ERR_UNSUPPORTED || status == SB_ERR_INCOMPATIBLE))
		return tool_fail(tool, EXIT_PLUGIN_REFUSED, &err);
	return tool_fail(tool, tool_status_of(&err), &err);
}

int tool_source_open(struct tool *tool, struct checkpoint_store *store, const char *id, struct tool_source *ret_source)
{
	struct checkpoint_reader *reader;
	sb_error err = ERROR_INIT;
	uint64_t damaged;

	tool_progress(tool, "checking the digest", 0, 0);
	if (checkpoint_store_open_newest(store, tool_is_latest(id) ? NULL : id, false, &reader, &damaged, &err) !=
	    SB_OK)
		return tool_fail(tool, EXIT_NO_CHECKPOINT, &err);
	return tool_source_open_reader(tool, store, reader, ret_source);
}

int32_t tool_source_next(struct tool *tool, struct tool_source *source, struct checkpoint_item *ret_item, sb_error *err)
{
	TRY(checkpoint_contents_next(source->contents, ret_item, err));
	if (ret_item->kind == ITEM_ENTRY && source->read++ % PROGRESS_ENTRIES == 0)
		tool_progress(tool, "reading", source->read, source->totals.entries);
	return SB_OK;
}

void tool_source_close(struct tool_source *source)
{
	checkpoint_contents_close(source->contents);
	source->contents = NULL;
}

int32_t tool_find_state(const struct tool *tool, const struct checkpoint_meta *meta,
			const struct schema_state **ret_state, sb_error *err)
{
	struct nearest near = {0};

	*ret_state = NULL;
	if (!tool->state)
		return SB_OK;
	*ret_state = schema_find_name(&meta->schema, tool->state);
	if (*ret_state)
		return SB_OK;
	near.wanted = slice_of_text(tool->state);
	for (uint64_t i = 0; i < meta->schema.count; i++)
		nearest_offer(&near, meta->schema.states[i].name);
	return error_set(err, SB_ERR_CONFIG, "%s has no state %s%s%s%s", meta->id, tool->state,
			 near.name ? "; did you mean " : "; see sbhost checkpoint inspect", near.name ? near.name : "",
			 near.name ? "?" : "");
}
