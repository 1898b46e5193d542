/* CSV to values: RFC 4180 with any delimiter, or columns set apart by blanks.
 *
 * A quote means something only as the first character of a field: csv_split and the decoder agree on that, so that a
 * stray quote spoils its own record and not those behind it. */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/json_write.h"
#include "stream/decode_private.h"

struct row {
	const uint8_t *at, *end;
	const uint8_t *begin;
	uint8_t delimiter; /* DELIMITER_WHITESPACE: blanks */
	struct decode_fault *fault;
};

struct cell {
	sb_slice text; /* without the outer quotes */
	size_t at; /* its position in the record */
	bool quoted;
	bool doubled; /* has "" for a quote */
};

static bool is_blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

static sb_slice trim(sb_slice text)
{
	while (text.len && is_blank(text.ptr[0])) {
		text.ptr++;
		text.len--;
	}
	while (text.len && is_blank(text.ptr[text.len - 1]))
		text.len--;
	return text;
}

static struct row row_of(const struct decoder *d, sb_slice record, struct decode_fault *fault)
{
	struct row row = {.at = record.ptr,
			  .end = record.ptr + record.len,
			  .begin = record.ptr,
			  .delimiter = (uint8_t)d->delimiter,
			  .fault = fault};

	if (row.end > row.at && row.end[-1] == '\n')
		row.end--;
	if (row.end > row.at && row.end[-1] == '\r')
		row.end--;
	return row;
}

static size_t position(const struct row *row)
{
	return (size_t)(row->at - row->begin);
}

/* ---- splitting ---- */

/* Where a field's beginning, middle and end differ for a quote; kept in resume's two highest bits. */
enum split_state { AT_FIELD, IN_FIELD, IN_QUOTES, AFTER_QUOTE };

static enum split_state split_step(enum split_state state, uint8_t c, uint8_t delimiter)
{
	if (state == IN_QUOTES)
		return c == '"' ? AFTER_QUOTE : IN_QUOTES;
	if (c == '"' && state != IN_FIELD)
		return IN_QUOTES; /* opens a field, or is the second of "" */
	return c == delimiter ? AT_FIELD : IN_FIELD;
}

size_t csv_split(const struct decoder *decoder, sb_slice bytes, size_t *resume)
{
	enum split_state state = (enum split_state)(*resume >> 62);
	size_t at = *resume & ~decoder_split_carry(*resume);
	uint8_t delimiter = (uint8_t)decoder->delimiter;

	if (at == 0 && state == AT_FIELD && bytes.len) { /* nearly always a line without quotes */
		const uint8_t *found = memchr(bytes.ptr, '\n', bytes.len);

		if (found && !memchr(bytes.ptr, '"', (size_t)(found - bytes.ptr)))
			return (size_t)(found - bytes.ptr) + 1;
	}
	for (; at < bytes.len; at++) {
		if (bytes.ptr[at] == '\n' && state != IN_QUOTES)
			return at + 1;
		state = split_step(state, bytes.ptr[at], delimiter);
	}
	*resume = at | (size_t)state << 62;
	return 0;
}

/* ---- cells ---- */

static bool next_quoted(struct row *row, struct cell *ret)
{
	const uint8_t *start = ++row->at, *quote;

	ret->quoted = true;
	for (;;) {
		quote = memchr(row->at, '"', (size_t)(row->end - row->at));
		if (!quote) {
			row->at = row->end;
			return fault_set(row->fault, "invalid-csv", "the quote opened before byte %zu is never closed",
					 (size_t)(start - row->begin));
		}
		row->at = quote + 1;
		if (row->at == row->end || *row->at != '"')
			break;
		ret->doubled = true;
		row->at++;
	}
	ret->text = slice_of(start, (size_t)(quote - start));
	if (row->at < row->end && *row->at != row->delimiter)
		return fault_set(row->fault, "invalid-csv", "text behind a closing quote at byte %zu", position(row));
	return true;
}

static bool next_unquoted(struct row *row, struct cell *ret)
{
	const uint8_t *start = row->at, *p = start;

	while (p < row->end && *p != row->delimiter && *p != '"' && *p != '\r')
		p++;
	row->at = p;
	ret->text = slice_of(start, (size_t)(p - start));
	if (p == row->end || *p == row->delimiter)
		return true;
	return fault_set(row->fault, "invalid-csv",
			 *p == '"' ? "a quote inside of a field without quotes at byte %zu"
				   : "a carriage return inside of a field without quotes at byte %zu",
			 position(row));
}

