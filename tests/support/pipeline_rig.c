/* See pipeline_rig.h. */
#include "support/pipeline_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/slice.h"
#include "checkpoint/contents.h"
#include "kit/model.h"
#include "state/composed_key.h"
#include "stream/pipeline_private.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define KEYS 97u

enum { IN_KEY, IN_VALUE, IN_TIME };
enum { STATE_SEEN, STATE_TALLY };

struct record {
	int64_t end; /* offset behind it */
	uint32_t key;
	int64_t value, time_ms;
	enum { GOOD, BAD, BLANK } kind;
};

struct rig {
	struct rig_config config;
	struct rng rng;
	char dir[48];
	char output_path[80], dead_letter_path[80], checkpoint_dir[80];
	char input_path[RIG_PARTITIONS_MAX][80];
	struct record *records[RIG_PARTITIONS_MAX];
	struct io io;
	struct io_ops io_ops;
	const struct io_ops *system;
	_Atomic int output_fd; /* whose fsync fails */
	/* The reader is let on in small steps, so that the input does not end before the checkpoints have been asked for. */
	_Atomic int input_fds[RIG_PARTITIONS_MAX];
	_Atomic uint64_t reads, allowed_reads;
	struct pipeline *_Atomic pipeline; /* while it runs */
	struct clock clock;
	struct log log;
	struct component operator;
	struct plugin plugin;
	_Atomic uint32_t open_operators;
	struct schema schema;
	struct checkpoint_store *store;
	uint32_t tasks;
	uint64_t events_before;
	_Atomic int64_t horizons[RIG_TASKS_MAX];
	struct instance *backends[RIG_TASKS_MAX];
	struct partition partitions[RIG_PARTITIONS_MAX];
	struct output output, dead_letters;
	struct buffer providers[RIG_TASKS_MAX]; /* 8 bytes a part */
	sb_slice parts[RIG_TASKS_MAX][RIG_TASKS_MAX];
	uint64_t written, failed, good_after_failed;
};

static void must(int32_t status, const sb_error *err)
{
	if (status == SB_OK)
		return;
	fprintf(stderr, "pipeline rig: %s\n", err->message);
	abort();
}

static void *not_null(void *pointer)
{
	if (!pointer)
		abort();
	return pointer;
}

/* --- the operator ------------------------------------------------------------- */

struct tally {
	int64_t count, sum;
};

struct sb_operator {
	sb_task *task;
	uint64_t total;
};

static struct {
	uint64_t fail_at;
	bool fail_without_a_word, fail_in_service, fail_snapshot;
} fault; /* set before the pipeline opens */

static int32_t tally_open(const sb_operator_config *config, sb_operator **ret_operator, sb_error *err)
{
	sb_operator *op = not_null(calloc(1, sizeof(*op)));

	(void)err;
	op->task = config->task;
	*ret_operator = op;
	return SB_OK;
}

static void tally_close(sb_operator *op)
{
	free(op);
}

static int32_t count_one(void *arg, sb_slice sub_key, sb_slice value)
{
	(void)sub_key;
	(void)value;
	++*(uint64_t *)arg;
	return SB_OK;
}

static int32_t note(sb_task *task, uint64_t event, uint8_t digit)
{
	const sb_slice sub_key = slice_of(&digit, 1);
	uint64_t times = 0, seen = 0;
	sb_slice value;
	int32_t found;

	TRY(task->raw_get(task, STATE_SEEN, event, sub_key, &value, &found));
	if (found)
		memcpy(&times, value.ptr, sizeof(times));
	times++;
	TRY(task->raw_put(task, STATE_SEEN, event, sub_key, slice_of(&times, sizeof(times)), SB_TTL_JOB));
	return task->raw_scan(task, STATE_SEEN, event, (sb_slice){0}, count_one, &seen);
}

static int32_t tally_one(sb_operator *op, const sb_event *events, uint64_t event, sb_error *err)
{
	sb_task *task = op->task;
	int64_t value = events[event].values[IN_VALUE].as.i64;
	sb_value record[] = {{.as = {.ptr = events[event].key.ptr}, .len = events[event].key.len}, {.len = 0}};
	struct tally *tally;

	if (++op->total == fault.fail_at) {
		if (fault.fail_without_a_word)
			return SB_ERR_DATA;
		if (!fault.fail_in_service)
			return error_set(err, SB_ERR_DATA, "this is event %llu", (unsigned long long)op->total);
		task->raw_get(task, 99, event, (sb_slice){0}, NULL, NULL);
	}
	tally = task->state_upsert(task, STATE_TALLY, event, NULL);
	if (!tally)
		return SB_ERR_NO_MEMORY;
	if (events[event].values[IN_VALUE].as.i64 % 3 == 0)
		TRY(note(task, event, (uint8_t)(value & 7)));
	tally->count++;
	tally->sum += value;
	record[1].as.i64 = tally->count;
	return task->emit(task, event, record);
}

