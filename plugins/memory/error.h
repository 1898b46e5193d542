/* SPDX-License-Identifier: Apache-2.0
 *
 * error.h: filling the caller's sb_error. Nothing is allocated, and the status
 * comes back so that a failure is one return statement.
 */
#ifndef MEMORY_ERROR_H
#define MEMORY_ERROR_H

#include <sb_plugin.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

__attribute__((format(printf, 4, 5))) static inline int32_t error_set(sb_error *err, int32_t code, int sys_errno,
								      const char *format, ...)
{
	va_list args;

	err->code = code;
	err->sys_errno = sys_errno;
	err->flags = 0;
	va_start(args, format);
	vsnprintf(err->message, sizeof(err->message), format, args);
	va_end(args);
	return code;
}

static inline int32_t error_no_memory(sb_error *err, const char *instance)
{
	return error_set(err, SB_ERR_NO_MEMORY, ENOMEM,
			 "%s: out of memory (or over memory_limit), and nothing was changed; raise the limit, give the "
			 "machine more memory, or use a backend that keeps its state on disk",
			 instance);
}

static inline int32_t error_epochs(sb_error *err, const char *instance)
{
	return error_set(err, SB_ERR_BUSY, 0, "%s: too many iterators were opened while one stayed open; close it",
			 instance);
}

#endif
