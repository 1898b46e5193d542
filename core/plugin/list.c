/* "sbhost plugin list": what lies in a directory, told from the ELF notes alone. */
#include <cjson/cJSON.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "plugin/describe_private.h"
#include "plugin/plugin_private.h"

struct row {
	const char *file;
	struct plugin_note note;
	bool accepted;
	sb_error reason;
};

typedef int32_t (*row_fn)(void *out, const struct row *row, sb_error *err);

static void done_buffer(struct buffer *buffer)
{
	buffer_done(buffer);
}

static bool is_library_name(const char *file)
{
	size_t len = strlen(file);

	return len > 3 && strcmp(file + len - 3, ".so") == 0;
}

static int32_t examine(struct io *io, const char *dir, const char *file, struct row *ret_row, sb_error *err)
{
	AUTO(done_buffer) struct buffer path = BUFFER_INIT;
	int32_t status;

	buffer_printf(&path, "%s/%s", dir, file);
	if (!buffer_text(&path))
		return error_no_memory(err);
	*ret_row = (struct row){.file = file, .reason = ERROR_INIT};
	status = plugin_vet(io, (char *)path.data, &ret_row->note, &ret_row->reason);
	ret_row->accepted = status == SB_OK;
	return status == SB_ERR_NO_MEMORY ? error_no_memory(err) : SB_OK; /* which says nothing of the plugin */
}

static int32_t for_each_row(struct io *io, const char *dir, row_fn fn, void *out, sb_error *err)
{
	AUTO(done_buffer) struct buffer files = BUFFER_INIT;
	uint64_t count;

	TRY(io_list(io, dir, &files, &count, err));
	for (size_t i = 0; i < files.len; i += strlen((char *)files.data + i) + 1) {
		const char *file = (char *)files.data + i;
		struct row row;

		if (!is_library_name(file))
			continue;
		TRY(examine(io, dir, file, &row, err));
		TRY(fn(out, &row, err));
	}
	return SB_OK;
}

/* --- text ----------------------------------------------------------------------- */

enum { COLUMN_NAME, COLUMN_VERSION, COLUMN_ABI, COLUMN_FILE, COLUMN_STATUS };

static int32_t append_table_row(void *out, const struct row *row, sb_error *err)
{
	struct table *table = out;

	(void)err;
	if (row->accepted) {
		table_cell(table, "%s", row->note.name);
		table_cell(table, "%s", row->note.version);
		table_cell(table, "%u.%u", row->note.abi_major, row->note.abi_minor);
	} else {
		for (int i = COLUMN_NAME; i <= COLUMN_ABI; i++)
			table_cell(table, "-");
	}
	table_cell(table, "%s", row->file);
	table_cell(table, "%s%s", row->accepted ? "ok" : "refused: ", row->accepted ? "" : row->reason.message);
	return SB_OK;
}

static int32_t list_text(struct io *io, const char *dir, struct buffer *out, sb_error *err)
{
	AUTO(table_done) struct table table = {.columns = COLUMN_STATUS + 1};

	table_cell(&table, "NAME");
	table_cell(&table, "VERSION");
	table_cell(&table, "ABI");
	table_cell(&table, "FILE");
	table_cell(&table, "STATUS");
	TRY(for_each_row(io, dir, append_table_row, &table, err));
	table_append(&table, "", out);
	return buffer_check(out, err);
}

/* --- JSON ----------------------------------------------------------------------- */

static int32_t append_object(void *out, const struct row *row, sb_error *err)
{
	struct json_out json = {.object = cJSON_CreateObject()};

	if (!cJSON_AddItemToArray(out, json.object))
		return error_no_memory(err);
	json_text(&json, "file", row->file);
	json_text(&json, "status", row->accepted ? "ok" : "refused");
	if (row->accepted) {
		json_text(&json, "name", row->note.name);
		json_text(&json, "version", row->note.version);
		json_number(&json, "abi_major", row->note.abi_major);
		json_number(&json, "abi_minor", row->note.abi_minor);
	} else {
		json_text(&json, "reason", row->reason.message);
	}
	return json.failed ? error_no_memory(err) : SB_OK;
}

static int32_t list_json(struct io *io, const char *dir, struct buffer *out, sb_error *err)
{
	AUTO(json_delete) cJSON *array = cJSON_CreateArray();

	if (!array)
		return error_no_memory(err);
	TRY(for_each_row(io, dir, append_object, array, err));
	json_print(array, out);
	return buffer_check(out, err);
}

int32_t plugin_list(struct io *io, const char *dir, bool json, struct buffer *out, sb_error *err)
{
	return json ? list_json(io, dir, out, err) : list_text(io, dir, out, err);
}