static int32_t tally_process(sb_operator *op, const sb_event *events, uint64_t n, sb_error *err)
{
	for (uint64_t i = 0; i < n; i++)
		TRY(tally_one(op, events, i, err));
	return SB_OK;
}

static int32_t tally_snapshot(sb_operator *op, sb_writer *writer, sb_error *err)
{
	if (fault.fail_snapshot)
		return error_set(err, SB_ERR_IO, "no snapshot today");
	return writer->write(writer, slice_of(&op->total, sizeof(op->total)), err);
}

static int32_t tally_restore(sb_operator *op, uint64_t n, const sb_slice *parts, sb_error *err)
{
	(void)err;
	for (uint64_t i = 0; i < n; i++) {
		uint64_t total;

		memcpy(&total, parts[i].ptr, sizeof(total));
		op->total += total;
	}
	return SB_OK;
}

#define FIELD(field_name, field_type, field_flags)                                                                     \
	{                                                                                                              \
		.struct_size = sizeof(sb_field), .type = (field_type), .flags = (field_flags), .decimals = -1,         \
		.name = (field_name), .doc = ""                                                                        \
	}

static sb_field inputs[] = {
	[IN_KEY] = FIELD("key", SB_TYPE_STRING, SB_FIELD_KEY),
	[IN_VALUE] = FIELD("value", SB_TYPE_I64, 0),
	[IN_TIME] = FIELD("time", SB_TYPE_TIME, SB_FIELD_EVENT_TIME),
};
static sb_field outputs[] = {FIELD("key", SB_TYPE_STRING, 0), FIELD("count", SB_TYPE_I64, 0)};

#define TALLY_FIELD(member)                                                                                            \
	{                                                                                                              \
		.struct_size = sizeof(sb_schema_field), .type = SB_TYPE_I64, .offset = offsetof(struct tally, member), \
		.size = 8, .name = #member, .doc = ""                                                                  \
	}

static const sb_schema_field tally_count = TALLY_FIELD(count);
static const sb_schema_field tally_sum = TALLY_FIELD(sum);
static const sb_schema_field *const tally_fields[] = {&tally_count, &tally_sum};
static sb_state states[] = {
	[STATE_SEEN] = {.struct_size = sizeof(sb_state),
			.kind = SB_STATE_RAW,
			.ttl_ms = SB_TTL_JOB,
			.name = "seen",
			.doc = ""},
	[STATE_TALLY] = {.struct_size = sizeof(sb_state),
			 .kind = SB_STATE_STRUCT,
			 .value_size = sizeof(struct tally),
			 .ttl_ms = SB_TTL_JOB,
			 .name = "tally",
			 .fields = tally_fields,
			 .field_count = LENGTH(tally_fields),
			 .doc = ""},
};

static void init_operator(struct rig *rig)
{
	static char path[] = "/tally.so", name[] = "tally", version[] = "1.0.0";

	rig->plugin = (struct plugin){.path = path, .name = name, .version = version};
	rig->operator=(struct component){
		.plugin = &rig->plugin,
		.kind = SB_KIND_OPERATOR,
		.id = "tally",
		.title = "Tally",
		.doc = "",
		.inputs = inputs,
		.input_count = LENGTH(inputs),
		.outputs = outputs,
		.output_count = LENGTH(outputs),
		.states = states,
		.state_count = LENGTH(states),
		.operator= {.struct_size = sizeof(sb_operator_ops),
			    .open = tally_open,
			    .close = tally_close,
			    .process = tally_process,
			    .snapshot = tally_snapshot,
			    .restore = tally_restore},
		.open_instances = &rig->open_operators,
	};
}

/* --- input -------------------------------------------------------------------- */

static void make_record(struct rig *rig, struct record *record, FILE *file, int64_t *time_ms)
{
	static const char *const bad_lines[] = {"{\"key\":\"k1\"}", "not json", "{\"key\":\"k1\",\"value\":\"x\"}"};
	const uint64_t dice = rng_below(&rig->rng, 60);

	*time_ms += (int64_t)rng_below(&rig->rng, 3);
	record->kind = dice == 0 ? BAD : dice == 1 ? BLANK : GOOD;
	record->key = (uint32_t)rng_below(&rig->rng, 1 + rng_below(&rig->rng, KEYS));
	record->value = (int64_t)rng_below(&rig->rng, 1000);
	/* Some come late. */
	record->time_ms = *time_ms - (rng_chance(&rig->rng, 10) ? (int64_t)rng_below(&rig->rng, 40) : 0);
	if (record->kind == BAD)
		fprintf(file, "%s\n", bad_lines[rng_below(&rig->rng, LENGTH(bad_lines))]);
	else if (record->kind == BLANK)
		fprintf(file, "\n");
	else /* some keys are escaped, so that they are not borrowed from the input */
		fprintf(file, "{\"key\":\"%s%u\",\"value\":%lld,\"time\":%lld}\n", dice & 4 ? "\\u006b" : "k",
			record->key, (long long)record->value, (long long)record->time_ms);
	record->end = ftell(file);
}

