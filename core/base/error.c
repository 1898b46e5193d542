/* Formatting of sb_error: bounded, allocation-free, one line. */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A sentence that a plugin or a file name brought in may hold line feeds or escape
 * sequences; neither may reach a terminal or split a log line. */
static void make_one_line(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			*text = ' ';
}

int32_t error_set(sb_error *err, int32_t code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(err->message, sizeof(err->message), format, args);
	va_end(args);
	make_one_line(err->message);
	err->code = code;
	err->sys_errno = 0;
	err->flags = 0;
	return code;
}

static int32_t code_of_errno(int sys_errno)
{
	switch (sys_errno) {
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
		return SB_ERR_NO_SPACE;
	case ENOENT:
		return SB_ERR_NOT_FOUND;
	case ENOMEM:
		return SB_ERR_NO_MEMORY;
	default:
		return SB_ERR_IO;
	}
}

int32_t error_set_errno(sb_error *err, int sys_errno, const char *format, ...)
{
	va_list args;
	size_t used;

	va_start(args, format);
	vsnprintf(err->message, sizeof(err->message), format, args);
	va_end(args);
	used = strlen(err->message);
	snprintf(err->message + used, sizeof(err->message) - used, ": %s",
		 strerrordesc_np(sys_errno) ? strerrordesc_np(sys_errno) : "unknown error");
	make_one_line(err->message);
	err->code = code_of_errno(sys_errno);
	err->sys_errno = sys_errno;
	err->flags = 0;
	return err->code;
}

int32_t error_prefix(sb_error *err, const char *format, ...)
{
	char old[SB_ERROR_MESSAGE_BYTES];
	va_list args;
	size_t used;

	memcpy(old, err->message, sizeof(old));
	va_start(args, format);
	vsnprintf(err->message, sizeof(err->message), format, args);
	va_end(args);
	used = strlen(err->message);
	snprintf(err->message + used, sizeof(err->message) - used, ": %s", old);
	make_one_line(err->message);
	return err->code;
}

int32_t error_no_memory(sb_error *err)
{
	return error_set(err, SB_ERR_NO_MEMORY, "out of memory");
}
