/* "sbhost checkpoint prune": the collection that a job does after each checkpoint, by hand, with a reason for every file.
 *
 * The store removes, and what is told is what it did: names are noted before and looked for afterwards; the reasons are
 * the plan's. Before a checkpoint is removed, one of those that are to stay must be good from the first byte to the last: with a newest one
 * that is damaged behind a good head, the only good one could be among the old. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/table.h"
#include "cli/prune_plan.h"

struct prune {
	struct tool *tool;
	struct prune_plan plan;
	struct buffer names; /* below the checkpoint directory, each ended by a NUL */
	struct table table;
};

/* --- listing ------------------------------------------------------------------------------- */

static bool is_folder(const char *name)
{
	return strcmp(name, "shared") == 0 || strcmp(name, "quarantine") == 0 || strcmp(name, "abandoned") == 0;
}

static char *path_of(const struct prune *prune, const char *name)
{
	char *path;

	return asprintf(&path, "%s/%s", prune->tool->checkpoint_dir, name) < 0 ? NULL : path;
}

/* folder: "" for the directory itself, else with a slash at its end. */
static int32_t list_folder(struct prune *prune, const char *folder, sb_error *err)
{
	AUTO(buffer_done) struct buffer names = BUFFER_INIT;
	AUTO(free_memory) char *path = path_of(prune, folder);
	uint64_t count;
	int32_t status;

	if (!path)
		return error_no_memory(err);
	status = io_list(&prune->tool->io, path, &names, &count, err);
	if (status == SB_ERR_NOT_FOUND && *folder)
		return SB_OK;
	TRY(status);
	for (size_t i = 0; i < names.len; i += strlen((char *)names.data + i) + 1) {
		const char *name = (char *)names.data + i;

		if (!*folder && is_folder(name))
			continue;
		buffer_append_text(&prune->names, folder);
		buffer_append(&prune->names, name, strlen(name) + 1);
	}
	return buffer_check(&prune->names, err);
}

static int32_t list_files(struct prune *prune, sb_error *err)
{
	TRY(list_folder(prune, "", err));
	TRY(list_folder(prune, "shared/", err));
	TRY(list_folder(prune, "quarantine/", err));
	return list_folder(prune, "abandoned/", err);
}

/* --- telling --------------------------------------------------------------------------------- */

static int32_t tell(struct prune *prune, const char *name, sb_error *err)
{
	AUTO(free_memory) char *path = path_of(prune, name);
	struct tool *tool = prune->tool;
	struct planned fate;
	const char *word;
	struct stat st;
	bool there;

	if (!path)
		return error_no_memory(err);
	TRY(io_lstat(&tool->io, path, &st, &there, err));
	prune_plan_decide(&prune->plan, name, &fate);
	if (tool->dry_run)
		word = fate.stays ? "stays" : "goes";
	else
		word = there ? "stays" : "removed";
	if (!tool->dry_run && there && !fate.stays)
		snprintf(fate.why, sizeof(fate.why), "could not be removed, or is in use");
	if (tool->json) {
		struct object object = object_begin(&tool->out);

		object_text(&object, "file", name);
		object_text(&object, "fate", word);
		object_text(&object, "why", fate.why);
		object_end(&object);
		buffer_append_byte(&tool->out, '\n');
	} else {
		table_cell(&prune->table, "%s", word);
		table_cell(&prune->table, "%s", name);
		table_cell(&prune->table, "%s", fate.why);
	}
	return SB_OK;
}

static int32_t tell_all(struct prune *prune, sb_error *err)
{
	const struct buffer *names = &prune->names;

	for (size_t i = 0; i < names->len; i += strlen((char *)names->data + i) + 1)
		TRY(tell(prune, (char *)names->data + i, err));
	table_append(&prune->table, "", &prune->tool->out);
	return buffer_check(&prune->tool->out, err);
}

/* --- doing ------------------------------------------------------------------------------------ */

static int32_t check_that_one_is_good(struct prune *prune, sb_error *err)
{
	struct checks *checks = &prune->plan.checks;

	if (!prune->plan.removes)
		return SB_OK;
	for (uint64_t i = 0; i < checks->count; i++) {
		sb_error problem = ERROR_INIT;
		uint64_t links;

		if (prune->plan.checkpoints[i].stays && checks_whole(checks, i, &links, &problem) == SB_OK)
			return SB_OK;
	}
	return error_set(
		err, SB_ERR_NOT_FOUND,
		"none of the checkpoints that would stay in %s is good, so no checkpoint is removed: see sbhost "
		"checkpoint verify --all",
		prune->tool->checkpoint_dir);
}

static int32_t decide_and_collect(struct prune *prune, struct checkpoint_store *store, sb_error *err)
{
	uint64_t removed;

	TRY(prune_plan_make(prune->tool, store, &prune->plan, err));
	TRY(check_that_one_is_good(prune, err));
	if (!prune->tool->dry_run)
		TRY(checkpoint_store_collect(store, prune->tool->keep, &removed, err));
	return tell_all(prune, err);
}

/* What lies there is noted before the lock is taken, because with it the store removes what crashes left; what is to
 * become of it is decided behind the lock. */
static int run(struct prune *prune)
{
	struct tool *tool = prune->tool;
	struct checkpoint_store *store;
	sb_error err = ERROR_INIT;
	int status = tool_open_store(tool, &store);

	if (status != EXIT_DONE)
		return status;
	if (list_files(prune, &err) != SB_OK)
		status = tool_fail(tool, EXIT_RUN_FAILED, &err);
	if (!tool->dry_run) {
		checkpoint_store_close(TAKE(store));
		if (status == EXIT_DONE && checkpoint_store_open(&tool->io, &tool->log, tool->checkpoint_dir, false,
								 true, &store, &err) != SB_OK)
			status = tool_fail(tool, tool_status_of(&err), &err);
	}
	if (status == EXIT_DONE && decide_and_collect(prune, store, &err) != SB_OK)
		status = tool_fail(tool, tool_status_of(&err), &err);
	checkpoint_store_close(store);
	return status == EXIT_DONE ? tool_print(tool) : status;
}

int checkpoint_prune_command(struct tool *tool)
{
	struct prune prune = {.tool = tool, .table = {.columns = 3}};
	int status = run(&prune);

	prune_plan_done(&prune.plan);
	buffer_done(&prune.names);
	table_done(&prune.table);
	return status;
}
