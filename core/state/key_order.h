/* Entries in the order of their keys, for backends that take what is sorted faster.
 *
 * Keys of one group have much in front in common (group, state, often the beginning of the user's key), so comparing them from
 * the first byte on, each behind its own pointer, is most of the work of sorting. What all have in common is skipped, and
 * the eight bytes behind it are compared as one number that lies beside the pointer. */
#ifndef STATE_KEY_ORDER_H
#define STATE_KEY_ORDER_H

#include "state/working_set.h"

struct ordered_entry {
	struct entry *entry;
	uint64_t prefix; /* set by key_order_sort */
};

void key_order_sort(struct ordered_entry *entries, uint64_t n);
/* Sorts the first entries of a list of changed ones, max at most; scratch has room for so many. Returns how many there were. */
uint64_t key_order_sort_list(struct changed_list *list, struct ordered_entry *scratch, uint64_t max);

#endif
