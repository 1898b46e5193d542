/* core/base/json_write.h: whatever the bytes, what comes out is JSON. */
#include <cjson/cJSON.h>
#include <criterion/criterion.h>

#include "base/json_write.h"
#include "base/slice.h"

static void assert_string(const char *bytes, size_t len, const char *expected)
{
	struct buffer out = BUFFER_INIT;

	json_append_string(&out, slice_of(bytes, len));
	cr_assert_str_eq(buffer_text(&out), expected);
	buffer_done(&out);
}

#define TEXT(literal) literal, sizeof(literal) - 1

Test(json_write, strings_are_escaped_only_where_they_must_be)
{
	assert_string(TEXT(""), "\"\"");
	assert_string(TEXT("plain text / 7"), "\"plain text / 7\"");
	assert_string(TEXT("a\"b\\c\nd\re\tf"), "\"a\\\"b\\\\c\\nd\\re\\tf\"");
	assert_string(TEXT("a\0b\x1f"), "\"a\\u0000b\\u001f\"");
	assert_string(TEXT("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"), "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"");
}

Test(json_write, bytes_that_are_no_text_become_replacement_characters)
{
	assert_string(TEXT("a\xff"
			   "b"),
		      "\"a\xef\xbf\xbd"
		      "b\"");
	assert_string(TEXT("\xc3"), "\"\xef\xbf\xbd\"");
	assert_string(TEXT("\xed\xa0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
}

Test(json_write, random_bytes_make_valid_json)
{
	uint64_t state = 7;

	for (unsigned i = 0; i < 20000; i++) {
		struct buffer out = BUFFER_INIT;
		uint8_t bytes[24];
		cJSON *tree;

		for (unsigned n = 0; n < sizeof(bytes); n++) {
			state = state * UINT64_C(6364136223846793005) + 1442695040888963407u;
			bytes[n] = (uint8_t)(1 + (state >> 33) % 255);
		}
		json_append_string(&out, slice_of(bytes, i % sizeof(bytes)));
		cr_assert(utf8_is_valid(buffer_slice(&out)));
		tree = cJSON_ParseWithOpts(buffer_text(&out), NULL, true);
		cr_assert(cJSON_IsString(tree), "%s", out.data);
		if (utf8_is_valid(slice_of(bytes, i % sizeof(bytes))))
			cr_assert(slice_equal_text(slice_of(bytes, i % sizeof(bytes)), tree->valuestring));
		cJSON_Delete(tree);
		buffer_done(&out);
	}
}

Test(json_write, key_bytes_are_escaped_for_people)
{
	struct buffer out = BUFFER_INIT;

	json_append_escaped_bytes(&out, slice_of(TEXT("a \\\0\n\x7f\xc3\xa9~")));
	cr_assert_str_eq(buffer_text(&out), "a \\\\\\x00\\x0a\\x7f\\xc3\\xa9~");
	buffer_done(&out);
}

/* By the definition: decode by hand, and accept what is shortest, no surrogate, and at most U+10FFFF. */
static unsigned reference_sequence(const uint8_t *s, size_t len)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	unsigned n = s[0] < 0x80 ? 1 : s[0] >> 5 == 6 ? 2 : s[0] >> 4 == 14 ? 3 : s[0] >> 3 == 30 ? 4 : 0;
	uint32_t code;

	if (n == 0 || n > len)
		return 0;
	code = n == 1 ? s[0] : s[0] & (0x7fu >> n);
	for (unsigned i = 1; i < n; i++) {
		if (s[i] >> 6 != 2)
			return 0;
		code = code << 6 | (s[i] & 0x3fu);
	}
	return code < least[n] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000) ? 0 : n;
}

Test(json_write, utf8_sequences_are_what_the_definition_says)
{
	static const uint8_t tails[] = {0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xff};
	uint8_t s[4];

	for (unsigned first = 0; first < 256; first++)
		for (unsigned second = 0; second < 256; second++)
			for (unsigned tail = 0; tail < 100; tail++)
				for (size_t len = 1; len <= 4; len++) {
					s[0] = (uint8_t)first;
					s[1] = (uint8_t)second;
					s[2] = tails[tail / 10];
					s[3] = tails[tail % 10];
					if (utf8_sequence(s, len) != reference_sequence(s, len))
						cr_assert_fail("%02x %02x %02x %02x, %zu", s[0], s[1], s[2], s[3], len);
				}
}
