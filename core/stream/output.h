/* A file that the job appends to: the records it emits, or its dead letters.
 *
 * Exactly-once rests on two numbers: length, which a checkpoint records at its barrier, and sync, which makes
 * that many bytes durable before the checkpoint counts. After a crash the file is cut back to the recorded
 * length, and what is emitted again is written again. Standard output cannot be cut back: what was written after
 * the last checkpoint comes twice.
 *
 * append, flush and length may be called by several threads, sync by one more. */
#ifndef STREAM_OUTPUT_H
#define STREAM_OUTPUT_H

#include <pthread.h>
#include <stdbool.h>

#include "base/buffer.h"
#include "io/io.h"

enum output_kind { OUTPUT_NONE, OUTPUT_STDOUT, OUTPUT_FILE };

struct output {
	struct io *io;
	enum output_kind kind;
	const char *role; /* "output", "dead-letter": for sentences and checkpoints */
	char *path;
	int fd;
	pthread_mutex_t mutex; /* guards what follows */
	struct buffer pending; /* appended and not yet written */
	int64_t length; /* written and pending */
	bool lazy; /* the file is created by the first append */
	bool unsynced; /* written since the last sync */
	bool is_regular; /* a device or a pipe has nothing to sync or to cut back */
	bool sync_failed; /* what the file holds is unknown from then on */
	sb_error sync_error;
};

/* path "-": standard output; "none": nothing is kept. restored_length < 0: begun anew (an existing file is emptied). Otherwise the
 * file must have at least that many bytes, and is cut back to them: SB_ERR_CONFIG names the remedy. lazy: no file is made
 * before there is something to write. output has a fixed address. */
int32_t output_open(struct output *output, struct io *io, const char *role, const char *path, int64_t restored_length,
		    bool lazy, sb_error *err);
/* Does not flush: what no checkpoint counts on may be lost. */
void output_close(struct output *output);

int32_t output_append(struct output *output, sb_slice bytes, sb_error *err);
int32_t output_flush(struct output *output, sb_error *err);
/* A failed sync is never mended by a later one, since the kernel may have dropped what it could not write: every
 * later call fails, too. */
int32_t output_sync(struct output *output, sb_error *err);
int64_t output_length(struct output *output);

#endif