static void make_input(struct rig *rig, uint32_t partition)
{
	int64_t time_ms = INT64_C(1700000000000);
	FILE *file;

	snprintf(rig->input_path[partition], sizeof(rig->input_path[0]), "%s/input-%u", rig->dir, partition);
	file = not_null(fopen(rig->input_path[partition], "w"));
	rig->records[partition] = not_null(calloc(rig->config.records, sizeof(struct record)));
	for (uint32_t i = 0; i < rig->config.records; i++)
		make_record(rig, &rig->records[partition][i], file, &time_ms);
	fclose(file);
}

/* --- the recomputation -------------------------------------------------------- */

struct expected {
	struct model model;
	uint64_t good, bad;
	uint64_t counts[KEYS]; /* lines of output of each key */
	int64_t watermark_ms;
};

static sb_slice key_text(uint32_t key, char *text)
{
	return slice_of(text, (uint64_t)sprintf(text, "k%u", key));
}

static struct buffer composed_of(const struct rig *rig, uint32_t key, uint32_t state, const uint8_t *digit)
{
	struct buffer composed = BUFFER_INIT;
	uint8_t prefix[COMPOSED_PREFIX_BYTES];
	char text[16];
	sb_slice name = key_text(key, text);
	uint32_t group = key_group_of(key_hash(name), KEY_GROUPS_DEFAULT);

	if (digit) {
		composed_append_raw(&composed, group, rig->schema.states[state].id, name, slice_of(digit, 1));
		return composed;
	}
	composed_put_prefix(prefix, group, rig->schema.states[state].id);
	buffer_append(&composed, prefix, sizeof(prefix));
	buffer_append_slice(&composed, name);
	return composed;
}

/* Adds to the 8-byte numbers under a key, which begin at zero when there is none that is live. */
static void add(struct expected *expected, struct buffer composed, const int64_t *amounts, uint64_t n,
		int64_t expiry_ms)
{
	struct model_entry *entry = model_find(&expected->model, buffer_slice(&composed));
	int64_t numbers[2] = {0};

	if (entry && (entry->expiry_ms == 0 || entry->expiry_ms > expected->watermark_ms))
		memcpy(numbers, entry->value.ptr, n * 8);
	for (uint64_t i = 0; i < n; i++)
		numbers[i] += amounts[i];
	model_put(&expected->model, buffer_slice(&composed), slice_of(numbers, n * 8), expiry_ms);
	buffer_done(&composed);
}

static void replay_one(const struct rig *rig, const struct record *record, struct expected *expected)
{
	const int64_t amounts[] = {1, record->value};
	const uint8_t digit = (uint8_t)(record->value & 7);
	int64_t expiry_ms;

	if (record->time_ms > expected->watermark_ms)
		expected->watermark_ms = record->time_ms;
	expiry_ms = rig->config.ttl_ms ? expected->watermark_ms + rig->config.ttl_ms : 0;
	add(expected, composed_of(rig, record->key, STATE_TALLY, NULL), amounts, 2, expiry_ms);
	if (record->value % 3 == 0)
		add(expected, composed_of(rig, record->key, STATE_SEEN, &digit), amounts, 1, expiry_ms);
	expected->counts[record->key]++;
}

/* The state that exactly the records before the offsets make. */
static void replay(const struct rig *rig, const int64_t *offsets, struct expected *expected)
{
	memset(expected, 0, sizeof(*expected));
	expected->watermark_ms = INT64_MIN;
	model_init(&expected->model);
	for (uint32_t p = 0; p < rig->config.partitions; p++) {
		for (uint32_t i = 0; i < rig->config.records && rig->records[p][i].end <= offsets[p]; i++) {
			expected->good += rig->records[p][i].kind == GOOD;
			expected->bad += rig->records[p][i].kind == BAD;
			if (rig->records[p][i].kind == GOOD)
				replay_one(rig, &rig->records[p][i], expected);
		}
	}
	for (size_t i = 0; rig->config.ttl_ms && i < expected->model.count;) {
		if (expected->model.entries[i].expiry_ms <= expected->watermark_ms)
			model_delete(&expected->model, expected->model.entries[i].key);
		else
			i++;
	}
}

/* --- comparing ---------------------------------------------------------------- */

static void done_buffer(struct buffer *buffer)
{
	buffer_done(buffer);
}

static int32_t differs(const struct rig *rig, const char *id, const char *what, sb_error *err)
{
	return error_set(err, SB_ERR_CORRUPT, "%s: %s (seed %llu)", id, what, (unsigned long long)rig->rng.seed);
}

