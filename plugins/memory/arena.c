/* SPDX-License-Identifier: Apache-2.0
 *
 * arena.c: see arena.h.
 */
#include "arena.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/mman.h>

/* Free slabs beyond this many give their pages back: fewer would make a workload that
 * breathes pay for page faults. */
#define RESIDENT_FREE_MAX 32u
/* How many parked slabs are looked at before a new one is made. */
#define UNPARK_TRIES 8

/* --- lists of slabs, by id; circular, so that leaving one needs no head --- */

static void list_add_tail(const struct arena *arena, uint32_t *head, uint32_t id)
{
	struct slab *slab = arena_slab(arena, id), *first;

	if (*head == SLAB_NONE) {
		slab->next = slab->prev = id;
		*head = id;
		return;
	}
	first = arena_slab(arena, *head);
	slab->next = *head;
	slab->prev = first->prev;
	arena_slab(arena, first->prev)->next = id;
	first->prev = id;
}

static void list_remove(const struct arena *arena, uint32_t *head, uint32_t id)
{
	struct slab *slab = arena_slab(arena, id);

	if (slab->next == id) {
		*head = SLAB_NONE;
		return;
	}
	arena_slab(arena, slab->prev)->next = slab->next;
	arena_slab(arena, slab->next)->prev = slab->prev;
	if (*head == id)
		*head = slab->next;
}

static void list_splice(const struct arena *arena, uint32_t *to, uint32_t *from)
{
	struct slab *a, *b;
	uint32_t a_last, b_last;

	if (*from == SLAB_NONE)
		return;
	if (*to == SLAB_NONE) {
		*to = *from;
		*from = SLAB_NONE;
		return;
	}
	a = arena_slab(arena, *to);
	b = arena_slab(arena, *from);
	a_last = a->prev;
	b_last = b->prev;
	arena_slab(arena, a_last)->next = *from;
	b->prev = a_last;
	arena_slab(arena, b_last)->next = *to;
	a->prev = b_last;
	*from = SLAB_NONE;
}

/* --- areas and slabs --- */

static bool add_area(struct arena *arena)
{
	uint32_t area;

	for (area = 0; area < arena->area_count && arena->bases[area]; ++area)
		;
	if (area == AREAS_MAX)
		return false;
	if (!arena->slabs[area])
		arena->slabs[area] = calloc(AREA_SLABS, sizeof(struct slab));
	if (!arena->slabs[area])
		return false;
	if (area == arena->area_count) {
		for (uint32_t i = 0; i < AREA_SLABS; ++i)
			atomic_store_explicit(&arena->slabs[area][i].born, BORN_NEVER, memory_order_relaxed);
	}
	arena->bases[area] = pages_map_area(arena->pages);
	if (!arena->bases[area])
		return false;
	if (area == arena->area_count)
		arena->area_count++;
	for (uint32_t i = 0; i < AREA_SLABS; ++i) {
		arena->slabs[area][i].resident = 0;
		list_add_tail(arena, &arena->free_slabs, area * AREA_SLABS + i);
	}
	arena->free_count += AREA_SLABS;
	return true;
}

static void remove_area(struct arena *arena, uint32_t area)
{
	for (uint32_t i = 0; i < AREA_SLABS; ++i) {
		uint32_t id = area * AREA_SLABS + i;

		arena->resident_free -= arena_slab(arena, id)->resident;
		list_remove(arena, &arena->free_slabs, id);
	}
	arena->free_count -= AREA_SLABS;
	pages_unmap_area(arena->pages, arena->bases[area]);
	arena->bases[area] = NULL;
}

static bool area_is_free(const struct arena *arena, uint32_t area)
{
	for (uint32_t i = 0; i < AREA_SLABS; ++i) {
		if (atomic_load_explicit(&arena->slabs[area][i].born, memory_order_relaxed) != BORN_NEVER)
			return false;
	}
	return true;
}

