/* One JSON object to values, in one pass (see decode_json_private.h for the invariant).
 *
 * Where names are expected, the last record's shape is tried first (see decode_private.h): a few 8-byte comparisons
 * stand for a scan and a look-up. Everything is checked on every path. */
#include <stdlib.h>

#include "stream/decode_json_private.h"

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
	size_t at = json_position(s);
	uint8_t first = *s->at;

	if (!json_skip_value(s))
		return false;
	if (first == 'n')
		return true;
	return field_wrong_type(field, kind_name(first), at, s->fault);
}

/* From here on the position of what goes well is passed on and returned, and does not go through s->at: a processor takes
 * five cycles to load what it has just stored, a hundred times a record. NULL is a fault. */

/* A string value; *ret is valid until the arena is reset. */
static inline const uint8_t *take_text(struct scan *s, const uint8_t *p, sb_slice *ret)
{
	const uint8_t *start = p + 1;
	bool escaped;

	p = skip_plain(start, s->begin, s->end);
	if (__builtin_expect(p < s->end && *p == '"', 1)) {
		*ret = slice_of(start, (size_t)(p - start));
		return p + 1;
	}
	s->at = start - 1;
	return scan_string(s, ret, &escaped) && json_resolve_string(s, ret, escaped) ? s->at : NULL;
}

static inline const uint8_t *take_string(struct scan *s, const uint8_t *p, sb_value *ret)
{
	sb_slice text;

	p = take_text(s, p, &text);
	if (p) {
		ret->as.ptr = text.ptr;
		ret->len = text.len;
	}
	return p;
}

static const uint8_t *take_time_string(struct scan *s, const uint8_t *p, const struct decode_field *field,
				       sb_value *ret)
{
	size_t at = (size_t)(p - s->begin);
	sb_slice text;

	p = take_text(s, p, &text);
	return p && field_set_time_text(field, text, at, ret, s->fault) ? p : NULL;
}

static inline const uint8_t *take_number(struct scan *s, const uint8_t *p, const struct decode_field *field,
					 sb_value *ret)
{
	size_t at = (size_t)(p - s->begin);
	struct decimal number;

	p = decimal_scan(p, s->end, false, &number);
	if (!p)
		return fault_set(s->fault, "invalid-json", "invalid number at byte %zu", at), NULL;
	return field_take_number(field, &number, at, ret, s->fault) ? p : NULL;
}

static const uint8_t *take_bool(struct scan *s, const uint8_t *p, sb_value *ret)
{
	ret->as.i64 = *p == 't';
	ret->len = 0;
	s->at = p;
	return json_skip_scalar(s) ? s->at : NULL;
}

static inline const uint8_t *take_value(struct scan *s, const uint8_t *p, const struct decode_field *field,
					sb_value *ret)
{
	uint8_t first = *p;

	if (field->type == SB_TYPE_STRING) {
		if (first == '"')
			return take_string(s, p, ret);
	} else if (field->type == SB_TYPE_BOOL) {
		if (first == 't' || first == 'f')
			return take_bool(s, p, ret);
	} else if (is_digit(first) || first == '-') {
		return take_number(s, p, field, ret);
	} else if (field->type == SB_TYPE_TIME && first == '"') {
		return take_time_string(s, p, field, ret);
	}
	s->at = p;
	return take_other(s, field) ? s->at : NULL;
}

static inline const uint8_t *take_column(struct decoder *d, struct scan *s, const uint8_t *p,
					 struct decode_column *column, sb_value *values)
{
	const uint8_t *value = p;

	if (column->seen == d->generation) {
		fault_set(s->fault, "duplicate-field", "field '%s': a second member for it before byte %zu",
			  d->fields[column->first].name, (size_t)(p - s->begin));
		return NULL;
	}
	column->seen = d->generation;
	for (uint32_t i = column->first; i != NO_INDEX && p; i = d->fields[i].next)
		p = take_value(s, value, &d->fields[i], &values[i]);
	return p;
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

/* Where the value begins, or NULL when this member is another one than last time. */
static inline const uint8_t *predicted(const struct decoder *d, const struct scan *s, const uint8_t *p, unsigned index,
				       uint32_t *ret_column)
{
	const struct shape_member *member;

	if (index >= SHAPE_MEMBERS)
		return NULL;
	member = &d->shape[index];
	if (member->len == 0 || (size_t)(s->end - p) <= member->len || !same_bytes(p, member->prefix, member->len))
		return NULL;
	p += member->len;
	while (is_blank(*p)) /* more than last time */
		p++;
	*ret_column = member->column;
	return p;
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
	if (!json_resolve_string(s, &name, escaped))
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
			return json_unexpected(s, "',' or '}'");
		s->at++;
		skip_blanks(s);
	}
	if (*s->at != '"')
		return json_unexpected(s, "a name");
	if (!scan_string(s, &name, &escaped))
		return false;
	skip_blanks(s);
	if (*s->at != ':')
		return json_unexpected(s, "':'");
	s->at++;
	skip_blanks(s);
	if (!find_column(d, s, name, escaped, ret_column))
		return false;
	learn(d, s, index, start, *ret_column);
	return true;
}

/* Where the object closes, if it does so here; else p: blanks belong to the next member's prefix. */
static inline const uint8_t *to_close(const uint8_t *p)
{
	const uint8_t *q = p;

	while (is_blank(*q))
		q++;
	return *q == '}' ? q : p;
}

static const uint8_t *skip_other(struct scan *s, const uint8_t *p)
{
	s->at = p;
	return json_skip_value(s) ? s->at : NULL;
}

static bool scan_members(struct decoder *d, struct scan *s, const uint8_t *p, sb_value *values)
{
	for (unsigned index = 0; *(p = to_close(p)) != '}'; index++) {
		uint32_t column;
		const uint8_t *value = predicted(d, s, p, index, &column);

		if (!value) {
			s->at = p;
			if (!scan_member(d, s, index, &column))
				return false;
			value = s->at;
		}
		p = column == NO_INDEX ? skip_other(s, value) : take_column(d, s, value, &d->columns[column], values);
		if (!p)
			return false;
	}
	s->at = p + 1;
	if (s->at == s->end)
		return true;
	return json_unexpected(s, "the end of the record");
}

static bool check_frame(struct scan *s)
{
	if (*s->at != '{')
		return json_unexpected(s, "a JSON object");
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
	decoder->generation++;
	if (scan_members(decoder, &s, s.at + 1, ret_values))
		return DECODE_EVENT;
	return s.no_memory ? DECODE_NO_MEMORY : DECODE_BAD;
}
