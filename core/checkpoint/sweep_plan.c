/* The rule itself: see sweep.h. Heads are read only where something depends on them: when there are more checkpoints than are kept,
 * or files in shared/. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "checkpoint/checkpoint_private.h"
#include "checkpoint/heads.h"
#include "checkpoint/store_private.h"
#include "checkpoint/sweep.h"

#define READING_PREFIX CHECKPOINT_TMP_PREFIX "read-"
#define USER_BYTES (SWEEP_WHY_BYTES / 2)

/* A file in shared/ and one that names it. */
struct used_file {
	char sha256[CHECKPOINT_SHA256_HEX + 1];
	char user[USER_BYTES];
};

struct planning {
	struct checkpoint_store *store;
	struct sweep_plan plan; /* its first heads.count files are those of heads.refs */
	struct checkpoint_heads heads;
	struct used_file *used;
	uint64_t used_count, used_cap;
	uint64_t keep;
	bool nobody_writes;
};

static void say(struct sweep_file *file, bool stays, const char *why, const char *detail)
{
	file->stays = stays;
	snprintf(file->why, sizeof(file->why), "%s%s", why, detail);
}

static int32_t add_file(struct planning *planning, const char *folder, const char *name, struct sweep_file **ret_file,
			sb_error *err)
{
	struct sweep_plan *plan = &planning->plan;
	struct sweep_file *file;

	if (plan->count == plan->cap) {
		uint64_t room = plan->cap ? 2 * plan->cap : 64;
		struct sweep_file *larger = reallocarray(plan->files, room, sizeof(*larger));

		if (!larger)
			return error_no_memory(err);
		plan->files = larger;
		plan->cap = room;
	}
	file = &plan->files[plan->count];
	memset(file, 0, sizeof(*file));
	if (asprintf(&file->name, "%s%s%s", folder, *folder ? "/" : "", name) < 0)
		return error_no_memory(err);
	plan->count++;
	*ret_file = file;
	return SB_OK;
}

static int32_t list_folder(const struct planning *planning, const char *folder, struct buffer *names, sb_error *err)
{
	AUTO(free_memory) char *path = NULL;
	uint64_t count;
	int32_t status;

	if (asprintf(&path, "%s/%s", planning->store->dir, folder) < 0) {
		path = NULL;
		return error_no_memory(err);
	}
	status = io_list(planning->store->io, path, names, &count, err);
	return status == SB_ERR_NOT_FOUND && *folder ? SB_OK : status;
}

/* --- checkpoints ------------------------------------------------------------------------------ */

static void keep_chain(struct planning *planning, const char *parent, const char *user)
{
	while (*parent) {
		uint64_t i = checkpoint_heads_find(&planning->heads, parent);

		if (i == UINT64_MAX || planning->plan.files[i].stays)
			return;
		say(&planning->plan.files[i], true, "needed by ", user);
		parent = checkpoint_heads_parent(&planning->heads, i);
	}
}

static int32_t choose_newest(struct planning *planning, sb_error *err)
{
	uint64_t kept = 0;

	for (uint64_t i = 0; i < planning->heads.count; i++) {
		struct sweep_file *file = &planning->plan.files[i];
		sb_error problem = ERROR_INIT;
		uint64_t links;
		int32_t status = checkpoint_heads_check(&planning->heads, i, &links, &problem);

		if (status != SB_OK && status != SB_ERR_CORRUPT && status != SB_ERR_NOT_FOUND) {
			*err = problem;
			return status;
		}
		if (kept >= planning->keep)
			say(file, false, "older than those that are kept", "");
		else if (status != SB_OK)
			say(file, true, "cannot be restored, and is newer than some that are kept", "");
		else
			say(file, true, kept ? "among the newest that are kept" : "the newest", "");
		kept += status == SB_OK;
	}
	return SB_OK;
}

static bool are_too_many(const struct planning *planning)
{
	return planning->heads.count > planning->keep;
}

static int32_t plan_checkpoints(struct planning *planning, sb_error *err)
{
	struct checkpoint_heads *heads = &planning->heads;

	for (uint64_t i = 0; i < heads->count; i++) {
		char name[CHECKPOINT_ID_BYTES + sizeof(CHECKPOINT_SUFFIX)];
		struct sweep_file *file;

		snprintf(name, sizeof(name), "%s" CHECKPOINT_SUFFIX, heads->refs[i].id);
		TRY(add_file(planning, "", name, &file, err));
		memcpy(file->id, heads->refs[i].id, sizeof(file->id));
		say(file, true, i ? "among the newest that are kept" : "the newest", "");
	}
	if (!are_too_many(planning))
		return SB_OK;
	TRY(choose_newest(planning, err));
	for (uint64_t i = 0; i < heads->count; i++)
		if (planning->plan.files[i].stays)
			keep_chain(planning, checkpoint_heads_parent(heads, i), heads->refs[i].id);
	return SB_OK;
}

