/* What a checkpoint says about itself and about the job that wrote it: everything in
 * the file beside StateData. Owned strings; done with metadata_done. */
#ifndef CHECKPOINT_METADATA_H
#define CHECKPOINT_METADATA_H

#include <stdbool.h>

#include "base/buffer.h"
#include "base/hash.h"
#include "state/schema.h"

#define CHECKPOINT_FORMAT_VERSION 1
#define CHECKPOINT_ID_BYTES 48 /* "checkpoint-" and up to 20 digits, NUL */

/* An incremental one either has a parent (and holds what changed since) or a list of files (and no entries). */
enum checkpoint_kind { CHECKPOINT_FULL, CHECKPOINT_INCREMENTAL };

#define CHECKPOINT_SHA256_HEX 64u
#define CHECKPOINT_DEPTH_MAX 64u

/* One partition of the input. */
struct partition_meta {
	char *name; /* path, "-" or "generator" */
	int64_t offset; /* of the next record: "Offsets" has it under the partition's number */
	int64_t watermark_ms; /* highest event time seen; INT64_MIN: none yet */
	int64_t head_bytes; /* see stream/source.h, struct source_identity */
	uint64_t head_hash;
	int64_t size;
	int64_t generator_users, generator_count; /* users 0: no generator */
	uint64_t generator_seed;
	double generator_rate;
	bool finished; /* read to its end */
};

/* A file that the job appends to. */
struct output_meta {
	char *role; /* "output" or "dead-letter" */
	char *path; /* as given */
	int64_t length; /* bytes that this checkpoint counts on */
};

/* A file of a backend, which lies in shared/ under the hash of its content. */
struct file_meta {
	char *snapshot; /* "backend-0" */
	char *name; /* what the backend calls it; no path */
	int64_t bytes;
	char sha256[CHECKPOINT_SHA256_HEX + 1];
};

struct checkpoint_meta {
	char id[CHECKPOINT_ID_BYTES];
	int64_t timestamp_ns; /* wall clock at the cut */
	enum checkpoint_kind kind;
	char *parent; /* NULL: none is needed */
	uint32_t depth; /* how many ancestors it needs */
	char *host_version;
	char *operator_id, *operator_version;
	char *backend_id, *backend_version;
	uint32_t key_groups;
	uint32_t tasks;
	char *ttl_clock; /* "wall" or "event" */
	int64_t cut_ms; /* the time by which expiry was decided at the cut */
	uint64_t events; /* processed since the job's first start */
	struct partition_meta *partitions;
	uint64_t partition_count;
	struct output_meta *outputs;
	uint64_t output_count;
	struct schema schema;
	struct file_meta *files; /* in the order of snapshots, then names */
	uint64_t file_count;
};

/* What is known only when the state has been written; behind StateData in the file. */
struct checkpoint_totals {
	uint64_t entries;
	uint64_t key_bytes, value_bytes;
	struct hash128 state_digest; /* of the logical state: the same under any backend, in any order */
	uint64_t state_data_bytes; /* length of the StateData string */
};

void metadata_done(struct checkpoint_meta *meta);

#endif
