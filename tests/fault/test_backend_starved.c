/* Backends, each of whose requests for memory, and each of whose calls of the library below them, fails in turn, as well as all from it on. What a plugin
 * asks for does not go through our objects, so the linker is no help (starve.h): this program defines the functions itself, the plugin finds them
 * before the libraries' own, and only calls that come from the plugin's code fail. */
#include <criterion/criterion.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#if SB_HAVE_LMDB
#include <lmdb.h>
#endif

#include "fault/backend_session.h"
#include "support/redis.h"

#define CALLS_MAX 100000

#ifndef __SANITIZE_ADDRESS__ /* whose own functions these would replace */

static uintptr_t code_begin, code_end; /* of the plugin */
static _Atomic uint64_t calls;
static _Atomic bool hit;
static uint64_t fail_at; /* 0: none */
static bool fail_on;
static int failure = ENOMEM; /* what a call that fails says */

static bool fails(const void *caller)
{
	const uintptr_t at = (uintptr_t)caller;
	uint64_t now;

	if (fail_at == 0 || at < code_begin || at >= code_end)
		return false;
	now = atomic_fetch_add(&calls, 1) + 1;
	if (now < fail_at || (now > fail_at && !fail_on))
		return false;
	atomic_store(&hit, true);
	errno = failure;
	return true;
}

#define FAILS() fails(__builtin_return_address(0))

/* --- memory -------------------------------------------------------------------------- */

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *old, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

void *malloc(size_t size)
{
	return FAILS() ? NULL : __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
	return FAILS() ? NULL : __libc_calloc(n, size);
}

