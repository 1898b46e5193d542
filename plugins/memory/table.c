/* SPDX-License-Identifier: Apache-2.0
 *
 * table.c: see table.h.
 */
#include "table.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define SMALL 0
#define BIG 1
/* Where a block grows, and the depth at which it does so no more: at a depth of 28
 * the table has far more entries than references. */
#define SMALL_LIMIT (255 * CHUNK_SLOTS - TABLE_SLACK)
#define BIG_LIMIT (383 * CHUNK_SLOTS - TABLE_SLACK - 114)
#define MAX_DEPTH 28u
/* So many chunks behind a key's home are fetched before anybody knows whether it is there. */
#define PASS_HOPS 3u
/* How many chunks ahead of the one that is moved its records are prefetched. */
#define MOVE_AHEAD 4u
/* Two neighbours that would fill a small block to less than this are joined. */
#define JOIN_LIMIT 1400u
/* A big block that holds less than this becomes small again. */
#define SHRINK_LIMIT 2000u

/* gcc takes a function that does nothing but prefetch for one without effect and drops
 * the calls, if it sees them; this makes it keep them. It is worth a factor of four in filling. */
#define PREFETCHES() __asm__ volatile("")

/* --- from hash to chunk --- */

/* The bent upper half of the hash; see table.h. Monotonic, so the directory's
 * doubling works as if it were the hash itself. The factor is a third of 2^32, rounded down so that nothing overflows. */
static inline uint32_t bend(uint64_t hash)
{
	uint64_t u = hash >> 32;

	return (uint32_t)(((u * u >> 32) + 2 * u) * 0x55555555 >> 32);
}

static inline uint8_t tag_of(uint64_t hash)
{
	uint8_t tag = (uint8_t)(hash >> 32); /* bits that decide neither block nor chunk */

	return tag ? tag : 1;
}

static inline uint32_t home_of(uint64_t hash, uint32_t chunk_count)
{
	return (uint32_t)((hash & UINT32_MAX) * chunk_count >> 32);
}

static inline uint32_t dir_index(const struct table *table, uint64_t hash)
{
	return (uint32_t)((uint64_t)bend(hash) >> (32 - table->depth));
}

static inline struct block *block_of(uintptr_t dirent)
{
	return (struct block *)(dirent & ~(uintptr_t)BIG);
}

static inline uint32_t chunks_of(uintptr_t dirent)
{
	return 255 + (uint32_t)(dirent & BIG) * 128; /* no branch: it is as good as random */
}

uint64_t table_hash(const struct table *table, sb_slice key)
{
	return XXH3_64bits_withSecret(key.ptr, key.len, table->secret, TABLE_SECRET_BYTES);
}

/* Where the search for a hash starts. */
static inline const struct chunk *home_chunk(const struct table *table, uint64_t hash)
{
	uintptr_t dirent = table->dir[dir_index(table, hash)];

	return &block_of(dirent)->chunks[home_of(hash, chunks_of(dirent))];
}

/* So many chunks behind it. */
static const struct chunk *chunk_behind_home(const struct table *table, uint64_t hash, uint32_t hops)
{
	uintptr_t dirent = table->dir[dir_index(table, hash)];
	uint32_t chunk_count = chunks_of(dirent), at = home_of(hash, chunk_count) + hops;

	return &block_of(dirent)->chunks[at < chunk_count ? at : at - chunk_count];
}

/* The records that a chunk proposes for the tag. */
static inline void prefetch_records(const struct table *table, const struct chunk *chunk, uint8_t tag)
{
	PREFETCHES();
	for (uint32_t mask = chunk_match(chunk, tag); mask; mask &= mask - 1) {
		const char *record = (const char *)arena_at(table->arena, chunk->refs[__builtin_ctz(mask)]);

		__builtin_prefetch(record);
		__builtin_prefetch(record + 64);
	}
}

void table_prefetch_group(const struct table *table, uint32_t n, const uint64_t *hashes)
{
	PREFETCHES();
	for (uint32_t i = 0; i < n; ++i)
		__builtin_prefetch(home_chunk(table, hashes[i]));
	for (uint32_t i = 0; i < n; ++i)
		prefetch_records(table, home_chunk(table, hashes[i]), tag_of(hashes[i]));
}

/* The slot of the key in a chunk, or CHUNK_SLOTS. */
static inline uint32_t slot_of(const struct table *table, const struct chunk *chunk, uint8_t tag, sb_slice key)
{
	for (uint32_t mask = chunk_match(chunk, tag); mask; mask &= mask - 1) {
		uint32_t slot = (uint32_t)__builtin_ctz(mask);

		if (record_has_key(arena_at(table->arena, chunk->refs[slot]), key))
			return slot;
	}
	return CHUNK_SLOTS;
}

