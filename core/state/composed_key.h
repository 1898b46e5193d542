/* How a backend's key is composed, so that a range of key groups is a range of keys:
 *
 *   key group (2 bytes, big-endian)  state id (2 bytes, big-endian)  user part
 *
 * The user part of a struct state is the event's key as it is. That of a raw state holds the
 * event's key and a sub-key: the key with each 0x00 written as 0x00 0xFF, then the end mark
 * 0x00 0x01, then the sub-key as it is. So one key's sub-keys lie together, in order, and no key is
 * taken for the beginning of another. */
#ifndef STATE_COMPOSED_KEY_H
#define STATE_COMPOSED_KEY_H

#include <endian.h>
#include <string.h>

#include "base/buffer.h"
#include "sb_plugin.h"

#define COMPOSED_PREFIX_BYTES 4

static inline void composed_put_prefix(uint8_t *at, uint32_t key_group, uint32_t state_id)
{
	uint32_t prefix = htobe32(key_group << 16 | (state_id & 0xffff));

	memcpy(at, &prefix, sizeof(prefix));
}

static inline uint32_t composed_key_group(sb_slice composed)
{
	return (uint32_t)composed.ptr[0] << 8 | composed.ptr[1];
}

static inline uint32_t composed_state_id(sb_slice composed)
{
	return (uint32_t)composed.ptr[2] << 8 | composed.ptr[3];
}

static inline sb_slice composed_user_part(sb_slice composed)
{
	return (sb_slice){.ptr = composed.ptr + COMPOSED_PREFIX_BYTES, .len = composed.len - COMPOSED_PREFIX_BYTES};
}

/* The whole key for a raw state, up to and with sub_key, which may be a prefix of one. */
void composed_append_raw(struct buffer *out, uint32_t key_group, uint32_t state_id, sb_slice key, sb_slice sub_key);

/* Takes the user part of a raw state apart; the key is unescaped into key (cleared first). SB_ERR_CORRUPT when it is none. */
int32_t composed_split_raw(sb_slice user_part, struct buffer *key, sb_slice *ret_sub_key, sb_error *err);

#endif
