/* Keys that were chosen to collide, in the memory backend's index. Its hash is well known but for a secret; whoever knew that
 * could choose keys that all begin their search at one place. So each table draws its own, and such keys are like any others. */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "../../plugins/memory/backend.h"
#include "support/memory.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define KEYS 1200u /* in a first block, which has 3,060 slots and grows later */
#define KEY_BYTES 16u
#define FIRST_CHUNKS 255u

static uint8_t known[TABLE_SECRET_BYTES];
static char keys[KEYS][KEY_BYTES];

/* Keys that begin in chunk 0 of the first block, for a table that has the known secret. */
static void find_keys(void)
{
	uint32_t found = 0;

	for (uint32_t i = 0; i < TABLE_SECRET_BYTES; i++)
		known[i] = (uint8_t)(131 * i + 7);
	for (uint64_t n = 0; found < KEYS; n++) {
		int len = snprintf(keys[found], KEY_BYTES, "user-%llu", (unsigned long long)n);
		uint64_t hash = XXH3_64bits_withSecret(keys[found], (size_t)len, known, sizeof(known));

		found += (hash & UINT32_MAX) * FIRST_CHUNKS >> 32 == 0;
	}
}

/* How often a search for one of the entries passes a chunk by, together. */
static uint64_t count_passed(const struct table *table)
{
	const struct block *last = NULL;
	uint64_t passed = 0;

	for (uint32_t i = 0; i < 1u << table->depth; i++) {
		const struct block *block = (const struct block *)(table->dir[i] & ~(uintptr_t)1);

		for (uint32_t j = 0; block != last && j < block->chunk_count; j++)
			passed += block->chunks[j].passed;
		last = block;
	}
	return passed;
}

static uint64_t fill_and_count(const uint8_t *secret)
{
	struct memory_backend memory;
	uint64_t passed;

	memory_open(&memory, 0);
	if (secret)
		memcpy(memory.backend->table.secret, secret, TABLE_SECRET_BYTES);
	for (uint32_t i = 0; i < KEYS; i++) {
		sb_op put = {.kind = SB_OP_PUT,
			     .key = {(const uint8_t *)keys[i], strlen(keys[i])},
			     .value = {(const uint8_t *)"v", 1}};

		cr_assert_eq(memory.ops->write_batch(memory.backend, 1, &put, &memory.err), SB_OK, "%s",
			     memory.err.message);
	}
	cr_assert_eq(memory.backend->table.count, KEYS);
	passed = count_passed(&memory.backend->table);
	memory_close(&memory);
	return passed;
}

TestSuite(memory_flood, .init = find_keys);

/* The flood is one: else the test below would show nothing. Each chunk of the row is passed by all that come to lie behind it. */
Test(memory_flood, chosen_keys_pile_up_under_the_secret_that_they_were_chosen_for)
{
	uint64_t expected = 0;

	for (uint64_t behind = KEYS - CHUNK_SLOTS; behind > 0; behind -= CHUNK_SLOTS)
		expected += behind;
	cr_assert_eq(fill_and_count(known), expected);
}

Test(memory_flood, chosen_keys_spread_under_a_secret_of_the_table_s_own)
{
	for (unsigned i = 0; i < 8; i++) {
		uint64_t passed = fill_and_count(NULL);

		cr_assert_lt(passed, KEYS / 4, "%llu passed by", (unsigned long long)passed);
	}
}

Test(memory_flood, every_table_has_a_secret_of_its_own)
{
	struct memory_backend a, b;

	memory_open(&a, 0);
	memory_open(&b, 0);
	cr_assert(memcmp(a.backend->table.secret, b.backend->table.secret, TABLE_SECRET_BYTES));
	memory_close(&a);
	memory_close(&b);
}
