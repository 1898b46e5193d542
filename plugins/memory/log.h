/* SPDX-License-Identifier: Apache-2.0
 *
 * log.h: a list of changes that only grows at its end, and is read on another thread
 * meanwhile.
 *
 * It is a chain of chunks that never move. A reader gets a span: where the log begins, and
 * where it ended at that moment. It looks at nothing behind that end, and the owner writes nothing
 * before it, so they share no byte that changes and need no atomics.
 *
 * Invariant: behind log->last there is nothing; of every chunk before it, used and next are final.
 *
 * Owner thread only, but for the functions of struct log_span, which lives as long as its log.
 */
#ifndef MEMORY_LOG_H
#define MEMORY_LOG_H

#include "pages.h"

#include <sb_plugin.h>

#include <string.h>

struct log_chunk {
	struct log_chunk *next;
	uint32_t used, capacity; /* bytes */
	uint8_t bytes[];
};

struct log {
	struct log_chunk *first, *last;
	uint64_t entries;
	uint64_t size_bytes; /* of all chunks, with their heads */
};

/* false: there is no memory, and the log is as it was. */
bool log_add_chunk(struct log *log, struct pages *pages, uint32_t need_bytes);
/* Where the key is in the log, for log_holds_key(), or NULL. */
const uint8_t *log_add_key(struct log *log, struct pages *pages, sb_slice key);
bool log_holds_key(const uint8_t *logged, sb_slice key);
void log_done(struct log *log, struct pages *pages);

static inline bool log_has_room(const struct log *log, uint32_t need_bytes)
{
	return log->last && log->last->capacity - log->last->used >= need_bytes;
}

static inline void log_push(struct log *log, const void *bytes, uint32_t len)
{
	memcpy(log->last->bytes + log->last->used, bytes, len);
	log->last->used += len;
}

static inline bool log_add_ref(struct log *log, struct pages *pages, uint32_t ref)
{
	if (!log_has_room(log, sizeof(ref)) && !log_add_chunk(log, pages, sizeof(ref)))
		return false;
	log_push(log, &ref, sizeof(ref));
	log->entries++;
	return true;
}

struct log_span {
	const struct log_chunk *first, *last;
	uint32_t last_used;
};

struct log_cursor {
	const struct log_chunk *chunk; /* NULL: at the end */
	uint32_t at;
};

static inline struct log_span log_span(const struct log *log)
{
	return (struct log_span){log->first, log->last, log->last ? log->last->used : 0};
}

/* What lies ahead of the cursor in one piece; 0 bytes is the end of the span. Entries do not
 * straddle chunks. */
sb_slice log_rest(const struct log_span *span, struct log_cursor *cursor);
/* The key at the cursor, which moves on; false at the end. */
bool log_next_key(const struct log_span *span, struct log_cursor *cursor, sb_slice *ret_key);

#endif
