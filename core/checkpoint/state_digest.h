/* The digest of the logical state, in any order of its entries, and the check that every entry passes on its way out and
 * in. Whoever writes, reads or counts entries adds them up here, so that equal states have equal digests wherever they are
 * met. */
#ifndef CHECKPOINT_STATE_DIGEST_H
#define CHECKPOINT_STATE_DIGEST_H

#include "base/buffer.h"
#include "base/hash.h"
#include "checkpoint/metadata.h"

struct state_digest {
	struct hash128 sum;
	struct hash128 names[SCHEMA_STATES_MAX]; /* hash of a state's name, by its id */
	const struct schema_state *states[SCHEMA_STATES_MAX];
	uint32_t key_groups;
	struct buffer key;
};

struct snapshot_entry {
	uint32_t state_id, key_group;
	sb_slice user_part, value;
	int64_t expiry_ms;
	bool deleted; /* among changes */
};

/* Borrows meta's schema, which schema_check has found right. */
void state_digest_init(struct state_digest *digest, const struct checkpoint_meta *meta);
void state_digest_done(struct state_digest *digest);
/* Checks the entry against schema and key groups; SB_ERR_CORRUPT and a sentence without subject when it does not fit. */
int32_t state_digest_check(struct state_digest *digest, const struct snapshot_entry *entry, sb_error *err);
/* The entry has been checked. */
void state_digest_add(struct state_digest *digest, const struct snapshot_entry *entry);

#endif
