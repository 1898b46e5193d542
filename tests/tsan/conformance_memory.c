/* The conformance suite on the memory backend, for the thread sanitizer: a plain program,
 * since Criterion aborts under it. */
#include <stdio.h>

#include "conformance/cases.h"

#define RUN_CASE(name)                                                                                                 \
	puts("memory: " #name);                                                                                        \
	fflush(stdout);                                                                                                \
	conformance_run(&profile_memory, #name, case_##name);

int main(void)
{
	CONFORMANCE_CASES(RUN_CASE)
	return 0;
}
