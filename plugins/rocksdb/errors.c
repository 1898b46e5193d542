/* SPDX-License-Identifier: Apache-2.0
 *
 * Errors of librocksdb as statuses and sentences.
 *
 * The C API reports a failure as text only: a type ("IO error"), often the
 * system's own words, and where it happened. The table below recognises both; the
 * first row that matches wins, so a row stands before the more general ones. What
 * nobody foresaw is SB_ERR_INTERNAL with RocksDB's text in full.
 *
 * Reporting allocates nothing, since memory may be what is missing.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "rocksdb_private.h"

#define TEXT_BYTES 640 /* of RocksDB's message; the rest of the sentence must fit too */

struct cause {
	const char *text;
	bool is_type; /* the text begins the message; else it may stand anywhere in it */
	int32_t code;
	int32_t sys_errno;
	uint32_t flags;
	const char *remedy;
};

static const char rebuild[] = "start the job again, which rebuilds the state from the newest valid checkpoint";

static const struct cause causes[] = {
	/* A database names the file's own error behind "Corruption", so this row is first. */
	{"Corruption: ", true, SB_ERR_CORRUPT, 0, 0, rebuild},
	{"lock hold by current process", false, SB_ERR_BUSY, 0, 0, "give each instance a directory of its own"},
	{"While lock file", false, SB_ERR_BUSY, EAGAIN, 0, "end the other process that uses this directory"},
	{"No space left on device", false, SB_ERR_NO_SPACE, ENOSPC, SB_ERROR_RETRYABLE,
	 "free space on the file system of this directory"},
	{"Disk quota exceeded", false, SB_ERR_NO_SPACE, EDQUOT, SB_ERROR_RETRYABLE, "free space or raise the quota"},
	{"Space limit reached", false, SB_ERR_NO_SPACE, 0, SB_ERROR_RETRYABLE, "free space or raise the limit"},
	{"Memory limit reached", false, SB_ERR_NO_MEMORY, 0, SB_ERROR_RETRYABLE,
	 "lower block_cache_size or free memory"},
	{"Too many open files", false, SB_ERR_IO, EMFILE, 0, "raise the limit (ulimit -n) or set max_open_files"},
	{"File too large", false, SB_ERR_IO, EFBIG, 0, "raise the limit (ulimit -f) or lower target_file_size"},
	{"Cannot allocate memory", false, SB_ERR_NO_MEMORY, ENOMEM, 0, "free memory or choose a smaller preset"},
	{"Permission denied", false, SB_ERR_IO, EACCES, 0, "give this user access to the directory"},
	{"Operation not permitted", false, SB_ERR_IO, EPERM, 0, "give this user access to the directory"},
	{"Read-only file system", false, SB_ERR_IO, EROFS, 0, "choose a directory that can be written"},
	{"Not a directory", false, SB_ERR_IO, ENOTDIR, 0, "name a directory"},
	{"No such file or directory", false, SB_ERR_NOT_FOUND, ENOENT, 0,
	 "check that the directory is a database and that nobody else removes its files"},
	{"Input/output error", false, SB_ERR_IO, EIO, 0, "check the disk"},
	{"Stale file handle", false, SB_ERR_IO, ESTALE, 0, "mount the file system again and start the job again"},
	{"IO error: ", true, SB_ERR_IO, EIO, 0, "check the file system of this directory"},
	{"(error_if_exists is true)", false, SB_ERR_INVALID, EEXIST, 0,
	 "empty the directory, because a new instance must not take up what an older one left"},
	{"(create_if_missing is false)", false, SB_ERR_NOT_FOUND, ENOENT, 0,
	 "restore the files of a checkpoint into the directory first"},
	{"Invalid argument: ", true, SB_ERR_CONFIG, 0, 0, "mend the backend's options"},
	{"Not implemented: ", true, SB_ERR_UNSUPPORTED, 0, 0, "use a librocksdb that has it"},
	{"NotFound: ", true, SB_ERR_NOT_FOUND, 0, 0, rebuild},
	{"Resource busy: ", true, SB_ERR_BUSY, 0, SB_ERROR_RETRYABLE, "try again"},
	{"Operation timed out: ", true, SB_ERR_BUSY, 0, SB_ERROR_RETRYABLE, "try again"},
	{"Operation aborted: ", true, SB_ERR_BUSY, 0, SB_ERROR_RETRYABLE, "try again"},
	{"Operation failed. Try again.: ", true, SB_ERR_BUSY, 0, SB_ERROR_RETRYABLE, "try again"},
	{"", true, SB_ERR_INTERNAL, 0, 0, "report this with the file LOG of that directory"},
};

static bool matches(const struct cause *cause, const char *message)
{
	if (cause->is_type)
		return strncmp(message, cause->text, strlen(cause->text)) == 0;
	return strstr(message, cause->text) != NULL;
}

/* The last row matches everything. */
static const struct cause *find_cause(const char *message)
{
	const struct cause *cause = causes;

	while (!matches(cause, message))
		cause++;
	return cause;
}

/* Cuts between characters, and keeps the sentence on one line. */
static void copy_text(char *to, size_t size, const char *from)
{
	size_t len = strlen(from);

	if (len > size - 1) {
		len = size - 1;
		while (len > 0 && ((unsigned char)from[len] & 0xc0) == 0x80)
			len--;
	}
	for (size_t i = 0; i < len; i++)
		to[i] = (unsigned char)from[i] < 0x20 || from[i] == 0x7f ? ' ' : from[i];
	to[len] = '\0';
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

int32_t errors_take(const struct sb_backend *backend, const char *doing, char *message, sb_error *err)
{
	const struct cause *cause = find_cause(message);
	char text[TEXT_BYTES];

	copy_text(text, sizeof(text), message);
	rocksdb_free(message);
	errors_set(err, cause->code, cause->sys_errno, "RocksDB cannot %s the state of %s in %s (%s): %s", doing,
		   backend->instance, backend->dir, text, cause->remedy);
	err->flags = cause->flags;
	return cause->code;
}

int32_t errors_no_memory(const struct sb_backend *backend, const char *doing, sb_error *err)
{
	return errors_set(err, SB_ERR_NO_MEMORY, ENOMEM,
			  "RocksDB cannot %s the state of %s in %s, because memory ran out: free memory or choose a "
			  "smaller preset",
			  doing, backend->instance, backend->dir);
}

int32_t errors_short_value(const struct sb_backend *backend, sb_slice key, sb_error *err)
{
	char hex[2 * 32 + 1];
	size_t shown = key.len < 32 ? (size_t)key.len : 32;

	for (size_t i = 0; i < shown; i++)
		snprintf(hex + 2 * i, 3, "%02x", key.ptr[i]);
	hex[2 * shown] = '\0';
	return errors_set(err, SB_ERR_CORRUPT, 0,
			  "RocksDB holds a value without an expiry for %s in %s under the key %s%s: %s",
			  backend->instance, backend->dir, hex, shown < key.len ? "..." : "", rebuild);
}
