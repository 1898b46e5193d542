/* See entry_sort.h. A record, in memory and in the file, is a head and the bytes of user part and value behind it. */
#include "cli/entry_sort.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/slice.h"

#define WRITE_BYTES ((size_t)1 << 20)
#define RUN_BUFFER_MIN ((size_t)4 << 10)
#define RUN_BUFFER_MAX ((size_t)256 << 10)

struct record_head {
	int64_t expiry_ms;
	uint64_t value_len;
	uint32_t user_len;
	uint32_t state;
};

/* A sorted stretch of the file, and the part of it that is in memory. */
struct run {
	int64_t at, end; /* what is not yet read */
	struct buffer bytes;
	size_t taken; /* of bytes */
	struct sorted_entry entry; /* the one that is next, in bytes */
};

struct entry_sort {
	struct io *io;
	size_t memory;
	struct buffer records; /* of the run that is being collected */
	uint64_t *offsets; /* of each of them */
	uint64_t count, room;
	uint64_t next; /* when nothing was spilled */
	int fd; /* -1: nothing spilled */
	int64_t file_bytes;
	struct run *runs;
	uint64_t run_count;
	uint64_t *heap; /* runs by their next entry, the least first */
	uint64_t heap_count;
	bool started; /* heap[0] has been handed out and must move on */
};

static size_t record_len(const struct record_head *head)
{
	return sizeof(*head) + head->user_len + (size_t)head->value_len;
}

static struct sorted_entry entry_at(const uint8_t *at)
{
	struct record_head head;

	memcpy(&head, at, sizeof(head));
	at += sizeof(head);
	return (struct sorted_entry){.state = head.state,
				     .user_part = slice_of(at, head.user_len),
				     .value = slice_of(at + head.user_len, (size_t)head.value_len),
				     .expiry_ms = head.expiry_ms};
}

int entry_compare(const struct sorted_entry *a, const struct sorted_entry *b)
{
	if (a->state != b->state)
		return a->state < b->state ? -1 : 1;
	return slice_compare(a->user_part, b->user_part);
}

int32_t entry_sort_new(struct io *io, size_t memory, struct entry_sort **ret_sort, sb_error *err)
{
	struct entry_sort *sort = calloc(1, sizeof(*sort));

	if (!sort)
		return error_no_memory(err);
	sort->io = io;
	sort->memory = memory;
	sort->fd = -1;
	*ret_sort = sort;
	return SB_OK;
}

void entry_sort_free(struct entry_sort *sort)
{
	if (!sort)
		return;
	for (uint64_t i = 0; i < sort->run_count; i++)
		buffer_done(&sort->runs[i].bytes);
	io_close(sort->io, sort->fd);
	buffer_done(&sort->records);
	free(sort->offsets);
	free(sort->runs);
	free(sort->heap);
	free(sort);
}

/* --- spilling --------------------------------------------------------------------------- */

static int32_t open_named(struct io *io, const char *dir, int *ret_fd, sb_error *err)
{
	AUTO(free_memory) char *path = NULL;

	if (asprintf(&path, "%s/sbhost-sort-%ld-%p", dir, (long)getpid(), (void *)ret_fd) < 0) {
		path = NULL;
		return error_no_memory(err);
	}
	TRY(io_open(io, path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600, ret_fd, err));
	return io_unlink(io, path, err);
}

static int32_t open_spill(struct entry_sort *sort, sb_error *err)
{
	const char *dir = getenv("TMPDIR");

	if (!dir || !*dir)
		dir = "/tmp";
	if (io_open(sort->io, dir, O_RDWR | O_TMPFILE, 0600, &sort->fd, err) == SB_OK)
		return SB_OK;
	if (err->sys_errno != EOPNOTSUPP && err->sys_errno != EISDIR && err->sys_errno != EINVAL)
		return err->code;
	return open_named(sort->io, dir, &sort->fd, err); /* a file system without nameless files */
}

