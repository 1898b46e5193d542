/* The options of all tools, in one table, and their parser: argp, with the options that the command at hand has. */
#include <argp.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/number.h"
#include "base/slice.h"
#include "cli/check_options.h"
#include "cli/tool.h"

static const struct argp_option option_table[] = {
	{"json", TOOL_JSON, NULL, 0, "Print JSON", 0},
	{"plugin-dir", TOOL_PLUGIN_DIR, "DIR", 0,
	 "Where plugins are looked up by name (default: where they were built or installed)", 0},
	{"source-plugin", TOOL_SOURCE_PLUGIN, "PATH|NAME", 0,
	 "The plugin that reads a checkpoint's native files (default: the one that wrote them, by name)", 0},
	{"checkpoint-dir", TOOL_CHECKPOINT_DIR, "DIR", 0, "Checkpoints (default ./checkpoints)", 0},
	{"checkpoint", TOOL_CHECKPOINT, "ID|latest", 0, "Which one (default latest: the newest that is valid)", 0},
	{"state", TOOL_STATE, "NAME", 0, "Only this state", 0},
	{"prefix", TOOL_PREFIX, "P", 0, "Only keys that begin with P", 0},
	{"limit", TOOL_LIMIT, "N", 0, "At most N entries", 0},
	{"verify", TOOL_VERIFY, NULL, 0, "Read every byte of each, instead of head and tail", 0},
	{"all", TOOL_ALL, NULL, 0, "All checkpoints, not only the newest", 0},
	{"samples", TOOL_SAMPLES, "N", 0, "Print the first N entries of each state (default 3)", 0},
	{"exit-code", TOOL_EXIT_CODE, NULL, 0, "End with status 1 when there are differences", 0},
	{"memory", TOOL_MEMORY, "SIZE", 0, "Sort in so much memory, and beyond it in $TMPDIR (default 64MiB)", 0},
	{"compression", TOOL_COMPRESSION, "none|lz4|zstd", 0, "Of the state in the file (default lz4)", 0},
	{"keep", TOOL_KEEP, "N", 0, "Checkpoints to keep (default 5)", 0},
	{"dry-run", TOOL_DRY_RUN, NULL, 0, "Say what would be done, and do nothing", 0},
	{"filter", TOOL_FILTER, "TEXT", 0, "Only rules whose id holds TEXT, or matches it (*, ?)", 0},
	{"reproduce", TOOL_REPRODUCE, "RULE@SEED", 0, "One failure again, as the report names it", 0},
	{"seed", TOOL_SEED, "N", 0, "Of everything that is random (default 20240611)", 0},
	{"thorough", TOOL_THOROUGH, NULL, 0, "Ten times as many random operations", 0},
	{"timeout", TOOL_TIMEOUT, "DURATION", 0, "What one rule may take (default 60s)", 0},
	{"opt", TOOL_OPT, "K=V", 0, "An option of the plugin's components; may be repeated", 0},
	{"kind", TOOL_KIND, "backend|operator", 0, "What the plugin is to be (default backend)", 0},
	{"lang", TOOL_LANG, "c|c++", 0, "The language it is written in (default c)", 0},
	{"dir", TOOL_DIR, "DIR", 0, "The directory to make (default ./NAME)", 0},
	{0},
};

static int usage(struct tool *tool, const char *message, const char *detail)
{
	tool->status = cli_complain(EXIT_USAGE, "%s: %s%s%s; see %s --help", tool->name, message, detail ? " " : "",
				    detail ? detail : "", tool->name);
	return tool->status;
}

static void bad_value(struct tool *tool, const char *option, const char *value, const char *wanted)
{
	error_set(&tool->err, SB_ERR_CONFIG, "--%s %s: expected %s", option, value, wanted);
	tool->status = cli_fail(EXIT_BAD_CONFIG, &tool->err);
}

static void parse_count(struct tool *tool, const char *option, const char *value, uint64_t low, uint64_t *ret_count)
{
	uint64_t count;

	if (number_parse_u64(slice_of_text(value), &count) && count >= low && count <= UINT32_MAX)
		*ret_count = count;
	else
		bad_value(tool, option, value,
			  low ? "a whole number from 1 to 4294967295" : "a whole number from 0 to 4294967295");
}

static void parse_memory(struct tool *tool, const char *value)
{
	int64_t bytes;

	if (number_parse_size(slice_of_text(value), &bytes) && bytes >= 1 << 16 && bytes <= INT64_C(1) << 40)
		tool->memory_bytes = bytes;
	else
		bad_value(tool, "memory", value, "a size such as 64MiB, at least 64KiB");
}

static void parse_compression(struct tool *tool, const char *value)
{
	static const char *const names[] = {[CODEC_NONE] = "none", [CODEC_LZ4] = "lz4", [CODEC_ZSTD] = "zstd"};

	for (int i = 0; i < 3; i++)
		if (strcmp(value, names[i]) == 0) {
			tool->codec = (enum checkpoint_codec)i;
			return;
		}
	bad_value(tool, "compression", value, "none, lz4 or zstd");
}

static void parse_timeout(struct tool *tool, const char *value)
{
	int64_t ms;

	if (number_parse_duration(slice_of_text(value), &ms) && ms > 0)
		tool->timeout_ms = ms;
	else
		bad_value(tool, "timeout", value, "a time such as 60s, above 0");
}

