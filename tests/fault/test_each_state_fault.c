/* As test_each_fault.c, for what events and state go through: sources, outputs, dead letters, the encoder, schemas and their migrations, and keyed state over
 * both kinds of backends, with everything that an operator asks of it and with barriers in between. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/slice.h"
#include "fault/checkpoint_fixture.h"
#include "fault/fault_step.h"
#include "plugin/options.h"
#include "plugin/plugin.h"
#include "state/keyed_state.h"
#include "state/migration.h"
#include "stream/dead_letter.h"
#include "stream/encode.h"
#include "stream/source.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define LONG_RECORD 300000u /* beyond a block */
#define EVENTS 12u

static char dir[128], input[160], out[160], instance_dir[160];
static struct plugin *in_place, *plain, *old_operator, *new_operator;
static struct clock system_clock;
static _Atomic int64_t horizon_ms;
static const struct plugin_env env = {.log = &silent_log, .clock = &system_clock, .horizon_ms = &horizon_ms};

/* --- sources and outputs ------------------------------------------------------------- */

static int32_t read_source(const struct source_config *config, sb_error *err)
{
	struct source_identity identity = {0};
	struct source_record record;
	enum source_status status = SOURCE_RECORD;
	struct source *source;
	int32_t result;

	TRY(source_open(config, &source, err));
	result = source_start(source, 0, NULL, err);
	for (unsigned i = 0; result == SB_OK && i < 20 && status == SOURCE_RECORD; i++)
		status = source_next(source, &record, err);
	if (result == SB_OK && status == SOURCE_FAILED)
		result = err->code;
	if (result == SB_OK)
		result = source_identity(source, &identity, err);
	source_identity_done(&identity);
	source_close(source);
	return result;
}

static int32_t read_file(struct io *io, sb_error *err)
{
	static const sb_field field = {
		.struct_size = sizeof(field), .type = SB_TYPE_STRING, .flags = SB_FIELD_KEY, .name = "a"};
	const struct decoder_config format = {.format = FORMAT_NDJSON, .fields = &field, .field_count = 1};
	struct source_config config = {
		.kind = SOURCE_FILE, .path = input, .io = io, .clock = &system_clock, .log = &silent_log};
	int32_t status;

	TRY(decoder_new(&format, &config.decoder, err));
	status = read_source(&config, err);
	decoder_free(config.decoder);
	return status;
}

static int32_t generate(struct io *io, sb_error *err)
{
	struct source_config config = {.kind = SOURCE_GENERATOR, .io = io, .clock = &system_clock, .log = &silent_log};

	TRY(generator_parse("users=3,rate=0,count=9,seed=5", &config.generator, err));
	return read_source(&config, err);
}

static int32_t write_letters(struct output *output, sb_error *err)
{
	static const struct decode_fault fault = {.reason = "not-json", .detail = "a test says so"};
	const struct source_record texts = {.bytes = slice_of_text("{\"a\":\n"), .offset = 7};
	const struct source_record bytes = {.bytes = slice_of("\xff\xfe", 2), .offset = 9, .oversize = true};

	TRY(dead_letter_write(output, "in.ndjson", &texts, &fault, err));
	TRY(dead_letter_write(output, "in.ndjson", &bytes, &fault, err));
	TRY(output_flush(output, err));
	return output_sync(output, err);
}

static int32_t keep_dead_letters(struct io *io, sb_error *err)
{
	struct output output;
	int32_t status;

	TRY(output_open(&output, io, "dead-letter", out, -1, true, err));
	status = write_letters(&output, err);
	output_close(&output);
	return status;
}