static void next_blank_separated(struct row *row, struct cell *ret)
{
	const uint8_t *start = row->at;

	while (row->at < row->end && !is_blank(*row->at))
		row->at++;
	ret->text = slice_of(start, (size_t)(row->at - start));
	while (row->at < row->end && is_blank(*row->at))
		row->at++;
}

/* The next cell; row->at is then at the delimiter behind it (with blanks: at the next cell) or at the end. */
static bool next_cell(struct row *row, struct cell *ret)
{
	*ret = (struct cell){.at = position(row)};
	if (row->delimiter == DELIMITER_WHITESPACE) {
		next_blank_separated(row, ret);
		return true;
	}
	return row->at < row->end && *row->at == '"' ? next_quoted(row, ret) : next_unquoted(row, ret);
}

/* Goes to the first cell; false when the row has none. */
static bool first_cell(struct row *row)
{
	if (row->delimiter == DELIMITER_WHITESPACE)
		while (row->at < row->end && is_blank(*row->at))
			row->at++;
	return row->at < row->end;
}

/* Passes the delimiter; false at the end. A delimiter at the end has an empty cell behind it. */
static bool has_more(struct row *row)
{
	if (row->at == row->end)
		return false;
	row->at += row->delimiter != DELIMITER_WHITESPACE;
	return true;
}

/* A quoted cell with each "" made one quote, in out, which has room for it. */
static size_t undouble(sb_slice text, uint8_t *out)
{
	uint8_t *start = out;

	for (uint64_t i = 0; i < text.len; i++) {
		*out++ = text.ptr[i];
		i += text.ptr[i] == '"';
	}
	return (size_t)(out - start);
}

/* ---- values ---- */

static enum decode_result take_string(const struct cell *cell, struct arena *arena, sb_value *ret)
{
	uint8_t *copy;

	if (cell->text.len == 0 && !cell->quoted)
		return DECODE_EVENT;
	ret->as.ptr = cell->text.ptr;
	ret->len = cell->text.len;
	if (cell->doubled) {
		copy = arena_alloc(arena, cell->text.len);
		if (!copy)
			return DECODE_NO_MEMORY;
		ret->as.ptr = copy;
		ret->len = undouble(cell->text, copy);
	}
	return DECODE_EVENT;
}

static bool take_bool(const struct decode_field *field, sb_slice text, size_t at, sb_value *ret,
		      struct decode_fault *fault)
{
	bool truth = slice_equal_text(text, "true") || slice_equal_text(text, "1");

	if (!truth && !slice_equal_text(text, "false") && !slice_equal_text(text, "0"))
		return field_wrong_type(field, "other text", at, fault);
	ret->as.i64 = truth;
	ret->len = 0;
	return true;
}

static bool take_other(const struct decode_field *field, const struct cell *cell, sb_value *ret,
		       struct decode_fault *fault)
{
	sb_slice text = trim(cell->text);
	struct decimal number;

	if (text.len == 0 && !cell->quoted)
		return true;
	if (text.len == 0)
		return field_wrong_type(field, "an empty text", cell->at, fault);
	if (field->type == SB_TYPE_BOOL)
		return take_bool(field, text, cell->at, ret, fault);
	if (field->type == SB_TYPE_TIME)
		return field_set_time_text(field, text, cell->at, ret, fault);
	if (decimal_scan(text.ptr, text.ptr + text.len, true, &number) != text.ptr + text.len)
		return field_wrong_type(field, "other text", cell->at, fault);
	return field_set_number(field, &number, cell->at, ret, fault);
}

static enum decode_result take_cell(const struct decoder *d, uint32_t column, const struct cell *cell,
				    struct arena *arena, sb_value *values, struct decode_fault *fault)
{
	for (uint32_t i = d->columns[column].first; i != NO_INDEX; i = d->fields[i].next) {
		const struct decode_field *field = &d->fields[i];

		if (field->type == SB_TYPE_STRING) {
			enum decode_result result = take_string(cell, arena, &values[i]);

			if (result != DECODE_EVENT)
				return result;
		} else if (!take_other(field, cell, &values[i], fault)) {
			return DECODE_BAD;
		}
	}
	return DECODE_EVENT;
}

