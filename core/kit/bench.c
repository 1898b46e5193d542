/* The operator under test: see bench.h. */
#include "kit/bench.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/json_write.h"
#include "base/slice.h"

#define RAW_SUB_KEY_MAX (512u << 10)

/* A struct that the operator holds until process() returns. */
struct live {
	uint32_t state;
	sb_slice key;
	void *bytes;
	bool written, deleted;
};

static struct bench *bench_of(sb_task *task)
{
	return (struct bench *)task;
}

/* --- keys of the map ---------------------------------------------------------------- */

/* State, length of the key, key, sub-key: one key's entries lie together, in the order of their sub-keys. */
static sb_slice map_key(struct bench *b, uint32_t state, sb_slice key, sb_slice sub_key)
{
	const uint64_t len = 8 + key.len + sub_key.len;
	uint8_t *at = arena_alloc(&b->memory, len);

	if (!at)
		trial_fail(b->trial, "out of memory");
	for (unsigned i = 0; i < 4; i++) {
		at[i] = (uint8_t)(state >> (24 - 8 * i));
		at[4 + i] = (uint8_t)(key.len >> (24 - 8 * i));
	}
	memcpy(at + 8, key.ptr, key.len);
	if (sub_key.len)
		memcpy(at + 8 + key.len, sub_key.ptr, sub_key.len);
	return slice_of(at, len);
}

/* --- what the operator may name ----------------------------------------------------- */

static const sb_state *check_state(struct bench *b, const char *call, uint32_t state, uint32_t kind, uint64_t event)
{
	if (!b->events)
		trial_fail(b->trial, "it called %s outside of process()", call);
	if (event >= b->event_count)
		trial_fail(b->trial, "%s names event %llu of a batch of %llu", call, (unsigned long long)event,
			   (unsigned long long)b->event_count);
	if (state >= b->component->state_count)
		trial_fail(b->trial, "%s names state %u, and it declares %llu", call, state,
			   (unsigned long long)b->component->state_count);
	if (b->component->states[state].kind != kind)
		trial_fail(b->trial, "%s names state %s, which is of the other kind", call,
			   b->component->states[state].name);
	return &b->component->states[state];
}

/* --- struct states ------------------------------------------------------------------ */

static struct live *find_live(struct bench *b, uint32_t state, sb_slice key)
{
	for (uint64_t i = 0; i < b->live_count; i++)
		if (b->live[i].state == state && slice_equal(b->live[i].key, key))
			return &b->live[i];
	return NULL;
}

static void fill_defaults(const sb_state *state, uint8_t *bytes)
{
	for (uint64_t i = 0; i < state->field_count; i++) {
		const sb_schema_field *field = state->fields[i];

		if (field->default_value)
			memcpy(bytes + field->offset, field->default_value, field->size);
	}
}

static void give_bytes(struct bench *b, struct live *live, const struct model_entry *entry, const sb_state *state)
{
	live->bytes = arena_alloc(&b->memory, state->value_size);
	if (!live->bytes)
		trial_fail(b->trial, "out of memory");
	memset(live->bytes, 0, state->value_size);
	if (entry)
		memcpy(live->bytes, entry->value.ptr, state->value_size);
	else
		fill_defaults(state, live->bytes);
}

/* NULL when there is no entry and none is to be made. */
static struct live *take_live(struct bench *b, uint32_t state, uint64_t event, bool create, bool *ret_created)
{
	const sb_slice key = b->events[event].key;
	struct live *live = find_live(b, state, key);
	const struct model_entry *entry = model_find(&b->state, map_key(b, state, key, slice_of(NULL, 0)));
	const bool there = live ? !live->deleted : entry != NULL;

	*ret_created = !there;
	if (!there && !create)
		return NULL;
	if (!live) {
		if (b->live_count == BENCH_LIVE_MAX)
			trial_fail(b->trial, "it takes more than %u structs in one batch", BENCH_LIVE_MAX);
		live = &b->live[b->live_count++];
		*live = (struct live){.state = state, .key = key};
	}
	if (!live->bytes || live->deleted) {
		give_bytes(b, live, live->deleted ? NULL : entry, &b->component->states[state]);
		live->deleted = false;
	}
	return live;
}

static void *state_upsert(sb_task *task, uint32_t state, uint64_t event, int32_t *ret_created)
{
	struct bench *b = bench_of(task);
	struct live *live;
	bool created;

	check_state(b, "state_upsert", state, SB_STATE_STRUCT, event);
	live = take_live(b, state, event, true, &created);
	live->written = true;
	if (ret_created)
		*ret_created = created;
	return live->bytes;
}

static const void *state_peek(sb_task *task, uint32_t state, uint64_t event)
{
	struct bench *b = bench_of(task);
	const struct live *live;
	bool created;

	check_state(b, "state_peek", state, SB_STATE_STRUCT, event);
	live = take_live(b, state, event, false, &created);
	return live ? live->bytes : NULL;
}

