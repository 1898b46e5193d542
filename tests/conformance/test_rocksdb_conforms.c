/* The conformance kit on the RocksDB backend: as it comes, with files so small that compactions
 * run all the time, and with its other write buffer. */
#include <criterion/criterion.h>

#include "conformance/profiles.h"
#include "support/rocksdb.h"

#define RULE_TEST(kind, group, name, needs, says)                                                                      \
	Test(rocksdb, name)                                                                                            \
	{                                                                                                              \
		NEED_ROCKSDB();                                                                                        \
		CONFORM(profile_rocksdb, #group "." #name);                                                            \
	}                                                                                                              \
	Test(rocksdb_files, name)                                                                                      \
	{                                                                                                              \
		NEED_ROCKSDB();                                                                                        \
		CONFORM(profile_rocksdb_files, #group "." #name);                                                      \
	}                                                                                                              \
	Test(rocksdb_hash, name)                                                                                       \
	{                                                                                                              \
		NEED_ROCKSDB();                                                                                        \
		CONFORM(profile_rocksdb_hash, #group "." #name);                                                       \
	}
KIT_FILE_RULES(RULE_TEST)
KIT_BACKEND_RULES(RULE_TEST)