/* --- many lookups --- */

static inline void hash_one(const struct table *table, struct lookup_group *group, uint32_t i, sb_slice key)
{
	uint64_t hash = table_hash(table, key);

	group->hashes[i] = hash;
	group->homes[i] = home_chunk(table, hash);
	__builtin_prefetch(group->homes[i]);
}

/* Of several records with the tag, which are rare, the first one is proposed; but all are on their way. */
static inline void propose(const struct table *table, struct lookup_group *group, uint32_t i, const struct chunk *chunk,
			   uint32_t mask)
{
	const uint32_t ref = chunk->refs[__builtin_ctz(mask)];
	struct record *record = arena_at(table->arena, ref);

	group->refs[i] = ref;
	group->records[i] = record;
	__builtin_prefetch(record);
	__builtin_prefetch((const char *)record + 64);
	while (__builtin_expect((mask &= mask - 1) != 0, 0))
		__builtin_prefetch(arena_at(table->arena, chunk->refs[__builtin_ctz(mask)]));
}

static inline void propose_one(const struct table *table, struct lookup_group *group, uint32_t i)
{
	const struct chunk *home = group->homes[i];
	uint32_t mask = chunk_match(home, tag_of(group->hashes[i]));

	if (mask) {
		propose(table, group, i, home, mask);
		return;
	}
	group->records[i] = NULL;
	if (home->passed) {
		group->passed |= 1u << i;
		for (uint32_t hops = 1; hops <= PASS_HOPS; ++hops)
			__builtin_prefetch(chunk_behind_home(table, group->hashes[i], hops));
	}
}

/* One key in ten or so had to pass its home by, and is most likely in one of the next chunks. Without a stage of their own these
 * few would wait for two misses each. */
static inline void pass_group(const struct table *table, struct lookup_group *group)
{
	for (uint32_t left = group->passed; left; left &= left - 1) {
		uint32_t i = (uint32_t)__builtin_ctz(left), mask = 0;
		const struct chunk *chunk = group->homes[i];

		for (uint32_t hops = 1; hops <= PASS_HOPS && !mask && chunk->passed; ++hops) {
			chunk = chunk_behind_home(table, group->hashes[i], hops);
			mask = chunk_match(chunk, tag_of(group->hashes[i]));
		}
		if (mask)
			propose(table, group, i, chunk, mask);
	}
}

/* The next group of keys takes its place in the ring. */
static struct lookup_group *enter_group(struct lookup *l, uint32_t place)
{
	struct lookup_group *group = &l->groups[place % 4];

	group->count = l->left < LOOKUP_GROUP ? (uint32_t)l->left : LOOKUP_GROUP;
	group->keys = l->keys;
	group->passed = 0;
	l->keys += group->count;
	l->left -= group->count;
	return group;
}

/* One group takes its first step, an earlier one its second. A loop for each: both in turn for each key would spread the fetches
 * more evenly, and costs more than that gains. Flattened, because the hash of a short key costs less than a call. */
static __attribute__((flatten)) void step(const struct table *table, struct lookup_group *entering,
					  struct lookup_group *proposing)
{
	for (uint32_t i = 0; i < entering->count; ++i)
		hash_one(table, entering, i, entering->keys[i]);
	for (uint32_t i = 0; i < proposing->count; ++i)
		propose_one(table, proposing, i);
}

void table_lookup_begin(struct lookup *lookup, const struct table *table, uint64_t n, const sb_slice *keys)
{
	struct lookup_group none;

	none.count = 0;
	lookup->table = table;
	lookup->keys = keys;
	lookup->left = n;
	lookup->first = 0;
	step(table, enter_group(lookup, 0), &none);
	step(table, enter_group(lookup, 1), &none);
	step(table, enter_group(lookup, 2), &lookup->groups[0]);
	step(table, &none, &lookup->groups[1]);
	pass_group(table, &lookup->groups[0]);
}

struct lookup_group *table_lookup_next(struct lookup *lookup)
{
	const uint32_t first = lookup->first++ % 4;
	struct lookup_group *group = &lookup->groups[first];

	if (!group->count)
		return NULL;
	step(lookup->table, enter_group(lookup, first + 3), &lookup->groups[(first + 2) % 4]);
	pass_group(lookup->table, &lookup->groups[(first + 1) % 4]);
	return group;
}

struct record *table_look_further(const struct table *table, struct lookup_group *group, uint32_t i)
{
	struct place place;

