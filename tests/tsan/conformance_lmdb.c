/* Those rules of the conformance kit that use threads, on the LMDB backend, for the thread
 * sanitizer. liblmdb is not instrumented: what is watched is our code on both sides of it. */
#include <stdio.h>

#include "conformance/profiles.h"
#include "support/lmdb.h"

#define SKIPPED 77

int main(void)
{
	int failed = 0;

	if (!SB_HAVE_LMDB) {
		puts(LMDB_MISSING);
		return SKIPPED;
	}
	failed |= conformance_run(&profile_lmdb, "threads.calls_may_come_from_different_threads") == VERDICT_FAILED;
	failed |= conformance_run(&profile_lmdb, "threads.instances_are_used_at_the_same_time") == VERDICT_FAILED;
	failed |= conformance_run(&profile_lmdb, "threads.iterators_are_read_by_other_threads_during_writes") ==
		  VERDICT_FAILED;
	return failed;
}
