/* "sbhost bench": how fast the backends are on this machine, beside each other.
 *
 * One after the other, each in a directory of its own that is removed afterwards: the one that was named, then memory and
 * RocksDB as far as they are installed, which give the figures their scale. */
#include <argp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "base/number.h"
#include "base/slice.h"
#include "base/table.h"
#include "cli/bench_workload.h"
#include "cli/check_options.h"
#include "cli/command.h"
#include "cli/object.h"
#include "cli/show.h"

#define NAME "sbhost bench"
#define SUBJECTS_MAX 3
#define PAIRS_MAX 64

static const char *const part_titles[BENCH_PARTS] = {"LOAD", "GET+PUT", "ZIPF", "STATE", "STATE ZIPF", "WALK"};
static const char *const part_names[BENCH_PARTS] = {"load", "uniform", "zipf", "state", "state_zipf", "walk"};

enum bench_option {
	KEY_BACKEND = 0x100,
	KEY_BACKEND_OPT,
	KEY_PLUGIN_DIR,
	KEY_KEYS,
	KEY_DURATION,
	KEY_CACHE_SIZE,
	KEY_DIR,
	KEY_JSON,
};

static const struct argp_option option_table[] = {
	{"backend", KEY_BACKEND, "PATH|NAME", 0, "Measure this one first (default: memory and rocksdb only)", 0},
	{"backend-opt", KEY_BACKEND_OPT, "K=V", 0, "An option of that backend; may be repeated", 0},
	{"plugin-dir", KEY_PLUGIN_DIR, "DIR", 0,
	 "Where plugins are looked up by name (default: plugins/ beside sbhost)", 0},
	{"keys", KEY_KEYS, "N", 0, "Entries (default 1000000)", 0},
	{"duration", KEY_DURATION, "DURATION", 0, "For each part that changes entries (default 2s)", 0},
	{"cache-size", KEY_CACHE_SIZE, "SIZE", 0, "Write-back cache of the STATE parts (default 256MiB)", 0},
	{"dir", KEY_DIR, "DIR", 0, "Where backends keep files meanwhile (default $TMPDIR, or /tmp)", 0},
	{"json", KEY_JSON, NULL, 0, "Print JSON", 0},
	{0},
};

struct subject {
	const char *backend; /* path or name */
	bool optional; /* one of ours, that need not be installed */
	struct plugin *plugin;
	const struct component *component;
	struct bench_figures figures;
};

struct bench_run {
	struct io io;
	struct clock clock;
	struct log log;
	const char *plugin_dir, *dir;
	char *default_plugin_dir;
	const char *pairs[PAIRS_MAX];
	uint64_t pair_count;
	struct subject subjects[SUBJECTS_MAX];
	uint32_t count;
	struct bench_workload workload;
	sigset_t signals; /* that end it */
	bool json;
	int status; /* of the parser; EXIT_DONE while all is well */
};

static void bad_value(struct bench_run *run, const char *option, const char *value, const char *wanted)
{
	run->status = cli_complain(EXIT_BAD_CONFIG, NAME ": --%s %s: expected %s", option, value, wanted);
}

static void take_keys(struct bench_run *run, const char *value)
{
	if (!number_parse_u64(slice_of_text(value), &run->workload.keys) || run->workload.keys < 1000 ||
	    run->workload.keys > BENCH_KEYS_MAX)
		bad_value(run, "keys", value, "a whole number from 1000 to 1000000000");
}

static void take_duration(struct bench_run *run, const char *value)
{
	int64_t ms;

	if (number_parse_duration(slice_of_text(value), &ms) && ms >= 1 && ms <= 3600000)
		run->workload.part_ns = ms * 1000000;
	else
		bad_value(run, "duration", value, "a time such as 2s, from 1ms to 1h");
}

static void take_cache_size(struct bench_run *run, const char *value)
{
	int64_t bytes;

	if (number_parse_size(slice_of_text(value), &bytes) && bytes >= 0)
		run->workload.cache_bytes = (uint64_t)bytes;
	else
		bad_value(run, "cache-size", value, "a size such as 256MiB, or 0");
}

