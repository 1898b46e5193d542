/* The conformance suite on the example of docs/examples, which the README shows: what we hand to others as right had better be. */
#include <criterion/criterion.h>

#include "conformance/cases.h"

#define CASE_TEST(name)                                                                                                \
	Test(example, name)                                                                                            \
	{                                                                                                              \
		conformance_run(&profile_example, #name, case_##name);                                                 \
	}
CONFORMANCE_CASES(CASE_TEST)
