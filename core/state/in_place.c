/* See in_place.h. */
#include "state/in_place.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/slice.h"
#include "state/keyed_state_private.h"

/* So many that an event mostly meets a free one: a branch that is foreseen. */
#define SLOTS_PER_EVENT 4

static void free_arrays(struct in_place *p)
{
	free(p->keys);
	free(p->places);
	free(p->places_of);
	free(p->firsts);
	free(p->slots);
}

void in_place_done(struct in_place *in_place)
{
	free_arrays(in_place);
	buffer_done(&in_place->key_bytes);
	memset(in_place, 0, sizeof(*in_place));
}

static uint64_t power_of_two(uint64_t at_least)
{
	uint64_t power = 1024;

	while (power < at_least)
		power *= 2;
	return power;
}

static int32_t reserve(struct in_place *p, uint64_t events, uint64_t rows, sb_error *err)
{
	if (events <= p->events_cap && rows <= p->rows_cap)
		return SB_OK;
	free_arrays(p);
	p->events_cap = power_of_two(events);
	p->rows_cap = power_of_two(rows);
	p->keys = malloc(p->rows_cap * sizeof(*p->keys));
	p->places = malloc(p->rows_cap * sizeof(*p->places));
	p->places_of = malloc(p->events_cap * sizeof(*p->places_of));
	p->firsts = malloc(p->events_cap * sizeof(*p->firsts));
	p->slots = malloc(SLOTS_PER_EVENT * p->events_cap * sizeof(*p->slots));
	if (p->keys && p->places && p->places_of && p->firsts && p->slots)
		return SB_OK;
	p->events_cap = p->rows_cap = 0;
	return error_no_memory(err);
}

/* Gives each event the places of its key, and returns how many different keys there are. The hash that an event comes with tells keys
 * apart. Whoever sends events can choose keys whose hashes agree, so the search is given up as soon as it takes longer than chance
 * would have it, and UINT64_MAX is returned; with hashes that depend on a secret it goes on to the end. */
static uint64_t share_places(struct keyed_state *ks, bool secretly)
{
	const sb_event *const events = ks->events;
	const uint64_t *const hashes = ks->hashes;
	const uint64_t batch = ks->batch, stride = ks->struct_count, patience = secretly ? UINT64_MAX : 2 * batch + 64;
	sb_place *const places = ks->in_place.places, **const places_of = ks->in_place.places_of;
	uint32_t *const slots = ks->in_place.slots, *const firsts = ks->in_place.firsts;
	uint64_t mask = SLOTS_PER_EVENT, steps = 0, count = 0;

	while (mask < SLOTS_PER_EVENT * batch)
		mask *= 2;
	memset(slots, 0, mask * sizeof(*slots));
	mask--;
	for (uint64_t event = 0; event < batch; event++) {
		uint64_t slot = (secretly ? working_set_hash(&ks->set, 0, events[event].key) : hashes[event]) & mask;
		uint32_t other;

		while ((other = slots[slot]) &&
		       !(hashes[other - 1] == hashes[event] && slice_equal(events[other - 1].key, events[event].key))) {
			slot = (slot + 1) & mask;
			if (++steps > patience)
				return UINT64_MAX;
		}
		if (other) {
			places_of[event] = places_of[other - 1];
		} else {
			slots[slot] = (uint32_t)event + 1;
			places_of[event] = places + count * stride;
			firsts[count++] = (uint32_t)event;
		}
	}
	return count;
}

/* The keys of one struct state, from at on; returns where they end. */
static uint8_t *compose_column(struct keyed_state *ks, uint64_t count, uint32_t column, uint8_t *at)
{
	const uint32_t state_id = ks->config.schema->states[ks->struct_states[column]].id, stride = ks->struct_count;
	const uint32_t key_groups = ks->config.key_groups, *first = ks->in_place.firsts;
	const sb_event *const events = ks->events;
	const uint64_t *const hashes = ks->hashes;
	sb_slice *key = ks->in_place.keys + column;

	for (uint64_t n = count; n; n--, first++, key += stride) {
		const sb_slice user_part = events[*first].key;

		composed_put_prefix(at, key_group_of(hashes[*first], key_groups), state_id);
		slice_copy(at + COMPOSED_PREFIX_BYTES, user_part);
		*key = (sb_slice){at, COMPOSED_PREFIX_BYTES + user_part.len};
		at += COMPOSED_PREFIX_BYTES + user_part.len;
	}
	return at;
}

/* Keys must not move once they are composed, so there is room for all of them first. */
static int32_t compose_keys(struct keyed_state *ks, uint64_t count, sb_error *err)
{
	struct in_place *p = &ks->in_place;
	uint64_t key_bytes = count * COMPOSED_PREFIX_BYTES;
	uint8_t *at;

	for (uint64_t event = 0; event < ks->batch; event++)
		key_bytes += ks->events[event].key.len;
	buffer_clear(&p->key_bytes);
	at = buffer_reserve(&p->key_bytes, key_bytes * ks->struct_count);
	if (!at)
		return error_no_memory(err);
	for (uint32_t column = 0; column < ks->struct_count; column++)
		at = compose_column(ks, count, column, at);
	return SB_OK;
}

