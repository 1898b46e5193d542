/* The conformance kit on the example operator. */
#include <criterion/criterion.h>

#include "conformance/profiles.h"

#define RULE_TEST(kind, group, name, needs, says)                                                                      \
	Test(example_processor, name)                                                                                  \
	{                                                                                                              \
		CONFORM(profile_processor, #group "." #name);                                                          \
	}
KIT_FILE_RULES(RULE_TEST)
KIT_OPERATOR_RULES(RULE_TEST)