	if (!group->records[i] && !(group->passed >> i & 1))
		return NULL;
	if (!table_find(table, group->hashes[i], group->keys[i], &place))
		return NULL;
	group->refs[i] = place_ref(&place);
	return arena_at(table->arena, group->refs[i]);
}

/* --- one lookup --- */

bool table_find(const struct table *table, uint64_t hash, sb_slice key, struct place *ret_place)
{
	uintptr_t dirent = table->dir[dir_index(table, hash)];
	uint32_t chunk_count = chunks_of(dirent), home = home_of(hash, chunk_count), at = home;
	struct block *block = block_of(dirent);

	for (uint32_t tries = 0; tries < chunk_count; ++tries) {
		struct chunk *chunk = &block->chunks[at];
		uint32_t slot = slot_of(table, chunk, tag_of(hash), key);

		if (slot < CHUNK_SLOTS) {
			*ret_place = (struct place){block, chunk, home, at, slot};
			return true;
		}
		if (!chunk->passed)
			return false;
		at = at + 1 == chunk_count ? 0 : at + 1;
	}
	return false;
}

/* --- blocks --- */

static uint32_t slots_of(const struct block *block)
{
	return block->chunk_count * CHUNK_SLOTS;
}

static uint32_t limit_of(const struct block *block)
{
	return block->kind == BIG ? BIG_LIMIT : SMALL_LIMIT;
}

static uintptr_t dirent_of(const struct block *block)
{
	return (uintptr_t)block | block->kind;
}

static struct block *block_new(struct table *table, uint32_t kind, uint32_t depth)
{
	struct block *block = blocks_take(&table->blocks, (int)kind);

	if (!block)
		return NULL;
	memset(block, 0, blocks_size((int)kind));
	block->kind = kind;
	block->depth = depth;
	block->chunk_count = kind == BIG ? 383 : 255;
	table->slot_count += slots_of(block);
	table->block_count++;
	table->max_depth_blocks += depth == table->depth;
	return block;
}

static void block_free(struct table *table, struct block *block)
{
	table->slot_count -= slots_of(block);
	table->block_count--;
	table->max_depth_blocks -= block->depth == table->depth;
	blocks_give(&table->blocks, (int)block->kind, block);
}

static void block_insert(struct block *block, uint64_t hash, uint32_t ref)
{
	uint32_t at = home_of(hash, block->chunk_count), mask;

	assert(block->count < slots_of(block));
	while (!(mask = chunk_match(&block->chunks[at], TAG_EMPTY))) {
		block->chunks[at].passed++;
		at = at + 1 == block->chunk_count ? 0 : at + 1;
	}
	mask = (uint32_t)__builtin_ctz(mask);
	block->chunks[at].tags[mask] = tag_of(hash);
	block->chunks[at].refs[mask] = ref;
	block->count++;
}

static uint64_t hash_record(const struct table *table, uint32_t ref)
{
	const struct record *record = arena_at(table->arena, ref);

	return table_hash(table, record_entry(record, record_state(record)).key);
}

/* Header and key; a record is aligned to 16 bytes only, so they may lie in two lines. */
static void prefetch_key(const struct record *record)
{
	PREFETCHES();
	__builtin_prefetch(record);
	if (((uintptr_t)record & 63) == 48)
		__builtin_prefetch((const uint8_t *)record + 16);
}

static void prefetch_chunk(const struct table *table, const struct block *block, uint32_t at)
{
	const struct chunk *chunk;

	PREFETCHES();
	if (at >= block->chunk_count)
		return;
	chunk = &block->chunks[at];
	for (uint32_t mask = ~chunk_match(chunk, TAG_EMPTY) & CHUNK_MASK; mask; mask &= mask - 1)
		prefetch_key(arena_at(table->arena, chunk->refs[__builtin_ctz(mask)]));
}

/* Distributes the entries of from: to[0] and to[1] by the bit of the bent hash that
 * their depth adds, or all to to[0] when they are the same. */
static void move_entries(const struct table *table, const struct block *from, struct block *const to[2])
{
	uint32_t shift = to[0] == to[1] ? 32 : 32 - to[0]->depth;

	for (uint32_t at = 0; at < MOVE_AHEAD; ++at)
		prefetch_chunk(table, from, at);
	for (uint32_t at = 0; at < from->chunk_count; ++at) {
		const struct chunk *chunk = &from->chunks[at];

		prefetch_chunk(table, from, at + MOVE_AHEAD); /* each record is a cache miss else */
		for (uint32_t mask = ~chunk_match(chunk, TAG_EMPTY) & CHUNK_MASK; mask; mask &= mask - 1) {
			uint32_t ref = chunk->refs[__builtin_ctz(mask)];
			uint64_t hash = hash_record(table, ref);

			block_insert(to[(uint64_t)bend(hash) >> shift & 1], hash, ref);
		}
	}
}

