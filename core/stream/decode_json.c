/* One JSON object to values, in one pass.
 *
 * The scanner keeps an invariant that saves it nearly all bound checks: a record is trimmed and must end in '}', which
 * no number, literal or blank goes on over. So outside of strings, at < end holds, and reading *at is safe, up to the last
 * '}'; strings check for the end themselves, and closing that last brace ends the scan.
 *
 * Where names are expected, the last record's shape is tried first (see decode_private.h): a few 8-byte comparisons
 * stand for a scan and a look-up. Everything is checked on every path. */
#include <stdlib.h>

#include "base/json_write.h"
#include "stream/decode_private.h"

#if defined(__SSE2__) && !defined(SBHOST_PORTABLE)
#include <emmintrin.h>
#define SCAN_SSE2 1
#else
#define SCAN_SSE2 0
#endif

struct scan {
	const uint8_t *at, *end;
	const uint8_t *begin; /* of the record, untrimmed: positions count from here */
	struct arena *arena;
	struct decode_fault *fault;
	bool no_memory;
};

static size_t position(const struct scan *s)
{
	return (size_t)(s->at - s->begin);
}

static bool is_blank(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static inline void skip_blanks(struct scan *s)
{
	while (is_blank(*s->at))
		s->at++;
}

__attribute__((noinline, cold)) static bool unexpected(struct scan *s, const char *expected)
{
	if (s->at >= s->end)
		return fault_set(s->fault, "invalid-json", "expected %s, found the end at byte %zu", expected,
				 position(s));
	if (*s->at > 0x20 && *s->at < 0x7f)
		return fault_set(s->fault, "invalid-json", "expected %s, found '%c' at byte %zu", expected, *s->at,
				 position(s));
	return fault_set(s->fault, "invalid-json", "expected %s, found the byte 0x%02x at byte %zu", expected, *s->at,
			 position(s));
}

/* ---- strings ---- */

#if SCAN_SSE2
/* A bit for each of 16 bytes that cannot be passed over: '"', '\\', below 0x20, above 0x7f (negative as signed). */
static inline unsigned special_mask(const uint8_t *p)
{
	__m128i bytes = _mm_loadu_si128((const __m128i *)p);
	__m128i special =
		_mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('"')), _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\')));

	special = _mm_or_si128(special, _mm_cmplt_epi8(bytes, _mm_set1_epi8(0x20)));
	return (unsigned)_mm_movemask_epi8(special);
}

/* The first special byte at or behind p, or end. */
static inline const uint8_t *skip_plain(const uint8_t *p, const uint8_t *begin, const uint8_t *end)
{
	unsigned mask;

	for (; end - p >= 16; p += 16) {
		mask = special_mask(p);
		if (mask)
			return p + __builtin_ctz(mask);
	}
	if (end - begin >= 16) { /* the record's last 16 bytes, those before p shifted out */
		mask = special_mask(end - 16) >> (16 - (end - p));
		return mask ? p + __builtin_ctz(mask) : end;
	}
	while (p < end && *p >= 0x20 && *p < 0x80 && *p != '"' && *p != '\\')
		p++;
	return p;
}
#else
/* Not zero when one of eight bytes is special. */
static inline uint64_t special_word(const uint8_t *p)
{
	const uint64_t ones = UINT64_C(0x0101010101010101), high = UINT64_C(0x8080808080808080);
	uint64_t word, quotes, slashes;

	memcpy(&word, p, 8);
	quotes = word ^ ones * '"';
	slashes = word ^ ones * '\\';
	return (word | (word - ones * 0x20) | (quotes - ones) | (slashes - ones)) & high;
}

