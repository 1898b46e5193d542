/* The content of a chain: the newest word on each key counts.
 *
 * Two passes. The first reads all deltas, oldest first, and notes for each key where the last word on it is: which delta, and the
 * how manieth item of it. The second streams: for each snapshot the newest delta's part of it, then the older ones', then the
 * full one's, and gives an entry only where the last word is, or, from the full one, when no delta has a word on it. So every key
 * comes once, and what is held in memory grows with the deltas, not with the state.
 *
 * All members of a chain hold the same snapshots in the same order, which is checked: a chain never spans a change of parallelism. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

#include "base/arena.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/slice.h"
#include "checkpoint/contents_private.h"
#include "state/composed_key.h"

/* The last word on a key. */
struct word {
	const uint8_t *key; /* composed; NULL: empty slot */
	uint64_t key_len;
	uint64_t hash;
	uint64_t ordinal; /* of the item in its delta */
	uint32_t level;
};

struct delta_contents {
	struct checkpoint_contents *contents;
	struct checkpoint_reader
		*levels[CHECKPOINT_DEPTH_MAX + 1]; /* 0: the checkpoint itself (borrowed), then its parents */
	uint64_t ordinals[CHECKPOINT_DEPTH_MAX + 1]; /* of the last item */
	uint32_t level_count;
	struct word *words;
	uint64_t mask, count;
	uint64_t secret; /* of the table's hash */
	struct arena keys;
	struct buffer key;
	uint32_t level; /* whose snapshot is being read */
	bool in_snapshot;
	char snapshot[CHECKPOINT_NAME_MAX + 1];
};

static sb_slice compose(struct delta_contents *delta, const struct checkpoint_item *item)
{
	uint8_t prefix[COMPOSED_PREFIX_BYTES];

	composed_put_prefix(prefix, item->key_group, item->state_id);
	buffer_clear(&delta->key);
	buffer_append(&delta->key, prefix, sizeof(prefix));
	buffer_append_slice(&delta->key, item->user_part);
	return buffer_slice(&delta->key);
}

/* The slot of the key: its word, or the empty one where that belongs. */
static struct word *find(const struct delta_contents *delta, sb_slice key, uint64_t hash)
{
	uint64_t at = hash & delta->mask;

	for (;; at = (at + 1) & delta->mask) {
		struct word *word = &delta->words[at];

		if (!word->key)
			return word;
		if (word->hash != hash)
			continue;
		/* GCOVR_EXCL_BR_START: two keys of one hash of 64 bits cannot be staged, since it has a secret in it */
		if (slice_equal(slice_of(word->key, word->key_len), key))
			return word;
		/* GCOVR_EXCL_BR_STOP */
	}
}

/* Keys come from outside, so nobody may know beforehand where they lie: the kernel gives each process a few random bytes. */
static uint64_t draw_secret(const struct delta_contents *delta)
{
	uint64_t secret;

	memcpy(&secret, (const void *)getauxval(AT_RANDOM), sizeof(secret));
	return secret ^ (uint64_t)(uintptr_t)delta;
}

static int32_t grow(struct delta_contents *delta, sb_error *err)
{
	struct word *old = delta->words;
	uint64_t slots = old ? 2 * (delta->mask + 1) : 1024;
	struct word *words = calloc(slots, sizeof(*words));
	uint64_t old_slots = old ? delta->mask + 1 : 0;

	if (!words)
		return error_no_memory(err);
	delta->words = words;
	delta->mask = slots - 1;
	for (uint64_t i = 0; i < old_slots; i++)
		if (old[i].key)
			*find(delta, slice_of(old[i].key, old[i].key_len), old[i].hash) = old[i];
	free(old);
	return SB_OK;
}

static int32_t note(struct delta_contents *delta, const struct checkpoint_item *item, uint32_t level, uint64_t ordinal,
		    sb_error *err)
{
	sb_slice key = compose(delta, item);
	struct word *word;
	uint64_t hash;

	TRY(buffer_check(&delta->key, err));
	if (delta->count >= delta->mask / 2)
		TRY(grow(delta, err));
	hash = hash64_keyed(key, delta->secret);
	word = find(delta, key, hash);
	if (!word->key) {
		uint8_t *copy = arena_alloc(&delta->keys, key.len);

		if (!copy)
			return error_no_memory(err);
		memcpy(copy, key.ptr, key.len);
		*word = (struct word){.key = copy, .key_len = key.len, .hash = hash};
		delta->count++;
	}
	word->level = level;
	word->ordinal = ordinal;
	return SB_OK;
}

static int32_t note_level(struct delta_contents *delta, uint32_t level, sb_error *err)
{
	struct checkpoint_item item;
	uint64_t ordinal = 0;

	do {
		TRY(checkpoint_reader_next(delta->levels[level], &item, err));
		if (item.kind == ITEM_ENTRY)
			TRY(note(delta, &item, level, ++ordinal, err));
	} while (item.kind != ITEM_END);
	checkpoint_reader_rewind(delta->levels[level]);
	return SB_OK;
}

