/* "sbhost checkpoint prune": the collection that a job does after each checkpoint, by hand, with a reason for every file. The rule,
 * the reasons and the removal are the store's (checkpoint/sweep.h); here they are told.
 *
 * Before a checkpoint is removed, one of those that are to stay must be good from the first byte to the last: with a newest one
 * that is damaged behind a good head, the only good one could be among the old. */
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/table.h"
#include "checkpoint/sweep.h"
#include "cli/checkpoint_tools.h"

/* --- telling --------------------------------------------------------------------------------- */

static const char *fate_of(const struct tool *tool, const struct sweep_file *file)
{
	if (tool->dry_run)
		return file->stays ? "stays" : "goes";
	return file->removed ? "removed" : "stays";
}

static void tell(struct tool *tool, const struct sweep_file *file, struct table *table)
{
	const bool failed = !tool->dry_run && !file->stays && !file->removed;
	const char *why = failed ? "could not be removed, or is needed by one that could not" : file->why;

	if (tool->json) {
		struct object object = object_begin(&tool->out);

		object_text(&object, "file", file->name);
		object_text(&object, "fate", fate_of(tool, file));
		object_text(&object, "why", why);
		object_end(&object);
		buffer_append_byte(&tool->out, '\n');
	} else {
		table_cell(table, "%s", fate_of(tool, file));
		table_cell(table, "%s", file->name);
		table_cell(table, "%s", why);
	}
}

static int32_t tell_all(struct tool *tool, const struct sweep_plan *plan, sb_error *err)
{
	struct table table = {.columns = 3};

	for (uint64_t i = 0; i < plan->count; i++)
		tell(tool, &plan->files[i], &table);
	table_append(&table, "", &tool->out);
	table_done(&table);
	return buffer_check(&tool->out, err);
}

/* --- doing ------------------------------------------------------------------------------------ */

static bool removes_checkpoints(const struct sweep_plan *plan)
{
	for (uint64_t i = 0; i < plan->count; i++)
		if (plan->files[i].id[0] && !plan->files[i].stays)
			return true;
	return false;
}

static int32_t check_that_one_is_good(struct tool *tool, struct checkpoint_store *store, const struct sweep_plan *plan,
				      sb_error *err)
{
	if (!removes_checkpoints(plan))
		return SB_OK;
	for (uint64_t i = 0; i < plan->count; i++) {
		const struct sweep_file *file = &plan->files[i];
		sb_error problem = ERROR_INIT;

		if (!file->id[0] || !file->stays)
			continue;
		tool_begin_check(tool, file->id);
		if (checkpoint_store_verify(store, file->id, &problem) == SB_OK)
			return SB_OK;
	}
	return error_set(
		err, SB_ERR_NOT_FOUND,
		"none of the checkpoints that would stay in %s is good, so no checkpoint is removed: see sbhost "
		"checkpoint verify --all",
		tool->checkpoint_dir);
}

static int32_t check_and_remove(struct tool *tool, struct checkpoint_store *store, struct sweep_plan *plan,
				sb_error *err)
{
	uint64_t removed;

	TRY(check_that_one_is_good(tool, store, plan, err));
	return tool->dry_run ? SB_OK : sweep_execute(store, plan, &removed, err);
}

static int32_t prune(struct tool *tool, struct checkpoint_store *store, sb_error *err)
{
	struct sweep_plan plan = {0};
	int32_t status;

	TRY(sweep_plan_make(store, tool->keep, true, &plan, err));
	status = check_and_remove(tool, store, &plan, err);
	if (status == SB_OK)
		status = tell_all(tool, &plan, err);
	sweep_plan_done(&plan);
	return status;
}

int checkpoint_prune_command(struct tool *tool)
{
	struct checkpoint_store *store;
	sb_error err = ERROR_INIT;
	int status = tool_open_store(tool, &store);

	if (status != EXIT_DONE)
		return status;
	if ((!tool->dry_run && checkpoint_store_lock(store, &err) != SB_OK) || prune(tool, store, &err) != SB_OK)
		status = tool_fail(tool, tool_status_of(&err), &err);
	checkpoint_store_close(store);
	return status == EXIT_DONE ? tool_print(tool) : status;
}