static int32_t state_delete(sb_task *task, uint32_t state, uint64_t event)
{
	struct bench *b = bench_of(task);
	struct live *live;
	bool created;

	check_state(b, "state_delete", state, SB_STATE_STRUCT, event);
	live = take_live(b, state, event, false, &created);
	if (live) {
		live->deleted = true;
		live->written = true;
	}
	return SB_OK;
}

/* --- raw states --------------------------------------------------------------------- */

static sb_slice raw_key(struct bench *b, const char *call, uint32_t state, uint64_t event, sb_slice sub_key)
{
	check_state(b, call, state, SB_STATE_RAW, event);
	if (sub_key.len > RAW_SUB_KEY_MAX || (sub_key.len && !sub_key.ptr))
		trial_fail(b->trial, "%s has a sub-key of %llu bytes", call, (unsigned long long)sub_key.len);
	return map_key(b, state, b->events[event].key, sub_key);
}

static int32_t raw_get(sb_task *task, uint32_t state, uint64_t event, sb_slice sub_key, sb_slice *ret_value,
		       int32_t *ret_found)
{
	struct bench *b = bench_of(task);
	const struct model_entry *entry = model_find(&b->state, raw_key(b, "raw_get", state, event, sub_key));

	*ret_found = entry != NULL;
	*ret_value = entry ? entry->value : slice_of(NULL, 0);
	return SB_OK;
}

static int32_t raw_put(sb_task *task, uint32_t state, uint64_t event, sb_slice sub_key, sb_slice value, int64_t ttl_ms)
{
	struct bench *b = bench_of(task);
	const sb_slice key = raw_key(b, "raw_put", state, event, sub_key);

	if (value.len && !value.ptr)
		trial_fail(b->trial, "raw_put has a value of %llu bytes at NULL", (unsigned long long)value.len);
	if (ttl_ms < SB_TTL_JOB)
		trial_fail(b->trial, "raw_put has ttl_ms %lld", (long long)ttl_ms);
	model_put(&b->state, key, value, SB_NO_EXPIRY);
	return SB_OK;
}

static int32_t raw_delete(sb_task *task, uint32_t state, uint64_t event, sb_slice sub_key)
{
	struct bench *b = bench_of(task);

	model_delete(&b->state, raw_key(b, "raw_delete", state, event, sub_key));
	return SB_OK;
}

static int32_t raw_scan(sb_task *task, uint32_t state, uint64_t event, sb_slice prefix, sb_scan_fn fn, void *arg)
{
	struct bench *b = bench_of(task);
	const sb_slice from = raw_key(b, "raw_scan", state, event, prefix);
	const uint64_t head = from.len - prefix.len;

	for (size_t i = 0; i < b->state.count; i++) {
		const struct model_entry *entry = &b->state.entries[i];

		if (entry->key.len >= from.len && memcmp(entry->key.ptr, from.ptr, from.len) == 0)
			TRY(fn(arg, slice_of(entry->key.ptr + head, entry->key.len - head), entry->value));
	}
	return SB_OK;
}

/* --- records ------------------------------------------------------------------------ */

static void check_value(struct bench *b, const sb_field *field, const sb_value *value)
{
	if (value->len == SB_NULL) {
		if (!(field->flags & SB_FIELD_OPTIONAL))
			trial_fail(b->trial, "it emitted no value for %s, which is not optional", field->name);
		return;
	}
	switch (field->type) {
	case SB_TYPE_STRING:
		if ((value->len && !value->as.ptr) || !utf8_is_valid(slice_of(value->as.ptr, value->len)))
			trial_fail(b->trial, "what it emitted for %s is not UTF-8", field->name);
		return;
	case SB_TYPE_BOOL:
		if (value->as.i64 != 0 && value->as.i64 != 1)
			trial_fail(b->trial, "it emitted %lld for %s, a bool", (long long)value->as.i64, field->name);
		return;
	case SB_TYPE_F64:
		if (!isfinite(value->as.f64))
			trial_fail(b->trial, "what it emitted for %s is no finite number", field->name);
		return;
	default:
		return;
	}
}

static void append_value(struct buffer *out, const sb_field *field, const sb_value *value)
{
	buffer_append(out, &value->len, sizeof(value->len));
	if (value->len == SB_NULL)
		return;
	if (field->type == SB_TYPE_STRING)
		buffer_append(out, value->as.ptr, value->len);
	else
		buffer_append(out, &value->as.i64, sizeof(value->as.i64));
}

static int32_t emit(sb_task *task, uint64_t event, const sb_value *values)
{
	struct bench *b = bench_of(task);

	if (!b->events || event >= b->event_count)
		trial_fail(b->trial, "emit names event %llu of a batch of %llu", (unsigned long long)event,
			   (unsigned long long)b->event_count);
	for (uint64_t i = 0; i < b->component->output_count; i++) {
		check_value(b, &b->component->outputs[i], &values[i]);
		append_value(&b->records, &b->component->outputs[i], &values[i]);
	}
	return SB_OK;
}

