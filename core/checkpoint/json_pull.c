/* See json_pull.h. */
#include "checkpoint/json_pull.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/json_write.h"
#include "base/number.h"
#include "base/slice.h"

enum {
	EXPECT_VALUE,
	EXPECT_VALUE_OR_END, /* behind '[' */
	EXPECT_NAME_OR_END, /* behind '{' */
	EXPECT_COMMA_OR_END, /* behind a value in a container */
	EXPECT_STRING, /* inside a string */
	EXPECT_NOTHING, /* behind the outermost value */
};

#define END_OF_INPUT (-1)

void json_pull_init(struct json_pull *pull, json_fill_fn fill, void *context, const char *subject, int64_t offset)
{
	memset(pull, 0, sizeof(*pull));
	pull->fill = fill;
	pull->context = context;
	pull->subject = subject;
	pull->before = offset;
	pull->expecting = EXPECT_VALUE;
}

void json_pull_init_behind_member(struct json_pull *pull, json_fill_fn fill, void *context, const char *subject,
				  int64_t offset)
{
	json_pull_init(pull, fill, context, subject, offset);
	pull->open[pull->depth++] = '{';
	pull->expecting = EXPECT_COMMA_OR_END;
}

int64_t json_pull_offset(const struct json_pull *pull)
{
	return pull->before + (pull->at - pull->piece);
}

int32_t json_pull_fail(const struct json_pull *pull, sb_error *err, const char *format, ...)
{
	char what[SB_ERROR_MESSAGE_BYTES / 2];
	va_list args;

	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	return error_set(err, SB_ERR_CORRUPT, "%s is damaged: %s at byte %lld", pull->subject, what,
			 (long long)json_pull_offset(pull));
}

static void capture_consumed(struct json_pull *pull)
{
	if (pull->capture)
		buffer_append(pull->capture, pull->capture_from, (size_t)(pull->at - pull->capture_from));
	pull->capture_from = pull->at;
}

static int32_t refill(struct json_pull *pull, sb_error *err)
{
	sb_slice next;

	if (pull->at_end)
		return SB_OK;
	capture_consumed(pull);
	TRY(pull->fill(pull->context, &next, err));
	if (next.len == 0)
		next.ptr = (const uint8_t *)"";
	pull->before += pull->end - pull->piece;
	pull->piece = pull->at = pull->capture_from = next.ptr;
	pull->end = next.ptr + next.len;
	pull->at_end = next.len == 0;
	return SB_OK;
}

static int32_t peek(struct json_pull *pull, int *ret_char, sb_error *err)
{
	if (pull->at == pull->end)
		TRY(refill(pull, err));
	*ret_char = pull->at == pull->end ? END_OF_INPUT : *pull->at;
	return SB_OK;
}

static int32_t peek_behind_space(struct json_pull *pull, int *ret_char, sb_error *err)
{
	for (;;) {
		TRY(peek(pull, ret_char, err));
		if (*ret_char != ' ' && *ret_char != '\n' && *ret_char != '\r' && *ret_char != '\t')
			return SB_OK;
		pull->at++;
	}
}

static int32_t take(struct json_pull *pull, int *ret_char, sb_error *err)
{
	TRY(peek(pull, ret_char, err));
	if (*ret_char == END_OF_INPUT)
		return json_pull_fail(pull, err, "it ends too early");
	pull->at++;
	return SB_OK;
}

static void end_value(struct json_pull *pull)
{
	pull->expecting = pull->depth ? EXPECT_COMMA_OR_END : EXPECT_NOTHING;
}

static int32_t open_container(struct json_pull *pull, uint8_t bracket, sb_error *err)
{
	if (pull->depth == JSON_PULL_DEPTH_MAX)
		return json_pull_fail(pull, err, "nesting deeper than %d", JSON_PULL_DEPTH_MAX);
	pull->at++;
	pull->open[pull->depth++] = bracket;
	pull->expecting = bracket == '{' ? EXPECT_NAME_OR_END : EXPECT_VALUE_OR_END;
	return SB_OK;
}

