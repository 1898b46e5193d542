/* Steps of the host that are quick enough to fail each of their allocations, and each of their calls on files, at every run: writing, reading, restoring and
 * collecting checkpoints, loading, listing and describing plugins, manifests, options, decoders. Whole jobs, of which a run tries some only, are in
 * test_job_faults.c. */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <fcntl.h>
#include <nettle/eddsa.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/slice.h"
#include "fault/checkpoint_fixture.h"
#include "fault/fault_step.h"
#include "plugin/options.h"
#include "plugin/plugin.h"
#include "stream/decode.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define MEMORY_BACKEND SB_PLUGIN_DIR "/libmemory_backend.so"

struct ground {
	char dir[128], path[256], manifest[256], key[256];
	struct fixture old, new;
	struct plugin *plugin; /* loaded before anything fails */
	const struct component *backend;
};

static struct ground ground;

/* With entries of its own: those of the fixture are made in memory that the fixture cannot do without. */
static int32_t write_items(struct checkpoint_writer *writer, sb_error *err)
{
	static const uint8_t value[24] = "twenty-four bytes of it";

	TRY(checkpoint_writer_provider(writer, "operator-0", slice_of(value, sizeof(value)), err));
	TRY(checkpoint_writer_snapshot_begin(writer, "backend-0", err));
	for (uint8_t i = 0; i < 20; i++) {
		const sb_slice key = slice_of(&i, 1);
		const uint32_t group = key_group_of(key_hash(key), ground.new.meta.key_groups);

		TRY(checkpoint_writer_entry(writer, 0, group, key, slice_of(value, sizeof(value)), SB_NO_EXPIRY, err));
	}
	return checkpoint_writer_snapshot_end(writer, err);
}

static int32_t write_checkpoint(struct io *io, sb_error *err)
{
	struct checkpoint_totals totals;
	struct checkpoint_writer *writer;
	int64_t file_bytes;
	int32_t status;

	unlink(ground.path);
	TRY(checkpoint_writer_begin(io, ground.dir, &ground.new.meta, CODEC_ZSTD, &writer, err));
	status = write_items(writer, err);
	if (status != SB_OK) {
		checkpoint_writer_abort(writer);
		return status;
	}
	return checkpoint_writer_commit(writer, &totals, &file_bytes, err);
}

static int32_t read_checkpoint(struct io *io, sb_error *err)
{
	AUTO(free_memory) char *path = strdup(ground.path);
	struct checkpoint_reader *reader;
	struct checkpoint_item item;
	int32_t status;

	if (!path)
		return error_no_memory(err);
	TRY(checkpoint_verify(io, path, NULL, err));
	TRY(checkpoint_reader_open(io, path, &reader, err));
	do {
		status = checkpoint_reader_next(reader, &item, err);
	} while (status == SB_OK && item.kind != ITEM_END);
	checkpoint_reader_close(reader);
	return status;
}

static int32_t with_store(struct io *io, int32_t (*step)(struct checkpoint_store *store, sb_error *err), sb_error *err)
{
	struct checkpoint_store *store;
	int32_t status;

	TRY(checkpoint_store_open(io, &silent_log, ground.dir, true, true, &store, err));
	status = step(store, err);
	checkpoint_store_close(store);
	return status;
}

static int32_t choose(struct checkpoint_store *store, sb_error *err)
{
	struct checkpoint_reader *reader;
	uint64_t damaged;

	TRY(checkpoint_store_open_newest(store, NULL, true, &reader, &damaged, err));
	checkpoint_reader_close(reader);
	return damaged ? error_set(err, SB_ERR_INTERNAL, "a good checkpoint was taken for a damaged one") : SB_OK;
}

static int32_t choose_checkpoint(struct io *io, sb_error *err)
{
	return with_store(io, choose, err);
}

static int32_t look_up(struct checkpoint_store *store, sb_error *err)
{
	AUTO(free_memory) struct checkpoint_ref *refs = NULL;
	uint64_t count, removed;

	checkpoint_store_has_quarantine(store);
	TRY(checkpoint_store_list(store, &refs, &count, err));
	TRY(checkpoint_store_verify(store, refs[0].id, err));
	return checkpoint_store_collect(store, 5, &removed, err);
}

static int32_t tidy_store(struct io *io, sb_error *err)
{
	return with_store(io, look_up, err);
}

static int32_t load_plugin(struct io *io, sb_error *err)
{
	struct plugin *plugin;

	TRY(plugin_load(io, "memory", SB_PLUGIN_DIR, &plugin, err));
	plugin_free(plugin);
	return SB_OK;
}

