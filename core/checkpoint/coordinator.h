/* The coordinator writes checkpoints, on a thread of its own, one at a time.
 *
 * The pipeline takes a cut at a barrier: positions, outputs' lengths, each operator's own snapshot, and a stable iterator over each backend, as soon as
 * it has the state of that moment. From then on the cut belongs to the coordinator, while processing goes on. A
 * checkpoint counts when its file is durable: only then is it reported and are older ones collected. */
#ifndef CHECKPOINT_COORDINATOR_H
#define CHECKPOINT_COORDINATOR_H

#include "base/clock.h"
#include "base/log.h"
#include "checkpoint/store.h"
#include "checkpoint/writer.h"
#include "plugin/instance.h"

/* How a task's state is read: over everything, over what has changed since the parent, or as files that the backend makes. */
enum cut_mode { CUT_ENTRIES, CUT_CHANGES, CUT_FILES };

struct cut_task {
	enum cut_mode mode;
	struct instance *backend;
	sb_iter *iter; /* ENTRIES: opened at the barrier, or when the backend had the state of that moment */
	sb_changes *changes; /* CHANGES: the same */
	struct instance *operator;
	struct buffer provider; /* the operator's own snapshot */
	bool has_provider;
};

struct checkpoint_cut {
	struct checkpoint_meta meta;
	struct cut_task *tasks; /* meta.tasks of them */
	int64_t pause_ns; /* how long processing stood still for it */
	int64_t thaw_ns; /* from then until the backends had the state of the barrier */
	bool writes_released; /* FILES: told to whoever holds them back */
};

/* Closes the iterators and frees all. NULL is fine. */
void checkpoint_cut_free(struct checkpoint_cut *cut);

struct checkpoint_result {
	int32_t status;
	sb_error error; /* when status is not SB_OK */
	char id[CHECKPOINT_ID_BYTES];
	struct checkpoint_totals totals;
	int64_t file_bytes;
	enum cut_mode mode;
	uint64_t files, files_reused; /* of FILES */
	int64_t copied_bytes; /* of files that were not there yet: written by the checkpoint */
	int64_t linked_bytes; /* the same, written by their backend anyhow */
	int64_t duration_ns; /* of writing: behind pause and thaw */
	int64_t pause_ns;
	int64_t thaw_ns;
};

struct coordinator_config {
	struct io *io;
	struct clock *clock;
	const struct log *log;
	struct checkpoint_store *store; /* used by the coordinator's thread alone while it runs */
	enum checkpoint_codec codec;
	uint64_t keep;
	/* Called on the coordinator's thread when backends may be written to again: once for each cut with FILES, as soon as
	 * they have been made, or have failed to be. */
	void (*release_writes)(void *context);
	/* Called on the coordinator's thread: makes durable what the cut counts on, before the checkpoint is. */
	int32_t (*sync_outputs)(void *context, sb_error *err);
	/* Called on the coordinator's thread when the checkpoint is there, or has failed. The iterators are closed by then. */
	void (*done)(void *context, const struct checkpoint_result *result);
	void *context;
};

struct coordinator;

int32_t coordinator_start(const struct coordinator_config *config, struct coordinator **ret_coordinator, sb_error *err);
/* Takes the cut over. No other may be under way. */
void coordinator_submit(struct coordinator *coordinator, struct checkpoint_cut *cut);
/* Waits for the one under way and ends the thread. NULL is fine. */
void coordinator_stop(struct coordinator *coordinator);

/* What the thread does with a cut; here for tests without a thread. Closes the cut's iterators. */
void coordinator_write(const struct coordinator_config *config, struct checkpoint_cut *cut,
		       struct checkpoint_result *ret_result);

#endif
