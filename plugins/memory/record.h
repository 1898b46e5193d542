/* SPDX-License-Identifier: Apache-2.0
 *
 * record.h: one entry as it lies in a slab.
 *
 *	 0  u64  expiry (50 bits) and value length (14 bits)
 *	 8  u32  state: dead (1 bit), saved (1 bit), epoch (22 bits), key length (8 bits)
 *	12       key, padding to 16, value
 *
 * Twelve bytes of header instead of twenty-four are what keeps the overhead
 * under its limit. The key follows the header, so that a probe reads one
 * cache line; the value is aligned to 16, so that a struct can be handed out
 * and changed where it lies (in_place.c).
 * What does not fit in those widths (a key of 0 or more than 255 bytes, a record of
 * more than RECORD_MAX_BYTES, an expiry before 1970 or 35,000 years after it) goes to a
 * block of its own, and the record is a handle to it, marked by key length 0.
 *
 * Invariant: the state word is the only member that is written while another
 * thread may look at the record, and so the only atomic one. A state of 0 is a
 * free slot; epochs start at 1 so that no record has it. A live record's epoch
 * is that of its last write (which tells whether it changed since a mark: delta.h), a dead one's that
 * of its death, and saved if an iterator got it before. See snapshot.h for who may look when.
 */
#ifndef MEMORY_RECORD_H
#define MEMORY_RECORD_H

#include <sb_plugin.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#define RECORD_MAX_BYTES 8192u
#define RECORD_GRANULE 16u

#define EPOCH_NONE 0u
#define EPOCH_FIRST 1u
#define EPOCH_LAST ((1u << 22) - 1)

#define STATE_FREE 0u
#define STATE_DEAD (1u << 31)
#define STATE_SAVED (1u << 30)

#define KEY_BITS 8
#define KEY_MASK ((1u << KEY_BITS) - 1)
#define VALUE_BITS 14
#define VALUE_MASK ((UINT64_C(1) << VALUE_BITS) - 1)

/* What a handle points to; the value follows, then the key. */
struct large {
	uint64_t key_len;
	uint64_t value_len;
	int64_t expiry_ms;
	uint64_t size_bytes; /* of the whole block */
	_Alignas(16) uint8_t bytes[];
};

struct record {
	uint64_t packed;
	_Atomic uint32_t state;
	uint8_t key[4]; /* the first bytes of the key: without them sizeof would be padded to 16 */
};

#define RECORD_KEY_OFFSET offsetof(struct record, key)
#define HANDLE_BYTES 32u

_Static_assert(RECORD_KEY_OFFSET == 12 && sizeof(struct record) == RECORD_GRANULE, "the layout above");

static inline uint64_t record_value_offset(uint64_t key_len)
{
	return (RECORD_KEY_OFFSET + key_len + 15) & ~UINT64_C(15);
}

static inline uint64_t record_bytes(uint64_t key_len, uint64_t value_len)
{
	return record_value_offset(key_len) + value_len;
}

/* Whether the header has room for it; not for a negative one. */
static inline bool record_holds_expiry(int64_t expiry_ms)
{
	return !((uint64_t)expiry_ms >> (64 - VALUE_BITS));
}

/* Whether the entry needs a block of its own. */
static inline bool record_is_large(uint64_t key_len, uint64_t value_len, int64_t expiry_ms)
{
	return key_len == 0 || key_len > KEY_MASK || value_len > RECORD_MAX_BYTES ||
	       record_bytes(key_len, value_len) > RECORD_MAX_BYTES || !record_holds_expiry(expiry_ms);
}

static inline uint32_t state_live(uint32_t epoch, uint64_t key_len)
{
	return epoch << KEY_BITS | (uint32_t)key_len;
}

static inline uint32_t state_epoch(uint32_t state)
{
	return (state & ~(STATE_DEAD | STATE_SAVED)) >> KEY_BITS;
}

static inline bool state_is_live(uint32_t state)
{
	return state != STATE_FREE && !(state & STATE_DEAD);
}

static inline uint32_t record_state(const struct record *record)
{
	return atomic_load_explicit(&record->state, memory_order_relaxed);
}

static inline void record_set_state(struct record *record, uint32_t state)
{
	atomic_store_explicit(&record->state, state, memory_order_relaxed);
}

static inline void record_set_meta(struct record *record, uint64_t value_len, int64_t expiry_ms)
{
	record->packed = (uint64_t)expiry_ms << VALUE_BITS | value_len;
}

static inline struct large *record_large(const struct record *record)
{
	struct large *large;

	memcpy(&large, (const uint8_t *)record + RECORD_GRANULE, sizeof(large));
	return large;
}

static inline void record_set_large(struct record *record, struct large *large)
{
	memcpy((uint8_t *)record + RECORD_GRANULE, &large, sizeof(large));
}

static inline uint8_t *record_bytes_at(const struct record *record, uint64_t offset)
{
	return (uint8_t *)(uintptr_t)record + offset;
}

/* Of a record that is no handle. */
static inline uint64_t record_size(const struct record *record, uint32_t state)
{
	return record_bytes(state & KEY_MASK, record->packed & VALUE_MASK);
}

/* The same. */
static inline int64_t record_expiry(const struct record *record)
{
	return (int64_t)(record->packed >> VALUE_BITS);
}

/* The entry that the record holds; state is what was read from it. */
static inline sb_entry record_entry(const struct record *record, uint32_t state)
{
	uint64_t key_len = state & KEY_MASK;
	sb_entry entry;

	if (key_len == 0) {
		const struct large *large = record_large(record);

		entry.value = (sb_slice){large->bytes, large->value_len};
		entry.key = (sb_slice){large->bytes + large->value_len, large->key_len};
		entry.expiry_ms = large->expiry_ms;
		return entry;
	}
	entry.key = (sb_slice){record_bytes_at(record, RECORD_KEY_OFFSET), key_len};
	entry.value = (sb_slice){record_bytes_at(record, record_value_offset(key_len)), record->packed & VALUE_MASK};
	entry.expiry_ms = record_expiry(record);
	return entry;
}

static inline uint64_t word_at(const uint8_t *bytes)
{
	uint64_t word;

	memcpy(&word, bytes, sizeof(word));
	return word;
}

/* As memcmp, without the call for the lengths that most keys have: words that overlap in the middle. */
static inline bool same_bytes(const uint8_t *a, const uint8_t *b, uint64_t len)
{
	uint64_t different;

	if (len < 8 || len > 32)
		return !memcmp(a, b, len);
	different = (word_at(a) ^ word_at(b)) | (word_at(a + len - 8) ^ word_at(b + len - 8));
	if (len > 16)
		different |= (word_at(a + 8) ^ word_at(b + 8)) | (word_at(a + len - 16) ^ word_at(b + len - 16));
	return !different;
}

static inline bool record_has_key(const struct record *record, sb_slice key)
{
	uint32_t key_len = record_state(record) & KEY_MASK;

	if (key_len) /* the usual case touches nothing but the first line */
		return key_len == key.len && same_bytes(record_bytes_at(record, RECORD_KEY_OFFSET), key.ptr, key.len);
	return record_large(record)->key_len == key.len &&
	       !memcmp(record_large(record)->bytes + record_large(record)->value_len, key.ptr, key.len);
}

#endif
