/* What a test says that needs the LMDB backend on a machine that built none. */
#ifndef SUPPORT_LMDB_H
#define SUPPORT_LMDB_H

#define LMDB_MISSING "Skipping LMDB test (not available): apt-get install liblmdb-dev"

/* First in a Criterion test; SB_HAVE_LMDB comes from the build. */
#define NEED_LMDB()                                                                                                    \
	do {                                                                                                           \
		if (!SB_HAVE_LMDB)                                                                                     \
			cr_skip_test(LMDB_MISSING);                                                                    \
	} while (0)

#endif