static int32_t compare_entry(const struct rig *rig, const struct checkpoint_meta *meta, const char *snapshot,
			     const struct checkpoint_item *item, struct expected *expected, sb_error *err)
{
	AUTO(done_buffer) struct buffer composed = BUFFER_INIT;
	uint8_t prefix[COMPOSED_PREFIX_BYTES];
	struct model_entry *entry;
	char owner[32];

	snprintf(owner, sizeof(owner), "backend-%u", key_group_task(item->key_group, meta->tasks, meta->key_groups));
	if (strcmp(owner, snapshot) != 0)
		return differs(rig, meta->id, "an entry in the snapshot of another task", err);
	composed_put_prefix(prefix, item->key_group, item->state_id);
	buffer_append(&composed, prefix, sizeof(prefix));
	buffer_append_slice(&composed, item->user_part);
	entry = model_find(&expected->model, buffer_slice(&composed));
	if (!entry)
		return differs(rig, meta->id, "an entry too many", err);
	if (entry->seen)
		return differs(rig, meta->id, "an entry twice", err);
	entry->seen = true;
	if (!slice_equal(entry->value, item->value))
		return differs(rig, meta->id, "another value", err);
	if (entry->expiry_ms != item->expiry_ms)
		return differs(rig, meta->id, "another expiry", err);
	return SB_OK;
}

/* Whatever its kind. With a reader of its own. */
static struct checkpoint_contents *open_contents(const struct rig *rig, const char *id)
{
	const struct checkpoint_contents_config config = {.io = (struct io *)&rig->io,
							  .clock = (struct clock *)&rig->clock,
							  .log = &rig->log,
							  .store = rig->store,
							  .plugin_dir = SB_PLUGIN_DIR};
	AUTO(free_memory) char *path = not_null(checkpoint_store_path(rig->store, id));
	struct checkpoint_contents *contents;
	struct checkpoint_reader *reader;
	sb_error err = ERROR_INIT;

	must(checkpoint_reader_open((struct io *)&rig->io, path, &reader, &err), &err);
	must(checkpoint_contents_open(&config, reader, &contents, &err), &err);
	return contents;
}

static int32_t compare_items(const struct rig *rig, struct checkpoint_contents *contents, struct expected *expected,
			     sb_error *err)
{
	const struct checkpoint_meta *meta = checkpoint_contents_meta(contents);
	uint64_t entries = 0, total = 0, part, providers = 0;
	struct checkpoint_item item;
	char snapshot[32] = "";

	do {
		TRY(checkpoint_contents_next(contents, &item, err));
		switch (item.kind) {
		case ITEM_PROVIDER:
			if (item.bytes.len != sizeof(part))
				return differs(rig, meta->id, "a provider's part of another length", err);
			memcpy(&part, item.bytes.ptr, sizeof(part));
			total += part;
			providers++;
			break;
		case ITEM_SNAPSHOT_BEGIN:
			snprintf(snapshot, sizeof(snapshot), "%s", item.name);
			break;
		case ITEM_ENTRY:
			TRY(compare_entry(rig, meta, snapshot, &item, expected, err));
			entries++;
			break;
		default:
			break;
		}
	} while (item.kind != ITEM_END);
	if (entries != expected->model.count)
		return differs(rig, meta->id, "entries are missing", err);
	if (total != expected->good || providers != meta->tasks)
		return differs(rig, meta->id, "another provider state", err);
	return SB_OK;
}

/* The first length bytes of a file; NULL when it is shorter. */
static char *read_head(const char *path, int64_t length)
{
	char *text = not_null(malloc((size_t)length + 1));
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, (size_t)length);

	if (fd >= 0)
		close(fd);
	if (n != length) {
		free(text);
		return NULL;
	}
	text[length] = 0;
	return text;
}

/* Each key's lines count 1, 2, 3, … in order: what is emitted twice, or not at all, shows. */
static int32_t compare_output(const struct rig *rig, const char *id, char *text, const struct expected *expected,
			      sb_error *err)
{
	uint64_t counts[KEYS] = {0};
	char *line, *rest = text;

	while ((line = strsep(&rest, "\n")) && rest) {
		unsigned key;
		unsigned long long count;

		if (sscanf(line, "{\"key\":\"k%u\",\"count\":%llu}", &key, &count) != 2 || key >= KEYS)
			return differs(rig, id, "a torn line of output", err);
		if (!rig->config.ttl_ms && count != counts[key] + 1)
			return differs(rig, id, "output that does not count on", err);
		counts[key]++;
	}
	if (!line || *line)
		return differs(rig, id, "output that does not end with a line", err);
	for (uint32_t key = 0; key < KEYS; key++)
		if (counts[key] != expected->counts[key])
			return differs(rig, id, "output of other records", err);
	return SB_OK;
}

