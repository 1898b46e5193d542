/* "sbhost checkpoint inspect": all that a checkpoint says about itself, and a census of what it holds.
 *
 * Samples are printed as they come by, counts when all has been read, so that only the counts are held: three numbers a state and one
 * a key group. In JSON the whole is one object, written in the same order. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/json_write.h"
#include "base/slice.h"
#include "checkpoint/state_digest.h"
#include "cli/checkpoint_tools.h"
#include "cli/show.h"

#define GROUPS_A_LINE 16u
#define GROUPS_SHOWN 1024u

struct state_count {
	uint64_t entries, key_bytes, value_bytes;
};

/* One operator's snapshot, or one of a backend. */
struct part {
	char *name;
	bool is_provider;
	uint64_t amount; /* bytes, or entries */
};

struct census {
	struct state_count states[SCHEMA_STATES_MAX]; /* by id */
	uint64_t *groups;
	struct part *parts;
	uint64_t part_count;
	struct state_digest digest;
	bool more_samples; /* one has been printed */
	struct entry_rows rows;
	struct buffer scratch;
};

static void census_done(struct census *census)
{
	for (uint64_t i = 0; i < census->part_count; i++)
		free(census->parts[i].name);
	free(census->parts);
	free(census->groups);
	state_digest_done(&census->digest);
	entry_rows_done(&census->rows);
	buffer_done(&census->scratch);
}

/* --- what stands in the header, as JSON ------------------------------------------------ */

static void put_partitions(struct object *object, const struct checkpoint_meta *meta)
{
	object_name(object, "partitions");
	buffer_append_byte(object->out, '[');
	for (uint64_t i = 0; i < meta->partition_count; i++) {
		const struct partition_meta *partition = &meta->partitions[i];
		struct object member;

		if (i)
			buffer_append_byte(object->out, ',');
		member = object_begin(object->out);
		object_text(&member, "name", partition->name);
		object_i64(&member, "offset", partition->offset);
		object_bool(&member, "finished", partition->finished);
		object_i64(&member, "size", partition->size);
		if (partition->watermark_ms == INT64_MIN)
			object_text(&member, "watermark_ms", NULL);
		else
			object_i64(&member, "watermark_ms", partition->watermark_ms);
		object_i64(&member, "head_bytes", partition->head_bytes);
		object_hex(&member, "head_hash", partition->head_hash);
		if (partition->generator_users) {
			object_i64(&member, "generator_users", partition->generator_users);
			object_i64(&member, "generator_count", partition->generator_count);
			object_hex(&member, "generator_seed", partition->generator_seed);
		}
		object_end(&member);
	}
	buffer_append_byte(object->out, ']');
}

static void put_outputs(struct object *object, const struct checkpoint_meta *meta)
{
	object_name(object, "outputs");
	buffer_append_byte(object->out, '[');
	for (uint64_t i = 0; i < meta->output_count; i++) {
		struct object member;

		if (i)
			buffer_append_byte(object->out, ',');
		member = object_begin(object->out);
		object_text(&member, "role", meta->outputs[i].role);
		object_text(&member, "path", meta->outputs[i].path);
		object_i64(&member, "length", meta->outputs[i].length);
		object_end(&member);
	}
	buffer_append_byte(object->out, ']');
}

static void put_files(struct object *object, const struct checkpoint_meta *meta)
{
	object_name(object, "shared_files");
	buffer_append_byte(object->out, '[');
	for (uint64_t i = 0; i < meta->file_count; i++) {
		struct object member;

		if (i)
			buffer_append_byte(object->out, ',');
		member = object_begin(object->out);
		object_text(&member, "snapshot", meta->files[i].snapshot);
		object_text(&member, "name", meta->files[i].name);
		object_i64(&member, "bytes", meta->files[i].bytes);
		object_text(&member, "sha256", meta->files[i].sha256);
		object_end(&member);
	}
	buffer_append_byte(object->out, ']');
}

