/* "sbhost state get KEY", "scan" and "export": entries of a checkpoint, as they come by.
 *
 * Each reads the checkpoint from end to end and holds one entry at a time: a checkpoint has no index, and a job that wants one is the
 * job itself. */
#include "base/cleanup.h"
#include "base/error.h"
#include "base/escape.h"
#include "base/slice.h"
#include "cli/show.h"
#include "cli/tool.h"

struct query {
	const struct schema_state *state; /* NULL: all */
	struct buffer key; /* bytes */
	bool exact; /* key is one; otherwise the beginning of one */
	uint64_t found;
	bool lines; /* JSON lines; otherwise rows */
	struct entry_rows rows;
	struct buffer scratch;
};

static bool matches(const struct query *query, const struct shown_entry *entry)
{
	sb_slice wanted = buffer_slice(&query->key);

	if (query->state && entry->state != query->state)
		return false;
	if (query->exact)
		return slice_equal(entry->key, wanted);
	return entry->key.len >= wanted.len && slice_equal(slice_of(entry->key.ptr, wanted.len), wanted);
}

static int32_t show_match(struct tool *tool, struct query *query, const struct shown_entry *entry, sb_error *err)
{
	query->found++;
	if (query->lines) {
		struct object object = object_begin(&tool->out);

		TRY(show_entry(&object, entry, err));
		object_end(&object);
		buffer_append_byte(&tool->out, '\n');
	} else {
		TRY(entry_rows_add(&query->rows, entry, &tool->out, err));
	}
	TRY(buffer_check(&tool->out, err));
	return tool_print_if_full(tool, err);
}

static int32_t read_entries(struct tool *tool, struct tool_source *source, struct query *query, sb_error *err)
{
	const struct schema *schema = &source->meta->schema;
	struct checkpoint_item item;
	struct shown_entry entry;

	do {
		TRY(tool_source_next(tool, source, &item, err));
		if (item.kind != ITEM_ENTRY)
			continue;
		TRY(show_item_init(schema, &item, &query->scratch, &entry, err));
		if (matches(query, &entry))
			TRY(show_match(tool, query, &entry, err));
	} while (item.kind != ITEM_END && query->found < tool->limit);
	entry_rows_end(&query->rows, &tool->out);
	return buffer_check(&tool->out, err);
}

static int run_query(struct tool *tool, struct tool_source *source, struct query *query)
{
	sb_error err = ERROR_INIT;
	int status;

	if (tool_find_state(tool, source->meta, &query->state, &err) != SB_OK)
		return tool_fail(tool, EXIT_BAD_CONFIG, &err);
	entry_rows_init(&query->rows, &source->meta->schema, tool->out_is_terminal, "");
	if (read_entries(tool, source, query, &err) == SB_OK)
		return tool_print(tool);
	status = tool_status_of(&err);
	tool_print(tool); /* what came before the damage */
	return tool_fail(tool, status, &err);
}

/* key: as typed. */
static int look_for(struct tool *tool, const char *key, struct query *query)
{
	struct checkpoint_store *store = NULL;
	struct tool_source source = {0};
	sb_error err = ERROR_INIT;
	int status;

	if (escape_parse(slice_of_text(key), &query->key, &err) != SB_OK)
		return tool_fail(tool, EXIT_BAD_CONFIG, &err);
	status = tool_open_store(tool, &store);
	if (status == EXIT_DONE)
		status = tool_source_open(tool, store, tool->checkpoint_id, &source);
	if (status == EXIT_DONE) {
		status = run_query(tool, &source, query);
		if (status == EXIT_DONE && query->exact && query->found == 0) {
			error_set(&err, SB_ERR_NOT_FOUND, "%s has no entry of key %s", source.meta->id, key);
			status = tool_fail(tool, EXIT_RUN_FAILED, &err);
		}
	}
	tool_source_close(&source);
	checkpoint_store_close(store);
	return status;
}

static int look(struct tool *tool, const char *key, bool exact, bool lines)
{
	struct query query = {.exact = exact, .lines = lines};
	int status = look_for(tool, key, &query);

	entry_rows_done(&query.rows);
	buffer_done(&query.scratch);
	buffer_done(&query.key);
	return status;
}

static int get(struct tool *tool)
{
	return look(tool, tool->words[0], true, tool->json);
}

static int scan(struct tool *tool)
{
	return look(tool, tool->prefix ? tool->prefix : "", false, tool->json);
}

static int export(struct tool *tool)
{
	return look(tool, "", false, true);
}

#define OPTIONS (TOOL_READS_CONTENT | TOOL_OPTION(TOOL_CHECKPOINT) | TOOL_OPTION(TOOL_STATE))

int command_state(int argc, char **argv)
{
	static const struct tool_command commands[] = {
		{"get", "KEY", 1, 1, OPTIONS, "print what a checkpoint holds under a key",
		 "The key is given as it is printed: \\xNN for any byte, \\\\ for a backslash. Of a raw state all "
		 "sub-keys are printed. Ends with status 1 when there is no such key.",
		 get},
		{"scan", NULL, 0, 0, OPTIONS | TOOL_OPTION(TOOL_PREFIX) | TOOL_OPTION(TOOL_LIMIT),
		 "print the entries whose keys begin alike, or all",
		 "A table on a terminal; elsewhere lines of tab-separated columns: state, key, sub-key (when there are raw "
		 "states), expiry, value.",
		 scan},
		{"export", NULL, 0, 0, OPTIONS, "print every entry as a JSON object on a line of its own",
		 "Members: state, key (bytes that are no printable ASCII as \\xNN), sub_key for raw states, value, and "
		 "expiry_ms (milliseconds since 1970, or null).",
		 export},
	};

	return tool_main("state", commands, sizeof(commands) / sizeof(commands[0]), argc, argv);
}
