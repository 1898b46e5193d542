/* See native.h. Each backend makes its files in checkpoints/tmp-<id>-<instance>/, which is gone when the checkpoint has
 * ended, well or not, or with the next start. */
#include "checkpoint/native.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "checkpoint/checkpoint_private.h"
#include "checkpoint/store_private.h"
#include "plugin/extensions.h"

static char *temporary_dir(const struct coordinator_config *config, const struct checkpoint_cut *cut, uint32_t task)
{
	char *dir;

	if (asprintf(&dir, "%s/" CHECKPOINT_TMP_PREFIX "%s-%s", checkpoint_store_dir(config->store), cut->meta.id,
		     cut->tasks[task].backend->name) < 0)
		return NULL;
	return dir;
}

static int32_t create(const struct coordinator_config *config, struct checkpoint_cut *cut, uint32_t task, sb_error *err)
{
	struct instance *backend = cut->tasks[task].backend;
	AUTO(free_memory) char *dir = temporary_dir(config, cut, task);
	int32_t status;

	if (!dir)
		return error_no_memory(err);
	status = CALL_PLUGIN(&backend->walks, "create", err,
			     component_files(backend->component)->create(backend->backend, dir, err));
	return status == SB_OK ? SB_OK : instance_fault(backend, "create", status, err);
}

static int32_t create_all(const struct coordinator_config *config, struct checkpoint_cut *cut, sb_error *err)
{
	for (uint32_t i = 0; i < cut->meta.tasks; i++)
		TRY(create(config, cut, i, err));
	return SB_OK;
}

static int32_t add_file(struct checkpoint_meta *meta, const char *snapshot, const char *name,
			struct file_meta **ret_file, sb_error *err)
{
	struct file_meta *files = reallocarray(meta->files, meta->file_count + 1, sizeof(*files));
	struct file_meta *file;

	if (!files)
		return error_no_memory(err);
	meta->files = files;
	file = &files[meta->file_count];
	*file = (struct file_meta){.snapshot = strdup(snapshot), .name = strdup(name)};
	meta->file_count++;
	if (!file->snapshot || !file->name)
		return error_no_memory(err);
	*ret_file = file;
	return SB_OK;
}

static int32_t take_file(const struct coordinator_config *config, struct checkpoint_cut *cut, uint32_t task,
			 const char *dir, const char *name, struct checkpoint_result *result)
{
	const struct instance *backend = cut->tasks[task].backend;
	AUTO(free_memory) char *path = NULL;
	struct file_meta *file = NULL;
	sb_error *err = &result->error;
	enum shared_how how;

	if (asprintf(&path, "%s/%s", dir, name) < 0) {
		path = NULL;
		return error_no_memory(err);
	}
	TRY(add_file(&cut->meta, backend->name, name, &file, err));
	TRY(shared_put(&config->store->shared, path, component_files(backend->component)->is_immutable(name) != 0, file,
		       &how, err));
	result->files++;
	if (how == SHARED_REUSED)
		result->files_reused++;
	else if (how == SHARED_LINKED)
		result->linked_bytes += file->bytes;
	else
		result->copied_bytes += file->bytes;
	return SB_OK;
}

static int32_t take_files(const struct coordinator_config *config, struct checkpoint_cut *cut, uint32_t task,
			  struct checkpoint_result *result)
{
	AUTO(free_memory) char *dir = temporary_dir(config, cut, task);
	AUTO(buffer_done) struct buffer names = BUFFER_INIT;
	uint64_t count;

	if (!dir)
		return error_no_memory(&result->error);
	TRY(io_list(config->io, dir, &names, &count, &result->error));
	if (count == 0)
		return error_set(&result->error, SB_ERR_INTERNAL, "%s made no files for a checkpoint",
				 cut->tasks[task].backend->name);
	for (size_t i = 0; i < names.len; i += strlen((char *)names.data + i) + 1)
		TRY(take_file(config, cut, task, dir, (char *)names.data + i, result));
	return SB_OK;
}

static int compare_files(const void *a, const void *b)
{
	const struct file_meta *x = a, *y = b;
	int order = strcmp(x->snapshot, y->snapshot);

	return order ? order : strcmp(x->name, y->name);
}

int32_t native_write(const struct coordinator_config *config, struct checkpoint_cut *cut,
		     struct checkpoint_result *result)
{
	int32_t status = create_all(config, cut, &result->error);

	config->release_writes(config->context);
	cut->writes_released = true;
	TRY(status);
	shared_begin(&config->store->shared);
	for (uint32_t i = 0; i < cut->meta.tasks; i++)
		TRY(take_files(config, cut, i, result));
	qsort(cut->meta.files, cut->meta.file_count, sizeof(*cut->meta.files), compare_files);
	return shared_sync(&config->store->shared, &result->error);
}

void native_end(const struct coordinator_config *config, struct checkpoint_cut *cut,
		const struct checkpoint_result *result)
{
	if (!cut->writes_released)
		config->release_writes(config->context);
	cut->writes_released = true;
	if (result->status == SB_OK)
		shared_commit(&config->store->shared);
	for (uint32_t i = 0; cut->meta.id[0] && i < cut->meta.tasks; i++) {
		AUTO(free_memory) char *dir = temporary_dir(config, cut, i);
		sb_error err = ERROR_INIT;

		if (dir && io_remove_tree(config->io, dir, &err) != SB_OK)
			store_warn(config->store, "Cannot remove a temporary directory", dir, &err);
	}
}
