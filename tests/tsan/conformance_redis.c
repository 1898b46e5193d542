/* Those rules of the conformance kit that use threads, on the Redis backend, for the thread sanitizer. hiredis is not instrumented: what is
 * watched is our code on both sides of it. */
#include <stdio.h>

#include "conformance/profiles.h"
#include "support/redis.h"

#define SKIPPED 77

int main(void)
{
	struct redis_server server;
	int failed = 0;

	if (!redis_is_available()) {
		puts(REDIS_MISSING);
		return SKIPPED;
	}
	redis_start(&server);
	failed |= conformance_run(&server.profile, "threads.calls_may_come_from_different_threads") == VERDICT_FAILED;
	failed |= conformance_run(&server.profile, "threads.instances_are_used_at_the_same_time") == VERDICT_FAILED;
	redis_stop(&server);
	return failed;
}
