/* The two hashes that the project's promises rest on.
 *
 * key_hash places a key: its key group is written into every checkpoint, so the
 * function is fixed for ever (XXH3 64, seed 0). Tables that an attacker could flood mix
 * a secret of their own into it. hash128 serves the order-free digest of logical state. */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stdint.h>

#include "sb_plugin.h"

#define KEY_GROUPS_DEFAULT 128u
#define KEY_GROUPS_MAX 32768u

uint64_t key_hash(sb_slice key);

/* 0 .. key_groups - 1. */
static inline uint32_t key_group_of(uint64_t hash, uint32_t key_groups)
{
	return (uint32_t)(((hash >> 32) * key_groups) >> 32);
}

/* Task t of n owns the groups [key_group_begin(t), key_group_begin(t + 1)). */
static inline uint32_t key_group_begin(uint32_t task, uint32_t tasks, uint32_t key_groups)
{
	return (uint32_t)(((uint64_t)task * key_groups + tasks - 1) / tasks);
}

static inline uint32_t key_group_task(uint32_t group, uint32_t tasks, uint32_t key_groups)
{
	return (uint32_t)((uint64_t)group * tasks / key_groups);
}

struct hash128 {
	uint64_t low, high;
};

struct hash128 hash128_of(sb_slice bytes);
uint64_t hash64_of(sb_slice bytes);
/* For a table whose keys come from outside. */
uint64_t hash64_keyed(sb_slice bytes, uint64_t secret);
/* Addition modulo 2^128: the sum over a set of hashes is the same in any order. */
struct hash128 hash128_add(struct hash128 a, struct hash128 b);

#endif
