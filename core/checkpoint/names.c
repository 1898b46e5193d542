/* See names.h. */
#include "checkpoint/names.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/slice.h"

static bool is_name(const char *name)
{
	size_t len = strlen(name);

	return len > 0 && len <= CHECKPOINT_NAME_MAX &&
	       strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == len;
}

int32_t name_set_add(struct name_set *set, const char *name, sb_error *err)
{
	uint64_t hash = hash64_of(slice_of_text(name));

	if (!is_name(name))
		return error_set(err, SB_ERR_CORRUPT, "\"%.80s\" is no name of a snapshot", name);
	if (set->count == CHECKPOINT_NAMES_MAX)
		return error_set(err, SB_ERR_CORRUPT, "more than %u snapshots", CHECKPOINT_NAMES_MAX);
	for (uint64_t i = 0; i < set->count; i++)
		if (set->hashes[i] == hash)
			return error_set(err, SB_ERR_CORRUPT, "snapshot \"%s\" is there twice", name);
	if ((set->count & (set->count - 1)) == 0) {
		uint64_t *larger = reallocarray(set->hashes, set->count ? 2 * set->count : 1, sizeof(*larger));

		if (!larger)
			return error_no_memory(err);
		set->hashes = larger;
	}
	set->hashes[set->count++] = hash;
	return SB_OK;
}

void name_set_done(struct name_set *set)
{
	free(set->hashes);
	*set = (struct name_set){0};
}
