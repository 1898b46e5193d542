/* See key_order.h. */
#include "state/key_order.h"

#include <stdlib.h>
#include <string.h>

#include "base/slice.h"

static uint64_t common_length(sb_slice a, sb_slice b, uint64_t max)
{
	uint64_t n = 0;

	max = a.len < max ? a.len : max;
	max = b.len < max ? b.len : max;
	while (n < max && a.ptr[n] == b.ptr[n])
		n++;
	return n;
}

/* Big-endian; what is missing is zero, which puts a key before those that it begins, or level with them. */
static uint64_t prefix_of(sb_slice key, uint64_t skip)
{
	const uint64_t left = key.len - skip;
	uint64_t prefix = 0;

	memcpy(&prefix, key.ptr + skip, left < sizeof(prefix) ? left : sizeof(prefix));
	return __builtin_bswap64(prefix);
}

static int compare(const void *a, const void *b)
{
	const struct ordered_entry *x = a, *y = b;

	if (x->prefix != y->prefix)
		return x->prefix < y->prefix ? -1 : 1;
	return slice_compare(entry_key(x->entry), entry_key(y->entry));
}

void key_order_sort(struct ordered_entry *entries, uint64_t n)
{
	uint64_t skip = UINT64_MAX;

	if (n < 2)
		return;
	for (uint64_t i = 0; i < n; i++)
		skip = common_length(entry_key(entries[0].entry), entry_key(entries[i].entry), skip);
	for (uint64_t i = 0; i < n; i++)
		entries[i].prefix = prefix_of(entry_key(entries[i].entry), skip);
	qsort(entries, n, sizeof(*entries), compare);
}

/* The first n come in the order of entries, which are the same ones; rest is what follows them. */
static void relink(struct changed_list *list, const struct ordered_entry *entries, uint64_t n, struct entry *rest)
{
	struct entry *before = NULL;

	for (uint64_t i = 0; i < n; i++) {
		entries[i].entry->changed_prev = before;
		*(before ? &before->changed_next : &list->first) = entries[i].entry;
		before = entries[i].entry;
	}
	before->changed_next = rest;
	*(rest ? &rest->changed_prev : &list->last) = before;
}

uint64_t key_order_sort_list(struct changed_list *list, struct ordered_entry *scratch, uint64_t max)
{
	struct entry *entry = list->first;
	uint64_t n = 0;

	for (; entry && n < max; entry = entry->changed_next) {
		__builtin_prefetch(entry->changed_next);
		__builtin_prefetch((const uint8_t *)entry->changed_next + 64);
		scratch[n++].entry = entry;
	}
	if (n < 2)
		return n;
	key_order_sort(scratch, n);
	relink(list, scratch, n, entry);
	return n;
}