static int32_t load_operator(struct io *io, sb_error *err)
{
	struct plugin *plugin;

	TRY(plugin_load(io, SB_TEST_PLUGIN_DIR "/libevolving_operator_v2.so", SB_PLUGIN_DIR, &plugin, err));
	plugin_free(plugin);
	return SB_OK;
}

static int32_t examine_linkage(struct io *io, sb_error *err)
{
	struct plugin_linkage linkage;

	return plugin_examine_linkage(io, MEMORY_BACKEND, &linkage, err);
}

static int32_t load_vouched(struct io *io, sb_error *err)
{
	struct manifest *manifest;
	struct plugin *plugin;
	int32_t status;

	TRY(manifest_load(io, ground.manifest, ground.key, &manifest, err));
	status = plugin_load_vouched(io, MEMORY_BACKEND, SB_PLUGIN_DIR, manifest, &plugin, err);
	if (status == SB_OK)
		plugin_free(plugin);
	manifest_free(manifest);
	return status;
}

static int32_t list_as(struct io *io, bool json, sb_error *err)
{
	AUTO(buffer_done) struct buffer out = BUFFER_INIT;

	TRY(plugin_list(io, SB_PLUGIN_DIR, json, &out, err));
	return buffer_check(&out, err);
}

static int32_t list_rows(struct io *io, sb_error *err)
{
	return list_as(io, false, err);
}

static int32_t list_json(struct io *io, sb_error *err)
{
	return list_as(io, true, err);
}

static int32_t describe_plugin(struct io *io, sb_error *err)
{
	AUTO(buffer_done) struct buffer text = BUFFER_INIT, json = BUFFER_INIT;

	(void)io;
	plugin_describe_text(ground.plugin, &text);
	plugin_describe_json(ground.plugin, &json);
	TRY(buffer_check(&text, err));
	return buffer_check(&json, err);
}

/* The right answer is a refusal that suggests another name. */
static int32_t refuse_name(struct io *io, sb_error *err)
{
	AUTO(free_memory) char *path = NULL;
	int32_t status = plugin_find(io, "memry", SB_PLUGIN_DIR, &path, err);

	return status == SB_ERR_NOT_FOUND && strstr(err->message, "memory") ? SB_OK : status;
}

static int32_t parse_options(struct io *io, sb_error *err)
{
	static const char *const pairs[] = {"initial_entries=4096"};
	struct option_set options;

	(void)io;
	TRY(option_set_parse(ground.backend, "--backend-opt", pairs, 0, &options, err));
	option_set_done(&options);
	return option_set_parse(ground.backend, "--backend-opt", pairs, 1, &options, err) == SB_ERR_CONFIG ? SB_OK
													   : err->code;
}

static const sb_field fields[] = {
	{.struct_size = sizeof(sb_field), .name = "user", .type = SB_TYPE_STRING, .flags = SB_FIELD_KEY},
	{.struct_size = sizeof(sb_field), .name = "amount", .type = SB_TYPE_F64},
};

static int32_t decode_with(const struct decoder_config *config, const char *header, const char *record, sb_error *err)
{
	struct arena arena = {0};
	struct decode_fault fault;
	struct decoder *decoder;
	sb_value values[2];
	int32_t status;

	TRY(decoder_new(config, &decoder, err));
	status = header ? decoder_set_header(decoder, slice_of_text(header), err) : SB_OK;
	if (status == SB_OK) {
		enum decode_result result = decoder_decode(decoder, slice_of_text(record), &arena, values, &fault);

		status = result == DECODE_EVENT	      ? SB_OK
			 : result == DECODE_NO_MEMORY ? error_no_memory(err)
						      : error_set(err, SB_ERR_INTERNAL, "%s", fault.detail);
	}
	arena_done(&arena);
	decoder_free(decoder);
	return status;
}

static int32_t decode_csv(struct io *io, sb_error *err)
{
	static const char *const maps[] = {"user=a\"b"};
	const struct decoder_config config = {.format = FORMAT_CSV,
					      .fields = fields,
					      .field_count = LENGTH(fields),
					      .maps = maps,
					      .map_count = 1,
					      .delimiter = ',',
					      .has_header = true};

	(void)io;
	return decode_with(&config, "\"a\"\"b\",amount", "\"x\"\"y\",1.5", err);
}

static int32_t decode_json(struct io *io, sb_error *err)
{
	const struct decoder_config config = {.format = FORMAT_NDJSON, .fields = fields, .field_count = LENGTH(fields)};

	(void)io;
	return decode_with(&config, NULL, "{\"us\\u0065r\":\"\\u00e4\",\"amount\":1.5}", err);
}

