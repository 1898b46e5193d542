/* The reader: takes records from the sources in turn, decodes them, and routes the events to the tasks.
 *
 * It owns all positions, so a barrier that it puts into the queues is a consistent cut of the input by
 * construction. It waits in two places only: for a free batch (back-pressure), and for input. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/number.h"
#include "base/slice.h"
#include "stream/dead_letter.h"
#include "stream/pipeline_private.h"

#define RECORDS_PER_TURN BATCH_EVENTS
#define KEY_BYTES_MAX ((size_t)64 << 10) /* leaves room for prefix, escapes and sub-keys below a backend's 1 MiB */
#define TICK_NS INT64_C(1000000000) /* an idle job's backends still purge */
#define MAX_WAIT_NS (60 * TICK_NS) /* in milliseconds it must fit poll's int */

struct reader {
	struct pipeline *p;
	struct batch **batches; /* being filled, one per task; NULL: none yet */
	sb_value *values; /* of the record at hand */
	struct arena arena; /* for its unescaped strings */
	uint32_t key_field, time_field; /* time_field == UINT32_MAX: the operator has none */
	bool key_is_text; /* else a number, whose digits are the key */
	uint64_t decoded; /* what is told of it in r->p->decoded lags behind within a turn */
	int64_t next_tick_ns;
	uint32_t turn; /* the partition that is next */
	struct pollfd *fds; /* room for all partitions and the pipeline's own */
	struct profile *watch;
};

static bool is_closing(const struct reader *r)
{
	return atomic_load(&r->p->closing);
}

static void update_clock(struct reader *r)
{
	int64_t now_ms = clock_wall_ms(r->p->config.clock);

	if (now_ms > r->p->clock_ms)
		r->p->clock_ms = now_ms;
}

/* No event that is decoded from now on has an earlier clock. */
static int64_t horizon(const struct reader *r)
{
	int64_t lowest = INT64_MAX;

	if (!r->p->config.event_time)
		return r->p->clock_ms;
	for (uint32_t i = 0; i < r->p->config.partition_count; i++) {
		const struct partition *partition = &r->p->config.partitions[i];

		if (!partition->finished && partition->watermark_ms < lowest)
			lowest = partition->watermark_ms;
	}
	return lowest == INT64_MAX ? INT64_MIN : lowest;
}

static bool send(struct reader *r, uint32_t task)
{
	struct batch *batch = r->batches[task];
	bool pushed;

	r->batches[task] = NULL;
	batch->horizon_ms = horizon(r);
	profile_lap(r->watch, PROFILE_DECODE);
	pushed = queue_push(&r->p->tasks[task].queue, batch);
	profile_lap(r->watch, PROFILE_WAIT);
	if (!pushed)
		batch_free(batch);
	return pushed;
}

/* The batch that collects for that task; NULL when the pipeline closes. */
static struct batch *batch_for(struct reader *r, uint32_t task)
{
	if (!r->batches[task]) {
		profile_lap(r->watch, PROFILE_DECODE);
		r->batches[task] = queue_pop(&r->p->free_batches);
		profile_lap(r->watch, PROFILE_WAIT);
	}
	return r->batches[task];
}

static void send_partial(struct reader *r)
{
	for (uint32_t i = 0; i < r->p->config.tasks; i++)
		if (r->batches[i])
			send(r, i);
}

/* What does not lie in the record's own block was unescaped into our arena, and must move to the batch's. */
static bool adopt_strings(struct reader *r, struct batch *batch, const struct source_record *record, sb_value *values)
{
	const sb_field *fields = r->p->config.operator->inputs;
	const uint8_t *begin = record->bytes.ptr;
	const uint8_t *end = begin + record->bytes.len;

	for (uint32_t i = 0; i < batch->value_count; i++) {
		uint8_t *copy;

		if (fields[i].type != SB_TYPE_STRING || values[i].len == SB_NULL || values[i].len == 0 ||
		    (values[i].as.ptr >= begin && values[i].as.ptr < end))
			continue;
		copy = arena_alloc(&batch->arena, values[i].len);
		if (!copy)
			return false;
		memcpy(copy, values[i].as.ptr, values[i].len);
		values[i].as.ptr = copy;
	}
	return true;
}

