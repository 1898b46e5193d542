/* The conformance kit on the LMDB backend. */
#include <criterion/criterion.h>

#include "conformance/profiles.h"
#include "support/lmdb.h"

#define RULE_TEST(kind, group, name, needs, says)                                                                      \
	Test(lmdb, name)                                                                                               \
	{                                                                                                              \
		NEED_LMDB();                                                                                           \
		CONFORM(profile_lmdb, #group "." #name);                                                               \
	}
KIT_FILE_RULES(RULE_TEST)
KIT_BACKEND_RULES(RULE_TEST)
