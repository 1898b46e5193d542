/* Batches; see keyed_state.h. */
#include "state/keyed_state.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/slice.h"
#include "plugin/extensions.h"
#include "state/keyed_state_private.h"

/* So many events are between the steps of a look-up. */
#define LOOK_AHEAD 16u

static int32_t init_zero_value(struct state_facts *facts, const struct schema_state *state, sb_error *err)
{
	facts->zero_value = calloc(1, state->value_size);
	if (!facts->zero_value)
		return error_no_memory(err);
	for (uint64_t f = 0; f < state->field_count; f++) {
		const struct schema_field *field = &state->fields[f];

		if (field->default_value)
			memcpy(facts->zero_value + field->offset, field->default_value, field->size);
	}
	return SB_OK;
}

static int32_t init_states(struct keyed_state *ks, sb_error *err)
{
	const struct schema *schema = ks->config.schema;

	ks->struct_states = calloc(schema->count + 1, sizeof(*ks->struct_states));
	ks->states = calloc(schema->count + 1, sizeof(*ks->states));
	if (!ks->struct_states || !ks->states)
		return error_no_memory(err);
	ks->state_count = schema->count;
	for (uint32_t i = 0; i < schema->count; i++) {
		const struct schema_state *state = &schema->states[i];

		ks->states[i] = (struct state_facts){.kind = state->kind, .ttl_ms = state->ttl_ms};
		if (state->kind != SB_STATE_STRUCT)
			continue;
		ks->states[i].value_size = state->value_size;
		ks->states[i].column = ks->struct_count;
		ks->states[i].place_bytes = ks->struct_count * (uint32_t)sizeof(sb_place);
		ks->struct_states[ks->struct_count++] = i;
		TRY(init_zero_value(&ks->states[i], state, err));
	}
	return SB_OK;
}

int32_t keyed_state_open(const struct keyed_state_config *config, struct keyed_state **ret_state, sb_error *err)
{
	struct keyed_state *ks = calloc(1, sizeof(*ks));
	int32_t status;

	if (!ks)
		return error_no_memory(err);
	ks->config = *config;
	ks->ops = &config->backend->component->backend;
	ks->complete = config->backend_empty;
	if (config->cache_bytes == 0)
		ks->in_place.ops = component_inplace(config->backend->component);
	status = working_set_init(&ks->set, config->key_groups, err);
	if (status == SB_OK)
		status = init_states(ks, err);
	if (status != SB_OK) {
		keyed_state_close(ks);
		return status;
	}
	*ret_state = ks;
	return SB_OK;
}

void keyed_state_close(struct keyed_state *ks)
{
	if (!ks)
		return;
	working_set_done(&ks->set);
	in_place_done(&ks->in_place);
	for (uint64_t i = 0; i < ks->state_count; i++)
		free(ks->states[i].zero_value);
	free(ks->states);
	free(ks->struct_states);
	free(ks->rows);
	free(ks->row_hashes);
	free(ks->miss_keys);
	free(ks->miss_pins);
	free(ks->misses);
	free(ks->write_ops);
	free(ks->writes);
	free(ks->sort_scratch);
	buffer_done(&ks->raw_key);
	free(ks);
}

int32_t keyed_state_fail(struct keyed_state *ks, int32_t status, const sb_error *err)
{
	if (ks->failure == SB_OK) {
		ks->failure = status;
		ks->failure_error = *err;
		ks->open_events = 0;
	}
	return status;
}

int32_t keyed_state_failure(const struct keyed_state *ks, sb_error *err)
{
	if (ks->failure != SB_OK)
		*err = ks->failure_error;
	return ks->failure;
}

static int32_t reserve_rows(struct keyed_state *ks, uint64_t rows, sb_error *err)
{
	uint64_t cap = ks->rows_cap ? ks->rows_cap : 1024;
	struct entry **entries;
	uint64_t *hashes;

	if (rows <= ks->rows_cap)
		return SB_OK;
	while (cap < rows)
		cap *= 2;
	entries = realloc(ks->rows, cap * sizeof(*entries));
	if (entries)
		ks->rows = entries;
	hashes = realloc(ks->row_hashes, cap * sizeof(*hashes));
	if (hashes)
		ks->row_hashes = hashes;
	if (!entries || !hashes)
		return error_no_memory(err);
	ks->rows_cap = cap;
	return SB_OK;
}

