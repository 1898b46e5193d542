/* The conformance kit on the fault backend with all faults off: what goes wrong in a rehearsal is then what was asked for. */
#include <criterion/criterion.h>

#include "conformance/profiles.h"

#define RULE_TEST(kind, group, name, needs, says)                                                                      \
	Test(fault, name)                                                                                              \
	{                                                                                                              \
		CONFORM(profile_fault, #group "." #name);                                                              \
	}                                                                                                              \
	Test(fault_over_a_list, name)                                                                                  \
	{                                                                                                              \
		CONFORM(profile_fault_unstable, #group "." #name);                                                     \
	}
KIT_FILE_RULES(RULE_TEST)
KIT_BACKEND_RULES(RULE_TEST)
