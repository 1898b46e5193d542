/* "sbhost checkpoint diff A B": what changed, key by key, field by field.
 *
 * Each side is put into the order of states and keys by an external sort (entry_sort.h), and the two are merged: memory is bounded by
 * --memory, whatever the checkpoints hold, and the result comes in an order that one can read. States are matched by name, and so are
 * fields: the two may have been written by two versions of an operator, under any backend and parallelism. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/json_write.h"
#include "base/slice.h"
#include "cli/checkpoint_tools.h"
#include "cli/entry_sort.h"
#include "cli/show.h"

enum side { SIDE_A, SIDE_B };

struct compared_state {
	const char *name;
	const struct schema_state *of[2]; /* NULL: this side has none */
	bool same_layout;
	uint64_t added, removed, changed, same;
};

struct diff {
	struct tool *tool;
	struct checkpoint_store *store;
	struct tool_source sources[2];
	struct entry_sort *sorts[2];
	struct compared_state *states; /* A's, then those that only B has */
	uint32_t state_count;
	uint32_t numbers[2][SCHEMA_STATES_MAX]; /* index into states, by the side's id */
	struct buffer old_text, new_text, scratch;
	uint64_t differences;
};

/* --- states ---------------------------------------------------------------------------- */

static bool same_field(const struct schema_field *a, const struct schema_field *b)
{
	if (strcmp(a->name, b->name) != 0 || a->type != b->type || a->offset != b->offset || a->size != b->size ||
	    a->name_count != b->name_count)
		return false;
	for (uint64_t i = 0; i < a->name_count; i++)
		if (strcmp(a->names[i], b->names[i]) != 0)
			return false;
	return true;
}

static bool same_layout(const struct schema_state *a, const struct schema_state *b)
{
	if (a->kind != b->kind || a->value_size != b->value_size || a->field_count != b->field_count)
		return false;
	for (uint64_t i = 0; i < a->field_count; i++)
		if (!same_field(&a->fields[i], &b->fields[i]))
			return false;
	return true;
}

static uint32_t number_of(struct diff *diff, const char *name)
{
	uint32_t i = 0;

	while (i < diff->state_count && strcmp(diff->states[i].name, name) != 0)
		i++;
	if (i == diff->state_count)
		diff->states[diff->state_count++] = (struct compared_state){.name = name};
	return i;
}

static int32_t match_states(struct diff *diff, sb_error *err)
{
	diff->state_count = 0;
	diff->states = calloc(2 * SCHEMA_STATES_MAX, sizeof(*diff->states));
	if (!diff->states)
		return error_no_memory(err);
	for (int side = SIDE_A; side <= SIDE_B; side++) {
		const struct schema *schema = &diff->sources[side].meta->schema;

		for (uint64_t i = 0; i < schema->count; i++) {
			uint32_t number = number_of(diff, schema->states[i].name);

			diff->states[number].of[side] = &schema->states[i];
			diff->numbers[side][schema->states[i].id] = number;
		}
	}
	for (uint32_t i = 0; i < diff->state_count; i++) {
		struct compared_state *state = &diff->states[i];

		state->same_layout =
			state->of[SIDE_A] && state->of[SIDE_B] && same_layout(state->of[SIDE_A], state->of[SIDE_B]);
	}
	return SB_OK;
}

/* A name that neither knows is a slip; one that only one of them knows is a difference. */
static int32_t check_state_name(struct diff *diff, sb_error *err)
{
	const struct schema_state *found;
	sb_error ignored = ERROR_INIT;

	if (tool_find_state(diff->tool, diff->sources[SIDE_B].meta, &found, &ignored) == SB_OK)
		return SB_OK;
	return tool_find_state(diff->tool, diff->sources[SIDE_A].meta, &found, err);
}

/* --- showing ----------------------------------------------------------------------------- */

static int32_t entry_of(struct diff *diff, enum side side, const struct sorted_entry *sorted,
			struct shown_entry *ret_entry, sb_error *err)
{
	const struct schema_state *state = diff->states[sorted->state].of[side];

	return show_entry_init(&diff->sources[side].meta->schema, state->id, sorted->user_part, sorted->value,
			       sorted->expiry_ms, &diff->scratch, ret_entry, err);
}

static int32_t end_line(struct diff *diff, sb_error *err)
{
	buffer_append_byte(&diff->tool->out, '\n');
	diff->differences++;
	TRY(buffer_check(&diff->tool->out, err));
	return tool_print_if_full(diff->tool, err);
}

