/* The commands of "sbhost checkpoint", one file each, and what they share. */
#ifndef CLI_CHECKPOINT_TOOLS_H
#define CLI_CHECKPOINT_TOOLS_H

#include "checkpoint/heads.h"
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

/* SB_OK when the checkpoint is good by its form, and so is every byte of it and of all that it needs. *ret_links as in
 * checkpoint_heads_check. */
int32_t checkpoint_check_whole(struct tool *tool, struct checkpoint_heads *heads, uint64_t i, uint64_t *ret_links,
			       sb_error *err);

#endif
