/* sb.files/1 for a backend that has none: its entries as files on the simulated disk, some of which stay the same from one checkpoint to the
 * next, as RocksDB's do. */
#ifndef SIMULATION_BACKEND_FILES_H
#define SIMULATION_BACKEND_FILES_H

#include "sb_plugin.h"

#define BACKEND_FILES_BUCKET                                                                                           \
	"bucket-" /* a file whose name begins with it holds entries, see struct backend_files_head */

struct backend_files_head {
	uint32_t key_bytes, value_bytes; /* which follow, one behind the other */
	int64_t expiry_ms;
};

int32_t backend_files_create(const sb_backend_ops *ops, sb_backend *backend, const char *dir, sb_error *err);
int32_t backend_files_is_immutable(const char *name);
/* Into a backend that is empty. */
int32_t backend_files_load(const sb_backend_ops *ops, sb_backend *backend, const char *dir, sb_error *err);

#endif