static void parse_seed(struct tool *tool, const char *value)
{
	if (number_parse_u64(slice_of_text(value), &tool->seed))
		tool->seed_given = true;
	else
		bad_value(tool, "seed", value, "a whole number from 0 to 18446744073709551615");
}

/* words: NULL-terminated; wanted tells them to people. */
static void parse_word(struct tool *tool, const char *option, const char *value, const char *const *words,
		       const char *wanted, const char **ret_word)
{
	for (; *words; words++)
		if (strcmp(value, *words) == 0) {
			*ret_word = *words;
			return;
		}
	bad_value(tool, option, value, wanted);
}

static void add_opt(struct tool *tool, const char *value)
{
	if (tool->opt_count < TOOL_OPTS_MAX)
		tool->opts[tool->opt_count++] = value;
	else
		usage(tool, "too many --opt, from", value);
}

static void take_text(struct tool *tool, int key, const char *value)
{
	switch (key) {
	case TOOL_DIR:
		tool->dir = value;
		break;
	case TOOL_PLUGIN_DIR:
		tool->plugin_dir = value;
		break;
	case TOOL_SOURCE_PLUGIN:
		tool->source_plugin = value;
		break;
	case TOOL_CHECKPOINT_DIR:
		tool->checkpoint_dir = value;
		break;
	case TOOL_CHECKPOINT:
		tool->checkpoint_id = value;
		break;
	case TOOL_STATE:
		tool->state = value;
		break;
	case TOOL_FILTER:
		tool->filter = value;
		break;
	case TOOL_REPRODUCE:
		tool->reproduce = value;
		break;
	default:
		tool->prefix = value;
	}
}

static void take_option(struct tool *tool, int key, const char *value)
{
	static const char *const kinds[] = {"backend", "operator", NULL};
	static const char *const languages[] = {"c", "c++", NULL};

	switch (key) {
	case TOOL_JSON:
		tool->json = true;
		break;
	case TOOL_VERIFY:
		tool->verify = true;
		break;
	case TOOL_ALL:
		tool->all = true;
		break;
	case TOOL_EXIT_CODE:
		tool->exit_code = true;
		break;
	case TOOL_DRY_RUN:
		tool->dry_run = true;
		break;
	case TOOL_THOROUGH:
		tool->thorough = true;
		break;
	case TOOL_SEED:
		parse_seed(tool, value);
		break;
	case TOOL_TIMEOUT:
		parse_timeout(tool, value);
		break;
	case TOOL_OPT:
		add_opt(tool, value);
		break;
	case TOOL_KIND:
		parse_word(tool, "kind", value, kinds, "backend or operator", &tool->kind);
		break;
	case TOOL_LANG:
		parse_word(tool, "lang", value, languages, "c or c++", &tool->lang);
		break;
	case TOOL_LIMIT:
		parse_count(tool, "limit", value, 1, &tool->limit);
		break;
	case TOOL_SAMPLES:
		parse_count(tool, "samples", value, 0, &tool->samples);
		break;
	case TOOL_KEEP:
		parse_count(tool, "keep", value, 1, &tool->keep);
		break;
	case TOOL_MEMORY:
		parse_memory(tool, value);
		break;
	case TOOL_COMPRESSION:
		parse_compression(tool, value);
		break;
	default:
		take_text(tool, key, value);
	}
}

static void take_word(struct tool *tool, const char *word)
{
	if (tool->word_count == tool->command->words_max)
		usage(tool, "unexpected word", word);
	else
		tool->words[tool->word_count++] = word;
}

/* The first mistake has been told of; a code that is not argp's own ends the parsing without another word. */
static error_t parse_option(int key, char *value, struct argp_state *state)
{
	struct tool *tool = state->input;

	if (key == ARGP_KEY_ARG)
		take_word(tool, value);
	else if (key == ARGP_KEY_END && tool->word_count < tool->command->words_min)
		usage(tool, "expected", tool->command->words);
	else if (key >= TOOL_JSON && key < TOOL_OPTIONS_END)
		take_option(tool, key, value);
	else
		return ARGP_ERR_UNKNOWN;
	return tool->status == EXIT_DONE ? 0 : EINVAL;
}

static void choose_options(uint32_t options, struct argp_option *ret_table)
{
	for (const struct argp_option *option = option_table; option->name; option++)
		if (options & TOOL_OPTION(option->key))
			*ret_table++ = *option;
	*ret_table = (struct argp_option){0};
}

int tool_arguments_parse(struct tool *tool, int argc, char **argv)
{
	struct argp_option options[TOOL_OPTIONS_END - TOOL_JSON + 1];
	char doc[2048];
	const struct argp parser = {
		.options = options, .parser = parse_option, .args_doc = tool->command->words, .doc = doc};
	int status;

	snprintf(doc, sizeof(doc), "%s\v%s", tool->command->summary, tool->command->doc ? tool->command->doc : "");
	choose_options(tool->command->options, options);
	status = check_options(tool->name, options, argc, argv);
	if (status != EXIT_DONE)
		return status;
	argp_err_exit_status = EXIT_USAGE;
	if (argp_parse(&parser, argc, argv, 0, NULL, tool) != 0 && tool->status == EXIT_DONE)
		return cli_complain(EXIT_RUN_FAILED, "out of memory");
	return tool->status;
}
