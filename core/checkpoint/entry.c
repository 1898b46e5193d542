/* Entries as bytes; frame.h has the layout. */
#include <string.h>

#include "base/error.h"
#include "base/slice.h"
#include "checkpoint/frame.h"

#define EXPIRES 1u
#define DELETED 2u
#define FLAG_BITS 2u

size_t varint_put(uint8_t *at, uint64_t value)
{
	size_t n = 0;

	for (; value >= 0x80; value >>= 7)
		at[n++] = (uint8_t)(value | 0x80);
	at[n++] = (uint8_t)value;
	return n;
}

bool varint_take(sb_slice *from, uint64_t *ret_value)
{
	uint64_t value = 0;
	unsigned n = 0;
	uint8_t byte;

	do {
		if (n == from->len)
			return false;
		byte = from->ptr[n];
		if (n == VARINT_BYTES_MAX - 1 && byte > 1)
			return false; /* beyond 64 bits, or more bytes to come */
		value |= (uint64_t)(byte & 0x7f) << 7 * n++;
	} while (byte & 0x80);
	if (n > 1 && byte == 0)
		return false;
	*from = slice_of(from->ptr + n, from->len - n);
	*ret_value = value;
	return true;
}

size_t entry_put_head(uint8_t *at, const struct snapshot_entry *entry)
{
	bool expires = entry->expiry_ms != SB_NO_EXPIRY;
	uint64_t zigzag = (uint64_t)entry->expiry_ms << 1 ^ (uint64_t)(entry->expiry_ms >> 63);
	size_t n = varint_put(at, (uint64_t)entry->state_id << FLAG_BITS | (expires ? EXPIRES : 0) |
					  (entry->deleted ? DELETED : 0));

	n += varint_put(at + n, entry->key_group);
	n += varint_put(at + n, entry->user_part.len);
	n += varint_put(at + n, entry->value.len);
	if (expires)
		n += varint_put(at + n, zigzag);
	return n;
}

int32_t entry_take(sb_slice *from, bool changes, struct snapshot_entry *ret_entry, sb_error *err)
{
	uint64_t head, group, key_len, value_len, zigzag = 0;
	sb_slice rest = *from;

	if (!varint_take(&rest, &head) || !varint_take(&rest, &group) || !varint_take(&rest, &key_len) ||
	    !varint_take(&rest, &value_len))
		return error_set(err, SB_ERR_CORRUPT, "an entry whose numbers are malformed");
	if ((head & DELETED && !changes) || head >> FLAG_BITS >= SCHEMA_STATES_MAX || group >= KEY_GROUPS_MAX)
		return error_set(err, SB_ERR_CORRUPT, "an entry with an impossible state or key group");
	if (head & EXPIRES && (!varint_take(&rest, &zigzag) || zigzag == 0))
		return error_set(err, SB_ERR_CORRUPT, "an entry with a malformed expiry");
	if (head & DELETED && (head & EXPIRES || value_len))
		return error_set(err, SB_ERR_CORRUPT, "a deletion with a value or an expiry");
	if (key_len > rest.len || value_len > rest.len - key_len)
		return error_set(err, SB_ERR_CORRUPT, "an entry that is longer than its frame");
	ret_entry->state_id = (uint32_t)(head >> FLAG_BITS);
	ret_entry->deleted = head & DELETED;
	ret_entry->key_group = (uint32_t)group;
	ret_entry->expiry_ms = (int64_t)(zigzag >> 1 ^ (0 - (zigzag & 1)));
	ret_entry->user_part = slice_of(rest.ptr, key_len);
	ret_entry->value = slice_of(rest.ptr + key_len, value_len);
	*from = slice_of(rest.ptr + key_len + value_len, rest.len - key_len - value_len);
	return SB_OK;
}