static int compare_offsets(const void *a, const void *b, void *records)
{
	const struct sorted_entry x = entry_at((uint8_t *)records + *(const uint64_t *)a);
	const struct sorted_entry y = entry_at((uint8_t *)records + *(const uint64_t *)b);

	return entry_compare(&x, &y);
}

static void sort_records(struct entry_sort *sort)
{
	qsort_r(sort->offsets, sort->count, sizeof(*sort->offsets), compare_offsets, sort->records.data);
}

static int32_t write_out(struct entry_sort *sort, struct buffer *bytes, sb_error *err)
{
	TRY(buffer_check(bytes, err));
	TRY(io_write_all(sort->io, sort->fd, bytes->data, bytes->len, "a temporary file for sorting", err));
	sort->file_bytes += (int64_t)bytes->len;
	buffer_clear(bytes);
	return SB_OK;
}

static int32_t add_run(struct entry_sort *sort, int64_t begin, int64_t end, sb_error *err)
{
	struct run *grown = reallocarray(sort->runs, sort->run_count + 1, sizeof(*grown));

	if (!grown)
		return error_no_memory(err);
	sort->runs = grown;
	grown[sort->run_count++] = (struct run){.at = begin, .end = end};
	return SB_OK;
}

static int32_t spill(struct entry_sort *sort, sb_error *err)
{
	AUTO(buffer_done) struct buffer bytes = BUFFER_INIT;
	const int64_t begin = sort->file_bytes;

	if (sort->fd < 0)
		TRY(open_spill(sort, err));
	sort_records(sort);
	for (uint64_t i = 0; i < sort->count; i++) {
		const uint8_t *at = sort->records.data + sort->offsets[i];
		struct record_head head;

		memcpy(&head, at, sizeof(head));
		buffer_append(&bytes, at, record_len(&head));
		if (bytes.len >= WRITE_BYTES)
			TRY(write_out(sort, &bytes, err));
	}
	TRY(write_out(sort, &bytes, err));
	buffer_clear(&sort->records);
	sort->count = 0;
	return add_run(sort, begin, sort->file_bytes, err);
}

static int32_t make_room(struct entry_sort *sort, sb_error *err)
{
	uint64_t room = sort->room ? 2 * sort->room : 1024;
	uint64_t *grown;

	if (sort->count < sort->room)
		return SB_OK;
	grown = reallocarray(sort->offsets, room, sizeof(*grown));
	if (!grown)
		return error_no_memory(err);
	sort->offsets = grown;
	sort->room = room;
	return SB_OK;
}

int32_t entry_sort_add(struct entry_sort *sort, const struct sorted_entry *entry, sb_error *err)
{
	const struct record_head head = {.expiry_ms = entry->expiry_ms,
					 .value_len = entry->value.len,
					 .user_len = (uint32_t)entry->user_part.len,
					 .state = entry->state};
	size_t held = sort->records.len + sort->count * sizeof(*sort->offsets);

	if (sort->count && held + record_len(&head) > sort->memory)
		TRY(spill(sort, err));
	TRY(make_room(sort, err));
	sort->offsets[sort->count] = sort->records.len;
	buffer_append(&sort->records, &head, sizeof(head));
	buffer_append_slice(&sort->records, entry->user_part);
	buffer_append_slice(&sort->records, entry->value);
	TRY(buffer_check(&sort->records, err));
	sort->count++;
	return SB_OK;
}

/* --- merging ---------------------------------------------------------------------------- */

/* At least wanted bytes behind what is taken, and as many more as the buffer has room for. */
static int32_t fill_run(struct entry_sort *sort, struct run *run, size_t wanted, sb_error *err)
{
	size_t have = run->bytes.len - run->taken;
	size_t limit = sort->memory / sort->run_count;
	size_t n;

	if (have >= wanted)
		return SB_OK;
	limit = limit < RUN_BUFFER_MIN ? RUN_BUFFER_MIN : limit > RUN_BUFFER_MAX ? RUN_BUFFER_MAX : limit;
	limit = limit < wanted ? wanted : limit;
	if (have)
		memmove(run->bytes.data, run->bytes.data + run->taken, have);
	run->bytes.len = have;
	run->taken = 0;
	n = limit - have;
	if ((int64_t)n > run->end - run->at)
		n = (size_t)(run->end - run->at);
	if (have + n < wanted || !buffer_reserve(&run->bytes, n))
		return have + n < wanted
			       ? error_set(err, SB_ERR_INTERNAL, "a temporary file for sorting ends too early")
			       : error_no_memory(err);
	TRY(io_pread_all(sort->io, sort->fd, run->bytes.data + have, n, run->at, "a temporary file for sorting", err));
	run->bytes.len += n;
	run->at += (int64_t)n;
	return SB_OK;
}

