/* What the checkpoint tests share: a job's metadata with everything in it, a state with
 * entries that are made from a seed, a scratch directory, and the comparison of what was written with what is read. */
#ifndef FAULT_CHECKPOINT_FIXTURE_H
#define FAULT_CHECKPOINT_FIXTURE_H

#include <stdbool.h>

#include "base/log.h"
#include "checkpoint/reader.h"
#include "checkpoint/store.h"
#include "checkpoint/writer.h"

/* mkdtemp under TMPDIR; removed with all in it by scratch_remove. */
void scratch_make(char path[128]);
void scratch_remove(const char *path);
/* A directory with all in it, to one that may not be there yet. */
void scratch_copy(const char *from, const char *to);

/* The system's calls, but fsync waits for nothing, so that thousands of attempts take seconds; ops has to last as long. */
void quick_io_init(struct io *io, struct io_ops *ops);

/* Writes nothing. */
extern const struct log silent_log;

struct fixture {
	struct checkpoint_meta meta; /* owned: metadata_done */
	uint64_t seed;
	uint64_t entries; /* over all snapshots */
	uint32_t snapshots; /* named backend-0, backend-1, … */
	uint32_t providers; /* named operator-0, … */
	uint64_t huge_value; /* when not 0, the first raw entry's value has that many bytes */
	bool reverse; /* entries in the other order */
};

/* Two states, profile (STRUCT, 24 bytes) and notes (RAW); two partitions, a file and a generator; two outputs. */
void fixture_init(struct fixture *fixture, uint64_t number, uint64_t seed, uint64_t entries);
/* Makes it the changes since checkpoint-<parent>, which needs depth - 1 ancestors. */
void fixture_build_on(struct fixture *fixture, uint64_t parent, uint32_t depth);
void fixture_done(struct fixture *fixture);

int32_t fixture_write(struct io *io, const char *dir, const struct fixture *fixture, enum checkpoint_codec codec,
		      struct checkpoint_totals *ret_totals, sb_error *err);
/* Reads the whole checkpoint with its digest and compares everything with what the fixture would write;
 * SB_ERR_INTERNAL says
 * what differs, other codes are the reader's own. */
int32_t fixture_compare(struct io *io, const char *path, const struct fixture *fixture, sb_error *err);
/* The same with a reader that is open before its first item. */
int32_t fixture_compare_items(struct checkpoint_reader *reader, const struct fixture *fixture, sb_error *err);
int32_t fixture_compare_meta(const struct checkpoint_meta *got, const struct checkpoint_meta *wanted, sb_error *err);

/* malloc'ed, NULL when it cannot be read. */
uint8_t *file_read(const char *path, size_t *ret_len);
void file_write(const char *path, const void *bytes, size_t len);
/* Entries of a directory whose names end so. */
unsigned count_names(const char *dir, const char *suffix);

#endif
