/* See json_write.h. */
#include "base/json_write.h"

unsigned utf8_sequence(const uint8_t *s, size_t len)
{
	uint8_t first = s[0];

	if (first < 0x80)
		return 1;
	if (first < 0xc2 || first > 0xf4)
		return 0;
	if (len < 2 || (s[1] & 0xc0) != 0x80)
		return 0;
	if (first < 0xe0)
		return 2;
	if (len < 3 || (s[2] & 0xc0) != 0x80)
		return 0;
	if (first < 0xf0) {
		if ((first == 0xe0 && s[1] < 0xa0) || (first == 0xed && s[1] > 0x9f))
			return 0;
		return 3;
	}
	if (len < 4 || (s[3] & 0xc0) != 0x80)
		return 0;
	if ((first == 0xf0 && s[1] < 0x90) || (first == 0xf4 && s[1] > 0x8f))
		return 0;
	return 4;
}

int utf8_is_valid(sb_slice text)
{
	uint64_t i = 0;

	while (i < text.len) {
		unsigned n = utf8_sequence(text.ptr + i, text.len - i);

		if (n == 0)
			return 0;
		i += n;
	}
	return 1;
}

static void append_escape(struct buffer *out, uint8_t c)
{
	switch (c) {
	case '"':
		buffer_append(out, "\\\"", 2);
		break;
	case '\\':
		buffer_append(out, "\\\\", 2);
		break;
	case '\n':
		buffer_append(out, "\\n", 2);
		break;
	case '\r':
		buffer_append(out, "\\r", 2);
		break;
	case '\t':
		buffer_append(out, "\\t", 2);
		break;
	default:
		buffer_printf(out, "\\u%04x", c);
	}
}

void json_append_string(struct buffer *out, sb_slice text)
{
	uint64_t start = 0, i = 0;

	buffer_append_byte(out, '"');
	while (i < text.len) {
		uint8_t c = text.ptr[i];
		unsigned n;

		if (c >= 0x20 && c != '"' && c != '\\' && c < 0x7f) {
			i++;
			continue;
		}
		n = c < 0x80 ? 0 : utf8_sequence(text.ptr + i, text.len - i);
		if (n == 2 && c == 0xc2 && text.ptr[i + 1] < 0xa0) {
			/* U+0080 to U+009F: controls, some terminals obey them. */
			buffer_append(out, text.ptr + start, i - start);
			buffer_printf(out, "\\u%04x", text.ptr[i + 1]);
			i += 2;
			start = i;
			continue;
		}
		if (n) {
			i += n;
			continue;
		}
		buffer_append(out, text.ptr + start, i - start);
		if (c < 0x80)
			append_escape(out, c);
		else
			buffer_append(out, "\xef\xbf\xbd", 3);
		start = ++i;
	}
	if (i > start)
		buffer_append(out, text.ptr + start, i - start);
	buffer_append_byte(out, '"');
}

void json_append_escaped_bytes(struct buffer *out, sb_slice bytes)
{
	for (uint64_t i = 0; i < bytes.len; i++) {
		uint8_t c = bytes.ptr[i];

		if (c == '\\')
			buffer_append(out, "\\\\", 2);
		else if (c >= 0x20 && c < 0x7f)
			buffer_append_byte(out, c);
		else
			buffer_printf(out, "\\x%02x", c);
	}
}
