/* Entries in the order of state and user part, however many there are, in a bounded amount of memory: an external merge sort.
 *
 * What fits into memory is sorted there. What does not goes, run by sorted run, into a file without a name in $TMPDIR (or
 * /tmp), and the runs are merged as they are read back. No entry is dropped or merged with another. */
#ifndef CLI_ENTRY_SORT_H
#define CLI_ENTRY_SORT_H

#include <stdbool.h>

#include "io/io.h"

struct sorted_entry {
	uint32_t state; /* any numbering */
	sb_slice user_part, value;
	int64_t expiry_ms;
};

struct entry_sort;

/* memory bounds what is held, besides one entry; the entries' own bytes and eight more for each count. */
int32_t entry_sort_new(struct io *io, size_t memory, struct entry_sort **ret_sort, sb_error *err);
void entry_sort_free(struct entry_sort *sort);
int32_t entry_sort_add(struct entry_sort *sort, const struct sorted_entry *entry, sb_error *err);
/* All have been added. */
int32_t entry_sort_finish(struct entry_sort *sort, sb_error *err);
/* The next in order, valid until the next call; *ret_more false at the end. */
int32_t entry_sort_next(struct entry_sort *sort, struct sorted_entry *ret_entry, bool *ret_more, sb_error *err);

/* As memcmp has it: < 0, 0, > 0. */
int entry_compare(const struct sorted_entry *a, const struct sorted_entry *b);

#endif