static inline const uint8_t *skip_plain(const uint8_t *p, const uint8_t *begin, const uint8_t *end)
{
	(void)begin;
	while (end - p >= 8 && !special_word(p))
		p += 8;
	while (p < end && *p >= 0x20 && *p < 0x80 && *p != '"' && *p != '\\')
		p++;
	return p;
}
#endif

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

	if (end - p < 2)
		return 0;
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
__attribute__((noinline)) static bool scan_string_rest(struct scan *s, bool *ret_escaped)
{
	unsigned n;

	for (;;) {
		s->at = skip_plain(s->at, s->begin, s->end);
		if (s->at == s->end)
			return fault_set(s->fault, "invalid-json", "a string is not closed at byte %zu", position(s));
		if (*s->at == '"')
			return true;
		if (*s->at == '\\') {
			n = escape_length(s->at, s->end);
			if (n == 0)
				return fault_set(s->fault, "invalid-json", "invalid escape in a string at byte %zu",
						 position(s));
			*ret_escaped = true;
		} else if (*s->at < 0x20) {
			return fault_set(s->fault, "invalid-json", "control character 0x%02x in a string at byte %zu",
					 *s->at, position(s));
		} else {
			n = utf8_sequence(s->at, (size_t)(s->end - s->at));
			if (n == 0)
				return fault_set(s->fault, "invalid-utf8", "byte 0x%02x is not UTF-8 at byte %zu",
						 *s->at, position(s));
		}
		s->at += n;
	}
}

/* From the opening quote to behind the closing one; ret is what stands between. */
static inline bool scan_string(struct scan *s, sb_slice *ret, bool *ret_escaped)
{
	const uint8_t *start = s->at + 1;

	*ret_escaped = false;
	s->at = skip_plain(start, s->begin, s->end);
	if (__builtin_expect(s->at == s->end || *s->at != '"', 0) && !scan_string_rest(s, ret_escaped))
		return false;
	*ret = slice_of(start, (size_t)(s->at - start));
	s->at++;
	return true;
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
static bool resolve_string(struct scan *s, sb_slice *text, bool escaped)
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
		return unexpected(s, "a value");
	s->at += len;
	return true;
}

static bool scan_number(struct scan *s, struct decimal *ret)
{
	const uint8_t *behind = decimal_scan(s->at, s->end, false, ret);

	if (!behind)
		return fault_set(s->fault, "invalid-json", "invalid number at byte %zu", position(s));
	s->at = behind;
	return true;
}

static bool skip_scalar(struct scan *s)
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
		return unexpected(s, "a value");
	}
}

/* "name" : up to the value. */
static bool skip_name(struct scan *s)
{
	sb_slice name;
	bool escaped;

	skip_blanks(s);
	if (*s->at != '"')
		return unexpected(s, "a name");
	if (!scan_string(s, &name, &escaped))
		return false;
	skip_blanks(s);
	if (*s->at != ':')
		return unexpected(s, "':'");
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
				 position(s));
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
			return unexpected(s, object ? "',' or '}'" : "',' or ']'");
		skip_blanks(s);
		if (*s->at == ',') {
			s->at++;
			if (object)
				return skip_name(s);
			skip_blanks(s);
			return true;
		}
		if (*s->at != (object ? '}' : ']'))
			return unexpected(s, object ? "',' or '}'" : "',' or ']'");
		s->at++;
		nest->objects >>= 1;
		nest->level--;
	}
	return true;
}

/* Checks the value at s->at and passes over it. The record's own '}' must still come. */
static bool skip_value(struct scan *s)
{
	struct nest nest = {0};
	bool closed;

	do {
		closed = true;
		if (*s->at == '{' || *s->at == '[') {
			if (!open_container(s, &nest, &closed))
				return false;
		} else if (!skip_scalar(s)) {
			return false;
		}
		if (closed && !close_containers(s, &nest))
			return false;
	} while (nest.level);
	return s->at < s->end ? true : unexpected(s, "',' or '}'");
}

/* ---- fields ---- */

static const char *kind_name(uint8_t first)
{
	switch (first) {
	case '"':
		return "a string";
	case '{':
		return "an object";
	case '[':
		return "an array";
	case 't':
	case 'f':
		return "true or false";
	default:
		return "a number";
	}
}

