/* Keys that were chosen to collide, in the memory backend's index. Its hash is well known but for a secret; whoever knew that
 * could choose keys that all begin their search at one place. So each table draws its own, and such keys are like any others. */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "../../plugins/memory/backend.h"

#include <criterion/criterion.h>
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#define KEYS 1200u /* in a first block, which has 3,060 slots and grows later */
#define KEY_BYTES 16u
#define FIRST_CHUNKS 255u

static uint8_t known[TABLE_SECRET_BYTES];
static char keys[KEYS][KEY_BYTES];
static sb_error err = {.struct_size = sizeof(sb_error)};

static int64_t no_horizon(const sb_host *host)
{
	(void)host;
	return INT64_MIN;
}

static sb_host host = {.struct_size = sizeof(host), .expiry_horizon_ms = no_horizon};
static const sb_backend_ops *ops;

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

static sb_backend *open_backend(void)
{
	sb_option_value options[3] = {{.is_set = 1}, {.is_set = 1}, {.is_set = 1}};
	sb_backend_config config = {.struct_size = sizeof(config),
				    .host = &host,
				    .instance = "backend-0",
				    .dir = "/nowhere",
				    .options = options,
				    .option_count = 3};
	const sb_plugin *(*entry)(const sb_host *, sb_error *);
	void *library = dlopen(SB_PLUGIN_DIR "/libmemory_backend.so", RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
	sb_backend *backend;

	cr_assert(library, "%s", dlerror());
	*(void **)&entry = dlsym(library, "sb_plugin_entry_v1");
	ops = entry(&host, &err)->components[0]->ops;
	cr_assert_eq(ops->open(&config, &backend, &err), SB_OK, "%s", err.message);
	return backend;
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
	sb_backend *backend = open_backend();
	uint64_t passed;

	if (secret)
		memcpy(backend->table.secret, secret, TABLE_SECRET_BYTES);
	for (uint32_t i = 0; i < KEYS; i++) {
		sb_op put = {.kind = SB_OP_PUT,
			     .key = {(const uint8_t *)keys[i], strlen(keys[i])},
			     .value = {(const uint8_t *)"v", 1}};

		cr_assert_eq(ops->write_batch(backend, 1, &put, &err), SB_OK, "%s", err.message);
	}
	cr_assert_eq(backend->table.count, KEYS);
	passed = count_passed(&backend->table);
	ops->close(backend);
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
	sb_backend *a = open_backend();
	sb_backend *b = open_backend();

	cr_assert(memcmp(a->table.secret, b->table.secret, TABLE_SECRET_BYTES));
	ops->close(a);
	ops->close(b);
}