static bool is_ascii(sb_slice text)
{
	uint64_t all = 0, word;
	uint64_t i = 0;

	for (; i + 8 <= text.len; i += 8) {
		memcpy(&word, text.ptr + i, 8);
		all |= word;
	}
	for (; i < text.len; i++)
		all |= text.ptr[i];
	return (all & UINT64_C(0x8080808080808080)) == 0;
}

static bool check_utf8(const struct row *row)
{
	const uint8_t *p = row->begin;

	if (is_ascii(slice_of(row->begin, (size_t)(row->end - row->begin))))
		return true;
	while (p < row->end) {
		unsigned n = utf8_sequence(p, (size_t)(row->end - p));

		if (n == 0)
			return fault_set(row->fault, "invalid-utf8", "byte 0x%02x is not UTF-8 at byte %zu", *p,
					 (size_t)(p - row->begin));
		p += n;
	}
	return true;
}

static enum decode_result take_row(const struct decoder *d, struct row *row, struct arena *arena, sb_value *values)
{
	uint32_t index = 0;
	struct cell cell;

	do {
		enum decode_result result;

		if (d->header_count && index == d->header_count) {
			fault_set(row->fault, "invalid-csv", "more than the header's %u columns at byte %zu", index,
				  position(row));
			return DECODE_BAD;
		}
		if (!next_cell(row, &cell))
			return DECODE_BAD;
		if (index < d->position_count && d->positions[index] != NO_INDEX) {
			result = take_cell(d, d->positions[index], &cell, arena, values, row->fault);
			if (result != DECODE_EVENT)
				return result;
		}
		index++;
	} while (has_more(row));
	return DECODE_EVENT;
}

enum decode_result csv_decode(struct decoder *decoder, sb_slice record, struct arena *arena, sb_value *ret_values,
			      struct decode_fault *ret_fault)
{
	struct row row = row_of(decoder, record, ret_fault);

	if (!first_cell(&row))
		return DECODE_NOTHING;
	if (!check_utf8(&row))
		return DECODE_BAD;
	return take_row(decoder, &row, arena, ret_values);
}

/* ---- columns ---- */

static int32_t bind_position(struct decoder *d, uint32_t column, uint64_t position_from_0, sb_error *err)
{
	if (position_from_0 >= d->position_count) {
		uint32_t count = (uint32_t)position_from_0 + 1;
		uint32_t *grown = realloc(d->positions, count * sizeof(*grown));

		if (!grown)
			return error_no_memory(err);
		while (d->position_count < count)
			grown[d->position_count++] = NO_INDEX;
		d->positions = grown;
	}
	if (d->positions[position_from_0] != NO_INDEX)
		return error_set(err, SB_ERR_CONFIG,
				 "column %llu is mapped twice, by its name and by its number; use one",
				 (unsigned long long)position_from_0 + 1);
	d->positions[position_from_0] = column;
	return SB_OK;
}

/* Nobody asked for this column, and nobody needs it. */
static bool may_be_absent(const struct decoder *d, uint32_t column)
{
	for (uint32_t i = d->columns[column].first; i != NO_INDEX; i = d->fields[i].next)
		if (d->fields[i].mapped || !d->fields[i].optional)
			return false;
	return true;
}

static const char *field_name(const struct decoder *d, uint32_t column)
{
	return d->fields[d->columns[column].first].name;
}

#define COLUMN_NUMBER_MAX 65536

static bool column_number(const struct decoder *d, uint32_t column, uint64_t *ret_number)
{
	return number_parse_u64(slice_of(d->columns[column].name, d->columns[column].name_len), ret_number) &&
	       *ret_number >= 1 && *ret_number <= COLUMN_NUMBER_MAX;
}

int32_t csv_bind_numbers(struct decoder *decoder, sb_error *err)
{
	for (uint32_t i = 0; i < decoder->column_count; i++) {
		uint64_t number;

		if (column_number(decoder, i, &number))
			TRY(bind_position(decoder, i, number - 1, err));
		else if (!may_be_absent(decoder, i))
			return error_set(
				err, SB_ERR_CONFIG,
				"field %s has no column: without a header, columns go by number (1 to %d); give "
				"--map %s=NUMBER",
				field_name(decoder, i), COLUMN_NUMBER_MAX, field_name(decoder, i));
	}
	return SB_OK;
}

