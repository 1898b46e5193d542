/* The content of native files, through the plugin that wrote them: its files are put into a scratch directory, an instance for each
 * snapshot is opened on them read-only, and its entries are checked as a reader checks those in a file. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/slice.h"
#include "checkpoint/contents_private.h"
#include "checkpoint/state_digest.h"
#include "plugin/extensions.h"
#include "plugin/instance.h"
#include "state/composed_key.h"

#define ENTRIES_PER_CALL 256u

struct native_contents {
	struct checkpoint_contents *contents;
	struct plugin *plugin;
	const struct component *component;
	struct option_set options;
	bool has_options;
	_Atomic int64_t horizon_ms;
	char *scratch; /* ours: removed at the end */
	char *dir; /* of the snapshot at hand */
	struct state_digest digest;
	struct instance *instance;
	sb_iter *iter;
	sb_entry entries[ENTRIES_PER_CALL];
	uint64_t at, count;
	char snapshot[CHECKPOINT_NAME_MAX + 1];
	bool in_snapshot;
};

static const struct checkpoint_meta *meta_of(const struct native_contents *native)
{
	return checkpoint_reader_meta(native->contents->reader);
}

static int32_t load_plugin(struct native_contents *native, sb_error *err)
{
	const struct checkpoint_contents_config *config = &native->contents->config;
	const struct checkpoint_meta *meta = meta_of(native);
	const char *name = config->source_plugin ? config->source_plugin : meta->backend_id;

	if (!name)
		return error_set(err, SB_ERR_CONFIG,
				 "%s does not say which backend wrote its files: use --source-plugin", meta->id);
	if (plugin_load_vouched(config->io, name, config->plugin_dir, config->manifest, &native->plugin, err) != SB_OK)
		return error_prefix(err,
				    "the files of %s can be read with the backend that wrote them only (%s; "
				    "--source-plugin says where it is)",
				    meta->id, meta->backend_id ? meta->backend_id : "unknown");
	TRY(plugin_find_component(native->plugin, SB_KIND_BACKEND, &native->component, err));
	if (meta->backend_id && strcmp(native->component->id, meta->backend_id) != 0)
		return error_set(err, SB_ERR_CONFIG, "the files of %s were written by backend %s, not by %s of %s",
				 meta->id, meta->backend_id, native->component->id, native->plugin->path);
	/* It might open the directory all the same, and find itself empty. */
	if (!component_files(native->component))
		return error_set(err, SB_ERR_UNSUPPORTED,
				 "%s has no files of its own and cannot read those of %s: use --source-plugin",
				 native->component->id, meta->id);
	TRY(option_set_parse(native->component, "--backend-opt", NULL, 0, &native->options, err));
	native->has_options = true;
	return SB_OK;
}

static int32_t scratch_in(struct native_contents *native, const char *dir, sb_error *err)
{
	static _Atomic unsigned numbers;

	free(TAKE(native->scratch));
	if (asprintf(&native->scratch, "%s/" CHECKPOINT_TMP_PREFIX "read-%ld-%u", dir, (long)getpid(),
		     atomic_fetch_add(&numbers, 1)) < 0) {
		native->scratch = NULL;
		return error_no_memory(err);
	}
	return io_mkdir_new(native->contents->config.io, native->scratch, 0700, err);
}

static const char *temporary_dir(void)
{
	const char *dir = secure_getenv("TMPDIR");

	return dir && *dir ? dir : "/tmp";
}

/* Beside the files, where links cost nothing; where nobody may write there, as in a backup that is mounted to be read, they are copied. */
static int32_t make_scratch(struct native_contents *native, sb_error *err)
{
	const struct checkpoint_contents_config *config = &native->contents->config;
	int32_t status = scratch_in(
		native, config->scratch_dir ? config->scratch_dir : checkpoint_store_dir(config->store), err);

	if (status == SB_OK || config->scratch_dir || (err->sys_errno != EROFS && err->sys_errno != EACCES))
		return status;
	return scratch_in(native, temporary_dir(), err);
}

int32_t native_contents_open(struct checkpoint_contents *contents, struct native_contents **ret_native, sb_error *err)
{
	struct native_contents *native = calloc(1, sizeof(*native));

	if (!native)
		return error_no_memory(err);
	*ret_native = native;
	native->contents = contents;
	atomic_init(&native->horizon_ms, INT64_MIN);
	state_digest_init(&native->digest, meta_of(native));
	TRY(load_plugin(native, err));
	return make_scratch(native, err);
}

static void close_snapshot(struct native_contents *native)
{
	sb_error ignored = ERROR_INIT;

	if (native->iter)
		MARK_CALL(&native->instance->calls, "iter_close", native->component->backend.iter_close(native->iter));
	native->iter = NULL;
	instance_close(TAKE(native->instance));
	if (native->dir)
		io_remove_tree(native->contents->config.io, native->dir, &ignored);
	free(TAKE(native->dir));
}

void native_contents_close(struct native_contents *native)
{
	sb_error ignored = ERROR_INIT;

	if (!native)
		return;
	close_snapshot(native);
	if (native->scratch)
		io_remove_tree(native->contents->config.io, native->scratch, &ignored);
	free(native->scratch);
	if (native->has_options)
		option_set_done(&native->options);
	plugin_free(native->plugin);
	state_digest_done(&native->digest);
	free(native);
}