void *realloc(void *old, size_t size)
{
	return FAILS() ? NULL : __libc_realloc(old, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
	return FAILS() ? NULL : __libc_memalign(alignment, size);
}

char *strdup(const char *text)
{
	const size_t size = strlen(text) + 1;
	char *copy = FAILS() ? NULL : __libc_malloc(size);

	return copy ? memcpy(copy, text, size) : NULL;
}

void *mmap(void *address, size_t len, int protection, int flags, int fd, off_t offset)
{
	if (FAILS())
		return MAP_FAILED;
	return (void *)syscall(SYS_mmap, address, len, protection, flags, fd, offset);
}

/* --- files: those of a backend that makes some itself, beside its library --------------- */

int mkdir(const char *path, mode_t mode)
{
	return FAILS() ? -1 : (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
}

int open(const char *path, int flags, ...)
{
	va_list arguments;
	mode_t mode;

	va_start(arguments, flags);
	mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
	va_end(arguments);
	return FAILS() ? -1 : (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int openat(int dir, const char *path, int flags, ...)
{
	va_list arguments;
	mode_t mode;

	va_start(arguments, flags);
	mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
	va_end(arguments);
	return FAILS() ? -1 : (int)syscall(SYS_openat, dir, path, flags, mode);
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
	return FAILS() ? -1 : (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, 0);
}

int unlinkat(int dir, const char *path, int flags)
{
	return FAILS() ? -1 : (int)syscall(SYS_unlinkat, dir, path, flags);
}

/* --- LMDB ---------------------------------------------------------------------------- */

#if SB_HAVE_LMDB
/* The library is loaded for the plugin alone, so it is not what comes next. */
static void *in_lmdb(const char *name)
{
	void *library = dlopen("liblmdb.so.0", RTLD_LAZY | RTLD_NOLOAD);
	void *function = library ? dlsym(library, name) : NULL;

	if (!function)
		abort();
	dlclose(library);
	return function;
}

/* instead: what a call that fails has done all the same. */
#define LMDB(name, parameters, arguments, instead)                                                                     \
	int name parameters                                                                                            \
	{                                                                                                              \
		if (FAILS()) {                                                                                         \
			instead;                                                                                       \
			return EIO;                                                                                    \
		}                                                                                                      \
		return ((__typeof__(&(name)))in_lmdb(#name))arguments;                                                 \
	}

static void abort_instead(MDB_txn *txn)
{
	((__typeof__(&mdb_txn_abort))in_lmdb("mdb_txn_abort"))(txn);
}

LMDB(mdb_env_create, (MDB_env * *ret_env), (ret_env), )
LMDB(mdb_env_set_maxdbs, (MDB_env * env, MDB_dbi count), (env, count), )
LMDB(mdb_env_set_maxreaders, (MDB_env * env, unsigned count), (env, count), )
LMDB(mdb_env_set_mapsize, (MDB_env * env, size_t size), (env, size), )
LMDB(mdb_env_open, (MDB_env * env, const char *path, unsigned flags, mdb_mode_t mode), (env, path, flags, mode), )
LMDB(mdb_env_get_fd, (MDB_env * env, mdb_filehandle_t *ret_fd), (env, ret_fd), )
LMDB(mdb_txn_begin, (MDB_env * env, MDB_txn *parent, unsigned flags, MDB_txn **ret_txn),
     (env, parent, flags, ret_txn), )
LMDB(mdb_txn_commit, (MDB_txn * txn), (txn), abort_instead(txn))
LMDB(mdb_txn_renew, (MDB_txn * txn), (txn), )
LMDB(mdb_dbi_open, (MDB_txn * txn, const char *name, unsigned flags, MDB_dbi *ret_dbi), (txn, name, flags, ret_dbi), )
LMDB(mdb_stat, (MDB_txn * txn, MDB_dbi dbi, MDB_stat *ret_stat), (txn, dbi, ret_stat), )
LMDB(mdb_get, (MDB_txn * txn, MDB_dbi dbi, MDB_val *key, MDB_val *ret_value), (txn, dbi, key, ret_value), )
LMDB(mdb_put, (MDB_txn * txn, MDB_dbi dbi, MDB_val *key, MDB_val *value, unsigned flags),
     (txn, dbi, key, value, flags), )
LMDB(mdb_del, (MDB_txn * txn, MDB_dbi dbi, MDB_val *key, MDB_val *value), (txn, dbi, key, value), )
LMDB(mdb_cursor_open, (MDB_txn * txn, MDB_dbi dbi, MDB_cursor **ret_cursor), (txn, dbi, ret_cursor), )
LMDB(mdb_cursor_get, (MDB_cursor * cursor, MDB_val *key, MDB_val *value, MDB_cursor_op op), (cursor, key, value, op), )
#endif

/* --- trying -------------------------------------------------------------------------- */

static void calm(void)
{
	fail_at = 0;
}

static int take_code(struct dl_phdr_info *info, size_t size, void *arg)
{
	const uintptr_t wanted = (uintptr_t)arg;

	(void)size;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const uintptr_t begin = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;

		if (info->dlpi_phdr[i].p_type != PT_LOAD || wanted < begin ||
		    wanted >= begin + info->dlpi_phdr[i].p_memsz)
			continue;
		code_begin = begin;
		code_end = begin + info->dlpi_phdr[i].p_memsz;
		return 1;
	}
	return 0;
}

static void starve(struct backend_session *session, const char *name, uint64_t nth, bool sticky)
{
	fail_on = sticky;
	atomic_store(&calls, 0);
	atomic_store(&hit, false);
	fail_at = nth;
	backend_session_live(session, calm);
	cr_assert(!session->problem[0], "%s, call %llu%s: %s", name, (unsigned long long)nth,
		  sticky ? " and all behind it" : "", session->problem);
	cr_assert(session->failed == 0 || atomic_load(&hit), "%s: %u calls failed without a fault", name,
		  session->failed);
}

static void try_all(const char *plugin, const char *const *options, bool sticky, uint64_t dense)
{
	struct backend_session session;
	uint64_t nth = 1;

	backend_session_init(&session, plugin, options);
	dl_iterate_phdr(take_code, (void *)(uintptr_t)session.component->backend.open);
	cr_assert_lt(code_begin, code_end);
	for (;; nth += nth < dense ? 1 : nth / 8) {
		starve(&session, plugin, nth, sticky);
		if (!atomic_load(&hit))
			break;
		cr_assert_lt(nth, CALLS_MAX);
	}
	cr_assert_gt(nth, 4, "%s has only %llu calls", plugin, (unsigned long long)nth);
	backend_session_done(&session);
}

static void try_both(const char *plugin, const char *const *options, uint64_t dense)
{
	try_all(plugin, options, false, dense);
	try_all(plugin, options, true, dense / 4);
}

TestSuite(backend_starved, .timeout = 600);

Test(backend_starved, memory_keeps_its_promises)
{
	try_both("memory", NULL, 1000);
}

Test(backend_starved, lmdb_keeps_its_promises)
{
	if (!SB_HAVE_LMDB)
		cr_skip_test("Skipping LMDB test (not available): apt-get install liblmdb-dev");
	try_both("lmdb", NULL, 300);
}

Test(backend_starved, rocksdb_keeps_its_promises)
{
	static const int failures[] = {ENOSPC, EACCES, ENOENT, ENOMEM};

	if (!SB_HAVE_ROCKSDB)
		cr_skip_test("Skipping RocksDB test (not available): apt-get install librocksdb-dev");

	for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++) {
		failure = failures[i];
		try_all("rocksdb", NULL, false, 60);
	}
	try_all("rocksdb", NULL, true, 20);
}

Test(backend_starved, fault_keeps_its_promises)
{
	try_both("fault", NULL, 200);
}

static struct redis_server server;

static void stop_server(void)
{
	if (server.dir[0])
		redis_stop(&server);
}

/* A life that could not leave its place is found dead by the next one, a moment later. */
Test(backend_starved, redis_keeps_its_promises, .fini = stop_server)
{
	const char *const options[] = {server.option, "retries=4", "expiry_margin=0", NULL};

	NEED_REDIS();
	redis_start(&server);
	try_both("redis", options, 120);
}

/* Whose iterators are not stable, so it is copied. */
Test(backend_starved, fault_over_redis_keeps_its_promises, .fini = stop_server)
{
	char inner[256];
	const char *const options[] = {"inner=redis", inner, NULL};

	NEED_REDIS();
	redis_start(&server);
	snprintf(inner, sizeof(inner), "inner_options=%s,retries=4,expiry_margin=0", server.option);
	try_both("fault", options, 60);
}

#else

Test(backend_starved, nothing_of_it)
{
	cr_skip_test("Skipping starved backends (not available): a sanitizer has an allocator of its own");
}

#endif
