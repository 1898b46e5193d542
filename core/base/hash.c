/* See hash.h. */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/hash.h"

uint64_t key_hash(sb_slice key)
{
	return XXH3_64bits(key.ptr, key.len);
}

uint64_t hash64_of(sb_slice bytes)
{
	return XXH3_64bits(bytes.ptr, bytes.len);
}

uint64_t hash64_keyed(sb_slice bytes, uint64_t secret)
{
	return XXH3_64bits_withSeed(bytes.ptr, bytes.len, secret);
}

struct hash128 hash128_of(sb_slice bytes)
{
	XXH128_hash_t h = XXH3_128bits(bytes.ptr, bytes.len);

	return (struct hash128){.low = h.low64, .high = h.high64};
}

struct hash128 hash128_add(struct hash128 a, struct hash128 b)
{
	struct hash128 sum = {.low = a.low + b.low};

	sum.high = a.high + b.high + (sum.low < a.low);
	return sum;
}
