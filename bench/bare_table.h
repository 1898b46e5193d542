/* SPDX-License-Identifier: Apache-2.0
 *
 * The best table that can be written when nothing else is asked for: what the state layer and the memory backend
 * are measured against.
 *
 * Its size is fixed at the start. Entries (key, expiry, value, all of fixed widths) lie in the slots themselves, so that a lookup
 * costs one line of tags and the entry's own lines; tags are a byte each, probed sixteen at a time; a batch is hashed,
 * its tags and then its entries prefetched, before any is touched; all of it is on huge pages. It cannot
 * grow, delete, expire, be read while it changes, or hold anything of another size. Header only,
 * so that the compiler sees the widths.
 */
#ifndef BENCH_BARE_TABLE_H
#define BENCH_BARE_TABLE_H

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <emmintrin.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/slice.h"

#define BARE_GROUP 16u
#define BARE_AHEAD 32u /* keys in flight together */
#define BARE_HUGE ((size_t)1 << 21)

struct bare_table {
	uint8_t *tags; /* 0: empty */
	uint8_t *entries;
	uint64_t groups;
	uint32_t key_bytes, value_bytes, stride;
};

static inline void *bare_map(size_t bytes)
{
	size_t rounded = (bytes + BARE_HUGE - 1) & ~(BARE_HUGE - 1);
	void *memory = aligned_alloc(BARE_HUGE, rounded);

	if (!memory)
		return NULL;
	(void)madvise(memory, rounded, MADV_HUGEPAGE);
	memset(memory, 0, rounded); /* page faults belong to no round */
	return memory;
}

/* Four fifths full when it holds all its entries. */
static inline int bare_init(struct bare_table *table, uint64_t entries, uint32_t key_bytes, uint32_t value_bytes)
{
	table->key_bytes = key_bytes;
	table->value_bytes = value_bytes;
	table->stride = (8 + key_bytes + value_bytes + 7) & ~7u;
	table->groups = entries * 5 / 4 / BARE_GROUP + 1;
	table->tags = bare_map(table->groups * BARE_GROUP);
	table->entries = bare_map(table->groups * BARE_GROUP * table->stride);
	return table->tags && table->entries;
}

static inline void bare_done(struct bare_table *table)
{
	free(table->tags);
	free(table->entries);
}

static inline uint64_t bare_home(const struct bare_table *table, uint64_t hash)
{
	return (uint64_t)((unsigned __int128)hash * table->groups >> 64);
}

static inline uint8_t bare_tag(uint64_t hash)
{
	return (uint8_t)(hash | 0x80);
}

static inline uint32_t bare_match(const struct bare_table *table, uint64_t group, uint8_t tag)
{
	__m128i tags = _mm_load_si128((const __m128i *)(const void *)(table->tags + group * BARE_GROUP));

	return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(tags, _mm_set1_epi8((char)tag)));
}

static inline uint8_t *bare_entry(const struct bare_table *table, uint64_t group, uint32_t slot)
{
	return table->entries + (group * BARE_GROUP + slot) * table->stride;
}

/* The entry of a key: expiry, key, value. A new one is zeros. */
static inline uint8_t *bare_find_or_add(struct bare_table *table, uint64_t hash, const uint8_t *key)
{
	uint64_t group = bare_home(table, hash);

	for (;;) {
		uint32_t empty = bare_match(table, group, 0);

		for (uint32_t mask = bare_match(table, group, bare_tag(hash)); mask; mask &= mask - 1) {
			uint8_t *entry = bare_entry(table, group, (uint32_t)__builtin_ctz(mask));

			if (slice_equal_key((sb_slice){entry + 8, table->key_bytes}, (sb_slice){key, table->key_bytes}))
				return entry;
		}
		if (empty) {
			uint32_t slot = (uint32_t)__builtin_ctz(empty);
			uint8_t *entry = bare_entry(table, group, slot);

			table->tags[group * BARE_GROUP + slot] = bare_tag(hash);
			memcpy(entry + 8, key, table->key_bytes);
			return entry;
		}
		group = group + 1 == table->groups ? 0 : group + 1;
	}
}

static inline void bare_prefetch_entry(const struct bare_table *table, uint64_t hash)
{
	uint64_t group = bare_home(table, hash);
	uint32_t mask = bare_match(table, group, bare_tag(hash));

	if (!mask)
		return;
	const uint8_t *entry = bare_entry(table, group, (uint32_t)__builtin_ctz(mask));

	__builtin_prefetch(entry);
	__builtin_prefetch(entry + 64);
	__builtin_prefetch(entry + table->stride - 1);
}

/* What a walk through the table costs at least while entries change: of each that it has not come to, the old version is put
 * aside before its first change. The walk itself is only a place that moves on. */
struct bare_walk {
	uint8_t ring[1 << 16]; /* for what is put aside: stays in the cache */
	uint64_t ring_at;
	double at, step; /* bytes of the entries: where the walk is, and how far it goes for each change */
	int64_t epoch; /* entries with that expiry were changed since the walk began */
	uint64_t put_aside;
};

static inline void bare_put_aside(struct bare_walk *walk, const struct bare_table *table, const uint8_t *entry)
{
	int64_t epoch;

	memcpy(&epoch, entry, sizeof(epoch));
	if (epoch == walk->epoch || (double)(entry - table->entries) < walk->at)
		return;
	if (walk->ring_at + table->stride > sizeof(walk->ring))
		walk->ring_at = 0;
	memcpy(walk->ring + walk->ring_at, entry, table->stride);
	walk->ring_at += table->stride;
	walk->put_aside++;
}

static inline void bare_walk_on(struct bare_walk *walk, const struct bare_table *table, uint32_t changes)
{
	walk->at += walk->step * changes;
	if (walk->at < (double)(table->groups * BARE_GROUP * table->stride))
		return;
	walk->at = 0;
	walk->epoch++;
}

/* Calls change(value) for the entry of keys[i], after its expiry was set; n <= BARE_AHEAD. walk may be NULL; else expiry_ms is its epoch. */
static inline __attribute__((always_inline)) void bare_batch(struct bare_table *table, uint32_t n,
							     const uint8_t *const *keys, int64_t expiry_ms,
							     struct bare_walk *walk,
							     void (*change)(uint8_t *value, uint32_t value_bytes))
{
	uint64_t hashes[BARE_AHEAD];

	for (uint32_t i = 0; i < n; i++) {
		hashes[i] = XXH3_64bits(keys[i], table->key_bytes);
		__builtin_prefetch(table->tags + bare_home(table, hashes[i]) * BARE_GROUP);
	}
	for (uint32_t i = 0; i < n; i++)
		bare_prefetch_entry(table, hashes[i]);
	for (uint32_t i = 0; i < n; i++) {
		uint8_t *entry = bare_find_or_add(table, hashes[i], keys[i]);

		if (walk)
			bare_put_aside(walk, table, entry);
		memcpy(entry, &expiry_ms, sizeof(expiry_ms));
		change(entry + 8 + table->key_bytes, table->value_bytes);
	}
	if (walk)
		bare_walk_on(walk, table, n);
}

#endif
