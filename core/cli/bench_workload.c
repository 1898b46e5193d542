/* See bench_workload.h. */
#include "cli/bench_workload.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/slice.h"
#include "state/keyed_state.h"

#define MAINTAIN_BUDGET 512u /* as between the batches of a job */
#define WALK_ENTRIES 1024u

struct value {
	uint64_t changes;
	uint64_t number; /* of its key */
	uint8_t rest[BENCH_VALUE_BYTES - 16];
};

struct bench {
	const struct bench_workload *workload;
	struct instance *backend;
	const sb_backend_ops *ops;
	struct keyed_state *state;
	struct bench_keys keys;
	uint32_t *changes; /* per key: what its entry must have counted */
	/* The batch at hand. */
	uint64_t numbers[BENCH_BATCH];
	uint64_t hashes[BENCH_BATCH];
	uint8_t key_bytes[BENCH_BATCH][BENCH_KEY_BYTES];
	sb_slice key_slices[BENCH_BATCH];
	struct value values[BENCH_BATCH];
	sb_pin pins[BENCH_BATCH];
	sb_op ops_out[BENCH_BATCH];
	sb_event events[BENCH_BATCH];
};

static const sb_schema_field changes_field = {
	.struct_size = sizeof(sb_schema_field), .type = SB_TYPE_UINT, .offset = 0, .size = 8, .name = "changes"};
static const sb_schema_field number_field = {
	.struct_size = sizeof(sb_schema_field), .type = SB_TYPE_UINT, .offset = 8, .size = 8, .name = "number"};
static const sb_schema_field rest_field = {.struct_size = sizeof(sb_schema_field),
					   .type = SB_TYPE_BYTES,
					   .offset = 16,
					   .size = BENCH_VALUE_BYTES - 16,
					   .name = "rest"};
static const sb_schema_field *const fields[] = {&changes_field, &number_field, &rest_field};

/* One struct state, as an operator would declare it. */
static int32_t make_schema(struct schema *ret_schema, sb_error *err)
{
	sb_state state = {.struct_size = sizeof(sb_state),
			  .kind = SB_STATE_STRUCT,
			  .value_size = sizeof(struct value),
			  .ttl_ms = SB_TTL_NONE,
			  .name = "bench",
			  .fields = fields,
			  .field_count = sizeof(fields) / sizeof(fields[0])};
	const struct component operator= {.kind = SB_KIND_OPERATOR, .states = &state, .state_count = 1};

	return schema_from_component(&operator, 0, ret_schema, err);
}

static void set_key(struct bench *b, uint32_t i, uint64_t number)
{
	sb_slice user = {.ptr = b->key_bytes[i] + COMPOSED_PREFIX_BYTES, .len = BENCH_USER_KEY_BYTES};

	b->numbers[i] = number;
	bench_key_text(number, b->key_bytes[i] + COMPOSED_PREFIX_BYTES);
	b->hashes[i] = key_hash(user);
	composed_put_prefix(b->key_bytes[i], key_group_of(b->hashes[i], KEY_GROUPS_DEFAULT), 0);
	b->key_slices[i] = slice_of(b->key_bytes[i], BENCH_KEY_BYTES);
	b->events[i] = (sb_event){.key = user};
}

static int32_t call(const struct bench *b, const char *name, int32_t status, sb_error *err)
{
	return status == SB_OK ? SB_OK : instance_fault(b->backend, name, status, err);
}

static int32_t write_values(struct bench *b, uint32_t n, sb_error *err)
{
	for (uint32_t i = 0; i < n; i++)
		b->ops_out[i] = (sb_op){.kind = SB_OP_PUT,
					.key = b->key_slices[i],
					.value = slice_of((const uint8_t *)&b->values[i], sizeof(b->values[i]))};
	instance_expect(err);
	return call(b, "write_batch", b->ops->write_batch(b->backend->backend, n, b->ops_out, err), err);
}

static int32_t maintain(struct bench *b, sb_error *err)
{
	uint64_t purged;
	int32_t status;

	instance_expect(err);
	status = b->ops->maintain(b->backend->backend, MAINTAIN_BUDGET, &purged, err);
	return status == SB_ERR_UNSUPPORTED ? SB_OK : call(b, "maintain", status, err);
}

static int32_t check_wanted(const struct bench *b, sb_error *err)
{
	if (!b->workload->is_wanted(b->workload->context))
		return error_set(err, SB_ERR_BUSY, "interrupted");
	return SB_OK;
}

