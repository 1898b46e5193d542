/* See contents_ground.h. */
#include "contents_ground.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/slice.h"
#include "checkpoint/frame.h"
#include "fault/checkpoint_fixture.h"
#include "state/composed_key.h"

#define VALUE_BYTES 24 /* of the fixture's state 0 */
#define BUCKETS 4

/* The ground is no part of what is tested. */
static void must(int32_t status, const sb_error *err)
{
	if (status == SB_OK)
		return;
	fprintf(stderr, "contents ground: %s\n", err->message);
	abort();
}

void contents_ground_init(struct contents_ground *ground)
{
	char shared[160];

	scratch_make(ground->dir);
	snprintf(shared, sizeof(shared), "%s/shared", ground->dir);
	if (mkdir(shared, 0700) != 0)
		abort();
	io_init_system(&ground->io);
	clock_init_system(&ground->clock);
	ground->config = (struct checkpoint_contents_config){
		.clock = &ground->clock, .log = &silent_log, .plugin_dir = SB_TEST_PLUGIN_DIR};
}

void contents_ground_done(struct contents_ground *ground)
{
	scratch_remove(ground->dir);
}

/* --- full ones and deltas -------------------------------------------------------- */

static void make_meta(struct fixture *fixture, uint64_t number, uint32_t depth)
{
	fixture_init(fixture, number, 1, 0);
	if (depth == 0)
		return;
	fixture->meta.kind = CHECKPOINT_INCREMENTAL;
	fixture->meta.depth = depth;
	if (asprintf(&fixture->meta.parent, "checkpoint-%" PRIu64, number - 1) < 0)
		abort();
}

static int32_t write_key(struct checkpoint_writer *writer, sb_slice key, char digit, int64_t expiry_ms, sb_error *err)
{
	uint8_t value[VALUE_BYTES];

	memset(value, digit, sizeof(value));
	return checkpoint_writer_entry(writer, 0, key_group_of(key_hash(key), 128), key, slice_of(value, sizeof(value)),
				       expiry_ms, err);
}

static int32_t write_many(struct checkpoint_writer *writer, unsigned long count, sb_error *err)
{
	for (unsigned long i = 0; i < count; i++) {
		char key[32];

		snprintf(key, sizeof(key), "many-%lu", i);
		TRY(write_key(writer, slice_of_text(key), '0', SB_NO_EXPIRY, err));
	}
	return SB_OK;
}

/* More than a frame holds, under a key that is longer than the others. */
static int32_t write_large(struct checkpoint_writer *writer, char letter, sb_error *err)
{
	const size_t len = FRAME_RAW_FILL + 1;
	AUTO(free_memory) uint8_t *bytes = malloc(len);
	AUTO(buffer_done) struct buffer key = BUFFER_INIT;
	const uint32_t group = key_group_of(key_hash(slice_of(&letter, 1)), 128);

	memset(bytes, '+', len);
	composed_append_raw(&key, group, 700, slice_of(&letter, 1), slice_of(bytes, 1000));
	return checkpoint_writer_entry(writer, 700, group, composed_user_part(buffer_slice(&key)), slice_of(bytes, len),
				       SB_NO_EXPIRY, err);
}

static int32_t write_word(struct checkpoint_writer *writer, const char *word, sb_error *err)
{
	switch (word[0]) {
	case '*':
		return write_many(writer, strtoul(word + 1, NULL, 10), err);
	case '+':
		return write_large(writer, word[1], err);
	case '-':
		return checkpoint_writer_deletion(writer, 0, key_group_of(key_hash(slice_of(word + 1, 1)), 128),
						  slice_of(word + 1, 1), err);
	case '~':
		return write_key(writer, slice_of(word + 1, 1), word[2], 1, err);
	default:
		return write_key(writer, slice_of(word, 1), word[1], SB_NO_EXPIRY, err);
	}
}

static int32_t write_state(struct checkpoint_writer *writer, const char *state, sb_error *err)
{
	AUTO(free_memory) char *copy = strdup(state);
	char *snapshots = NULL, *words = NULL;

	TRY(checkpoint_writer_provider(writer, "operator-0", slice_of("p", 1), err));
	for (char *snapshot = strtok_r(copy, "|", &snapshots); snapshot; snapshot = strtok_r(NULL, "|", &snapshots)) {
		char name[] = "backend-?";
		const char *word = strtok_r(snapshot, " ", &words);

		name[sizeof(name) - 2] = word[0];
		TRY(checkpoint_writer_snapshot_begin(writer, name, err));
		while ((word = strtok_r(NULL, " ", &words)))
			TRY(write_word(writer, word, err));
		TRY(checkpoint_writer_snapshot_end(writer, err));
	}
	return SB_OK;
}

static void write_with(struct contents_ground *ground, const struct checkpoint_meta *meta, const char *state)
{
	struct checkpoint_totals totals;
	struct checkpoint_writer *writer;
	sb_error err = ERROR_INIT;
	int64_t file_bytes;

	must(checkpoint_writer_begin(&ground->io, ground->dir, meta, CODEC_LZ4, &writer, &err), &err);
	must(write_state(writer, state, &err), &err);
	must(checkpoint_writer_commit(writer, &totals, &file_bytes, &err), &err);
}

void contents_write(struct contents_ground *ground, uint64_t number, uint32_t depth, const char *state)
{
	struct fixture fixture;

	make_meta(&fixture, number, depth);
	write_with(ground, &fixture.meta, state);
	fixture_done(&fixture);
}

