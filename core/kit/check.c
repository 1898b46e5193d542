/* The kit's front: see check.h. */
#include "kit/check.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/nearest.h"
#include "base/number.h"
#include "base/slice.h"
#include "kit/shrink.h"
#include "plugin/plugin.h"

#define HASH_PIECE (256u << 10)

struct check {
	const struct kit_config *config;
	struct kit_summary *summary;
	struct trial trial;
	const struct rule *only; /* to be reproduced */
	char dir[4096]; /* of all trials */
	char trial_dir[4200];
	sb_error *err;
};

/* --- the file ------------------------------------------------------------------- */

static int32_t hash_file(struct io *io, int fd, const char *path, char ret_hex[KIT_SHA256_HEX + 1], sb_error *err)
{
	AUTO(free_memory) uint8_t *piece = malloc(HASH_PIECE);
	uint8_t digest[SHA256_DIGEST_SIZE];
	struct sha256_ctx sha256;
	size_t len;

	if (!piece)
		return error_no_memory(err);
	sha256_init(&sha256);
	do {
		TRY(io_read(io, fd, piece, HASH_PIECE, &len, path, err));
		sha256_update(&sha256, len, piece);
	} while (len);
	sha256_digest(&sha256, sizeof(digest), digest);
	for (unsigned i = 0; i < sizeof(digest); i++)
		snprintf(ret_hex + 2 * i, 3, "%02x", digest[i]);
	return SB_OK;
}

static int32_t identify(struct check *check)
{
	AUTO(free_memory) char *path = NULL;
	struct io *io = check->config->io;
	int32_t status;
	int fd;

	TRY(plugin_find(io, check->config->plugin, check->config->plugin_dir, &path, check->err));
	check->summary->path = realpath(path, NULL);
	if (!check->summary->path)
		return error_set_errno(check->err, errno, "plugin %s", path);
	TRY(io_open(io, check->summary->path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, &fd, check->err));
	status = hash_file(io, fd, check->summary->path, check->summary->sha256, check->err);
	io_close(io, fd);
	return status;
}

/* --- which rules ---------------------------------------------------------------- */

static int32_t unknown_rule(const char *option, const char *name, size_t len, sb_error *err)
{
	struct nearest near = {.wanted = slice_of(name, len)};

	for (uint64_t i = 0; i < kit_rule_count; i++)
		nearest_offer(&near, kit_rules[i].id);
	return error_set(err, SB_ERR_CONFIG, "%s %.*s: there is no such rule%s%s; docs/plugin-check.md lists them",
			 option, (int)len, name, near.name ? "; did you mean " : "", near.name ? near.name : "");
}

static bool is_wanted(const struct check *check, const struct rule *rule)
{
	const char *filter = check->config->filter;

	if (check->only)
		return rule == check->only;
	return !filter || strstr(rule->id, filter) || fnmatch(filter, rule->id, 0) == 0;
}

static int32_t check_filter(const struct check *check)
{
	for (uint64_t i = 0; i < kit_rule_count; i++)
		if (is_wanted(check, &kit_rules[i]))
			return SB_OK;
	return unknown_rule("--filter", check->config->filter, strlen(check->config->filter), check->err);
}

/* "ID@SEED" and, of random operations, ":ROUND:BATCH:STEPS". */
static int32_t parse_reproduce(struct check *check, const char *text)
{
	const size_t id_len = strcspn(text, "@");
	const char *seed = text + id_len + (text[id_len] == '@');
	const size_t seed_len = strcspn(seed, ":");

	for (uint64_t i = 0; i < kit_rule_count; i++)
		if (strlen(kit_rules[i].id) == id_len && strncmp(kit_rules[i].id, text, id_len) == 0)
			check->only = &kit_rules[i];
	if (!check->only)
		return unknown_rule("--reproduce", text, id_len, check->err);
	if (*seed && !number_parse_u64(slice_of(seed, seed_len), &check->trial.seed))
		return error_set(check->err, SB_ERR_CONFIG, "--reproduce %s: expected RULE@SEED, as the report says it",
				 text);
	if (seed[seed_len] == ':' && plan_parse(seed + seed_len, &check->trial.plan, check->err) != SB_OK)
		return error_prefix(check->err, "--reproduce");
	return SB_OK;
}

/* --- running -------------------------------------------------------------------- */

static int32_t report(struct check *check, const char *component, struct trial_result *result)
{
	AUTO(buffer_done) struct buffer reproduce = BUFFER_INIT;
	const struct trial *trial = &check->trial;
	const bool failed = result->verdict == VERDICT_FAILED;
	struct kit_result told = {
		.rule = trial->rule,
		.component = component,
		.verdict = result->verdict,
		.sentence = result->sentence,
		.steps = failed ? trial->witness->trace : "",
		.duration_ms = result->duration_ms,
	};

	if (failed) {
		buffer_printf(&reproduce, "%s@%llu", trial->rule->id, (unsigned long long)trial->seed);
		if (trial->plan.given)
			plan_append(&trial->plan, &reproduce);
	}
	told.reproduce = buffer_text(&reproduce);
	told.said = buffer_text(&result->said);
	check->summary->counts[result->verdict]++;
	if (!told.reproduce || !told.said)
		return error_no_memory(check->err);
	check->config->result(check->config->context, &told);
	return SB_OK;
}