static void close_container(struct json_pull *pull)
{
	pull->at++;
	pull->depth--;
	end_value(pull);
}

static int32_t read_literal(struct json_pull *pull, const char *word, sb_error *err)
{
	int c;

	for (; *word; word++) {
		TRY(take(pull, &c, err));
		if (c != *word)
			return json_pull_fail(pull, err, "a misspelt literal");
	}
	end_value(pull);
	return SB_OK;
}

static size_t count_digits(const char *text)
{
	return strspn(text, "0123456789");
}

static bool is_json_number(const char *text)
{
	size_t digits;

	text += *text == '-';
	digits = count_digits(text);
	if (digits == 0 || (digits > 1 && *text == '0'))
		return false;
	text += digits;
	if (*text == '.') {
		digits = count_digits(++text);
		if (digits == 0)
			return false;
		text += digits;
	}
	if (*text == 'e' || *text == 'E') {
		text++;
		text += *text == '+' || *text == '-';
		digits = count_digits(text);
		if (digits == 0)
			return false;
		text += digits;
	}
	return *text == 0;
}

static int32_t read_number(struct json_pull *pull, sb_error *err)
{
	int c;

	pull->number_len = 0;
	for (;;) {
		TRY(peek(pull, &c, err));
		if (c == END_OF_INPUT || c == 0 || !strchr("0123456789+-.eE", c))
			break;
		if (pull->number_len == JSON_PULL_NUMBER_MAX)
			return json_pull_fail(pull, err, "a number of more than %d characters", JSON_PULL_NUMBER_MAX);
		pull->number[pull->number_len++] = (char)c;
		pull->at++;
	}
	pull->number[pull->number_len] = 0;
	if (!is_json_number(pull->number))
		return json_pull_fail(pull, err, "a malformed number");
	end_value(pull);
	return SB_OK;
}

static int32_t read_value(struct json_pull *pull, int c, enum json_token *ret_token, sb_error *err)
{
	switch (c) {
	case '{':
		*ret_token = JSON_OBJECT_BEGIN;
		return open_container(pull, '{', err);
	case '[':
		*ret_token = JSON_ARRAY_BEGIN;
		return open_container(pull, '[', err);
	case '"':
		*ret_token = JSON_STRING;
		pull->at++;
		pull->expecting = EXPECT_STRING;
		return SB_OK;
	case 't':
		*ret_token = JSON_TRUE;
		return read_literal(pull, "true", err);
	case 'f':
		*ret_token = JSON_FALSE;
		return read_literal(pull, "false", err);
	case 'n':
		*ret_token = JSON_NULL;
		return read_literal(pull, "null", err);
	case END_OF_INPUT:
		return json_pull_fail(pull, err, "it ends too early");
	default:
		if (c != '-' && (c < '0' || c > '9'))
			return json_pull_fail(pull, err, "no JSON value");
		*ret_token = JSON_NUMBER;
		return read_number(pull, err);
	}
}

static int32_t read_name(struct json_pull *pull, int c, sb_error *err)
{
	sb_slice piece;

	if (c != '"')
		return json_pull_fail(pull, err, c == END_OF_INPUT ? "it ends too early" : "no member name");
	pull->at++;
	pull->expecting = EXPECT_STRING;
	pull->name_len = 0;
	for (;;) {
		TRY(json_pull_piece(pull, &piece, err));
		if (piece.len == 0)
			break;
		if (piece.len > JSON_PULL_NAME_MAX - pull->name_len)
			return json_pull_fail(pull, err, "a name of more than %d bytes", JSON_PULL_NAME_MAX);
		memcpy(pull->name + pull->name_len, piece.ptr, piece.len);
		pull->name_len += piece.len;
	}
	pull->name[pull->name_len] = 0;
	if (!utf8_is_valid(slice_of(pull->name, pull->name_len)))
		return json_pull_fail(pull, err, "a name that is not UTF-8");
	TRY(peek_behind_space(pull, &c, err));
	if (c != ':')
		return json_pull_fail(pull, err, "no colon behind a name");
	pull->at++;
	pull->expecting = EXPECT_VALUE;
	return SB_OK;
}

