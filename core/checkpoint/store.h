/* The checkpoint directory: its lock, what lies in it, which one to restore, what to remove.
 *
 *   checkpoints/checkpoint-<unix ns>.json          a checkpoint
 *   checkpoints/checkpoint-<unix ns>.json.tmp      one being written, or left by a crash
 *   checkpoints/quarantine/checkpoint-….json       did not verify; kept for people, never read again
 *   checkpoints/abandoned/checkpoint-….json        of a history that the user left; kept for people, too
 *   checkpoints/shared/<sha256>                    files of native checkpoints, each content once
 *   checkpoints/tmp-…/                             made on the way to one, or to read one
 *   checkpoints/LOCK                               held by the running job
 */
#ifndef CHECKPOINT_STORE_H
#define CHECKPOINT_STORE_H

#include "base/clock.h"
#include "base/log.h"
#include "checkpoint/metadata.h"
#include "checkpoint/reader.h"
#include "io/io.h"

struct checkpoint_store;

/* Creates the directory when create is true (mode 0700), locks it when lock is true (SB_ERR_BUSY), removes temporaries
 * that a crash left when it holds the lock. */
int32_t checkpoint_store_open(struct io *io, const struct log *log, const char *dir, bool create, bool lock,
			      struct checkpoint_store **ret_store, sb_error *err);
/* Locks a store that was opened without (SB_ERR_BUSY), and removes nothing. */
int32_t checkpoint_store_lock(struct checkpoint_store *store, sb_error *err);
void checkpoint_store_close(struct checkpoint_store *store);
const char *checkpoint_store_dir(const struct checkpoint_store *store);

struct checkpoint_ref {
	char id[CHECKPOINT_ID_BYTES];
	uint64_t number; /* the digits: ids are compared by it */
	int64_t file_bytes;
};

/* Newest first, by number; *ret_refs is malloc'ed. Names that are no checkpoint's are left out. */
int32_t checkpoint_store_list(struct checkpoint_store *store, struct checkpoint_ref **ret_refs, uint64_t *ret_count,
			      sb_error *err);
/* Full path of an id; malloc'ed, NULL when memory is out. */
char *checkpoint_store_path(const struct checkpoint_store *store, const char *id);

/* An id that is above every id in the directory (those set aside included) and every id handed out before, whatever
 * the clock does. */
int32_t checkpoint_store_next_id(struct checkpoint_store *store, struct clock *clock, char ret_id[CHECKPOINT_ID_BYTES],
				 sb_error *err);

/* Opens the newest checkpoint whose digest verifies, or the one called id (not NULL), positioned before its first
 * item. A damaged one is moved to
 * quarantine/ (with quarantine true: the job's restore; tools only pass over it), with a loud line, and the next
 * older is tried; one asked for by id is
 * an error and stays where it is. *ret_damaged counts those passed over, and is set with SB_ERR_NOT_FOUND, too.
 * SB_ERR_NOT_FOUND when there is none (the sentence tells how many were damaged); SB_ERR_INCOMPATIBLE at once for a
 * newer format, no falling back;
 * SB_ERR_IO when a file cannot be read at all: not damaged, so no falling back either. */
int32_t checkpoint_store_open_newest(struct checkpoint_store *store, const char *id, bool quarantine,
				     struct checkpoint_reader **ret_reader, uint64_t *ret_damaged, sb_error *err);

/* Removes what is not needed beside the newest keep (>= 1) checkpoints, by the rule of sweep.h; the store has its lock. A failure to
 * remove is logged and is no error of the job. */
int32_t checkpoint_store_collect(struct checkpoint_store *store, uint64_t keep, uint64_t *ret_removed, sb_error *err);

/* Moves a checkpoint to quarantine/, replacing nothing: for a restore that found its items wrong behind a good
 * digest. */
int32_t checkpoint_store_quarantine(struct checkpoint_store *store, const char *id, sb_error *err);

/* Moves every checkpoint that is newer than id (NULL: every one) to abandoned/, the newest first. */
int32_t checkpoint_store_abandon_newer(struct checkpoint_store *store, const char *id, uint64_t *ret_count,
				       sb_error *err);
/* Moves every checkpoint but id to abandoned/, the newest first. */
int32_t checkpoint_store_abandon_others(struct checkpoint_store *store, const char *id, uint64_t *ret_count,
					sb_error *err);

/* Whether open_newest hashes the files of native checkpoints (the default) or looks only whether they are there and have their sizes. */
void checkpoint_store_trust_files(struct checkpoint_store *store, bool trust);

/* Told while checkpoints are verified, before a restore or by checkpoint_store_verify; borrowed. NULL: nobody is. */
void checkpoint_store_watch(struct checkpoint_store *store, const struct checkpoint_watch *watch);

/* Digest, items, files and all parents of one checkpoint. */
int32_t checkpoint_store_verify(struct checkpoint_store *store, const char *id, sb_error *err);

/* Puts a file of a native checkpoint to path, linked if that may be. With know, the next native checkpoint recognises it there. */
int32_t checkpoint_store_take_file(struct checkpoint_store *store, const struct file_meta *file, bool link, bool know,
				   const char *path, sb_error *err);

/* True when quarantine/ holds something: a sign that there was state. */
bool checkpoint_store_has_quarantine(struct checkpoint_store *store);

#endif