/* --- native ones ----------------------------------------------------------------- */

void native_draft_init(struct native_draft *draft, uint64_t number, const char *backend_id)
{
	struct fixture fixture;

	fixture_init(&fixture, number, 1, 0);
	draft->meta = fixture.meta;
	draft->meta.kind = CHECKPOINT_INCREMENTAL;
	free(draft->meta.backend_id);
	draft->meta.backend_id = backend_id ? strdup(backend_id) : NULL;
}

/* In the order that the format asks for. */
static void add_file(struct contents_ground *ground, struct native_draft *draft, const char *snapshot, const char *name,
		     sb_slice content)
{
	struct checkpoint_meta *meta = &draft->meta;
	AUTO(buffer_done) struct buffer hex = BUFFER_INIT;
	AUTO(free_memory) char *path = NULL;
	uint8_t digest[SHA256_DIGEST_SIZE];
	struct sha256_ctx sha256;
	struct file_meta *file;

	meta->files = reallocarray(meta->files, meta->file_count + 1, sizeof(*meta->files));
	file = &meta->files[meta->file_count++];
	*file = (struct file_meta){.snapshot = strdup(snapshot), .name = strdup(name), .bytes = (int64_t)content.len};
	sha256_init(&sha256);
	sha256_update(&sha256, content.len, content.ptr);
	sha256_digest(&sha256, sizeof(digest), digest);
	hex_append(&hex, slice_of(digest, sizeof(digest)));
	memcpy(file->sha256, buffer_text(&hex), sizeof(file->sha256));
	if (asprintf(&path, "%s/shared/%s", ground->dir, file->sha256) < 0)
		abort();
	file_write(path, content.ptr, content.len);
}

void native_draft_add(struct contents_ground *ground, struct native_draft *draft, const char *snapshot,
		      const char *current, sb_slice bucket)
{
	add_file(ground, draft, snapshot, "CURRENT", slice_of_text(current ? current : "1 1 1 1\n"));
	for (unsigned i = 0; i < BUCKETS; i++) {
		char name[32];

		snprintf(name, sizeof(name), "bucket-%u-1", i);
		add_file(ground, draft, snapshot, name, i == 0 ? bucket : slice_of("", 0));
	}
}

void native_append_entry(struct buffer *bucket, sb_slice key, sb_slice value, int64_t expiry_ms)
{
	const int64_t head[] = {(int64_t)key.len, (int64_t)value.len, expiry_ms};

	buffer_append(bucket, head, sizeof(head));
	buffer_append_slice(bucket, key);
	buffer_append_slice(bucket, value);
}

void native_draft_write(struct contents_ground *ground, struct native_draft *draft)
{
	AUTO(buffer_done) struct buffer state = BUFFER_INIT;
	const struct checkpoint_meta *meta = &draft->meta;

	for (uint64_t i = 0; i < meta->file_count; i += BUCKETS + 1)
		buffer_printf(&state, "%s%c", i ? "|" : "", meta->files[i].snapshot[strlen("backend-")]);
	write_with(ground, meta, buffer_text(&state));
	metadata_done(&draft->meta);
}

/* --- reading --------------------------------------------------------------------- */

static void append_item(struct buffer *line, const struct checkpoint_item *item)
{
	if (item->kind == ITEM_PROVIDER)
		buffer_printf(line, "p%s ", item->name + strlen("operator-"));
	if (item->kind == ITEM_SNAPSHOT_BEGIN)
		buffer_printf(line, "%s", item->name + strlen("backend-"));
	if (item->kind == ITEM_ENTRY) {
		buffer_append_byte(line, ' ');
		buffer_append_slice(line, item->user_part);
		buffer_append_byte(line, item->value.ptr[0]);
	}
	if (item->kind == ITEM_SNAPSHOT_END)
		buffer_append_byte(line, '|');
}

static int32_t open_contents(const struct checkpoint_contents_config *config, uint64_t number,
			     struct checkpoint_contents **ret_contents, sb_error *err)
{
	char id[CHECKPOINT_ID_BYTES];
	AUTO(free_memory) char *path = NULL;
	struct checkpoint_reader *reader;

	checkpoint_id_format(number, id);
	path = checkpoint_store_path(config->store, id);
	if (!path)
		return error_no_memory(err);
	TRY(checkpoint_reader_open(config->io, path, &reader, err));
	return checkpoint_contents_open(config, reader, ret_contents, err);
}

static int32_t read_items(struct checkpoint_contents *contents, uint64_t max_items, struct buffer *line, sb_error *err)
{
	struct checkpoint_item item;
	uint64_t items = 0;

	do {
		TRY(checkpoint_contents_next(contents, &item, err));
		append_item(line, &item);
	} while (item.kind != ITEM_END && ++items != max_items);
	return buffer_check(line, err);
}

int32_t contents_read(const struct contents_ground *ground, struct io *io, uint64_t number, uint64_t max_items,
		      struct buffer *ret_line, sb_error *err)
{
	struct checkpoint_contents_config config = ground->config;
	struct checkpoint_contents *contents = NULL;
	int32_t status;

	buffer_clear(ret_line);
	config.io = io;
	TRY(checkpoint_store_open(io, &silent_log, ground->dir, false, false, &config.store, err));
	status = open_contents(&config, number, &contents, err);
	if (status == SB_OK)
		status = read_items(contents, max_items, ret_line, err);
	checkpoint_contents_close(contents);
	checkpoint_store_close(config.store);
	return status;
}
