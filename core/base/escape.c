/* See escape.h. */
#include "base/escape.h"

#include "base/error.h"
#include "base/json_write.h"
#include "base/slice.h"

/* How many bytes from at on may be shown as they are: one character's, or 0. */
static unsigned visible(const uint8_t *at, uint64_t len, bool lines)
{
	if (*at >= 0x20 && *at < 0x7f)
		return 1;
	if (*at < 0x80)
		return lines && (*at == '\n' || *at == '\t');
	if (*at == 0xc2 && len > 1 && at[1] >= 0x80 && at[1] < 0xa0)
		return 0;
	return utf8_sequence(at, len);
}

/* Length of the visible text that it begins with. */
static uint64_t visible_run(sb_slice text, bool lines)
{
	uint64_t i = 0;

	while (i < text.len) {
		unsigned n = visible(text.ptr + i, text.len - i, lines);

		if (n == 0)
			break;
		i += n;
	}
	return i;
}

bool escape_is_visible(sb_slice text, bool lines)
{
	return visible_run(text, lines) == text.len;
}

void escape_append_visible(struct buffer *out, sb_slice text, bool lines)
{
	while (text.len) {
		uint64_t run = visible_run(text, lines);
		unsigned n = 1;

		buffer_append(out, text.ptr, run);
		text = slice_of(text.ptr + run, text.len - run);
		if (text.len == 0)
			break;
		if (*text.ptr < 0x80) {
			buffer_printf(out, "\\u%04x", *text.ptr);
		} else if (utf8_sequence(text.ptr, text.len) == 2) { /* C1 */
			buffer_printf(out, "\\u%04x", text.ptr[1]);
			n = 2;
		} else {
			buffer_printf(out, "\\x%02x", *text.ptr);
		}
		text = slice_of(text.ptr + n, text.len - n);
	}
}

static int hex_value(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int32_t escape_parse(sb_slice text, struct buffer *bytes, sb_error *err)
{
	for (uint64_t i = 0; i < text.len; i++) {
		const uint8_t *at = text.ptr + i;
		uint64_t left = text.len - i;

		if (*at != '\\') {
			buffer_append_byte(bytes, *at);
		} else if (left > 1 && at[1] == '\\') {
			buffer_append_byte(bytes, '\\');
			i++;
		} else if (left > 3 && at[1] == 'x' && hex_value(at[2]) >= 0 && hex_value(at[3]) >= 0) {
			buffer_append_byte(bytes, (uint8_t)(hex_value(at[2]) << 4 | hex_value(at[3])));
			i += 3;
		} else {
			return error_set(err, SB_ERR_CONFIG,
					 "%.*s: a backslash stands before another one, or before x and two hexadecimal "
					 "digits",
					 (int)(text.len < 200 ? text.len : 200), (const char *)text.ptr);
		}
	}
	return buffer_check(bytes, err);
}