/* Behind a value: the end of its container, or a comma and what follows. */
static int32_t read_behind_value(struct json_pull *pull, int c, enum json_token *ret_token, sb_error *err)
{
	bool object = pull->open[pull->depth - 1] == '{';

	if (c == (object ? '}' : ']')) {
		close_container(pull);
		*ret_token = object ? JSON_OBJECT_END : JSON_ARRAY_END;
		return SB_OK;
	}
	if (c != ',')
		return json_pull_fail(pull, err,
				      c == END_OF_INPUT ? "it ends too early" : "neither a comma nor an end");
	pull->at++;
	TRY(peek_behind_space(pull, &c, err));
	if (!object)
		return read_value(pull, c, ret_token, err);
	*ret_token = JSON_MEMBER;
	return read_name(pull, c, err);
}

int32_t json_pull_next(struct json_pull *pull, enum json_token *ret_token, sb_error *err)
{
	int c;

	assert(pull->expecting != EXPECT_STRING);
	TRY(peek_behind_space(pull, &c, err));
	switch (pull->expecting) {
	case EXPECT_NAME_OR_END:
		if (c == '}') {
			close_container(pull);
			*ret_token = JSON_OBJECT_END;
			return SB_OK;
		}
		*ret_token = JSON_MEMBER;
		return read_name(pull, c, err);
	case EXPECT_VALUE_OR_END:
		if (c == ']') {
			close_container(pull);
			*ret_token = JSON_ARRAY_END;
			return SB_OK;
		}
		return read_value(pull, c, ret_token, err);
	case EXPECT_COMMA_OR_END:
		return read_behind_value(pull, c, ret_token, err);
	case EXPECT_NOTHING:
		if (c != END_OF_INPUT)
			return json_pull_fail(pull, err, "bytes behind the end");
		*ret_token = JSON_END;
		return SB_OK;
	default:
		return read_value(pull, c, ret_token, err);
	}
}

static int32_t take_hex4(struct json_pull *pull, uint32_t *ret_unit, sb_error *err)
{
	uint32_t unit = 0;
	int c;

	for (int i = 0; i < 4; i++) {
		TRY(take(pull, &c, err));
		if (c >= '0' && c <= '9')
			c -= '0';
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			c = (c | 0x20) - 'a' + 10;
		else
			return json_pull_fail(pull, err, "a malformed \\u escape");
		unit = unit << 4 | (uint32_t)c;
	}
	*ret_unit = unit;
	return SB_OK;
}

static size_t encode_utf8(uint32_t point, uint8_t *out)
{
	if (point < 0x80) {
		out[0] = (uint8_t)point;
		return 1;
	}
	if (point < 0x800) {
		out[0] = (uint8_t)(0xc0 | point >> 6);
		out[1] = (uint8_t)(0x80 | (point & 0x3f));
		return 2;
	}
	if (point < 0x10000) {
		out[0] = (uint8_t)(0xe0 | point >> 12);
		out[1] = (uint8_t)(0x80 | (point >> 6 & 0x3f));
		out[2] = (uint8_t)(0x80 | (point & 0x3f));
		return 3;
	}
	out[0] = (uint8_t)(0xf0 | point >> 18);
	out[1] = (uint8_t)(0x80 | (point >> 12 & 0x3f));
	out[2] = (uint8_t)(0x80 | (point >> 6 & 0x3f));
	out[3] = (uint8_t)(0x80 | (point & 0x3f));
	return 4;
}