static void *scratch(sb_task *task, uint64_t size_bytes)
{
	return arena_alloc(&bench_of(task)->memory, size_bytes);
}

/* --- life ---------------------------------------------------------------------------- */

static void init_task(struct bench *b)
{
	b->task = (sb_task){
		.struct_size = sizeof(sb_task),
		.task_count = 1,
		.state_upsert = state_upsert,
		.state_peek = state_peek,
		.state_delete = state_delete,
		.raw_get = raw_get,
		.raw_put = raw_put,
		.raw_delete = raw_delete,
		.raw_scan = raw_scan,
		.emit = emit,
		.scratch = scratch,
	};
}

int32_t bench_open(struct bench *b, sb_error *err)
{
	const unsigned slot = witness_enter(b->trial->witness, "open");
	const int32_t status =
		instance_open_operator(b->component, "operator-0", &b->options, &b->task, &b->env, &b->instance, err);

	witness_leave(b->trial->witness, slot);
	return status;
}

void bench_must_open(struct bench *b)
{
	sb_error err = ERROR_INIT;

	if (bench_open(b, &err) != SB_OK)
		trial_fail(b->trial, "%s", err.message);
}

void bench_close(struct bench *b)
{
	const unsigned slot = witness_enter(b->trial->witness, "close");

	instance_close(b->instance);
	witness_leave(b->trial->witness, slot);
	b->instance = NULL;
}

void bench_init(struct bench *b, const struct trial *trial)
{
	sb_error err = ERROR_INIT;

	memset(b, 0, sizeof(*b));
	b->trial = trial;
	process_look(trial, &b->before);
	rng_init(&b->rng, trial->seed);
	fake_clock_init(&b->clock, START_MS * 1000000);
	b->log = (struct log){.fd = -1, .clock = &b->clock.clock};
	b->env = (struct plugin_env){.log = &b->log, .clock = &b->clock.clock};
	model_init(&b->state);
	init_task(b);
	b->live = calloc(BENCH_LIVE_MAX, sizeof(*b->live));
	b->plugin = kit_load(trial);
	if (!b->live || trial->component >= b->plugin->component_count)
		trial_fail(trial, "out of memory, or it has fewer components than before");
	b->component = &b->plugin->components[trial->component];
	if (option_set_parse(b->component, "--opt", trial->options, trial->option_count, &b->options, &err) != SB_OK)
		trial_fail(trial, "%s", err.message);
	bench_must_open(b);
}

void bench_done(struct bench *b)
{
	bench_close(b);
	option_set_done(&b->options);
	plugin_free(b->plugin);
	model_done(&b->state);
	buffer_done(&b->records);
	arena_done(&b->memory);
	free(b->live);
}

void bench_clear(struct bench *b)
{
	model_clear(&b->state);
	buffer_clear(&b->records);
}

/* --- processing ---------------------------------------------------------------------- */

static void write_back(struct bench *b)
{
	for (uint64_t i = 0; i < b->live_count; i++) {
		const struct live *live = &b->live[i];
		const sb_slice key = map_key(b, live->state, live->key, slice_of(NULL, 0));

		if (live->deleted)
			model_delete(&b->state, key);
		else if (live->written)
			model_put(&b->state, key, slice_of(live->bytes, b->component->states[live->state].value_size),
				  SB_NO_EXPIRY);
	}
}

int32_t bench_process(struct bench *b, const sb_event *events, uint64_t n, sb_error *err)
{
	int32_t status;

	b->events = events;
	b->event_count = n;
	instance_expect(err);
	status = CALL(b->trial->witness, &b->component->operator, process, b->instance->operator, events, n, err);
	if (status == SB_OK)
		write_back(b);
	b->events = NULL;
	b->event_count = 0;
	b->live_count = 0;
	/* What points into it from now on is a mistake that the sanitizer sees. */
	arena_done(&b->memory);
	return status;
}

void bench_run(struct bench *b, const sb_event *events, uint64_t n, uint64_t step)
{
	for (uint64_t at = 0; at < n; at += step) {
		sb_error err = ERROR_INIT;
		const int32_t status = bench_process(b, events + at, step < n - at ? step : n - at, &err);

		if (status != SB_OK)
			trial_fail(b->trial, "process of events as its declaration wants them: status %d, %s", status,
				   err.message);
	}
}

struct hash128 bench_digest(const struct bench *b)
{
	struct hash128 sum = hash128_of(buffer_slice(&b->records));

	for (size_t i = 0; i < b->state.count; i++) {
		const struct hash128 parts[2] = {hash128_of(b->state.entries[i].key),
						 hash128_of(b->state.entries[i].value)};

		sum = hash128_add(sum, hash128_of(slice_of(parts, sizeof(parts))));
	}
	return sum;
}
