/* The conformance kit on the memory backend, for the thread sanitizer: a plain program,
 * since Criterion aborts under it. */
#include <stdio.h>

#include "conformance/profiles.h"

#define RUN_RULE(kind, group, name, needs, says)                                                                       \
	puts("memory: " #group "." #name);                                                                             \
	fflush(stdout);                                                                                                \
	failed |= conformance_run(&profile_memory, #group "." #name) == VERDICT_FAILED;

int main(void)
{
	int failed = 0;

	KIT_BACKEND_RULES(RUN_RULE)
	return failed;
}
