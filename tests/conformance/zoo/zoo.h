/* SPDX-License-Identifier: Apache-2.0
 *
 * A zoo of broken plugins: for each rule of the conformance kit one that breaks it, and nothing but it if that can be.
 *
 * All backends are backend.c, compiled once for each IS(rule) in it, all operators operator.c. What an animal does
 * differently stands at the place where the good one does it right. */
#ifndef ZOO_H
#define ZOO_H

#include <string.h>

#include "sb_plugin.h"

/* BREAK is the name of this animal's rule, as a text; "good" has no fault. The compiler drops the other branches. */
#define IS(rule) (strcmp(BREAK, #rule) == 0)

static inline int32_t fail(sb_error *err, int32_t code, const char *message)
{
	err->code = code;
	memcpy(err->message, message, strlen(message) + 1);
	return code;
}

static inline int32_t no_memory(sb_error *err)
{
	return fail(err, SB_ERR_NO_MEMORY, "out of memory");
}

#endif
