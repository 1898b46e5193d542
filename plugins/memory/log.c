/* SPDX-License-Identifier: Apache-2.0
 *
 * log.c: see log.h. A reference is four bytes, a key its length in four bytes and itself.
 */
#include "log.h"

/* Chunks double up to this: a mark without changes shall cost nothing, and a long log few allocations. */
#define CHUNK_BYTES_MIN 1024u
#define CHUNK_BYTES_MAX 65536u

bool log_add_chunk(struct log *log, struct pages *pages, uint32_t need_bytes)
{
	uint32_t size = CHUNK_BYTES_MIN;
	struct log_chunk *chunk;

	while (size < CHUNK_BYTES_MAX && size < log->size_bytes)
		size *= 2;
	if (size - sizeof(*chunk) < need_bytes)
		size = need_bytes + (uint32_t)sizeof(*chunk);
	chunk = pages_alloc(pages, size);
	if (!chunk)
		return false;
	chunk->next = NULL;
	chunk->used = 0;
	chunk->capacity = size - (uint32_t)sizeof(*chunk);
	if (log->last)
		log->last->next = chunk;
	else
		log->first = chunk;
	log->last = chunk;
	log->size_bytes += size;
	return true;
}

const uint8_t *log_add_key(struct log *log, struct pages *pages, sb_slice key)
{
	uint32_t len = (uint32_t)key.len, need = (uint32_t)sizeof(len) + len;

	if (!log_has_room(log, need) && !log_add_chunk(log, pages, need))
		return NULL;
	log_push(log, &len, sizeof(len));
	log_push(log, key.ptr, len);
	log->entries++;
	return log->last->bytes + log->last->used - need;
}

bool log_holds_key(const uint8_t *logged, sb_slice key)
{
	uint32_t len;

	memcpy(&len, logged, sizeof(len));
	return len == key.len && !memcmp(logged + sizeof(len), key.ptr, len);
}

void log_done(struct log *log, struct pages *pages)
{
	while (log->first) {
		struct log_chunk *chunk = log->first;

		log->first = chunk->next;
		pages_free(pages, chunk, chunk->capacity + sizeof(*chunk));
	}
	memset(log, 0, sizeof(*log));
}

sb_slice log_rest(const struct log_span *span, struct log_cursor *cursor)
{
	while (cursor->chunk) {
		bool is_last = cursor->chunk == span->last;
		uint32_t used = is_last ? span->last_used : cursor->chunk->used;

		if (cursor->at < used)
			return (sb_slice){cursor->chunk->bytes + cursor->at, used - cursor->at};
		cursor->chunk = is_last ? NULL : cursor->chunk->next;
		cursor->at = 0;
	}
	return (sb_slice){NULL, 0};
}

bool log_next_key(const struct log_span *span, struct log_cursor *cursor, sb_slice *ret_key)
{
	sb_slice rest = log_rest(span, cursor);
	uint32_t len;

	if (!rest.len)
		return false;
	memcpy(&len, rest.ptr, sizeof(len));
	*ret_key = (sb_slice){rest.ptr + sizeof(len), len};
	cursor->at += (uint32_t)sizeof(len) + len;
	return true;
}