static int32_t reserve_misses(struct keyed_state *ks, uint64_t n, sb_error *err)
{
	sb_slice *keys;
	sb_pin *pins;
	struct entry **misses;

	if (n <= ks->misses_cap)
		return SB_OK;
	keys = realloc(ks->miss_keys, n * sizeof(*keys));
	if (keys)
		ks->miss_keys = keys;
	pins = realloc(ks->miss_pins, n * sizeof(*pins));
	if (pins)
		ks->miss_pins = pins;
	misses = realloc(ks->misses, n * sizeof(*misses));
	if (misses)
		ks->misses = misses;
	if (!keys || !pins || !misses)
		return error_no_memory(err);
	ks->misses_cap = n;
	return SB_OK;
}

static int32_t take_answer(struct keyed_state *ks, struct entry *entry, const sb_pin *pin, sb_error *err)
{
	const struct schema_state *state = &ks->config.schema->states[entry->state_index];

	entry->flags |= ENTRY_FETCHED;
	if (!pin->found)
		return SB_OK;
	if (state->kind == SB_STATE_STRUCT) {
		if (pin->value.len != state->value_size)
			return error_set(err, SB_ERR_CORRUPT,
					 "%s returned %llu bytes for a value of state '%s', which has %u",
					 ks->config.backend->name, (unsigned long long)pin->value.len, state->name,
					 state->value_size);
		memcpy(entry->value, pin->value.ptr, pin->value.len);
	} else if (pin->value.len > KEYED_STATE_VALUE_MAX) {
		return error_set(err, SB_ERR_CORRUPT,
				 "%s returned %llu bytes for a value of state '%s'; 64 MiB is the most",
				 ks->config.backend->name, (unsigned long long)pin->value.len, state->name);
	} else {
		TRY(working_set_set_value(&ks->set, entry, pin->value, err));
	}
	entry->expiry_ms = pin->expiry_ms;
	entry->flags |= ENTRY_PRESENT;
	return SB_OK;
}

int32_t keyed_state_fetch(struct keyed_state *ks, struct entry **entries, uint64_t n, sb_error *err)
{
	struct instance *backend = ks->config.backend;
	int32_t status;

	if (ks->complete) {
		for (uint64_t i = 0; i < n; i++)
			entries[i]->flags |= ENTRY_FETCHED;
		return SB_OK;
	}
	TRY(reserve_misses(ks, n, err));
	for (uint64_t i = 0; i < n; i++)
		ks->miss_keys[i] = entry_key(entries[i]);
	memset(ks->miss_pins, 0, n * sizeof(*ks->miss_pins));
	status = CALL_PLUGIN(&backend->calls, "multi_get", err,
			     ks->ops->multi_get(backend->backend, n, ks->miss_keys, ks->miss_pins, err));
	if (status != SB_OK)
		return instance_fault(backend, "multi_get", status, err);
	for (uint64_t i = 0; status == SB_OK && i < n; i++)
		status = take_answer(ks, entries[i], &ks->miss_pins[i], err);
	MARK_CALL(&backend->calls, "unpin", ks->ops->unpin(backend->backend, n, ks->miss_pins));
	return status;
}

static inline void hash_rows(struct keyed_state *ks, uint64_t event)
{
	uint64_t *hashes = ks->row_hashes + event * ks->struct_count;

	for (uint32_t column = 0; column < ks->struct_count; column++) {
		hashes[column] = working_set_hash(&ks->set, ks->struct_states[column], ks->events[event].key);
		working_set_prefetch(&ks->set, hashes[column]);
	}
}

static inline void prefetch_rows(const struct keyed_state *ks, uint64_t event)
{
	const uint64_t *hashes = ks->row_hashes + event * ks->struct_count;

	for (uint32_t column = 0; column < ks->struct_count; column++)
		working_set_prefetch_entry(&ks->set, hashes[column]);
}

/* Puts what has to be fetched behind the misses there are. */
static inline int32_t find_rows_of(struct keyed_state *ks, uint64_t event, uint64_t *misses, sb_error *err)
{
	const uint32_t key_group = key_group_of(ks->hashes[event], ks->config.key_groups);
	const uint64_t first = event * ks->struct_count;

	for (uint32_t column = 0; column < ks->struct_count; column++) {
		const uint32_t index = ks->struct_states[column];
		const struct schema_state *state = &ks->config.schema->states[index];
		struct entry *entry =
			working_set_find_or_add(&ks->set, ks->row_hashes[first + column], index, key_group, state->id,
						ks->events[event].key, state->value_size);

		if (!entry)
			return error_no_memory(err);
		__builtin_prefetch(entry->value + state->value_size - 1); /* a long value's end */
		ks->rows[first + column] = entry;
		/* A new entry is marked here, so that a second event of its key does not ask again. */
		if (!(entry->flags & (ENTRY_FETCHED | ENTRY_REFERENCED)))
			ks->misses[(*misses)++] = entry;
		entry->flags |= ENTRY_REFERENCED;
	}
	return SB_OK;
}