static error_t parse_option(int key, char *value, struct argp_state *state)
{
	struct bench_run *run = state->input;

	switch (key) {
	case KEY_BACKEND:
		run->subjects[0].backend = value;
		break;
	case KEY_BACKEND_OPT:
		if (run->pair_count == PAIRS_MAX)
			bad_value(run, "backend-opt", value, "fewer options");
		else
			run->pairs[run->pair_count++] = value;
		break;
	case KEY_PLUGIN_DIR:
		run->plugin_dir = value;
		break;
	case KEY_KEYS:
		take_keys(run, value);
		break;
	case KEY_DURATION:
		take_duration(run, value);
		break;
	case KEY_CACHE_SIZE:
		take_cache_size(run, value);
		break;
	case KEY_DIR:
		run->dir = value;
		break;
	case KEY_JSON:
		run->json = true;
		break;
	case ARGP_KEY_ARG:
		run->status = cli_complain(EXIT_USAGE, NAME ": unexpected word %s; see " NAME " --help", value);
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return run->status == EXIT_DONE ? 0 : EINVAL;
}

/* Signals are blocked, so that a directory full of files is not left behind. */
static bool is_wanted(void *context)
{
	const sigset_t *signals = context;
	const struct timespec now = {0};

	return sigtimedwait(signals, NULL, &now) < 0;
}

static void block_signals(sigset_t *ret_signals)
{
	sigemptyset(ret_signals);
	sigaddset(ret_signals, SIGINT);
	sigaddset(ret_signals, SIGTERM);
	sigaddset(ret_signals, SIGHUP);
	sigprocmask(SIG_BLOCK, ret_signals, NULL);
}

static void add_subject(struct bench_run *run, const char *backend, bool optional)
{
	run->subjects[run->count++] = (struct subject){.backend = backend, .optional = optional};
}

/* The named one stands in for one of ours when it is the same file and has no options of its own. */
static bool is_there_already(const struct bench_run *run, const struct plugin *plugin)
{
	return run->count && run->pair_count == 0 && strcmp(run->subjects[0].plugin->path, plugin->path) == 0;
}

static int load_subject(struct bench_run *run, const char *backend, bool optional)
{
	struct subject *subject = &run->subjects[run->count];
	sb_error err = ERROR_INIT;
	struct plugin *plugin;
	int32_t status = plugin_load(&run->io, backend, run->plugin_dir, &plugin, &err);

	if (status == SB_ERR_NOT_FOUND && optional) {
		cli_complain(EXIT_DONE, NAME ": %s is not installed, and is left out", backend);
		return EXIT_DONE;
	}
	if (status == SB_OK && is_there_already(run, plugin)) {
		plugin_free(plugin);
		return EXIT_DONE;
	}
	if (status != SB_OK)
		return cli_fail(EXIT_PLUGIN_REFUSED, &err);
	add_subject(run, backend, optional);
	subject->plugin = plugin;
	if (plugin_find_component(plugin, SB_KIND_BACKEND, &subject->component, &err) != SB_OK)
		return cli_fail(EXIT_PLUGIN_REFUSED, &err);
	return EXIT_DONE;
}

static int load_subjects(struct bench_run *run)
{
	const char *named = run->subjects[0].backend;
	int status = named ? load_subject(run, named, false) : EXIT_DONE;

	if (status == EXIT_DONE && !named && run->pair_count)
		status = cli_complain(EXIT_USAGE, NAME ": --backend-opt needs --backend, whose option it is");
	if (status == EXIT_DONE)
		status = load_subject(run, "memory", true);
	if (status == EXIT_DONE)
		status = load_subject(run, "rocksdb", true);
	return status;
}

static int32_t measure_in(struct bench_run *run, uint32_t index, const char *dir, sb_error *err)
{
	struct subject *subject = &run->subjects[index];
	const bool is_named = !subject->optional;
	_Atomic int64_t horizon_ms;
	const struct plugin_env env = {.log = &run->log, .clock = &run->clock, .horizon_ms = &horizon_ms};
	struct option_set options;
	struct instance *backend;
	int32_t status;

	atomic_init(&horizon_ms, INT64_MIN);
	TRY(option_set_parse(subject->component, "--backend-opt", run->pairs, is_named ? run->pair_count : 0, &options,
			     err));
	status = instance_open_backend(subject->component, "backend-0", dir, SB_OPEN_NO_SHORT_ITER, &options, &env,
				       &backend, err);
	if (status == SB_OK) {
		status = bench_workload_run(&run->workload, backend, &subject->figures, err);
		instance_close(backend);
	}
	option_set_done(&options);
	return status;
}

static int measure(struct bench_run *run, uint32_t index)
{
	AUTO(free_memory) char *dir = NULL;
	sb_error err = ERROR_INIT, ignored = ERROR_INIT;
	int32_t status;

	if (asprintf(&dir, "%s/sbhost-bench-%d-%u", run->dir, (int)getpid(), index) < 0) {
		dir = NULL;
		return cli_complain(EXIT_RUN_FAILED, NAME ": out of memory");
	}
	status = io_mkdir_p(&run->io, dir, &err);
	if (status != SB_OK)
		return cli_fail(EXIT_BAD_CONFIG, &err);
	status = measure_in(run, index, dir, &err);
	io_remove_tree(&run->io, dir, status == SB_OK ? &err : &ignored);
	if (status == SB_OK && err.code == SB_OK)
		return EXIT_DONE;
	return cli_fail(err.code == SB_ERR_CONFIG ? EXIT_BAD_CONFIG : EXIT_RUN_FAILED, &err);
}

static void append_intro(const struct bench_run *run, struct buffer *out)
{
	buffer_printf(out, "%llu entries, keys of %d bytes, values of %u, batches of %u, %g s a part, cache ",
		      (unsigned long long)run->workload.keys, BENCH_USER_KEY_BYTES, BENCH_VALUE_BYTES, BENCH_BATCH,
		      (double)run->workload.part_ns / 1e9);
	show_size(out, run->workload.cache_bytes);
	buffer_append_text(out, "; millions a second\n\n");
}

static void append_rows(const struct bench_run *run, struct buffer *out)
{
	struct table table = {.columns = 1 + BENCH_PARTS, .right = ~1u};

	table_cell(&table, "BACKEND");
	for (int part = 0; part < BENCH_PARTS; part++)
		table_cell(&table, "%s", part_titles[part]);
	for (uint32_t i = 0; i < run->count; i++) {
		table_cell(&table, "%s", run->subjects[i].component->id);
		for (int part = 0; part < BENCH_PARTS; part++)
			table_cell(&table, "%.3f", run->subjects[i].figures.per_second[part] / 1e6);
	}
	for (uint32_t i = 1; i < run->count; i++) {
		table_cell(&table, "%s / %s", run->subjects[0].component->id, run->subjects[i].component->id);
		for (int part = 0; part < BENCH_PARTS; part++)
			table_cell(&table, "%.2f",
				   run->subjects[0].figures.per_second[part] /
					   run->subjects[i].figures.per_second[part]);
	}
	table_append(&table, "", out);
	table_done(&table);
}

static void append_json(const struct bench_run *run, struct buffer *out)
{
	struct object all = object_begin(out);

	object_u64(&all, "keys", run->workload.keys);
	object_u64(&all, "key_bytes", BENCH_USER_KEY_BYTES);
	object_u64(&all, "value_bytes", BENCH_VALUE_BYTES);
	object_u64(&all, "batch", BENCH_BATCH);
	object_u64(&all, "cache_bytes", run->workload.cache_bytes);
	object_name(&all, "backends");
	buffer_append_byte(out, '[');
	for (uint32_t i = 0; i < run->count; i++) {
		struct object one;

		if (i)
			buffer_append_byte(out, ',');
		one = object_begin(out);
		object_text(&one, "backend", run->subjects[i].component->id);
		object_text(&one, "version", run->subjects[i].plugin->version);
		for (int part = 0; part < BENCH_PARTS; part++) {
			object_name(&one, part_names[part]);
			number_append_f64_fixed(out, run->subjects[i].figures.per_second[part], 0);
		}
		object_end(&one);
	}
	buffer_append_byte(out, ']');
	object_end(&all);
	buffer_append_byte(out, '\n');
}

static int bench(struct bench_run *run)
{
	AUTO(buffer_done) struct buffer out = BUFFER_INIT;
	int status = load_subjects(run);

	block_signals(&run->signals);
	run->workload.is_wanted = is_wanted;
	run->workload.context = &run->signals;
	for (uint32_t i = 0; status == EXIT_DONE && i < run->count; i++)
		status = measure(run, i);
	if (status != EXIT_DONE)
		return status;
	if (run->json) {
		append_json(run, &out);
	} else {
		append_intro(run, &out);
		append_rows(run, &out);
	}
	return cli_print(&out);
}

static void init(struct bench_run *run)
{
	const char *temporary = getenv("TMPDIR");

	io_init_system(&run->io);
	clock_init_system(&run->clock);
	run->log = (struct log){.fd = STDERR_FILENO, .level = SB_LOG_WARN, .clock = &run->clock};
	run->default_plugin_dir = cli_default_plugin_dir();
	run->plugin_dir = run->default_plugin_dir ? run->default_plugin_dir : "plugins";
	run->dir = temporary && *temporary ? temporary : "/tmp";
	run->workload = (struct bench_workload){.keys = 1000000,
						.part_ns = INT64_C(2000000000),
						.cache_bytes = UINT64_C(256) << 20,
						.seed = 1,
						.clock = &run->clock};
}

int command_bench(int argc, char **argv)
{
	static const struct argp parser = {
		.options = option_table,
		.parser = parse_option,
		.doc = "Measure state backends on this machine, beside each other.\v"
		       "LOAD: new entries, written in batches. GET+PUT, ZIPF: read and write back, keys uniform or zipf "
		       "0.99, the backend alone. STATE, STATE ZIPF: the same through keyed state and its cache, as in a "
		       "job. WALK: an iterator over everything. At the end every entry is compared with what it must be.",
	};
	static char name[] = NAME;
	struct bench_run run = {.status = EXIT_DONE};
	int status = check_options(NAME, option_table, argc, argv);

	if (status != EXIT_DONE)
		return status;
	argv[0] = name;
	init(&run);
	argp_err_exit_status = EXIT_USAGE;
	if (argp_parse(&parser, argc, argv, 0, NULL, &run) != 0)
		status = run.status != EXIT_DONE ? run.status : cli_complain(EXIT_RUN_FAILED, NAME ": out of memory");
	if (status == EXIT_DONE)
		status = bench(&run);
	for (uint32_t i = 0; i < run.count; i++)
		plugin_free(run.subjects[i].plugin);
	free(run.default_plugin_dir);
	return status;
}