int32_t delta_contents_open(struct checkpoint_contents *contents, struct delta_contents **ret_delta, sb_error *err)
{
	struct delta_contents *delta = calloc(1, sizeof(*delta));
	uint32_t parents;

	if (!delta)
		return error_no_memory(err);
	*ret_delta = delta;
	delta->contents = contents;
	delta->secret = draw_secret(delta);
	delta->levels[0] = contents->reader;
	TRY(chain_open(contents->config.store, checkpoint_reader_meta(contents->reader), false, delta->levels + 1,
		       &parents, err));
	delta->level_count = parents + 1;
	TRY(grow(delta, err));
	for (uint32_t level = parents; level-- > 0;)
		TRY(note_level(delta, level, err));
	return SB_OK;
}

void delta_contents_close(struct delta_contents *delta)
{
	if (!delta)
		return;
	if (delta->level_count)
		chain_close(delta->levels + 1, delta->level_count - 1);
	free(delta->words);
	arena_done(&delta->keys);
	buffer_done(&delta->key);
	free(delta);
}

/* Whether the item, just read from level, is the last word on its key and one that is still there. */
static int32_t counts(struct delta_contents *delta, const struct checkpoint_item *item, bool *ret_counts, sb_error *err)
{
	const uint32_t level = delta->level;
	const struct word *word;
	sb_slice key;

	delta->ordinals[level]++;
	*ret_counts = false;
	if (item->deleted || item_has_expired(item, checkpoint_reader_meta(delta->contents->reader)->cut_ms))
		return SB_OK;
	key = compose(delta, item);
	TRY(buffer_check(&delta->key, err));
	word = find(delta, key, hash64_keyed(key, delta->secret));
	if (level + 1 == delta->level_count)
		*ret_counts = !word->key;
	else /* ordinals begin with 1, so no item is the last word in an empty slot */
		*ret_counts = word->level == level && word->ordinal == delta->ordinals[level];
	return SB_OK;
}

/* Parents have providers of their own, which are history. */
static int32_t expect_snapshot(struct delta_contents *delta, uint32_t level, sb_error *err)
{
	struct checkpoint_item item;

	do {
		TRY(checkpoint_reader_next(delta->levels[level], &item, err));
	} while (item.kind == ITEM_PROVIDER);
	if (item.kind == ITEM_SNAPSHOT_BEGIN && strcmp(item.name, delta->snapshot) == 0)
		return SB_OK;
	return error_set(err, SB_ERR_CORRUPT, "%s, on which %s builds, has not the same snapshots",
			 checkpoint_reader_meta(delta->levels[level])->id,
			 checkpoint_reader_meta(delta->contents->reader)->id);
}

/* The full one is read once, here, and only its end tells whether it held what it says: its counts, its state's digest. */
static int32_t expect_end(struct delta_contents *delta, sb_error *err)
{
	struct checkpoint_reader *base = delta->levels[delta->level_count - 1];
	struct checkpoint_item item;

	TRY(checkpoint_reader_next(base, &item, err));
	if (item.kind == ITEM_END)
		return SB_OK;
	return error_set(err, SB_ERR_CORRUPT, "%s, on which %s builds, has more snapshots",
			 checkpoint_reader_meta(base)->id, checkpoint_reader_meta(delta->contents->reader)->id);
}

static int32_t next_outside(struct delta_contents *delta, struct checkpoint_item *ret_item, sb_error *err)
{
	TRY(checkpoint_reader_next(delta->levels[0], ret_item, err));
	if (ret_item->kind == ITEM_END)
		return expect_end(delta, err);
	if (ret_item->kind != ITEM_SNAPSHOT_BEGIN)
		return SB_OK;
	memcpy(delta->snapshot, ret_item->name, strlen(ret_item->name) + 1);
	ret_item->name = delta->snapshot;
	delta->in_snapshot = true;
	delta->level = 0;
	return SB_OK;
}

int32_t delta_contents_next(struct delta_contents *delta, struct checkpoint_item *ret_item, sb_error *err)
{
	bool wanted;

	if (!delta->in_snapshot)
		return next_outside(delta, ret_item, err);
	for (;;) {
		struct checkpoint_item item;

		TRY(checkpoint_reader_next(delta->levels[delta->level], &item, err));
		if (item.kind == ITEM_ENTRY) {
			TRY(counts(delta, &item, &wanted, err));
			if (!wanted)
				continue;
			item.name = delta->snapshot;
			*ret_item = item;
			return SB_OK;
		}
		delta->level++; /* ITEM_SNAPSHOT_END: nothing else can follow an entry */
		if (delta->level < delta->level_count) {
			TRY(expect_snapshot(delta, delta->level, err));
			continue;
		}
		delta->in_snapshot = false;
		*ret_item = (struct checkpoint_item){.kind = ITEM_SNAPSHOT_END, .name = delta->snapshot};
		return SB_OK;
	}
}
