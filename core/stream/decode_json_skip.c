/* The grammar of JSON values that nobody asked for, and of strings with escapes or beyond ASCII: everything is checked, nothing kept. */
#include <assert.h>

#include "base/json_write.h"
#include "stream/decode_json_private.h"

bool json_unexpected(struct scan *s, const char *expected)
{
	if (s->at >= s->end)
		return fault_set(s->fault, "invalid-json", "expected %s, found the end at byte %zu", expected,
				 json_position(s));
	if (*s->at > 0x20 && *s->at < 0x7f)
		return fault_set(s->fault, "invalid-json", "expected %s, found '%c' at byte %zu", expected, *s->at,
				 json_position(s));
	return fault_set(s->fault, "invalid-json", "expected %s, found the byte 0x%02x at byte %zu", expected, *s->at,
			 json_position(s));
}

/* ---- strings ---- */

/* Four hex digits at p, or -1. */
static int hex4(const uint8_t *p, const uint8_t *end)
{
	int value = 0;

	if (end - p < 4)
		return -1;
	for (unsigned i = 0; i < 4; i++) {
		uint8_t c = p[i], letter = c | 0x20;

		if (is_digit(c))
			value = value * 16 + (c - '0');
		else if (letter >= 'a' && letter <= 'f')
			value = value * 16 + (letter - 'a' + 10);
		else
			return -1;
	}
	return value;
}

static bool is_high_surrogate(int unit)
{
	return unit >= 0xd800 && unit < 0xdc00;
}

static bool is_low_surrogate(int unit)
{
	return unit >= 0xdc00 && unit < 0xe000;
}

/* Length of the escape at p, or 0 when it is none. A surrogate must be half of a pair: alone it has no UTF-8. */
static unsigned escape_length(const uint8_t *p, const uint8_t *end)
{
	int unit;

	assert(end - p >= 2); /* the record's last '}' is behind it */
	if (p[1] != 'u')
		return p[1] && strchr("\"\\/bfnrt", p[1]) ? 2 : 0;
	unit = hex4(p + 2, end);
	if (unit < 0 || is_low_surrogate(unit))
		return 0;
	if (!is_high_surrogate(unit))
		return 6;
	if (end - p < 8 || p[6] != '\\' || p[7] != 'u' || !is_low_surrogate(hex4(p + 8, end)))
		return 0;
	return 12;
}

/* The part of scan_string for strings that are not plain ASCII; s->at is at the first special byte. */
bool json_scan_string_rest(struct scan *s, bool *ret_escaped)
{
	unsigned n;

	for (;;) {
		s->at = skip_plain(s->at, s->begin, s->end);
		if (s->at == s->end)
			return fault_set(s->fault, "invalid-json", "a string is not closed at byte %zu",
					 json_position(s));
		if (*s->at == '"')
			return true;
		if (*s->at == '\\') {
			n = escape_length(s->at, s->end);
			if (n == 0)
				return fault_set(s->fault, "invalid-json", "invalid escape in a string at byte %zu",
						 json_position(s));
			*ret_escaped = true;
		} else if (*s->at < 0x20) {
			return fault_set(s->fault, "invalid-json", "control character 0x%02x in a string at byte %zu",
					 *s->at, json_position(s));
		} else {
			n = utf8_sequence(s->at, (size_t)(s->end - s->at));
			if (n == 0)
				return fault_set(s->fault, "invalid-utf8", "byte 0x%02x is not UTF-8 at byte %zu",
						 *s->at, json_position(s));
		}
		s->at += n;
	}
}

static uint8_t *put_utf8(uint8_t *out, unsigned c)
{
	if (c < 0x80) {
		*out++ = (uint8_t)c;
	} else if (c < 0x800) {
		*out++ = (uint8_t)(0xc0 | c >> 6);
		*out++ = (uint8_t)(0x80 | (c & 0x3f));
	} else if (c < 0x10000) {
		*out++ = (uint8_t)(0xe0 | c >> 12);
		*out++ = (uint8_t)(0x80 | (c >> 6 & 0x3f));
		*out++ = (uint8_t)(0x80 | (c & 0x3f));
	} else {
		*out++ = (uint8_t)(0xf0 | c >> 18);
		*out++ = (uint8_t)(0x80 | (c >> 12 & 0x3f));
		*out++ = (uint8_t)(0x80 | (c >> 6 & 0x3f));
		*out++ = (uint8_t)(0x80 | (c & 0x3f));
	}
	return out;
}

