/* Those cases of the conformance suite that use threads, on the RocksDB backend, for the thread
 * sanitizer. librocksdb is not instrumented: what is watched is our code on both sides of it. */
#include <stdio.h>

#include "conformance/cases.h"
#include "support/rocksdb.h"

#define SKIPPED 77

int main(void)
{
	if (!SB_HAVE_ROCKSDB) {
		puts(ROCKSDB_MISSING);
		return SKIPPED;
	}
	conformance_run(&profile_rocksdb, "calls_may_come_from_different_threads",
			case_calls_may_come_from_different_threads);
	conformance_run(&profile_rocksdb, "instances_are_used_at_the_same_time",
			case_instances_are_used_at_the_same_time);
	conformance_run(&profile_rocksdb_files, "iterators_are_read_by_other_threads_during_writes",
			case_iterators_are_read_by_other_threads_during_writes);
	return 0;
}
