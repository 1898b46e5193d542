/* See backend_files.h. Entries lie in buckets by a sum over their keys; a bucket's file bears its content's checksum, so one that has not changed is
 * the same file. A file that is no bucket, and may change, says how many buckets there are. */
#include "simulation/backend_files.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/slice.h"
#include "io/io.h"
#include "simulation/disk.h"
#include "simulation/disk_io.h"
#include "simulation/trace.h"

#define BUCKETS 4u
#define LIST_NAME "CURRENT"
#define PATH_BYTES 256u
#define ENTRIES_PER_CALL 64u

static void drop_buckets(struct buffer (*buckets)[BUCKETS])
{
	for (unsigned i = 0; i < BUCKETS; i++)
		buffer_done(&(*buckets)[i]);
}

static void put_entry(struct buffer buckets[BUCKETS], const sb_entry *entry)
{
	const struct backend_files_head head = {(uint32_t)entry->key.len, (uint32_t)entry->value.len, entry->expiry_ms};
	unsigned sum = 0;

	for (uint64_t i = 0; i < entry->key.len; i++)
		sum += entry->key.ptr[i];
	buffer_append(&buckets[sum % BUCKETS], &head, sizeof(head));
	buffer_append_slice(&buckets[sum % BUCKETS], entry->key);
	buffer_append_slice(&buckets[sum % BUCKETS], entry->value);
}

static int32_t fill_buckets(const sb_backend_ops *ops, sb_backend *backend, struct buffer buckets[BUCKETS],
			    sb_error *err)
{
	const sb_iter_options all = {.struct_size = sizeof(all)};
	sb_entry entries[ENTRIES_PER_CALL];
	uint64_t count;
	sb_iter *iter;
	int32_t status;

	TRY(ops->iter_open(backend, &all, &iter, err));
	do {
		count = 0;
		status = ops->iter_next(iter, ENTRIES_PER_CALL, entries, &count, err);
		for (uint64_t i = 0; status == SB_OK && i < count; i++)
			put_entry(buckets, &entries[i]);
	} while (status == SB_OK && count);
	ops->iter_close(iter);
	return status;
}

static int32_t write_file(const char *path, sb_slice bytes, sb_error *err)
{
	struct io *io = disk_io();
	int32_t status;
	int fd;

	TRY(io_create_new(io, path, &fd, err));
	status = io_write_all(io, fd, bytes.ptr, bytes.len, path, err);
	io_close(io, fd);
	return status;
}

int32_t backend_files_create(const sb_backend_ops *ops, sb_backend *backend, const char *dir, sb_error *err)
{
	AUTO(drop_buckets) struct buffer buckets[BUCKETS] = {BUFFER_INIT};
	char path[PATH_BYTES];

	TRY(io_mkdir_new(disk_io(), dir, 0700, err));
	TRY(fill_buckets(ops, backend, buckets, err));
	for (unsigned i = 0; i < BUCKETS; i++) {
		TRY(buffer_check(&buckets[i], err));
		snprintf(path, sizeof(path), "%s/" BACKEND_FILES_BUCKET "%u-%08" PRIx64, dir, i,
			 (uint64_t)trace_checksum(buckets[i].data, buckets[i].len));
		TRY(write_file(path, buffer_slice(&buckets[i]), err));
	}
	snprintf(path, sizeof(path), "%s/" LIST_NAME, dir);
	return write_file(path, slice_of_text("4\n"), err);
}

int32_t backend_files_is_immutable(const char *name)
{
	return strncmp(name, BACKEND_FILES_BUCKET, strlen(BACKEND_FILES_BUCKET)) == 0;
}

static int32_t load_bucket(const sb_backend_ops *ops, sb_backend *backend, const struct buffer *file, sb_error *err)
{
	const uint8_t *at = file->data, *end = at + file->len;
	struct backend_files_head head;

	while (at < end) {
		sb_op op = {.kind = SB_OP_PUT};

		if ((size_t)(end - at) < sizeof(head))
			return error_set(err, SB_ERR_CORRUPT, "a bucket is cut off");
		memcpy(&head, at, sizeof(head));
		at += sizeof(head);
		if ((uint64_t)head.key_bytes + head.value_bytes > (uint64_t)(end - at))
			return error_set(err, SB_ERR_CORRUPT, "a bucket's entry is cut off");
		op.key = slice_of(at, head.key_bytes);
		op.value = slice_of(at + head.key_bytes, head.value_bytes);
		op.expiry_ms = head.expiry_ms;
		at += (size_t)head.key_bytes + head.value_bytes;
		/* Whatever a write that fails says, it says nothing of the files. */
		if (ops->write_batch(backend, 1, &op, err) != SB_OK)
			return err->code = SB_ERR_IO;
	}
	return SB_OK;
}

/* The content is looked at past the host's calls: an engine's own reading is not ours to fail. */
int32_t backend_files_load(const sb_backend_ops *ops, sb_backend *backend, const char *dir, sb_error *err)
{
	AUTO(buffer_done) struct buffer names = BUFFER_INIT;
	unsigned buckets = 0;
	char path[PATH_BYTES];

	snprintf(path, sizeof(path), "%s/" LIST_NAME, dir);
	if (!disk_content(path))
		return error_set(err, SB_ERR_CORRUPT, "%s is missing", path);
	if (disk_list(dir, &names) != 0)
		return error_set(err, SB_ERR_IO, "%s cannot be listed", dir);
	for (size_t i = 0; i < names.len; i += strlen((char *)names.data + i) + 1) {
		if (!backend_files_is_immutable((char *)names.data + i))
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, (char *)names.data + i);
		TRY(load_bucket(ops, backend, disk_content(path), err));
		buckets++;
	}
	if (buckets != BUCKETS)
		return error_set(err, SB_ERR_CORRUPT, "%s has %u buckets", dir, buckets);
	return SB_OK;
}
