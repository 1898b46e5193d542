/* What every entry has to pass on its way into a checkpoint and out of one: a state of the schema, lengths in their bounds, the key group of its
 * key. The digest itself is compared by test_checkpoint_format.c. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/slice.h"
#include "checkpoint/checkpoint_private.h"
#include "checkpoint/frame.h"
#include "checkpoint/state_digest.h"
#include "fault/checkpoint_fixture.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define PROFILE 0u /* STRUCT, 24 bytes */
#define NOTES 700u /* RAW */

static struct fixture fixture;
static struct state_digest digest;

static void set_up(void)
{
	fixture_init(&fixture, 1, 1, 0);
	state_digest_init(&digest, &fixture.meta);
}

static void tear_down(void)
{
	state_digest_done(&digest);
	fixture_done(&fixture);
}

TestSuite(state_digest, .init = set_up, .fini = tear_down);

Test(state_digest, an_entry_is_one_of_its_state_and_of_its_key)
{
	AUTO(free_memory) uint8_t *long_bytes = calloc(1, CHECKPOINT_VALUE_MAX + 1);
	const struct {
		uint32_t state;
		const char *user_part;
		uint64_t user_len;
		const char *key; /* whose group it says it is in */
		uint64_t key_len;
		uint64_t value_len;
		bool deleted;
		int32_t status;
		const char *sentence;
	} cases[] = {
		{PROFILE, "k", 1, "k", 1, 24, false, SB_OK, ""},
		{PROFILE, "k", 1, "k", 1, 0, true, SB_OK, ""},
		{PROFILE, "k", 1, "k", 1, 23, false, SB_ERR_CORRUPT, "state profile has 23 bytes, not 24"},
		{PROFILE, "k", 1, "l", 1, 24, false, SB_ERR_CORRUPT, "its key belongs to"},
		{1, "k", 1, "k", 1, 24, false, SB_ERR_CORRUPT, "state number 1, which the schema lacks"},
		{SCHEMA_STATES_MAX, "k", 1, "k", 1, 24, false, SB_ERR_CORRUPT, "which the schema lacks"},
		{NOTES, "k\0\1s", 4, "k", 1, 5, false, SB_OK, ""},
		{NOTES, "k\0\xff\0\1s", 6, "k\0", 2, 5, false, SB_OK, ""}, /* a key with a zero byte in it */
		{NOTES, "", 0, "", 0, 5, false, SB_ERR_CORRUPT, ""},
		{NOTES, "k", 1, "k", 1, 5, false, SB_ERR_CORRUPT, ""}, /* a key without an end */
		{NOTES, "k\0", 2, "k", 1, 5, false, SB_ERR_CORRUPT, ""},
		{NOTES, NULL, CHECKPOINT_USER_PART_MAX + 1, "k", 1, 5, false, SB_ERR_CORRUPT, "is too large"},
		{NOTES, "k\0\1s", 4, "k", 1, CHECKPOINT_VALUE_MAX + 1, false, SB_ERR_CORRUPT, "is too large"},
	};

	for (size_t i = 0; i < LENGTH(cases); i++) {
		const void *user_part = cases[i].user_part ? (const void *)cases[i].user_part : long_bytes;
		const struct snapshot_entry entry = {
			.state_id = cases[i].state,
			.key_group = key_group_of(key_hash(slice_of(cases[i].key, cases[i].key_len)), 128),
			.user_part = slice_of(user_part, cases[i].user_len),
			.value = slice_of(long_bytes, cases[i].value_len),
			.expiry_ms = SB_NO_EXPIRY,
			.deleted = cases[i].deleted};
		sb_error err = ERROR_INIT;

		cr_assert_eq(state_digest_check(&digest, &entry, &err), cases[i].status, "case %zu: %s", i,
			     err.message);
		cr_assert(strstr(err.message, cases[i].sentence), "case %zu: %s", i, err.message);
		cr_assert(cases[i].status == SB_OK || err.message[0], "case %zu", i);
	}
}
