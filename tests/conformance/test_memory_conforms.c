/* The conformance kit on the memory backend. */
#include <criterion/criterion.h>

#include "conformance/profiles.h"

#define RULE_TEST(kind, group, name, needs, says)                                                                      \
	Test(memory, name)                                                                                             \
	{                                                                                                              \
		CONFORM(profile_memory, #group "." #name);                                                             \
	}
KIT_FILE_RULES(RULE_TEST)
KIT_BACKEND_RULES(RULE_TEST)