static int32_t take_unicode_escape(struct json_pull *pull, size_t *ret_len, sb_error *err)
{
	uint32_t point, low;
	int c, u;

	TRY(take_hex4(pull, &point, err));
	if (point >= 0xdc00 && point <= 0xdfff)
		return json_pull_fail(pull, err, "a lone surrogate");
	if (point >= 0xd800 && point <= 0xdbff) {
		TRY(take(pull, &c, err));
		TRY(take(pull, &u, err));
		if (c != '\\' || u != 'u')
			return json_pull_fail(pull, err, "a lone surrogate");
		TRY(take_hex4(pull, &low, err));
		if (low < 0xdc00 || low > 0xdfff)
			return json_pull_fail(pull, err, "a lone surrogate");
		point = 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
	}
	*ret_len = encode_utf8(point, pull->escape);
	return SB_OK;
}

static int32_t take_escape(struct json_pull *pull, size_t *ret_len, sb_error *err)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *found;
	int c;

	pull->at++;
	TRY(take(pull, &c, err));
	if (c == 'u')
		return take_unicode_escape(pull, ret_len, err);
	found = c ? strchr(from, c) : NULL;
	if (!found)
		return json_pull_fail(pull, err, "an unknown escape");
	pull->escape[0] = (uint8_t)to[found - from];
	*ret_len = 1;
	return SB_OK;
}

static void end_string(struct json_pull *pull, sb_slice *ret_piece)
{
	pull->at++;
	end_value(pull);
	*ret_piece = (sb_slice){0};
}

int32_t json_pull_piece(struct json_pull *pull, sb_slice *ret_piece, sb_error *err)
{
	const uint8_t *start;
	size_t len = 0;
	int c;

	assert(pull->expecting == EXPECT_STRING);
	TRY(peek(pull, &c, err));
	if (c == END_OF_INPUT)
		return json_pull_fail(pull, err, "it ends too early");
	if (c < 0x20)
		return json_pull_fail(pull, err, "a raw control character");
	if (c == '"') {
		end_string(pull, ret_piece);
		return SB_OK;
	}
	if (c == '\\') {
		TRY(take_escape(pull, &len, err));
		*ret_piece = slice_of(pull->escape, len);
		return SB_OK;
	}
	start = pull->at;
	while (pull->at < pull->end && *pull->at >= 0x20 && *pull->at != '"' && *pull->at != '\\')
		pull->at++;
	*ret_piece = slice_of(start, (size_t)(pull->at - start));
	return SB_OK;
}

int32_t json_pull_plain_piece(struct json_pull *pull, sb_slice *ret_piece, sb_error *err)
{
	const uint8_t *start, *quote;
	int c;

	assert(pull->expecting == EXPECT_STRING);
	TRY(peek(pull, &c, err));
	if (c == END_OF_INPUT)
		return json_pull_fail(pull, err, "it ends too early");
	if (c == '"') {
		end_string(pull, ret_piece);
		return SB_OK;
	}
	start = pull->at;
	quote = memchr(start, '"', (size_t)(pull->end - start));
	pull->at = quote ? quote : pull->end;
	*ret_piece = slice_of(start, (size_t)(pull->at - start));
	return SB_OK;
}

bool json_pull_is_named(const struct json_pull *pull, const char *name)
{
	return slice_equal_text(slice_of(pull->name, pull->name_len), name);
}

static const char *token_name(enum json_token token)
{
	static const char *const names[] = {"an object", "the end of an object",
					    "an array",	 "the end of an array",
					    "a member",	 "a string",
					    "a number",	 "true",
					    "false",	 "null",
					    "the end"};

	return names[token];
}

int32_t json_read(struct json_pull *pull, enum json_token token, sb_error *err)
{
	enum json_token got;

	TRY(json_pull_next(pull, &got, err));
	if (got == JSON_MEMBER && token != JSON_MEMBER)
		return json_pull_fail(pull, err, "member \"%.64s\" where %s should be", pull->name, token_name(token));
	if (got != token)
		return json_pull_fail(pull, err, "%s where %s should be", token_name(got), token_name(token));
	return SB_OK;
}

