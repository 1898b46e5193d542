/* See run_options.h. The table is the reference: --help prints it, README.md follows it. */
#include "cli/run_options.h"

#include <argp.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/number.h"
#include "base/slice.h"
#include "cli/check_options.h"
#include "cli/command.h"
#include "plugin/manifest.h"

#define RUN_NAME "sbhost run"

enum option_key {
	KEY_BACKEND = 0x100,
	KEY_BACKEND_OPT,
	KEY_OPERATOR,
	KEY_OPERATOR_OPT,
	KEY_PLUGIN_DIR,
	KEY_INPUT,
	KEY_FORMAT,
	KEY_MAP,
	KEY_DELIMITER,
	KEY_NO_HEADER,
	KEY_OUTPUT,
	KEY_DEAD_LETTER,
	KEY_ON_ERROR,
	KEY_STATE_DIR,
	KEY_CHECKPOINT_DIR,
	KEY_CHECKPOINT_INTERVAL,
	KEY_CHECKPOINT_MODE,
	KEY_CHECKPOINT_COMPRESSION,
	KEY_MAX_FAILED_CHECKPOINTS,
	KEY_PLUGIN_TIMEOUT,
	KEY_KEEP,
	KEY_RESTORE,
	KEY_RESTORE_VERIFY,
	KEY_SOURCE_PLUGIN,
	KEY_ALLOW_FRESH_START,
	KEY_TTL,
	KEY_TTL_CLOCK,
	KEY_PARALLELISM,
	KEY_CACHE_SIZE,
	KEY_MAX_EVENTS,
	KEY_METRICS_EVERY,
	KEY_PROFILE,
	KEY_SANDBOX,
	KEY_MANIFEST,
	KEY_MANIFEST_KEY,
	KEY_PROGRESS,
	KEY_LOG_LEVEL,
	KEY_LOG_FORMAT,
};

#define GROUP(text)                                                                                                    \
	{                                                                                                              \
		NULL, 0, NULL, 0, text, 0                                                                              \
	}

