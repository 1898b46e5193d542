/* See working_set.h. */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "state/working_set.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/error.h"
#include "base/slice.h"

#define FIRST_SLOTS 1024u
#define POOL_UNIT 32u
#define POOL_CLASSES 32u /* up to 1 KiB; larger ones go back to malloc */
#define SLOT_BYTES (sizeof(uint32_t) + sizeof(struct entry *))

static size_t entry_head_bytes(void)
{
	return (sizeof(struct entry) + 15) & ~(size_t)15;
}

static int32_t alloc_table(uint64_t slots, uint32_t **ret_tags, struct entry ***ret_slots, sb_error *err)
{
	uint32_t *tags = calloc(slots, sizeof(*tags));
	struct entry **entries = tags ? malloc(slots * sizeof(*entries)) : NULL;

	if (!entries) {
		free(tags);
		return error_no_memory(err);
	}
	*ret_tags = tags;
	*ret_slots = entries;
	return SB_OK;
}

int32_t working_set_init(struct working_set *set, sb_error *err)
{
	memset(set, 0, sizeof(*set));
	TRY(alloc_table(FIRST_SLOTS, &set->tags, &set->slots, err));
	set->mask = FIRST_SLOTS - 1;
	set->bytes = FIRST_SLOTS * SLOT_BYTES;
	if (getrandom(&set->secret, sizeof(set->secret), 0) != sizeof(set->secret))
		set->secret = (uint64_t)(uintptr_t)set->tags * UINT64_C(0x9e3779b97f4a7c15);
	return SB_OK;
}

static bool is_inline(const struct entry *entry)
{
	return entry->value == (const uint8_t *)entry + entry_head_bytes();
}

uint64_t working_set_entry_bytes(const struct entry *entry)
{
	return entry->alloc_bytes + (is_inline(entry) ? 0 : entry->value_cap);
}

static void free_entry(struct working_set *set, struct entry *entry)
{
	uint32_t class = entry->alloc_bytes / POOL_UNIT;

	set->bytes -= working_set_entry_bytes(entry);
	if (!is_inline(entry))
		free(entry->value);
	if (class > POOL_CLASSES) {
		free(entry);
		return;
	}
	entry->dirty_next = set->pool[class];
	set->pool[class] = entry;
}

static void free_pool(struct working_set *set)
{
	for (uint32_t class = 0; class <= POOL_CLASSES; class ++) {
		while (set->pool[class]) {
			struct entry *next = set->pool[class]->dirty_next;

			free(set->pool[class]);
			set->pool[class] = next;
		}
	}
}

void working_set_clear(struct working_set *set)
{
	for (uint64_t i = 0; set->count && i <= set->mask; i++) {
		if (!set->tags[i])
			continue;
		set->tags[i] = 0;
		set->count--;
		free_entry(set, set->slots[i]);
	}
	memset(set->dirty, 0, sizeof(set->dirty));
}

void working_set_done(struct working_set *set)
{
	if (set->tags)
		working_set_clear(set);
	free_pool(set);
	free(set->tags);
	free(set->slots);
	memset(set, 0, sizeof(*set));
}

uint64_t working_set_hash(const struct working_set *set, uint32_t state_index, sb_slice user_part)
{
	return XXH3_64bits_withSeed(user_part.ptr, user_part.len, set->secret + state_index);
}

static uint32_t tag_of(uint64_t hash)
{
	return (uint32_t)(hash >> 32) | 1u;
}

void working_set_prefetch(const struct working_set *set, uint64_t hash)
{
	__builtin_prefetch(&set->tags[hash & set->mask]);
	__builtin_prefetch(&set->slots[hash & set->mask]);
}

void working_set_prefetch_entry(const struct working_set *set, uint64_t hash)
{
	uint64_t at = hash & set->mask;

	if (set->tags[at] == tag_of(hash)) {
		__builtin_prefetch(set->slots[at]);
		__builtin_prefetch((const uint8_t *)set->slots[at] + 64);
	}
}

static uint64_t free_slot(const uint32_t *tags, uint64_t mask, uint64_t hash)
{
	uint64_t at = hash & mask;

	while (tags[at])
		at = (at + 1) & mask;
	return at;
}

int32_t working_set_reserve(struct working_set *set, uint64_t extra, sb_error *err)
{
	uint64_t slots = set->mask + 1;
	uint64_t new_slots = slots;
	uint32_t *tags;
	struct entry **entries;

	while ((set->count + extra) * 4 > new_slots * 3)
		new_slots *= 2;
	if (new_slots == slots)
		return SB_OK;
	TRY(alloc_table(new_slots, &tags, &entries, err));
	for (uint64_t i = 0; i < slots; i++) {
		uint64_t at;

		if (!set->tags[i])
			continue;
		at = free_slot(tags, new_slots - 1, set->slots[i]->hash);
		tags[at] = set->tags[i];
		entries[at] = set->slots[i];
	}
	free(set->tags);
	free(set->slots);
	set->tags = tags;
	set->slots = entries;
	set->mask = new_slots - 1;
	set->bytes += (new_slots - slots) * SLOT_BYTES;
	return SB_OK;
}

static bool is_entry_of(const struct entry *entry, uint64_t hash, uint32_t state_index, sb_slice user_part)
{
	return entry->hash == hash && entry->state_index == state_index &&
	       slice_equal(composed_user_part(entry_key(entry)), user_part);
}

