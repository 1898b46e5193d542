/* See checkpoint_fixture.h. */
#include "checkpoint_fixture.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/slice.h"
#include "state/composed_key.h"

const struct log silent_log = {.fd = -1, .level = 0};

void scratch_make(char path[128])
{
	const char *tmp = getenv("TMPDIR");

	snprintf(path, 128, "%s/sbhost-ckpt-XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(path))
		abort();
}

void scratch_remove(const char *path)
{
	struct io io;
	sb_error err = ERROR_INIT;

	io_init_system(&io);
	io_remove_tree(&io, path, &err);
}

static void must(int32_t status, const sb_error *err)
{
	if (status == SB_OK)
		return;
	fprintf(stderr, "checkpoint fixture: %s\n", err->message);
	abort();
}

static void copy_file(const char *from, const char *to)
{
	size_t len;
	AUTO(free_memory) uint8_t *bytes = file_read(from, &len);

	file_write(to, bytes, len);
}

void scratch_copy(const char *from, const char *to)
{
	AUTO(buffer_done) struct buffer names = BUFFER_INIT;
	sb_error err = ERROR_INIT;
	uint64_t count;
	struct io io;

	io_init_system(&io);
	must(io_mkdir_p(&io, to, &err), &err);
	must(io_list(&io, from, &names, &count, &err), &err);
	for (size_t i = 0; i < names.len; i += strlen((char *)names.data + i) + 1) {
		const char *name = (char *)names.data + i;
		char source[512], target[512];
		struct stat st;
		bool exists;

		snprintf(source, sizeof(source), "%s/%s", from, name);
		snprintf(target, sizeof(target), "%s/%s", to, name);
		must(io_lstat(&io, source, &st, &exists, &err), &err);
		if (S_ISDIR(st.st_mode))
			scratch_copy(source, target);
		else
			copy_file(source, target);
	}
}

static int no_fsync(struct io *io, int fd)
{
	(void)io;
	(void)fd;
	return 0;
}

void quick_io_init(struct io *io, struct io_ops *ops)
{
	io_init_system(io);
	*ops = *io->ops;
	ops->fsync = no_fsync;
	io->ops = ops;
}

static uint64_t mix(uint64_t a, uint64_t b)
{
	uint64_t parts[2] = {a, b};

	return hash64_of(slice_of(parts, sizeof(parts)));
}

static void make_field(struct schema_field *field, const char *name, uint32_t type, uint32_t offset, uint32_t size)
{
	field->name = strdup(name);
	field->type = type;
	field->offset = offset;
	field->size = size;
}

static void make_schema(struct schema *schema)
{
	struct schema_state *states = calloc(2, sizeof(*states));
	struct schema_field *fields = calloc(4, sizeof(*fields));

	make_field(&fields[0], "purchases", SB_TYPE_UINT, 0, 8);
	make_field(&fields[1], "spent", SB_TYPE_F64, 8, 8);
	make_field(&fields[2], "category", SB_TYPE_ENUM, 16, 1);
	fields[2].names = calloc(2, sizeof(char *));
	fields[2].names[0] = strdup("Regular");
	fields[2].names[1] = strdup("VIP \"\xc3\xa9\"");
	fields[2].name_count = 2;
	fields[2].default_value = calloc(1, 1);
	fields[2].default_value[0] = 1;
	make_field(&fields[3], "tag", SB_TYPE_CHARS, 17, 7);
	states[0] = (struct schema_state){.name = strdup("profile"),
					  .id = 0,
					  .kind = SB_STATE_STRUCT,
					  .value_size = 24,
					  .ttl_ms = 86400000,
					  .fields = fields,
					  .field_count = 4};
	states[1] = (struct schema_state){.name = strdup("notes"), .id = 700, .kind = SB_STATE_RAW};
	*schema = (struct schema){.states = states, .count = 2};
}

static void make_partitions(struct checkpoint_meta *meta, uint64_t number)
{
	meta->partition_count = 2;
	meta->partitions = calloc(2, sizeof(*meta->partitions));
	meta->partitions[0] = (struct partition_meta){.name = strdup("data/caf\xe9 \"StateData\":\".csv"),
						      .offset = INT64_C(9007199254740993) + (int64_t)number,
						      .watermark_ms = INT64_MIN,
						      .head_bytes = 4096,
						      .head_hash = UINT64_C(0xfedcba9876543210),
						      .size = INT64_MAX,
						      .finished = true};
	meta->partitions[1] = (struct partition_meta){.name = strdup("generator"),
						      .offset = (int64_t)number,
						      .watermark_ms = -1,
						      .size = -1,
						      .generator_users = 5,
						      .generator_count = 1000,
						      .generator_seed = UINT64_MAX,
						      .generator_rate = 0.1};
}

void fixture_init(struct fixture *fixture, uint64_t number, uint64_t seed, uint64_t entries)
{
	struct checkpoint_meta *meta = &fixture->meta;

	*fixture = (struct fixture){.seed = seed, .entries = entries, .snapshots = 1, .providers = 1};
	snprintf(meta->id, sizeof(meta->id), "checkpoint-%" PRIu64, number);
	meta->timestamp_ns = INT64_C(1731165623123456789);
	meta->host_version = strdup("0.1.0");
	meta->operator_id = strdup("example-processor");
	meta->operator_version = strdup("1.0");
	meta->backend_id = strdup("memory");
	meta->backend_version = strdup("2.0");
	meta->key_groups = 128;
	meta->tasks = 2;
	meta->ttl_clock = strdup("wall");
	meta->cut_ms = INT64_C(1731165623123);
	meta->events = UINT64_MAX;
	make_partitions(meta, number);
	meta->output_count = 1;
	meta->outputs = calloc(1, sizeof(*meta->outputs));
	meta->outputs[0] = (struct output_meta){.role = strdup("output"), .path = strdup("out.ndjson"), .length = 77};
	make_schema(&meta->schema);
}

void fixture_build_on(struct fixture *fixture, uint64_t parent, uint32_t depth)
{
	fixture->meta.kind = CHECKPOINT_INCREMENTAL;
	fixture->meta.depth = depth;
	if (asprintf(&fixture->meta.parent, "checkpoint-%" PRIu64, parent) < 0)
		abort();
}

void fixture_done(struct fixture *fixture)
{
	metadata_done(&fixture->meta);
}

/* The ith entry: every third one is raw, with zero bytes in its key. */
struct made_entry {
	struct buffer composed, value;
	uint32_t state_id, key_group;
	int64_t expiry_ms;
};

static void make_entry(const struct fixture *fixture, uint64_t i, struct made_entry *entry)
{
	uint64_t random = mix(fixture->seed, i);
	char key[32];
	size_t key_len = (size_t)snprintf(key, sizeof(key), "user-%" PRIu64, i);
	bool raw = i % 3 == 2;
	size_t value_len = raw ? (i == 2 && fixture->huge_value ? fixture->huge_value : random % 300) : 24;
	uint8_t *value;

	buffer_clear(&entry->composed);
	buffer_clear(&entry->value);
	entry->expiry_ms = random % 4 == 0 ? SB_NO_EXPIRY : (int64_t)mix(random, 1);
	entry->state_id = raw ? 700 : 0;
	if (raw && random % 2)
		key[1] = 0;
	entry->key_group = key_group_of(key_hash(slice_of(key, key_len)), fixture->meta.key_groups);
	if (raw) {
		composed_append_raw(&entry->composed, entry->key_group, entry->state_id, slice_of(key, key_len),
				    slice_of(&random, random % 9));
	} else {
		composed_put_prefix(buffer_reserve(&entry->composed, 4), entry->key_group, entry->state_id);
		entry->composed.len = 4;
		buffer_append(&entry->composed, key, key_len);
	}
	value = buffer_reserve(&entry->value, value_len + 8);
	for (size_t at = 0; at < value_len; at += 8) {
		uint64_t word = mix(random, at % 64); /* repeats: there is something to compress */

		memcpy(value + at, &word, 8);
	}
	entry->value.len = value_len;
}

static void made_entry_done(struct made_entry *entry)
{
	buffer_done(&entry->composed);
	buffer_done(&entry->value);
}

/* Snapshot s holds the entries s, s + snapshots, …; the nth of them, in the fixture's order. */
static uint64_t entries_of(const struct fixture *fixture, uint32_t snapshot)
{
	return fixture->entries / fixture->snapshots + (snapshot < fixture->entries % fixture->snapshots);
}

static uint64_t index_of(const struct fixture *fixture, uint32_t snapshot, uint64_t nth)
{
	if (fixture->reverse)
		nth = entries_of(fixture, snapshot) - 1 - nth;
	return snapshot + nth * fixture->snapshots;
}

static void provider_bytes(const struct fixture *fixture, uint32_t i, struct buffer *bytes)
{
	buffer_clear(bytes);
	for (uint32_t j = 0; j < 5 + i; j++)
		buffer_append_byte(bytes, (uint8_t)mix(fixture->seed, j));
}

static int32_t write_snapshot(struct checkpoint_writer *writer, const struct fixture *fixture, uint32_t snapshot,
			      sb_error *err)
{
	AUTO(made_entry_done) struct made_entry entry = {0};
	char name[32];

	snprintf(name, sizeof(name), "backend-%u", snapshot);
	TRY(checkpoint_writer_snapshot_begin(writer, name, err));
	for (uint64_t n = 0; n < entries_of(fixture, snapshot); n++) {
		make_entry(fixture, index_of(fixture, snapshot, n), &entry);
		TRY(checkpoint_writer_entry(writer, entry.state_id, entry.key_group,
					    composed_user_part(buffer_slice(&entry.composed)),
					    buffer_slice(&entry.value), entry.expiry_ms, err));
	}
	return checkpoint_writer_snapshot_end(writer, err);
}

static int32_t write_all(struct checkpoint_writer *writer, const struct fixture *fixture, sb_error *err)
{
	AUTO(buffer_done) struct buffer bytes = BUFFER_INIT;
	char name[32];

	for (uint32_t i = 0; i < fixture->providers; i++) {
		snprintf(name, sizeof(name), "operator-%u", i);
		provider_bytes(fixture, i, &bytes);
		TRY(checkpoint_writer_provider(writer, name, buffer_slice(&bytes), err));
	}
	for (uint32_t i = 0; i < fixture->snapshots; i++)
		TRY(write_snapshot(writer, fixture, i, err));
	return SB_OK;
}

int32_t fixture_write(struct io *io, const char *dir, const struct fixture *fixture, enum checkpoint_codec codec,
		      struct checkpoint_totals *ret_totals, sb_error *err)
{
	struct checkpoint_totals totals;
	struct checkpoint_writer *writer;
	int64_t file_bytes;
	int32_t status;

	TRY(checkpoint_writer_begin(io, dir, &fixture->meta, codec, &writer, err));
	status = write_all(writer, fixture, err);
	if (status != SB_OK) {
		checkpoint_writer_abort(writer);
		return status;
	}
	TRY(checkpoint_writer_commit(writer, &totals, &file_bytes, err));
	if (ret_totals)
		*ret_totals = totals;
	return SB_OK;
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

#define SAME(condition)                                                                                                \
	do {                                                                                                           \
		if (!(condition))                                                                                      \
			return error_set(err, SB_ERR_INTERNAL, "differs: %s", #condition);                             \
	} while (0)

static int32_t compare_partition(const struct partition_meta *a, const struct partition_meta *b, sb_error *err)
{
	SAME(same_text(a->name, b->name));
	SAME(a->offset == b->offset);
	SAME(a->watermark_ms == b->watermark_ms);
	SAME(a->head_bytes == b->head_bytes && a->head_hash == b->head_hash && a->size == b->size);
	SAME(a->generator_users == b->generator_users && a->generator_count == b->generator_count);
	SAME(a->generator_seed == b->generator_seed);
	SAME(memcmp(&a->generator_rate, &b->generator_rate, sizeof(double)) == 0);
	SAME(a->finished == b->finished);
	return SB_OK;
}

static int32_t compare_schema(const struct schema *a, const struct schema *b, sb_error *err)
{
	AUTO(buffer_done) struct buffer x = BUFFER_INIT;
	AUTO(buffer_done) struct buffer y = BUFFER_INIT;

	schema_to_json(a, &x);
	schema_to_json(b, &y);
	SAME(slice_equal(buffer_slice(&x), buffer_slice(&y)));
	return SB_OK;
}

int32_t fixture_compare_meta(const struct checkpoint_meta *got, const struct checkpoint_meta *wanted, sb_error *err)
{
	SAME(same_text(got->id, wanted->id));
	SAME(got->timestamp_ns == wanted->timestamp_ns);
	SAME(got->kind == wanted->kind && same_text(got->parent, wanted->parent));
	SAME(same_text(got->host_version, wanted->host_version));
	SAME(same_text(got->operator_id, wanted->operator_id));
	SAME(same_text(got->operator_version, wanted->operator_version));
	SAME(same_text(got->backend_id, wanted->backend_id));
	SAME(same_text(got->backend_version, wanted->backend_version));
	SAME(got->key_groups == wanted->key_groups && got->tasks == wanted->tasks);
	SAME(same_text(got->ttl_clock, wanted->ttl_clock) && got->cut_ms == wanted->cut_ms);
	SAME(got->events == wanted->events);
	SAME(got->partition_count == wanted->partition_count && got->output_count == wanted->output_count);
	for (uint64_t i = 0; i < got->partition_count; i++)
		TRY(compare_partition(&got->partitions[i], &wanted->partitions[i], err));
	for (uint64_t i = 0; i < got->output_count; i++) {
		SAME(same_text(got->outputs[i].role, wanted->outputs[i].role));
		SAME(same_text(got->outputs[i].path, wanted->outputs[i].path));
		SAME(got->outputs[i].length == wanted->outputs[i].length);
	}
	return compare_schema(&got->schema, &wanted->schema, err);
}

static int32_t compare_snapshot(struct checkpoint_reader *reader, const struct fixture *fixture, uint32_t snapshot,
				sb_error *err)
{
	AUTO(made_entry_done) struct made_entry entry = {0};
	struct checkpoint_item item;
	char name[32];

	snprintf(name, sizeof(name), "backend-%u", snapshot);
	TRY(checkpoint_reader_next(reader, &item, err));
	SAME(item.kind == ITEM_SNAPSHOT_BEGIN && same_text(item.name, name));
	for (uint64_t n = 0; n < entries_of(fixture, snapshot); n++) {
		make_entry(fixture, index_of(fixture, snapshot, n), &entry);
		TRY(checkpoint_reader_next(reader, &item, err));
		SAME(item.kind == ITEM_ENTRY);
		SAME(item.state_id == entry.state_id && item.key_group == entry.key_group);
		SAME(slice_equal(item.user_part, composed_user_part(buffer_slice(&entry.composed))));
		SAME(slice_equal(item.value, buffer_slice(&entry.value)));
		SAME(item.expiry_ms == entry.expiry_ms);
	}
	TRY(checkpoint_reader_next(reader, &item, err));
	SAME(item.kind == ITEM_SNAPSHOT_END);
	return SB_OK;
}

int32_t fixture_compare_items(struct checkpoint_reader *reader, const struct fixture *fixture, sb_error *err)
{
	AUTO(buffer_done) struct buffer bytes = BUFFER_INIT;
	struct checkpoint_item item;
	char name[32];

	for (uint32_t i = 0; i < fixture->providers; i++) {
		snprintf(name, sizeof(name), "operator-%u", i);
		provider_bytes(fixture, i, &bytes);
		TRY(checkpoint_reader_next(reader, &item, err));
		SAME(item.kind == ITEM_PROVIDER && same_text(item.name, name));
		SAME(slice_equal(item.bytes, buffer_slice(&bytes)));
	}
	for (uint32_t i = 0; i < fixture->snapshots; i++)
		TRY(compare_snapshot(reader, fixture, i, err));
	TRY(checkpoint_reader_next(reader, &item, err));
	SAME(item.kind == ITEM_END);
	return SB_OK;
}

static void close_reader(struct checkpoint_reader **reader)
{
	checkpoint_reader_close(*reader);
}

int32_t fixture_compare(struct io *io, const char *path, const struct fixture *fixture, sb_error *err)
{
	AUTO(close_reader) struct checkpoint_reader *reader = NULL;

	TRY(checkpoint_reader_open(io, path, &reader, err));
	TRY(checkpoint_reader_verify_digest(reader, err));
	TRY(fixture_compare_meta(checkpoint_reader_meta(reader), &fixture->meta, err));
	return fixture_compare_items(reader, fixture, err);
}

uint8_t *file_read(const char *path, size_t *ret_len)
{
	FILE *file = fopen(path, "rbe");
	uint8_t *bytes;
	long len;

	if (!file)
		return NULL;
	fseek(file, 0, SEEK_END);
	len = ftell(file);
	rewind(file);
	bytes = malloc((size_t)len + 1);
	*ret_len = fread(bytes, 1, (size_t)len, file);
	fclose(file);
	return bytes;
}

void file_write(const char *path, const void *bytes, size_t len)
{
	FILE *file = fopen(path, "wbe");

	if (!file || fwrite(bytes, 1, len, file) != len || fclose(file) != 0)
		abort();
}

unsigned count_names(const char *dir, const char *suffix)
{
	AUTO(buffer_done) struct buffer names = BUFFER_INIT;
	sb_error err = ERROR_INIT;
	unsigned found = 0;
	uint64_t count;
	struct io io;

	io_init_system(&io);
	if (io_list(&io, dir, &names, &count, &err) != SB_OK)
		return 0;
	for (size_t i = 0; i < names.len; i += strlen((char *)names.data + i) + 1) {
		size_t len = strlen((char *)names.data + i), end = strlen(suffix);

		found += len >= end && strcmp((char *)names.data + i + len - end, suffix) == 0;
	}
	return found;
}