static const struct fault_step steps[] = {
	{"write a checkpoint", write_checkpoint, true},
	{"read a checkpoint", read_checkpoint, true},
	{"choose a checkpoint", choose_checkpoint, true},
	{"list, verify and collect", tidy_store, true},
	{"load a backend", load_plugin, true},
	{"load an operator", load_operator, true},
	{"examine a plugin's linkage", examine_linkage, true},
	{"load by a manifest", load_vouched, true},
	{"list plugins", list_rows, true},
	{"list plugins as JSON", list_json, true},
	{"describe a plugin", describe_plugin, false},
	{"suggest a name", refuse_name, true},
	{"parse options", parse_options, false},
	{"decode CSV", decode_csv, false},
	{"decode JSON", decode_json, false},
};

/* --- the ground ------------------------------------------------------------------ */

static void sign_manifest(void)
{
	static const uint8_t private_key[ED25519_KEY_SIZE] = "for this test and nothing else.";
	uint8_t public_key[ED25519_KEY_SIZE], signature[ED25519_SIGNATURE_SIZE];
	char text[512], path[300], hex[2 * SHA256_DIGEST_SIZE + 1];
	uint8_t digest[SHA256_DIGEST_SIZE];
	struct sha256_ctx context;
	size_t len;
	AUTO(free_memory) uint8_t *plugin = file_read(MEMORY_BACKEND, &len);

	cr_assert(plugin, "cannot read the plugin");
	sha256_init(&context);
	sha256_update(&context, len, plugin);
	sha256_digest(&context, sizeof(digest), digest);
	for (size_t i = 0; i < sizeof(digest); i++)
		snprintf(hex + 2 * i, 3, "%02x", digest[i]);
	snprintf(text, sizeof(text), "%s  another.so\n\n%s  libmemory_backend.so\n", hex, hex);
	ed25519_sha512_public_key(public_key, private_key);
	ed25519_sha512_sign(public_key, private_key, strlen(text), (const uint8_t *)text, signature);
	file_write(ground.manifest, text, strlen(text));
	file_write(ground.key, public_key, sizeof(public_key));
	snprintf(path, sizeof(path), "%s.sig", ground.manifest);
	file_write(path, signature, sizeof(signature));
}

static void set_up(void)
{
	sb_error err = ERROR_INIT;
	struct io io;

	io_init_system(&io);
	scratch_make(ground.dir);
	fixture_init(&ground.old, 1, 1, 20);
	fixture_init(&ground.new, 2, 2, 60);
	snprintf(ground.path, sizeof(ground.path), "%s/%s.json", ground.dir, ground.new.meta.id);
	snprintf(ground.manifest, sizeof(ground.manifest), "%s/manifest", ground.dir);
	snprintf(ground.key, sizeof(ground.key), "%s/key", ground.dir);
	cr_assert_eq(fixture_write(&io, ground.dir, &ground.old, CODEC_LZ4, NULL, &err), SB_OK, "%s", err.message);
	cr_assert_eq(write_checkpoint(&io, &err), SB_OK, "%s", err.message);
	cr_assert_eq(plugin_load(&io, MEMORY_BACKEND, SB_PLUGIN_DIR, &ground.plugin, &err), SB_OK, "%s", err.message);
	cr_assert_eq(plugin_find_component(ground.plugin, SB_KIND_BACKEND, &ground.backend, &err), SB_OK);
	sign_manifest();
}

static void tear_down(void)
{
	plugin_free(ground.plugin);
	fixture_done(&ground.old);
	fixture_done(&ground.new);
	scratch_remove(ground.dir);
}

TestSuite(each_fault, .init = set_up, .fini = tear_down);

Test(each_fault, an_allocation_that_fails_is_an_error_that_passes)
{
	sb_error err = ERROR_INIT;

	for (size_t i = 0; i < LENGTH(steps); i++)
		cr_assert_eq(fault_step_starve(&steps[i], &err), SB_OK, "%s", err.message);
}

Test(each_fault, a_call_that_fails_is_an_error_that_passes)
{
	static const int failures[] = {EIO, ENOENT};
	sb_error err = ERROR_INIT;

	for (size_t i = 0; i < LENGTH(steps); i++)
		for (size_t f = 0; steps[i].files && f < LENGTH(failures); f++)
			cr_assert_eq(fault_step_fail(&steps[i], failures[f], &err), SB_OK, "%s", err.message);
}
