/* The conformance kit's front: every rule that applies to a plugin, tried one after the other, each in a process of its own.
 *
 * Whoever asks is told of each result as it comes, and of the whole at the end. The plugin's code never runs in
 * the caller's process. */
#ifndef KIT_CHECK_H
#define KIT_CHECK_H

#include "kit/rules.h"

#define KIT_SEED UINT64_C(20240611)
#define KIT_LIMIT_MS 60000
#define KIT_SHA256_HEX 64

struct kit_result {
	const struct rule *rule;
	const char *component; /* id; NULL: the rule is about the file */
	enum verdict verdict;
	const char *sentence; /* why; empty when it passed */
	const char *reproduce; /* for kit_config.reproduce; empty when it did not fail */
	const char *steps; /* of random operations that failed: the fewest that do, a line each; else empty */
	const char *said; /* what the plugin printed last; may be empty */
	int64_t duration_ms;
};

struct kit_summary {
	char *path; /* absolute, links resolved */
	char sha256[KIT_SHA256_HEX + 1];
	struct plugin_facts facts;
	uint64_t counts[VERDICT_SKIPPED + 1]; /* by verdict */
};

struct kit_config {
	struct io *io;
	const char *plugin, *plugin_dir; /* as of plugin_load */
	const char *const *options; /* "name=value", for all components */
	uint64_t option_count;
	const char *filter; /* rules whose id holds this, or matches it (*, ?); NULL: all */
	const char *reproduce; /* "ID@SEED" or what a result says; NULL: none */
	uint64_t seed;
	int64_t limit_ms; /* of one trial */
	bool thorough;
	void (*begin)(void *context,
		      const struct kit_summary *summary); /* the file is known, its facts not yet; may be NULL */
	void (*result)(void *context, const struct kit_result *result);
	void *context;
};

/* SB_OK when the plugin was examined, whatever came out. SB_ERR_NOT_FOUND and the like when there is no such file,
 * SB_ERR_CONFIG when filter or reproduce name no rule. *ret_summary: to be freed by kit_summary_done, in either case. */
int32_t kit_check(const struct kit_config *config, struct kit_summary *ret_summary, sb_error *err);
void kit_summary_done(struct kit_summary *summary);

#endif