static bool is_random(const struct rule *rule)
{
	return strncmp(rule->id, "random.", strlen("random.")) == 0;
}

static int32_t run_rule(struct check *check, const struct rule *rule, const char *component)
{
	struct trial *trial = &check->trial;
	struct trial_result result;
	int32_t status;

	trial->rule = rule;
	trial->plan.trace = trial->plan.given;
	TRY(trial_run(trial, check->config->limit_ms, &result, check->err));
	status = SB_OK;
	if (result.verdict == VERDICT_FAILED && is_random(rule) && !trial->plan.given)
		status = shrink_run(trial, check->config->limit_ms, &result, check->err);
	if (status == SB_OK)
		status = report(check, component, &result);
	trial_result_done(&result);
	if (!check->only)
		plan_done(&trial->plan);
	return status;
}

static int32_t skip_rule(struct check *check, const struct rule *rule, const char *component, const char *why)
{
	struct trial_result result = {.verdict = VERDICT_SKIPPED};
	int32_t status;

	check->trial.rule = rule;
	snprintf(result.sentence, sizeof(result.sentence), "%s", why);
	status = report(check, component, &result);
	trial_result_done(&result);
	return status;
}

/* A component of a kind that this host does not know has no rules. */
static bool is_about(const struct rule *rule, const struct component_facts *component)
{
	return (rule->kind == RULE_BACKEND && component->kind == SB_KIND_BACKEND) ||
	       (rule->kind == RULE_OPERATOR && component->kind == SB_KIND_OPERATOR);
}

static int32_t check_component(struct check *check, uint64_t index)
{
	const struct component_facts *component = &check->summary->facts.components[index];

	check->trial.component = index;
	for (uint64_t i = 0; i < kit_rule_count; i++) {
		const struct rule *rule = &kit_rules[i];
		const char *why;

		if (!is_about(rule, component) || !is_wanted(check, rule))
			continue;
		why = rule_does_not_apply(rule, component);
		if (why)
			TRY(skip_rule(check, rule, component->id, why));
		else
			TRY(run_rule(check, rule, component->id));
	}
	return SB_OK;
}

/* What cannot be loaded has failed a rule about the file by now, unless these were filtered out. */
static int32_t describe(struct check *check, bool *ret_loaded)
{
	struct trial_result result;

	check->trial.rule = NULL;
	TRY(trial_run(&check->trial, check->config->limit_ms, &result, check->err));
	trial_result_done(&result);
	*ret_loaded = result.verdict == VERDICT_PASSED;
	if (*ret_loaded)
		check->summary->facts = check->trial.witness->facts;
	else if (!check->summary->counts[VERDICT_FAILED])
		return error_set(check->err, SB_ERR_INVALID, "%s cannot be checked: %s", check->summary->path,
				 result.sentence);
	return SB_OK;
}

static int32_t run_all(struct check *check)
{
	bool loaded;

	for (uint64_t i = 0; i < kit_rule_count; i++)
		if (kit_rules[i].kind == RULE_FILE && is_wanted(check, &kit_rules[i]))
			TRY(run_rule(check, &kit_rules[i], NULL));
	TRY(describe(check, &loaded));
	for (uint64_t i = 0; loaded && i < check->summary->facts.component_count; i++)
		TRY(check_component(check, i));
	return SB_OK;
}

static int32_t begin(struct check *check)
{
	const struct kit_config *config = check->config;
	const char *temporary = getenv("TMPDIR");

	if (config->reproduce)
		TRY(parse_reproduce(check, config->reproduce));
	TRY(check_filter(check));
	TRY(identify(check));
	check->trial.plugin = check->summary->path;
	check->trial.witness = witness_new();
	if (!check->trial.witness)
		return error_no_memory(check->err);
	snprintf(check->dir, sizeof(check->dir), "%.4000s/sbhost-check-XXXXXX", temporary ? temporary : "/tmp");
	if (!mkdtemp(check->dir)) {
		const int cause = errno;

		check->dir[0] = 0;
		return error_set_errno(check->err, cause, "cannot make a directory in %s for the trials: set TMPDIR",
				       temporary ? temporary : "/tmp");
	}
	snprintf(check->trial_dir, sizeof(check->trial_dir), "%s/trial", check->dir);
	check->trial.dir = check->trial_dir;
	if (config->begin)
		config->begin(config->context, check->summary);
	return SB_OK;
}

int32_t kit_check(const struct kit_config *config, struct kit_summary *ret_summary, sb_error *err)
{
	struct check check = {
		.config = config,
		.summary = ret_summary,
		.err = err,
		.trial = {.plugin_dir = config->plugin_dir,
			  .options = config->options,
			  .option_count = config->option_count,
			  .seed = config->seed,
			  .thorough = config->thorough,
			  .io = config->io},
	};
	sb_error removing = ERROR_INIT;
	int32_t status;

	memset(ret_summary, 0, sizeof(*ret_summary));
	status = begin(&check);
	if (status == SB_OK)
		status = run_all(&check);
	if (check.dir[0] && io_remove_tree(config->io, check.dir, &removing) != SB_OK && status == SB_OK)
		status = error_set(err, removing.code, "%s", removing.message);
	witness_free(check.trial.witness);
	plan_done(&check.trial.plan);
	return status;
}

void kit_summary_done(struct kit_summary *summary)
{
	free(summary->path);
	summary->path = NULL;
}
