/* Shared by the files of keyed state: keyed_state.c (batches), in_place.c, struct_state.c, raw_state.c, raw_scan.c, write_back.c. */
#ifndef STATE_KEYED_STATE_PRIVATE_H
#define STATE_KEYED_STATE_PRIVATE_H

#include "state/in_place.h"
#include "state/key_order.h"
#include "state/keyed_state.h"
#include "state/working_set.h"

#define KEYED_STATE_VALUE_MAX ((uint64_t)64 << 20)

/* What a call of the operator needs to know of its state, in the schema's order. */
struct state_facts {
	uint32_t kind;
	uint32_t value_size;
	uint32_t column; /* its place among the struct states */
	uint32_t place_bytes; /* the same, from an event's first place (in_place.h) to this state's */
	int64_t ttl_ms;
	uint8_t *zero_value; /* of a new entry: its defaults */
};

struct keyed_state {
	struct keyed_state_config config;
	const sb_backend_ops *ops;
	struct working_set set;
	struct in_place in_place; /* used for struct states when it has ops */
	uint32_t *struct_states; /* schema indexes of the struct states */
	uint32_t struct_count;
	struct state_facts *states; /* of each in the schema */
	uint32_t state_count;

	const sb_event *events; /* the batch at hand */
	const uint64_t *hashes;
	uint64_t batch;
	uint64_t open_events; /* batch, while the operator may call; 0 at other times, and after a failure */
	struct entry **rows; /* batch * struct_count */
	uint64_t *row_hashes;
	uint64_t rows_cap;

	sb_slice *miss_keys; /* scratch for multi_get */
	sb_pin *miss_pins;
	struct entry **misses;
	uint64_t misses_cap;
	sb_op *write_ops; /* scratch for write_batch */
	struct ordered_entry *writes;
	bool complete; /* what the working set does not have the backend does not have either */
	bool shrinking; /* evicting until an eighth of the budget is free */
	bool sealed; /* from freeze to release: the backend gets what is frozen, and nothing newer */
	uint32_t thaw_list; /* the lists of what is frozen are empty before this one */
	uint64_t thaw_sorted; /* so many on that list are in order, or a few less, since entries may leave it */
	struct ordered_entry *sort_scratch;
	struct buffer raw_key;
	struct keyed_state_stats stats; /* but for upserts, each of which is a get and a put */
	uint64_t upserts;
	int32_t failure;
	sb_error failure_error;
};

/* Keeps the first failure; returns status. */
int32_t keyed_state_fail(struct keyed_state *ks, int32_t status, const sb_error *err);
/* Fetches entries[0..n) from the backend with one multi_get. */
int32_t keyed_state_fetch(struct keyed_state *ks, struct entry **entries, uint64_t n, sb_error *err);
/* write_back.c */
int32_t write_back_all(struct keyed_state *ks, sb_error *err);
/* Raw entries of a key group only, dirty ones or, while sealed, frozen ones: inside a batch the operator may still hold pointers to struct
 * values. */
int32_t write_back_raw(struct keyed_state *ks, uint32_t key_group, sb_error *err);
/* Up to max frozen entries. */
int32_t write_back_thaw(struct keyed_state *ks, uint64_t max, sb_error *err);
int32_t write_back_evict(struct keyed_state *ks, sb_error *err);

/* The composed key, in ks->raw_key. */
sb_slice keyed_state_compose(struct keyed_state *ks, uint32_t state, uint64_t event, sb_slice sub_key);

/* The cause why a call cannot be served, kept. */
int32_t keyed_state_refuse_call(struct keyed_state *ks, uint32_t state, uint64_t event, uint32_t kind);

/* Whether state and event are of this batch, the state is of that kind, and nothing has failed. */
static inline bool keyed_state_takes_call(const struct keyed_state *ks, uint32_t state, uint64_t event, uint32_t kind)
{
	return __builtin_expect(state < ks->state_count && event < ks->open_events && ks->states[state].kind == kind,
				1);
}

/* SB_ERR_INVALID, or the failure before, kept, if not. */
static inline int32_t keyed_state_check_call(struct keyed_state *ks, uint32_t state, uint64_t event, uint32_t kind)
{
	if (keyed_state_takes_call(ks, state, event, kind))
		return SB_OK;
	return keyed_state_refuse_call(ks, state, event, kind);
}

static inline int64_t keyed_state_expiry(int64_t clock_ms, int64_t ttl_ms)
{
	int64_t expiry;

	if (ttl_ms <= 0)
		return SB_NO_EXPIRY;
	if (__builtin_add_overflow(clock_ms, ttl_ms, &expiry))
		return INT64_MAX;
	/* Zero means never, so the one moment of 1970-01-01T00:00:00.000Z expires a millisecond late. */
	return expiry + (expiry == SB_NO_EXPIRY);
}

#endif