/* The key's bytes: they stay where they are, or are written to number. */
static sb_slice key_of(const struct reader *r, char *number, size_t number_size)
{
	const sb_value *value = &r->values[r->key_field];

	if (r->key_is_text)
		return slice_of(value->as.ptr, value->len);
	snprintf(number, number_size, "%lld", (long long)value->as.i64);
	return slice_of_text(number);
}

static bool set_key(const struct reader *r, struct batch *batch, sb_event *event, sb_slice key)
{
	uint8_t *copy;

	if (r->key_is_text) {
		const sb_value *value = &event->values[r->key_field];

		event->key = slice_of(value->as.ptr, value->len);
		return true;
	}
	copy = arena_alloc(&batch->arena, key.len);
	if (!copy)
		return false;
	memcpy(copy, key.ptr, key.len);
	event->key = slice_of(copy, key.len);
	return true;
}

static int64_t event_clock(struct reader *r, struct partition *partition)
{
	if (r->time_field != UINT32_MAX && r->values[r->time_field].len != SB_NULL) {
		int64_t time_ms = r->values[r->time_field].as.i64;

		if (time_ms > partition->watermark_ms)
			partition->watermark_ms = time_ms;
	}
	return r->p->config.event_time ? partition->watermark_ms : r->p->clock_ms;
}

/* Puts the decoded record into the batch of its task. */
static int32_t route(struct reader *r, struct partition *partition, const struct source_record *record, bool unescaped,
		     sb_error *err)
{
	char number[24];
	sb_slice key = key_of(r, number, sizeof(number));
	uint64_t hash = key_hash(key);
	uint32_t tasks = r->p->config.tasks;
	uint32_t task = tasks == 1 ? 0
				   : key_group_task(key_group_of(hash, r->p->config.key_groups), tasks,
						    r->p->config.key_groups);
	struct batch *batch = batch_for(r, task);
	sb_event *event;
	sb_value *values;

	if (!batch)
		return SB_OK; /* closing */
	event = &batch->events[batch->count];
	values = batch->values + (size_t)batch->count * batch->value_count;
	for (uint32_t i = 0; i < batch->value_count; i++)
		values[i] = r->values[i];
	event->values = values;
	event->clock_ms = event_clock(r, partition);
	batch->hashes[batch->count] = hash;
	if (!batch_keep_block(batch, record->block) || (unescaped && !adopt_strings(r, batch, record, values)) ||
	    !set_key(r, batch, event, key))
		return error_no_memory(err);
	if (++batch->count == BATCH_EVENTS)
		send(r, task);
	return SB_OK;
}

static int32_t refuse(struct reader *r, const struct partition *partition, const struct source_record *record,
		      const struct decode_fault *fault, sb_error *err)
{
	struct pipeline *p = r->p;

	if (p->config.stop_on_bad_record)
		return error_set(err, SB_ERR_DATA,
				 "%s: the record at %lld is bad (%s): %s; mend it, or run with --on-error dead-letter",
				 partition->name, (long long)record->offset, fault->reason, fault->detail);
	if (atomic_fetch_add(&p->bad_records, 1) == 0)
		LOG(p->config.log, SB_LOG_WARN, "A bad record went to the dead letters; further ones are only counted",
		    LOG_S("source", partition->name), LOG_I("offset", record->offset), LOG_S("reason", fault->reason),
		    LOG_S("detail", fault->detail), LOG_S("dead_letters", p->config.dead_letters->path));
	return dead_letter_write(p->config.dead_letters, partition->name, record, fault, err);
}

/* A record that is not even tried, or whose event cannot be stored: true, with the fault. */
static bool is_too_large(const struct reader *r, const struct source_record *record, enum decode_result result,
			 struct decode_fault *fault)
{
	if (record->oversize)
		*fault = (struct decode_fault){.reason = "too-large", .detail = "the record is longer than 1 MiB"};
	else if (result == DECODE_EVENT && r->key_is_text && r->values[r->key_field].len > KEY_BYTES_MAX)
		*fault = (struct decode_fault){.reason = "too-large", .detail = "the key is longer than 64 KiB"};
	else
		return false;
	return true;
}

