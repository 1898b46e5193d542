/* The working set: the entries that a task has at hand, in front of its backend.
 *
 * One structure for every backend. With a budget it is a write-back record cache: entries stay
 * until the budget is full, changed ones reach the backend when they are evicted or at a
 * barrier. Without one it holds the batch at hand and is emptied after it.
 *
 * Invariants: every entry is in the table exactly once; an entry is on the list of its key group and kind exactly
 * when it differs from what the backend has; no entry moves or goes away between working_set_find_or_add and the end of
 * the batch, so pointers into values stay good for an operator's whole process() call.
 *
 * What is changed is kept in two sets: what became dirty since the last barrier, and what was dirty at it and is not yet
 * written (frozen). A barrier makes the one the other, which costs the same for one entry and for ten million: an entry's mark
 * names one of two sets, and the barrier exchanges what these are. An entry that is frozen and about to
 * change leaves a copy of itself in its place, which is in no table and goes away when it has been written.
 *
 * The table is open addressing with linear probing and backward-shift deletion: no tombstones, so a
 * table that turns over for days probes as fast as a new one. A slot is a pointer with sixteen bits of the hash in the part that addresses
 * do not use, so that a probe touches an entry only when it is very likely the right one. The hash is keyed by a
 * secret: event keys come from outside, and must not be able to pile up.
 *
 * What costs time here is memory that is not in the processor's cache. A slot is one line; an entry's head is one, its key begins the
 * next, with the value behind it. */
#ifndef STATE_WORKING_SET_H
#define STATE_WORKING_SET_H

#include <stdbool.h>

#include "sb_plugin.h"
#include "state/composed_key.h"
#include "state/entry_pool.h"

#define WORKING_SET_POINTER ((UINT64_C(1) << 48) - 1) /* user addresses are no longer unless a program asks for it */

#define ENTRY_PRESENT 1u /* has a value; else it is known to be absent, or deleted */
#define ENTRY_CHANGED_0 2u /* differs from what the backend has, and is in changes[0] */
#define ENTRY_CHANGED_1 4u /* the same of changes[1] */
#define ENTRY_CHANGED (ENTRY_CHANGED_0 | ENTRY_CHANGED_1) /* one of them at most */
#define ENTRY_REFERENCED 8u /* used since the clock hand last passed */
#define ENTRY_FETCHED 16u /* the backend has been asked, or need not be */
#define ENTRY_LEAVING 32u /* chosen for eviction, waiting to be written */
#define ENTRY_COPY 64u /* of an entry that was frozen and has changed since: in no table */

struct entry {
	uint64_t hash;
	struct entry *changed_prev, *changed_next;
	uint8_t *value; /* inline behind the key for struct states, else its own allocation */
	int64_t expiry_ms;
	uint32_t value_len, value_cap;
	uint32_t flags;
	uint32_t state_index; /* into the schema */
	uint32_t key_len; /* composed */
	uint32_t alloc_bytes; /* of this entry, to give back */
	uint8_t key[]; /* composed */
};

_Static_assert(sizeof(struct entry) == 64, "the head of an entry is a cache line");

/* Struct values are changed in place until the batch ends, by pointers that the operator holds; raw ones are whole
 * with each call. So raw entries can be written in the middle of a batch, and struct entries cannot. */
enum changed_kind { CHANGED_STRUCT, CHANGED_RAW, CHANGED_KINDS };

struct changed_list {
	struct entry *first, *last; /* in the order in which they became dirty */
};

/* By key group, which keys begin with: so what is written from list to list is roughly sorted. */
struct change_set {
	struct changed_list *lists; /* changed_list_index() */
	uint64_t count;
};

struct working_set {
	uint64_t *slots; /* working_set_at(); 0: empty */
	uint64_t mask; /* slots - 1 */
	uint64_t count;
	uint64_t bytes; /* entries and their values, and the table */
	uint64_t copy_bytes; /* of these, what copies of frozen entries take */
	uint64_t hand; /* of the clock */
	uint64_t secret;
	uint32_t list_count; /* of each change set */
	uint32_t epoch; /* its lowest bit says which one is dirty; the other one is frozen */
	struct change_set changes[2];
	struct entry_pool pool;
};