static bool add_slab(struct arena *arena, uint32_t class)
{
	struct slab_class *cls = &arena->classes[class];
	uint32_t id, bytes = class_bytes(class);
	struct slab *slab;

	if (arena->free_slabs == SLAB_NONE && !add_area(arena))
		return false;
	id = arena->free_slabs;
	slab = arena_slab(arena, id);
	list_remove(arena, &arena->free_slabs, id);
	arena->free_count--;
	arena->resident_free -= slab->resident;
	slab->stride = (uint16_t)(bytes / RECORD_GRANULE);
	slab->slot_count = (uint16_t)(SLAB_BYTES / bytes);
	slab->used = slab->taken = 0;
	slab->free_head = SLOT_NONE;
	slab->class = (uint8_t) class;
	slab->resident = 1;
	slab->min_expiry_ms = INT64_MAX;
	slab->list_epoch = arena->epoch;
	atomic_store_explicit(&slab->born, arena->epoch, memory_order_relaxed);
	list_add_tail(arena, &cls->ready, id);
	cls->ready_free += slab->slot_count;
	cls->slot_total += slab->slot_count;
	arena->slab_count++;
	return true;
}

static bool is_parked(const struct arena *arena, const struct slab *slab)
{
	return slab->list_epoch < arena->classes[slab->class].ready_since;
}

static uint32_t free_slots(const struct slab *slab)
{
	return (uint32_t)slab->slot_count - slab->taken;
}

void arena_withdraw(struct arena *arena, uint32_t id)
{
	struct slab *slab = arena_slab(arena, id);
	struct slab_class *cls = &arena->classes[slab->class];
	bool parked = is_parked(arena, slab);

	list_remove(arena, parked ? &cls->parked : &cls->ready, id);
	*(parked ? &cls->parked_free : &cls->ready_free) -= free_slots(slab);
}

void arena_restore(struct arena *arena, uint32_t id)
{
	struct slab *slab = arena_slab(arena, id);
	struct slab_class *cls = &arena->classes[slab->class];

	slab->list_epoch = arena->epoch;
	list_add_tail(arena, &cls->ready, id);
	cls->ready_free += free_slots(slab);
}

/* With huge pages, giving back a slab splits one, so only a surplus goes that way and whole
 * areas do the rest. */
static uint32_t resident_max(const struct arena *arena)
{
	uint64_t share = arena->pages->huge ? arena->slab_count / 8 : 0;

	return share > RESIDENT_FREE_MAX ? (uint32_t)share : RESIDENT_FREE_MAX;
}

void arena_release_slab(struct arena *arena, uint32_t id)
{
	struct slab *slab = arena_slab(arena, id);
	struct slab_class *cls = &arena->classes[slab->class];
	uint32_t area = id / AREA_SLABS;

	if (slab->taken || arena_is_sealed(arena, id))
		return;
	if (!is_parked(arena, slab) && cls->ready_free < cls->floor + 2u * slab->slot_count)
		return;
	arena_withdraw(arena, id);
	cls->slot_total -= slab->slot_count;
	atomic_store_explicit(&slab->born, BORN_NEVER, memory_order_relaxed);
	arena->slab_count--;
	list_add_tail(arena, &arena->free_slabs, id);
	arena->free_count++;
	arena->resident_free++;
	if (arena->free_count >= 2 * AREA_SLABS && area_is_free(arena, area)) {
		remove_area(arena, area);
	} else if (arena->resident_free > resident_max(arena)) {
		(void)madvise(arena_at(arena, slab_ref(id, 0)), SLAB_BYTES, MADV_DONTNEED);
		slab->resident = 0;
		arena->resident_free--;
	} else {
		arena->free_slabs = id; /* in a circular list the tail can be the head: taken again first */
	}
}

/* --- slots --- */

