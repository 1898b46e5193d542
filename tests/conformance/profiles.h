/* The plugins that the kit is run on by our own tests, and the options to run them with.
 *
 * The kit is core/kit; nothing is checked here. Free of Criterion, so that the programs in tests/tsan can use it. */
#ifndef CONFORMANCE_PROFILES_H
#define CONFORMANCE_PROFILES_H

#include "kit/check.h"
#include "kit/subject.h"
#include "support/rng.h"

struct profile {
	const char *name;
	const char *plugin;
	const char *options[6]; /* "name=value"; NULL ends them */
};

extern const struct profile profile_memory;
extern const struct profile profile_example; /* docs/examples/list_backend.c */
extern const struct profile profile_lmdb;
/* All faults off: over memory, and over a backend whose iterators are not stable. */
extern const struct profile profile_fault;
extern const struct profile profile_fault_unstable;
extern const struct profile profile_processor; /* plugins/example-processor */
extern const struct profile profile_rocksdb;
/* Tiny write buffers and files, so that entries are found on disk and compactions run. */
extern const struct profile profile_rocksdb_files;
extern const struct profile profile_rocksdb_hash;

/* Tries one rule, and says on standard error what is wrong. */
enum verdict conformance_run(const struct profile *profile, const char *rule);

/* In a Criterion test. */
#define CONFORM(profile, rule)                                                                                         \
	do {                                                                                                           \
		const enum verdict verdict_ = conformance_run(&(profile), rule);                                       \
		if (verdict_ == VERDICT_SKIPPED)                                                                       \
			cr_skip_test("it does not apply");                                                             \
		cr_assert_neq(verdict_, VERDICT_FAILED);                                                               \
	} while (0)

/* A subject in this very process, for tests that do with a backend what the kit does not; a check that fails ends it. */
void profile_open(struct subject *s, const struct profile *profile, uint64_t seed);
void profile_close(struct subject *s);

#endif