static int32_t take_record(struct reader *r, struct partition *partition, const struct source_record *record,
			   sb_error *err)
{
	const uint8_t *arena_before = r->arena.at;
	struct decode_fault fault; /* large: filled only when there is one */
	enum decode_result result = DECODE_BAD;
	bool unescaped;

	if (!record->oversize)
		result = decoder_decode(partition->decoder, record->bytes, &r->arena, r->values, &fault);
	unescaped = r->arena.at != arena_before;
	if (is_too_large(r, record, result, &fault))
		result = DECODE_BAD;
	if (result == DECODE_EVENT) {
		TRY(route(r, partition, record, unescaped, err));
		r->decoded++;
	} else if (result == DECODE_BAD) {
		TRY(refuse(r, partition, record, &fault, err));
	} else if (result == DECODE_NO_MEMORY) {
		return error_no_memory(err);
	}
	if (unescaped)
		arena_reset(&r->arena);
	partition->offset = record->next_offset;
	return SB_OK;
}

static bool reached_limit(const struct reader *r)
{
	return r->p->config.max_events && r->decoded >= r->p->config.max_events;
}

/* One partition's turn; *ret_records says how many records it gave. */
static int32_t take_turn(struct reader *r, struct partition *partition, uint32_t *ret_records, sb_error *err)
{
	uint32_t n;

	update_clock(r);
	for (n = 0; n < RECORDS_PER_TURN && !reached_limit(r) && !is_closing(r); n++) {
		struct source_record record;
		enum source_status status = source_next(partition->source, &record, err);

		if (status == SOURCE_FAILED)
			return err->code;
		if (status == SOURCE_END)
			partition->finished = true;
		if (status != SOURCE_RECORD)
			break;
		TRY(take_record(r, partition, &record, err));
	}
	atomic_store_explicit(&r->p->decoded, r->decoded, memory_order_relaxed);
	atomic_store_explicit(&r->p->positions[partition - r->p->config.partitions], partition->offset,
			      memory_order_relaxed);
	*ret_records = n;
	return SB_OK;
}

static bool all_finished(const struct reader *r)
{
	for (uint32_t i = 0; i < r->p->config.partition_count; i++)
		if (!r->p->config.partitions[i].finished)
			return false;
	return true;
}

static void drain_wake_fd(struct reader *r)
{
	uint64_t ignored;
	ssize_t n = read(r->p->wake_fd, &ignored, sizeof(ignored));

	(void)n; /* non-blocking: nothing there is fine */
}

static int timeout_ms(const struct reader *r, int64_t due_ns)
{
	int64_t now_ns = clock_monotonic_ns(r->p->config.clock);
	int64_t wait_ns = (due_ns < r->next_tick_ns ? due_ns : r->next_tick_ns) - now_ns;

	if (wait_ns > MAX_WAIT_NS)
		wait_ns = MAX_WAIT_NS;
	return wait_ns <= 0 ? 0 : (int)((wait_ns + 999999) / 1000000);
}

/* Until a source has something, the controller wants something, or a tick is due. */
static void wait_for_input(struct reader *r, bool sources_too)
{
	uint32_t count = r->p->config.partition_count;
	struct pollfd *fds = r->fds;
	int64_t due_ns = INT64_MAX;
	nfds_t n = 0;

	fds[n++] = (struct pollfd){.fd = r->p->wake_fd, .events = POLLIN};
	for (uint32_t i = 0; sources_too && i < count; i++) {
		const struct partition *partition = &r->p->config.partitions[i];
		int fd = source_poll_fd(partition->source);

		if (partition->finished)
			continue;
		if (fd >= 0)
			fds[n++] = (struct pollfd){.fd = fd, .events = POLLIN};
		if (source_due_ns(partition->source) < due_ns)
			due_ns = source_due_ns(partition->source);
	}
	profile_lap(r->watch, PROFILE_DECODE);
	poll(fds, n, timeout_ms(r, due_ns));
	profile_lap(r->watch, PROFILE_IDLE);
	drain_wake_fd(r);
}