/* Moves a parked slab that is sealed no more to ready. */
static void unpark_some(struct arena *arena, struct slab_class *cls)
{
	for (int i = 0; i < UNPARK_TRIES && cls->parked != SLAB_NONE; ++i) {
		uint32_t id = cls->parked;

		if (!arena_is_sealed(arena, id)) {
			arena_withdraw(arena, id);
			arena_restore(arena, id);
			return;
		}
		cls->parked = arena_slab(arena, id)->next;
	}
}

bool arena_reserve(struct arena *arena, uint32_t class, uint64_t count)
{
	struct slab_class *cls = &arena->classes[class];

	cls->floor = count;
	while (cls->ready_free < count) {
		uint64_t before = cls->ready_free;

		unpark_some(arena, cls);
		if (cls->ready_free == before && !add_slab(arena, class))
			return false;
	}
	return true;
}

/* A free slot names the next one of its slab, and when the record that it held was written. A dead record does not
 * tell. */
static uint64_t pack_free(uint32_t next, uint32_t state)
{
	return next | (uint64_t)(state & STATE_DEAD ? EPOCH_NONE : state_epoch(state)) << 32;
}

uint32_t arena_take(struct arena *arena, uint32_t class, uint32_t *ret_epoch)
{
	struct slab_class *cls = &arena->classes[class];
	uint32_t id = cls->ready, ref;
	struct slab *slab;

	assert(id != SLAB_NONE);
	slab = arena_slab(arena, id);
	if (slab->free_head != SLOT_NONE) {
		ref = slab_ref(id, slab->free_head);
		slab->free_head = (uint16_t)arena_at(arena, ref)->packed;
		*ret_epoch = (uint32_t)(arena_at(arena, ref)->packed >> 32);
	} else {
		ref = slab_ref(id, (uint32_t)slab->used++ * slab->stride);
		*ret_epoch = EPOCH_NONE;
	}
	slab->taken++;
	cls->ready_free--;
	if (slab->taken == slab->slot_count)
		list_remove(arena, &cls->ready, id);
	return ref;
}

void arena_give(struct arena *arena, uint32_t ref)
{
	uint32_t id = ref_slab(ref);
	struct slab *slab = arena_slab(arena, id);
	struct slab_class *cls = &arena->classes[slab->class];
	struct record *record = arena_at(arena, ref);
	uint32_t state = record_state(record);

	if (!(state & KEY_MASK))
		arena_free_large(arena, record_large(record));
	record_set_state(record, STATE_FREE);
	if (slab->taken == slab->slot_count) {
		/* It was in no list. Whether it is sealed matters: ready slots get written. */
		bool sealed = arena_is_sealed(arena, id);

		assert(!sealed || cls->ready_since);
		slab->list_epoch = sealed ? 0 : arena->epoch;
		list_add_tail(arena, sealed ? &cls->parked : &cls->ready, id);
	}
	record->packed = pack_free(slab->free_head, state);
	slab->free_head = (uint16_t)(ref & (SLAB_BYTES / RECORD_GRANULE - 1));
	slab->taken--;
	*(is_parked(arena, slab) ? &cls->parked_free : &cls->ready_free) += 1;
	if (!slab->taken)
		arena_release_slab(arena, id);
}

struct large *arena_large(struct arena *arena, uint64_t key_len, uint64_t value_len)
{
	uint64_t size_bytes = sizeof(struct large) + key_len + value_len;
	struct large *large = pages_alloc(arena->pages, size_bytes);

	if (!large)
		return NULL;
	large->key_len = key_len;
	large->value_len = value_len;
	large->size_bytes = size_bytes;
	arena->large_bytes += size_bytes;
	return large;
}

void arena_free_large(struct arena *arena, struct large *large)
{
	arena->large_bytes -= large->size_bytes;
	pages_free(arena->pages, large, large->size_bytes);
}

/* --- epochs --- */

