/* How core reports operating errors: a status and a filled sb_error (the ABI's own
 * struct, so that a plugin's sentence reaches the user unchanged). Written where the
 * cause is known; passed on by TRY. Bugs are asserts, not errors. */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include "sb_plugin.h"

#define ERROR_INIT                                                                                                     \
	{                                                                                                              \
		.struct_size = sizeof(sb_error)                                                                        \
	}

/* Returns from the enclosing function when call fails. */
#define TRY(call)                                                                                                      \
	do {                                                                                                           \
		int32_t try_status_ = (call);                                                                          \
		if (try_status_ != SB_OK)                                                                              \
			return try_status_;                                                                            \
	} while (0)

/* Fill err and return code, so that "return error_set(err, ...)" is the idiom. */
int32_t error_set(sb_error *err, int32_t code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The same for a failed system call: ": <strerror>" is appended, and the code follows from errno (ENOSPC and EDQUOT:
 * SB_ERR_NO_SPACE, ENOENT: SB_ERR_NOT_FOUND, ENOMEM: SB_ERR_NO_MEMORY, else SB_ERR_IO). */
int32_t error_set_errno(sb_error *err, int sys_errno, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Puts "context: " in front of the message; returns err->code. */
int32_t error_prefix(sb_error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

int32_t error_no_memory(sb_error *err);

#endif
