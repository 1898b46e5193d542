/* "sbhost checkpoint export ID FILE" and "import FILE": a checkpoint read as what it holds, and written anew as a full one.
 *
 * Both write through the checkpoint writer, with all its promises (temporary, fsync, rename that replaces nothing, fsync of the
 * directory). An export is written in a directory of its own beside FILE, under the name that the writer gives it, and then
 * renamed: a crash leaves FILE whole or not there, and perhaps that directory, whose name says whose it was.
 *
 * An imported checkpoint gets a new id, above all others: the newest is what a run restores. The file's own id would lie below
 * what is there already. Everything else stays, offsets and time included.
 *
 * The checkpoints that it finds are moved to abandoned/: they are of another history, and a restore that fell back to one of them
 * would bring up a state that nobody asked for. That comes last, so that an import that fails changes nothing; one that is killed
 * in between is made good by another. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "cli/checkpoint_tools.h"
#include "cli/show.h"

struct copy {
	struct tool_source source;
	struct checkpoint_meta meta; /* of the copy; borrows all its strings from the source */
	struct checkpoint_totals totals;
	int64_t file_bytes;
	uint64_t abandoned; /* by an import */
};

static int32_t copy_items(struct tool *tool, struct tool_source *source, struct checkpoint_writer *writer,
			  sb_error *err)
{
	struct checkpoint_item item;

	do {
		TRY(tool_source_next(tool, source, &item, err));
		switch (item.kind) {
		case ITEM_PROVIDER:
			TRY(checkpoint_writer_provider(writer, item.name, item.bytes, err));
			break;
		case ITEM_SNAPSHOT_BEGIN:
			TRY(checkpoint_writer_snapshot_begin(writer, item.name, err));
			break;
		case ITEM_ENTRY:
			TRY(checkpoint_writer_entry(writer, item.state_id, item.key_group, item.user_part, item.value,
						    item.expiry_ms, err));
			break;
		case ITEM_SNAPSHOT_END:
			TRY(checkpoint_writer_snapshot_end(writer, err));
			break;
		default:
			break;
		}
	} while (item.kind != ITEM_END);
	return SB_OK;
}

/* id: of the copy. */
static int32_t write_copy(struct tool *tool, struct copy *copy, const char *dir, const char *id, sb_error *err)
{
	struct checkpoint_writer *writer;

	copy->meta = *copy->source.meta;
	copy->meta.kind = CHECKPOINT_FULL;
	copy->meta.parent = NULL;
	copy->meta.depth = 0;
	copy->meta.files = NULL;
	copy->meta.file_count = 0;
	memccpy(copy->meta.id, id, 0, sizeof(copy->meta.id));
	TRY(checkpoint_writer_begin(&tool->io, dir, &copy->meta, tool->codec, &writer, err));
	if (copy_items(tool, &copy->source, writer, err) != SB_OK) {
		checkpoint_writer_abort(writer);
		return err->code;
	}
	tool_progress(tool, "syncing", 0, 0);
	return checkpoint_writer_commit(writer, &copy->totals, &copy->file_bytes, err);
}

static int print_result(struct tool *tool, const struct copy *copy, bool exported, const char *file)
{
	struct buffer *out = &tool->out;

	if (tool->json) {
		struct object object = object_begin(out);

		object_text(&object, "id", copy->meta.id);
		object_text(&object, "source", copy->source.meta->id);
		object_text(&object, "file", file);
		object_i64(&object, "file_bytes", copy->file_bytes);
		object_u64(&object, "entries", copy->totals.entries);
		object_name(&object, "state_digest");
		buffer_printf(out, "\"%016" PRIx64 "%016" PRIx64 "\"", copy->totals.state_digest.high,
			      copy->totals.state_digest.low);
		show_offsets(&object, &copy->meta);
		if (!exported)
			object_u64(&object, "abandoned", copy->abandoned);
		object_end(&object);
		buffer_append_byte(out, '\n');
		return tool_print(tool);
	}
	if (copy->abandoned)
		tool_note(tool, "checkpoints of another history were moved to %s/abandoned: %" PRIu64,
			  tool->checkpoint_dir, copy->abandoned);
	if (exported)
		buffer_printf(out, "exported %s to %s", copy->meta.id, file);
	else
		buffer_printf(out, "imported %s as %s", file, copy->meta.id);
	buffer_printf(out, ", %" PRIu64 " entries, ", copy->totals.entries);
	show_size(out, (uint64_t)copy->file_bytes);
	buffer_append_byte(out, '\n');
	return tool_print(tool);
}

/* --- export ------------------------------------------------------------------------------ */

static int32_t check_target(struct tool *tool, const char *file, const char *id, sb_error *err)
{
	const char *slash = strrchr(file, '/');
	const char *name = slash ? slash + 1 : file;
	size_t len = strlen(name);
	struct stat st;
	bool exists;

	if (len == 0)
		return error_set(err, SB_ERR_CONFIG, "\"%s\" is no name for a file", file);
	/* Readers hold a file to the id in its name. */
	if (strncmp(name, "checkpoint-", 11) == 0 && len > 5 && strcmp(name + len - 5, ".json") == 0 &&
	    (strlen(id) != len - 5 || strncmp(name, id, len - 5) != 0))
		return error_set(err, SB_ERR_CONFIG,
				 "%s would be the name of another checkpoint than %s; choose one "
				 "that does not look like a checkpoint's",
				 file, id);
	TRY(io_lstat(&tool->io, file, &st, &exists, err));
	return exists ? error_set(err, SB_ERR_CONFIG, "%s exists, and an export replaces nothing; choose another name",
				  file)
		      : SB_OK;
}

