/* See state_digest.h. An entry's hash is the 128-bit hash of 56 bytes: the hashes of the state's name, of the user part
 * and of the value (16 bytes each, low half first) and the expiry (8 bytes), all little-endian. The digest is the sum
 * of these modulo 2^128: the same in any order, under any state ids, parallelism or backend. A deletion
 * (empty value, expiry 0) has a 57th byte, 1. Hashing
 * the parts first spares copying them together. */
#include "checkpoint/state_digest.h"

#include <assert.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/slice.h"
#include "checkpoint/checkpoint_private.h"
#include "state/composed_key.h"

void state_digest_init(struct state_digest *digest, const struct checkpoint_meta *meta)
{
	memset(digest, 0, sizeof(*digest));
	digest->key_groups = meta->key_groups;
	for (uint64_t i = 0; i < meta->schema.count; i++) {
		const struct schema_state *state = &meta->schema.states[i];

		assert(state->id < SCHEMA_STATES_MAX && !digest->states[state->id]);
		digest->states[state->id] = state;
		digest->names[state->id] = hash128_of(slice_of_text(state->name));
	}
}

void state_digest_done(struct state_digest *digest)
{
	buffer_done(&digest->key);
}

/* The key inside a raw state's user part. Nearly always it holds no zero byte, and is a part of it as it is. */
static int32_t raw_key(struct state_digest *digest, sb_slice user_part, sb_slice *ret_key, sb_error *err)
{
	const uint8_t *zero = user_part.len ? memchr(user_part.ptr, 0, user_part.len) : NULL;
	sb_slice sub_key;

	if (zero && (uint64_t)(zero - user_part.ptr) + 1 < user_part.len && zero[1] == 1) {
		*ret_key = slice_of(user_part.ptr, (size_t)(zero - user_part.ptr));
		return SB_OK;
	}
	TRY(composed_split_raw(user_part, &digest->key, &sub_key, err));
	*ret_key = buffer_slice(&digest->key);
	return SB_OK;
}

int32_t state_digest_check(struct state_digest *digest, const struct snapshot_entry *entry, sb_error *err)
{
	const struct schema_state *state = entry->state_id < SCHEMA_STATES_MAX ? digest->states[entry->state_id] : NULL;
	sb_slice key = entry->user_part;
	uint32_t group;

	if (!state)
		return error_set(err, SB_ERR_CORRUPT, "an entry of state number %u, which the schema lacks",
				 entry->state_id);
	if (entry->user_part.len > CHECKPOINT_USER_PART_MAX || entry->value.len > CHECKPOINT_VALUE_MAX)
		return error_set(err, SB_ERR_CORRUPT, "an entry of state %s of %llu and %llu bytes is too large",
				 state->name, (unsigned long long)entry->user_part.len,
				 (unsigned long long)entry->value.len);
	if (state->kind == SB_STATE_STRUCT && !entry->deleted && entry->value.len != state->value_size)
		return error_set(err, SB_ERR_CORRUPT, "a value of state %s has %llu bytes, not %u", state->name,
				 (unsigned long long)entry->value.len, state->value_size);
	if (state->kind == SB_STATE_RAW)
		TRY(raw_key(digest, entry->user_part, &key, err));
	group = key_group_of(key_hash(key), digest->key_groups);
	if (entry->key_group != group)
		return error_set(err, SB_ERR_CORRUPT, "an entry of state %s is in key group %u, its key belongs to %u",
				 state->name, entry->key_group, group);
	return SB_OK;
}

static uint8_t *put_u64(uint8_t *at, uint64_t value)
{
	value = htole64(value);
	memcpy(at, &value, sizeof(value));
	return at + sizeof(value);
}

static uint8_t *put_hash(uint8_t *at, struct hash128 hash)
{
	return put_u64(put_u64(at, hash.low), hash.high);
}

void state_digest_add(struct state_digest *digest, const struct snapshot_entry *entry)
{
	uint8_t parts[57];
	uint8_t *at = put_hash(parts, digest->names[entry->state_id]);

	at = put_hash(at, hash128_of(entry->user_part));
	at = put_hash(at, hash128_of(entry->value));
	at = put_u64(at, (uint64_t)entry->expiry_ms);
	if (entry->deleted)
		*at++ = 1;
	digest->sum = hash128_add(digest->sum, hash128_of(slice_of(parts, (size_t)(at - parts))));
}