/* An entry that only one side has. */
static int32_t show_single(struct diff *diff, enum side side, const struct sorted_entry *sorted, sb_error *err)
{
	struct buffer *out = &diff->tool->out;
	struct shown_entry entry;

	TRY(entry_of(diff, side, sorted, &entry, err));
	if (diff->tool->json) {
		struct object object = object_begin(out);

		object_text(&object, "change", side == SIDE_A ? "removed" : "added");
		TRY(show_entry(&object, &entry, err));
		object_end(&object);
	} else {
		buffer_printf(out, "%c %s  ", side == SIDE_A ? '-' : '+', entry.state->name);
		show_key_text(out, &entry);
		buffer_append_text(out, "  ");
		TRY(schema_value_to_json(entry.state, entry.value, out, err));
		buffer_append_text(out, "  expires ");
		show_expiry(out, entry.expiry_ms);
	}
	return end_line(diff, err);
}

/* How a changed entry is written: in JSON the differing fields are members of "fields", for people they follow each other. */
struct change {
	struct diff *diff;
	struct object object, fields;
	bool any; /* something was written about it */
	bool in_fields;
};

static void begin_change(struct change *change, const struct shown_entry *entry)
{
	struct buffer *out = &change->diff->tool->out;

	if (change->any)
		return;
	change->any = true;
	if (change->diff->tool->json) {
		change->object = object_begin(out);
		object_text(&change->object, "change", "changed");
		show_keys(&change->object, entry);
	} else {
		buffer_printf(out, "~ %s  ", entry->state->name);
		show_key_text(out, entry);
	}
}

/* old_text and new_text hold the two values; an empty one: not there. */
static void add_change(struct change *change, const char *name, bool is_field)
{
	const struct diff *diff = change->diff;
	struct buffer *out = &diff->tool->out;
	struct object *object = &change->object;
	const struct buffer *texts[] = {&diff->old_text, &diff->new_text};
	struct object values;

	out->failed |= diff->old_text.failed || diff->new_text.failed;
	if (!diff->tool->json) {
		buffer_printf(out, "  %s ", name);
		for (int side = SIDE_A; side <= SIDE_B; side++) {
			buffer_append_text(out, side == SIDE_B ? " -> " : "");
			buffer_append_slice(out,
					    texts[side]->len ? buffer_slice(texts[side]) : slice_of_text("(none)"));
		}
		return;
	}
	if (is_field && !change->in_fields) {
		change->in_fields = true;
		object_name(object, "fields");
		change->fields = object_begin(out);
	}
	object_name(is_field ? &change->fields : object, name);
	values = object_begin(out);
	for (int side = SIDE_A; side <= SIDE_B; side++) {
		object_name(&values, side == SIDE_A ? "old" : "new");
		buffer_append_slice(out, texts[side]->len ? buffer_slice(texts[side]) : slice_of_text("null"));
	}
	object_end(&values);
}

static const struct schema_field *find_field(const struct schema_state *state, const char *name)
{
	for (uint64_t i = 0; i < state->field_count; i++)
		if (strcmp(state->fields[i].name, name) == 0)
			return &state->fields[i];
	return NULL;
}

/* One field's value: what a state of that field alone prints, {"name":value}, without the rest. */
static int32_t field_text(const struct schema_state *state, const struct schema_field *field, sb_slice value,
			  struct buffer *out, sb_error *err)
{
	AUTO(buffer_done) struct buffer name = BUFFER_INIT;
	AUTO(buffer_done) struct buffer text = BUFFER_INIT;
	struct schema_state alone;

	buffer_clear(out);
	if (!field)
		return SB_OK;
	json_append_string(&name, slice_of_text(field->name));
	alone = *state;
	alone.fields = (struct schema_field *)field;
	alone.field_count = 1;
	TRY(schema_value_to_json(&alone, value, &text, err));
	buffer_append(out, text.data + name.len + 2, text.len - name.len - 3);
	out->failed |= name.failed;
	return buffer_check(out, err);
}

static int32_t compare_field(struct change *change, const char *name, const struct shown_entry *old_entry,
			     const struct shown_entry *new_entry, sb_error *err)
{
	struct diff *diff = change->diff;
	struct buffer *old_text = &diff->old_text, *new_text = &diff->new_text;

	TRY(field_text(old_entry->state, find_field(old_entry->state, name), old_entry->value, old_text, err));
	TRY(field_text(new_entry->state, find_field(new_entry->state, name), new_entry->value, new_text, err));
	if (slice_equal(buffer_slice(old_text), buffer_slice(new_text)))
		return SB_OK;
	begin_change(change, new_entry);
	add_change(change, name, true);
	return SB_OK;
}

