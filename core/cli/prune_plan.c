/* See prune_plan.h. */
#include "cli/prune_plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"

#define HASH_BYTES (CHECKPOINT_SHA256_HEX + 1)

/* A file in shared/ and one that names it. */
struct used_file {
	char sha256[HASH_BYTES];
	char user[PRUNE_WHY_BYTES / 2];
};

void prune_plan_done(struct prune_plan *plan)
{
	checks_close(&plan->checks);
	free(plan->checkpoints);
	free(plan->used);
}

static void say(struct planned *fate, bool stays, const char *why, const char *detail)
{
	fate->stays = stays;
	snprintf(fate->why, sizeof(fate->why), "%s%s", why, detail);
}

/* The ancestors of user, of which the first is called parent. */
static void keep_chain(struct prune_plan *plan, const char *parent, const char *user)
{
	while (*parent) {
		uint64_t i = checks_find(&plan->checks, parent);

		if (i == UINT64_MAX || plan->checkpoints[i].stays)
			return;
		say(&plan->checkpoints[i], true, "needed by ", user);
		parent = plan->checks.checked[i].parent;
	}
}

static void plan_checkpoints(struct prune_plan *plan, uint64_t keep)
{
	uint64_t kept = 0;

	for (uint64_t i = 0; i < plan->checks.count; i++) {
		struct planned *fate = &plan->checkpoints[i];
		sb_error problem = ERROR_INIT;
		uint64_t links;
		const bool good = checks_form(&plan->checks, i, &links, &problem) == SB_OK;

		if (kept >= keep)
			say(fate, false, "older than those that are kept", "");
		else if (!good)
			say(fate, true, "cannot be restored, and is newer than some that are kept", "");
		else
			say(fate, true, kept ? "among the newest that are kept" : "the newest", "");
		kept += good;
	}
	for (uint64_t i = 0; i < plan->checks.count; i++)
		if (plan->checkpoints[i].stays)
			keep_chain(plan, plan->checks.checked[i].parent, plan->checks.refs[i].id);
}

static int32_t note_files(struct prune_plan *plan, const struct checkpoint_meta *meta, const char *user, sb_error *err)
{
	struct used_file *grown;

	if (meta->file_count == 0)
		return SB_OK;
	grown = reallocarray(plan->used, plan->used_count + meta->file_count, sizeof(*grown));
	if (!grown)
		return error_no_memory(err);
	plan->used = grown;
	for (uint64_t i = 0; i < meta->file_count; i++) {
		struct used_file *used = &grown[plan->used_count++];

		memcpy(used->sha256, meta->files[i].sha256, sizeof(used->sha256));
		snprintf(used->user, sizeof(used->user), "%s", user);
	}
	return SB_OK;
}

/* One that cannot be read names nothing. */
static int32_t note_checkpoint(struct prune_plan *plan, const char *name, const char *user, bool keeps_parents,
			       sb_error *err)
{
	AUTO(free_memory) char *path = NULL;
	struct checkpoint_reader *reader;
	sb_error ignored = ERROR_INIT;
	int32_t status;

	if (asprintf(&path, "%s/%s", checkpoint_store_dir(plan->checks.store), name) < 0) {
		path = NULL;
		return error_no_memory(err);
	}
	if (checkpoint_reader_open(&plan->checks.tool->io, path, &reader, &ignored) != SB_OK)
		return SB_OK;
	if (keeps_parents && checkpoint_reader_meta(reader)->parent)
		keep_chain(plan, checkpoint_reader_meta(reader)->parent, user);
	status = note_files(plan, checkpoint_reader_meta(reader), user, err);
	checkpoint_reader_close(reader);
	return status;
}

static int32_t note_folder(struct prune_plan *plan, const char *folder, bool keeps_parents, sb_error *err)
{
	AUTO(buffer_done) struct buffer names = BUFFER_INIT;
	AUTO(free_memory) char *path = NULL;
	uint64_t count;
	int32_t status;

	if (asprintf(&path, "%s/%s", checkpoint_store_dir(plan->checks.store), folder) < 0) {
		path = NULL;
		return error_no_memory(err);
	}
	status = io_list(&plan->checks.tool->io, path, &names, &count, err);
	if (status == SB_ERR_NOT_FOUND)
		return SB_OK;
	TRY(status);
	for (size_t i = 0; i < names.len; i += strlen((char *)names.data + i) + 1) {
		char name[PRUNE_WHY_BYTES / 2];

		snprintf(name, sizeof(name), "%s/%s", folder, (char *)names.data + i);
		TRY(note_checkpoint(plan, name, name, keeps_parents, err));
	}
	return SB_OK;
}