static const struct argp_option option_table[] = {
	GROUP("Plugins:"),
	{"backend", KEY_BACKEND, "PATH|NAME", 0, "State backend (default rocksdb)", 0},
	{"backend-opt", KEY_BACKEND_OPT, "K=V", 0, "An option of the backend; may be repeated", 0},
	{"operator", KEY_OPERATOR, "PATH|NAME", 0, "Operator (default example-processor)", 0},
	{"operator-opt", KEY_OPERATOR_OPT, "K=V", 0, "An option of the operator; may be repeated", 0},
	{"plugin-dir", KEY_PLUGIN_DIR, "DIR", 0,
	 "Where plugins are looked up by name (default: where they were built or installed)", 0},
	GROUP("Input and output:"),
	{"input", KEY_INPUT, "-|FILE|generator[:K=V,...]", 0,
	 "What to read; may be repeated, for one partition each (default generator:users=5,rate=1)", 0},
	{"format", KEY_FORMAT, "ndjson|csv", 0, "Format of files and standard input (default ndjson)", 0},
	{"map", KEY_MAP, "FIELD=COLUMN[:TIMEFORMAT]", 0,
	 "Where the operator's field is found: a member, a column's name, or its number; may be repeated", 0},
	{"delimiter", KEY_DELIMITER, "CHAR|tab|whitespace", 0, "Between CSV columns (default comma)", 0},
	{"no-header", KEY_NO_HEADER, NULL, 0, "The first CSV line is data; map columns by number", 0},
	{"output", KEY_OUTPUT, "-|FILE|none", 0, "Where records go (default -, in the demonstration none)", 0},
	{"dead-letter", KEY_DEAD_LETTER, "FILE|none", 0, "Where bad records go (default dead-letters.ndjson)", 0},
	{"on-error", KEY_ON_ERROR, "dead-letter|fail", 0, "What to do with a bad record (default dead-letter)", 0},
	{"max-events", KEY_MAX_EVENTS, "N", 0, "End well after N more events (default: no limit)", 0},
	GROUP("State and checkpoints:"),
	{"state-dir", KEY_STATE_DIR, "DIR", 0, "The backend's live files; rebuilt at each start (default ./state-data)",
	 0},
	{"checkpoint-dir", KEY_CHECKPOINT_DIR, "DIR", 0, "Checkpoints (default ./checkpoints)", 0},
	{"checkpoint-interval", KEY_CHECKPOINT_INTERVAL, "DURATION", 0,
	 "Time between checkpoints (default 30s; 0: only the final one)", 0},
	{"checkpoint-mode", KEY_CHECKPOINT_MODE, "incremental|full", 0,
	 "Only what changed, when the backend can tell, or the whole state each time (default incremental)", 0},
	{"checkpoint-compression", KEY_CHECKPOINT_COMPRESSION, "none|lz4|zstd", 0, "Of the state in them (default lz4)",
	 0},
	{"max-failed-checkpoints", KEY_MAX_FAILED_CHECKPOINTS, "N", 0,
	 "How many may fail in a row before the job does (default 3)", 0},
	{"keep", KEY_KEEP, "N", 0, "Checkpoints to keep (default 5)", 0},
	{"restore", KEY_RESTORE, "latest|none|ID", 0, "What to start from (default latest)", 0},
	{"restore-verify", KEY_RESTORE_VERIFY, "full|fast", 0,
	 "Hash a backend's own files before they are used, or look at their sizes only (default full)", 0},
	{"source-plugin", KEY_SOURCE_PLUGIN, "PATH|NAME", 0,
	 "The backend that reads its own files in a checkpoint (default: by its name in the checkpoint)", 0},
	{"allow-fresh-start", KEY_ALLOW_FRESH_START, NULL, 0,
	 "Start from nothing even when there was state and no checkpoint can be restored", 0},
	{"ttl", KEY_TTL, "DURATION", 0, "State expires after so long without a write (default 24h; 0: never)", 0},
	{"ttl-clock", KEY_TTL_CLOCK, "wall|event", 0, "The time that expiry goes by (default wall)", 0},
	GROUP("Performance:"),
	{"parallelism", KEY_PARALLELISM, "N", 0, "Tasks (default 1)", 0},
	{"cache-size", KEY_CACHE_SIZE, "SIZE", 0, "Write-back cache before the backend (default 256MiB; 0: none)", 0},
	GROUP("Safety:"),
	{"sandbox", KEY_SANDBOX, "local|net", OPTION_ARG_OPTIONAL,
	 "Give up, once plugins are loaded, all files and system calls that the job does not need; net leaves network "
	 "connections to remote backends (default local)",
	 0},
	{"plugin-timeout", KEY_PLUGIN_TIMEOUT, "DURATION", 0,
	 "End the process when a call of a plugin takes longer (default 0: it may take any time)", 0},
	{"require-signed-manifest", KEY_MANIFEST, "FILE", 0,
	 "Load no plugin that this list of SHA-256 sums, signed in FILE.sig, does not name", 0},
	{"manifest-key", KEY_MANIFEST_KEY, "FILE", 0,
	 "The key that it is signed with (default " MANIFEST_KEY_DEFAULT ")", 0},
	GROUP("Reports, on standard error:"),
	{"log-level", KEY_LOG_LEVEL, "off|error|warn|info|debug|trace", 0, "(default info)", 0},
	{"log-format", KEY_LOG_FORMAT, "text|logfmt|json", 0, "(default text)", 0},
	{"progress", KEY_PROGRESS, "auto|on|off", 0, "Progress and rate (default auto: on, but in the demonstration)",
	 0},
	{"profile", KEY_PROFILE, NULL, 0, "Tell at the end where the time went", 0},
	{"metrics-every", KEY_METRICS_EVERY, "N", 0, "A line of state metrics every N events (default: none)", 0},
	{0},
};