/* The directory of a path: malloc'ed. */
static char *directory_of(const char *file)
{
	const char *slash = strrchr(file, '/');

	if (!slash)
		return strdup(".");
	return slash == file ? strdup("/") : strndup(file, (size_t)(slash - file));
}

static int32_t write_and_rename(struct tool *tool, struct copy *copy, const char *workshop, const char *file,
				sb_error *err)
{
	AUTO(free_memory) char *written = NULL;
	AUTO(free_memory) char *dir = directory_of(file);
	const char *id = copy->source.meta->id;

	if (asprintf(&written, "%s/%s.json", workshop, id) < 0)
		written = NULL;
	if (!written || !dir)
		return error_no_memory(err);
	TRY(write_copy(tool, copy, workshop, id, err));
	if (io_rename_new(&tool->io, written, file, err) != SB_OK) {
		sb_error ignored = ERROR_INIT;

		io_unlink(&tool->io, written, &ignored);
		return err->code;
	}
	return io_fsync_dir(&tool->io, dir, err);
}

static int32_t export_to(struct tool *tool, struct copy *copy, const char *file, sb_error *err)
{
	AUTO(free_memory) char *workshop = NULL;
	sb_error ignored = ERROR_INIT;
	int32_t status;

	TRY(check_target(tool, file, copy->source.meta->id, err));
	if (asprintf(&workshop, "%s.%ld.tmp", file, (long)getpid()) < 0) {
		workshop = NULL;
		return error_no_memory(err);
	}
	if (tool->io.ops->mkdir(&tool->io, workshop, 0700) != 0)
		return error_set_errno(err, errno, "cannot make %s to write in", workshop);
	status = write_and_rename(tool, copy, workshop, file, err);
	io_remove_tree(&tool->io, workshop, &ignored);
	return status;
}

int checkpoint_export_command(struct tool *tool)
{
	struct checkpoint_store *store = NULL;
	struct copy copy = {0};
	sb_error err = ERROR_INIT;
	int status = tool_open_store(tool, &store);

	if (status == EXIT_DONE)
		status = tool_source_open(tool, store, tool->words[0], &copy.source);
	if (status == EXIT_DONE)
		status = export_to(tool, &copy, tool->words[1], &err) == SB_OK
				 ? print_result(tool, &copy, true, tool->words[1])
				 : tool_fail(tool, tool_status_of(&err), &err);
	tool_source_close(&copy.source);
	checkpoint_store_close(store);
	return status;
}

/* --- import ------------------------------------------------------------------------------ */

/* The file's own digest first, so that a damaged one is refused before anything is written. */
static int32_t open_file(struct tool *tool, const char *file, struct checkpoint_reader **ret_reader, sb_error *err)
{
	struct checkpoint_reader *reader;
	int32_t status;

	TRY(checkpoint_reader_open(&tool->io, file, &reader, err));
	tool_begin_check(tool, file);
	checkpoint_reader_watch(reader, &tool->watch);
	status = checkpoint_reader_verify_digest(reader, err);
	if (status == SB_OK && checkpoint_reader_meta(reader)->kind != CHECKPOINT_FULL)
		status = error_set(
			err, SB_ERR_CONFIG,
			"%s is an incremental checkpoint, which needs other files; export it where those are, "
			"and import the export",
			file);
	if (status == SB_OK)
		*ret_reader = reader;
	else
		checkpoint_reader_close(reader);
	return status;
}

static int32_t take_up(struct tool *tool, struct checkpoint_store *store, struct copy *copy, sb_error *err)
{
	char id[CHECKPOINT_ID_BYTES];

	TRY(checkpoint_store_next_id(store, &tool->clock, id, err));
	TRY(write_copy(tool, copy, checkpoint_store_dir(store), id, err));
	if (checkpoint_store_abandon_others(store, id, &copy->abandoned, err) != SB_OK)
		return error_prefix(
			err,
			"%s was imported, but checkpoints of another history are still beside it; import again "
			"when this is mended",
			id);
	return SB_OK;
}

static int import_into(struct tool *tool, struct checkpoint_store *store, struct checkpoint_reader *reader)
{
	struct copy copy = {0};
	sb_error err = ERROR_INIT;
	int status = tool_source_open_reader(tool, store, reader, &copy.source);

	if (status == EXIT_DONE)
		status = take_up(tool, store, &copy, &err) == SB_OK ? print_result(tool, &copy, false, tool->words[0])
								    : tool_fail(tool, tool_status_of(&err), &err);
	tool_source_close(&copy.source);
	return status;
}

int checkpoint_import_command(struct tool *tool)
{
	struct checkpoint_reader *reader = NULL;
	struct checkpoint_store *store = NULL;
	sb_error err = ERROR_INIT;
	int status;

	if (open_file(tool, tool->words[0], &reader, &err) != SB_OK)
		return tool_fail(tool, err.sys_errno ? EXIT_BAD_CONFIG : tool_status_of(&err), &err);
	if (checkpoint_store_open(&tool->io, &tool->log, tool->checkpoint_dir, true, true, &store, &err) != SB_OK) {
		checkpoint_reader_close(reader);
		return tool_fail(tool, err.code == SB_ERR_BUSY ? EXIT_IN_USE : EXIT_BAD_CONFIG, &err);
	}
	status = import_into(tool, store, reader);
	checkpoint_store_close(store);
	return status;
}
