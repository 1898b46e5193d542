/* Files of native checkpoints: each content once, in shared/ under its SHA-256.
 *
 * A file there is never changed. It is put by a link, when the backend promises the same, else by a copy that
 * gets its name when it is whole and on the disk. Nothing is removed here: the store sweeps what no checkpoint names. */
#ifndef CHECKPOINT_SHARED_H
#define CHECKPOINT_SHARED_H

#include <stdbool.h>

#include "checkpoint/metadata.h"
#include "checkpoint/watch.h"
#include "io/io.h"

/* A file whose content's hash is known, and which lay durable in shared/ when that was noted. While it is not written
 * to, device, inode, size and time of change stay; it is immutable by its backend's word. */
struct shared_known {
	dev_t dev;
	ino_t ino;
	int64_t bytes, mtime_ns;
	char sha256[CHECKPOINT_SHA256_HEX + 1];
};

struct shared {
	struct io *io;
	const char *dir; /* of the checkpoints; borrowed */
	struct shared_known *known;
	uint64_t known_count, known_cap;
	struct shared_known *next; /* seen by the checkpoint that is being written */
	uint64_t next_count, next_cap;
	uint64_t temporaries; /* numbers them */
	bool name_is_durable; /* that of shared/ */
};

void shared_init(struct shared *shared, struct io *io, const char *dir);
void shared_done(struct shared *shared);

/* Around the files of one checkpoint. commit: it is there, so its files are the known ones from now on. */
void shared_begin(struct shared *shared);
void shared_commit(struct shared *shared);
/* How a file got there: it was there, its backend had written it anyhow, or it was written once more. */
enum shared_how { SHARED_REUSED, SHARED_LINKED, SHARED_COPIED };

/* Puts one file there and fsyncs it if it is new; fills bytes and sha256 of ret_file. */
int32_t shared_put(struct shared *shared, const char *path, bool immutable, struct file_meta *ret_file,
		   enum shared_how *ret_how, sb_error *err);
/* Behind the last put: makes the names durable. */
int32_t shared_sync(struct shared *shared, sb_error *err);

/* The file at path is a link to (or a copy of) a file of a restored checkpoint. */
int32_t shared_know(struct shared *shared, const char *path, const char *sha256, sb_error *err);

/* Puts a file from shared/ to path, which is not there yet: linked if it may be, else copied. */
int32_t shared_take(struct io *io, const char *dir, const struct file_meta *file, bool link, const char *path,
		    sb_error *err);
/* SB_ERR_CORRUPT when one of meta's files is missing, has another size or, with hash, another content. watch may be NULL. */
int32_t shared_check(struct io *io, const char *dir, const struct checkpoint_meta *meta, bool hash,
		     const struct checkpoint_watch *watch, sb_error *err);

#endif
