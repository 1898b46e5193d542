/* What a test says that needs the RocksDB backend on a machine that built none. */
#ifndef SUPPORT_ROCKSDB_H
#define SUPPORT_ROCKSDB_H

#define ROCKSDB_MISSING "Skipping RocksDB test (not available): apt-get install librocksdb-dev"

/* First in a Criterion test; SB_HAVE_ROCKSDB comes from the build. */
#define NEED_ROCKSDB()                                                                                                 \
	do {                                                                                                           \
		if (!SB_HAVE_ROCKSDB)                                                                                  \
			cr_skip_test(ROCKSDB_MISSING);                                                                 \
	} while (0)

#endif