static int32_t encode(struct io *io, sb_error *err)
{
	static const sb_field fields[] = {
		{.struct_size = sizeof(sb_field), .type = SB_TYPE_STRING, .decimals = -1, .name = "name"},
		{.struct_size = sizeof(sb_field), .type = SB_TYPE_F64, .decimals = 9, .name = "fine"},
		{.struct_size = sizeof(sb_field), .type = SB_TYPE_F64, .decimals = 0, .name = "whole"},
		{.struct_size = sizeof(sb_field), .type = SB_TYPE_BOOL, .decimals = -1, .name = "flag"},
		{.struct_size = sizeof(sb_field), .type = SB_TYPE_BOOL, .decimals = -1, .name = "no_flag"},
		{.struct_size = sizeof(sb_field), .type = SB_TYPE_TIME, .decimals = -1, .name = "time"},
	};
	static const char expected[] =
		"{\"name\":\"a\\\"b\",\"fine\":0.123456789,\"whole\":3,\"flag\":true,\"no_flag\":false,"
		"\"time\":\"1970-01-01T00:00:00.000Z\"}\n";
	const sb_value values[] = {{.as = {.ptr = (const uint8_t *)"a\"b"}, .len = 3},
				   {.as = {.f64 = 0.123456789}},
				   {.as = {.f64 = 2.75}},
				   {.as = {.i64 = 1}},
				   {.as = {.i64 = 0}},
				   {.as = {.i64 = 0}}};
	AUTO(buffer_done) struct buffer text = BUFFER_INIT;
	struct encoder *encoder;
	int32_t status;

	(void)io;
	TRY(encoder_new(fields, LENGTH(fields), &encoder, err));
	status = encoder_append(encoder, values, &text, err);
	encoder_free(encoder);
	if (status != SB_OK)
		return status;
	TRY(buffer_check(&text, err));
	if (!slice_equal(buffer_slice(&text), slice_of_text(expected)))
		return error_set(err, SB_ERR_INTERNAL, "it was encoded as %.*s", (int)text.len,
				 (const char *)text.data);
	return SB_OK;
}

/* --- schemas ------------------------------------------------------------------------- */

static const struct component *operator_of(const struct plugin *plugin)
{
	const struct component *found = NULL;
	sb_error err = ERROR_INIT;

	cr_assert_eq(plugin_find_component(plugin, SB_KIND_OPERATOR, &found, &err), SB_OK, "%s", err.message);
	return found;
}

static int32_t round_trip(struct io *io, sb_error *err)
{
	AUTO(buffer_done) struct buffer json = BUFFER_INIT;
	struct schema schema, again;
	int32_t status;

	(void)io;
	TRY(schema_from_component(operator_of(new_operator), 1000, &schema, err));
	schema_to_json(&schema, &json);
	status = buffer_check(&json, err);
	if (status == SB_OK)
		status = schema_from_json(buffer_slice(&json), &again, err);
	if (status == SB_OK)
		schema_done(&again);
	schema_done(&schema);
	return status;
}

static int32_t apply_to_zeros(const struct migration *migration, const struct schema *saved, sb_error *err)
{
	static const uint8_t zeros[4096];
	AUTO(buffer_done) struct buffer scratch = BUFFER_INIT;
	sb_slice value;
	bool dropped;

	for (uint64_t i = 0; i < saved->count; i++)
		TRY(migration_apply(migration, saved->states[i].id, slice_of(zeros, saved->states[i].value_size),
				    &scratch, &value, &dropped, err));
	return SB_OK;
}

static int32_t migrate(struct io *io, sb_error *err)
{
	struct migration *migration;
	struct schema saved, now;
	int32_t status;

	(void)io;
	TRY(schema_from_component(operator_of(old_operator), 1000, &saved, err));
	status = schema_from_component(operator_of(new_operator), 2000, &now, err);
	if (status == SB_OK) {
		status = migration_plan(&now, &saved, &silent_log, &migration, err);
		if (status == SB_OK) {
			status = apply_to_zeros(migration, &saved, err);
			migration_free(migration);
		}
		schema_done(&now);
	}
	schema_done(&saved);
	return status;
}

/* --- keyed state --------------------------------------------------------------------- */

enum { NOTES, PROFILE };

