/* Those rules of the conformance kit that use threads, on the RocksDB backend, for the thread
 * sanitizer. librocksdb is not instrumented: what is watched is our code on both sides of it. */
#include <stdio.h>

#include "conformance/profiles.h"
#include "support/rocksdb.h"

#define SKIPPED 77

int main(void)
{
	int failed = 0;

	if (!SB_HAVE_ROCKSDB) {
		puts(ROCKSDB_MISSING);
		return SKIPPED;
	}
	failed |= conformance_run(&profile_rocksdb, "threads.calls_may_come_from_different_threads") == VERDICT_FAILED;
	failed |= conformance_run(&profile_rocksdb, "threads.instances_are_used_at_the_same_time") == VERDICT_FAILED;
	failed |= conformance_run(&profile_rocksdb_files,
				  "threads.iterators_are_read_by_other_threads_during_writes") == VERDICT_FAILED;
	return failed;
}