static int32_t compare_file(const struct rig *rig, const struct checkpoint_meta *meta, const struct output_meta *output,
			    const struct expected *expected, sb_error *err)
{
	AUTO(free_memory) char *text = read_head(output->path, output->length);
	uint64_t lines = 0;

	if (!text)
		return differs(rig, meta->id, "a file that is shorter than it counts on", err);
	if (strcmp(output->role, "output") == 0)
		return compare_output(rig, meta->id, text, expected, err);
	for (const char *at = text; (at = strchr(at, '\n')); at++)
		lines++;
	return lines == expected->bad ? SB_OK : differs(rig, meta->id, "other dead letters", err);
}

static int32_t compare_reader(const struct rig *rig, struct checkpoint_reader *reader, sb_error *err)
{
	const struct checkpoint_meta *meta = checkpoint_reader_meta(reader);
	int64_t offsets[RIG_PARTITIONS_MAX] = {0};
	struct expected expected;
	int32_t status = SB_OK;

	for (uint64_t i = 0; i < meta->partition_count && i < RIG_PARTITIONS_MAX; i++)
		offsets[i] = meta->partitions[i].offset;
	replay(rig, offsets, &expected);
	if (meta->events != expected.good)
		status = differs(rig, meta->id, "another number of events", err);
	for (uint64_t i = 0; status == SB_OK && i < meta->output_count; i++)
		status = compare_file(rig, meta, &meta->outputs[i], &expected, err);
	if (status == SB_OK && meta->output_count != (rig->config.output ? 1 : 2))
		status = differs(rig, meta->id, "another number of outputs", err);
	if (status == SB_OK) {
		struct checkpoint_contents *contents = open_contents(rig, meta->id);

		status = compare_items(rig, contents, &expected, err);
		checkpoint_contents_close(contents);
	}
	model_done(&expected.model);
	return status;
}

int32_t rig_compare_checkpoints(struct rig *rig, uint64_t *ret_checkpoints, sb_error *err)
{
	AUTO(free_memory) struct checkpoint_ref *refs = NULL;
	uint64_t count;

	TRY(checkpoint_store_list(rig->store, &refs, &count, err));
	for (uint64_t i = 0; i < count; i++) {
		AUTO(free_memory) char *path = not_null(checkpoint_store_path(rig->store, refs[i].id));
		struct checkpoint_reader *reader;
		int32_t status;

		TRY(checkpoint_reader_open(&rig->io, path, &reader, err));
		status = checkpoint_reader_verify_digest(reader, err);
		if (status == SB_OK)
			status = compare_reader(rig, reader, err);
		checkpoint_reader_close(reader);
		TRY(status);
	}
	*ret_checkpoints = count;
	return SB_OK;
}

/* --- life --------------------------------------------------------------------- */

static int rig_open(struct io *io, const char *path, int flags, mode_t mode)
{
	struct rig *rig = io->context;
	int fd = rig->system->open(io, path, flags, mode);

	for (uint32_t i = 0; i < rig->config.partitions; i++)
		if (strcmp(path, rig->input_path[i]) == 0)
			atomic_store(&rig->input_fds[i], fd);
	return fd;
}

/* A reader that is to inject a barrier must get to the end of its round. */
static bool may_read(struct rig *rig)
{
	struct pipeline *pipeline = atomic_load(&rig->pipeline);

	return !pipeline || atomic_load(&rig->reads) < atomic_load(&rig->allowed_reads) ||
	       atomic_load(&pipeline->barrier_wanted) || atomic_load(&pipeline->closing);
}

static ssize_t rig_read(struct io *io, int fd, void *bytes, size_t len)
{
	struct rig *rig = io->context;
	bool is_input = false;

	for (uint32_t i = 0; i < rig->config.partitions; i++)
		is_input |= fd == atomic_load(&rig->input_fds[i]);
	if (!is_input)
		return rig->system->read(io, fd, bytes, len);
	while (!may_read(rig))
		sched_yield();
	atomic_fetch_add(&rig->reads, 1);
	return rig->system->read(io, fd, bytes, len < 3000 ? len : 3000);
}

static int rig_fsync(struct io *io, int fd)
{
	const struct rig *rig = io->context;

	if (rig->config.fsync_errno && fd == atomic_load(&rig->output_fd)) {
		errno = rig->config.fsync_errno;
		return -1;
	}
	return 0; /* these tests pull no plug, and more checkpoints fit into a run */
}

struct rig *rig_new(const struct rig_config *config)
{
	struct rig *rig = not_null(calloc(1, sizeof(*rig)));
	sb_error err = ERROR_INIT;