static char name_notes[] = "notes", name_profile[] = "profile", name_count[] = "count";
static struct schema_field count_field = {.name = name_count, .type = SB_TYPE_I64, .size = 8};
static struct schema_state states[] = {
	[NOTES] = {.name = name_notes, .id = 3, .kind = SB_STATE_RAW, .ttl_ms = 5000},
	[PROFILE] = {.name = name_profile,
		     .id = 5,
		     .kind = SB_STATE_STRUCT,
		     .value_size = 24,
		     .fields = &count_field,
		     .field_count = 1},
};
static const struct schema schema = {.states = states, .count = 2};

static int32_t count_notes(void *arg, sb_slice sub_key, sb_slice value)
{
	(void)sub_key;
	(void)value;
	++*(unsigned *)arg;
	return SB_OK;
}

/* What one event does; what went wrong is kept by the keyed state. */
static void handle(struct keyed_state *ks, uint64_t event, unsigned round)
{
	static const char *const subs[] = {"a", "ab", "b"};
	int64_t *count = keyed_state_upsert(ks, PROFILE, event, NULL);
	unsigned notes = 0;
	int32_t found;
	sb_slice value;

	if (count)
		++*count;
	keyed_state_peek(ks, PROFILE, event);
	for (size_t i = 0; i < LENGTH(subs); i++)
		keyed_state_raw_put(ks, NOTES, event, slice_of_text(subs[i]), slice_of_text("a note of some length"),
				    SB_TTL_JOB);
	keyed_state_raw_get(ks, NOTES, event, slice_of_text("ab"), &value, &found);
	keyed_state_raw_scan(ks, NOTES, event, slice_of_text("a"), count_notes, &notes);
	if (event % 3 == round % 3)
		keyed_state_delete(ks, PROFILE, event);
	if (event % 4 == round % 4)
		keyed_state_raw_delete(ks, NOTES, event, slice_of_text("b"));
}

static int32_t run_batch(struct keyed_state *ks, unsigned round, sb_error *err)
{
	static char keys[EVENTS][32];
	sb_event events[EVENTS];
	uint64_t hashes[EVENTS];

	for (unsigned i = 0; i < EVENTS; i++) {
		const int len = snprintf(keys[i], sizeof(keys[i]), "key-%u", i + round * 5);

		events[i] = (sb_event){.key = slice_of(keys[i], (size_t)len), .clock_ms = 1000 + round};
		hashes[i] = key_hash(events[i].key);
	}
	TRY(keyed_state_begin(ks, events, hashes, EVENTS, err));
	for (unsigned i = 0; i < EVENTS; i++)
		handle(ks, i, round);
	TRY(keyed_state_failure(ks, err));
	return keyed_state_end(ks, err);
}

static int32_t use(struct keyed_state *ks, sb_error *err)
{
	for (unsigned round = 0; round < 3; round++)
		TRY(run_batch(ks, round, err));
	TRY(keyed_state_flush(ks, err));
	TRY(run_batch(ks, 1, err));
	keyed_state_freeze(ks);
	TRY(run_batch(ks, 2, err)); /* what is frozen and changed is copied */
	while (keyed_state_frozen(ks))
		TRY(keyed_state_thaw(ks, 4, err));
	keyed_state_release(ks);
	TRY(run_batch(ks, 0, err));
	return keyed_state_flush(ks, err);
}

static int32_t keep_state(const struct plugin *plugin, uint64_t cache_bytes, sb_error *err)
{
	struct keyed_state_config config = {.schema = &schema, .key_groups = 128, .cache_bytes = cache_bytes};
	const struct component *component;
	struct option_set options;
	struct instance *instance;
	struct keyed_state *ks;
	int32_t status;

	TRY(plugin_find_component(plugin, SB_KIND_BACKEND, &component, err));
	TRY(option_set_parse(component, "--backend-opt", NULL, 0, &options, err));
	status = instance_open_backend(component, "backend-0", instance_dir, 0, &options, &env, &instance, err);
	if (status == SB_OK) {
		config.backend = instance;
		status = keyed_state_open(&config, &ks, err);
		if (status == SB_OK) {
			status = use(ks, err);
			keyed_state_close(ks);
		}
		instance_close(instance);
	}
	option_set_done(&options);
	return status;
}

