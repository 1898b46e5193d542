/* Schema evolution: how values that an older build of an operator wrote become values of the present one.
 *
 * States are matched by name, struct fields by name too; offsets may change. A new field gets its declared default or zeros,
 * a lost one is dropped, as is a lost state. A field may become wider of the same sort:
 *
 *   int (i64 is one of 8 bytes)   to a wider int
 *   uint                          to a wider uint, or to a wider int
 *   float (f64 is one of 8 bytes) to a wider float
 *   bool                          to an int or uint of any size, as 0 and 1
 *   enum                          to a wider enum; names may be added and change places, none may go: values follow their names
 *   chars, bytes                  to a longer array of the same type, filled up with zeros
 *
 * Anything else is incompatible (narrowing, time to anything, a struct state that becomes raw): SB_ERR_INCOMPATIBLE, with state, field and
 * the remedy in the sentence. Expiries are no part of a value and stay: another TTL is for later writes only. */
#ifndef STATE_MIGRATION_H
#define STATE_MIGRATION_H

#include "base/log.h"
#include "state/schema.h"

struct migration;

/* Plans the way from saved to schema, and gives schema's states the ids that saved has for their names (new ones free
 * ids; schema is unchanged on failure). Logs a line for each state and field that is dropped, added or widened. schema outlives the
 * migration; saved need not. */
int32_t migration_plan(struct schema *schema, const struct schema *saved, const struct log *log,
		       struct migration **ret_migration, sb_error *err);
void migration_free(struct migration *migration);

/* True when every value stays as it is and every state is still there: then native files may be taken over as they are. When it is
 * not, what is loaded differs from the checkpoint, so the next one cannot be a delta to it. */
bool migration_is_identity(const struct migration *migration);

/* The value of a state (by its saved id, which is its present one too) in its present form: *ret_value points to value itself or into scratch.
 * *ret_dropped: the state is gone. SB_ERR_CORRUPT: no value of that state; SB_ERR_INCOMPATIBLE: an enum's value without a name,
 * when names have changed places. */
int32_t migration_apply(const struct migration *migration, uint32_t saved_state_id, sb_slice value,
			struct buffer *scratch, sb_slice *ret_value, bool *ret_dropped, sb_error *err);

#endif