/* Makes the directory entries that a block of this depth owns, the one at index
 * among them, point to it. */
static void point_to(struct table *table, uint32_t index, const struct block *block)
{
	uint32_t shift = table->depth - block->depth, first = index >> shift << shift;

	for (uint32_t i = 0; i < 1u << shift; ++i)
		table->dir[first + i] = dirent_of(block);
}

static bool resize_directory(struct table *table, uint32_t depth)
{
	size_t bytes = sizeof(*table->dir) << depth;
	uintptr_t *dir = pages_alloc(table->pages, bytes);

	if (!dir)
		return false;
	for (size_t i = 0; i < (size_t)1 << depth; ++i)
		dir[i] = table->dir[depth > table->depth ? i >> 1 : i << 1];
	pages_free(table->pages, table->dir, sizeof(*table->dir) << table->depth);
	table->dir = dir;
	table->depth = depth;
	return true;
}

static bool double_directory(struct table *table)
{
	if (table->depth == MAX_DEPTH || !resize_directory(table, table->depth + 1))
		return false;
	table->max_depth_blocks = 0;
	return true;
}

/* Replaces a block by one of another kind. */
static bool convert(struct table *table, uint32_t index, struct block *block, uint32_t kind)
{
	struct block *other = block_new(table, kind, block->depth);

	if (!other)
		return false;
	move_entries(table, block, (struct block *[2]){other, other});
	point_to(table, index, other);
	block_free(table, block);
	return true;
}

static bool split(struct table *table, uint64_t hash, struct block *block)
{
	struct block *halves[2];
	uint32_t index, depth = block->depth + 1;

	if (block->depth == table->depth && !double_directory(table))
		return false;
	halves[0] = block_new(table, SMALL, depth);
	if (!halves[0])
		return false;
	halves[1] = block_new(table, SMALL, depth);
	if (!halves[1]) {
		block_free(table, halves[0]);
		return false;
	}
	move_entries(table, block, halves);
	index = dir_index(table, hash) >> (table->depth - block->depth) << (table->depth - block->depth);
	point_to(table, index, halves[0]);
	point_to(table, index + (1u << (table->depth - depth)), halves[1]);
	block_free(table, block);
	return true;
}

/* More room for the block that owns a hash. */
static bool grow(struct table *table, uint64_t hash)
{
	uint32_t index = dir_index(table, hash);
	struct block *block = block_of(table->dir[index]);

	if (block->kind == SMALL)
		return convert(table, index, block, BIG);
	return split(table, hash, block);
}

/* --- reservation --- */

static struct block *owner_of(const struct table *table, uint64_t hash)
{
	return block_of(table->dir[dir_index(table, hash)]);
}

/* One pass over the batch; *ret_grown when a block changed and the counts are void. */
static bool count_pending(struct table *table, const uint64_t *hashes, uint64_t count, bool *ret_grown)
{
	*ret_grown = false;
	for (uint64_t i = 0; i < count; ++i)
		owner_of(table, hashes[i])->pending = 0;
	for (uint64_t i = 0; i < count; ++i) {
		struct block *block = owner_of(table, hashes[i]);

		if (++block->pending + block->count <= limit_of(block))
			continue;
		if (grow(table, hashes[i]))
			*ret_grown = true;
		else if (block->pending + block->count > slots_of(block))
			return false;
	}
	return true;
}

bool table_reserve(struct table *table, const uint64_t *hashes, uint64_t count)
{
	bool grown = true;

	if (count <= TABLE_SLACK && !table->starved)
		return true;
	while (grown) {
		if (!count_pending(table, hashes, count, &grown))
			return false;
	}
	return true;
}

void table_insert(struct table *table, uint64_t hash, uint32_t ref)
{
	struct block *block = owner_of(table, hash);

	if (block->count >= limit_of(block)) {
		if (!grow(table, hash))
			table->starved = true; /* the slack holds it */
		block = owner_of(table, hash);
	}
	block_insert(block, hash, ref);
	table->count++;
}

void table_remove(struct table *table, const struct place *place)
{
	place->chunk->tags[place->slot] = TAG_EMPTY;
	for (uint32_t at = place->home; at != place->at; at = at + 1 == place->block->chunk_count ? 0 : at + 1)
		place->block->chunks[at].passed--;
	place->block->count--;
	table->count--;
}

/* --- shrinking --- */

