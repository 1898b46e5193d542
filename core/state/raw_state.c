/* Raw states: byte strings under (key, sub-key), one at a time, through the same working set. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/slice.h"
#include "state/keyed_state_private.h"

sb_slice keyed_state_compose(struct keyed_state *ks, uint32_t state, uint64_t event, sb_slice sub_key)
{
	buffer_clear(&ks->raw_key);
	composed_append_raw(&ks->raw_key, key_group_of(ks->hashes[event], ks->config.key_groups),
			    ks->config.schema->states[state].id, ks->events[event].key, sub_key);
	return buffer_slice(&ks->raw_key);
}

/* The entry, not yet fetched when it is new. */
static struct entry *find_or_add(struct keyed_state *ks, uint32_t state, uint64_t event, sb_slice sub_key,
				 sb_error *err)
{
	sb_slice composed = keyed_state_compose(ks, state, event, sub_key);
	struct entry *entry = NULL;

	if (ks->raw_key.failed || composed.len > (uint64_t)1 << 20) {
		error_set(err, ks->raw_key.failed ? SB_ERR_NO_MEMORY : SB_ERR_INVALID,
			  "key and sub-key of state '%s' have %llu bytes, more than the 1 MiB that a backend takes",
			  ks->config.schema->states[state].name, (unsigned long long)composed.len);
		return NULL;
	}
	if (working_set_reserve(&ks->set, 1, err) != SB_OK)
		return NULL;
	entry = working_set_find_or_add(&ks->set, working_set_hash(&ks->set, state, composed_user_part(composed)),
					state, composed_key_group(composed), ks->config.schema->states[state].id,
					composed_user_part(composed), 0);
	if (!entry)
		error_no_memory(err);
	else
		entry->flags |= ENTRY_REFERENCED;
	return entry;
}

static int32_t get(struct keyed_state *ks, uint32_t state, uint64_t event, sb_slice sub_key, struct entry **ret_entry,
		   sb_error *err)
{
	struct entry *entry = find_or_add(ks, state, event, sub_key, err);

	if (!entry)
		return err->code;
	if (entry->flags & ENTRY_FETCHED) {
		ks->stats.hits++;
	} else {
		ks->stats.misses++;
		TRY(keyed_state_fetch(ks, &entry, 1, err));
	}
	*ret_entry = entry;
	return SB_OK;
}

int32_t keyed_state_raw_get(struct keyed_state *ks, uint32_t state, uint64_t event, sb_slice sub_key,
			    sb_slice *ret_value, int32_t *ret_found)
{
	sb_error err = ERROR_INIT;
	struct entry *entry;
	int32_t status;

	TRY(keyed_state_check_call(ks, state, event, SB_STATE_RAW));
	status = get(ks, state, event, sub_key, &entry, &err);
	if (status != SB_OK)
		return keyed_state_fail(ks, status, &err);
	ks->stats.gets++;
	*ret_found = (entry->flags & ENTRY_PRESENT) && !expiry_reached(entry->expiry_ms, ks->events[event].clock_ms);
	*ret_value = *ret_found ? entry_value(entry) : (sb_slice){0};
	return SB_OK;
}

int32_t keyed_state_raw_put(struct keyed_state *ks, uint32_t state, uint64_t event, sb_slice sub_key, sb_slice value,
			    int64_t ttl_ms)
{
	sb_error err = ERROR_INIT;
	struct entry *entry;
	int32_t status;

	TRY(keyed_state_check_call(ks, state, event, SB_STATE_RAW));
	if (value.len > KEYED_STATE_VALUE_MAX) {
		error_set(&err, SB_ERR_INVALID, "a value of state '%s' has %llu bytes; 64 MiB is the most",
			  ks->config.schema->states[state].name, (unsigned long long)value.len);
		return keyed_state_fail(ks, SB_ERR_INVALID, &err);
	}
	entry = find_or_add(ks, state, event, sub_key, &err);
	status = entry ? working_set_mark_dirty(&ks->set, entry, &err) : err.code;
	if (status == SB_OK)
		status = working_set_set_value(&ks->set, entry, value, &err);
	if (status != SB_OK)
		return keyed_state_fail(ks, status, &err);
	if (ttl_ms < 0)
		ttl_ms = ks->config.schema->states[state].ttl_ms;
	entry->expiry_ms = keyed_state_expiry(ks->events[event].clock_ms, ttl_ms);
	entry->flags |= ENTRY_PRESENT | ENTRY_FETCHED;
	ks->stats.puts++;
	return SB_OK;
}

int32_t keyed_state_raw_delete(struct keyed_state *ks, uint32_t state, uint64_t event, sb_slice sub_key)
{
	sb_error err = ERROR_INIT;
	struct entry *entry;

	TRY(keyed_state_check_call(ks, state, event, SB_STATE_RAW));
	entry = find_or_add(ks, state, event, sub_key, &err);
	if (!entry || working_set_mark_dirty(&ks->set, entry, &err) != SB_OK)
		return keyed_state_fail(ks, err.code, &err);
	entry->flags = (entry->flags & ~ENTRY_PRESENT) | ENTRY_FETCHED;
	ks->stats.deletes++;
	return SB_OK;
}
