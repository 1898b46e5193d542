/* The conformance kit on the fault backend with all faults off: what goes wrong in a rehearsal is then what was asked for. One rule cannot
 * hold: it tries the highest value of every option, and here that asks for nothing but failures. */
#include <criterion/criterion.h>
#include <string.h>

#include "conformance/profiles.h"

#define ASKS_FOR_FAULTS(name) (strcmp(name, "values_within_limits_open_or_are_refused") == 0)

#define RULE_TEST(kind, group, name, needs, says)                                                                      \
	Test(fault, name)                                                                                              \
	{                                                                                                              \
		if (ASKS_FOR_FAULTS(#name))                                                                            \
			cr_skip_test("its options ask for failures");                                                  \
		CONFORM(profile_fault, #group "." #name);                                                              \
	}                                                                                                              \
	Test(fault_over_a_list, name)                                                                                  \
	{                                                                                                              \
		if (ASKS_FOR_FAULTS(#name))                                                                            \
			cr_skip_test("its options ask for failures");                                                  \
		CONFORM(profile_fault_unstable, #group "." #name);                                                     \
	}
KIT_FILE_RULES(RULE_TEST)
KIT_BACKEND_RULES(RULE_TEST)
