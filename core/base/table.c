/* Columns as wide as their widest cell. Widths count characters, not bytes, for UTF-8. */
#include "base/table.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"

static uint64_t width_of(const char *text)
{
	uint64_t width = 0;

	for (; *text; text++)
		width += ((uint8_t)*text & 0xc0) != 0x80;
	return width;
}

static void blank_control_characters(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			*text = ' ';
}

void table_cell(struct table *table, const char *format, ...)
{
	AUTO(free_memory) char *text = NULL;
	unsigned column = (unsigned)(table->count % table->columns);
	va_list args;
	int len;

	va_start(args, format);
	len = vasprintf(&text, format, args);
	va_end(args);
	if (len < 0) {
		text = NULL;
		table->cells.failed = true;
		return;
	}
	blank_control_characters(text);
	buffer_append(&table->cells, text, strlen(text) + 1);
	if (width_of(text) > table->widths[column])
		table->widths[column] = width_of(text);
	table->count++;
}

static void append_blanks(struct buffer *out, uint64_t count)
{
	while (count--)
		buffer_append_byte(out, ' ');
}

static void append_cell(const struct table *table, unsigned column, const char *cell, struct buffer *out)
{
	uint64_t padding = table->widths[column] - width_of(cell);
	bool right = table->right >> column & 1;

	if (right)
		append_blanks(out, padding);
	buffer_append_text(out, cell);
	if (column + 1 < table->columns)
		append_blanks(out, 2 + (right ? 0 : padding));
}

void table_append(const struct table *table, const char *indent, struct buffer *out)
{
	const char *cell = (const char *)table->cells.data;

	out->failed |= table->cells.failed;
	if (out->failed)
		return;
	for (uint64_t i = 0; i < table->count; i++, cell += strlen(cell) + 1) {
		unsigned column = (unsigned)(i % table->columns);

		if (column == 0)
			buffer_append_text(out, indent);
		append_cell(table, column, cell, out);
		if (column + 1 < table->columns)
			continue;
		while (out->len && out->data[out->len - 1] == ' ')
			out->len--;
		buffer_append_byte(out, '\n');
	}
}

void table_clear(struct table *table)
{
	buffer_clear(&table->cells);
	table->count = 0;
}

void table_done(struct table *table)
{
	buffer_done(&table->cells);
}
