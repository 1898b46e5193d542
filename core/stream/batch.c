/* See batch.h. */
#include "stream/batch.h"

#include <stdlib.h>

struct batch *batch_new(uint32_t value_count)
{
	struct batch *batch = calloc(1, sizeof(*batch));

	if (!batch)
		return NULL;
	batch->value_count = value_count;
	batch->events = calloc(BATCH_EVENTS, sizeof(*batch->events)); /* their flags stay 0 */
	batch->values = malloc((size_t)BATCH_EVENTS * value_count * sizeof(*batch->values));
	batch->hashes = malloc(BATCH_EVENTS * sizeof(*batch->hashes));
	if (!batch->events || !batch->values || !batch->hashes) {
		batch_free(batch);
		return NULL;
	}
	return batch;
}

void batch_free(struct batch *batch)
{
	if (!batch)
		return;
	batch_reset(batch);
	arena_done(&batch->arena);
	free(batch->blocks);
	free(batch->events);
	free(batch->values);
	free(batch->hashes);
	free(batch);
}

void batch_reset(struct batch *batch)
{
	for (uint32_t i = 0; i < batch->block_count; i++)
		block_unref(batch->blocks[i]);
	batch->block_count = 0;
	arena_reset(&batch->arena);
	batch->count = 0;
	batch->barrier = NULL;
}

bool batch_add_block(struct batch *batch, struct block *block)
{
	if (batch->block_count == batch->block_cap) {
		uint32_t cap = batch->block_cap ? 2 * batch->block_cap : 8;
		struct block **grown = realloc(batch->blocks, cap * sizeof(*grown));

		if (!grown)
			return false;
		batch->blocks = grown;
		batch->block_cap = cap;
	}
	block_ref(block);
	batch->blocks[batch->block_count++] = block;
	return true;
}
