/* The working set: the entries that a task has at hand, in front of its backend.
 *
 * One structure for every backend. With a budget it is a write-back record cache: entries stay
 * until the budget is full, changed ones reach the backend when they are evicted or at a
 * barrier. Without one it holds the batch at hand and is emptied after it.
 *
 * Invariants: every entry is in the table exactly once; an entry is on the dirty list of its kind exactly
 * when it is dirty; no entry moves or goes away between working_set_find_or_add and the end of
 * the batch, so pointers into values stay good for an operator's whole process() call.
 *
 * The table is open addressing with linear probing and backward-shift deletion: no tombstones, so a
 * table that turns over for days probes as fast as a new one. Slots keep a half of the
 * hash, so that a probe touches an entry only when it is very likely the right one. The hash is keyed by a
 * secret: event keys come from outside, and must not be able to pile up. */
#ifndef STATE_WORKING_SET_H
#define STATE_WORKING_SET_H

#include <stdbool.h>

#include "sb_plugin.h"
#include "state/composed_key.h"

#define ENTRY_PRESENT 1u /* has a value; else it is known to be absent, or deleted */
#define ENTRY_DIRTY 2u /* differs from what the backend has */
#define ENTRY_REFERENCED 4u /* used since the clock hand last passed */
#define ENTRY_FETCHED 8u /* the backend has been asked, or need not be */
#define ENTRY_LEAVING 16u /* chosen for eviction, waiting to be written */

struct entry {
	uint64_t hash;
	struct entry *dirty_prev, *dirty_next;
	uint8_t *value; /* inline behind the struct for struct states, else its own allocation */
	uint64_t value_len, value_cap;
	int64_t expiry_ms;
	uint32_t flags;
	uint32_t state_index; /* into the schema */
	uint32_t key_len; /* composed */
	uint32_t alloc_bytes; /* of this entry, to give back */
	uint8_t *key; /* composed; inline */
};

/* Struct values are changed in place until the batch ends, by pointers that the operator holds; raw ones are whole
 * with each call. So raw entries can be written in the middle of a batch, and struct entries cannot. */
enum dirty_kind { DIRTY_STRUCT, DIRTY_RAW, DIRTY_KINDS };

struct dirty_list {
	struct entry *first, *last; /* in the order in which they became dirty */
	uint64_t count;
};

struct working_set {
	uint32_t *tags; /* 0: empty slot */
	struct entry **slots;
	uint64_t mask; /* slots - 1 */
	uint64_t count;
	uint64_t bytes; /* entries and their values, and the table */
	uint64_t hand; /* of the clock */
	uint64_t secret;
	struct dirty_list dirty[DIRTY_KINDS];
	struct entry *pool[33]; /* freed entries by size class of 32 bytes, linked by dirty_next */
};

int32_t working_set_init(struct working_set *set, sb_error *err);
void working_set_done(struct working_set *set);

/* The keyed hash of a user part under a state. */
uint64_t working_set_hash(const struct working_set *set, uint32_t state_index, sb_slice user_part);
void working_set_prefetch(const struct working_set *set, uint64_t hash);
/* For the next probe of the same hash: its entry, when it seems to be there. */
void working_set_prefetch_entry(const struct working_set *set, uint64_t hash);

/* Makes room for extra more entries, so that find_or_add cannot run into a full table. */
int32_t working_set_reserve(struct working_set *set, uint64_t extra, sb_error *err);

/* The entry of (state, user part); a new one has no flags, and inline_bytes of zeroed value. NULL when memory is out. */
struct entry *working_set_find_or_add(struct working_set *set, uint64_t hash, uint32_t state_index, uint32_t key_group,
				      uint32_t state_id, sb_slice user_part, uint32_t inline_bytes);
struct entry *working_set_find(const struct working_set *set, uint64_t hash, uint32_t state_index, sb_slice user_part);

/* Replaces the value of an entry whose value is not inline. */
int32_t working_set_set_value(struct working_set *set, struct entry *entry, sb_slice value, sb_error *err);

void working_set_mark_dirty(struct working_set *set, struct entry *entry);
void working_set_mark_clean(struct working_set *set, struct entry *entry);

/* Takes a clean entry out and frees it. */
void working_set_remove(struct working_set *set, struct entry *entry);
/* Moves the hand on to the next entry that was not used lately; NULL when a whole round found none. */
struct entry *working_set_next_victim(struct working_set *set);
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

/* What the entry takes from the budget. */
uint64_t working_set_entry_bytes(const struct entry *entry);

static inline uint64_t working_set_dirty_count(const struct working_set *set)
{
	return set->dirty[DIRTY_STRUCT].count + set->dirty[DIRTY_RAW].count;
}

static inline bool expiry_reached(int64_t expiry_ms, int64_t clock_ms)
{
	return expiry_ms != SB_NO_EXPIRY && expiry_ms <= clock_ms;
}

#endif
