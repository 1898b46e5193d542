/* A small strict JSON parser that is pulled, token by token, over input that arrives in pieces.
 *
 * Made for files that may be hostile and larger than memory: names and numbers are bounded,
 * depth is bounded, strings come in pieces, nothing is allocated. Strict means RFC 8259 and
 * nothing beside it: no comments, no trailing commas, no leading zeros, no raw control
 * characters, no lone surrogates, no second value. Names are compared case by case.
 *
 * The json_read_* functions below serve a reader that knows what must come: they fail with
 * SB_ERR_CORRUPT and one sentence with the subject (say, the file) and the byte. A reader that asks
 * for members by name in a fixed order refuses missing, unknown and doubled ones by that alone. */
#ifndef CHECKPOINT_JSON_PULL_H
#define CHECKPOINT_JSON_PULL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "sb_plugin.h"

#define JSON_PULL_DEPTH_MAX 32
#define JSON_PULL_NAME_MAX 255
#define JSON_PULL_NUMBER_MAX 63

/* The next piece of input; it stays valid until the next call. An empty one is the end. */
typedef int32_t (*json_fill_fn)(void *context, sb_slice *ret_piece, sb_error *err);

enum json_token {
	JSON_OBJECT_BEGIN,
	JSON_OBJECT_END,
	JSON_ARRAY_BEGIN,
	JSON_ARRAY_END,
	JSON_MEMBER, /* name, name_len; the value is the next token */
	JSON_STRING, /* its content must now be read to the end */
	JSON_NUMBER, /* number, number_len */
	JSON_TRUE,
	JSON_FALSE,
	JSON_NULL,
	JSON_END,
};

struct json_pull {
	json_fill_fn fill;
	void *context;
	const char *subject; /* begins every sentence: "checkpoint file /x/y.json" */

	const uint8_t *piece, *at, *end;
	int64_t before; /* bytes in front of piece */
	bool at_end;

	int expecting; /* see json_pull.c */
	unsigned depth;
	uint8_t open[JSON_PULL_DEPTH_MAX]; /* '{' or '[' */

	char name[JSON_PULL_NAME_MAX + 1];
	size_t name_len;
	char number[JSON_PULL_NUMBER_MAX + 1];
	size_t number_len;
	uint8_t escape[4];

	struct buffer *capture; /* what is consumed is copied here */
	const uint8_t *capture_from;
};

/* subject and context live as long as the parser. offset: where the input begins, for sentences. */
void json_pull_init(struct json_pull *pull, json_fill_fn fill, void *context, const char *subject, int64_t offset);
/* As if "{" and a first member had been read: the input goes on with a comma or "}". */
void json_pull_init_behind_member(struct json_pull *pull, json_fill_fn fill, void *context, const char *subject,
				  int64_t offset);
/* How many bytes of the input have been consumed, counted from the offset given. */
int64_t json_pull_offset(const struct json_pull *pull);

int32_t json_pull_next(struct json_pull *pull, enum json_token *ret_token, sb_error *err);
/* The next piece of the string at hand, escapes decoded; an empty one is its end. Not yet checked for UTF-8. Valid
 * until the next call. */
int32_t json_pull_piece(struct json_pull *pull, sb_slice *ret_piece, sb_error *err);
/* The same, quicker, for a consumer whose alphabet has neither backslash nor control characters and who refuses
 * them itself: they are passed on as they are. */
int32_t json_pull_plain_piece(struct json_pull *pull, sb_slice *ret_piece, sb_error *err);
/* SB_ERR_CORRUPT: "<subject> is damaged: <text> at byte <n>". */
int32_t json_pull_fail(const struct json_pull *pull, sb_error *err, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Whether the member just met is called so, to the last byte: a NUL ends no name. */
bool json_pull_is_named(const struct json_pull *pull, const char *name);

/* The token that must come. */
int32_t json_read(struct json_pull *pull, enum json_token token, sb_error *err);
int32_t json_read_member(struct json_pull *pull, const char *name, sb_error *err);
int32_t json_read_i64(struct json_pull *pull, int64_t *ret_value, sb_error *err);
int32_t json_read_u64(struct json_pull *pull, uint64_t *ret_value, sb_error *err);
int32_t json_read_f64(struct json_pull *pull, double *ret_value, sb_error *err);
int32_t json_read_bool(struct json_pull *pull, bool *ret_value, sb_error *err);
/* Into text (cleared first): valid UTF-8 without NULs of at most max_bytes. */
int32_t json_read_text(struct json_pull *pull, struct buffer *text, size_t max_bytes, sb_error *err);
/* The content of the string whose JSON_STRING token has been read. */
int32_t json_read_rest_of_text(struct json_pull *pull, struct buffer *text, size_t max_bytes, sb_error *err);
/* Any value, checked and copied as the text it is. */
int32_t json_read_value(struct json_pull *pull, struct buffer *text, sb_error *err);

#endif