static void put_header(struct object *object, const struct tool_source *source, const char *path, uint64_t file_bytes)
{
	const struct checkpoint_meta *meta = source->meta;

	object_text(object, "id", meta->id);
	show_timestamp(object, meta);
	object_text(object, "kind", checkpoint_kind_name(meta->kind));
	object_text(object, "parent", meta->parent);
	object_u64(object, "depth", meta->depth);
	object_text(object, "file", path);
	object_u64(object, "file_bytes", file_bytes);
	object_u64(object, "state_data_bytes", source->totals.state_data_bytes);
	object_text(object, "host_version", meta->host_version);
	object_text(object, "operator", meta->operator_id);
	object_text(object, "operator_version", meta->operator_version);
	object_text(object, "backend", meta->backend_id);
	object_text(object, "backend_version", meta->backend_version);
	object_u64(object, "key_groups", meta->key_groups);
	object_u64(object, "tasks", meta->tasks);
	object_text(object, "ttl_clock", meta->ttl_clock);
	object_i64(object, "cut_ms", meta->cut_ms);
	object_u64(object, "events", meta->events);
	show_offsets(object, meta);
	put_partitions(object, meta);
	put_outputs(object, meta);
	put_files(object, meta);
	object_name(object, "schema");
	schema_to_json(&meta->schema, object->out);
}

static void put_counts(struct object *object, const struct checkpoint_meta *meta, const struct census *census)
{
	struct state_count total = {0};

	object_name(object, "states");
	buffer_append_byte(object->out, '[');
	for (uint64_t i = 0; i < meta->schema.count; i++) {
		const struct state_count *count = &census->states[meta->schema.states[i].id];
		struct object member;

		if (i)
			buffer_append_byte(object->out, ',');
		member = object_begin(object->out);
		object_text(&member, "name", meta->schema.states[i].name);
		object_u64(&member, "entries", count->entries);
		object_u64(&member, "key_bytes", count->key_bytes);
		object_u64(&member, "value_bytes", count->value_bytes);
		object_end(&member);
		total.entries += count->entries;
		total.key_bytes += count->key_bytes;
		total.value_bytes += count->value_bytes;
	}
	buffer_append_byte(object->out, ']');
	object_name(object, "state_digest");
	buffer_printf(object->out, "\"%016" PRIx64 "%016" PRIx64 "\"", census->digest.sum.high, census->digest.sum.low);
	object_u64(object, "entries", total.entries);
	object_u64(object, "key_bytes", total.key_bytes);
	object_u64(object, "value_bytes", total.value_bytes);
	object_name(object, "key_group_entries");
	for (uint32_t i = 0; i < meta->key_groups; i++)
		buffer_printf(object->out, "%c%" PRIu64, i ? ',' : '[', census->groups[i]);
	buffer_append_byte(object->out, ']');
}

static void put_parts(struct object *object, const char *name, const char *amount, bool is_provider,
		      const struct census *census)
{
	bool more = false;

	object_name(object, name);
	buffer_append_byte(object->out, '[');
	for (uint64_t i = 0; i < census->part_count; i++) {
		const struct part *part = &census->parts[i];
		struct object member;

		if (part->is_provider != is_provider)
			continue;
		if (more)
			buffer_append_byte(object->out, ',');
		more = true;
		member = object_begin(object->out);
		object_text(&member, "name", part->name);
		object_u64(&member, amount, part->amount);
		object_end(&member);
	}
	buffer_append_byte(object->out, ']');
}

/* --- the same for people ---------------------------------------------------------------- */

static void append_partition_lines(const struct checkpoint_meta *meta, struct buffer *out)
{
	AUTO(table_done) struct table table = {.columns = 5, .right = 1 << 0 | 1 << 2 | 1 << 3};

	if (meta->partition_count == 0)
		return;
	table_cell(&table, "PARTITION");
	table_cell(&table, "NAME");
	table_cell(&table, "OFFSET");
	table_cell(&table, "SIZE");
	table_cell(&table, "READ");
	for (uint64_t i = 0; i < meta->partition_count; i++) {
		const struct partition_meta *partition = &meta->partitions[i];

		table_cell(&table, "%" PRIu64, i);
		table_cell(&table, "%s", partition->name);
		table_cell(&table, "%" PRId64, partition->offset);
		table_cell(&table, "%" PRId64, partition->size);
		table_cell(&table, partition->finished ? "to its end" : "so far");
	}
	buffer_append_text(out, "\ninputs\n");
	table_append(&table, "  ", out);
}