struct entry *working_set_find(const struct working_set *set, uint64_t hash, uint32_t state_index, sb_slice user_part)
{
	uint32_t tag = tag_of(hash);

	for (uint64_t at = hash & set->mask; set->tags[at]; at = (at + 1) & set->mask) {
		if (set->tags[at] == tag && is_entry_of(set->slots[at], hash, state_index, user_part))
			return set->slots[at];
	}
	return NULL;
}

static struct entry *alloc_entry(struct working_set *set, uint32_t key_len, uint32_t inline_bytes)
{
	size_t value_room = (inline_bytes + 7u) & ~(size_t)7;
	size_t bytes = entry_head_bytes() + value_room + key_len;
	uint32_t class;
	struct entry *entry;

	bytes = (bytes + POOL_UNIT - 1) & ~(size_t)(POOL_UNIT - 1);
	class = (uint32_t)(bytes / POOL_UNIT);
	if (class <= POOL_CLASSES && set->pool[class]) {
		entry = set->pool[class];
		set->pool[class] = entry->dirty_next;
	} else {
		entry = malloc(bytes);
	}
	if (!entry)
		return NULL;
	memset(entry, 0, entry_head_bytes() + value_room);
	entry->alloc_bytes = (uint32_t)bytes;
	entry->key_len = key_len;
	entry->key = (uint8_t *)entry + entry_head_bytes() + value_room;
	if (inline_bytes) {
		entry->value = (uint8_t *)entry + entry_head_bytes();
		entry->value_len = entry->value_cap = inline_bytes;
	}
	set->bytes += bytes;
	return entry;
}

struct entry *working_set_find_or_add(struct working_set *set, uint64_t hash, uint32_t state_index, uint32_t key_group,
				      uint32_t state_id, sb_slice user_part, uint32_t inline_bytes)
{
	struct entry *entry = working_set_find(set, hash, state_index, user_part);
	uint64_t at;

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
	at = free_slot(set->tags, set->mask, hash);
	set->tags[at] = tag_of(hash);
	set->slots[at] = entry;
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
		entry->value_cap = value.len;
	}
	if (value.len)
		memcpy(entry->value, value.ptr, value.len);
	entry->value_len = value.len;
	return SB_OK;
}

static struct dirty_list *dirty_list_of(struct working_set *set, const struct entry *entry)
{
	return &set->dirty[is_inline(entry) ? DIRTY_STRUCT : DIRTY_RAW];
}

void working_set_mark_dirty(struct working_set *set, struct entry *entry)
{
	struct dirty_list *list = dirty_list_of(set, entry);

	if (entry->flags & ENTRY_DIRTY)
		return;
	entry->flags |= ENTRY_DIRTY;
	entry->dirty_prev = list->last;
	entry->dirty_next = NULL;
	if (list->last)
		list->last->dirty_next = entry;
	else
		list->first = entry;
	list->last = entry;
	list->count++;
}

void working_set_mark_clean(struct working_set *set, struct entry *entry)
{
	struct dirty_list *list = dirty_list_of(set, entry);

	if (!(entry->flags & ENTRY_DIRTY))
		return;
	entry->flags &= ~ENTRY_DIRTY;
	if (entry->dirty_prev)
		entry->dirty_prev->dirty_next = entry->dirty_next;
	else
		list->first = entry->dirty_next;
	if (entry->dirty_next)
		entry->dirty_next->dirty_prev = entry->dirty_prev;
	else
		list->last = entry->dirty_prev;
	entry->dirty_prev = entry->dirty_next = NULL;
	list->count--;
}

/* Moves later members of the probe chain up, so that no hole breaks it. */
static void close_gap(struct working_set *set, uint64_t hole)
{
	for (uint64_t at = (hole + 1) & set->mask; set->tags[at]; at = (at + 1) & set->mask) {
		uint64_t home = set->slots[at]->hash & set->mask;

		if (((at - home) & set->mask) < ((at - hole) & set->mask))
			continue;
		set->tags[hole] = set->tags[at];
		set->slots[hole] = set->slots[at];
		hole = at;
	}
	set->tags[hole] = 0;
}

void working_set_remove(struct working_set *set, struct entry *entry)
{
	uint64_t at = entry->hash & set->mask;

	while (set->slots[at] != entry || !set->tags[at])
		at = (at + 1) & set->mask;
	close_gap(set, at);
	set->count--;
	free_entry(set, entry);
}

struct entry *working_set_next_victim(struct working_set *set)
{
	/* Two rounds: the first takes the marks off, the second must find one. */
	for (uint64_t steps = 2 * (set->mask + 1); steps && set->count; steps--) {
		/* An odd multiplier visits every slot once a round, scattered: a hand that went in order would leave all
		 * free slots behind it and a full stretch before it, in which probing becomes a walk. */
		uint64_t at = set->hand++ * UINT64_C(0x9e3779b97f4a7c15) & set->mask;
		struct entry *entry;

		if (!set->tags[at])
			continue;
		entry = set->slots[at];
		if (entry->flags & ENTRY_LEAVING)
			continue;
		if (!(entry->flags & ENTRY_REFERENCED))
			return entry;
		entry->flags &= ~ENTRY_REFERENCED;
	}
	return NULL;
}
