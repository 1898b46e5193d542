/* The conformance suite on the memory backend. */
#include <criterion/criterion.h>

#include "conformance/cases.h"

#define CASE_TEST(name)                                                                                                \
	Test(memory, name)                                                                                             \
	{                                                                                                              \
		conformance_run(&profile_memory, #name, case_##name);                                                  \
	}
CONFORMANCE_CASES(CASE_TEST)