static void append_output_lines(const struct checkpoint_meta *meta, struct buffer *out)
{
	AUTO(table_done) struct table table = {.columns = 3, .right = 1 << 2};

	if (meta->output_count == 0)
		return;
	table_cell(&table, "ROLE");
	table_cell(&table, "PATH");
	table_cell(&table, "LENGTH");
	for (uint64_t i = 0; i < meta->output_count; i++) {
		table_cell(&table, "%s", meta->outputs[i].role);
		table_cell(&table, "%s", meta->outputs[i].path);
		table_cell(&table, "%" PRId64, meta->outputs[i].length);
	}
	buffer_append_text(out, "\noutputs\n");
	table_append(&table, "  ", out);
}

static void append_file_lines(const struct checkpoint_meta *meta, struct buffer *out)
{
	AUTO(table_done) struct table table = {.columns = 4, .right = 1 << 2};

	if (meta->file_count == 0)
		return;
	table_cell(&table, "SNAPSHOT");
	table_cell(&table, "FILE");
	table_cell(&table, "BYTES");
	table_cell(&table, "IN shared/");
	for (uint64_t i = 0; i < meta->file_count; i++) {
		table_cell(&table, "%s", meta->files[i].snapshot);
		table_cell(&table, "%s", meta->files[i].name);
		table_cell(&table, "%" PRId64, meta->files[i].bytes);
		table_cell(&table, "%s", meta->files[i].sha256);
	}
	buffer_append_text(out, "\nthe backend's own files\n");
	table_append(&table, "  ", out);
}

static void append_fields(const struct schema_state *state, struct buffer *out)
{
	AUTO(table_done) struct table table = {.columns = 4, .right = 1 << 0 | 1 << 1};

	for (uint64_t i = 0; i < state->field_count; i++) {
		const struct schema_field *field = &state->fields[i];

		table_cell(&table, "%u", field->offset);
		table_cell(&table, "%u", field->size);
		table_cell(&table, "%s", show_type_name(field->type));
		table_cell(&table, "%s", field->name);
	}
	table_append(&table, "    ", out);
}

static void append_schema_lines(const struct checkpoint_meta *meta, struct buffer *out)
{
	buffer_append_text(out, "\nstates (offset, bytes, type, name)\n");
	for (uint64_t i = 0; i < meta->schema.count; i++) {
		const struct schema_state *state = &meta->schema.states[i];

		buffer_printf(out, "  %s: ", state->name);
		if (state->kind == SB_STATE_STRUCT)
			buffer_printf(out, "struct of %u bytes", state->value_size);
		else
			buffer_append_text(out, "raw bytes under sub-keys");
		if (state->ttl_ms)
			buffer_printf(out, ", expires %" PRId64 " ms after the last write\n", state->ttl_ms);
		else
			buffer_append_text(out, ", never expires\n");
		append_fields(state, out);
	}
}

static void append_header_lines(struct tool *tool, const struct tool_source *source, const char *path,
				uint64_t file_bytes)
{
	const struct checkpoint_meta *meta = source->meta;
	struct buffer *out = &tool->out;

	buffer_printf(out, "%s\n  taken         ", meta->id);
	time_append_rfc3339(out, meta->timestamp_ns, 9);
	buffer_append_text(out, ", ");
	show_age(out, (clock_wall_ns(&tool->clock) - meta->timestamp_ns) / 1000000);
	buffer_printf(out, " ago\n  kind          %s", checkpoint_kind_name(meta->kind));
	if (meta->parent)
		buffer_printf(out, ", what changed since %s, and %u before it", meta->parent, meta->depth - 1);
	buffer_printf(out, "\n  file          %s, ", path);
	show_size(out, file_bytes);
	if (meta->file_count) {
		buffer_append_text(out, ", and in shared/ ");
		show_size(out, checkpoint_shared_bytes(meta));
	}
	buffer_append_byte(out, '\n');
	buffer_printf(out, "  host          %s\n", meta->host_version);
	buffer_printf(out, "  operator      %s %s\n", meta->operator_id, meta->operator_version);
	buffer_printf(out, "  backend       %s %s\n", meta->backend_id, meta->backend_version);
	buffer_printf(out, "  tasks         %u, %u key groups\n", meta->tasks, meta->key_groups);
	buffer_printf(out, "  expiry        by %s clock, which read ", meta->ttl_clock);
	if (meta->cut_ms == INT64_MIN)
		buffer_append_text(out, "nothing yet");
	else
		time_append_rfc3339_ms(out, meta->cut_ms);
	buffer_printf(out, "\n  events        %" PRIu64 "\n", meta->events);
	append_partition_lines(meta, out);
	append_output_lines(meta, out);
	append_file_lines(meta, out);
	append_schema_lines(meta, out);
}