int32_t json_read_member(struct json_pull *pull, const char *name, sb_error *err)
{
	enum json_token got;

	TRY(json_pull_next(pull, &got, err));
	if (got != JSON_MEMBER)
		return json_pull_fail(pull, err, "%s where member \"%s\" should be", token_name(got), name);
	if (!json_pull_is_named(pull, name))
		return json_pull_fail(pull, err, "member \"%.64s\" where \"%s\" should be", pull->name, name);
	return SB_OK;
}

int32_t json_read_i64(struct json_pull *pull, int64_t *ret_value, sb_error *err)
{
	TRY(json_read(pull, JSON_NUMBER, err));
	if (strcmp(pull->number, "-0") == 0 || !number_parse_i64(slice_of(pull->number, pull->number_len), ret_value))
		return json_pull_fail(pull, err, "%s is no 64-bit integer", pull->number);
	return SB_OK;
}

int32_t json_read_u64(struct json_pull *pull, uint64_t *ret_value, sb_error *err)
{
	TRY(json_read(pull, JSON_NUMBER, err));
	if (!number_parse_u64(slice_of(pull->number, pull->number_len), ret_value))
		return json_pull_fail(pull, err, "%s is no unsigned 64-bit integer", pull->number);
	return SB_OK;
}

int32_t json_read_f64(struct json_pull *pull, double *ret_value, sb_error *err)
{
	TRY(json_read(pull, JSON_NUMBER, err));
	if (!number_parse_f64(slice_of(pull->number, pull->number_len), ret_value))
		return json_pull_fail(pull, err, "%s is no 64-bit number", pull->number);
	return SB_OK;
}

int32_t json_read_bool(struct json_pull *pull, bool *ret_value, sb_error *err)
{
	enum json_token got;

	TRY(json_pull_next(pull, &got, err));
	if (got != JSON_TRUE && got != JSON_FALSE)
		return json_pull_fail(pull, err, "%s where true or false should be", token_name(got));
	*ret_value = got == JSON_TRUE;
	return SB_OK;
}

int32_t json_read_rest_of_text(struct json_pull *pull, struct buffer *text, size_t max_bytes, sb_error *err)
{
	sb_slice piece;

	buffer_clear(text);
	for (;;) {
		TRY(json_pull_piece(pull, &piece, err));
		if (piece.len == 0)
			break;
		if (piece.len > max_bytes - text->len)
			return json_pull_fail(pull, err, "a string of more than %zu bytes", max_bytes);
		buffer_append_slice(text, piece);
		TRY(buffer_check(text, err));
	}
	if (!utf8_is_valid(buffer_slice(text)))
		return json_pull_fail(pull, err, "a string that is not UTF-8");
	if (text->len && memchr(text->data, 0, text->len))
		return json_pull_fail(pull, err, "a string with a NUL in it");
	return SB_OK;
}

int32_t json_read_text(struct json_pull *pull, struct buffer *text, size_t max_bytes, sb_error *err)
{
	TRY(json_read(pull, JSON_STRING, err));
	return json_read_rest_of_text(pull, text, max_bytes, err);
}

static int32_t skip_string(struct json_pull *pull, sb_error *err)
{
	sb_slice piece;

	do {
		TRY(json_pull_piece(pull, &piece, err));
	} while (piece.len);
	return SB_OK;
}

static int32_t skip_value(struct json_pull *pull, sb_error *err)
{
	unsigned depth = pull->depth;
	enum json_token token;

	do {
		TRY(json_pull_next(pull, &token, err));
		if (token == JSON_STRING)
			TRY(skip_string(pull, err));
	} while (pull->depth > depth);
	return SB_OK;
}

int32_t json_read_value(struct json_pull *pull, struct buffer *text, sb_error *err)
{
	int32_t status;
	int c;

	assert(pull->expecting == EXPECT_VALUE);
	TRY(peek_behind_space(pull, &c, err));
	buffer_clear(text);
	pull->capture = text;
	pull->capture_from = pull->at;
	status = skip_value(pull, err);
	capture_consumed(pull);
	pull->capture = NULL;
	return status == SB_OK ? buffer_check(text, err) : status;
}