static int32_t compare_fields(struct change *change, const struct shown_entry *old_entry,
			      const struct shown_entry *new_entry, sb_error *err)
{
	for (uint64_t i = 0; i < new_entry->state->field_count; i++)
		TRY(compare_field(change, new_entry->state->fields[i].name, old_entry, new_entry, err));
	for (uint64_t i = 0; i < old_entry->state->field_count; i++)
		if (!find_field(new_entry->state, old_entry->state->fields[i].name))
			TRY(compare_field(change, old_entry->state->fields[i].name, old_entry, new_entry, err));
	if (change->in_fields)
		object_end(&change->fields);
	return SB_OK;
}

static int32_t compare_whole(struct change *change, const struct shown_entry *old_entry,
			     const struct shown_entry *new_entry, sb_error *err)
{
	struct diff *diff = change->diff;

	buffer_clear(&diff->old_text);
	buffer_clear(&diff->new_text);
	TRY(schema_value_to_json(old_entry->state, old_entry->value, &diff->old_text, err));
	TRY(schema_value_to_json(new_entry->state, new_entry->value, &diff->new_text, err));
	begin_change(change, new_entry);
	add_change(change, "value", false);
	return SB_OK;
}

static void compare_expiry(struct change *change, const struct shown_entry *old_entry,
			   const struct shown_entry *new_entry)
{
	struct diff *diff = change->diff;
	const bool json = diff->tool->json;

	if (old_entry->expiry_ms == new_entry->expiry_ms)
		return;
	buffer_clear(&diff->old_text);
	buffer_clear(&diff->new_text);
	(json ? show_expiry_ms : show_expiry)(&diff->old_text, old_entry->expiry_ms);
	(json ? show_expiry_ms : show_expiry)(&diff->new_text, new_entry->expiry_ms);
	begin_change(change, new_entry);
	add_change(change, json ? "expiry_ms" : "expires", false);
}

/* The two sides' entries of one key. Bytes between the fields do not count. */
static int32_t compare_values(struct diff *diff, const struct sorted_entry *a, const struct sorted_entry *b,
			      sb_error *err)
{
	struct compared_state *state = &diff->states[b->state];
	struct change change = {.diff = diff};
	struct shown_entry old_entry, new_entry;

	if (state->same_layout && a->expiry_ms == b->expiry_ms && slice_equal(a->value, b->value)) {
		state->same++;
		return SB_OK;
	}
	TRY(entry_of(diff, SIDE_A, a, &old_entry, err));
	TRY(entry_of(diff, SIDE_B, b, &new_entry, err)); /* the key is the same, so sharing its buffer does no harm */
	if (old_entry.state->kind == SB_STATE_STRUCT && new_entry.state->kind == SB_STATE_STRUCT)
		TRY(compare_fields(&change, &old_entry, &new_entry, err));
	else if (old_entry.state->kind != new_entry.state->kind || !slice_equal(a->value, b->value))
		TRY(compare_whole(&change, &old_entry, &new_entry, err));
	compare_expiry(&change, &old_entry, &new_entry);
	if (!change.any) {
		state->same++;
		return SB_OK;
	}
	state->changed++;
	if (diff->tool->json)
		object_end(&change.object);
	return end_line(diff, err);
}

/* --- reading, merging, summing up ---------------------------------------------------------- */

static int32_t sort_side(struct diff *diff, enum side side, sb_error *err)
{
	struct tool *tool = diff->tool;
	struct checkpoint_item item;

	TRY(entry_sort_new(&tool->io, (size_t)tool->memory_bytes / 2, &diff->sorts[side], err));
	do {
		TRY(tool_source_next(tool, &diff->sources[side], &item, err));
		if (item.kind == ITEM_ENTRY) {
			const struct sorted_entry entry = {.state = diff->numbers[side][item.state_id],
							   .user_part = item.user_part,
							   .value = item.value,
							   .expiry_ms = item.expiry_ms};

			if (!tool->state || strcmp(diff->states[entry.state].name, tool->state) == 0)
				TRY(entry_sort_add(diff->sorts[side], &entry, err));
		}
	} while (item.kind != ITEM_END);
	return entry_sort_finish(diff->sorts[side], err);
}

static int32_t merge(struct diff *diff, sb_error *err)
{
	struct sorted_entry a, b;
	bool has_a, has_b;

	TRY(entry_sort_next(diff->sorts[SIDE_A], &a, &has_a, err));
	TRY(entry_sort_next(diff->sorts[SIDE_B], &b, &has_b, err));
	while (has_a || has_b) {
		int order = !has_a ? 1 : !has_b ? -1 : entry_compare(&a, &b);

		if (order < 0) {
			diff->states[a.state].removed++;
			TRY(show_single(diff, SIDE_A, &a, err));
		} else if (order > 0) {
			diff->states[b.state].added++;
			TRY(show_single(diff, SIDE_B, &b, err));
		} else {
			TRY(compare_values(diff, &a, &b, err));
		}
		if (order <= 0)
			TRY(entry_sort_next(diff->sorts[SIDE_A], &a, &has_a, err));
		if (order >= 0)
			TRY(entry_sort_next(diff->sorts[SIDE_B], &b, &has_b, err));
	}
	return SB_OK;
}

