/* "sbhost plugin check FILE": see plugin_check.h. The report is data and goes to standard output, as text while
 * it comes about, or as one JSON object at the end. */
#include "cli/plugin_check.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/slice.h"
#include "cli/object.h"
#include "kit/check.h"

static const char *const words[] = {
	[VERDICT_PASSED] = "ok", [VERDICT_FAILED] = "FAIL", [VERDICT_WARNED] = "warn", [VERDICT_SKIPPED] = "skip"};
static const char *const outcomes[] = {[VERDICT_PASSED] = "passed",
				       [VERDICT_FAILED] = "failed",
				       [VERDICT_WARNED] = "warned",
				       [VERDICT_SKIPPED] = "skipped"};

struct printing {
	struct tool *tool;
	const char *component; /* of the last result */
	struct buffer results; /* JSON, separated by commas */
	int status;
};

/* --- text ----------------------------------------------------------------------- */

static void print_some(struct printing *printing)
{
	if (printing->status == EXIT_DONE)
		printing->status = tool_print(printing->tool);
}

static void text_begin(void *context, const struct kit_summary *summary)
{
	struct printing *printing = context;

	buffer_printf(&printing->tool->out, "plugin  %s\nsha256  %s\nseed    %llu\n", summary->path, summary->sha256,
		      (unsigned long long)printing->tool->seed);
	print_some(printing);
}

/* Each line of a text, behind an indent. */
static void append_lines(struct buffer *out, const char *text)
{
	while (*text) {
		const size_t len = strcspn(text, "\n");

		buffer_append_text(out, "        ");
		buffer_append(out, text, len);
		buffer_append_byte(out, '\n');
		text += len + (text[len] == '\n');
	}
}

static void append_detail(struct buffer *out, const char *title, const char *text)
{
	if (*text) {
		buffer_printf(out, "      %s\n", title);
		append_lines(out, text);
	}
}

static void text_result(void *context, const struct kit_result *result)
{
	struct printing *printing = context;
	struct buffer *out = &printing->tool->out;

	if (result->component && (!printing->component || strcmp(result->component, printing->component) != 0))
		buffer_printf(out, "%s\n", result->component);
	printing->component = result->component;
	buffer_printf(out, "%-4s  %s\n", words[result->verdict], result->rule->id);
	if (result->verdict != VERDICT_PASSED)
		buffer_printf(out, "      %s\n", result->sentence);
	if (result->verdict == VERDICT_FAILED) {
		buffer_printf(out, "      the rule: %s\n", result->rule->says);
		append_detail(out, "the fewest operations that do it:", result->steps);
		append_detail(out, "it printed:", result->said);
		buffer_printf(out, "      again: --reproduce %s\n", result->reproduce);
	}
	print_some(printing);
}

static void text_end(struct printing *printing, const struct kit_summary *summary)
{
	const uint64_t *counts = summary->counts;

	buffer_printf(&printing->tool->out, "%s%s%s%s%llu passed, %llu failed, %llu warned, %llu do not apply\n",
		      summary->facts.name, summary->facts.name[0] ? " " : "", summary->facts.version,
		      summary->facts.name[0] ? ": " : "", (unsigned long long)counts[VERDICT_PASSED],
		      (unsigned long long)counts[VERDICT_FAILED], (unsigned long long)counts[VERDICT_WARNED],
		      (unsigned long long)counts[VERDICT_SKIPPED]);
	print_some(printing);
}

/* --- JSON ----------------------------------------------------------------------- */

static void json_result(void *context, const struct kit_result *result)
{
	struct printing *printing = context;
	struct object object;

	if (printing->results.len)
		buffer_append_byte(&printing->results, ',');
	object = object_begin(&printing->results);
	object_text(&object, "rule", result->rule->id);
	object_text(&object, "says", result->rule->says);
	object_text(&object, "component", result->component);
	object_text(&object, "outcome", outcomes[result->verdict]);
	object_text(&object, "sentence", result->sentence);
	object_text(&object, "reproduce", *result->reproduce ? result->reproduce : NULL);
	object_text(&object, "steps", *result->steps ? result->steps : NULL);
	object_text(&object, "printed", *result->said ? result->said : NULL);
	object_i64(&object, "duration_ms", result->duration_ms);
	object_end(&object);
}

static void json_end(struct printing *printing, const struct kit_summary *summary)
{
	struct buffer *out = &printing->tool->out;
	struct object object = object_begin(out);

	object_text(&object, "plugin", summary->path);
	object_text(&object, "sha256", summary->sha256);
	object_text(&object, "name", summary->facts.name[0] ? summary->facts.name : NULL);
	object_text(&object, "version", summary->facts.version[0] ? summary->facts.version : NULL);
	object_u64(&object, "seed", printing->tool->seed);
	for (unsigned verdict = VERDICT_PASSED; verdict <= VERDICT_SKIPPED; verdict++)
		object_u64(&object, outcomes[verdict], summary->counts[verdict]);
	object_name(&object, "results");
	buffer_append_byte(out, '[');
	buffer_append_slice(out, buffer_slice(&printing->results));
	buffer_append_byte(out, ']');
	object_end(&object);
	buffer_append_byte(out, '\n');
	if (printing->results.failed)
		out->failed = true;
	print_some(printing);
}

/* --- the command ---------------------------------------------------------------- */

static int status_of(int32_t code)
{
	return code == SB_ERR_CONFIG ? EXIT_USAGE : EXIT_PLUGIN_REFUSED;
}

int plugin_check(struct tool *tool)
{
	struct printing printing = {.tool = tool};
	struct kit_config config = {
		.io = &tool->io,
		.plugin = tool->words[0],
		.plugin_dir = tool->plugin_dir,
		.options = tool->opts,
		.option_count = tool->opt_count,
		.filter = tool->filter,
		.reproduce = tool->reproduce,
		.seed = tool->seed_given ? tool->seed : KIT_SEED,
		.limit_ms = tool->timeout_ms ? tool->timeout_ms : KIT_LIMIT_MS,
		.thorough = tool->thorough,
		.begin = tool->json ? NULL : text_begin,
		.result = tool->json ? json_result : text_result,
		.context = &printing,
	};
	AUTO(kit_summary_done) struct kit_summary summary;
	sb_error err = ERROR_INIT;

	tool->seed = config.seed;
	if (kit_check(&config, &summary, &err) != SB_OK) {
		buffer_done(&printing.results);
		return tool_fail(tool, status_of(err.code), &err);
	}
	if (tool->json)
		json_end(&printing, &summary);
	else
		text_end(&printing, &summary);
	buffer_done(&printing.results);
	if (printing.status != EXIT_DONE)
		return printing.status;
	return summary.counts[VERDICT_FAILED] ? EXIT_PLUGIN_REFUSED : EXIT_DONE;
}
