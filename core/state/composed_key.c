/* See composed_key.h. */
#include "state/composed_key.h"

#include "base/error.h"
#include "base/slice.h"

#define ESCAPED_ZERO 0xff
#define END_OF_KEY 0x01

void composed_append_raw(struct buffer *out, uint32_t key_group, uint32_t state_id, sb_slice key, sb_slice sub_key)
{
	uint8_t prefix[COMPOSED_PREFIX_BYTES];

	composed_put_prefix(prefix, key_group, state_id);
	buffer_append(out, prefix, sizeof(prefix));
	for (uint64_t i = 0; i < key.len; i++) {
		buffer_append_byte(out, key.ptr[i]);
		if (key.ptr[i] == 0)
			buffer_append_byte(out, ESCAPED_ZERO);
	}
	buffer_append(out, (const uint8_t[]){0, END_OF_KEY}, 2);
	buffer_append_slice(out, sub_key);
}

int32_t composed_split_raw(sb_slice user_part, struct buffer *key, sb_slice *ret_sub_key, sb_error *err)
{
	buffer_clear(key);
	for (uint64_t i = 0; i < user_part.len; i++) {
		uint8_t c = user_part.ptr[i];

		if (c != 0) {
			buffer_append_byte(key, c);
			continue;
		}
		if (++i == user_part.len)
			break;
		if (user_part.ptr[i] == END_OF_KEY) {
			TRY(buffer_check(key, err));
			*ret_sub_key = slice_of(user_part.ptr + i + 1, user_part.len - i - 1);
			return SB_OK;
		}
		if (user_part.ptr[i] != ESCAPED_ZERO)
			break;
		buffer_append_byte(key, 0);
	}
	return error_set(err, SB_ERR_CORRUPT, "the key of a raw state has no end mark");
}
