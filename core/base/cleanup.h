/* Cleanup by attribute: AUTO(free_memory) char *text = ...; runs the named function when
 * the variable leaves its scope. Each module defines the functions for its own types. */
#ifndef BASE_CLEANUP_H
#define BASE_CLEANUP_H

#include <stdlib.h>

#define AUTO(function) __attribute__((cleanup(function)))

/* For any pointer from malloc. */
static inline void free_memory(void *pointer_to_pointer)
{
	free(*(void **)pointer_to_pointer);
}

/* Takes the value out, so that the cleanup finds nothing. */
#define TAKE(variable)                                                                                                 \
	({                                                                                                             \
		__typeof__(variable) taken_ = (variable);                                                              \
		(variable) = NULL;                                                                                     \
		taken_;                                                                                                \
	})

#endif