/* --- what they need ---------------------------------------------------------------------------- */

static int32_t note_files(struct planning *planning, const struct checkpoint_meta *meta, const char *user,
			  sb_error *err)
{
	const uint64_t count = planning->used_count + meta->file_count;

	if (count > planning->used_cap) {
		struct used_file *larger = reallocarray(planning->used, 2 * count, sizeof(*larger));

		if (!larger)
			return error_no_memory(err);
		planning->used = larger;
		planning->used_cap = 2 * count;
	}
	for (uint64_t i = 0; i < meta->file_count; i++) {
		struct used_file *used = &planning->used[planning->used_count++];

		memcpy(used->sha256, meta->files[i].sha256, sizeof(used->sha256));
		snprintf(used->user, sizeof(used->user), "%s", user);
	}
	return SB_OK;
}

/* user: what is told of it. */
static int32_t note_needs(struct planning *planning, const char *path, const char *user, bool keeps_parents,
			  sb_error *err)
{
	struct checkpoint_reader *reader;
	int32_t status = checkpoint_reader_open(planning->store->io, path, &reader, err);

	if (status == SB_ERR_CORRUPT || status == SB_ERR_NOT_FOUND)
		return SB_OK;
	TRY(status);
	if (keeps_parents && checkpoint_reader_meta(reader)->parent)
		keep_chain(planning, checkpoint_reader_meta(reader)->parent, user);
	status = note_files(planning, checkpoint_reader_meta(reader), user, err);
	checkpoint_reader_close(reader);
	return status;
}

/* A temporary that nobody will rename: it goes, so it needs nothing, however whole it is. */
static bool is_left_over(const struct planning *planning, uint64_t number, const char *suffix)
{
	const struct checkpoint_heads *heads = &planning->heads;

	return strcmp(suffix, CHECKPOINT_TMP_SUFFIX) == 0 &&
	       (planning->nobody_writes || (heads->count && number <= heads->refs[0].number));
}

/* Every checkpoint there, under whatever name it was given: a copy that somebody calls checkpoint-….json.old counts. */
static int32_t note_folder(struct planning *planning, const char *folder, bool keeps_parents, sb_error *err)
{
	AUTO(buffer_done) struct buffer names = BUFFER_INIT;

	TRY(list_folder(planning, folder, &names, err));
	for (size_t i = 0; i < names.len; i += strlen((char *)names.data + i) + 1) {
		const char *name = (char *)names.data + i;
		AUTO(free_memory) char *path = NULL;
		char user[USER_BYTES];
		uint64_t number;
		const char *rest;

		if (!checkpoint_id_parse(name, &number, &rest) || (!*folder && is_left_over(planning, number, rest)))
			continue;
		if (asprintf(&path, "%s/%s/%s", planning->store->dir, folder, name) < 0) {
			path = NULL;
			return error_no_memory(err);
		}
		snprintf(user, sizeof(user), "%s%s%.*s", folder, *folder ? "/" : "",
			 *folder ? (int)sizeof(user) : (int)(rest - name), name);
		if (!*folder && strcmp(rest, CHECKPOINT_SUFFIX) == 0) {
			uint64_t at = checkpoint_heads_find(&planning->heads, user);

			if (at != UINT64_MAX && !planning->plan.files[at].stays)
				continue;
		}
		TRY(note_needs(planning, path, user, keeps_parents, err));
	}
	return SB_OK;
}

static int compare_used(const void *a, const void *b)
{
	return strcmp(((const struct used_file *)a)->sha256, ((const struct used_file *)b)->sha256);
}

/* Parents that abandoned ones keep name files, too, so these come first. */
static int32_t note_all(struct planning *planning, bool has_shared, sb_error *err)
{
	if (are_too_many(planning) || has_shared)
		TRY(note_folder(planning, CHECKPOINT_ABANDONED, are_too_many(planning), err));
	if (!has_shared)
		return SB_OK;
	TRY(note_folder(planning, "", false, err));
	TRY(note_folder(planning, CHECKPOINT_QUARANTINE, false, err));
	if (planning->used_count)
		qsort(planning->used, planning->used_count, sizeof(*planning->used), compare_used);
	return SB_OK;
}

/* --- everything else ---------------------------------------------------------------------------- */

static bool starts_with(const char *text, const char *start)
{
	return strncmp(text, start, strlen(start)) == 0;
}

/* A tool that reads a native checkpoint at this moment, without the lock, has its links in such a directory. */
static bool is_in_use(const char *name)
{
	long pid;

	if (!starts_with(name, READING_PREFIX))
		return false;
	pid = strtol(name + strlen(READING_PREFIX), NULL, 10);
	return pid > 0 && kill((pid_t)pid, 0) == 0;
}

