/* The logical content of any checkpoint, whatever its kind: what a full one taken at the same moment would hold.
 *
 * A full checkpoint is passed through. Over a chain of deltas the newest word on each key counts; the keys of
 * the deltas (not their values, and not the base's keys) are held in memory. Native files are linked into a
 * scratch directory and read through the plugin that wrote them, opened read-only. Expired entries (at the checkpoint's cut) do not appear. */
#ifndef CHECKPOINT_CONTENTS_H
#define CHECKPOINT_CONTENTS_H

#include "base/log.h"
#include "checkpoint/reader.h"
#include "checkpoint/store.h"

struct checkpoint_contents_config {
	struct io *io;
	struct clock *clock;
	const struct log *log;
	struct checkpoint_store *store; /* where parents and shared files are found */
	const char *plugin_dir;
	const struct manifest *manifest; /* has to vouch for the plugin; NULL: none has to */
	const char *
		source_plugin; /* path or name of the plugin that reads native files; NULL: by the name in the checkpoint */
	const char *
		scratch_dir; /* an existing directory for links to native files; NULL: one is made beside them, or in TMPDIR where that is read-only, and removed */
};

struct checkpoint_contents;

/* Takes the reader over (closed with the contents, and on failure too). config's pointers outlive the contents. */
int32_t checkpoint_contents_open(const struct checkpoint_contents_config *config, struct checkpoint_reader *reader,
				 struct checkpoint_contents **ret_contents, sb_error *err);
void checkpoint_contents_close(struct checkpoint_contents *contents);
const struct checkpoint_meta *checkpoint_contents_meta(const struct checkpoint_contents *contents);

/* Items as of checkpoint_reader_next: providers, then snapshots with their entries. */
int32_t checkpoint_contents_next(struct checkpoint_contents *contents, struct checkpoint_item *ret_item, sb_error *err);

#endif
