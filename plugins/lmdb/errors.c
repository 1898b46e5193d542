/* SPDX-License-Identifier: Apache-2.0
 *
 * LMDB's results, which are its own negative numbers or an errno, as statuses and sentences.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "lmdb_private.h"

struct cause {
	int result;
	int32_t code;
	uint32_t flags;
	const char *remedy;
};

static const char rebuild[] = "start the job again, which rebuilds the state from the newest valid checkpoint";
static const char no_room[] = "free space on the file system of this directory, or raise the quota";
static const char no_access[] = "give this user access to the directory";

static const struct cause causes[] = {
	{MDB_MAP_FULL, SB_ERR_NO_SPACE, SB_ERROR_RETRYABLE,
	 "raise map_size, or try again when no checkpoint is being read, since the map cannot grow under a reader"},
	{MDB_READERS_FULL, SB_ERR_BUSY, SB_ERROR_RETRYABLE, "close iterators or release pins"},
	{MDB_TXN_FULL, SB_ERR_NO_MEMORY, 0, "write less in one batch"},
	{MDB_CORRUPTED, SB_ERR_CORRUPT, 0, rebuild},
	{MDB_PAGE_NOTFOUND, SB_ERR_CORRUPT, 0, rebuild},
	{MDB_INVALID, SB_ERR_CORRUPT, 0, rebuild},
	{MDB_PANIC, SB_ERR_CORRUPT, 0, rebuild},
	{MDB_VERSION_MISMATCH, SB_ERR_INCOMPATIBLE, 0, rebuild},
	{MDB_BAD_VALSIZE, SB_ERR_INVALID, 0, "a key or value of that size is a bug of the host"},
	{ENOSPC, SB_ERR_NO_SPACE, SB_ERROR_RETRYABLE, no_room},
	{EDQUOT, SB_ERR_NO_SPACE, SB_ERROR_RETRYABLE, no_room},
	{EFBIG, SB_ERR_NO_SPACE, 0, "raise the limit of a file's size (ulimit -f)"},
	{ENOMEM, SB_ERR_NO_MEMORY, 0, "free memory, raise the limit of address space (ulimit -v) or lower map_size"},
	{EACCES, SB_ERR_IO, 0, no_access},
	{EPERM, SB_ERR_IO, 0, no_access},
	{EROFS, SB_ERR_IO, 0, "choose a directory that can be written"},
	{ENOENT, SB_ERR_NOT_FOUND, 0, "check that the directory is there and that nobody else removes its files"},
	{EMFILE, SB_ERR_IO, 0, "raise the limit of open files (ulimit -n)"},
	{EAGAIN, SB_ERR_BUSY, 0, "end the other process that uses this directory"},
};

static const struct cause unforeseen = {0, SB_ERR_IO, 0, "check the file system of this directory"};

static const struct cause *find_cause(int result)
{
	for (size_t i = 0; i < sizeof(causes) / sizeof(causes[0]); i++) {
		if (causes[i].result == result)
			return &causes[i];
	}
	return &unforeseen;
}

int32_t errors_set(sb_error *err, int32_t code, int32_t sys_errno, const char *format, ...)
{
	va_list arguments;

	err->code = code;
	err->sys_errno = sys_errno;
	err->flags = 0;
	va_start(arguments, format);
	vsnprintf(err->message, sizeof(err->message), format, arguments);
	va_end(arguments);
	return code;
}

int32_t errors_take(const struct sb_backend *backend, const char *doing, int result, sb_error *err)
{
	const struct cause *cause = find_cause(result);

	errors_set(err, cause->code, result > 0 ? result : 0, "LMDB cannot %s the state of %s in %s (%s): %s", doing,
		   backend->instance, backend->dir, mdb_strerror(result), cause->remedy);
	err->flags = cause->flags;
	return cause->code;
}

int32_t errors_no_memory(const struct sb_backend *backend, const char *doing, sb_error *err)
{
	return errors_take(backend, doing, ENOMEM, err);
}

int32_t errors_short_value(const struct sb_backend *backend, sb_error *err)
{
	return errors_set(err, SB_ERR_CORRUPT, 0, "LMDB holds a value without an expiry for %s in %s: %s",
			  backend->instance, backend->dir, rebuild);
}

int32_t errors_long_key(const struct sb_backend *backend, uint64_t len, sb_error *err)
{
	return errors_set(
		err, SB_ERR_INVALID, 0,
		"LMDB cannot take a key of %llu bytes for %s: keys have at most %llu, so this is a bug of the "
		"host",
		(unsigned long long)len, backend->instance, (unsigned long long)KEY_BYTES_MAX);
}
