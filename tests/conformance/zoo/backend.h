/* SPDX-License-Identifier: Apache-2.0
 * What the files of the zoo's backend share. */
#ifndef ZOO_BACKEND_H
#define ZOO_BACKEND_H

#include <pthread.h>

#include "entries.h"

#define MARKS_MAX 256

struct sb_backend {
	const sb_host *host;
	const char *dir;
	pthread_t thread; /* that opened it */
	bool continues; /* from the files of a checkpoint */
	bool iterating; /* an iterator is open */
	struct list entries;
	uint64_t count_at_find; /* of the round that is going on in place */
	struct list log; /* of all that was written since the first mark */
	uint64_t marks, mark_at[MARKS_MAX];
	struct list purged;
	struct list pinned; /* by the animal that releases all pins with the first */
};

/* files.c */
extern const sb_files_ops zoo_files;
int32_t files_load(sb_backend *backend, sb_error *err);

/* delta.c */
extern const sb_delta_ops zoo_delta;
/* Notes a change when there is a mark; false when memory is out. */
bool delta_note(sb_backend *backend, const sb_op *op);

/* inplace.c */
extern const sb_inplace_ops zoo_inplace;

/* backend.c */
int32_t zoo_apply(sb_backend *backend, const sb_op *op, sb_error *err);

/* iter.c */
int32_t zoo_iter_open(sb_backend *backend, const sb_iter_options *options, sb_iter **ret_iter, sb_error *err);
int32_t zoo_iter_next(sb_iter *iter, uint64_t max, sb_entry *entries, uint64_t *ret_count, sb_error *err);
void zoo_iter_close(sb_iter *iter);

/* plugin.c */
extern const sb_backend_ops zoo_ops;

#endif