static int32_t load(struct bench *b, uint64_t *ret_count, sb_error *err)
{
	for (uint64_t done = 0; done < b->keys.count;) {
		uint64_t left = b->keys.count - done;
		uint32_t n = left < BENCH_BATCH ? (uint32_t)left : BENCH_BATCH;

		TRY(check_wanted(b, err));
		for (uint32_t i = 0; i < n; i++) {
			set_key(b, i, bench_keys_scatter(&b->keys, done + i));
			b->values[i] = (struct value){.number = b->numbers[i]};
			memset(b->values[i].rest, (int)(b->numbers[i] & 0xff), sizeof(b->values[i].rest));
		}
		TRY(write_values(b, n, err));
		TRY(maintain(b, err));
		done += n;
	}
	*ret_count = b->keys.count;
	return SB_OK;
}

static void pick_batch(struct bench *b, bool zipf)
{
	for (uint32_t i = 0; i < BENCH_BATCH; i++)
		set_key(b, i, bench_keys_pick(&b->keys, zipf));
}

static int32_t check_value(const struct bench *b, uint64_t number, sb_slice bytes, sb_error *err)
{
	struct value value;

	if (bytes.len != sizeof(value))
		return error_set(err, SB_ERR_CORRUPT, "%s returned %llu bytes for user-%011llu, which has %zu",
				 b->backend->component->id, (unsigned long long)bytes.len, (unsigned long long)number,
				 sizeof(value));
	memcpy(&value, bytes.ptr, sizeof(value));
	if (value.number == number && value.changes == b->changes[number])
		return SB_OK;
	return error_set(err, SB_ERR_CORRUPT,
			 "%s lost writes: the entry of user-%011llu has counted %llu changes, and there were %u",
			 b->backend->component->id, (unsigned long long)number, (unsigned long long)value.changes,
			 b->changes[number]);
}

/* All were read before any is changed; of a key that comes twice the last put carries both changes. */
static int32_t change_values(struct bench *b, sb_error *err)
{
	for (uint32_t i = 0; i < BENCH_BATCH; i++) {
		if (!b->pins[i].found)
			return error_set(err, SB_ERR_CORRUPT, "%s does not find user-%011llu, which was put",
					 b->backend->component->id, (unsigned long long)b->numbers[i]);
		TRY(check_value(b, b->numbers[i], b->pins[i].value, err));
		memcpy(&b->values[i], b->pins[i].value.ptr, sizeof(b->values[i]));
	}
	for (uint32_t i = 0; i < BENCH_BATCH; i++)
		b->values[i].changes = ++b->changes[b->numbers[i]];
	return SB_OK;
}

static int32_t change_batch(struct bench *b, bool zipf, sb_error *err)
{
	int32_t status;

	pick_batch(b, zipf);
	memset(b->pins, 0, sizeof(b->pins));
	instance_expect(err);
	TRY(call(b, "multi_get", b->ops->multi_get(b->backend->backend, BENCH_BATCH, b->key_slices, b->pins, err),
		 err));
	status = change_values(b, err);
	b->ops->unpin(b->backend->backend, BENCH_BATCH, b->pins);
	TRY(status);
	TRY(write_values(b, BENCH_BATCH, err));
	return maintain(b, err);
}

static int32_t upsert_batch(struct bench *b, bool zipf, sb_error *err)
{
	pick_batch(b, zipf);
	TRY(keyed_state_begin(b->state, b->events, b->hashes, BENCH_BATCH, err));
	for (uint32_t i = 0; i < BENCH_BATCH; i++) {
		struct value *value = keyed_state_upsert(b->state, 0, i, NULL);

		if (!value)
			return keyed_state_failure(b->state, err);
		value->changes++;
		b->changes[b->numbers[i]]++;
	}
	TRY(keyed_state_end(b->state, err));
	return maintain(b, err);
}

typedef int32_t batch_fn(struct bench *b, bool zipf, sb_error *err);

static int32_t repeat(struct bench *b, batch_fn *batch, bool zipf, uint64_t *ret_count, sb_error *err)
{
	int64_t end_ns = clock_monotonic_ns(b->workload->clock) + b->workload->part_ns;
	uint64_t count = 0;

	do {
		TRY(check_wanted(b, err));
		TRY(batch(b, zipf, err));
		count += BENCH_BATCH;
	} while (clock_monotonic_ns(b->workload->clock) < end_ns);
	*ret_count = count;
	return SB_OK;
}

