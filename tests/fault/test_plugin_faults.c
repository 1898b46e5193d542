/* What a plugin brings along, while memory runs out or files cannot be read: its descriptor and its description, where its libraries are looked for, a
 * backend within another one, options and records that are refused. Steps like those of test_each_fault.c. */
#include <cjson/cJSON.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/slice.h"
#include "fault/checkpoint_fixture.h"
#include "fault/fault_step.h"
#include "fault/starve.h"
#include "plugin/instance.h"
#include "stream/decode.h"
#include "support/descriptor.h"
#include "support/elf_image.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static struct {
	char dir[128], path[256];
	struct descriptor descriptor;
	struct instance *instance; /* asks for another backend */
} ground;

/* --- plugins ---------------------------------------------------------------------- */

static void free_plugin(struct plugin **plugin)
{
	plugin_free(*plugin);
}

static int32_t describe_descriptor(struct io *io, sb_error *err)
{
	AUTO(buffer_done) struct buffer text = BUFFER_INIT, json = BUFFER_INIT;
	AUTO(free_plugin) struct plugin *plugin = NULL;

	(void)io;
	TRY(descriptor_normalize(&ground.descriptor, &plugin, err));
	plugin_describe_text(plugin, &text);
	plugin_describe_json(plugin, &json);
	TRY(buffer_check(&text, err));
	return buffer_check(&json, err);
}

static int32_t refuse_default(struct io *io, sb_error *err)
{
	AUTO(free_plugin) struct plugin *plugin = NULL;
	struct descriptor spoilt;
	int32_t status;

	(void)io;
	descriptor_init(&spoilt);
	spoilt.size.default_text = "many";
	status = descriptor_normalize(&spoilt, &plugin, err);
	return status == SB_ERR_INVALID ? SB_OK : status;
}

static int32_t vet_plugin(struct io *io, sb_error *err)
{
	struct plugin_note note;

	return plugin_vet(io, ground.path, &note, err);
}

/* One that is accepted and one that is not. */
static int32_t list_plugins(struct io *io, sb_error *err)
{
	AUTO(buffer_done) struct buffer out = BUFFER_INIT;

	TRY(plugin_list(io, ground.dir, true, &out, err));
	return buffer_check(&out, err);
}

static int32_t open_inner(struct io *io, sb_error *err)
{
	const sb_host *host = &ground.instance->host;
	const sb_backend_open_ops *ops = host->extension(host, SB_EXT_BACKEND_OPEN);
	sb_inner_backend inner = {.struct_size = sizeof(inner)};
	const char *option = "size=8KiB";

	(void)io;
	TRY(ops->open(host, "good", 1, &option, ground.dir, 0, &inner, err));
	ops->close(host, &inner);
	return SB_OK;
}

static void never(void *context, const struct instance *instance, const char *call)
{
	(void)context;
	(void)instance;
	(void)call;
}

static int32_t watch(struct io *io, sb_error *err)
{
	struct watchdog *watchdog;

	(void)io;
	TRY(watchdog_start(60000, never, NULL, &watchdog, err));
	watchdog_stop(watchdog);
	return SB_OK;
}

/* --- options and records ------------------------------------------------------------ */

static int32_t refuse_pair(const char *pair, sb_error *err)
{
	const struct component component = {.id = "thing", .options = &ground.descriptor.size, .option_count = 1};
	struct option_set set;
	int32_t status = option_set_parse(&component, "--backend-opt", &pair, 1, &set, err);

	return status == SB_ERR_CONFIG ? SB_OK : status;
}

static int32_t refuse_value(struct io *io, sb_error *err)
{
	(void)io;
	return refuse_pair("size=many", err);
}

static int32_t refuse_option(struct io *io, sb_error *err)
{
	(void)io;
	return refuse_pair("nothing_like_it=1", err);
}

static int32_t refuse_map(struct io *io, sb_error *err)
{
	static const char *const maps[] = {"nobody=x"};
	const struct decoder_config config = {.format = FORMAT_NDJSON,
					      .fields = &ground.descriptor.key,
					      .field_count = 1,
					      .maps = maps,
					      .map_count = 1};
	struct decoder *decoder;
	int32_t status;

	(void)io;
	status = decoder_new(&config, &decoder, err);
	return status == SB_ERR_CONFIG ? SB_OK : status;
}

static int32_t refuse_header(struct io *io, sb_error *err)
{
	const struct decoder_config config = {.format = FORMAT_CSV,
					      .fields = &ground.descriptor.key,
					      .field_count = 1,
					      .delimiter = ',',
					      .has_header = true};
	struct decoder *decoder;
	int32_t status;

	(void)io;
	TRY(decoder_new(&config, &decoder, err));
	status = decoder_set_header(decoder, slice_of_text("nobody,nothing"), err);
	decoder_free(decoder);
	return status == SB_ERR_CONFIG ? SB_OK : status;
}

/* The first thing that needs memory is a value. */
static int32_t unescape_value(struct io *io, sb_error *err)
{
	const struct decoder_config config = {
		.format = FORMAT_NDJSON, .fields = &ground.descriptor.key, .field_count = 1};
	struct arena arena = ARENA_INIT;
	struct decode_fault fault;
	struct decoder *decoder;
	enum decode_result result;
	sb_value value;

	(void)io;
	TRY(decoder_new(&config, &decoder, err));
	result = decoder_decode(decoder, slice_of_text("{\"user_id\":\"\\u00e4\"}"), &arena, &value, &fault);
	arena_done(&arena);
	decoder_free(decoder);
	if (result == DECODE_NO_MEMORY)
		return error_no_memory(err);
	return result == DECODE_EVENT ? SB_OK : error_set(err, SB_ERR_INTERNAL, "%s", fault.detail);
}

