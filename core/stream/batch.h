/* What travels from the reader to a task: a batch of events, or a barrier.
 *
 * A batch owns what its events point to: a reference on each block of input, and an arena for
 * what had to be unescaped. It is recycled, so that a steady stream allocates nothing. */
#ifndef STREAM_BATCH_H
#define STREAM_BATCH_H

#include <stdbool.h>

#include "base/arena.h"
#include "sb_plugin.h"
#include "stream/block.h"

#define BATCH_EVENTS 1024u

struct barrier;

struct batch {
	uint32_t count;
	uint32_t value_count; /* per event */
	sb_event *events; /* BATCH_EVENTS of them */
	sb_value *values; /* BATCH_EVENTS * value_count; event i has those from i * value_count */
	uint64_t *hashes; /* key_hash of each event's key */
	struct arena arena;
	struct block **blocks; /* referenced */
	uint32_t block_count, block_cap;
	int64_t horizon_ms; /* no later event of this task has an earlier clock */
	struct barrier *barrier; /* not NULL: the batch is this barrier, and has no events */
};

struct batch *batch_new(uint32_t value_count);
/* NULL is fine. */
void batch_free(struct batch *batch);
/* Lets go of blocks and arena, ready to be filled again. */
void batch_reset(struct batch *batch);
/* Keeps one more block for the batch's life. False when memory is out. */
bool batch_add_block(struct batch *batch, struct block *block);

/* The same for one that may be kept already: events come block by block. */
static inline bool batch_keep_block(struct batch *batch, struct block *block)
{
	return (batch->block_count && batch->blocks[batch->block_count - 1] == block) || batch_add_block(batch, block);
}

#endif
