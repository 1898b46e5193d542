/* What the sources share; see source.h. */
#ifndef STREAM_SOURCE_PRIVATE_H
#define STREAM_SOURCE_PRIVATE_H

#include "base/error.h"
#include "stream/source.h"

#define SOURCE_BLOCK_BYTES ((size_t)256 << 10)

/* The functions of source.h, by kind. */
struct source_ops {
	int32_t (*start)(struct source *source, int64_t offset, const struct source_identity *expected, sb_error *err);
	enum source_status (*next)(struct source *source, struct source_record *ret_record, sb_error *err);
	int (*poll_fd)(const struct source *source);
	int64_t (*due_ns)(const struct source *source);
	int32_t (*identity)(const struct source *source, struct source_identity *ret_identity, sb_error *err);
	int64_t (*total)(const struct source *source);
	void (*close)(struct source *source);
};

/* The first member of each kind's own struct. */
struct source {
	const struct source_ops *ops;
	struct profile *profile; /* NULL: nobody watches */
};

int32_t source_file_open(const struct source_config *config, struct source **ret_source, sb_error *err);
int32_t source_generator_open(const struct source_config *config, struct source **ret_source, sb_error *err);

#endif
