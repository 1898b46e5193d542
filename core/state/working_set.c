/* See working_set.h. */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "state/working_set.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/error.h"
#include "base/slice.h"

#define FIRST_SLOTS 1024u
#define TRIM_SLOTS_AN_ENTRY 8u
#define RESIZE_AHEAD 16u
#define SLOT_BYTES sizeof(uint64_t)
#define VALUE_ALIGN 16u /* as sb_task promises */

static uint64_t slot_of(uint64_t hash, const struct entry *entry)
{
	return (hash & ~WORKING_SET_POINTER) | (uintptr_t)entry;
}

static bool may_be(uint64_t slot, uint64_t hash)
{
	return ((slot ^ hash) & ~WORKING_SET_POINTER) == 0;
}

static size_t value_offset(uint32_t key_len)
{
	return (sizeof(struct entry) + key_len + VALUE_ALIGN - 1) & ~(size_t)(VALUE_ALIGN - 1);
}

int32_t working_set_init(struct working_set *set, uint32_t key_groups, sb_error *err)
{
	memset(set, 0, sizeof(*set));
	set->list_count = key_groups * CHANGED_KINDS;
	for (uint32_t i = 0; i < 2; i++) {
		set->changes[i].lists = calloc(set->list_count, sizeof(struct changed_list));
		if (!set->changes[i].lists)
			return error_no_memory(err);
	}
	set->slots = entry_pages_alloc(FIRST_SLOTS * SLOT_BYTES);
	if (!set->slots)
		return error_no_memory(err);
	set->mask = FIRST_SLOTS - 1;
	set->bytes = FIRST_SLOTS * SLOT_BYTES;
	if (getrandom(&set->secret, sizeof(set->secret), 0) != sizeof(set->secret))
		return error_set_errno(err, errno, "the system gives no random numbers for the table of keys");
	return SB_OK;
}

static bool is_inline(const struct entry *entry)
{
	return entry->value == (const uint8_t *)entry + value_offset(entry->key_len);
}

uint64_t working_set_entry_bytes(const struct entry *entry)
{
	return entry->alloc_bytes + (is_inline(entry) ? 0 : entry->value_cap);
}

static void free_entry(struct working_set *set, struct entry *entry)
{
	set->bytes -= working_set_entry_bytes(entry);
	if (!is_inline(entry))
		free(entry->value);
	entry_pool_free(&set->pool, entry, entry->alloc_bytes);
}

void working_set_clear(struct working_set *set)
{
	for (uint64_t i = 0; set->count && i <= set->mask; i++) {
		if (!set->slots[i])
			continue;
		free_entry(set, working_set_at(set, i));
		set->slots[i] = 0;
		set->count--;
	}
}

/* They hang on their lists alone. */
static void free_copies(struct working_set *set, struct change_set *changes)
{
	for (uint32_t i = 0; changes->lists && i < set->list_count; i++) {
		struct entry *next;

		for (struct entry *entry = changes->lists[i].first; entry; entry = next) {
			next = entry->changed_next;
			if (entry->flags & ENTRY_COPY)
				free_entry(set, entry);
		}
	}
}

void working_set_done(struct working_set *set)
{
	for (uint32_t i = 0; i < 2; i++) {
		free_copies(set, &set->changes[i]);
		free(set->changes[i].lists);
	}
	if (set->slots)
		working_set_clear(set);
	entry_pool_done(&set->pool);
	free(set->slots);
	memset(set, 0, sizeof(*set));
}

uint64_t working_set_hash(const struct working_set *set, uint32_t state_index, sb_slice user_part)
{
	return XXH3_64bits_withSeed(user_part.ptr, user_part.len, set->secret + state_index);
}

void working_set_prefetch(const struct working_set *set, uint64_t hash)
{
	__builtin_prefetch(&set->slots[hash & set->mask]);
}

void working_set_prefetch_entry(const struct working_set *set, uint64_t hash)
{
	for (uint64_t at = hash & set->mask; set->slots[at]; at = (at + 1) & set->mask) {
		const uint8_t *entry = (const uint8_t *)working_set_at(set, at);

		if (!may_be(set->slots[at], hash))
			continue;
		__builtin_prefetch(entry);
		__builtin_prefetch(entry + sizeof(struct entry));
		return;
	}
}

static uint64_t free_slot(const uint64_t *slots, uint64_t mask, uint64_t hash)
{
	uint64_t at = hash & mask;

	while (slots[at])
		at = (at + 1) & mask;
	return at;
}