/* The entry at the run's head; *ret_more false when the run is over. */
static int32_t load_head(struct entry_sort *sort, struct run *run, bool *ret_more, sb_error *err)
{
	struct record_head head;

	*ret_more = run->taken < run->bytes.len || run->at < run->end;
	if (!*ret_more) {
		buffer_done(&run->bytes);
		run->taken = 0;
		return SB_OK;
	}
	TRY(fill_run(sort, run, sizeof(head), err));
	memcpy(&head, run->bytes.data + run->taken, sizeof(head));
	TRY(fill_run(sort, run, record_len(&head), err));
	run->entry = entry_at(run->bytes.data + run->taken);
	run->taken += record_len(&head);
	return SB_OK;
}

static bool run_less(const struct entry_sort *sort, uint64_t a, uint64_t b)
{
	int order = entry_compare(&sort->runs[a].entry, &sort->runs[b].entry);

	return order ? order < 0 : a < b;
}

static void sift_down(struct entry_sort *sort, uint64_t at)
{
	for (;;) {
		uint64_t child = 2 * at + 1;
		uint64_t moved = sort->heap[at];

		if (child >= sort->heap_count)
			return;
		if (child + 1 < sort->heap_count && run_less(sort, sort->heap[child + 1], sort->heap[child]))
			child++;
		if (!run_less(sort, sort->heap[child], moved))
			return;
		sort->heap[at] = sort->heap[child];
		sort->heap[child] = moved;
		at = child;
	}
}

static int32_t build_heap(struct entry_sort *sort, sb_error *err)
{
	bool more = false;

	sort->heap = calloc(sort->run_count, sizeof(*sort->heap));
	if (!sort->heap)
		return error_no_memory(err);
	for (uint64_t i = 0; i < sort->run_count; i++) {
		TRY(load_head(sort, &sort->runs[i], &more, err));
		if (more)
			sort->heap[sort->heap_count++] = i;
	}
	for (uint64_t i = sort->heap_count / 2; i-- > 0;)
		sift_down(sort, i);
	return SB_OK;
}

int32_t entry_sort_finish(struct entry_sort *sort, sb_error *err)
{
	if (sort->fd < 0) {
		if (sort->count)
			sort_records(sort);
		return SB_OK;
	}
	if (sort->count)
		TRY(spill(sort, err));
	buffer_done(&sort->records);
	free(TAKE(sort->offsets));
	return build_heap(sort, err);
}

static int32_t next_in_memory(struct entry_sort *sort, struct sorted_entry *ret_entry, bool *ret_more)
{
	*ret_more = sort->next < sort->count;
	if (*ret_more)
		*ret_entry = entry_at(sort->records.data + sort->offsets[sort->next++]);
	return SB_OK;
}

int32_t entry_sort_next(struct entry_sort *sort, struct sorted_entry *ret_entry, bool *ret_more, sb_error *err)
{
	bool more = true;

	if (sort->fd < 0)
		return next_in_memory(sort, ret_entry, ret_more);
	if (sort->started && sort->heap_count) {
		TRY(load_head(sort, &sort->runs[sort->heap[0]], &more, err));
		if (!more)
			sort->heap[0] = sort->heap[--sort->heap_count];
		sift_down(sort, 0);
	}
	sort->started = true;
	*ret_more = sort->heap_count > 0;
	if (*ret_more)
		*ret_entry = sort->runs[sort->heap[0]].entry;
	return SB_OK;
}