static int32_t bad_value(struct run_options *o, const char *option, const char *value, const char *wanted)
{
	return error_set(o->err, SB_ERR_CONFIG, "--%s %s: expected %s", option, value, wanted);
}

static int32_t add_text(struct run_options *o, struct text_list *list, const char *text)
{
	const char **grown = realloc(list->items, (list->count + 1) * sizeof(*grown));

	if (!grown)
		return error_no_memory(o->err);
	list->items = grown;
	list->items[list->count++] = text;
	return SB_OK;
}

static int32_t parse_count(struct run_options *o, const char *option, const char *value, uint64_t low, uint64_t high,
			   uint64_t *ret_count)
{
	uint64_t count;

	if (!number_parse_u64(slice_of_text(value), &count) || count < low || count > high)
		return error_set(o->err, SB_ERR_CONFIG, "--%s %s: expected a whole number from %llu to %llu", option,
				 value, (unsigned long long)low, (unsigned long long)high);
	*ret_count = count;
	return SB_OK;
}

static int32_t parse_duration(struct run_options *o, const char *option, const char *value, int64_t *ret_ms)
{
	if (!number_parse_duration(slice_of_text(value), ret_ms) || *ret_ms > INT64_MAX / 2000000)
		return bad_value(o, option, value, "a duration such as 250ms, 30s, 5m, 24h or 7d, or 0");
	return SB_OK;
}

/* The index of value among the NULL-terminated words. */
static int32_t parse_word(struct run_options *o, const char *option, const char *value, const char *const *words,
			  const char *wanted, int *ret_index)
{
	for (int i = 0; words[i]; i++) {
		if (strcmp(value, words[i]) == 0) {
			*ret_index = i;
			return SB_OK;
		}
	}
	return bad_value(o, option, value, wanted);
}

static int32_t parse_delimiter(struct run_options *o, const char *value)
{
	if (strcmp(value, "whitespace") == 0)
		o->job.delimiter = DELIMITER_WHITESPACE;
	else if (strcmp(value, "tab") == 0)
		o->job.delimiter = '\t';
	else if (strlen(value) == 1 && !strchr("\"\r\n", value[0]))
		o->job.delimiter = value[0];
	else
		return bad_value(o, "delimiter", value, "one character, tab or whitespace");
	return SB_OK;
}

static int32_t parse_restore(struct run_options *o, const char *value)
{
	if (strcmp(value, "latest") == 0)
		o->job.restore = RESTORE_LATEST;
	else if (strcmp(value, "none") == 0)
		o->job.restore = RESTORE_NONE;
	else
		o->job.restore = RESTORE_ID;
	o->job.restore_id = value;
	return SB_OK;
}

static int32_t parse_cache_size(struct run_options *o, const char *value)
{
	int64_t bytes;

	if (!number_parse_size(slice_of_text(value), &bytes) || bytes > INT64_C(1) << 50)
		return bad_value(o, "cache-size", value, "a size such as 64MiB or 1GiB, or 0");
	o->job.cache_bytes = (uint64_t)bytes;
	return SB_OK;
}