/* An event's slots, then its entries are on their way from memory while others are looked up: one of each in turn, since a
 * processor waits for fetches that come in bursts. */
static int32_t find_rows(struct keyed_state *ks, uint64_t *ret_misses, sb_error *err)
{
	const uint64_t batch = ks->batch;
	uint64_t misses = 0;

	for (uint64_t event = 0; event < batch + 2 * LOOK_AHEAD; event++) {
		if (event < batch)
			hash_rows(ks, event);
		if (event - LOOK_AHEAD < batch)
			prefetch_rows(ks, event - LOOK_AHEAD);
		if (event - 2 * LOOK_AHEAD < batch)
			TRY(find_rows_of(ks, event - 2 * LOOK_AHEAD, &misses, err));
	}
	ks->stats.hits += batch * ks->struct_count - misses;
	ks->stats.misses += misses;
	*ret_misses = misses;
	return SB_OK;
}

static int32_t begin(struct keyed_state *ks, sb_error *err)
{
	uint64_t rows = ks->batch * ks->struct_count;
	uint64_t misses;

	if (rows == 0)
		return SB_OK;
	if (ks->in_place.ops)
		return in_place_begin(ks, err);
	TRY(reserve_rows(ks, rows, err));
	TRY(reserve_misses(ks, rows, err));
	TRY(working_set_reserve(&ks->set, rows, err));
	TRY(find_rows(ks, &misses, err));
	return misses ? keyed_state_fetch(ks, ks->misses, misses, err) : SB_OK;
}

int32_t keyed_state_begin(struct keyed_state *ks, const sb_event *events, const uint64_t *hashes, uint64_t n,
			  sb_error *err)
{
	int32_t status;

	TRY(keyed_state_failure(ks, err));
	ks->events = events;
	ks->hashes = hashes;
	ks->batch = n;
	status = begin(ks, err);
	if (status != SB_OK)
		return keyed_state_fail(ks, status, err);
	ks->open_events = n;
	return SB_OK;
}

int32_t keyed_state_end(struct keyed_state *ks, sb_error *err)
{
	int32_t status;

	TRY(keyed_state_failure(ks, err));
	ks->batch = ks->open_events = 0;
	status = in_place_end(ks, err);
	if (status == SB_OK)
		status = write_back_evict(ks, err);
	return status == SB_OK ? SB_OK : keyed_state_fail(ks, status, err);
}

int32_t keyed_state_flush(struct keyed_state *ks, sb_error *err)
{
	int32_t status;

	TRY(keyed_state_failure(ks, err));
	assert(!ks->sealed);
	status = write_back_all(ks, err);
	return status == SB_OK ? SB_OK : keyed_state_fail(ks, status, err);
}

void keyed_state_freeze(struct keyed_state *ks)
{
	assert(!ks->sealed && ks->batch == 0);
	working_set_freeze(&ks->set);
	ks->thaw_list = 0;
	ks->thaw_sorted = 0;
	ks->sealed = true;
}

int32_t keyed_state_thaw(struct keyed_state *ks, uint64_t max, sb_error *err)
{
	int32_t status;

	TRY(keyed_state_failure(ks, err));
	status = write_back_thaw(ks, max, err);
	return status == SB_OK ? SB_OK : keyed_state_fail(ks, status, err);
}

uint64_t keyed_state_frozen(const struct keyed_state *ks)
{
	return ks->sealed ? working_set_frozen(&ks->set)->count : 0;
}

void keyed_state_release(struct keyed_state *ks)
{
	assert(ks->sealed && keyed_state_frozen(ks) == 0);
	ks->sealed = false;
}

int32_t keyed_state_refuse_call(struct keyed_state *ks, uint32_t state, uint64_t event, uint32_t kind)
{
	sb_error err = ERROR_INIT;

	if (ks->failure != SB_OK)
		return ks->failure;
	error_set(&err, SB_ERR_INVALID,
		  "the operator asked for state %u of event %llu as a %s state: its batch has %llu events, and it "
		  "declares %llu states",
		  state, (unsigned long long)event, kind == SB_STATE_STRUCT ? "struct" : "raw",
		  (unsigned long long)ks->batch, (unsigned long long)ks->config.schema->count);
	return keyed_state_fail(ks, SB_ERR_INVALID, &err);
}

void keyed_state_get_stats(const struct keyed_state *ks, struct keyed_state_stats *ret_stats)
{
	*ret_stats = ks->stats;
	ret_stats->gets += ks->upserts;
	ret_stats->puts += ks->upserts;
	ret_stats->cached_entries = ks->set.count;
	ret_stats->cached_bytes = ks->set.bytes;
	ret_stats->dirty_entries = ks->set.changes[0].count + ks->set.changes[1].count;
}