int32_t in_place_begin(struct keyed_state *ks, sb_error *err)
{
	struct in_place *p = &ks->in_place;
	struct instance *backend = ks->config.backend;
	uint64_t keys, rows;
	int32_t status;

	assert(!ks->sealed); /* or what is changed now would get into the checkpoint; see may_put_off in write_back.c */
	write_hold_wait(ks->config.hold); /* nothing but multi_get may be called meanwhile */
	TRY(reserve(p, ks->batch, ks->batch * ks->struct_count, err));
	keys = share_places(ks, false);
	if (keys == UINT64_MAX)
		keys = share_places(ks, true);
	TRY(compose_keys(ks, keys, err));
	rows = keys * ks->struct_count;
	status = CALL_PLUGIN(&backend->calls, "find", err,
			     p->ops->find(backend->backend, rows, p->keys, p->places, err));
	if (status != SB_OK)
		return instance_fault(backend, "find", status, err);
	p->count = rows;
	ks->stats.hits += ks->batch * ks->struct_count - rows;
	ks->stats.misses += rows;
	return SB_OK;
}

int32_t in_place_end(struct keyed_state *ks, sb_error *err)
{
	struct in_place *p = &ks->in_place;
	struct instance *backend = ks->config.backend;
	uint64_t count = p->count;
	int32_t status;

	if (count == 0)
		return SB_OK;
	p->count = 0;
	status = CALL_PLUGIN(&backend->calls, "finish", err,
			     p->ops->finish(backend->backend, count, p->keys, p->places, err));
	return status == SB_OK ? SB_OK : instance_fault(backend, "finish", status, err);
}

/* --- what the operator calls --- */

static sb_place *place_of(struct keyed_state *ks, uint32_t state, uint64_t event)
{
	return ks->in_place.places_of[event] + ks->column_of[state];
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
		  ks->config.schema->states[state].value_size);
	return keyed_state_fail(ks, SB_ERR_CORRUPT, &err);
}

static bool has_size(struct keyed_state *ks, uint32_t state, const sb_place *place)
{
	return __builtin_expect(place->value_len == ks->config.schema->states[state].value_size, 1) ||
	       wrong_size(ks, state, place) == SB_OK;
}

static __attribute__((noinline)) bool make_writable(struct keyed_state *ks, uint32_t state, sb_place *place)
{
	struct in_place *p = &ks->in_place;
	struct instance *backend = ks->config.backend;
	sb_error err;
	int32_t status;

	status = CALL_PLUGIN(&backend->calls, "write", &err,
			     p->ops->write(backend->backend, p->keys[place - p->places],
					   ks->config.schema->states[state].value_size, place, &err));
	if (status != SB_OK)
		status = instance_fault(backend, "write", status, &err);
	else if (!(place->flags & SB_PLACE_WRITABLE))
		status = error_set(&err, SB_ERR_INTERNAL, "%s was asked for a writable value and gave none",
				   backend->name);
	return status == SB_OK || keyed_state_fail(ks, status, &err) == SB_OK;
}

static void count_change(struct keyed_state *ks, sb_place *place, uint32_t kind)
{
	ks->stats.written_back += place->kind == 0;
	place->kind = kind;
}

static inline void *written(struct keyed_state *ks, uint32_t state, uint64_t event, sb_place *place, bool created,
			    int32_t *ret_created)
{
	place->expiry_ms = keyed_state_expiry(ks->events[event].clock_ms, ks->config.schema->states[state].ttl_ms);
	count_change(ks, place, SB_OP_PUT);
	if (ret_created)
		*ret_created = created;
	return place->value;
}

/* An entry that begins anew, or has to be made writable first. */
static __attribute__((noinline)) void *upsert_slowly(struct keyed_state *ks, uint32_t state, uint64_t event,
						     sb_place *place, int32_t *ret_created)
{
	bool created = !is_live(ks, place, event);

	if (!(place->flags & SB_PLACE_WRITABLE) && !make_writable(ks, state, place))
		return NULL;
	if (!has_size(ks, state, place))
		return NULL;
	if (created)
		memcpy(place->value, ks->zero_values[state], place->value_len);
	return written(ks, state, event, place, created, ret_created);
}

void *in_place_upsert(struct keyed_state *ks, uint32_t state, uint64_t event, int32_t *ret_created)
{
	const uint32_t at_hand = SB_PLACE_FOUND | SB_PLACE_WRITABLE;
	sb_place *place = place_of(ks, state, event);

	if (__builtin_expect((place->flags & at_hand) == at_hand && place->kind != SB_OP_DELETE &&
				     place->value_len == ks->config.schema->states[state].value_size &&
				     !expiry_reached(place->expiry_ms, ks->events[event].clock_ms),
			     1))
		return written(ks, state, event, place, false, ret_created);
	return upsert_slowly(ks, state, event, place, ret_created);
}

const void *in_place_peek(struct keyed_state *ks, uint32_t state, uint64_t event)
{
	sb_place *place = place_of(ks, state, event);

	return is_live(ks, place, event) && has_size(ks, state, place) ? place->value : NULL;
}

void in_place_delete(struct keyed_state *ks, uint32_t state, uint64_t event)
{
	count_change(ks, place_of(ks, state, event), SB_OP_DELETE);
}