static int32_t check_entry(const struct bench *b, const sb_entry *entry, sb_error *err)
{
	uint64_t number = UINT64_MAX;

	if (entry->key.len == BENCH_KEY_BYTES)
		number = bench_key_number(composed_user_part(entry->key));
	if (number >= b->keys.count)
		return error_set(err, SB_ERR_CORRUPT, "%s returned an entry that was never put",
				 b->backend->component->id);
	return check_value(b, number, entry->value, err);
}

/* Without checking for the figure, then with it for the truth. */
static int32_t walk(struct bench *b, bool check, uint64_t *ret_count, sb_error *err)
{
	const sb_iter_options all = {.struct_size = sizeof(all)};
	AUTO(free_memory) sb_entry *entries = malloc(WALK_ENTRIES * sizeof(*entries));
	uint64_t count = 0, n;
	sb_iter *iter;
	int32_t status;

	if (!entries)
		return error_no_memory(err);
	instance_expect(err);
	TRY(call(b, "iter_open", b->ops->iter_open(b->backend->backend, &all, &iter, err), err));
	do {
		instance_expect(err);
		n = 0;
		status = call(b, "iter_next", b->ops->iter_next(iter, WALK_ENTRIES, entries, &n, err), err);
		for (uint64_t i = 0; check && status == SB_OK && i < n; i++)
			status = check_entry(b, &entries[i], err);
		count += n;
	} while (status == SB_OK && n);
	b->ops->iter_close(iter);
	*ret_count = count;
	return status;
}

static int32_t check_all(struct bench *b, sb_error *err)
{
	uint64_t count;

	TRY(walk(b, true, &count, err));
	if (count != b->keys.count)
		return error_set(err, SB_ERR_CORRUPT, "%s holds %llu entries, and there should be %llu",
				 b->backend->component->id, (unsigned long long)count,
				 (unsigned long long)b->keys.count);
	return SB_OK;
}

static int32_t run_part(struct bench *b, enum bench_part part, uint64_t *ret_count, sb_error *err)
{
	const bool zipf = part == BENCH_ZIPF || part == BENCH_STATE_ZIPF;

	if (part == BENCH_LOAD)
		return load(b, ret_count, err);
	if (part == BENCH_WALK)
		return walk(b, false, ret_count, err);
	if (part == BENCH_UNIFORM || part == BENCH_ZIPF)
		return repeat(b, change_batch, zipf, ret_count, err);
	/* Writing back what is left in the cache is part of the price. */
	TRY(repeat(b, upsert_batch, zipf, ret_count, err));
	return keyed_state_flush(b->state, err);
}

static int32_t run_parts(struct bench *b, struct bench_figures *ret_figures, sb_error *err)
{
	for (enum bench_part part = 0; part < BENCH_PARTS; part++) {
		int64_t start_ns = clock_monotonic_ns(b->workload->clock);
		uint64_t count = 0;

		TRY(run_part(b, part, &count, err));
		ret_figures->per_second[part] =
			(double)count * 1e9 / (double)(clock_monotonic_ns(b->workload->clock) - start_ns);
	}
	return check_all(b, err);
}

int32_t bench_workload_run(const struct bench_workload *workload, struct instance *backend,
			   struct bench_figures *ret_figures, sb_error *err)
{
	AUTO(free_memory) struct bench *b = calloc(1, sizeof(*b));
	AUTO(free_memory) uint32_t *changes = calloc(workload->keys, sizeof(*changes));
	const bool in_memory = backend->component->flags & SB_BACKEND_IN_MEMORY;
	struct bench_figures figures = {{0}};
	struct schema schema;
	int32_t status;

	if (!b || !changes)
		return error_no_memory(err);
	TRY(make_schema(&schema, err));
	b->workload = workload;
	b->backend = backend;
	b->ops = &backend->component->backend;
	b->changes = changes;
	bench_keys_init(&b->keys, workload->keys, workload->seed);
	status = keyed_state_open(&(struct keyed_state_config){.backend = backend,
							       .schema = &schema,
							       .key_groups = KEY_GROUPS_DEFAULT,
							       .cache_bytes = in_memory ? 0 : workload->cache_bytes},
				  &b->state, err);
	if (status == SB_OK)
		status = run_parts(b, &figures, err);
	keyed_state_close(b->state);
	schema_done(&schema);
	if (status == SB_OK)
		*ret_figures = figures;
	return status;
}