/* Unescapes a scanned string into out, which has room for text.len bytes; returns the length. */
static size_t unescape(sb_slice text, uint8_t *out)
{
	static const uint8_t plain[256] = {['"'] = '"',	 ['\\'] = '\\', ['/'] = '/',  ['b'] = '\b',
					   ['f'] = '\f', ['n'] = '\n',	['r'] = '\r', ['t'] = '\t'};
	const uint8_t *p = text.ptr, *end = p + text.len;
	uint8_t *start = out;

	while (p < end) {
		const uint8_t *slash = memchr(p, '\\', (size_t)(end - p));
		size_t run = (size_t)((slash ? slash : end) - p);

		memcpy(out, p, run);
		out += run;
		p += run;
		if (!slash)
			break;
		if (p[1] != 'u') {
			*out++ = plain[p[1]];
			p += 2;
		} else {
			int unit = hex4(p + 2, end);

			p += 6;
			if (is_high_surrogate(unit)) {
				unit = 0x10000 + ((unit - 0xd800) << 10) + (hex4(p + 2, end) - 0xdc00);
				p += 6;
			}
			out = put_utf8(out, (unsigned)unit);
		}
	}
	return (size_t)(out - start);
}

/* The string as the record means it, in the arena if it has escapes. */
bool json_resolve_string(struct scan *s, sb_slice *text, bool escaped)
{
	uint8_t *copy;

	if (!escaped)
		return true;
	copy = arena_alloc(s->arena, text->len);
	if (!copy) {
		s->no_memory = true;
		return false;
	}
	*text = slice_of(copy, unescape(*text, copy));
	return true;
}

/* ---- other values ---- */

static bool scan_literal(struct scan *s, const char *word, size_t len)
{
	if ((size_t)(s->end - s->at) <= len || memcmp(s->at, word, len) != 0)
		return json_unexpected(s, "a value");
	s->at += len;
	return true;
}

static bool scan_number(struct scan *s, struct decimal *ret)
{
	const uint8_t *behind = decimal_scan(s->at, s->end, false, ret);

	if (!behind)
		return fault_set(s->fault, "invalid-json", "invalid number at byte %zu", json_position(s));
	s->at = behind;
	return true;
}

bool json_skip_scalar(struct scan *s)
{
	struct decimal number;
	sb_slice text;
	bool escaped;

	switch (*s->at) {
	case '"':
		return scan_string(s, &text, &escaped);
	case 't':
		return scan_literal(s, "true", 4);
	case 'f':
		return scan_literal(s, "false", 5);
	case 'n':
		return scan_literal(s, "null", 4);
	case '-':
	case '0' ... '9':
		return scan_number(s, &number);
	default:
		return json_unexpected(s, "a value");
	}
}

/* "name" : up to the value. */
static bool skip_name(struct scan *s)
{
	sb_slice name;
	bool escaped;

	skip_blanks(s);
	if (*s->at != '"')
		return json_unexpected(s, "a name");
	if (!scan_string(s, &name, &escaped))
		return false;
	skip_blanks(s);
	if (*s->at != ':')
		return json_unexpected(s, "':'");
	s->at++;
	skip_blanks(s);
	return true;
}

/* Nested values without recursion: a bit a level says whether it is an object. */
struct nest {
	uint32_t objects;
	unsigned level; /* below the record itself */
};

/* Opens a container at s->at; *ret_empty when it closes at once. */
static bool open_container(struct scan *s, struct nest *nest, bool *ret_empty)
{
	bool object = *s->at == '{';

	if (nest->level + 1 >= RECORD_MAX_DEPTH)
		return fault_set(s->fault, "too-deep", "more than %d levels at byte %zu", RECORD_MAX_DEPTH,
				 json_position(s));
	s->at++;
	skip_blanks(s);
	*ret_empty = *s->at == (object ? '}' : ']');
	if (*ret_empty) {
		s->at++;
		return true;
	}
	nest->objects = nest->objects << 1 | object;
	nest->level++;
	return object ? skip_name(s) : true;
}

/* Behind a value: closes what ends here, and goes to the next value of what does not. */
static bool close_containers(struct scan *s, struct nest *nest)
{
	while (nest->level) {
		bool object = nest->objects & 1;

		if (s->at == s->end)
			return json_unexpected(s, object ? "',' or '}'" : "',' or ']'");
		skip_blanks(s);
		if (*s->at == ',') {
			s->at++;
			if (object)
				return skip_name(s);
			skip_blanks(s);
			return true;
		}
		if (*s->at != (object ? '}' : ']'))
			return json_unexpected(s, object ? "',' or '}'" : "',' or ']'");
		s->at++;
		nest->objects >>= 1;
		nest->level--;
	}
	return true;
}

/* Checks the value at s->at and passes over it. The record's own '}' must still come. */
bool json_skip_value(struct scan *s)
{
	struct nest nest = {0};
	bool closed;

	do {
		closed = true;
		if (*s->at == '{' || *s->at == '[') {
			if (!open_container(s, &nest, &closed))
				return false;
		} else if (!json_skip_scalar(s)) {
			return false;
		}
		if (closed && !close_containers(s, &nest))
			return false;
	} while (nest.level);
	if (s->at < s->end)
		return true;
	return json_unexpected(s, "',' or '}'");
}
