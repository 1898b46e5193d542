/* The conformance suite on the RocksDB backend: as it comes, with files so small that compactions
 * run all the time, and with its other write buffer. */
#include <criterion/criterion.h>

#include "conformance/cases.h"
#include "support/rocksdb.h"

#define CASE_TEST(name)                                                                                                \
	Test(rocksdb, name)                                                                                            \
	{                                                                                                              \
		NEED_ROCKSDB();                                                                                        \
		conformance_run(&profile_rocksdb, #name, case_##name);                                                 \
	}                                                                                                              \
	Test(rocksdb_files, name)                                                                                      \
	{                                                                                                              \
		NEED_ROCKSDB();                                                                                        \
		conformance_run(&profile_rocksdb_files, #name, case_##name);                                           \
	}                                                                                                              \
	Test(rocksdb_hash, name)                                                                                       \
	{                                                                                                              \
		NEED_ROCKSDB();                                                                                        \
		conformance_run(&profile_rocksdb_hash, #name, case_##name);                                            \
	}
CONFORMANCE_CASES(CASE_TEST)