int32_t working_set_init(struct working_set *set, uint32_t key_groups, sb_error *err);
void working_set_done(struct working_set *set);

/* The keyed hash of a user part under a state. */
uint64_t working_set_hash(const struct working_set *set, uint32_t state_index, sb_slice user_part);
void working_set_prefetch(const struct working_set *set, uint64_t hash);
/* For the next probe of the same hash: its entry, when it seems to be there. */
void working_set_prefetch_entry(const struct working_set *set, uint64_t hash);

/* Makes room for extra more entries, so that find_or_add cannot run into a full table. */
int32_t working_set_reserve(struct working_set *set, uint64_t extra, sb_error *err);
/* A table with far more slots than entries becomes smaller: it counts towards the budget, too. */
void working_set_trim(struct working_set *set);

/* The entry of (state, user part); a new one has no flags, and inline_bytes of zeroed value. NULL when memory is out. */
struct entry *working_set_find_or_add(struct working_set *set, uint64_t hash, uint32_t state_index, uint32_t key_group,
				      uint32_t state_id, sb_slice user_part, uint32_t inline_bytes);
struct entry *working_set_find(const struct working_set *set, uint64_t hash, uint32_t state_index, sb_slice user_part);

/* Replaces the value of an entry whose value is not inline. */
int32_t working_set_set_value(struct working_set *set, struct entry *entry, sb_slice value, sb_error *err);

/* Before the entry changes. If it is frozen a copy takes its place: of a value that is not inline the copy gets the bytes themselves, for
 * such a value is replaced or deleted as a whole. */
int32_t working_set_mark_dirty(struct working_set *set, struct entry *entry, sb_error *err);
/* The entry, dirty or frozen, is what the backend has. A copy is gone after it. */
void working_set_mark_clean(struct working_set *set, struct entry *entry);
/* What is dirty is frozen now. Nothing may be frozen still. */
void working_set_freeze(struct working_set *set);

/* Takes a clean entry out and frees it. */
void working_set_remove(struct working_set *set, struct entry *entry);
/* Moves the hand on, for *steps slots at most, to the next entry that was not used lately and has none of the flags in spare; NULL
 * when none was found. Two rounds find one if there is one. */
struct entry *working_set_next_victim(struct working_set *set, uint32_t spare, uint64_t *steps);
/* Forgets everything; all must be clean. */
void working_set_clear(struct working_set *set);

static inline sb_slice entry_key(const struct entry *entry)
{
	return (sb_slice){.ptr = entry->key, .len = entry->key_len};
}

static inline sb_slice entry_value(const struct entry *entry)
{
	return (sb_slice){.ptr = entry->value, .len = entry->value_len};
}

/* The entry in a slot, or NULL. */
static inline struct entry *working_set_at(const struct working_set *set, uint64_t slot)
{
	return (struct entry *)(uintptr_t)(set->slots[slot] & WORKING_SET_POINTER);
}

/* What the entry takes from the budget. */
uint64_t working_set_entry_bytes(const struct entry *entry);

static inline const struct change_set *working_set_dirty(const struct working_set *set)
{
	return &set->changes[set->epoch & 1];
}

static inline const struct change_set *working_set_frozen(const struct working_set *set)
{
	return &set->changes[~set->epoch & 1];
}

static inline uint32_t working_set_dirty_flag(const struct working_set *set)
{
	return set->epoch & 1 ? ENTRY_CHANGED_1 : ENTRY_CHANGED_0;
}

static inline uint32_t changed_list_index(uint32_t key_group, enum changed_kind kind)
{
	return key_group * CHANGED_KINDS + kind;
}

static inline bool expiry_reached(int64_t expiry_ms, int64_t clock_ms)
{
	return expiry_ms != SB_NO_EXPIRY && expiry_ms <= clock_ms;
}

#endif
