/* See in_place.h. */
#include "state/in_place.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/slice.h"
#include "state/keyed_state_private.h"

static void free_arrays(struct in_place *p)
{
	free(p->keys);
	free(p->places);
	free(p->shared);
	free(p->slots);
}

void in_place_done(struct in_place *in_place)
{
	free_arrays(in_place);
	buffer_done(&in_place->key_bytes);
	memset(in_place, 0, sizeof(*in_place));
}

/* Twice as many slots as rows, so that probes stay short. */
static int32_t reserve(struct in_place *p, uint64_t rows, sb_error *err)
{
	uint64_t cap = p->cap ? p->cap : 1024;

	if (rows <= p->cap)
		return SB_OK;
	while (cap < rows)
		cap *= 2;
	free_arrays(p);
	p->cap = 0;
	p->keys = malloc(cap * sizeof(*p->keys));
	p->places = malloc(cap * sizeof(*p->places));
	p->shared = malloc(cap * sizeof(*p->shared));
	p->slots = malloc(2 * cap * sizeof(*p->slots));
	if (!p->keys || !p->places || !p->shared || !p->slots)
		return error_no_memory(err);
	p->cap = cap;
	return SB_OK;
}

/* As memcpy, without the call for the lengths that most keys have: words that overlap in the middle. */
static inline void copy_key(uint8_t *to, const uint8_t *from, uint64_t len)
{
	uint64_t words[4];

	if (len < 8 || len > 32) {
		if (len)
			memcpy(to, from, len);
		return;
	}
	memcpy(&words[0], from, 8);
	memcpy(&words[1], from + len - 8, 8);
	if (len > 16) {
		memcpy(&words[2], from + 8, 8);
		memcpy(&words[3], from + len - 16, 8);
		memcpy(to + 8, &words[2], 8);
		memcpy(to + len - 16, &words[3], 8);
	}
	memcpy(to, &words[0], 8);
	memcpy(to + len - 8, &words[1], 8);
}

/* The keys of one struct state, from at on; returns where they end. */
static uint8_t *compose_column(struct keyed_state *ks, uint32_t column, uint8_t *at)
{
	const uint32_t state_id = ks->config.schema->states[ks->struct_states[column]].id, stride = ks->struct_count;
	const uint32_t key_groups = ks->config.key_groups;
	const sb_event *events = ks->events;
	const uint64_t *hashes = ks->hashes;
	sb_slice *key = ks->in_place.keys + column;

	for (uint64_t n = ks->batch; n; n--, events++, hashes++, key += stride) {
		composed_put_prefix(at, key_group_of(*hashes, key_groups), state_id);
		copy_key(at + COMPOSED_PREFIX_BYTES, events->key.ptr, events->key.len);
		key->ptr = at;
		key->len = COMPOSED_PREFIX_BYTES + events->key.len;
		at += key->len;
	}
	return at;
}

/* Keys must not move once they are composed, so there is room for all of them first. */
static int32_t compose_keys(struct keyed_state *ks, sb_error *err)
{
	struct in_place *p = &ks->in_place;
	uint64_t key_bytes = ks->batch * COMPOSED_PREFIX_BYTES;
	uint8_t *at;

	for (uint64_t event = 0; event < ks->batch; event++)
		key_bytes += ks->events[event].key.len;
	buffer_clear(&p->key_bytes);
	at = buffer_reserve(&p->key_bytes, key_bytes * ks->struct_count);
	if (!at)
		return error_no_memory(err);
	for (uint32_t column = 0; column < ks->struct_count; column++)
		at = compose_column(ks, column, at);
	return SB_OK;
}

/* Events of one key must meet in one place. Where an entry lies tells them apart as well as any hash of the key
 * would; only a key that is not there yet has to be hashed, and with a secret, because it comes from outside. */
static uint64_t telling(const struct keyed_state *ks, const sb_place *place, sb_slice key)
{
	if (place->flags & SB_PLACE_FOUND)
		return ((uintptr_t)place->value >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 32;
	return working_set_hash(&ks->set, 0, key);
}

static bool same(const struct in_place *p, uint64_t i, uint64_t j)
{
	return p->places[i].value == p->places[j].value && slice_equal(p->keys[i], p->keys[j]);
}

static void share_places(struct keyed_state *ks)
{
	struct in_place *p = &ks->in_place;
	uint32_t *slots = p->slots;
	uint64_t mask = 1, shared = 0;

	while (mask < 2 * p->count)
		mask *= 2;
	memset(slots, 0, mask * sizeof(*slots));
	mask--;
	for (uint64_t i = 0; i < p->count; i++) {
		uint64_t at = telling(ks, &p->places[i], p->keys[i]) & mask;

		while (slots[at] && !same(p, i, slots[at] - 1))
			at = (at + 1) & mask;
		shared += slots[at] != 0;
		if (!slots[at])
			slots[at] = (uint32_t)i + 1;
		p->shared[i] = &p->places[slots[at] - 1];
	}
	ks->stats.hits += shared;
	ks->stats.misses += p->count - shared;
}

int32_t in_place_begin(struct keyed_state *ks, sb_error *err)
{
	struct in_place *p = &ks->in_place;
	struct instance *backend = ks->config.backend;
	uint64_t rows = ks->batch * ks->struct_count;
	int32_t status;

	assert(!ks->sealed); /* or what is changed now would get into the checkpoint; see may_put_off in write_back.c */
	write_hold_wait(ks->config.hold); /* nothing but multi_get may be called meanwhile */
	TRY(reserve(p, rows, err));
	TRY(compose_keys(ks, err));
	status = CALL_PLUGIN(&backend->calls, "find", err,
			     p->ops->find(backend->backend, rows, p->keys, p->places, err));
	if (status != SB_OK)
		return instance_fault(backend, "find", status, err);
	p->count = rows;
	share_places(ks);
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
	return ks->in_place.shared[event * ks->struct_count + ks->column_of[state]];
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

static void *written(struct keyed_state *ks, uint32_t state, uint64_t event, sb_place *place, bool created,
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
	sb_place *place = place_of(ks, state, event);

	if (__builtin_expect(place->flags & SB_PLACE_WRITABLE && is_live(ks, place, event) &&
				     place->value_len == ks->config.schema->states[state].value_size,
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