static int32_t resize(struct working_set *set, uint64_t new_slots, sb_error *err)
{
	const uint64_t old_slots = set->mask + 1;
	uint64_t *slots = entry_pages_alloc(new_slots * SLOT_BYTES);

	if (!slots)
		return error_no_memory(err);
	for (uint64_t i = 0; i < old_slots; i++) {
		if (i + RESIZE_AHEAD < old_slots)
			__builtin_prefetch(working_set_at(set, i + RESIZE_AHEAD));
		if (set->slots[i])
			slots[free_slot(slots, new_slots - 1, working_set_at(set, i)->hash)] = set->slots[i];
	}
	free(set->slots);
	set->slots = slots;
	set->mask = new_slots - 1;
	set->bytes += new_slots * SLOT_BYTES;
	set->bytes -= old_slots * SLOT_BYTES;
	return SB_OK;
}

int32_t working_set_reserve(struct working_set *set, uint64_t extra, sb_error *err)
{
	uint64_t slots = set->mask + 1;

	while ((set->count + extra) * 4 > slots * 3)
		slots *= 2;
	return slots == set->mask + 1 ? SB_OK : resize(set, slots, err);
}

void working_set_trim(struct working_set *set)
{
	sb_error ignored = ERROR_INIT; /* without memory for a smaller table the large one stays */
	uint64_t slots = set->mask + 1;

	while (slots > FIRST_SLOTS && slots > set->count * TRIM_SLOTS_AN_ENTRY)
		slots /= 2;
	if (slots < set->mask + 1)
		resize(set, slots, &ignored);
}

static bool is_entry_of(const struct entry *entry, uint64_t hash, uint32_t state_index, sb_slice user_part)
{
	return entry->hash == hash && entry->state_index == state_index &&
	       slice_equal_key(composed_user_part(entry_key(entry)), user_part);
}

struct entry *working_set_find(const struct working_set *set, uint64_t hash, uint32_t state_index, sb_slice user_part)
{
	for (uint64_t at = hash & set->mask; set->slots[at]; at = (at + 1) & set->mask) {
		struct entry *entry = working_set_at(set, at);

		if (may_be(set->slots[at], hash) && is_entry_of(entry, hash, state_index, user_part))
			return entry;
	}
	return NULL;
}

static struct entry *alloc_entry(struct working_set *set, uint32_t key_len, uint32_t inline_bytes)
{
	const size_t head_bytes = value_offset(key_len);
	const size_t bytes = entry_pool_size(head_bytes + inline_bytes);
	struct entry *entry = entry_pool_alloc(&set->pool, bytes);

	if (!entry)
		return NULL;
	memset(entry, 0, sizeof(*entry));
	entry->alloc_bytes = (uint32_t)bytes;
	entry->key_len = key_len;
	if (inline_bytes) {
		entry->value = (uint8_t *)entry + head_bytes;
		entry->value_len = entry->value_cap = inline_bytes;
		memset(entry->value, 0, inline_bytes);
	}
	set->bytes += bytes;
	return entry;
}

struct entry *working_set_find_or_add(struct working_set *set, uint64_t hash, uint32_t state_index, uint32_t key_group,
				      uint32_t state_id, sb_slice user_part, uint32_t inline_bytes)
{
	struct entry *entry = working_set_find(set, hash, state_index, user_part);

	if (entry)
		return entry;
	entry = alloc_entry(set, (uint32_t)user_part.len + COMPOSED_PREFIX_BYTES, inline_bytes);
	if (!entry)
		return NULL;
	entry->hash = hash;
	entry->state_index = state_index;
	composed_put_prefix(entry->key, key_group, state_id);
	if (user_part.len)
		memcpy(entry->key + COMPOSED_PREFIX_BYTES, user_part.ptr, user_part.len);
	set->slots[free_slot(set->slots, set->mask, hash)] = slot_of(hash, entry);
	set->count++;
	return entry;
}

int32_t working_set_set_value(struct working_set *set, struct entry *entry, sb_slice value, sb_error *err)
{
	if (value.len > entry->value_cap) {
		uint8_t *grown = realloc(entry->value, value.len);

		if (!grown)
			return error_no_memory(err);
		set->bytes += value.len - entry->value_cap;
		entry->value = grown;
		entry->value_cap = (uint32_t)value.len;
	}
	if (value.len)
		memcpy(entry->value, value.ptr, value.len);
	entry->value_len = (uint32_t)value.len;
	return SB_OK;
}

static struct change_set *change_set_of(struct working_set *set, const struct entry *entry)
{
	return &set->changes[entry->flags & ENTRY_CHANGED_1 ? 1 : 0];
}

static struct changed_list *list_of(struct change_set *changes, const struct entry *entry)
{
	return &changes->lists[changed_list_index(composed_key_group(entry_key(entry)),
						  is_inline(entry) ? CHANGED_STRUCT : CHANGED_RAW)];
}