static int32_t put_files(struct native_contents *native, sb_error *err)
{
	const struct checkpoint_contents_config *config = &native->contents->config;
	const sb_files_ops *files = component_files(native->component);
	const struct checkpoint_meta *meta = meta_of(native);

	for (uint64_t i = 0; i < meta->file_count; i++) {
		const struct file_meta *file = &meta->files[i];
		AUTO(free_memory) char *path = NULL;
		bool link = files->is_immutable(file->name) != 0;

		if (strcmp(file->snapshot, native->snapshot) != 0)
			continue;
		if (asprintf(&path, "%s/%s", native->dir, file->name) < 0) {
			path = NULL;
			return error_no_memory(err);
		}
		TRY(checkpoint_store_take_file(config->store, file, link, false, path, err));
	}
	return SB_OK;
}

static int32_t open_snapshot(struct native_contents *native, const char *name, sb_error *err)
{
	const struct checkpoint_contents_config *config = &native->contents->config;
	const struct plugin_env env = {.log = config->log, .clock = config->clock, .horizon_ms = &native->horizon_ms};
	const sb_iter_options all = {.struct_size = sizeof(all)};
	int32_t status;

	memcpy(native->snapshot, name, strlen(name) + 1);
	if (asprintf(&native->dir, "%s/%s", native->scratch, name) < 0) {
		native->dir = NULL;
		return error_no_memory(err);
	}
	TRY(io_mkdir_p(config->io, native->dir, err));
	TRY(put_files(native, err));
	TRY(instance_open_backend(native->component, name, native->dir, SB_OPEN_READ_ONLY | SB_OPEN_FILES,
				  &native->options, &env, &native->instance, err));
	status = CALL_PLUGIN(&native->instance->calls, "iter_open", err,
			     native->component->backend.iter_open(native->instance->backend, &all, &native->iter, err));
	if (status != SB_OK)
		return instance_fault(native->instance, "iter_open", status, err);
	native->at = native->count = 0;
	native->in_snapshot = true;
	return SB_OK;
}

static int32_t next_entry(struct native_contents *native, const sb_entry **ret_entry, sb_error *err)
{
	int32_t status;

	*ret_entry = NULL;
	if (native->at == native->count) {
		native->at = native->count = 0;
		status = CALL_PLUGIN(&native->instance->calls, "iter_next", err,
				     native->component->backend.iter_next(native->iter, ENTRIES_PER_CALL,
									  native->entries, &native->count, err));
		if (status != SB_OK)
			return instance_fault(native->instance, "iter_next", status, err);
		if (native->count == 0)
			return SB_OK;
	}
	*ret_entry = &native->entries[native->at++];
	return SB_OK;
}

static int32_t take_entry(struct native_contents *native, const sb_entry *entry, struct checkpoint_item *ret_item,
			  sb_error *err)
{
	struct snapshot_entry parts;

	if (entry->key.len < COMPOSED_PREFIX_BYTES)
		return error_set(err, SB_ERR_CORRUPT, "%s is damaged: its files hold a key of %llu bytes",
				 meta_of(native)->id, (unsigned long long)entry->key.len);
	parts = (struct snapshot_entry){.state_id = composed_state_id(entry->key),
					.key_group = composed_key_group(entry->key),
					.user_part = composed_user_part(entry->key),
					.value = entry->value,
					.expiry_ms = entry->expiry_ms};
	if (state_digest_check(&native->digest, &parts, err) != SB_OK)
		return error_prefix(err, "%s is damaged: its files hold", meta_of(native)->id);
	*ret_item = (struct checkpoint_item){.kind = ITEM_ENTRY,
					     .name = native->snapshot,
					     .state_id = parts.state_id,
					     .key_group = parts.key_group,
					     .user_part = parts.user_part,
					     .value = parts.value,
					     .expiry_ms = parts.expiry_ms};
	return SB_OK;
}

static int32_t next_outside(struct native_contents *native, struct checkpoint_item *ret_item, sb_error *err)
{
	TRY(checkpoint_reader_next(native->contents->reader, ret_item, err));
	if (ret_item->kind != ITEM_SNAPSHOT_BEGIN)
		return SB_OK;
	TRY(open_snapshot(native, ret_item->name, err));
	ret_item->name = native->snapshot;
	return SB_OK;
}

int32_t native_contents_next(struct native_contents *native, struct checkpoint_item *ret_item, sb_error *err)
{
	const sb_entry *entry;

	if (!native->in_snapshot)
		return next_outside(native, ret_item, err);
	for (;;) {
		TRY(next_entry(native, &entry, err));
		if (!entry)
			break;
		TRY(take_entry(native, entry, ret_item, err));
		if (!item_has_expired(ret_item, meta_of(native)->cut_ms))
			return SB_OK;
	}
	close_snapshot(native);
	native->in_snapshot = false;
	/* Of the file itself nothing but the end is left: it holds no entries. */
	return checkpoint_reader_next(native->contents->reader, ret_item, err);
}