struct header {
	struct buffer names; /* each cell's name, and behind it a NUL, which is in none of them */
	uint32_t count;
};

static void free_header(struct header *header)
{
	buffer_done(&header->names);
}

static int32_t read_header(const struct decoder *d, sb_slice line, struct header *header, sb_error *err)
{
	struct decode_fault fault = {0};
	struct row row = row_of(d, line, &fault);
	struct cell cell;

	if (line.len > RECORD_MAX_BYTES)
		return error_set(err, SB_ERR_CONFIG, "the header is longer than %zu bytes", RECORD_MAX_BYTES);
	if (memchr(line.ptr, 0, line.len))
		return error_set(err, SB_ERR_CONFIG, "the header has a NUL in it; is this CSV?");
	if (!first_cell(&row))
		return error_set(err, SB_ERR_CONFIG, "the first line is empty, but should name the columns");
	if (!check_utf8(&row))
		return error_set(err, SB_ERR_CONFIG, "the header cannot be read: %s", fault.detail);
	do {
		sb_slice name;
		uint8_t *out;

		if (!next_cell(&row, &cell))
			return error_set(err, SB_ERR_CONFIG, "the header cannot be read: %s", fault.detail);
		name = trim(cell.text);
		out = buffer_reserve(&header->names, name.len + 1);
		if (!out)
			return error_no_memory(err);
		header->names.len += cell.doubled ? undouble(name, out) : name.len;
		if (!cell.doubled && name.len)
			memcpy(out, name.ptr, name.len);
		buffer_append_byte(&header->names, 0);
		header->count++;
	} while (has_more(&row));
	return SB_OK;
}

/* How often the header has name, and where first. */
static uint32_t find_name(const struct header *header, const char *name, uint32_t *ret_index)
{
	const char *at = (const char *)header->names.data;
	uint32_t found = 0;

	for (uint32_t i = 0; i < header->count; i++, at += strlen(at) + 1)
		if (strcmp(at, name) == 0 && found++ == 0)
			*ret_index = i;
	return found;
}

static int32_t no_such_column(const struct decoder *d, uint32_t column, const struct header *header, sb_error *err)
{
	AUTO(buffer_done) struct buffer known = BUFFER_INIT;
	const char *at = (const char *)header->names.data, *names;

	for (uint32_t i = 0; i < header->count && known.len < 400; i++, at += strlen(at) + 1) {
		buffer_append_text(&known, i ? ", " : "");
		json_append_escaped_bytes(&known, slice_of_text(at));
	}
	names = buffer_text(&known);
	return error_set(
		err, SB_ERR_CONFIG,
		"field %s should come from column '%s', but the header has none of that name; it has: %s. Name the "
		"right one with --map %s=COLUMN",
		field_name(d, column), d->columns[column].name, names ? names : "?", field_name(d, column));
}

static int32_t bind_name(struct decoder *d, uint32_t column, const struct header *header, sb_error *err)
{
	const char *name = d->columns[column].name;
	uint32_t index = 0, found = find_name(header, name, &index);
	uint64_t number;

	if (found > 1)
		return error_set(
			err, SB_ERR_CONFIG,
			"the header names column '%s' %u times; map field %s by the column's number, --map %s=NUMBER",
			name, found, field_name(d, column), field_name(d, column));
	if (found == 1)
		return bind_position(d, column, index, err);
	if (column_number(d, column, &number) && number <= header->count)
		return bind_position(d, column, number - 1, err);
	return may_be_absent(d, column) ? SB_OK : no_such_column(d, column, header, err);
}

int32_t csv_bind_header(struct decoder *decoder, sb_slice line, sb_error *err)
{
	AUTO(free_header) struct header header = {0};

	decoder->position_count = 0;
	TRY(read_header(decoder, line, &header, err));
	for (uint32_t i = 0; i < decoder->column_count; i++)
		TRY(bind_name(decoder, i, &header, err));
	decoder->header_count = header.count;
	return SB_OK;
}