/* Joins the block at index with the one that was split off it, if both are nearly empty. */
static bool join(struct table *table, uint32_t index, struct block *block)
{
	uint32_t span, first;
	struct block *buddy, *joined;

	if (!block->depth)
		return false;
	span = 1u << (table->depth - block->depth);
	first = index & ~(span - 1);
	buddy = block_of(table->dir[first ^ span]);
	if (buddy->depth != block->depth || buddy->count + block->count > JOIN_LIMIT)
		return false;
	joined = block_new(table, SMALL, block->depth - 1);
	if (!joined)
		return false;
	move_entries(table, block, (struct block *[2]){joined, joined});
	move_entries(table, buddy, (struct block *[2]){joined, joined});
	point_to(table, first, joined);
	block_free(table, block);
	block_free(table, buddy);
	return true;
}

static void halve_directory(struct table *table)
{
	uint32_t deepest = 0;

	if (!table->depth || table->max_depth_blocks || !resize_directory(table, table->depth - 1))
		return;
	for (size_t i = 0; i < (size_t)1 << table->depth; ++i)
		deepest += block_of(table->dir[i])->depth == table->depth;
	table->max_depth_blocks = deepest;
}

static void relieve(struct table *table, uint32_t index, bool *ret_starved)
{
	struct block *block = block_of(table->dir[index]);

	/* A hash that leads here: any with that bent upper half would do, but bend() has no
	 * cheap inverse, so an entry lends its own. */
	for (uint32_t at = 0; at < block->chunk_count; ++at) {
		uint32_t mask = ~chunk_match(&block->chunks[at], TAG_EMPTY) & CHUNK_MASK;

		if (!mask)
			continue;
		if (!grow(table, hash_record(table, block->chunks[at].refs[__builtin_ctz(mask)])))
			*ret_starved = true;
		return;
	}
}

static void end_starvation(struct table *table)
{
	bool starved = false;

	for (uint32_t i = 0; i < 1u << table->depth; ++i) {
		const struct block *block = block_of(table->dir[i]);

		if (block->count > limit_of(block))
			relieve(table, i, &starved);
	}
	table->starved = starved;
}

/* Whether the directory entry leads to a smaller block now. */
static bool shrink_at(struct table *table, uint32_t index)
{
	struct block *block = block_of(table->dir[index]);

	if (join(table, index, block))
		return true;
	return block->kind == BIG && block->count < SHRINK_LIMIT && convert(table, index, block, SMALL);
}

void table_shrink(struct table *table, uint64_t budget)
{
	if (table->starved)
		end_starvation(table);
	while (budget) {
		uint64_t cost = 1;

		if (table->shrink_cursor >> table->depth) {
			table->shrink_cursor = 0;
			halve_directory(table);
			return;
		}
		if (shrink_at(table, table->shrink_cursor))
			cost += block_of(table->dir[table->shrink_cursor])->count;
		else
			table->shrink_cursor++;
		budget -= cost < budget ? cost : budget;
	}
}

/* --- life --- */

/* Blocks at the dense end get half as many entries again as the mean. */
static uint32_t depth_for(uint64_t capacity)
{
	uint32_t depth = 0;

	while (depth < MAX_DEPTH && (capacity + capacity / 2) >> depth > BIG_LIMIT)
		depth++;
	return depth;
}

static bool fill_directory(struct table *table)
{
	for (uint32_t i = 0; i < 1u << table->depth; ++i) {
		struct block *block = block_new(table, SMALL, table->depth);

		if (!block)
			return false;
		table->dir[i] = dirent_of(block);
	}
	return true;
}

static bool draw_secret(uint8_t *secret)
{
	size_t done = 0;

	while (done < TABLE_SECRET_BYTES) {
		ssize_t got = getrandom(secret + done, TABLE_SECRET_BYTES - done, 0);

		if (got < 0 && errno != EINTR)
			return false;
		done += got > 0 ? (size_t)got : 0;
	}
	return true;
}

bool table_init(struct table *table, const struct arena *arena, struct pages *pages, uint64_t capacity)
{
	table->arena = arena;
	table->pages = pages;
	table->blocks.pages = pages;
	table->depth = depth_for(capacity);
	table->dir = pages_alloc(pages, sizeof(*table->dir) << table->depth);
	return table->dir && draw_secret(table->secret) && fill_directory(table);
}

void table_done(struct table *table)
{
	pages_free(table->pages, table->dir, sizeof(*table->dir) << table->depth);
	blocks_done(&table->blocks);
}

uint64_t table_bytes(const struct table *table)
{
	return table->blocks.used_bytes + (sizeof(*table->dir) << table->depth);
}
