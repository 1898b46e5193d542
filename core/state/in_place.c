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
#define SLOTS_PER_EVENT 8

/* Two events whose hashes agree. */
struct twins {
	uint32_t event, first;
};

static void free_arrays(struct in_place *p)
{
	free(p->keys);
	free(p->places);
	free(p->places_of);
	free(p->firsts);
	free(p->twins);
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
	p->twins = malloc(p->events_cap * sizeof(*p->twins));
	p->slots = malloc(SLOTS_PER_EVENT * p->events_cap * sizeof(*p->slots));
	if (p->keys && p->places && p->places_of && p->firsts && p->twins && p->slots)
		return SB_OK;
	p->events_cap = p->rows_cap = 0;
	return error_no_memory(err);
}

/* The event that a slot names; an empty one names whoever asks. */
static inline uint32_t named_by(uint32_t slot, uint64_t event)
{
	return slot ? slot - 1 : (uint32_t)event;
}

/* --- by the hashes that events come with --- */

/* The slot of an event's hash behind the one where it was to be; UINT64_MAX when patience is used up. */
static __attribute__((noinline)) uint64_t search_slots(const struct keyed_state *ks, uint64_t event, uint64_t slot,
						       uint64_t mask, uint64_t *patience)
{
	const uint64_t *const hashes = ks->hashes;

	do {
		if ((*patience)-- == 0)
			return UINT64_MAX;
		slot = (slot + 1) & mask;
	} while (hashes[named_by(ks->in_place.slots[slot], event)] != hashes[event]);
	return slot;
}

/* See share_places(). Whether a hash is new is no branch, since no processor foresees it: the first event of one is compared with
 * itself. */
static __attribute__((noinline)) uint64_t share_by_hash(struct keyed_state *ks, uint64_t mask, uint64_t *ret_twins)
{
	const uint64_t *const hashes = ks->hashes;
	const uint64_t batch = ks->batch, stride = ks->struct_count;
	sb_place **const places_of = ks->in_place.places_of, *next = ks->in_place.places;
	uint32_t *const slots = ks->in_place.slots, *const firsts = ks->in_place.firsts;
	struct twins *const twins = ks->in_place.twins;
	uint64_t patience = 2 * batch + 64, count = 0;

	for (uint64_t event = 0; event < batch; event++) {
		uint64_t slot = hashes[event] & mask;
		uint32_t first = named_by(slots[slot], event);

		if (__builtin_expect(hashes[first] != hashes[event], 0)) {
			slot = search_slots(ks, event, slot, mask, &patience);
			if (slot == UINT64_MAX)
				return UINT64_MAX;
			first = named_by(slots[slot], event);
		}
		slots[slot] = first + 1;
		firsts[count] = (uint32_t)event;
		twins[event - count] = (struct twins){(uint32_t)event, first};
		places_of[event] = next;
		places_of[event] = places_of[first];
		count += first == event;
		next += first == event ? stride : 0;
	}
	*ret_twins = batch - count;
	return count;
}

static bool twins_agree(const struct keyed_state *ks, uint64_t count)
{
	const struct twins *const twins = ks->in_place.twins;
	const sb_event *const events = ks->events;

	for (uint64_t i = 0; i < count; i++) {
		if (!slice_equal_key(events[twins[i].event].key, events[twins[i].first].key))
			return false;
	}
	return true;
}

/* --- by hashes that depend on a secret --- */

static uint64_t share_secretly(struct keyed_state *ks, uint64_t mask)
{
	const sb_event *const events = ks->events;
	uint32_t *const slots = ks->in_place.slots;
	sb_place **const places_of = ks->in_place.places_of;
	uint64_t count = 0;

	for (uint64_t event = 0; event < ks->batch; event++) {
		uint64_t slot = working_set_hash(&ks->set, 0, events[event].key) & mask;

		while (slots[slot] && !slice_equal(events[slots[slot] - 1].key, events[event].key))
			slot = (slot + 1) & mask;
		if (slots[slot]) {
			places_of[event] = places_of[slots[slot] - 1];
			continue;
		}
		slots[slot] = (uint32_t)event + 1;
		places_of[event] = ks->in_place.places + count * ks->struct_count;
		ks->in_place.firsts[count++] = (uint32_t)event;
	}
	return count;
}

/* Gives each event the places of its key, and returns how many different keys there are. The hash that an event comes with tells keys
 * apart. Whoever sends events can choose keys whose hashes agree, in part or in whole: as soon as the search takes longer than
 * chance would have it, or two keys have the same hash, it is repeated with hashes that nobody can foresee. */
static uint64_t share_places(struct keyed_state *ks)
{
	uint64_t slots = SLOTS_PER_EVENT, count, twins;

	while (slots < SLOTS_PER_EVENT * ks->batch)
		slots *= 2;
	memset(ks->in_place.slots, 0, slots * sizeof(*ks->in_place.slots));
	count = share_by_hash(ks, slots - 1, &twins);
	if (count != UINT64_MAX && twins_agree(ks, twins))
		return count;
	memset(ks->in_place.slots, 0, slots * sizeof(*ks->in_place.slots));
	return share_secretly(ks, slots - 1);
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

	for (uint64_t i = 0; i < count; i++)
		key_bytes += ks->events[p->firsts[i]].key.len;
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
	keys = share_places(ks);
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
