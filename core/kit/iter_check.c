/* Checks an iteration against the model: see iter_check.h. */
#include "kit/iter_check.h"

#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "base/slice.h"

void iter_check_open(struct iter_check *check, struct subject *s, sb_slice lower, sb_slice upper)
{
	sb_error err = ERROR_INIT;
	/* The bounds are copied by iter_open: give it some that are gone afterwards. */
	uint8_t bytes[512];
	sb_iter_options options = {.struct_size = sizeof(options), .lower = lower, .upper = upper};
	int32_t status;

	if (!(s->hints & SB_OPEN_NO_SHORT_ITER) && rng_below(&s->rng, 4) == 0)
		options.flags = SB_ITER_SHORT;
	memset(check, 0, sizeof(*check));
	check->s = s;
	model_copy_range(&s->model, lower, upper, &check->moment);
	if (lower.len && upper.len && lower.len + upper.len <= sizeof(bytes)) {
		memcpy(bytes, lower.ptr, lower.len);
		memcpy(bytes + lower.len, upper.ptr, upper.len);
		options.lower = slice_of(bytes, lower.len);
		options.upper = slice_of(bytes + lower.len, upper.len);
	}
	status = SUBJECT_CALL(s, iter_open, s->backend, &options, &check->iter, &err);
	CHECK(s, status == SB_OK, "iter_open: status %d, %s", status, err.message);
	memset(bytes, 0xEE, sizeof(bytes));
}

static void check_bytes(const struct iter_check *check, uint64_t i, const char *when)
{
	const sb_entry *entry = &check->entries[i];
	const struct model_entry *expected = check->expected[i];

	CHECK(check->s, slice_equal(entry->key, expected->key), "an iterator's key %s", when);
	CHECK(check->s, slice_equal(entry->value, expected->value),
	      "an iterator's value of %" PRIu64 " bytes, %" PRIu64 " expected, %s", entry->value.len,
	      expected->value.len, when);
	CHECK(check->s, entry->expiry_ms == expected->expiry_ms,
	      "an iterator's expiry %" PRId64 ", %" PRId64 " expected, %s", entry->expiry_ms, expected->expiry_ms,
	      when);
}

static void tick_off(struct iter_check *check, uint64_t i)
{
	struct model_entry *expected = model_find(&check->moment, check->entries[i].key);

	CHECK(check->s, expected,
	      "an iterator returned a key of %" PRIu64 " bytes that was not there when it was opened, or is out of "
	      "its bounds",
	      check->entries[i].key.len);
	CHECK(check->s, !expected->seen, "an iterator returned a key twice");
	if (subject_is_ordered(check->s) && check->last_key.ptr)
		CHECK(check->s, slice_compare(check->last_key, expected->key) < 0,
		      "an iterator of an ordered backend went back");
	expected->seen = true;
	check->last_key = expected->key;
	check->expected[i] = expected;
	check_bytes(check, i, "differs");
}

static void check_end(const struct iter_check *check)
{
	for (size_t i = 0; i < check->moment.count; i++) {
		const struct model_entry *entry = &check->moment.entries[i];

		CHECK(check->s, entry->seen || subject_may_lack(check->s, entry),
		      "an iterator left out entry %zu of %zu, which was there when it was opened", i,
		      check->moment.count);
	}
}

bool iter_check_step(struct iter_check *check, uint64_t max)
{
	sb_error err = ERROR_INIT;
	int32_t status;

	for (uint64_t i = 0; i < check->entry_count; i++)
		check_bytes(check, i, "changed before the next call");
	status = SUBJECT_CALL(check->s, iter_next, check->iter, max, check->entries, &check->entry_count, &err);
	CHECK(check->s, status == SB_OK, "iter_next: status %d, %s", status, err.message);
	CHECK(check->s, check->entry_count <= max, "iter_next returned %" PRIu64 " entries, asked for %" PRIu64,
	      check->entry_count, max);
	for (uint64_t i = 0; i < check->entry_count; i++)
		tick_off(check, i);
	if (check->entry_count)
		return true;
	check_end(check);
	return false;
}

void iter_check_close(struct iter_check *check)
{
	SUBJECT_CALL_VOID(check->s, iter_close, check->iter);
	model_done(&check->moment);
}
