/* See working_set.h. */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "state/working_set.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/error.h"
#include "base/slice.h"

#define FIRST_SLOTS 1024u
#define TRIM_SLOTS_AN_ENTRY 8u
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

int32_t working_set_init(struct working_set *set, uint32_t key_groups, sb_error *err)
{
	memset(set, 0, sizeof(*set));
	set->list_count = key_groups * CHANGED_KINDS;
	for (uint32_t i = 0; i < 2; i++) {
		set->changes[i].lists = calloc(set->list_count, sizeof(struct changed_list));
		if (!set->changes[i].lists)
			return error_no_memory(err);
	}
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
	entry->changed_next = set->pool[class];
	set->pool[class] = entry;
}

static void free_pool(struct working_set *set)
{
	for (uint32_t class = 0; class <= POOL_CLASSES; class ++) {
		while (set->pool[class]) {
			struct entry *next = set->pool[class]->changed_next;

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

static int32_t resize(struct working_set *set, uint64_t new_slots, sb_error *err)
{
	const uint64_t slots = set->mask + 1;
	uint32_t *tags;
	struct entry **entries;

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
	set->bytes += new_slots * SLOT_BYTES;
	set->bytes -= slots * SLOT_BYTES;
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
		set->pool[class] = entry->changed_next;
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
	struct entry *copy = alloc_entry(set, entry->key_len, has_inline ? (uint32_t)entry->value_len : 0);

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

struct entry *working_set_next_victim(struct working_set *set, uint32_t spare, uint64_t *steps)
{
	for (; *steps && set->count; --*steps) {
		/* An odd multiplier visits every slot once a round, scattered: a hand that went in order would leave all
		 * free slots behind it and a full stretch before it, in which probing becomes a walk. */
		uint64_t at = set->hand++ * UINT64_C(0x9e3779b97f4a7c15) & set->mask;
		struct entry *entry;

		if (!set->tags[at])
			continue;
		entry = set->slots[at];
		if (entry->flags & spare)
			continue;
		if (!(entry->flags & ENTRY_REFERENCED))
			return entry;
		entry->flags &= ~ENTRY_REFERENCED;
	}
	return NULL;
}
