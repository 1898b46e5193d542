/* The oracle: a sorted array of entries that does what the ABI says a backend does, in the
 * plainest way there is. It owns copies of all bytes, and aborts when memory is out. */
#ifndef KIT_MODEL_H
#define KIT_MODEL_H

#include <stdbool.h>
#include <stddef.h>

#include "sb_plugin.h"

struct model_entry {
	sb_slice key; /* owned */
	sb_slice value; /* owned */
	int64_t expiry_ms;
	bool seen; /* for whoever checks an iteration */
};

struct model {
	struct model_entry *entries; /* bytewise order of keys */
	size_t count;
	size_t capacity;
};

void model_init(struct model *model);
void model_done(struct model *model);
/* A deep copy of the entries in [lower, upper), none of them seen; an empty bound is none. */
void model_copy_range(const struct model *model, sb_slice lower, sb_slice upper, struct model *ret_copy);
void model_clear(struct model *model);

void model_put(struct model *model, sb_slice key, sb_slice value, int64_t expiry_ms);
void model_delete(struct model *model, sb_slice key);
void model_apply(struct model *model, uint64_t n, const sb_op *ops);
/* The same keys, values and expiries. */
bool model_equal(const struct model *a, const struct model *b);
/* NULL when there is none; valid until the next change. */
struct model_entry *model_find(const struct model *model, sb_slice key);

#endif
