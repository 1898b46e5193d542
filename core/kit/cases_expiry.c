/* Expiry: kept exactly, returned with reads and iterators, and acted upon only below the
 * horizon, whatever the clock says. */
#include <string.h>

#include "base/slice.h"
#include "kit/subject.h"

#define ENTRIES 3000

void case_expiry_comes_back_to_the_millisecond(struct subject *s)
{
	static const int64_t expiries[] = {SB_NO_EXPIRY,
					   1,
					   2,
					   999,
					   1000,
					   -1,
					   -1000,
					   START_MS - 1,
					   START_MS,
					   START_MS + 1,
					   INT64_C(1) << 32,
					   (INT64_C(1) << 32) + 1,
					   (INT64_C(1) << 53) + 1,
					   INT64_MAX - 1,
					   INT64_MAX,
					   INT64_MIN + 1};
	uint8_t key[64];

	for (unsigned i = 0; i < sizeof(expiries) / sizeof(expiries[0]); i++)
		subject_put(s, key_of_number(key, 1, i), slice_of_text("value"), expiries[i]);
	subject_check_all(s);
}

void case_overwriting_replaces_the_expiry(struct subject *s)
{
	static const int64_t expiries[] = {5, SB_NO_EXPIRY, INT64_MAX, 4, START_MS, SB_NO_EXPIRY};
	uint8_t key[64];
	sb_slice name = key_of(key, 1, "key");

	for (unsigned i = 0; i < sizeof(expiries) / sizeof(expiries[0]); i++) {
		subject_put(s, name, slice_of_text("same value"), expiries[i]);
		subject_check_all(s);
	}
}

/* Expiries START_MS, START_MS + 1, …; every tenth entry has none. */
static void write_entries(struct subject *s)
{
	uint8_t key[64], value[200];

	memset(value, 'v', sizeof(value));
	for (unsigned i = 0; i < ENTRIES; i++)
		subject_put(s, key_of_number(key, i % 7, i), slice_of(value, i % sizeof(value)),
			    i % 10 ? START_MS + i : SB_NO_EXPIRY);
}

static size_t entries_found(struct subject *s)
{
	size_t before;

	do {
		before = s->model.count;
		subject_check_all(s); /* takes out of the model what is gone, and fails when it may not be */
	} while (s->model.count != before);
	return before;
}

void case_nothing_is_purged_above_the_horizon(struct subject *s)
{
	/* Long after all of them: the clock is not what decides. */
	s->clock.now_ns += INT64_C(1000000) * 1000 * 86400;
	write_entries(s);
	subject_maintain(s);
	CHECK(s, entries_found(s) == ENTRIES, "something was purged without a horizon");
	subject_set_horizon(s, START_MS);
	subject_maintain(s);
	write_entries(s);
	subject_maintain(s);
	CHECK(s, entries_found(s) == ENTRIES, "something was purged above the horizon");
}

void case_purge_takes_only_what_is_at_or_below_the_horizon(struct subject *s)
{
	uint64_t purged = 0;
	size_t found = 0;

	write_entries(s);
	for (unsigned part = 1; part <= 4; part++) {
		subject_set_horizon(s, START_MS + ENTRIES / 4 * part);
		purged += subject_maintain(s);
		/* What must stay is checked in here. */
		found = entries_found(s);
	}
	CHECK(s, purged <= ENTRIES - found, "it says that it purged %llu of %d, but %zu are there",
	      (unsigned long long)purged, ENTRIES, found);
	if (s->component->flags & SB_BACKEND_IN_MEMORY)
		CHECK(s, found == ENTRIES / 10, "upkeep left %zu entries, of which %d should stay", found,
		      ENTRIES / 10);
}

void case_purged_key_can_be_written_anew(struct subject *s)
{
	uint8_t key[64];

	write_entries(s);
	subject_set_horizon(s, START_MS + ENTRIES);
	subject_maintain(s);
	entries_found(s);
	s->clock.now_ns += INT64_C(1000000) * ENTRIES;
	/* Some of the new ones are expired when they are written. */
	write_entries(s);
	entries_found(s);
	subject_maintain(s);
	entries_found(s);
	/* And some are not: these must be there. */
	for (unsigned i = 0; i < ENTRIES; i++)
		subject_put(s, key_of_number(key, i % 7, i), slice_of_text("anew"), START_MS + 2 * ENTRIES + i);
	subject_maintain(s);
	CHECK(s, entries_found(s) == ENTRIES, "an entry that was written anew is gone");
}