static void append_part_lines(const struct census *census, struct buffer *out)
{
	if (census->part_count == 0)
		return;
	buffer_append_text(out, "\nparts\n");
	for (uint64_t i = 0; i < census->part_count; i++)
		buffer_printf(out, "  %s: %" PRIu64 " %s\n", census->parts[i].name, census->parts[i].amount,
			      census->parts[i].is_provider ? "bytes of the operator's own" : "entries");
}

static void append_count_lines(const struct checkpoint_meta *meta, const struct census *census, struct buffer *out)
{
	AUTO(table_done) struct table table = {.columns = 4, .right = 1 << 1 | 1 << 2 | 1 << 3};

	table_cell(&table, "STATE");
	table_cell(&table, "ENTRIES");
	table_cell(&table, "KEY BYTES");
	table_cell(&table, "VALUE BYTES");
	for (uint64_t i = 0; i < meta->schema.count; i++) {
		const struct state_count *count = &census->states[meta->schema.states[i].id];

		table_cell(&table, "%s", meta->schema.states[i].name);
		table_cell(&table, "%" PRIu64, count->entries);
		table_cell(&table, "%" PRIu64, count->key_bytes);
		table_cell(&table, "%" PRIu64, count->value_bytes);
	}
	buffer_printf(out, "\nentries (state digest %016" PRIx64 "%016" PRIx64 ")\n", census->digest.sum.high,
		      census->digest.sum.low);
	table_append(&table, "  ", out);
}

/* A grid: line 0 has groups 0 to 15, and so on. */
static void append_group_lines(const struct checkpoint_meta *meta, const struct census *census, struct buffer *out)
{
	AUTO(table_done) struct table table = {.columns = 1 + GROUPS_A_LINE, .right = UINT32_MAX};
	uint64_t least = UINT64_MAX, most = 0, empty = 0;
	uint32_t cells = (meta->key_groups + GROUPS_A_LINE - 1) / GROUPS_A_LINE * GROUPS_A_LINE;

	for (uint32_t i = 0; i < meta->key_groups; i++) {
		least = census->groups[i] < least ? census->groups[i] : least;
		most = census->groups[i] > most ? census->groups[i] : most;
		empty += census->groups[i] == 0;
	}
	buffer_printf(out, "\nentries per key group: %" PRIu64 " to %" PRIu64 ", %" PRIu64 " of %u groups empty\n",
		      least, most, empty, meta->key_groups);
	if (meta->key_groups > GROUPS_SHOWN) {
		buffer_append_text(out, "  (each of them: --json)\n");
		return;
	}
	for (uint32_t i = 0; i < cells; i++) {
		if (i % GROUPS_A_LINE == 0)
			table_cell(&table, "%u:", i);
		if (i < meta->key_groups)
			table_cell(&table, "%" PRIu64, census->groups[i]);
		else
			table_cell(&table, "%s", "");
	}
	table_append(&table, "  ", out);
}

/* --- reading ------------------------------------------------------------------------------ */

static int32_t add_part(struct census *census, const struct checkpoint_item *item, sb_error *err)
{
	struct part *grown = reallocarray(census->parts, census->part_count + 1, sizeof(*grown));
	char *name = strdup(item->name);

	if (grown)
		census->parts = grown;
	if (!grown || !name) {
		free(name);
		return error_no_memory(err);
	}
	grown[census->part_count++] =
		(struct part){.name = name, .is_provider = item->kind == ITEM_PROVIDER, .amount = item->bytes.len};
	return SB_OK;
}

static int32_t print_sample(struct tool *tool, struct census *census, const struct shown_entry *entry, sb_error *err)
{
	struct object object;

	if (!tool->json) {
		TRY(entry_rows_add(&census->rows, entry, &tool->out, err));
		return tool_print_if_full(tool, err);
	}
	if (census->more_samples)
		buffer_append_byte(&tool->out, ',');
	census->more_samples = true;
	object = object_begin(&tool->out);
	TRY(show_entry(&object, entry, err));
	object_end(&object);
	return tool_print_if_full(tool, err);
}