static void decide_own(const struct planning *planning, const char *name, struct sweep_file *file)
{
	uint64_t number;
	const char *rest;

	if (checkpoint_id_parse(name, &number, &rest) && strcmp(rest, CHECKPOINT_TMP_SUFFIX) == 0) {
		if (is_left_over(planning, number, rest))
			say(file, false, "left by something that was interrupted", "");
		else
			say(file, true, "being written", "");
	} else if (is_in_use(name)) {
		say(file, true, "in use by a tool that reads", "");
	} else if (starts_with(name, CHECKPOINT_TMP_PREFIX)) {
		say(file, false, "left by something that was interrupted", "");
	} else if (strcmp(name, CHECKPOINT_LOCK) == 0) {
		say(file, true, "the lock of the job", "");
	} else {
		say(file, true, "no file of ours", "");
	}
}

/* Ours are called by a hash, or are temporary. */
static void decide_shared(const struct planning *planning, const char *name, struct sweep_file *file)
{
	struct used_file key = {.sha256 = ""};
	const struct used_file *used = NULL;

	if (starts_with(name, CHECKPOINT_TMP_PREFIX)) {
		say(file, false, "left by an interrupted checkpoint", "");
		return;
	}
	if (strlen(name) != CHECKPOINT_SHA256_HEX) {
		say(file, true, "no file of ours", "");
		return;
	}
	memcpy(key.sha256, name, CHECKPOINT_SHA256_HEX);
	if (planning->used_count)
		used = bsearch(&key, planning->used, planning->used_count, sizeof(key), compare_used);
	if (used)
		say(file, true, "used by ", used->user);
	else
		say(file, false, "used by none that is kept", "");
}

static bool is_folder(const char *name)
{
	return strcmp(name, CHECKPOINT_SHARED) == 0 || strcmp(name, CHECKPOINT_QUARANTINE) == 0 ||
	       strcmp(name, CHECKPOINT_ABANDONED) == 0;
}

static bool is_planned(const struct planning *planning, const char *name)
{
	for (uint64_t i = 0; i < planning->heads.count; i++)
		if (strcmp(planning->plan.files[i].name, name) == 0)
			return true;
	return false;
}

static int32_t plan_names(struct planning *planning, const char *folder, const struct buffer *names, sb_error *err)
{
	for (size_t i = 0; i < names->len; i += strlen((char *)names->data + i) + 1) {
		const char *name = (char *)names->data + i;
		struct sweep_file *file;

		if (!*folder && (is_folder(name) || is_planned(planning, name)))
			continue;
		TRY(add_file(planning, folder, name, &file, err));
		if (!*folder)
			decide_own(planning, name, file);
		else if (strcmp(folder, CHECKPOINT_SHARED) == 0)
			decide_shared(planning, name, file);
		else if (strcmp(folder, CHECKPOINT_QUARANTINE) == 0)
			say(file, true, "was damaged; put aside for people to look at", "");
		else
			say(file, true, "of a history that was left; put aside for people to look at", "");
	}
	return SB_OK;
}

static int32_t plan_folder(struct planning *planning, const char *folder, sb_error *err)
{
	AUTO(buffer_done) struct buffer names = BUFFER_INIT;

	TRY(list_folder(planning, folder, &names, err));
	return plan_names(planning, folder, &names, err);
}

/* shared/ is listed before the heads are read: files come by the thread that sweeps, so none of these is newer than what
 * the heads say. */
static int32_t make(struct planning *planning, sb_error *err)
{
	AUTO(buffer_done) struct buffer shared = BUFFER_INIT;

	TRY(list_folder(planning, CHECKPOINT_SHARED, &shared, err));
	TRY(plan_checkpoints(planning, err));
	TRY(note_all(planning, shared.len > 0, err));
	TRY(plan_folder(planning, "", err));
	TRY(plan_names(planning, CHECKPOINT_SHARED, &shared, err));
	TRY(plan_folder(planning, CHECKPOINT_QUARANTINE, err));
	return plan_folder(planning, CHECKPOINT_ABANDONED, err);
}

int32_t sweep_plan_make(struct checkpoint_store *store, uint64_t keep, bool nobody_writes, struct sweep_plan *ret_plan,
			sb_error *err)
{
	struct planning planning = {.store = store, .keep = keep, .nobody_writes = nobody_writes};
	int32_t status;

	TRY(checkpoint_heads_open(store, &planning.heads, err));
	status = make(&planning, err);
	if (status == SB_OK)
		*ret_plan = planning.plan;
	else
		sweep_plan_done(&planning.plan);
	checkpoint_heads_close(&planning.heads);
	free(planning.used);
	return status;
}

void sweep_plan_done(struct sweep_plan *plan)
{
	for (uint64_t i = 0; i < plan->count; i++)
		free(plan->files[i].name);
	free(plan->files);
	*plan = (struct sweep_plan){0};
}