static void sum_up_json(struct diff *diff)
{
	struct buffer *out = &diff->tool->out;
	struct object object = object_begin(out);

	object_text(&object, "change", "summary");
	object_text(&object, "a", diff->sources[SIDE_A].meta->id);
	object_text(&object, "b", diff->sources[SIDE_B].meta->id);
	object_u64(&object, "differences", diff->differences);
	object_name(&object, "states");
	buffer_append_byte(out, '[');
	for (uint32_t i = 0; i < diff->state_count; i++) {
		const struct compared_state *state = &diff->states[i];
		struct object member;

		if (i)
			buffer_append_byte(out, ',');
		member = object_begin(out);
		object_text(&member, "state", state->name);
		object_u64(&member, "added", state->added);
		object_u64(&member, "removed", state->removed);
		object_u64(&member, "changed", state->changed);
		object_u64(&member, "same", state->same);
		object_end(&member);
	}
	buffer_append_byte(out, ']');
	object_end(&object);
	buffer_append_byte(out, '\n');
}

static void sum_up_text(struct diff *diff)
{
	AUTO(table_done) struct table table = {.columns = 5, .right = 0x1e};

	table_cell(&table, "STATE");
	table_cell(&table, "ADDED");
	table_cell(&table, "REMOVED");
	table_cell(&table, "CHANGED");
	table_cell(&table, "SAME");
	for (uint32_t i = 0; i < diff->state_count; i++) {
		const struct compared_state *state = &diff->states[i];

		table_cell(&table, "%s", state->name);
		table_cell(&table, "%" PRIu64, state->added);
		table_cell(&table, "%" PRIu64, state->removed);
		table_cell(&table, "%" PRIu64, state->changed);
		table_cell(&table, "%" PRIu64, state->same);
	}
	if (diff->differences)
		buffer_append_byte(&diff->tool->out, '\n');
	table_append(&table, "", &diff->tool->out);
}

static void append_heading(struct diff *diff, enum side side)
{
	const struct checkpoint_meta *meta = diff->sources[side].meta;
	struct buffer *out = &diff->tool->out;

	buffer_printf(out, "%s %s  ", side == SIDE_A ? "---" : "+++", meta->id);
	time_append_rfc3339(out, meta->timestamp_ns, 3);
	buffer_printf(out, ", %" PRIu64 " events\n", meta->events);
}

static int32_t compare(struct diff *diff, sb_error *err)
{
	TRY(check_state_name(diff, err));
	TRY(match_states(diff, err));
	TRY(sort_side(diff, SIDE_A, err));
	TRY(sort_side(diff, SIDE_B, err));
	if (!diff->tool->json)
		for (int side = SIDE_A; side <= SIDE_B; side++)
			append_heading(diff, (enum side)side);
	TRY(merge(diff, err));
	if (diff->tool->json)
		sum_up_json(diff);
	else
		sum_up_text(diff);
	return buffer_check(&diff->tool->out, err);
}

static int run(struct diff *diff)
{
	struct tool *tool = diff->tool;
	sb_error err = ERROR_INIT;
	int status = tool_open_store(tool, &diff->store);

	for (int side = SIDE_A; status == EXIT_DONE && side <= SIDE_B; side++)
		status = tool_source_open(tool, diff->store, tool->words[side], &diff->sources[side]);
	if (status != EXIT_DONE)
		return status;
	if (compare(diff, &err) != SB_OK)
		return tool_fail(tool, tool_status_of(&err), &err);
	status = tool_print(tool);
	return status == EXIT_DONE && tool->exit_code && diff->differences ? EXIT_RUN_FAILED : status;
}

int checkpoint_diff_command(struct tool *tool)
{
	struct diff *diff = calloc(1, sizeof(*diff));
	sb_error err = ERROR_INIT;
	int status;

	if (!diff) {
		error_no_memory(&err);
		return tool_fail(tool, EXIT_RUN_FAILED, &err);
	}
	diff->tool = tool;
	status = run(diff);
	for (int side = SIDE_A; side <= SIDE_B; side++) {
		entry_sort_free(diff->sorts[side]);
		tool_source_close(&diff->sources[side]);
	}
	buffer_done(&diff->old_text);
	buffer_done(&diff->new_text);
	buffer_done(&diff->scratch);
	free(diff->states);
	checkpoint_store_close(diff->store);
	free(diff);
	return status;
}