static int32_t parse_state_option(int key, const char *value, struct run_options *o)
{
	static const char *const codecs[] = {"none", "lz4", "zstd", NULL};
	static const char *const modes[] = {"incremental", "full", NULL};
	static const char *const verifications[] = {"full", "fast", NULL};
	static const char *const clocks[] = {"wall", "event", NULL};
	int index;

	switch (key) {
	case KEY_STATE_DIR:
		o->job.state_dir = value;
		return SB_OK;
	case KEY_CHECKPOINT_DIR:
		o->job.checkpoint_dir = value;
		return SB_OK;
	case KEY_CHECKPOINT_INTERVAL:
		return parse_duration(o, "checkpoint-interval", value, &o->job.checkpoint_interval_ms);
	case KEY_CHECKPOINT_MODE:
		TRY(parse_word(o, "checkpoint-mode", value, modes, "incremental or full", &index));
		o->job.full_checkpoints = index == 1;
		return SB_OK;
	case KEY_CHECKPOINT_COMPRESSION:
		TRY(parse_word(o, "checkpoint-compression", value, codecs, "none, lz4 or zstd", &index));
		o->job.codec = (enum checkpoint_codec)index;
		return SB_OK;
	case KEY_MAX_FAILED_CHECKPOINTS:
		return parse_count(o, "max-failed-checkpoints", value, 0, UINT32_MAX, &o->job.max_failed_checkpoints);
	case KEY_KEEP:
		return parse_count(o, "keep", value, 1, UINT32_MAX, &o->job.keep);
	case KEY_RESTORE:
		return parse_restore(o, value);
	case KEY_RESTORE_VERIFY:
		TRY(parse_word(o, "restore-verify", value, verifications, "full or fast", &index));
		o->job.trust_files = index == 1;
		return SB_OK;
	case KEY_SOURCE_PLUGIN:
		o->job.source_plugin = value;
		return SB_OK;
	case KEY_ALLOW_FRESH_START:
		o->job.allow_fresh_start = true;
		return SB_OK;
	case KEY_TTL:
		return parse_duration(o, "ttl", value, &o->job.ttl_ms);
	case KEY_TTL_CLOCK:
		TRY(parse_word(o, "ttl-clock", value, clocks, "wall or event", &index));
		o->job.event_time = index == 1;
		return SB_OK;
	default:
		return SB_ERR_UNSUPPORTED;
	}
}

static int32_t parse_io_option(int key, const char *value, struct run_options *o)
{
	static const char *const formats[] = {"ndjson", "csv", NULL};
	static const char *const reactions[] = {"dead-letter", "fail", NULL};
	int index;

	switch (key) {
	case KEY_INPUT:
		return add_text(o, &o->inputs, value);
	case KEY_FORMAT:
		TRY(parse_word(o, "format", value, formats, "ndjson or csv", &index));
		o->job.format = (enum input_format)index;
		return SB_OK;
	case KEY_MAP:
		return add_text(o, &o->maps, value);
	case KEY_DELIMITER:
		return parse_delimiter(o, value);
	case KEY_NO_HEADER:
		o->job.has_header = false;
		return SB_OK;
	case KEY_OUTPUT:
		o->output = value;
		return SB_OK;
	case KEY_DEAD_LETTER:
		o->job.dead_letters = value;
		return SB_OK;
	case KEY_ON_ERROR:
		TRY(parse_word(o, "on-error", value, reactions, "dead-letter or fail", &index));
		o->job.stop_on_bad_record = index == 1;
		return SB_OK;
	case KEY_MAX_EVENTS:
		return parse_count(o, "max-events", value, 1, INT64_MAX, &o->job.max_events);
	default:
		return SB_ERR_UNSUPPORTED;
	}
}

static int32_t parse_safety_option(int key, const char *value, struct run_options *o)
{
	static const char *const sandboxes[] = {"local", "net", NULL};
	int index;

	switch (key) {
	case KEY_PLUGIN_TIMEOUT:
		return parse_duration(o, "plugin-timeout", value, &o->job.plugin_timeout_ms);
	case KEY_SANDBOX:
		TRY(parse_word(o, "sandbox", value ? value : sandboxes[0], sandboxes, "local or net", &index));
		o->job.sandbox = index == 0 ? SANDBOX_LOCAL : SANDBOX_NET;
		return SB_OK;
	case KEY_MANIFEST:
		o->job.manifest = value;
		return SB_OK;
	case KEY_MANIFEST_KEY:
		o->job.manifest_key = value;
		return SB_OK;
	default:
		return SB_ERR_UNSUPPORTED;
	}
}