static const struct fault_step steps[] = {
	{"describe a descriptor", describe_descriptor, false},
	{"refuse a default", refuse_default, false},
	{"vet a plugin with a search path", vet_plugin, true},
	{"list plugins", list_plugins, true},
	{"open a backend within another", open_inner, false},
	{"watch", watch, false},
	{"refuse a value", refuse_value, false},
	{"refuse an option", refuse_option, false},
	{"refuse a map", refuse_map, false},
	{"refuse a header", refuse_header, false},
	{"unescape a value", unescape_value, false},
};

/* --- the ground ------------------------------------------------------------------- */

static int32_t outer_open(const sb_backend_config *config, sb_backend **ret_backend, sb_error *err)
{
	(void)config;
	(void)err;
	*ret_backend = (sb_backend *)&ground;
	return SB_OK;
}

static void outer_close(sb_backend *backend)
{
	(void)backend;
}

static void open_outer(void)
{
	static char path[] = SB_TEST_PLUGIN_DIR "/libouter.so", name[] = "outer";
	static struct plugin plugin = {.path = path, .name = name};
	static _Atomic uint32_t open_instances;
	static const struct component component = {.plugin = &plugin,
						   .kind = SB_KIND_BACKEND,
						   .id = "outer",
						   .backend = {.open = outer_open, .close = outer_close},
						   .open_instances = &open_instances};
	static const struct log silent = {.fd = -1};
	const struct plugin_env env = {.log = &silent};
	sb_error err = ERROR_INIT;

	cr_assert_eq(instance_open_backend(&component, "backend-0", "/", 0, NULL, &env, &ground.instance, &err), SB_OK,
		     "%s", err.message);
}

/* What libraries ask for among themselves does not fail, but cJSON lets itself be told where to ask. */
static void set_up(void)
{
	cJSON_Hooks hooks = {.malloc_fn = malloc, .free_fn = free};
	struct elf_image image;
	char broken[256];

	scratch_make(ground.dir);
	snprintf(ground.path, sizeof(ground.path), "%s/search.so", ground.dir);
	snprintf(broken, sizeof(broken), "%s/broken.so", ground.dir);
	elf_image_open(&image, SB_TEST_PLUGIN_DIR "/libgood_backend.so");
	elf_image_set_search(&image, "$ORIGIN/lib:/usr/lib");
	elf_image_save(&image, ground.path);
	elf_image_close(&image);
	file_write(broken, "no library", 10);
	descriptor_init(&ground.descriptor);
	open_outer();
	cJSON_InitHooks(&hooks);
}

static void tear_down(void)
{
	instance_close(ground.instance);
	scratch_remove(ground.dir);
}

TestSuite(plugin_faults, .init = set_up, .fini = tear_down, .timeout = 300);

Test(plugin_faults, an_allocation_that_fails_is_an_error_that_passes)
{
	sb_error err = ERROR_INIT;

	for (size_t i = 0; i < LENGTH(steps); i++)
		cr_assert_eq(fault_step_starve(&steps[i], &err), SB_OK, "%s", err.message);
}

Test(plugin_faults, a_call_that_fails_is_an_error_that_passes)
{
	static const int failures[] = {EIO, ENOENT};
	sb_error err = ERROR_INIT;

	for (size_t i = 0; i < LENGTH(steps); i++)
		for (size_t f = 0; steps[i].files && f < LENGTH(failures); f++)
			cr_assert_eq(fault_step_fail(&steps[i], failures[f], &err), SB_OK, "%s", err.message);
}

/* --- an arena ---------------------------------------------------------------------- */

/* A new plugin whose arena has this much room left, and gets no more. */
static int32_t normalize_within(size_t spare, sb_error *err)
{
	AUTO(free_plugin) struct plugin *plugin = calloc(1, sizeof(*plugin));
	int32_t status;

	cr_assert(plugin);
	plugin->path = strdup("/x.so");
	cr_assert(plugin->path && arena_alloc(&plugin->memory, 1));
	cr_assert(arena_alloc(&plugin->memory, (size_t)(plugin->memory.end - plugin->memory.at) - spare));
	cr_assert_eq(plugin->memory.end - plugin->memory.at, (ptrdiff_t)spare);
	starve_arm(1, true);
	status = normalize_plugin(&ground.descriptor.plugin, &ground.descriptor.note, plugin, err);
	starve_disarm();
	return status;
}

/* An arena takes memory in large pieces: of what is made in it, only the first thing would find none otherwise. */
Test(plugin_faults, a_descriptor_that_does_not_fit_is_out_of_memory_wherever_it_stops)
{
	sb_error err = ERROR_INIT;
	size_t spare = 0;
	int32_t status;

	while ((status = normalize_within(spare, &err)) != SB_OK) {
		cr_assert_eq(status, SB_ERR_NO_MEMORY, "%zu bytes: %s", spare, err.message);
		cr_assert_str_eq(err.message, "out of memory");
		spare += 16;
	}
	cr_assert_gt(spare, sizeof(sb_component));
}
