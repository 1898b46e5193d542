/* The log: one line an event, to standard error, in one of three formats.
 *
 *   text    INFO  Checkpoint created  id=checkpoint-…
 *   logfmt  time=… level=info msg="Checkpoint created" id=checkpoint-…
 *   json    {"time":"…","level":"info","msg":"Checkpoint created","id":"checkpoint-…"}
 *
 * A line is formatted in the caller's thread and written with one write(2), so lines never
 * mix. Values are escaped: no byte from outside reaches a terminal raw. A log that cannot
 * be written is not an error of the job. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "sb_plugin.h"

enum log_format { LOG_TEXT, LOG_LOGFMT, LOG_JSON };

struct log {
	int fd;
	int32_t level; /* SB_LOG_*; lines above it are not written; 0: silent */
	enum log_format format;
	bool color;
	struct clock *clock;
};

static inline bool log_enabled(const struct log *log, int32_t level)
{
	return level <= log->level;
}

/* component may be NULL; it becomes the last field, except in text at info and below detail. */
void log_write(const struct log *log, int32_t level, const char *component, const char *message,
	       const sb_log_field *fields, uint64_t field_count);

/* LOG(log, SB_LOG_INFO, "Checkpoint created", LOG_S("id", id), LOG_I("bytes", n)); */
#define LOG(log, level, message, ...)                                                                                  \
	do {                                                                                                           \
		if (log_enabled(log, level)) {                                                                         \
			const sb_log_field fields_[] = {{0}, ##__VA_ARGS__};                                           \
			log_write(log, level, NULL, message, fields_ + 1, sizeof(fields_) / sizeof(fields_[0]) - 1);   \
		}                                                                                                      \
	} while (0)

#define LOG_S(key, text)                                                                                               \
	{                                                                                                              \
		.name = (key), .value = log_text_value(text), .type = SB_TYPE_STRING                                   \
	}
#define LOG_SLICE(key, slice)                                                                                          \
	{                                                                                                              \
		.name = (key), .value = log_slice_value(slice), .type = SB_TYPE_STRING                                 \
	}
#define LOG_I(key, number)                                                                                             \
	{                                                                                                              \
		.name = (key), .value = {.as = {.i64 = (int64_t)(number)}}, .type = SB_TYPE_I64                        \
	}
#define LOG_F(key, number, digits)                                                                                     \
	{                                                                                                              \
		.name = (key), .value = {.as = {.f64 = (number)}}, .type = SB_TYPE_F64, .decimals = (digits)           \
	}
#define LOG_B(key, truth)                                                                                              \
	{                                                                                                              \
		.name = (key), .value = {.as = {.i64 = (truth) ? 1 : 0}}, .type = SB_TYPE_BOOL                         \
	}

sb_value log_text_value(const char *text);
sb_value log_slice_value(sb_slice slice);

/* The name of a level, lower case; and back, or -1. */
const char *log_level_name(int32_t level);
int32_t log_level_parse(const char *name);

#endif