static int32_t count_entry(struct tool *tool, const struct tool_source *source, struct census *census,
			   const struct checkpoint_item *item, sb_error *err)
{
	struct state_count *count;
	struct shown_entry entry;

	TRY(show_item_init(&source->meta->schema, item, &census->scratch, &entry, err));
	count = &census->states[item->state_id];
	count->key_bytes += item->user_part.len;
	count->value_bytes += item->value.len;
	census->groups[item->key_group]++;
	state_digest_add(&census->digest, &(struct snapshot_entry){.state_id = item->state_id,
								   .key_group = item->key_group,
								   .user_part = item->user_part,
								   .value = item->value,
								   .expiry_ms = item->expiry_ms});
	if (census->part_count)
		census->parts[census->part_count - 1].amount++;
	return count->entries++ < tool->samples ? print_sample(tool, census, &entry, err) : SB_OK;
}

static int32_t read_all(struct tool *tool, struct tool_source *source, struct census *census, sb_error *err)
{
	struct checkpoint_item item;

	do {
		TRY(tool_source_next(tool, source, &item, err));
		if (item.kind == ITEM_PROVIDER || item.kind == ITEM_SNAPSHOT_BEGIN)
			TRY(add_part(census, &item, err));
		if (item.kind == ITEM_ENTRY)
			TRY(count_entry(tool, source, census, &item, err));
	} while (item.kind != ITEM_END);
	entry_rows_end(&census->rows, &tool->out);
	return SB_OK;
}

static int32_t inspect_text(struct tool *tool, struct tool_source *source, struct census *census, const char *path,
			    uint64_t file_bytes, sb_error *err)
{
	append_header_lines(tool, source, path, file_bytes);
	if (tool->samples)
		buffer_append_text(&tool->out, "\nsamples\n");
	TRY(read_all(tool, source, census, err));
	append_part_lines(census, &tool->out);
	append_count_lines(source->meta, census, &tool->out);
	append_group_lines(source->meta, census, &tool->out);
	return SB_OK;
}

static int32_t inspect_json(struct tool *tool, struct tool_source *source, struct census *census, const char *path,
			    uint64_t file_bytes, sb_error *err)
{
	struct object object = object_begin(&tool->out);

	put_header(&object, source, path, file_bytes);
	object_name(&object, "samples");
	buffer_append_byte(&tool->out, '[');
	TRY(read_all(tool, source, census, err));
	buffer_append_byte(&tool->out, ']');
	put_parts(&object, "providers", "bytes", true, census);
	put_parts(&object, "snapshots", "entries", false, census);
	put_counts(&object, source->meta, census);
	object_end(&object);
	buffer_append_byte(&tool->out, '\n');
	return SB_OK;
}

static int32_t inspect(struct tool *tool, struct checkpoint_store *store, struct tool_source *source, sb_error *err)
{
	AUTO(free_memory) char *path = checkpoint_store_path(store, source->meta->id);
	AUTO(census_done) struct census census = {0};
	struct stat st = {0};
	bool exists;

	census.groups = calloc(source->meta->key_groups, sizeof(*census.groups));
	if (!path || !census.groups)
		return error_no_memory(err);
	state_digest_init(&census.digest, source->meta);
	TRY(io_lstat(&tool->io, path, &st, &exists, err));
	entry_rows_init(&census.rows, &source->meta->schema, true, "  ");
	if (tool->json)
		TRY(inspect_json(tool, source, &census, path, (uint64_t)st.st_size, err));
	else
		TRY(inspect_text(tool, source, &census, path, (uint64_t)st.st_size, err));
	return buffer_check(&tool->out, err);
}

int checkpoint_inspect_command(struct tool *tool)
{
	struct checkpoint_store *store = NULL;
	struct tool_source source = {0};
	sb_error err = ERROR_INIT;
	int status = tool_open_store(tool, &store);

	if (status == EXIT_DONE)
		status = tool_source_open(tool, store, tool->words[0], &source);
	if (status == EXIT_DONE)
		status = inspect(tool, store, &source, &err) == SB_OK ? tool_print(tool)
								      : tool_fail(tool, tool_status_of(&err), &err);
	tool_source_close(&source);
	checkpoint_store_close(store);
	return status;
}
