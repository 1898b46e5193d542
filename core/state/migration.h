/* Schema evolution: how values that an older build of an operator wrote become values of the present one.
 *
 * States are matched by name, struct fields by name too. A new field gets its declared default or zeros; a lost one is dropped; a wider one of
 * the same sort takes the value (integers, unsigned ones, floats, texts and byte arrays; an enum may gain names). Anything else is
 * incompatible: SB_ERR_INCOMPATIBLE, with state and field in the sentence. */
#ifndef STATE_MIGRATION_H
#define STATE_MIGRATION_H

#include "base/log.h"
#include "state/schema.h"

struct migration;

/* Plans the way from saved to schema, and gives schema's states the ids that saved has for their names (new ones free ids). Logs a line for each state and field that
 * is dropped, added or widened. */
int32_t migration_plan(struct schema *schema, const struct schema *saved, const struct log *log,
		       struct migration **ret_migration, sb_error *err);
void migration_free(struct migration *migration);

/* True when every value stays as it is and every state is still there: then native files may be taken over as they are. */
bool migration_is_identity(const struct migration *migration);

/* The value of a state (by its saved id) in its present form: *ret_value points to value itself or into scratch. *ret_dropped: the
 * state is gone. */
int32_t migration_apply(const struct migration *migration, uint32_t saved_state_id, sb_slice value,
			struct buffer *scratch, sb_slice *ret_value, bool *ret_dropped, sb_error *err);

#endif
