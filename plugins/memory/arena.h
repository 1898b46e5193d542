/* SPDX-License-Identifier: Apache-2.0
 *
 * arena.h: where records live: slabs of 64 KiB with slots of one size, 32 to an
 * area of 2 MiB. A record is named by a 32-bit reference (area, 16-byte granule),
 * which is half a pointer in every slot of the index and resolves with one
 * load from a table that stays in the first-level cache.
 *
 * Sealing. snapshot.c asks that no slot which an open view (an iterator, or a walk over changes) may still look
 * at is given out again. That is decided by slab, not by record: a
 * slab remembers the epoch in which it was born, and is sealed while an
 * iterator that was opened later has not walked past it (arena->sealed says so).
 * Each class keeps its slabs with free slots in two lists: ready (not sealed) and
 * parked (sealed when last looked at). Opening an iterator moves all ready
 * slabs to parked by splicing, without touching them.
 *
 * Invariants: a slab is in one of its class's lists exactly when it has a free slot;
 * it is in parked exactly when list_epoch < class.ready_since; ready_free and
 * parked_free count the free slots in them. Addresses of slab descriptors and the
 * two tables never change, so that an iterator reads them on another thread;
 * born is atomic, the other members that it reads (class, used) change only while the
 * slab is not sealed.
 *
 * Owner thread only, but for arena_slab(), arena_at() and slab->born.
 */
#ifndef MEMORY_ARENA_H
#define MEMORY_ARENA_H

#include "pages.h"
#include "record.h"

#define SLAB_SHIFT 16
#define SLAB_BYTES (1u << SLAB_SHIFT)
#define AREA_SLABS (1u << (AREA_SHIFT - SLAB_SHIFT))
#define REF_GRANULE_BITS 17
#define AREAS_MAX (1u << (32 - REF_GRANULE_BITS)) /* 64 GiB of slabs */
#define SLAB_NONE UINT32_MAX
#define BORN_NEVER UINT32_MAX /* the slab holds nothing */

#define CLASS_COUNT 193u

struct slab {
	_Atomic uint32_t born; /* epoch, or BORN_NEVER */
	uint16_t stride; /* granules */
	uint16_t slot_count;
	uint16_t used; /* slots that were ever given out; those behind are raw memory */
	uint16_t taken; /* slots that hold a record, dead ones included */
	uint16_t free_head; /* granule of the first free slot below used, or SLOT_NONE */
	uint8_t class;
	uint8_t resident; /* a free slab whose pages were not given back */
	uint32_t list_epoch;
	uint32_t next, prev; /* in a list of the class, or of free slabs */
	int64_t min_expiry_ms; /* at or below that of every record that expires; INT64_MAX: none does */
};

#define SLOT_NONE UINT16_MAX

struct slab_class {
	uint32_t ready, parked; /* heads of circular lists */
	uint64_t ready_free, parked_free;
	uint64_t slot_total; /* in all slabs of the class */
	uint64_t floor; /* free slots that the last reservation wants kept */
	uint32_t ready_since;
};

struct arena {
	struct pages *pages;
	uint8_t **bases; /* of each area, NULL while unmapped */
	struct slab **slabs; /* the descriptors of each area */
	uint32_t area_count;
	uint32_t free_slabs; /* head */
	uint32_t free_count, resident_free;
	uint32_t epoch; /* the number of iterators opened so far, plus EPOCH_FIRST */
	uint64_t slab_count; /* in use */
	uint64_t large_bytes;
	bool (*sealed)(const void *snapshot, const struct slab *slab, uint32_t id);
	const void *snapshot;
	struct slab_class classes[CLASS_COUNT];
};

bool arena_init(struct arena *arena, struct pages *pages);
void arena_done(struct arena *arena);

/* Makes sure that count further records of a class can be taken without failing. */
bool arena_reserve(struct arena *arena, uint32_t class, uint64_t count);
/* Takes a slot for which there is a reservation. *ret_epoch: when the slot's last record was written, as far as is known,
 * else EPOCH_NONE (it was given back late, or the slab is new). */
uint32_t arena_take(struct arena *arena, uint32_t class, uint32_t *ret_epoch);
/* Gives a slot back, and its large block; nobody may look at the record any more. */
void arena_give(struct arena *arena, uint32_t ref);
/* A block for an entry that record_is_large(), or NULL. */
struct large *arena_large(struct arena *arena, uint64_t key_len, uint64_t value_len);
void arena_free_large(struct arena *arena, struct large *large);

/* Called when a view was opened, and when the last one was closed. */
void arena_seal_all(struct arena *arena);
void arena_unseal_all(struct arena *arena);
/* Forgets all epochs, those in the records too, and so visits every record, once in four million epochs. There
 * is no view, no dead record and no mark. */
void arena_reset_epoch(struct arena *arena);
/* Gives an empty slab back if its class can do without. */
void arena_release_slab(struct arena *arena, uint32_t id);
/* Takes the slab's free slots out of circulation, to empty it, or puts them back. */
void arena_withdraw(struct arena *arena, uint32_t id);
void arena_restore(struct arena *arena, uint32_t id);

uint64_t arena_bytes(const struct arena *arena);

static inline uint32_t arena_slab_end(const struct arena *arena)
{
	return arena->area_count * AREA_SLABS;
}

static inline struct slab *arena_slab(const struct arena *arena, uint32_t id)
{
	return &arena->slabs[id / AREA_SLABS][id % AREA_SLABS];
}

static inline uint32_t ref_slab(uint32_t ref)
{
	return ref >> (SLAB_SHIFT - 4);
}

static inline struct record *arena_at(const struct arena *arena, uint32_t ref)
{
	return (struct record *)(arena->bases[ref >> REF_GRANULE_BITS] +
				 ((size_t)(ref & ((1u << REF_GRANULE_BITS) - 1)) * RECORD_GRANULE));
}

static inline uint32_t slab_ref(uint32_t id, uint32_t granule)
{
	return id << (SLAB_SHIFT - 4) | granule;
}

static inline bool arena_is_sealed(const struct arena *arena, uint32_t id)
{
	return arena->sealed(arena->snapshot, arena_slab(arena, id), id);
}

/* Steps of 16 bytes up to 2 KiB, then 32 steps to each doubling. */
static inline uint32_t class_of(uint64_t size_bytes)
{
	uint32_t size = (uint32_t)size_bytes;

	if (size <= 2048)
		return (size + 15) / 16;
	if (size <= 4096)
		return 128 + (size - 2048 + 63) / 64;
	return 160 + (size - 4096 + 127) / 128;
}

static inline uint32_t class_bytes(uint32_t class)
{
	if (class <= 128)
		return class * 16;
	if (class <= 160)
		return 2048 + (class - 128) * 64;
	return 4096 + (class - 160) * 128;
}

static inline uint32_t class_of_entry(uint64_t key_len, uint64_t value_len, int64_t expiry_ms)
{
	if (record_is_large(key_len, value_len, expiry_ms))
		return class_of(HANDLE_BYTES);
	return class_of(record_bytes(key_len, value_len));
}

#endif