	rig->config = *config;
	rig->tasks = config->tasks;
	rng_init(&rig->rng, rng_test_seed(config->seed));
	strcpy(rig->dir, "/tmp/sbhost-rig-XXXXXX");
	not_null(mkdtemp(rig->dir));
	snprintf(rig->output_path, sizeof(rig->output_path), "%s/output", rig->dir);
	snprintf(rig->dead_letter_path, sizeof(rig->dead_letter_path), "%s/dead-letters", rig->dir);
	snprintf(rig->checkpoint_dir, sizeof(rig->checkpoint_dir), "%s/checkpoints", rig->dir);
	io_init_system(&rig->io);
	rig->system = rig->io.ops;
	rig->io_ops = *rig->system;
	rig->io_ops.open = rig_open;
	rig->io_ops.read = rig_read;
	rig->io_ops.fsync = rig_fsync;
	rig->io = (struct io){.ops = &rig->io_ops, .context = rig};
	atomic_store(&rig->output_fd, -1);
	for (uint32_t i = 0; i < RIG_PARTITIONS_MAX; i++)
		atomic_store(&rig->input_fds[i], -1);
	atomic_store(&rig->allowed_reads, UINT64_MAX);
	clock_init_system(&rig->clock);
	rig->log = (struct log){.fd = STDERR_FILENO, .clock = &rig->clock}; /* level 0: silent */
	init_operator(rig);
	must(schema_from_component(&rig->operator, config->ttl_ms, &rig->schema, &err), &err);
	must(checkpoint_store_open(&rig->io, &rig->log, rig->checkpoint_dir, true, true, &rig->store, &err), &err);
	for (uint32_t i = 0; i < config->partitions; i++)
		make_input(rig, i);
	return rig;
}

void rig_free(struct rig *rig)
{
	sb_error err = ERROR_INIT;

	checkpoint_store_close(rig->store);
	schema_done(&rig->schema);
	must(io_remove_tree(&rig->io, rig->dir, &err), &err);
	for (uint32_t i = 0; i < RIG_PARTITIONS_MAX; i++)
		free(rig->records[i]);
	free(rig);
}

static const struct partition_meta *restored_partition(const struct checkpoint_reader *from, uint32_t index)
{
	return from ? &checkpoint_reader_meta(from)->partitions[index] : NULL;
}

static void open_partition(struct rig *rig, uint32_t index, const struct checkpoint_reader *from)
{
	const struct partition_meta *meta = restored_partition(from, index);
	struct partition *partition = &rig->partitions[index];
	const struct decoder_config decoder = {
		.format = FORMAT_NDJSON, .fields = rig->operator.inputs, .field_count = rig->operator.input_count };
	struct source_config source = {.kind = SOURCE_FILE,
				       .path = rig->input_path[index],
				       .io = &rig->io,
				       .clock = &rig->clock,
				       .log = &rig->log};
	struct source_identity identity;
	sb_error err = ERROR_INIT;

	*partition = (struct partition){.name = rig->input_path[index], .watermark_ms = INT64_MIN};
	must(decoder_new(&decoder, &partition->decoder, &err), &err);
	source.decoder = partition->decoder;
	must(source_open(&source, &partition->source, &err), &err);
	if (!meta) {
		must(source_start(partition->source, 0, NULL, &err), &err);
		return;
	}
	partition->offset = meta->offset;
	partition->watermark_ms = meta->watermark_ms;
	identity = (struct source_identity){
		.name = meta->name, .head_bytes = meta->head_bytes, .head_hash = meta->head_hash, .size = meta->size};
	must(source_start(partition->source, meta->offset, &identity, &err), &err);
}

static int64_t restored_length(const struct checkpoint_reader *from, const char *role)
{
	const struct checkpoint_meta *meta = from ? checkpoint_reader_meta(from) : NULL;

	for (uint64_t i = 0; meta && i < meta->output_count; i++)
		if (strcmp(meta->outputs[i].role, role) == 0)
			return meta->outputs[i].length;
	return -1;
}

static void open_backend(struct rig *rig, uint32_t index)
{
	const struct plugin_env env = {.log = &rig->log, .clock = &rig->clock, .horizon_ms = &rig->horizons[index]};
	sb_error err = ERROR_INIT;
	char name[32];
	char *dir;

	atomic_store(&rig->horizons[index], INT64_MIN);
	snprintf(name, sizeof(name), "backend-%u", index);
	if (asprintf(&dir, "%s/state-%u", rig->dir, index) < 0)
		abort();
	must(io_remove_tree(&rig->io, dir, &err), &err);
	must(io_mkdir_p(&rig->io, dir, &err), &err);
	must(instance_open_backend(rig->config.backend, name, dir, 0, rig->config.backend_options, &env,
				   &rig->backends[index], &err),
	     &err);
	free(dir);
}