static void append(struct changed_list *list, struct entry *entry)
{
	entry->changed_prev = list->last;
	entry->changed_next = NULL;
	if (list->last)
		list->last->changed_next = entry;
	else
		list->first = entry;
	list->last = entry;
}

/* The copy takes the entry's place on its list, and the value with it if that is not inline. */
static int32_t leave_copy(struct working_set *set, struct entry *entry, sb_error *err)
{
	struct changed_list *list = list_of(change_set_of(set, entry), entry);
	const bool has_inline = is_inline(entry);
	struct entry *copy = alloc_entry(set, entry->key_len, has_inline ? entry->value_len : 0);

	if (!copy)
		return error_no_memory(err);
	memcpy(copy->key, entry->key, entry->key_len);
	if (has_inline) {
		memcpy(copy->value, entry->value, entry->value_len);
	} else {
		copy->value = entry->value;
		copy->value_len = entry->value_len;
		copy->value_cap = entry->value_cap;
		entry->value = NULL;
		entry->value_len = entry->value_cap = 0;
	}
	copy->expiry_ms = entry->expiry_ms;
	copy->flags = (entry->flags & (ENTRY_PRESENT | ENTRY_CHANGED)) | ENTRY_COPY;
	copy->state_index = entry->state_index;
	copy->changed_prev = entry->changed_prev;
	copy->changed_next = entry->changed_next;
	*(copy->changed_prev ? &copy->changed_prev->changed_next : &list->first) = copy;
	*(copy->changed_next ? &copy->changed_next->changed_prev : &list->last) = copy;
	set->copy_bytes += working_set_entry_bytes(copy);
	entry->flags &= ~ENTRY_CHANGED;
	return SB_OK;
}

int32_t working_set_mark_dirty(struct working_set *set, struct entry *entry, sb_error *err)
{
	struct change_set *dirty = &set->changes[set->epoch & 1];
	const uint32_t flag = working_set_dirty_flag(set);

	if (entry->flags & flag)
		return SB_OK;
	if (entry->flags & ENTRY_CHANGED)
		TRY(leave_copy(set, entry, err));
	entry->flags |= flag;
	append(list_of(dirty, entry), entry);
	dirty->count++;
	return SB_OK;
}

void working_set_mark_clean(struct working_set *set, struct entry *entry)
{
	struct change_set *changes = change_set_of(set, entry);
	struct changed_list *list;

	if (!(entry->flags & ENTRY_CHANGED))
		return;
	list = list_of(changes, entry);
	entry->flags &= ~ENTRY_CHANGED;
	*(entry->changed_prev ? &entry->changed_prev->changed_next : &list->first) = entry->changed_next;
	*(entry->changed_next ? &entry->changed_next->changed_prev : &list->last) = entry->changed_prev;
	entry->changed_prev = entry->changed_next = NULL;
	changes->count--;
	if (entry->flags & ENTRY_COPY) {
		set->copy_bytes -= working_set_entry_bytes(entry);
		free_entry(set, entry);
	}
}

void working_set_freeze(struct working_set *set)
{
	assert(working_set_frozen(set)->count == 0);
	set->epoch++;
}

/* Moves later members of the probe chain up, so that no hole breaks it. */
static void close_gap(struct working_set *set, uint64_t hole)
{
	for (uint64_t at = (hole + 1) & set->mask; set->slots[at]; at = (at + 1) & set->mask) {
		uint64_t home = working_set_at(set, at)->hash & set->mask;

		if (((at - home) & set->mask) < ((at - hole) & set->mask))
			continue;
		set->slots[hole] = set->slots[at];
		hole = at;
	}
	set->slots[hole] = 0;
}

void working_set_remove(struct working_set *set, struct entry *entry)
{
	uint64_t at = entry->hash & set->mask;

	while (working_set_at(set, at) != entry)
		at = (at + 1) & set->mask;
	close_gap(set, at);
	set->count--;
	free_entry(set, entry);
}

struct entry *working_set_next_victim(struct working_set *set, uint32_t spare, uint64_t *steps)
{
	for (; *steps && set->count; --*steps) {
		/* An odd multiplier visits every slot once a round, scattered: a hand that went in order would leave all
		 * free slots behind it and a full stretch before it, in which probing becomes a walk. */
		uint64_t at = set->hand++ * UINT64_C(0x9e3779b97f4a7c15) & set->mask;
		struct entry *entry = working_set_at(set, at);

		if (!entry || entry->flags & spare)
			continue;
		if (!(entry->flags & ENTRY_REFERENCED))
			return entry;
		entry->flags &= ~ENTRY_REFERENCED;
	}
	return NULL;
}
