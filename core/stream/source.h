/* Sources: where records come from, and how to come back to a record after a crash.
 *
 * A source is one partition: a file, standard input, or the generator. Its offset is a number
 * from which reading can begin again: bytes for files, events for the generator.
 * Sources only split input into records; the decoder looks inside. */
#ifndef STREAM_SOURCE_H
#define STREAM_SOURCE_H

#include <stdbool.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/log.h"
#include "io/io.h"
#include "stream/block.h"
#include "stream/decode.h"
#include "stream/profile.h"

enum source_kind { SOURCE_FILE, SOURCE_STDIN, SOURCE_GENERATOR };

struct generator_config {
	int64_t users; /* >= 1 */
	double rate; /* events a second; 0: as fast as they are taken */
	uint64_t seed;
	int64_t count; /* how many in all; 0: without end */
};

struct source_config {
	enum source_kind kind;
	const char *path; /* FILE */
	struct generator_config generator;
	struct decoder *decoder; /* splits; outlives the source; its header is set by the source */
	bool has_header; /* the first line is no record */
	struct io *io;
	struct clock *clock;
	const struct log *log;
};

/* Parses "users=5,rate=1,seed=N,count=N" (each optional; NULL for all defaults: 5, 1, 0 = pick one, 0). */
int32_t generator_parse(const char *text, struct generator_config *ret_config, sb_error *err);

/* What a partition was when a checkpoint was written, so that another one under the same name is not taken for it. */
struct source_identity {
	char *name; /* path, "-" or "generator" */
	int64_t head_bytes; /* FILE and a rewindable stdin: so many bytes at its beginning ... */
	uint64_t head_hash; /* ... have this hash; at most 4 KiB, and no more than were read */
	int64_t size; /* bytes it had; -1: unknown */
	struct generator_config generator; /* GENERATOR */
};

void source_identity_done(struct source_identity *identity);

struct source_record {
	sb_slice bytes; /* with its line end; inside block */
	struct block *block; /* the source's reference: take one to keep the bytes beyond the next call */
	int64_t offset; /* of its first byte (generator: its number) */
	int64_t next_offset; /* where reading goes on after it */
	bool oversize; /* longer than RECORD_MAX_BYTES: bytes holds the first 4 KiB of it */
};

enum source_status {
	SOURCE_RECORD,
	SOURCE_IDLE, /* nothing at the moment: wait for poll_fd or due_ns */
	SOURCE_END,
	SOURCE_FAILED, /* err says why */
};

struct source;

/* The watch of the thread that calls source_next, which outlives that: waiting for bytes counts as PROFILE_READ. */
void source_set_profile(struct source *source, struct profile *profile);

/* Opens (a file must exist and be readable) and reads a header; no record yet. SB_ERR_CONFIG names path and remedy. */
int32_t source_open(const struct source_config *config, struct source **ret_source, sb_error *err);
void source_close(struct source *source);

/* Goes to offset. expected (NULL on a fresh start) is checked: SB_ERR_CONFIG when this is no longer the same input (other
 * beginning, shorter than the offset, other generator). A pipe cannot go back: it is read from where it is, with a warning in the log that says
 * what that means. Called once, before the first source_next. */
int32_t source_start(struct source *source, int64_t offset, const struct source_identity *expected, sb_error *err);

enum source_status source_next(struct source *source, struct source_record *ret_record, sb_error *err);

/* While idle: a descriptor to poll for POLLIN, or -1; and the monotonic time at which something is due, or INT64_MAX. */
int source_poll_fd(const struct source *source);
int64_t source_due_ns(const struct source *source);

/* What it is now; ret is owned by the caller. */
int32_t source_identity(const struct source *source, struct source_identity *ret_identity, sb_error *err);
/* Bytes or events in all, for progress; -1 when unknown. */
int64_t source_total(const struct source *source);

#endif