static int32_t keep_in_place(struct io *io, sb_error *err)
{
	(void)io;
	return keep_state(in_place, 1 << 20, err);
}

static int32_t keep_in_a_cache(struct io *io, sb_error *err)
{
	(void)io;
	return keep_state(plain, 1 << 20, err);
}

static int32_t keep_the_batch_only(struct io *io, sb_error *err)
{
	(void)io;
	return keep_state(plain, 0, err);
}

static const struct fault_step steps[] = {
	{"read a file", read_file, true},
	{"generate", generate, false},
	{"keep dead letters", keep_dead_letters, true},
	{"encode", encode, false},
	{"a schema to JSON and back", round_trip, false},
	{"migrate", migrate, false},
	{"keep state in place", keep_in_place, false},
	{"keep state in a cache", keep_in_a_cache, false},
	{"keep state for a batch", keep_the_batch_only, false},
};

/* --- the ground ---------------------------------------------------------------------- */

static struct plugin *load(const char *name)
{
	struct plugin *plugin = NULL;
	sb_error err = ERROR_INIT;
	struct io io;

	io_init_system(&io);
	cr_assert_eq(plugin_load(&io, name, SB_PLUGIN_DIR, &plugin, &err), SB_OK, "%s", err.message);
	return plugin;
}

static void write_input(void)
{
	AUTO(buffer_done) struct buffer text = BUFFER_INIT;

	for (unsigned i = 0; i < 5; i++)
		buffer_printf(&text, "{\"a\":\"short %u\"}\n", i);
	buffer_append_text(&text, "{\"a\":\"");
	for (unsigned i = 0; i < LONG_RECORD; i++)
		buffer_append_byte(&text, 'x');
	buffer_append_text(&text, "\"}\n{\"a\":\"last\"}\n");
	file_write(input, text.data, text.len);
}

static void set_up(void)
{
	sb_error err = ERROR_INIT;
	struct io io;

	io_init_system(&io);
	clock_init_system(&system_clock);
	atomic_store(&horizon_ms, INT64_MIN);
	scratch_make(dir);
	snprintf(input, sizeof(input), "%s/in.ndjson", dir);
	snprintf(out, sizeof(out), "%s/out", dir);
	snprintf(instance_dir, sizeof(instance_dir), "%s/state", dir);
	cr_assert_eq(io_mkdir_p(&io, instance_dir, &err), SB_OK, "%s", err.message);
	write_input();
	in_place = load("memory");
	plain = load(SB_TEST_PLUGIN_DIR "/liblist_backend.so");
	old_operator = load(SB_TEST_PLUGIN_DIR "/libevolving_operator_v1.so");
	new_operator = load(SB_TEST_PLUGIN_DIR "/libevolving_operator_v2.so");
}

static void tear_down(void)
{
	plugin_free(in_place);
	plugin_free(plain);
	plugin_free(old_operator);
	plugin_free(new_operator);
	scratch_remove(dir);
}

TestSuite(each_state_fault, .init = set_up, .fini = tear_down);

Test(each_state_fault, an_allocation_that_fails_is_an_error_that_passes)
{
	sb_error err = ERROR_INIT;

	for (size_t i = 0; i < LENGTH(steps); i++)
		cr_assert_eq(fault_step_starve(&steps[i], &err), SB_OK, "%s", err.message);
}

Test(each_state_fault, a_call_that_fails_is_an_error_that_passes)
{
	static const int failures[] = {EIO, ENOENT, EACCES, EPERM, ENOTDIR};
	sb_error err = ERROR_INIT;

	for (size_t i = 0; i < LENGTH(steps); i++)
		for (size_t f = 0; steps[i].files && f < LENGTH(failures); f++)
			cr_assert_eq(fault_step_fail(&steps[i], failures[f], &err), SB_OK, "%s", err.message);
}
