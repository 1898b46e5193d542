/* The conformance kit on the example of docs/examples, which the README shows: what we hand to others as right had better be. */
#include <criterion/criterion.h>

#include "conformance/profiles.h"

#define RULE_TEST(kind, group, name, needs, says)                                                                      \
	Test(example, name)                                                                                            \
	{                                                                                                              \
		CONFORM(profile_example, #group "." #name);                                                            \
	}
KIT_FILE_RULES(RULE_TEST)
KIT_BACKEND_RULES(RULE_TEST)
