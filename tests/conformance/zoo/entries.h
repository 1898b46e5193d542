/* SPDX-License-Identifier: Apache-2.0
 * What the zoo's backends keep: entries that never change and are counted, in lists that are sorted by key. */
#ifndef ZOO_ENTRIES_H
#define ZOO_ENTRIES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include "zoo.h"

struct entry {
	_Atomic unsigned refs; /* iterators on other threads let go of them, too */
	sb_slice key, value;
	int64_t expiry_ms;
	bool deleted; /* in a log of changes */
	uint8_t bytes[];
};

struct list {
	struct entry **items;
	uint64_t count, room;
};

static inline int compare(sb_slice a, sb_slice b)
{
	const uint64_t shorter = a.len < b.len ? a.len : b.len;
	const int order = shorter ? memcmp(a.ptr, b.ptr, shorter) : 0;

	return order ? order : (a.len > b.len) - (a.len < b.len);
}

static inline struct entry *entry_new(sb_slice key, sb_slice value, int64_t expiry_ms)
{
	struct entry *entry = malloc(sizeof(*entry) + key.len + value.len);

	if (!entry)
		return NULL;
	atomic_init(&entry->refs, 1);
	if (key.len)
		memcpy(entry->bytes, key.ptr, key.len);
	if (value.len)
		memcpy(entry->bytes + key.len, value.ptr, value.len);
	entry->key = (sb_slice){entry->bytes, key.len};
	entry->value = (sb_slice){entry->bytes + key.len, value.len};
	entry->expiry_ms = expiry_ms;
	entry->deleted = false;
	return entry;
}

static inline struct entry *entry_take(struct entry *entry)
{
	atomic_fetch_add(&entry->refs, 1);
	return entry;
}

/* What is freed is wiped: an animal that lets go too early shows it at once, whatever the allocator does. */
static inline void entry_drop(struct entry *entry)
{
	if (!entry || atomic_fetch_sub(&entry->refs, 1) != 1)
		return;
	explicit_bzero(entry->bytes, entry->key.len + entry->value.len);
	free(entry);
}

static inline bool list_reserve(struct list *list, uint64_t room)
{
	struct entry **grown;

	if (room <= list->room)
		return true;
	room = room < 2 * list->room ? 2 * list->room : room;
	grown = realloc(list->items, room * sizeof(struct entry *));
	if (!grown)
		return false;
	list->items = grown;
	list->room = room;
	return true;
}

/* The first entry whose key is not below key. */
static inline uint64_t list_find(const struct list *list, sb_slice key)
{
	uint64_t low = 0, high = list->count;

	while (low < high) {
		const uint64_t middle = low + (high - low) / 2;

		if (compare(list->items[middle]->key, key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static inline bool list_has(const struct list *list, uint64_t at, sb_slice key)
{
	return at < list->count && compare(list->items[at]->key, key) == 0;
}

static inline void list_remove(struct list *list, uint64_t at)
{
	entry_drop(list->items[at]);
	list->count--;
	memmove(&list->items[at], &list->items[at + 1], (list->count - at) * sizeof(list->items[0]));
}

/* There is room. Takes entry over. */
static inline void list_insert(struct list *list, uint64_t at, struct entry *entry)
{
	memmove(&list->items[at + 1], &list->items[at], (list->count - at) * sizeof(list->items[0]));
	list->items[at] = entry;
	list->count++;
}

static inline void list_done(struct list *list)
{
	for (uint64_t i = 0; i < list->count; i++)
		entry_drop(list->items[i]);
	free(list->items);
	memset(list, 0, sizeof(*list));
}

/* [from, to) of list, held once more. */
static inline bool list_copy(const struct list *list, uint64_t from, uint64_t to, struct list *ret_copy)
{
	memset(ret_copy, 0, sizeof(*ret_copy));
	if (!list_reserve(ret_copy, to - from + 1))
		return false;
	for (uint64_t i = from; i < to; i++)
		ret_copy->items[ret_copy->count++] = entry_take(list->items[i]);
	return true;
}

#endif
