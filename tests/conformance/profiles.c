/* The plugins that the kit is run on by our own tests: see profiles.h. */
#include "conformance/profiles.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

/* The sanitizers are slow, and the machines of CI slower. */
#define LIMIT_MS 600000

const struct profile profile_memory = {.name = "memory", .plugin = "memory"};
const struct profile profile_example = {.name = "example", .plugin = SB_TEST_PLUGIN_DIR "/liblist_backend.so"};
const struct profile profile_lmdb = {.name = "lmdb", .plugin = "lmdb"};
const struct profile profile_fault = {.name = "fault", .plugin = "fault"};
const struct profile profile_fault_unstable = {
	.name = "fault over a list",
	.plugin = "fault",
	.options = {"inner=" SB_TEST_PLUGIN_DIR "/liblist_backend.so"},
};
const struct profile profile_processor = {.name = "example-processor", .plugin = "example-processor"};
const struct profile profile_rocksdb = {.name = "rocksdb", .plugin = "rocksdb"};
const struct profile profile_rocksdb_files = {
	.name = "rocksdb with tiny files",
	.plugin = "rocksdb",
	.options = {"write_buffer_size=64KiB", "target_file_size=64KiB", "block_size=1KiB", "block_cache_size=64KiB"},
};
const struct profile profile_rocksdb_hash = {
	.name = "rocksdb with hash-linkedlist",
	.plugin = "rocksdb",
	.options = {"memtable=hash-linkedlist", "write_buffer_size=256KiB", "compression=none"},
};

static uint64_t count_options(const struct profile *profile)
{
	uint64_t count = 0;

	while (count < sizeof(profile->options) / sizeof(profile->options[0]) && profile->options[count])
		count++;
	return count;
}

static void take_result(void *context, const struct kit_result *result)
{
	enum verdict *ret_verdict = context;

	*ret_verdict = result->verdict;
	if (result->verdict == VERDICT_PASSED)
		return;
	fprintf(stderr, "%s: %s\n%s%s%s", result->rule->id, result->sentence, result->steps, result->said,
		*result->said ? "\n" : "");
	if (result->verdict == VERDICT_FAILED)
		fprintf(stderr, "again: sbhost plugin check --reproduce %s\n", result->reproduce);
}

enum verdict conformance_run(const struct profile *profile, const char *rule)
{
	const uint64_t seed = rng_test_seed(KIT_SEED);
	enum verdict verdict = VERDICT_NONE;
	sb_error err = ERROR_INIT;
	struct kit_summary summary;
	struct io io;
	const struct kit_config config = {
		.io = &io,
		.plugin = profile->plugin,
		.plugin_dir = SB_PLUGIN_DIR,
		.options = profile->options,
		.option_count = count_options(profile),
		.reproduce = rule,
		.seed = seed,
		.limit_ms = LIMIT_MS,
		.result = take_result,
		.context = &verdict,
	};

	io_init_system(&io);
	if (kit_check(&config, &summary, &err) != SB_OK || verdict == VERDICT_NONE) {
		fprintf(stderr, "%s: %s: %s\n", profile->name, rule,
			err.message[0] ? err.message : "nothing was checked");
		verdict = VERDICT_FAILED;
	}
	kit_summary_done(&summary);
	return verdict;
}

/* --- a subject in this process ------------------------------------------------------ */

static void end_here(const struct trial *trial)
{
	fprintf(stderr, "%s: %s; seed %llu\n", trial->plugin, trial->witness->sentence,
		(unsigned long long)trial->seed);
	abort();
}

void profile_open(struct subject *s, const struct profile *profile, uint64_t seed)
{
	struct trial *trial = calloc(1, sizeof(*trial));
	struct io *io = malloc(sizeof(*io));
	const char *temporary = getenv("TMPDIR");

	if (!trial || !io)
		abort();
	io_init_system(io);
	*trial = (struct trial){
		.plugin = profile->plugin,
		.plugin_dir = SB_PLUGIN_DIR,
		.options = profile->options,
		.option_count = count_options(profile),
		.seed = seed,
		.dir = temporary ? temporary : "/tmp",
		.io = io,
		.witness = witness_new(),
		.end = end_here,
	};
	if (!trial->witness)
		abort();
	subject_init(s, trial, seed);
}

void profile_close(struct subject *s)
{
	struct trial *trial = (struct trial *)s->trial;

	subject_done(s);
	witness_free(trial->witness);
	free(trial->io);
	free(trial);
}
