/* Struct states: what the operator reads and changes between begin and end. Where the value lies was settled by begin: in the backend's
 * own memory (in_place.h), or in the working set. These calls are made for each event, so whatever needs a frame stands apart. */
#include <string.h>

#include "base/error.h"
#include "plugin/extensions.h"
#include "state/keyed_state_private.h"

static __attribute__((noinline)) void *refuse(struct keyed_state *ks, uint32_t state, uint64_t event)
{
	(void)keyed_state_refuse_call(ks, state, event, SB_STATE_STRUCT);
	return NULL;
}

/* --- in the backend's memory --- */

static inline sb_place *place_of(const struct keyed_state *ks, const struct state_facts *facts, uint64_t event)
{
	return (sb_place *)((uint8_t *)ks->in_place.places_of[event] + facts->place_bytes);
}

/* For that event: not deleted in this batch, and not expired. */
static bool is_live(const struct keyed_state *ks, const sb_place *place, uint64_t event)
{
	if (place->kind == SB_OP_DELETE || (place->kind == 0 && !(place->flags & SB_PLACE_FOUND)))
		return false;
	return !expiry_reached(place->expiry_ms, ks->events[event].clock_ms);
}

/* The operator trusts the size that its schema says. */
static __attribute__((noinline)) int32_t wrong_size(struct keyed_state *ks, uint32_t state, const sb_place *place)
{
	sb_error err = ERROR_INIT;

	error_set(&err, SB_ERR_CORRUPT, "%s returned %llu bytes for a value of state '%s', which has %u",
		  ks->config.backend->name, (unsigned long long)place->value_len, ks->config.schema->states[state].name,
		  ks->states[state].value_size);
	return keyed_state_fail(ks, SB_ERR_CORRUPT, &err);
}

static bool has_size(struct keyed_state *ks, uint32_t state, const sb_place *place)
{
	return __builtin_expect(place->value_len == ks->states[state].value_size, 1) ||
	       wrong_size(ks, state, place) == SB_OK;
}

static bool make_writable(struct keyed_state *ks, uint32_t state, sb_place *place)
{
	struct in_place *p = &ks->in_place;
	struct instance *backend = ks->config.backend;
	sb_error err;
	int32_t status;

	status = CALL_PLUGIN(
		&backend->calls, "write", &err,
		p->ops->write(backend->backend, p->keys[place - p->places], ks->states[state].value_size, place, &err));
	if (status != SB_OK)
		status = instance_fault(backend, "write", status, &err);
	else if (!(place->flags & SB_PLACE_WRITABLE))
		status = error_set(&err, SB_ERR_INTERNAL, "%s was asked for a writable value and gave none",
				   backend->name);
	return status == SB_OK || keyed_state_fail(ks, status, &err) == SB_OK;
}

static inline void count_change(struct keyed_state *ks, sb_place *place, uint32_t kind)
{
	ks->stats.written_back += place->kind == 0;
	place->kind = kind;
}

static inline void *written(struct keyed_state *ks, const struct state_facts *facts, sb_place *place, int64_t clock_ms,
			    bool created, int32_t *ret_created)
{
	place->expiry_ms = keyed_state_expiry(clock_ms, facts->ttl_ms);
	count_change(ks, place, SB_OP_PUT);
	if (ret_created)
		*ret_created = created;
	return place->value;
}

/* An entry that begins anew, or has to be made writable first. */
static __attribute__((noinline)) void *upsert_slowly(struct keyed_state *ks, uint32_t state, uint64_t event,
						     int32_t *ret_created)
{
	const struct state_facts *facts = &ks->states[state];
	sb_place *place = place_of(ks, facts, event);
	bool created = !is_live(ks, place, event);

	if (!(place->flags & SB_PLACE_WRITABLE) && !make_writable(ks, state, place))
		return NULL;
	if (!has_size(ks, state, place))
		return NULL;
	if (created)
		memcpy(place->value, facts->zero_value, place->value_len);
	return written(ks, facts, place, ks->events[event].clock_ms, created, ret_created);
}

/* As most are: there is an entry, it may be changed where it lies, and it has not expired. */
static inline bool is_usual(const struct state_facts *facts, const sb_place *place, int64_t clock_ms)
{
	return place->flags == (SB_PLACE_FOUND | SB_PLACE_WRITABLE) && place->kind != SB_OP_DELETE &&
	       place->value_len == facts->value_size && !expiry_reached(place->expiry_ms, clock_ms);
}