static int32_t parse_log_option(int key, const char *value, struct run_options *o)
{
	static const char *const formats[] = {"text", "logfmt", "json", NULL};
	static const char *const progress[] = {"auto", "on", "off", NULL};
	int index;

	switch (key) {
	case KEY_LOG_LEVEL:
		o->log.level = log_level_parse(value);
		return o->log.level < 0 ? bad_value(o, "log-level", value, "off, error, warn, info, debug or trace")
					: SB_OK;
	case KEY_LOG_FORMAT:
		TRY(parse_word(o, "log-format", value, formats, "text, logfmt or json", &index));
		o->log.format = (enum log_format)index;
		return SB_OK;
	case KEY_PROGRESS:
		TRY(parse_word(o, "progress", value, progress, "auto, on or off", &index));
		o->progress = index;
		return SB_OK;
	case KEY_PROFILE:
		o->job.profile = true;
		return SB_OK;
	case KEY_METRICS_EVERY:
		o->has_metrics_every = true;
		return parse_count(o, "metrics-every", value, 0, INT64_MAX, &o->job.metrics_every);
	default:
		return SB_ERR_UNSUPPORTED;
	}
}

static int32_t parse_other_option(int key, const char *value, struct run_options *o)
{
	uint64_t count;

	switch (key) {
	case KEY_BACKEND:
		o->job.backend = value;
		return SB_OK;
	case KEY_BACKEND_OPT:
		return add_text(o, &o->backend_options, value);
	case KEY_OPERATOR:
		o->job.operator= value;
		return SB_OK;
	case KEY_OPERATOR_OPT:
		return add_text(o, &o->operator_options, value);
	case KEY_PLUGIN_DIR:
		o->job.plugin_dir = value;
		return SB_OK;
	case KEY_PARALLELISM:
		TRY(parse_count(o, "parallelism", value, 1, KEY_GROUPS_DEFAULT, &count));
		o->job.parallelism = (uint32_t)count;
		return SB_OK;
	case KEY_CACHE_SIZE:
		return parse_cache_size(o, value);
	default:
		return SB_ERR_UNSUPPORTED;
	}
}

typedef int32_t option_parser(int key, const char *value, struct run_options *o);

static error_t parse_option(int key, char *value, struct argp_state *state)
{
	static option_parser *const parsers[] = {parse_state_option, parse_io_option, parse_safety_option,
						 parse_log_option, parse_other_option};
	struct run_options *o = state->input;

	if (key == ARGP_KEY_ARG)
		exit(cli_complain(EXIT_USAGE,
				  RUN_NAME ": unexpected word '%s'; inputs are given with --input; see " RUN_NAME
					   " --help",
				  value));
	if (key < KEY_BACKEND || key > KEY_LOG_FORMAT)
		return ARGP_ERR_UNKNOWN;
	for (size_t i = 0; o->status == SB_OK && i < sizeof(parsers) / sizeof(parsers[0]); i++) {
		int32_t status = parsers[i](key, value, o);

		if (status == SB_ERR_UNSUPPORTED)
			continue;
		o->status = status; /* the first bad value is the one to tell of */
		break;
	}
	return 0;
}

static int32_t parse_input(struct run_options *o, const char *text, struct job_input *ret_input)
{
	static const char generator[] = "generator";

	*ret_input = (struct job_input){.kind = SOURCE_FILE, .path = text};
	if (strcmp(text, "-") == 0)
		ret_input->kind = SOURCE_STDIN;
	if (strncmp(text, generator, strlen(generator)) != 0 ||
	    (text[strlen(generator)] && text[strlen(generator)] != ':'))
		return SB_OK;
	ret_input->kind = SOURCE_GENERATOR;
	text += strlen(generator);
	return generator_parse(*text ? text + 1 : NULL, &ret_input->generator, o->err);
}