static void load_entry(struct rig *rig, const struct checkpoint_item *item)
{
	struct instance *backend = rig->backends[key_group_task(item->key_group, rig->tasks, KEY_GROUPS_DEFAULT)];
	AUTO(done_buffer) struct buffer composed = BUFFER_INIT;
	uint8_t prefix[COMPOSED_PREFIX_BYTES];
	sb_error err = ERROR_INIT;
	sb_op op = {.kind = SB_OP_PUT, .value = item->value, .expiry_ms = item->expiry_ms};

	composed_put_prefix(prefix, item->key_group, item->state_id);
	buffer_append(&composed, prefix, sizeof(prefix));
	buffer_append_slice(&composed, item->user_part);
	op.key = buffer_slice(&composed);
	must(backend->component->backend.write_batch(backend->backend, 1, &op, &err), &err);
}

static void load_items(struct rig *rig, struct checkpoint_reader *from)
{
	struct checkpoint_contents *contents = open_contents(rig, checkpoint_reader_meta(from)->id);
	struct checkpoint_item item;
	sb_error err = ERROR_INIT;

	do {
		unsigned number;

		must(checkpoint_contents_next(contents, &item, &err), &err);
		if (item.kind == ITEM_ENTRY)
			load_entry(rig, &item);
		if (item.kind == ITEM_PROVIDER && sscanf(item.name, "operator-%u", &number) == 1)
			buffer_append_slice(&rig->providers[number % rig->tasks], item.bytes);
	} while (item.kind != ITEM_END);
	checkpoint_contents_close(contents);
}

static void open_parts(struct rig *rig, struct checkpoint_reader *from)
{
	const char *output = rig->config.output ? rig->config.output : rig->output_path;
	sb_error err = ERROR_INIT;

	for (uint32_t i = 0; i < rig->tasks; i++)
		open_backend(rig, i);
	for (uint32_t i = 0; i < rig->config.partitions; i++)
		open_partition(rig, i, from);
	if (from)
		load_items(rig, from);
	must(output_open(&rig->output, &rig->io, "output", output, restored_length(from, "output"), false, &err), &err);
	atomic_store(&rig->output_fd, rig->output.fd);
	must(output_open(&rig->dead_letters, &rig->io, "dead-letter", rig->dead_letter_path,
			 restored_length(from, "dead-letter"), true, &err),
	     &err);
}

static void close_parts(struct rig *rig)
{
	for (uint32_t i = 0; i < rig->tasks; i++) {
		instance_close(rig->backends[i]);
		buffer_done(&rig->providers[i]);
	}
	for (uint32_t i = 0; i < rig->config.partitions; i++) {
		source_close(rig->partitions[i].source);
		decoder_free(rig->partitions[i].decoder);
	}
	output_close(&rig->output);
	output_close(&rig->dead_letters);
}

/* Lets the reader on by a few reads, asks for a checkpoint while it is on its way, and lets it on again while that is
 * written: what comes behind a barrier must not show in the checkpoint. */
static void ask(struct rig *rig, struct pipeline *pipeline)
{
	atomic_store(&rig->allowed_reads, atomic_load(&rig->reads) + rng_below(&rig->rng, 6));
	for (uint64_t spins = rng_below(&rig->rng, 20); spins; spins--)
		sched_yield();
	pipeline_request_checkpoint(pipeline);
	while (atomic_load(&pipeline->barrier_wanted) && !atomic_load(&pipeline->closing))
		sched_yield();
	atomic_store(&rig->allowed_reads, atomic_load(&rig->reads) + rng_below(&rig->rng, 60));
}

static int32_t control_run(struct rig *rig, struct pipeline *pipeline, sb_error *err)
{
	struct pollfd fds = {.fd = pipeline_event_fd(pipeline), .events = POLLIN};
	struct pipeline_status status;
	uint32_t asked = 0;
	bool final = false;

	for (;;) {
		pipeline_poll(pipeline, &status);
		if (status.failed) {
			*err = status.error;
			return err->code;
		}
		if (status.has_result) {
			rig->written += status.result.status == SB_OK;
			rig->good_after_failed += rig->failed && status.result.status == SB_OK;
			rig->failed += status.result.status != SB_OK;
			if (final && status.result.status != SB_OK)
				*err = status.result.error;
			if (final)
				return status.result.status;
		}
		if (!status.checkpoint_running && status.input_ended) {
			final = true;
			pipeline_request_checkpoint(pipeline);
		} else if (!status.checkpoint_running && asked < rig->config.checkpoints) {
			asked++;
			ask(rig, pipeline);
			continue;
		} else if (!status.checkpoint_running) {
			atomic_store(&rig->allowed_reads, UINT64_MAX);
		}
		poll(&fds, 1, -1);
	}
}

