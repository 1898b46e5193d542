/* SPDX-License-Identifier: Apache-2.0
 *
 * table.h: the index, from a key to the reference of its record.
 *
 * A directory leads from the upper half of the hash to a block, the lower half
 * picks one of the block's chunks, and full chunks are passed by to the next one, wrapping
 * round in the block. A block has 255 or 383 chunks. One that is nearly full grows
 * from small to big, then splits into two small ones (extendible hashing: the
 * directory doubles when it must). So growth never moves more than one block,
 * some 4,000 entries or a tenth of a millisecond, and lookups know nothing of it.
 *
 * Memory. If all blocks filled alike, they would all split at about the same
 * time, and the table would swing between well filled and half empty. So the hash
 * is bent before it meets the directory: y = (u^2 + 2u) / 3 on [0, 1) makes the blocks
 * at one end fill twice as fast as those at the other, and at any moment all
 * degrees of filling are there. That and the middle size hold the index at about 7
 * bytes an entry whatever the number of entries.
 *
 * Invariant: between batches no block has fewer than TABLE_SLACK free slots, unless
 * starved is set. That is why a batch of up to TABLE_SLACK insertions
 * needs no reservation: growth is tried on the way, and if there is no memory for it the slack
 * takes what the batch brings. The next batch then begins by growing.
 *
 * Hashing is XXH3 with a secret of 192 random bytes for each instance, so
 * that nobody can prepare keys that collide.
 *
 * Owner thread only.
 */
#ifndef MEMORY_TABLE_H
#define MEMORY_TABLE_H

#include "arena.h"
#include "blocks.h"
#include "probe.h"

#define TABLE_SLACK 256u
#define TABLE_SECRET_BYTES 192
#define TABLE_GROUP 64u
#define LOOKUP_GROUP 16u

struct block {
	uint32_t count;
	uint32_t pending; /* insertions that table_reserve() has counted */
	uint32_t depth;
	uint32_t kind;
	uint32_t chunk_count;
	_Alignas(64) struct chunk chunks[];
};

_Static_assert(sizeof(struct block) == 64, "the head takes the place of one chunk");

struct table {
	const struct arena *arena; /* to read keys when a block grows */
	struct pages *pages;
	struct blocks blocks;
	uintptr_t *dir; /* blocks; the lowest bit is set for a big one */
	uint32_t depth; /* the directory has 1 << depth entries */
	uint32_t max_depth_blocks; /* blocks that need all of them */
	uint32_t shrink_cursor;
	uint64_t count;
	uint64_t slot_count;
	uint64_t block_count;
	bool starved;
	_Alignas(64) uint8_t secret[TABLE_SECRET_BYTES];
};

/* Where a key is. */
struct place {
	struct block *block;
	struct chunk *chunk;
	uint32_t home, at; /* indexes of the first chunk searched and of that one */
	uint32_t slot;
};

/* capacity: entries to make room for at once. */
bool table_init(struct table *table, const struct arena *arena, struct pages *pages, uint64_t capacity);
void table_done(struct table *table);

uint64_t table_hash(const struct table *table, sb_slice key);

/* Looks up many keys, in groups that overlap: while the caller compares the keys of one group with its records
 * (table_lookup_record), those of the next two are on their way from memory, and the chunks of the one behind them. So a lookup
 * costs its instructions, and the memory's throughput instead of its latency. The index must not change between begin and the
 * last record. */
struct lookup_group {
	const sb_slice *keys;
	uint64_t hashes[LOOKUP_GROUP];
	const struct chunk *homes[LOOKUP_GROUP];
	struct record *records[LOOKUP_GROUP]; /* proposed by their tags, or NULL */
	uint32_t refs[LOOKUP_GROUP]; /* of those records, or of those that were found instead */
	uint32_t passed; /* bit i: the key is not in its home, and may be further on */
	uint32_t count;
};

struct lookup {
	const struct table *table;
	const sb_slice *keys; /* that no stage has seen */
	uint64_t left; /* of them */
	uint32_t first; /* of groups, as many as there are stages: the one that is answered next */
	struct lookup_group groups[4];
};

void table_lookup_begin(struct lookup *lookup, const struct table *table, uint64_t n, const sb_slice *keys);
/* The next keys in their order. Valid until the next call; NULL at the end. */
struct lookup_group *table_lookup_next(struct lookup *lookup);
/* The record of the i-th key, which is not the one proposed: the rare case, kept out of the loop. */
struct record *table_look_further(const struct table *table, struct lookup_group *group, uint32_t i);
/* Prefetches what n keys, at most TABLE_GROUP, with known hashes will need. */
void table_prefetch_group(const struct table *table, uint32_t n, const uint64_t *hashes);

bool table_find(const struct table *table, uint64_t hash, sb_slice key, struct place *ret_place);
/* Makes sure that count insertions succeed. */
bool table_reserve(struct table *table, const uint64_t *hashes, uint64_t count);
/* The key is not there, and there is a reservation. */
void table_insert(struct table *table, uint64_t hash, uint32_t ref);
void table_remove(struct table *table, const struct place *place);

/* Undoes growth where it is not needed any more, for up to budget entries' worth of work (one block
 * may exceed it). */
void table_shrink(struct table *table, uint64_t budget);
uint64_t table_bytes(const struct table *table);

/* The record of the i-th key of a group, with its reference in refs[i], or NULL. Once for each. */
static inline struct record *table_lookup_record(const struct table *table, struct lookup_group *group, uint32_t i)
{
	struct record *record = group->records[i];

	if (__builtin_expect(record && record_has_key(record, group->keys[i]), 1))
		return record;
	return table_look_further(table, group, i);
}

static inline uint32_t place_ref(const struct place *place)
{
	return place->chunk->refs[place->slot];
}

static inline void place_set_ref(const struct place *place, uint32_t ref)
{
	place->chunk->refs[place->slot] = ref;
}

#endif
