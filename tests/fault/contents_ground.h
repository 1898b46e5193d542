/* A directory with checkpoints of each kind in it, written as a test wants them, and their logical content as a line of text.
 *
 * A state is told in a line: for each snapshot the character that ends its name, then its entries, "0 a1 b2|1 c3": key a with a value of ones in backend-0, ….
 * In a delta "-a" deletes a; "~a1" has expired at the cut; "*600" is that many other keys, "+a" an entry that is larger than a frame. */
#ifndef FAULT_CONTENTS_GROUND_H
#define FAULT_CONTENTS_GROUND_H

#include "base/buffer.h"
#include "base/clock.h"
#include "checkpoint/checkpoint_private.h"
#include "checkpoint/contents.h"

struct contents_ground {
	char dir[128];
	struct io io; /* that writes */
	struct clock clock;
	struct checkpoint_contents_config config; /* but for io and store: the reader's */
};

void contents_ground_init(struct contents_ground *ground);
void contents_ground_done(struct contents_ground *ground);

/* checkpoint-<number>, which holds changes since number - 1 when depth is not 0. */
void contents_write(struct contents_ground *ground, uint64_t number, uint32_t depth, const char *state);

/* A native one of the fixture filing_backend, whose files are those of meta. */
struct native_draft {
	struct checkpoint_meta meta; /* metadata_done */
};

void native_draft_init(struct native_draft *draft, uint64_t number, const char *backend_id);
/* One more snapshot, with these entries in its files. current: what CURRENT says; NULL: what is right. */
void native_draft_add(struct contents_ground *ground, struct native_draft *draft, const char *snapshot,
		      const char *current, sb_slice bucket);
/* Appends an entry as the files hold it. */
void native_append_entry(struct buffer *bucket, sb_slice key, sb_slice value, int64_t expiry_ms);
void native_draft_write(struct contents_ground *ground, struct native_draft *draft);

/* What checkpoint-<number> holds, with a store of its own: "p0 0 a1 b2|1 c3|", p for each provider; only so many items of it (0: all). */
int32_t contents_read(const struct contents_ground *ground, struct io *io, uint64_t number, uint64_t max_items,
		      struct buffer *ret_line, sb_error *err);

#endif