static int32_t parse_inputs(struct run_options *o)
{
	if (o->inputs.count == 0)
		TRY(add_text(o, &o->inputs, "generator"));
	o->inputs_parsed = calloc(o->inputs.count + 1, sizeof(*o->inputs_parsed));
	if (!o->inputs_parsed)
		return error_no_memory(o->err);
	for (uint64_t i = 0; i < o->inputs.count; i++)
		TRY(parse_input(o, o->inputs.items[i], &o->inputs_parsed[i]));
	o->job.inputs = o->inputs_parsed;
	o->job.input_count = o->inputs.count;
	return SB_OK;
}

static void set_defaults(struct run_options *o)
{
	clock_init_system(&o->clock);
	io_init_system(&o->io);
	o->log = (struct log){.fd = STDERR_FILENO, .level = SB_LOG_INFO, .clock = &o->clock};
	o->job = (struct job_config){
		.io = &o->io,
		.clock = &o->clock,
		.log = &o->log,
		.backend = "rocksdb",
		.delimiter = ',',
		.has_header = true,
		.dead_letters = "dead-letters.ndjson",
		.state_dir = "./state-data",
		.checkpoint_dir = "./checkpoints",
		.checkpoint_interval_ms = 30000,
		.max_failed_checkpoints = 3,
		.codec = CODEC_LZ4,
		.keep = 5,
		.manifest_key = MANIFEST_KEY_DEFAULT,
		.ttl_ms = 86400000,
		.parallelism = 1,
		.cache_bytes = UINT64_C(256) << 20,
	};
}

/* What depends on other options. The demonstration: no operator and no input named. */
static int32_t finish(struct run_options *o)
{
	const bool demo = !o->job.operator&& o->inputs.count == 0;

	TRY(parse_inputs(o));
	if (!o->job.operator)
		o->job.operator= "example-processor";
	if (demo && !o->has_metrics_every)
		o->job.metrics_every = 10;
	if (demo && o->operator_options.count == 0)
		TRY(add_text(o, &o->operator_options, "log_updates=true"));
	o->job.output = o->output ? o->output : demo ? "none" : "-";
	o->job.show_progress = o->progress == 1 || (o->progress == 0 && !demo);
	o->job.progress_bar = o->log.format == LOG_TEXT && isatty(STDERR_FILENO);
	o->log.color = o->job.progress_bar && !getenv("NO_COLOR");
	if (o->log.level < SB_LOG_INFO)
		o->job.show_progress = false;
	if (!o->job.plugin_dir) {
		o->plugin_dir = cli_default_plugin_dir();
		o->job.plugin_dir = o->plugin_dir;
	}
	o->job.backend_options = o->backend_options.items;
	o->job.backend_option_count = o->backend_options.count;
	o->job.operator_options = o->operator_options.items;
	o->job.operator_option_count = o->operator_options.count;
	o->job.maps = o->maps.items;
	o->job.map_count = o->maps.count;
	return o->job.plugin_dir ? SB_OK : error_no_memory(o->err);
}

int32_t run_options_parse(int argc, char **argv, struct run_options *ret_options, sb_error *err)
{
	static const struct argp parser = {
		.options = option_table,
		.parser = parse_option,
		.doc = "Run a job.\v"
		       "Exit status: 0 done, 1 failed while running, 2 usage, 3 configuration, 4 plugin refused, 5 no "
		       "valid checkpoint though there was state, 6 directory in use.",
	};

	if (check_options(RUN_NAME, option_table, argc, argv) != EXIT_DONE)
		exit(EXIT_USAGE);
	memset(ret_options, 0, sizeof(*ret_options));
	ret_options->err = err;
	set_defaults(ret_options);
	argp_err_exit_status = EXIT_USAGE;
	if (argp_parse(&parser, argc, argv, 0, NULL, ret_options) != 0)
		return error_no_memory(err);
	TRY(ret_options->status);
	return finish(ret_options);
}

void run_options_done(struct run_options *o)
{
	free(o->backend_options.items);
	free(o->operator_options.items);
	free(o->maps.items);
	free(o->inputs.items);
	free(o->inputs_parsed);
	free(o->plugin_dir);
}