/* A value of a kind that the field does not take: null is no value, all else a fault once it proves well-formed. */
__attribute__((noinline)) static bool take_other(struct scan *s, const struct decode_field *field)
{
	size_t at = position(s);
	uint8_t first = *s->at;

	if (!skip_value(s))
		return false;
	return first == 'n' ? true : field_wrong_type(field, kind_name(first), at, s->fault);
}

static bool take_string(struct scan *s, sb_value *ret)
{
	sb_slice text;
	bool escaped;

	if (!scan_string(s, &text, &escaped) || !resolve_string(s, &text, escaped))
		return false;
	ret->as.ptr = text.ptr;
	ret->len = text.len;
	return true;
}

static bool take_time_string(struct scan *s, const struct decode_field *field, sb_value *ret)
{
	size_t at = position(s);
	sb_slice text;
	bool escaped;

	if (!scan_string(s, &text, &escaped) || !resolve_string(s, &text, escaped))
		return false;
	return field_set_time_text(field, text, at, ret, s->fault);
}

static bool take_number(struct scan *s, const struct decode_field *field, sb_value *ret)
{
	size_t at = position(s);
	struct decimal number;

	return scan_number(s, &number) && field_set_number(field, &number, at, ret, s->fault);
}

static inline bool take_value(struct scan *s, const struct decode_field *field, sb_value *ret)
{
	uint8_t first = *s->at;

	switch (field->type) {
	case SB_TYPE_STRING:
		return first == '"' ? take_string(s, ret) : take_other(s, field);
	case SB_TYPE_BOOL:
		if (first != 't' && first != 'f')
			return take_other(s, field);
		ret->as.i64 = first == 't';
		ret->len = 0;
		return skip_scalar(s);
	case SB_TYPE_TIME:
		if (first == '"')
			return take_time_string(s, field, ret);
		break;
	default:
		break;
	}
	return is_digit(first) || first == '-' ? take_number(s, field, ret) : take_other(s, field);
}

static inline bool take_column(struct decoder *d, struct scan *s, struct decode_column *column, sb_value *values)
{
	const uint8_t *value = s->at;

	if (column->seen == d->generation)
		return fault_set(s->fault, "duplicate-field", "field '%s': a second member for it before byte %zu",
				 d->fields[column->first].name, position(s));
	column->seen = d->generation;
	for (uint32_t i = column->first; i != NO_INDEX; i = d->fields[i].next) {
		s->at = value;
		if (!take_value(s, &d->fields[i], &values[i]))
			return false;
	}
	return true;
}

/* ---- members ---- */

/* n >= 4 */
static inline bool same_bytes(const uint8_t *a, const uint8_t *b, size_t n)
{
	uint64_t x, y;
	uint32_t u, v;
	size_t i = 0;

	if (n < 8) {
		memcpy(&u, a, 4);
		memcpy(&v, b, 4);
		if (u != v)
			return false;
		memcpy(&u, a + n - 4, 4);
		memcpy(&v, b + n - 4, 4);
		return u == v;
	}
	for (; i + 8 < n; i += 8) {
		memcpy(&x, a + i, 8);
		memcpy(&y, b + i, 8);
		if (x != y)
			return false;
	}
	memcpy(&x, a + n - 8, 8);
	memcpy(&y, b + n - 8, 8);
	return x == y;
}

static inline bool predicted(const struct decoder *d, struct scan *s, unsigned index, uint32_t *ret_column)
{
	const struct shape_member *member;

	if (index >= SHAPE_MEMBERS)
		return false;
	member = &d->shape[index];
	if (member->len == 0 || (size_t)(s->end - s->at) <= member->len ||
	    !same_bytes(s->at, member->prefix, member->len))
		return false;
	s->at += member->len;
	skip_blanks(s); /* more than last time */
	*ret_column = member->column;
	return true;
}

