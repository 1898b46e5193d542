/* "sbhost checkpoint list": what lies in the directory, a row each. Heads and tails are read, so it takes no time however large
 * the checkpoints are; --verify reads everything. */
#include <inttypes.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/json_write.h"
#include "base/slice.h"
#include "cli/checkpoint_tools.h"
#include "cli/show.h"

#define OFFSETS_SHOWN 3u

/* One checkpoint as it is listed. reader is NULL when not even its head and tail could be read. */
struct listed {
	const struct checkpoint_ref *ref;
	const struct checkpoint_reader *reader;
	const struct checkpoint_meta *meta;
	const struct checkpoint_totals *totals;
	sb_error problem;
};

static void add_heading(struct table *table)
{
	static const char *const names[] = {"ID",      "AGE",	 "KIND",    "PARENT", "SIZE",
					    "ENTRIES", "EVENTS", "OFFSETS", "CHECK"};

	for (unsigned i = 0; i < table->columns; i++)
		table_cell(table, "%s", names[i]);
}

static void append_offsets(struct buffer *out, const struct checkpoint_meta *meta)
{
	for (uint64_t i = 0; i < meta->partition_count && i < OFFSETS_SHOWN; i++)
		buffer_printf(out, "%s%" PRIu64 ":%" PRId64, i ? "," : "", i, meta->partitions[i].offset);
	if (meta->partition_count > OFFSETS_SHOWN)
		buffer_printf(out, ",… (%" PRIu64 ")", meta->partition_count);
}

/* The cell that text holds. */
static void put(struct table *table, struct buffer *text)
{
	table_cell(table, "%s", buffer_text(text) ? (const char *)text->data : "");
	table->cells.failed |= text->failed;
	buffer_clear(text);
}

static void add_row(struct tool *tool, struct table *table, const struct listed *listed)
{
	AUTO(buffer_done) struct buffer text = BUFFER_INIT;
	const struct checkpoint_meta *meta = listed->meta;

	table_cell(table, "%s", listed->ref->id);
	if (meta) {
		show_age(&text, (clock_wall_ns(&tool->clock) - meta->timestamp_ns) / 1000000);
		put(table, &text);
		table_cell(table, "%s", checkpoint_kind_name(meta->kind));
		table_cell(table, "%s", meta->parent ? meta->parent : "-");
	} else {
		for (int i = 0; i < 3; i++)
			table_cell(table, "-");
	}
	show_size(&text, (uint64_t)listed->ref->file_bytes + (meta ? checkpoint_shared_bytes(meta) : 0));
	put(table, &text);
	if (meta) {
		if (meta->file_count)
			table_cell(table, "-"); /* they are in the backend's files, which nobody opens here */
		else
			table_cell(table, "%" PRIu64, listed->totals->entries);
		table_cell(table, "%" PRIu64, meta->events);
		append_offsets(&text, meta);
		put(table, &text);
	} else {
		for (int i = 0; i < 3; i++)
			table_cell(table, "-");
	}
	if (listed->problem.code == SB_OK)
		table_cell(table, "%s", tool->verify ? "ok" : "form ok");
	else
		table_cell(table, "%s", listed->problem.message);
}

static void append_object(struct tool *tool, struct buffer *out, const struct listed *listed)
{
	struct object object = object_begin(out);
	const struct checkpoint_meta *meta = listed->meta;

	object_text(&object, "id", listed->ref->id);
	object_i64(&object, "file_bytes", listed->ref->file_bytes);
	object_text(&object, "check", tool->verify ? "full" : "form");
	object_bool(&object, "valid", listed->problem.code == SB_OK);
	object_text(&object, "problem", listed->problem.code == SB_OK ? NULL : listed->problem.message);
	if (meta) {
		show_timestamp(&object, meta);
		object_i64(&object, "age_ms", (clock_wall_ns(&tool->clock) - meta->timestamp_ns) / 1000000);
		object_text(&object, "kind", checkpoint_kind_name(meta->kind));
		object_text(&object, "parent", meta->parent);
		object_u64(&object, "shared_files", meta->file_count);
		object_u64(&object, "shared_bytes", checkpoint_shared_bytes(meta));
		if (meta->file_count)
			object_text(&object, "entries", NULL);
		else
			object_u64(&object, "entries", listed->totals->entries);
		object_u64(&object, "events", meta->events);
		show_offsets(&object, meta);
	}
	object_end(&object);
}

struct output {
	struct table table;
	bool more;
};

static void add(struct tool *tool, struct output *output, const struct listed *listed)
{
	if (!tool->json) {
		add_row(tool, &output->table, listed);
		return;
	}
	buffer_append_text(&tool->out, output->more ? ",\n " : "[");
	output->more = true;
	append_object(tool, &tool->out, listed);
}

static int32_t list_one(struct tool *tool, struct checkpoint_heads *heads, uint64_t i, struct output *output,
			sb_error *err)
{
	AUTO(free_memory) char *path = checkpoint_store_path(heads->store, heads->refs[i].id);
	struct listed listed = {.ref = &heads->refs[i], .problem = ERROR_INIT};
	struct checkpoint_reader *reader = NULL;
	sb_error ignored = ERROR_INIT;
	uint64_t links;
	int32_t status;

	if (!path)
		return error_no_memory(err);
	status = tool->verify ? checkpoint_check_whole(tool, heads, i, &links, &listed.problem)
			      : checkpoint_heads_check(heads, i, &links, &listed.problem);
	if (status == SB_ERR_NOT_FOUND)
		return SB_OK; /* removed since it was listed */
	if (status == SB_ERR_NO_MEMORY)
		return error_no_memory(err); /* which says nothing about the checkpoint */
	status = checkpoint_reader_open(&tool->io, path, &reader, &ignored);
	if (status == SB_ERR_NO_MEMORY)
		return error_no_memory(err);
	if (status == SB_OK) {
		listed.meta = checkpoint_reader_meta(reader);
		listed.totals = checkpoint_reader_totals(reader);
	}
	add(tool, output, &listed);
	checkpoint_reader_close(reader);
	return SB_OK;
}

static int32_t list_all(struct tool *tool, struct checkpoint_heads *heads, struct output *output, sb_error *err)
{
	if (!tool->json)
		add_heading(&output->table);
	for (uint64_t i = 0; i < heads->count; i++)
		TRY(list_one(tool, heads, i, output, err));
	if (tool->json)
		buffer_append_text(&tool->out, output->more ? "]\n" : "[]\n");
	else
		table_append(&output->table, "", &tool->out);
	return buffer_check(&tool->out, err);
}

int checkpoint_list_command(struct tool *tool)
{
	struct output output = {.table = {.columns = 9, .right = 1 << 1 | 1 << 4 | 1 << 5 | 1 << 6}};
	struct checkpoint_store *store = NULL;
	struct checkpoint_heads heads = {0};
	sb_error err = ERROR_INIT;
	int status = tool_open_store(tool, &store);

	if (status != EXIT_DONE)
		return status;
	if (checkpoint_heads_open(store, &heads, &err) != SB_OK || list_all(tool, &heads, &output, &err) != SB_OK)
		status = tool_fail(tool, EXIT_RUN_FAILED, &err);
	else if (heads.count == 0 && !tool->json)
		tool_note(tool, "no checkpoint in %s", tool->checkpoint_dir);
	else
		status = tool_print(tool);
	table_done(&output.table);
	checkpoint_heads_close(&heads);
	checkpoint_store_close(store);
	return status;
}