static int compare_used(const void *a, const void *b)
{
	return strcmp(((const struct used_file *)a)->sha256, ((const struct used_file *)b)->sha256);
}

static int32_t make(struct prune_plan *plan, sb_error *err)
{
	struct checks *checks = &plan->checks;

	plan->checkpoints = calloc(checks->count + 1, sizeof(*plan->checkpoints));
	if (!plan->checkpoints)
		return error_no_memory(err);
	plan_checkpoints(plan, checks->tool->keep);
	TRY(note_folder(plan, "abandoned", true, err));
	TRY(note_folder(plan, "quarantine", false, err));
	for (uint64_t i = 0; i < checks->count; i++) {
		char name[CHECKPOINT_ID_BYTES + sizeof(".json")];

		plan->removes |= !plan->checkpoints[i].stays;
		snprintf(name, sizeof(name), "%s.json", checks->refs[i].id);
		if (plan->checkpoints[i].stays)
			TRY(note_checkpoint(plan, name, checks->refs[i].id, false, err));
	}
	if (plan->used_count)
		qsort(plan->used, plan->used_count, sizeof(*plan->used), compare_used);
	return SB_OK;
}

int32_t prune_plan_make(struct tool *tool, struct checkpoint_store *store, struct prune_plan *ret_plan, sb_error *err)
{
	struct prune_plan plan = {0};
	int32_t status;

	TRY(checks_open(tool, store, &plan.checks, err));
	status = make(&plan, err);
	if (status == SB_OK)
		*ret_plan = plan;
	else
		prune_plan_done(&plan);
	return status;
}

static bool starts_with(const char *text, const char *start)
{
	return strncmp(text, start, strlen(start)) == 0;
}

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), end_len = strlen(end);

	return len >= end_len && strcmp(text + len - end_len, end) == 0;
}

static void decide_shared(const struct prune_plan *plan, const char *name, struct planned *ret_fate)
{
	struct used_file key = {.sha256 = ""};
	const struct used_file *used = NULL;

	if (starts_with(name, "tmp-")) {
		say(ret_fate, false, "left by an interrupted checkpoint", "");
		return;
	}
	if (strlen(name) != CHECKPOINT_SHA256_HEX) {
		say(ret_fate, true, "no file of ours", "");
		return;
	}
	memcpy(key.sha256, name, CHECKPOINT_SHA256_HEX);
	if (plan->used_count)
		used = bsearch(&key, plan->used, plan->used_count, sizeof(key), compare_used);
	if (used)
		say(ret_fate, true, "used by ", used->user);
	else
		say(ret_fate, false, "used by none that is kept", "");
}

void prune_plan_decide(const struct prune_plan *plan, const char *name, struct planned *ret_fate)
{
	const size_t len = strlen(name);
	char id[CHECKPOINT_ID_BYTES] = "";
	uint64_t i = UINT64_MAX;

	if (ends_with(name, ".json") && len - 5 < sizeof(id)) {
		memcpy(id, name, len - 5);
		i = checks_find(&plan->checks, id);
	}
	if (i != UINT64_MAX)
		*ret_fate = plan->checkpoints[i];
	else if (strcmp(name, "LOCK") == 0)
		say(ret_fate, true, "the lock of the job", "");
	else if (starts_with(name, "shared/"))
		decide_shared(plan, name + 7, ret_fate);
	else if (starts_with(name, "quarantine/"))
		say(ret_fate, true, "was damaged; put aside for people to look at", "");
	else if (starts_with(name, "abandoned/"))
		say(ret_fate, true, "of a history that was left; put aside for people to look at", "");
	else if (starts_with(name, "tmp-") || (starts_with(name, "checkpoint-") && ends_with(name, ".json.tmp")))
		say(ret_fate, false, "left by something that was interrupted", "");
	else
		say(ret_fate, true, "no file of ours", "");
}