static int32_t control(struct rig *rig, struct pipeline *pipeline, sb_error *err)
{
	int32_t status;

	atomic_store(&rig->allowed_reads, 0);
	atomic_store(&rig->pipeline, pipeline);
	must(pipeline_start(pipeline, err), err);
	status = control_run(rig, pipeline, err);
	atomic_store(&rig->allowed_reads, UINT64_MAX);
	return status;
}

static void configure(struct rig *rig, struct pipeline_task_config *tasks, struct pipeline_config *config)
{
	static const struct option_set no_options;

	for (uint32_t i = 0; i < rig->tasks; i++) {
		uint64_t count = rig->providers[i].len / 8;

		for (uint64_t k = 0; k < count; k++)
			rig->parts[i][k] = slice_of(rig->providers[i].data + 8 * k, 8);
		tasks[i] = (struct pipeline_task_config){.backend = rig->backends[i],
							 .horizon_ms = &rig->horizons[i],
							 .provider_parts = rig->parts[i],
							 .provider_count = count};
	}
	*config = (struct pipeline_config){
		.io = &rig->io,
		.clock = &rig->clock,
		.log = &rig->log,
		.operator= & rig->operator,
		.operator_options = & no_options,
		.schema = &rig->schema,
		.key_groups = KEY_GROUPS_DEFAULT,
		.tasks = rig->tasks,
		.task_configs = tasks,
		.partitions = rig->partitions,
		.partition_count = rig->config.partitions,
		.output = &rig->output,
		.dead_letters = &rig->dead_letters,
		.stop_on_bad_record = rig->config.stop_on_bad_record,
		.event_time = rig->config.ttl_ms != 0,
		.cache_bytes = rig->config.cache_bytes,
		.max_events = rig->config.max_events,
		.events_before = rig->events_before,
		.store = rig->store,
		.codec = CODEC_LZ4,
		.keep = 100000,
		.full_checkpoints = rig->config.full_checkpoints,
		.backend_id = rig->config.backend->id,
		.backend_version = "1.0.0",
		.operator_version = "1.0.0",
	};
}

static int32_t run(struct rig *rig, struct checkpoint_reader *from, sb_error *err)
{
	struct pipeline_task_config tasks[RIG_TASKS_MAX];
	struct pipeline_config config;
	struct pipeline *pipeline = NULL;
	uint64_t compared;
	int32_t status;

	fault.fail_at = rig->config.fail_at;
	fault.fail_without_a_word = rig->config.fail_without_a_word;
	fault.fail_in_service = rig->config.fail_in_service;
	fault.fail_snapshot = rig->config.fail_snapshot;
	open_parts(rig, from);
	configure(rig, tasks, &config);
	must(pipeline_open(&config, &pipeline, err), err);
	status = control(rig, pipeline, err);
	pipeline_close(pipeline);
	atomic_store(&rig->pipeline, NULL);
	close_parts(rig);
	if (status != SB_OK)
		return status;
	TRY(rig_compare_checkpoints(rig, &compared, err));
	if (compared != rig->written)
		return error_set(err, SB_ERR_INTERNAL, "%llu checkpoints were reported, and %llu are there",
				 (unsigned long long)rig->written, (unsigned long long)compared);
	return SB_OK;
}

int32_t rig_run(struct rig *rig, sb_error *err)
{
	return run(rig, NULL, err);
}

int32_t rig_resume(struct rig *rig, uint32_t tasks, sb_error *err)
{
	struct checkpoint_reader *from;
	uint64_t damaged;
	int32_t status;

	/* One that became durable while the run failed was not reported. */
	must(rig_compare_checkpoints(rig, &rig->written, err), err);
	must(checkpoint_store_open_newest(rig->store, NULL, false, &from, &damaged, err), err);
	rig->events_before = checkpoint_reader_meta(from)->events;
	if (tasks)
		rig->tasks = tasks;
	rig->config.fail_at = 0;
	rig->config.max_events = 0;
	status = run(rig, from, err);
	checkpoint_reader_close(from);
	return status;
}

uint64_t rig_last_events(struct rig *rig)
{
	struct checkpoint_reader *reader;
	sb_error err = ERROR_INIT;
	uint64_t damaged, events;

	must(checkpoint_store_open_newest(rig->store, NULL, false, &reader, &damaged, &err), &err);
	events = checkpoint_reader_meta(reader)->events;
	checkpoint_reader_close(reader);
	return events;
}

void rig_get_counts(const struct rig *rig, struct rig_counts *ret_counts)
{
	*ret_counts = (struct rig_counts){.checkpoints = rig->written,
					  .failed_checkpoints = rig->failed,
					  .good_after_failed = rig->good_after_failed};
	for (uint32_t p = 0; p < rig->config.partitions; p++) {
		for (uint32_t i = 0; i < rig->config.records; i++) {
			ret_counts->good += rig->records[p][i].kind == GOOD;
			ret_counts->bad += rig->records[p][i].kind == BAD;
		}
	}
}
