/* See model.h. */
#include "simulation/model.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "simulation/disk.h"

#define BEGINNING_MS INT64_C(1700000000000)

static void make_record(struct partition_input *partition, struct record *record, struct rng *rng, int64_t *time_ms)
{
	*time_ms += (int64_t)rng_below(rng, 40);
	record->begin = (int64_t)partition->text.len;
	record->key = (unsigned)rng_below(rng, partition->keys);
	record->value = (unsigned)rng_below(rng, FORGET + 1);
	record->time_ms = *time_ms - (int64_t)rng_below(rng, 60);
	record->bad = rng_chance(rng, 2);
	if (record->bad)
		buffer_append_text(&partition->text, "{\"value\":0}\n");
	else
		buffer_printf(&partition->text, "{\"key\":\"%c%u\",\"value\":%u,\"time\":%" PRId64 "}\n",
			      partition->prefix, record->key, record->value, record->time_ms);
	record->end = (int64_t)partition->text.len;
}

static void make_partition(struct partition_input *partition, unsigned index, struct rng *rng)
{
	int64_t time_ms = BEGINNING_MS + (int64_t)rng_below(rng, 1000);

	*partition = (struct partition_input){
		.prefix = (char)('a' + index),
		.count = 1 + (unsigned)rng_below(rng, rng_chance(rng, 20) ? 2500 : 500),
		.keys = 1 + (unsigned)rng_below(rng, KEYS_MAX),
	};
	partition->is_stream = index == 0 && rng_chance(rng, 30);
	if (partition->is_stream)
		snprintf(partition->path, sizeof(partition->path), "-");
	else
		snprintf(partition->path, sizeof(partition->path), DISK_ROOT "/in-%u.ndjson", index);
	partition->records = calloc(partition->count, sizeof(*partition->records));
	if (!partition->records)
		abort();
	for (unsigned i = 0; i < partition->count; i++)
		make_record(partition, &partition->records[i], rng, &time_ms);
}

int64_t input_bytes(const struct partition_input *partition)
{
	return partition->there ? partition->records[partition->there - 1].end : 0;
}

bool input_is_whole(const struct input *input)
{
	for (unsigned i = 0; i < input->partition_count; i++)
		if (input->partitions[i].there < input->partitions[i].count)
			return false;
	return true;
}

void input_grow(struct input *input, struct rng *rng, bool to_the_end)
{
	for (unsigned i = 0; i < input->partition_count; i++) {
		struct partition_input *partition = &input->partitions[i];

		partition->there += to_the_end || partition->is_stream
					    ? partition->count - partition->there
					    : (unsigned)rng_below(rng, partition->count - partition->there + 1);
		if (!partition->is_stream)
			disk_put(partition->path, partition->text.data, (size_t)input_bytes(partition));
	}
}

/* A file that has been read to its end no longer holds time back for the others' keys, nor they for its own, so what expires in it while it is not
 * read is not decided by its own time. Then it is whole from the beginning. */
static bool may_grow(const struct input *input)
{
	return input->partition_count == 1 || input->ttl_ms == 0;
}

void input_init(struct input *input, struct rng *rng)
{
	*input = (struct input){.partition_count = 1 + (unsigned)rng_below(rng, PARTITIONS_MAX)};
	input->ttl_ms = rng_chance(rng, 60) ? 1 + (int64_t)rng_below(rng, 3000) : 0;
	for (unsigned i = 0; i < input->partition_count; i++)
		make_partition(&input->partitions[i], i, rng);
	input_grow(input, rng, !may_grow(input) || rng_chance(rng, 50));
}

int input_records_before(const struct partition_input *partition, int64_t offset)
{
	unsigned n = 0;

	while (n < partition->count && partition->records[n].end <= offset)
		n++;
	return offset == (n ? partition->records[n - 1].end : 0) ? (int)n : -1;
}

static bool is_alive(int64_t expiry_ms, int64_t clock_ms)
{
	return expiry_ms > clock_ms;
}

static void count_value(struct key_state *key, unsigned value, int64_t clock_ms, int64_t expiry_ms)
{
	if (!key->times[value] || !is_alive(key->times_expiry_ms[value], clock_ms))
		key->times[value] = 0;
	key->times[value]++;
	key->times_expiry_ms[value] = expiry_ms;
}

static int64_t count_different(const struct key_state *key, int64_t clock_ms)
{
	int64_t different = 0;

	for (unsigned value = 0; value <= FORGET; value++)
		different += key->times[value] && is_alive(key->times_expiry_ms[value], clock_ms);
	return different;
}

static void apply(struct partition_state *state, struct record *record, int64_t ttl_ms)
{
	struct key_state *key = &state->keys[record->key];
	int64_t clock_ms, expiry_ms;

	state->bad += record->bad;
	if (record->bad)
		return;
	state->good++;
	if (record->time_ms > state->watermark_ms)
		state->watermark_ms = record->time_ms;
	clock_ms = state->watermark_ms;
	expiry_ms = ttl_ms ? clock_ms + ttl_ms : NEVER;
	if (record->value == FORGET) {
		key->has_counter = false;
		return;
	}
	if (!key->has_counter || !is_alive(key->expiry_ms, clock_ms))
		key->count = key->sum = 0;
	key->has_counter = true;
	key->count++;
	key->sum += record->value;
	key->expiry_ms = expiry_ms;
	count_value(key, record->value, clock_ms, expiry_ms);
	record->emits = true;
	record->count = key->count;
	record->sum = key->sum;
	record->different = count_different(key, clock_ms);
}

void model_compute(const struct input *input, unsigned partition, unsigned records, struct partition_state *ret_state)
{
	memset(ret_state, 0, sizeof(*ret_state));
	ret_state->watermark_ms = INT64_MIN;
	for (unsigned i = 0; i < records; i++)
		apply(ret_state, &input->partitions[partition].records[i], input->ttl_ms);
}