static const void *peek_in_place(struct keyed_state *ks, uint32_t state, uint64_t event)
{
	const sb_place *place = place_of(ks, &ks->states[state], event);

	return is_live(ks, place, event) && has_size(ks, state, place) ? place->value : NULL;
}

/* --- in the working set --- */

static inline struct entry *row_of(const struct keyed_state *ks, uint32_t state, uint64_t event)
{
	return ks->rows[event * ks->struct_count + ks->states[state].column];
}

static __attribute__((noinline)) int32_t mark_dirty_now(struct keyed_state *ks, struct entry *entry)
{
	sb_error err = ERROR_INIT;

	if (working_set_mark_dirty(&ks->set, entry, &err) == SB_OK)
		return SB_OK;
	return keyed_state_fail(ks, err.code, &err);
}

static int32_t mark_dirty(struct keyed_state *ks, struct entry *entry)
{
	return entry->flags & working_set_dirty_flag(&ks->set) ? SB_OK : mark_dirty_now(ks, entry);
}

static __attribute__((noinline)) void *upsert_in_set(struct keyed_state *ks, uint32_t state, uint64_t event,
						     int32_t *ret_created)
{
	struct entry *entry = row_of(ks, state, event);
	int64_t clock_ms;
	bool created;

	if (mark_dirty(ks, entry) != SB_OK)
		return NULL;
	clock_ms = ks->events[event].clock_ms;
	created = !(entry->flags & ENTRY_PRESENT) || expiry_reached(entry->expiry_ms, clock_ms);
	if (created) {
		memcpy(entry->value, ks->states[state].zero_value, entry->value_len);
		entry->flags |= ENTRY_PRESENT;
	}
	entry->expiry_ms = keyed_state_expiry(clock_ms, ks->states[state].ttl_ms);
	if (ret_created)
		*ret_created = created;
	return entry->value;
}

static const void *peek_in_set(const struct keyed_state *ks, uint32_t state, uint64_t event)
{
	const struct entry *entry = row_of(ks, state, event);

	if (!(entry->flags & ENTRY_PRESENT) || expiry_reached(entry->expiry_ms, ks->events[event].clock_ms))
		return NULL;
	return entry->value;
}

static int32_t delete_in_set(struct keyed_state *ks, uint32_t state, uint64_t event)
{
	struct entry *entry = row_of(ks, state, event);

	TRY(mark_dirty(ks, entry));
	entry->flags &= ~ENTRY_PRESENT;
	return SB_OK;
}

/* --- either --- */

static __attribute__((noinline)) void *upsert_unusually(struct keyed_state *ks, uint32_t state, uint64_t event,
							int32_t *ret_created)
{
	if (!keyed_state_takes_call(ks, state, event, SB_STATE_STRUCT))
		return refuse(ks, state, event);
	ks->upserts++;
	return ks->in_place.ops ? upsert_slowly(ks, state, event, ret_created)
				: upsert_in_set(ks, state, event, ret_created);
}

void *keyed_state_upsert(struct keyed_state *ks, uint32_t state, uint64_t event, int32_t *ret_created)
{
	const struct state_facts *facts;
	sb_place *place;
	int64_t clock_ms;

	if (__builtin_expect(!keyed_state_takes_call(ks, state, event, SB_STATE_STRUCT) || !ks->in_place.ops, 0))
		return upsert_unusually(ks, state, event, ret_created);
	facts = &ks->states[state];
	place = place_of(ks, facts, event);
	clock_ms = ks->events[event].clock_ms;
	if (__builtin_expect(!is_usual(facts, place, clock_ms), 0))
		return upsert_unusually(ks, state, event, ret_created);
	ks->upserts++;
	return written(ks, facts, place, clock_ms, false, ret_created);
}

const void *keyed_state_peek(struct keyed_state *ks, uint32_t state, uint64_t event)
{
	if (!keyed_state_takes_call(ks, state, event, SB_STATE_STRUCT))
		return refuse(ks, state, event);
	ks->stats.gets++;
	return ks->in_place.ops ? peek_in_place(ks, state, event) : peek_in_set(ks, state, event);
}

int32_t keyed_state_delete(struct keyed_state *ks, uint32_t state, uint64_t event)
{
	TRY(keyed_state_check_call(ks, state, event, SB_STATE_STRUCT));
	ks->stats.deletes++;
	if (!ks->in_place.ops)
		return delete_in_set(ks, state, event);
	count_change(ks, place_of(ks, &ks->states[state], event), SB_OP_DELETE);
	return SB_OK;
}
