/* Whether checkpoints are good, with all that they build on: parents, and files in shared/.
 *
 * The quick check reads heads and tails, each once however many others need it. Parents are older, so a chain has an end; a file that
 * claims a younger parent is damaged. The thorough one is the store's own, the same that a restore begins with. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "checkpoint/shared.h"
#include "cli/checkpoint_tools.h"

int32_t checks_open(struct tool *tool, struct checkpoint_store *store, struct checks *ret_checks, sb_error *err)
{
	struct checks checks = {.tool = tool, .store = store};

	TRY(checkpoint_store_list(store, &checks.refs, &checks.count, err));
	checks.checked = calloc(checks.count + 1, sizeof(*checks.checked));
	if (!checks.checked) {
		free(checks.refs);
		return error_no_memory(err);
	}
	*ret_checks = checks;
	return SB_OK;
}

void checks_close(struct checks *checks)
{
	free(checks->refs);
	free(checks->checked);
}

uint64_t checks_find(const struct checks *checks, const char *id)
{
	for (uint64_t i = 0; i < checks->count; i++)
		if (strcmp(checks->refs[i].id, id) == 0)
			return i;
	return UINT64_MAX;
}

static int32_t check_head(struct checks *checks, uint64_t i, struct checked *ret, sb_error *err)
{
	AUTO(free_memory) char *path = checkpoint_store_path(checks->store, checks->refs[i].id);
	const struct checkpoint_meta *meta;
	struct checkpoint_reader *reader;
	int32_t status;

	if (!path)
		return error_no_memory(err);
	TRY(checkpoint_reader_open(&checks->tool->io, path, &reader, err));
	meta = checkpoint_reader_meta(reader);
	memccpy(ret->parent, meta->parent ? meta->parent : "", 0, sizeof(ret->parent));
	status = shared_check(&checks->tool->io, checkpoint_store_dir(checks->store), meta, false, err);
	checkpoint_reader_close(reader);
	return status;
}

static const struct checked *check_once(struct checks *checks, uint64_t i)
{
	struct checked *checked = &checks->checked[i];

	if (!checked->done) {
		checked->problem = (sb_error)ERROR_INIT;
		check_head(checks, i, checked, &checked->problem);
		checked->done = true;
	}
	return checked;
}

int32_t checks_form(struct checks *checks, uint64_t i, uint64_t *ret_links, sb_error *err)
{
	const char *of = checks->refs[i].id;
	uint64_t at = i, links = 0;

	for (;;) {
		const struct checked *checked = check_once(checks, at);
		uint64_t parent;

		links++;
		*ret_links = links;
		if (checked->problem.code != SB_OK) {
			*err = checked->problem;
			return at == i ? err->code : error_prefix(err, "%s needs %s", of, checks->refs[at].id);
		}
		if (!checked->parent[0])
			return SB_OK;
		parent = checks_find(checks, checked->parent);
		if (parent == UINT64_MAX)
			return error_set(err, SB_ERR_CORRUPT, "%s needs %s, which is not there", of, checked->parent);
		if (parent <= at)
			return error_set(err, SB_ERR_CORRUPT, "%s is damaged: %s cannot be its parent",
					 checks->refs[at].id, checked->parent);
		at = parent;
	}
}

int32_t checks_whole(struct checks *checks, uint64_t i, uint64_t *ret_links, sb_error *err)
{
	TRY(checks_form(checks, i, ret_links, err));
	tool_progress(checks->tool, checks->refs[i].id, 0, 0);
	return checkpoint_store_verify(checks->store, checks->refs[i].id, err);
}

uint64_t checkpoint_shared_bytes(const struct checkpoint_meta *meta)
{
	uint64_t bytes = 0;

	for (uint64_t i = 0; i < meta->file_count; i++)
		bytes += (uint64_t)meta->files[i].bytes;
	return bytes;
}
