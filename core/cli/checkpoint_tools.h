/* The commands of "sbhost checkpoint", one file each, and what they share. */
#ifndef CLI_CHECKPOINT_TOOLS_H
#define CLI_CHECKPOINT_TOOLS_H

#include "cli/object.h"
#include "cli/tool.h"

int checkpoint_list_command(struct tool *tool);
int checkpoint_inspect_command(struct tool *tool);
int checkpoint_verify_command(struct tool *tool);
int checkpoint_diff_command(struct tool *tool);
int checkpoint_export_command(struct tool *tool);
int checkpoint_import_command(struct tool *tool);
int checkpoint_prune_command(struct tool *tool);

const char *checkpoint_kind_name(enum checkpoint_kind kind);
/* Member "timestamp". */
void show_timestamp(struct object *object, const struct checkpoint_meta *meta);
/* Member "offsets": {"0":1234}. */
void show_offsets(struct object *object, const struct checkpoint_meta *meta);

/* Sum over the files in shared/. */
uint64_t checkpoint_shared_bytes(const struct checkpoint_meta *meta);

/* --- checkpoint_check.c: is it good? ------------------------------------------------ */

/* What the head and tail of a file say. */
struct checked {
	bool done;
	sb_error problem; /* code SB_OK: none */
	char parent[CHECKPOINT_ID_BYTES]; /* "" for none */
};

/* All checkpoints of a directory, newest first; heads are read as they are asked for, and each once. */
struct checks {
	struct tool *tool;
	struct checkpoint_store *store;
	struct checkpoint_ref *refs;
	struct checked *checked;
	uint64_t count;
};

int32_t checks_open(struct tool *tool, struct checkpoint_store *store, struct checks *ret_checks, sb_error *err);
void checks_close(struct checks *checks);
/* UINT64_MAX when there is none of that id. */
uint64_t checks_find(const struct checks *checks, const char *id);
/* SB_OK when refs[i] looks good, and so does all that it needs: heads and tails make sense, files are there and have their
 * sizes. Otherwise err says what is wrong. *ret_links counts the checkpoints that were looked at, itself included. */
int32_t checks_form(struct checks *checks, uint64_t i, uint64_t *ret_links, sb_error *err);
/* The same, and every byte of it. */
int32_t checks_whole(struct checks *checks, uint64_t i, uint64_t *ret_links, sb_error *err);

#endif
