/* Reading one checkpoint file, as a stream, trusting nothing in it.
 *
 * SB_ERR_CORRUPT: the bytes are not what a writer wrote. SB_ERR_INCOMPATIBLE: they are, but of a newer
 * format than this program knows. All declared sizes are bounded before anything is allocated. */
#ifndef CHECKPOINT_READER_H
#define CHECKPOINT_READER_H

#include "checkpoint/metadata.h"
#include "checkpoint/watch.h"
#include "io/io.h"

struct checkpoint_reader;

/* Reads the head and the tail of the file: cheap, whatever its size. Checks form, not the digest, except that a newer
 * format version is
 * believed only behind a right one. A file called checkpoint-<n>.json must hold that id; one with another name (an
 * export) may hold any.
 * meta and totals live as long as the reader. */
int32_t checkpoint_reader_open(struct io *io, const char *path, struct checkpoint_reader **ret_reader, sb_error *err);
void checkpoint_reader_close(struct checkpoint_reader *reader);
const struct checkpoint_meta *checkpoint_reader_meta(const struct checkpoint_reader *reader);
const struct checkpoint_totals *checkpoint_reader_totals(const struct checkpoint_reader *reader);

/* Told while the digest is checked; borrowed. */
void checkpoint_reader_watch(struct checkpoint_reader *reader, const struct checkpoint_watch *watch);

/* Reads every byte of the file and compares the digest; then rewinds to the beginning of StateData. */
int32_t checkpoint_reader_verify_digest(struct checkpoint_reader *reader, sb_error *err);

/* The next item is the first one again. */
void checkpoint_reader_rewind(struct checkpoint_reader *reader);

enum checkpoint_item_kind {
	ITEM_PROVIDER, /* name, bytes */
	ITEM_SNAPSHOT_BEGIN, /* name */
	ITEM_ENTRY,
	ITEM_SNAPSHOT_END,
	ITEM_END,
};

struct checkpoint_item {
	enum checkpoint_item_kind kind;
	const char *name; /* valid until the next item of a kind with a name */
	sb_slice bytes;
	/* ITEM_ENTRY; slices valid until the next call */
	uint32_t state_id, key_group;
	sb_slice user_part, value;
	int64_t expiry_ms;
	bool deleted; /* with a parent only: the key has gone since */
};

/* Checks frame checksums, ids against the schema, value sizes of struct states, key groups, counts and the state
 * digest (at ITEM_END). */
int32_t checkpoint_reader_next(struct checkpoint_reader *reader, struct checkpoint_item *ret_item, sb_error *err);

/* Opens, checks the digest, reads all items, and hashes the files in shared/ beside it: what "verify" means, but for the
 * parents. watch may be NULL. */
int32_t checkpoint_verify(struct io *io, const char *path, const struct checkpoint_watch *watch, sb_error *err);

#endif
