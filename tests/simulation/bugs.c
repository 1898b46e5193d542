/* See bugs.h. */
#include "simulation/bugs.h"

#include <string.h>

#include "checkpoint/writer.h"
#include "state/write_hold.h"

#define SOURCES_MAX 8u

static struct {
	enum bug bug;
	struct {
		const struct source *source;
		int64_t offset;
	} positions[SOURCES_MAX]; /* in the order in which they were first read, which is that of the partitions */
	unsigned count;
} bugs;

static const char *const names[BUG_COUNT] = {
	[BUG_NONE] = "none",
	[BUG_NO_MUTEX] = "no-mutex",
	[BUG_LOST_WAKE] = "lost-wake",
	[BUG_LOST_TELL] = "lost-tell",
	[BUG_LATE_POSITIONS] = "late-positions",
	[BUG_NO_FILE_SYNC] = "no-file-sync",
	[BUG_NO_DIRECTORY_SYNC] = "no-directory-sync",
	[BUG_NO_SHARED_SYNC] = "no-shared-sync",
	[BUG_NO_SHARED_DIRECTORY_SYNC] = "no-shared-directory-sync",
	[BUG_NO_HOLD] = "no-hold",
	[BUG_NO_OUTPUT_SYNC] = "no-output-sync",
	[BUG_NO_TRUNCATE] = "no-truncate",
	[BUG_NO_RENAME] = "no-rename",
	[BUG_LOST_WRITE] = "lost-write",
};

void bug_set(enum bug bug)
{
	bugs.bug = bug;
}

bool bug_is_set(enum bug bug)
{
	return bugs.bug == bug;
}

enum bug bug_named(const char *name)
{
	enum bug bug = BUG_NONE;

	while (bug < BUG_COUNT && strcmp(names[bug], name) != 0)
		bug++;
	return bug;
}

const char *bug_name(enum bug bug)
{
	return names[bug];
}

void bug_begin_run(void)
{
	bugs.count = 0;
}

void bug_note_record(const struct source *source, int64_t next_offset)
{
	unsigned i = 0;

	while (i < bugs.count && bugs.positions[i].source != source)
		i++;
	if (i == SOURCES_MAX)
		return;
	if (i == bugs.count)
		bugs.positions[bugs.count++].source = source;
	bugs.positions[i].offset = next_offset;
}

int32_t __real_checkpoint_writer_begin(struct io *io, const char *dir, const struct checkpoint_meta *meta,
				       enum checkpoint_codec codec, struct checkpoint_writer **ret_writer,
				       sb_error *err);
int32_t __wrap_checkpoint_writer_begin(struct io *io, const char *dir, const struct checkpoint_meta *meta,
				       enum checkpoint_codec codec, struct checkpoint_writer **ret_writer,
				       sb_error *err);

/* Each partition's position as it is by now: the first that was read is the first partition. */
int32_t __wrap_checkpoint_writer_begin(struct io *io, const char *dir, const struct checkpoint_meta *meta,
				       enum checkpoint_codec codec, struct checkpoint_writer **ret_writer,
				       sb_error *err)
{
	for (uint64_t i = 0; bugs.bug == BUG_LATE_POSITIONS && i < meta->partition_count && i < bugs.count; i++)
		if (bugs.positions[i].offset > meta->partitions[i].offset)
			meta->partitions[i].offset = bugs.positions[i].offset;
	return __real_checkpoint_writer_begin(io, dir, meta, codec, ret_writer, err);
}

void __real_write_hold_set(struct write_hold *hold);
void __wrap_write_hold_set(struct write_hold *hold);

void __wrap_write_hold_set(struct write_hold *hold)
{
	if (bugs.bug != BUG_NO_HOLD)
		__real_write_hold_set(hold);
}