/* An empty batch moves the horizon of a task that has nothing to do, and lets its backend purge. */
static void tick(struct reader *r)
{
	int64_t now_ns = clock_monotonic_ns(r->p->config.clock);

	if (now_ns < r->next_tick_ns)
		return;
	r->next_tick_ns = now_ns + TICK_NS;
	update_clock(r);
	for (uint32_t i = 0; i < r->p->config.tasks; i++)
		if (!r->batches[i] && queue_is_empty(&r->p->tasks[i].queue) && batch_for(r, i))
			send(r, i);
}

static int32_t inject_barrier(struct reader *r, sb_error *err)
{
	if (!atomic_exchange(&r->p->barrier_wanted, false))
		return SB_OK;
	send_partial(r);
	update_clock(r);
	TRY(barrier_inject(r->p, err));
	profile_lap(r->watch, PROFILE_CHECKPOINT);
	return SB_OK;
}

static int32_t read_a_round(struct reader *r, uint32_t *ret_records, sb_error *err)
{
	uint32_t count = r->p->config.partition_count;

	*ret_records = 0;
	for (uint32_t i = 0; i < count && !reached_limit(r); i++) {
		struct partition *partition = &r->p->config.partitions[r->turn++ % count];
		uint32_t records = 0;

		if (partition->finished)
			continue;
		TRY(take_turn(r, partition, &records, err));
		*ret_records += records;
	}
	return SB_OK;
}

static int32_t read_input(struct reader *r, sb_error *err)
{
	while (!is_closing(r) && !atomic_load(&r->p->stop_wanted) && !reached_limit(r)) {
		uint32_t records;

		TRY(inject_barrier(r, err));
		TRY(read_a_round(r, &records, err));
		if (all_finished(r))
			break;
		if (records)
			continue;
		send_partial(r);
		TRY(output_flush(r->p->config.dead_letters, err));
		tick(r);
		wait_for_input(r, true);
	}
	send_partial(r);
	return output_flush(r->p->config.dead_letters, err);
}

/* After the input only barriers are left to do. */
static int32_t serve_barriers(struct reader *r, sb_error *err)
{
	pthread_mutex_lock(&r->p->mutex);
	r->p->status.input_ended = true;
	pthread_mutex_unlock(&r->p->mutex);
	pipeline_tell(r->p);
	while (!is_closing(r)) {
		TRY(inject_barrier(r, err));
		wait_for_input(r, false);
		r->next_tick_ns = INT64_MAX / 2;
	}
	return SB_OK;
}

static int32_t init(struct reader *r, struct pipeline *p, sb_error *err)
{
	*r = (struct reader){.p = p, .time_field = UINT32_MAX, .watch = &p->reader_profile};
	r->batches = calloc(p->config.tasks, sizeof(struct batch *));
	r->values = calloc(p->config.operator->input_count, sizeof(*r->values));
	r->fds = calloc(p->config.partition_count + 1, sizeof(*r->fds));
	if (!r->batches || !r->values || !r->fds)
		return error_no_memory(err);
	for (uint32_t i = 0; i < p->config.operator->input_count; i++) {
		if (p->config.operator->inputs[i].flags & SB_FIELD_KEY)
			r->key_field = i;
		if (p->config.operator->inputs[i].flags & SB_FIELD_EVENT_TIME)
			r->time_field = i;
	}
	for (uint32_t i = 0; i < p->config.partition_count; i++)
		source_set_profile(p->config.partitions[i].source, r->watch);
	r->key_is_text = p->config.operator->inputs[r->key_field].type == SB_TYPE_STRING;
	return SB_OK;
}

static void done(struct reader *r)
{
	for (uint32_t i = 0; r->batches && i < r->p->config.tasks; i++)
		batch_free(r->batches[i]);
	free(r->batches);
	free(r->values);
	free(r->fds);
	arena_done(&r->arena);
}

void *reader_run(void *argument)
{
	struct pipeline *p = argument;
	sb_error err = ERROR_INIT;
	struct reader reader;
	int32_t status;

	profile_start(&p->reader_profile, p->config.profile ? p->config.clock : NULL);
	status = init(&reader, p, &err);
	if (status == SB_OK)
		status = read_input(&reader, &err);
	if (status == SB_OK)
		status = serve_barriers(&reader, &err);
	if (status != SB_OK)
		pipeline_fail(p, &err);
	done(&reader);
	profile_stop(&p->reader_profile, PROFILE_IDLE);
	return NULL;
}
