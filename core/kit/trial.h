/* One rule tried on one plugin, in a process of its own.
 *
 * The parent never loads the plugin: a constructor that crashes, an entry function that hangs, or a library that calls
 * exit() is a verdict like any other. Each child loads it anew and has an empty directory, so no
 * trial depends on what an earlier one left behind. */
#ifndef KIT_TRIAL_H
#define KIT_TRIAL_H

#include "io/io.h"
#include "kit/witness.h"

struct rule;

/* Which part of the random operations to run: all of them, or what a failure shrank to. */
struct plan {
	bool given;
	bool trace; /* tell each operation */
	uint32_t round;
	uint32_t batch; /* operations in a batch, at most */
	uint32_t *steps; /* ascending */
	uint32_t step_count;
};

struct trial {
	const struct rule *rule; /* NULL: nothing is checked, the plugin is described */
	const char *plugin, *plugin_dir;
	uint64_t component; /* index; of the plugin's components */
	const char *const *options; /* "name=value" */
	uint64_t option_count;
	uint64_t seed;
	bool thorough;
	struct plan plan;
	const char *dir; /* made for the child, and removed behind it */
	struct io *io;
	struct witness *witness;
	/* What ends the trial when it has come to a verdict: the child, or what a test wants instead. Does not return. */
	void (*end)(const struct trial *trial);
};

struct trial_result {
	enum verdict verdict; /* never NONE */
	char sentence[WITNESS_SENTENCE_BYTES];
	struct buffer said; /* on its standard streams: the end of it */
	int64_t duration_ms;
};

/* Runs the trial in a child and waits for it, limit_ms at most. witness keeps what the child wrote. Fails when no
 * child can be had. */
int32_t trial_run(const struct trial *trial, int64_t limit_ms, struct trial_result *ret_result, sb_error *err);
void trial_result_done(struct trial_result *result);

/* In the child: comes to a verdict and ends it. file and line are the check's own. */
_Noreturn void trial_fail(const struct trial *trial, const char *format, ...) __attribute__((format(printf, 2, 3)));
_Noreturn void trial_skip(const struct trial *trial, const char *format, ...) __attribute__((format(printf, 2, 3)));
_Noreturn void trial_warn(const struct trial *trial, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