static void learn(struct decoder *d, const struct scan *s, unsigned index, const uint8_t *start, uint32_t column)
{
	size_t len = (size_t)(s->at - start);

	if (index >= SHAPE_MEMBERS)
		return;
	d->shape[index].len = 0;
	if (len < 4 || len > SHAPE_PREFIX_BYTES)
		return;
	memcpy(d->shape[index].prefix, start, len);
	d->shape[index].len = (uint8_t)len;
	d->shape[index].column = column;
}

static bool find_column(const struct decoder *d, struct scan *s, sb_slice name, bool escaped, uint32_t *ret_column)
{
	if (!resolve_string(s, &name, escaped))
		return false;
	*ret_column = NO_INDEX;
	for (uint32_t i = 0; i < d->column_count; i++) {
		if (d->columns[i].name_len == name.len && memcmp(d->columns[i].name, name.ptr, name.len) == 0) {
			*ret_column = i;
			break;
		}
	}
	return true;
}

/* [,] "name" : up to the value; s->at is not at the record's last '}'. */
__attribute__((noinline)) static bool scan_member(struct decoder *d, struct scan *s, unsigned index,
						  uint32_t *ret_column)
{
	const uint8_t *start = s->at;
	sb_slice name;
	bool escaped;

	skip_blanks(s);
	if (index) {
		if (*s->at != ',')
			return unexpected(s, "',' or '}'");
		s->at++;
		skip_blanks(s);
	}
	if (*s->at != '"')
		return unexpected(s, "a name");
	if (!scan_string(s, &name, &escaped))
		return false;
	skip_blanks(s);
	if (*s->at != ':')
		return unexpected(s, "':'");
	s->at++;
	skip_blanks(s);
	if (!find_column(d, s, name, escaped, ret_column))
		return false;
	learn(d, s, index, start, *ret_column);
	return true;
}

/* True when the object closes here, with s->at at its '}'. */
static inline bool at_close(struct scan *s)
{
	if (is_blank(*s->at)) {
		const uint8_t *p = s->at;

		while (is_blank(*p))
			p++;
		if (*p != '}')
			return false; /* the blanks belong to the next member's prefix */
		s->at = p;
	}
	return *s->at == '}';
}

static bool scan_members(struct decoder *d, struct scan *s, sb_value *values)
{
	uint32_t column;

	for (unsigned index = 0; !at_close(s); index++) {
		if (!predicted(d, s, index, &column) && !scan_member(d, s, index, &column))
			return false;
		if (column == NO_INDEX ? !skip_value(s) : !take_column(d, s, &d->columns[column], values))
			return false;
	}
	if (s->at + 1 != s->end) {
		s->at++;
		return unexpected(s, "the end of the record");
	}
	return true;
}

static bool check_frame(struct scan *s)
{
	if (*s->at != '{')
		return unexpected(s, "a JSON object");
	if (s->end - s->at >= 2 && s->end[-1] == '}')
		return true;
	return fault_set(s->fault, "invalid-json",
			 "the object is not closed: the record does not end in '}' at byte %zu",
			 (size_t)(s->end - 1 - s->begin));
}

enum decode_result json_decode(struct decoder *decoder, sb_slice record, struct arena *arena, sb_value *ret_values,
			       struct decode_fault *ret_fault)
{
	struct scan s = {.at = record.ptr,
			 .end = record.ptr + record.len,
			 .begin = record.ptr,
			 .arena = arena,
			 .fault = ret_fault};

	while (s.end > s.at && is_blank(s.end[-1]))
		s.end--;
	while (s.at < s.end && is_blank(*s.at))
		s.at++;
	if (s.at == s.end)
		return DECODE_NOTHING;
	if (!check_frame(&s))
		return DECODE_BAD;
	s.at++;
	decoder->generation++;
	if (scan_members(decoder, &s, ret_values))
		return DECODE_EVENT;
	return s.no_memory ? DECODE_NO_MEMORY : DECODE_BAD;
}
