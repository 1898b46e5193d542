/* The memory backend as its own tests open it: without the host, so that they can look behind the ABI. */
#ifndef SUPPORT_MEMORY_H
#define SUPPORT_MEMORY_H

#include "sb_plugin.h"

struct memory_backend {
	sb_host host;
	int64_t horizon_ms; /* what the host tells; INT64_MIN: nothing is expired */
	const sb_backend_ops *ops;
	const sb_delta_ops *delta;
	const sb_inplace_ops *inplace;
	sb_backend *backend;
	sb_error err;
};

/* memory_limit in bytes; 0: none. Flags are SB_OPEN_*. Returns what open does. */
int32_t memory_try_open(struct memory_backend *memory, int64_t memory_limit, uint32_t flags);
/* Must succeed. */
void memory_open(struct memory_backend *memory, int64_t memory_limit);
void memory_close(struct memory_backend *memory);

#endif