void arena_seal_all(struct arena *arena)
{
	for (uint32_t i = 0; i < CLASS_COUNT; ++i) {
		struct slab_class *cls = &arena->classes[i];

		list_splice(arena, &cls->parked, &cls->ready);
		cls->parked_free += cls->ready_free;
		cls->ready_free = 0;
		cls->ready_since = arena->epoch;
	}
}

void arena_unseal_all(struct arena *arena)
{
	for (uint32_t i = 0; i < CLASS_COUNT; ++i) {
		struct slab_class *cls = &arena->classes[i];

		list_splice(arena, &cls->ready, &cls->parked);
		cls->ready_free += cls->parked_free;
		cls->parked_free = 0;
		cls->ready_since = 0;
	}
}

static void reset_slab(const struct arena *arena, uint32_t id)
{
	struct slab *slab = arena_slab(arena, id);

	atomic_store_explicit(&slab->born, EPOCH_FIRST, memory_order_relaxed);
	for (uint32_t slot = 0; slot < slab->used; ++slot) {
		struct record *record = arena_at(arena, slab_ref(id, slot * slab->stride));
		uint32_t state = record_state(record);

		if (state == STATE_FREE)
			record->packed = pack_free((uint16_t)record->packed, STATE_DEAD);
		else
			record_set_state(record, state_live(EPOCH_FIRST, state & KEY_MASK));
	}
}

void arena_reset_epoch(struct arena *arena)
{
	arena->epoch = EPOCH_FIRST;
	for (uint32_t id = 0; id < arena_slab_end(arena); ++id) {
		struct slab *slab = arena_slab(arena, id);

		slab->list_epoch = EPOCH_FIRST;
		if (atomic_load_explicit(&slab->born, memory_order_relaxed) != BORN_NEVER)
			reset_slab(arena, id);
	}
}

/* --- life --- */

bool arena_init(struct arena *arena, struct pages *pages)
{
	arena->pages = pages;
	arena->epoch = EPOCH_FIRST;
	arena->free_slabs = SLAB_NONE;
	for (uint32_t i = 0; i < CLASS_COUNT; ++i)
		arena->classes[i].ready = arena->classes[i].parked = SLAB_NONE;
	/* At their full size from the start, so that they never move; pages that are not
	 * touched cost nothing. */
	arena->bases = calloc(AREAS_MAX, sizeof(*arena->bases));
	arena->slabs = calloc(AREAS_MAX, sizeof(*arena->slabs));
	return arena->bases && arena->slabs;
}

static void free_large_records(struct arena *arena)
{
	for (uint32_t id = 0; id < arena_slab_end(arena) && arena->large_bytes; ++id) {
		struct slab *slab = arena_slab(arena, id);

		if (atomic_load_explicit(&slab->born, memory_order_relaxed) == BORN_NEVER ||
		    slab->class != class_of(HANDLE_BYTES))
			continue;
		for (uint32_t slot = 0; slot < slab->used; ++slot) {
			struct record *record = arena_at(arena, slab_ref(id, slot * slab->stride));
			uint32_t state = record_state(record);

			if (state != STATE_FREE && !(state & KEY_MASK))
				arena_free_large(arena, record_large(record));
		}
	}
}

void arena_done(struct arena *arena)
{
	if (arena->bases && arena->slabs) {
		free_large_records(arena);
		for (uint32_t area = 0; area < arena->area_count; ++area) {
			if (arena->bases[area])
				pages_unmap_area(arena->pages, arena->bases[area]);
			free(arena->slabs[area]);
		}
		if (arena->area_count < AREAS_MAX)
			free(arena->slabs[arena->area_count]); /* of an area whose mapping failed */
	}
	free(arena->bases);
	free(arena->slabs);
}

uint64_t arena_bytes(const struct arena *arena)
{
	return arena->slab_count * SLAB_BYTES + arena->resident_free * (uint64_t)SLAB_BYTES + arena->large_bytes;
}
