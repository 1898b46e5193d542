/* See forged_backend.h. */
#include "support/forged_backend.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "fault/checkpoint_fixture.h"

struct forged forged;

struct sb_iter {
	int unused;
};

int32_t forged_say(sb_error *err, int32_t status)
{
	if (status != SB_OK)
		error_set(err, status, "as the test wants it");
	return status;
}

static int32_t iter_next(sb_iter *iter, uint64_t max, sb_entry *entries, uint64_t *ret_count, sb_error *err)
{
	(void)iter, (void)max;
	*ret_count = !forged.returned && forged.op.key.len;
	forged.returned = true;
	entries[0] = (sb_entry){.key = forged.op.key, .value = forged.op.value, .expiry_ms = forged.op.expiry_ms};
	return forged_say(err, forged.status);
}

static void iter_close(sb_iter *iter)
{
	(void)iter;
	forged.open--;
}

static int32_t mark(sb_backend *backend, uint64_t *ret_mark, sb_error *err)
{
	(void)backend, (void)ret_mark;
	return forged_say(err, SB_ERR_UNSUPPORTED);
}

static int32_t changes_open(sb_backend *backend, uint64_t since, sb_changes **ret_changes, sb_error *err)
{
	(void)backend, (void)since, (void)ret_changes;
	return forged_say(err, SB_ERR_UNSUPPORTED);
}

static int32_t changes_next(sb_changes *changes, uint64_t max, sb_op *ops, uint64_t *ret_count, sb_error *err)
{
	(void)changes, (void)max;
	*ret_count = !forged.returned && forged.op.key.len;
	forged.returned = true;
	ops[0] = forged.op;
	return forged_say(err, forged.status);
}

static void changes_close(sb_changes *changes)
{
	(void)changes;
	forged.open--;
}

static void release(sb_backend *backend, uint64_t mark)
{
	(void)backend, (void)mark;
}

static void make(const char *dir, const char *name, const char *content)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	file_write(path, content, strlen(content));
}

/* Without an allocation: these are the host's to fail. */
static int32_t create(sb_backend *backend, const char *dir, sb_error *err)
{
	char folder[512];

	(void)backend;
	if (forged.makes == FAILS_TO_MAKE)
		return forged_say(err, SB_ERR_NO_SPACE);
	snprintf(folder, sizeof(folder), "%s/a.sst", dir);
	mkdir(dir, 0700);
	if (forged.makes == MAKES_A_FOLDER)
		mkdir(folder, 0700);
	if (forged.makes == MAKES_A_FILE || forged.makes == MAKES_TWO_OF_ONE_CONTENT)
		make(dir, "b.sst", "content");
	if (forged.makes == MAKES_TWO_OF_ONE_CONTENT)
		make(dir, "a.sst", "content");
	return SB_OK;
}

static int32_t is_immutable(const char *name)
{
	(void)name;
	return !forged.changeable;
}

static const void *extension(const char *id)
{
	static const sb_files_ops files = {
		.struct_size = sizeof(files), .create = create, .is_immutable = is_immutable};
	static const sb_delta_ops delta = {.struct_size = sizeof(delta),
					   .mark = mark,
					   .changes_open = changes_open,
					   .changes_next = changes_next,
					   .changes_close = changes_close,
					   .release = release};

	return strcmp(id, SB_EXT_FILES) == 0 ? (const void *)&files : strcmp(id, SB_EXT_DELTA) == 0 ? &delta : NULL;
}

void forged_component(struct component *ret_component)
{
	static char name[] = "forged";
	static struct plugin plugin = {.name = name};

	*ret_component = (struct component){
		.plugin = &plugin,
		.id = "forged",
		.flags = SB_BACKEND_STABLE_ITER,
		.backend = {.iter_next = iter_next, .iter_close = iter_close, .extension = extension}};
}
