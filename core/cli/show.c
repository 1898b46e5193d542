/* See show.h. */
#include "cli/show.h"

#include <inttypes.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/json_write.h"
#include "base/number.h"
#include "base/slice.h"
#include "state/composed_key.h"

#define BLOCK_BYTES ((size_t)64 << 10)

int32_t show_entry_init(const struct schema *schema, uint32_t state_id, sb_slice user_part, sb_slice value,
			int64_t expiry_ms, struct buffer *scratch, struct shown_entry *ret_entry, sb_error *err)
{
	const struct schema_state *state = schema_find_id(schema, state_id);
	struct shown_entry entry = {.state = state, .key = user_part, .value = value, .expiry_ms = expiry_ms};

	if (!state)
		return error_set(err, SB_ERR_CORRUPT,
				 "an entry belongs to state %u, which the checkpoint does not declare", state_id);
	if (state->kind == SB_STATE_RAW) {
		TRY(composed_split_raw(user_part, scratch, &entry.sub_key, err));
		entry.key = buffer_slice(scratch);
	}
	*ret_entry = entry;
	return SB_OK;
}

void show_keys(struct object *object, const struct shown_entry *entry)
{
	object_text(object, "state", entry->state->name);
	object_bytes(object, "key", entry->key);
	if (entry->state->kind == SB_STATE_RAW)
		object_bytes(object, "sub_key", entry->sub_key);
}

void show_expiry_ms(struct buffer *out, int64_t expiry_ms)
{
	if (expiry_ms == SB_NO_EXPIRY)
		buffer_append_text(out, "null");
	else
		number_append_i64(out, expiry_ms);
}

void show_expiry(struct buffer *out, int64_t expiry_ms)
{
	if (expiry_ms == SB_NO_EXPIRY)
		buffer_append_text(out, "never");
	else
		time_append_rfc3339_ms(out, expiry_ms);
}

int32_t show_entry(struct object *object, const struct shown_entry *entry, sb_error *err)
{
	show_keys(object, entry);
	object_name(object, "value");
	TRY(schema_value_to_json(entry->state, entry->value, object->out, err));
	object_name(object, "expiry_ms");
	show_expiry_ms(object->out, entry->expiry_ms);
	return SB_OK;
}

void show_key_text(struct buffer *out, const struct shown_entry *entry)
{
	json_append_escaped_bytes(out, entry->key);
	if (entry->state->kind == SB_STATE_RAW) {
		buffer_append_byte(out, ' ');
		json_append_escaped_bytes(out, entry->sub_key);
	}
}

void entry_rows_init(struct entry_rows *rows, const struct schema *schema, bool aligned, const char *indent)
{
	*rows = (struct entry_rows){.aligned = aligned, .indent = indent};
	for (uint64_t i = 0; i < schema->count; i++)
		rows->has_raw |= schema->states[i].kind == SB_STATE_RAW;
	rows->table.columns = rows->has_raw ? 5 : 4;
}

void entry_rows_done(struct entry_rows *rows)
{
	table_done(&rows->table);
	buffer_done(&rows->scratch);
}

static void add_heading(struct entry_rows *rows)
{
	rows->headed = true;
	table_cell(&rows->table, "STATE");
	table_cell(&rows->table, "KEY");
	if (rows->has_raw)
		table_cell(&rows->table, "SUB_KEY");
	table_cell(&rows->table, "EXPIRES");
	table_cell(&rows->table, "VALUE");
}

/* The cell that scratch holds; the last of a row ends the line. */
static void put_cell(struct entry_rows *rows, bool last, struct buffer *out)
{
	struct buffer *text = &rows->scratch;

	if (!buffer_text(text)) {
		out->failed = true;
	} else if (rows->aligned) {
		table_cell(&rows->table, "%s", (const char *)text->data);
	} else {
		buffer_append_slice(out, buffer_slice(text));
		buffer_append_byte(out, last ? '\n' : '\t');
	}
	buffer_clear(text);
}

int32_t entry_rows_add(struct entry_rows *rows, const struct shown_entry *entry, struct buffer *out, sb_error *err)
{
	struct buffer *text = &rows->scratch;

	if (rows->aligned && !rows->headed)
		add_heading(rows);
	buffer_clear(text);
	buffer_append_text(text, entry->state->name);
	put_cell(rows, false, out);
	json_append_escaped_bytes(text, entry->key);
	put_cell(rows, false, out);
	if (rows->has_raw) {
		json_append_escaped_bytes(text, entry->sub_key);
		put_cell(rows, false, out);
	}
	show_expiry(text, entry->expiry_ms);
	put_cell(rows, false, out);
	TRY(schema_value_to_json(entry->state, entry->value, text, err));
	put_cell(rows, true, out);
	if (rows->table.cells.len >= BLOCK_BYTES)
		entry_rows_end(rows, out);
	return buffer_check(out, err);
}

void entry_rows_end(struct entry_rows *rows, struct buffer *out)
{
	table_append(&rows->table, rows->indent, out);
	table_clear(&rows->table);
}

const char *show_type_name(uint32_t type)
{
	static const char *const names[] = {
		[SB_TYPE_BOOL] = "bool",   [SB_TYPE_I64] = "i64",   [SB_TYPE_F64] = "f64",
		[SB_TYPE_TIME] = "time",   [SB_TYPE_INT] = "int",   [SB_TYPE_UINT] = "uint",
		[SB_TYPE_FLOAT] = "float", [SB_TYPE_ENUM] = "enum", [SB_TYPE_CHARS] = "chars",
		[SB_TYPE_BYTES] = "bytes",
	};

	return type < sizeof(names) / sizeof(names[0]) && names[type] ? names[type] : "?";
}

void show_size(struct buffer *out, uint64_t bytes)
{
	static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double shown = (double)bytes / 1024;
	int unit = 0;

	if (bytes < 1024) {
		buffer_printf(out, "%" PRIu64 " B", bytes);
		return;
	}
	while (shown >= 1023.95 && unit < 5) {
		shown /= 1024;
		unit++;
	}
	buffer_printf(out, "%.1f %s", shown, units[unit]);
}

void show_age(struct buffer *out, int64_t age_ms)
{
	int64_t seconds = age_ms > 0 ? age_ms / 1000 : 0;

	if (seconds < 120)
		buffer_printf(out, "%" PRId64 "s", seconds);
	else if (seconds < 120 * 60)
		buffer_printf(out, "%" PRId64 "m", seconds / 60);
	else if (seconds < 48 * 3600)
		buffer_printf(out, "%" PRId64 "h", seconds / 3600);
	else
		buffer_printf(out, "%" PRId64 "d", seconds / 86400);
}
