/* The JSON side of core/stream/decode.h with random records: that it agrees with cJSON, and that what is cut off or damaged gets no invalid
 * text through. SBHOST_TEST_SEED repeats a run; each prints its seed. */
#include <cjson/cJSON.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/json_write.h"
#include "base/slice.h"
#include "stream/decode.h"
#include "support/purchase_decoder.h"

static uint64_t random_state;

static unsigned random_below(unsigned limit)
{
	random_state = random_state * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return (unsigned)((random_state >> 33) % limit);
}

static void seed_random(void)
{
	const char *given = getenv("SBHOST_TEST_SEED");

	random_state = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL) * 1000003u;
	fprintf(stderr, "seed: SBHOST_TEST_SEED=%llu\n", (unsigned long long)random_state);
}

static void add_blanks(struct buffer *out)
{
	while (random_below(8) == 0)
		buffer_append_byte(out, (uint8_t) " \t\r\n"[random_below(4)]);
}

static void add_string(struct buffer *out)
{
	static const char *const pieces[] = {"a",
					     "user-",
					     "0123456789abcdef",
					     "\\n",
					     "\\\"",
					     "\\\\",
					     "\\u0041",
					     "\xc3\xa9",
					     "\xe2\x82\xac",
					     "\xf0\x9f\x98\x80",
					     "\\ud83d\\ude00",
					     "}",
					     ",",
					     "\\/",
					     " ",
					     "{\\\""};

	buffer_append_byte(out, '"');
	for (unsigned n = random_below(6); n > 0; n--)
		buffer_append_text(out, pieces[random_below(sizeof(pieces) / sizeof(pieces[0]))]);
	buffer_append_byte(out, '"');
}

static void add_number(struct buffer *out)
{
	if (random_below(3) == 0)
		buffer_append_byte(out, '-');
	buffer_printf(out, "%u", random_below(4) ? random_below(100000) : 0);
	if (random_below(2))
		buffer_printf(out, ".%0*u", 1 + (int)random_below(9), random_below(1000));
	if (random_below(4) == 0)
		buffer_printf(out, "%c%s%u", "eE"[random_below(2)], random_below(2) ? "-" : "+", random_below(300));
}

static void add_value(struct buffer *out, unsigned depth)
{
	unsigned kind = random_below(depth < 6 ? 8 : 5);

	add_blanks(out);
	if (kind < 2)
		add_string(out);
	else if (kind < 4)
		add_number(out);
	else if (kind == 4)
		buffer_append_text(out, random_below(2) ? "null" : random_below(2) ? "true" : "false");
	else {
		bool object = kind > 6;

		buffer_append_byte(out, object ? '{' : '[');
		for (unsigned i = 0, n = random_below(4); i < n; i++) {
			if (i)
				buffer_append_byte(out, ',');
			if (object) {
				add_blanks(out);
				add_string(out);
				add_blanks(out);
				buffer_append_byte(out, ':');
			}
			add_value(out, depth + 1);
		}
		add_blanks(out);
		buffer_append_byte(out, object ? '}' : ']');
	}
	add_blanks(out);
}

static void add_member(struct buffer *out, unsigned which)
{
	static const char *const names[] = {"\"user_id\"", "\"amount\"", "\"other\"",
					    "\"count\"",   "\"gift\"",	 "\"more\""};

	add_blanks(out);
	buffer_append_text(out, names[which]);
	add_blanks(out);
	buffer_append_byte(out, ':');
	add_blanks(out);
	if (which == 0)
		add_string(out);
	else if (which == 1)
		add_number(out);
	else if (which == 3)
		buffer_printf(out, "%d", (int)random_below(2000000) - 1000000);
	else if (which == 4)
		buffer_append_text(out, random_below(2) ? "true" : "false");
	else
		add_value(out, 2);
	add_blanks(out);
}

/* A record with all members in one of several orders; half of the time the last order again. */
static void random_record(struct buffer *out)
{
	static unsigned first;

	if (random_below(2))
		first = random_below(6);
	buffer_clear(out);
	buffer_append_byte(out, '{');
	for (unsigned i = 0; i < 6; i++) {
		if (i)
			buffer_append_byte(out, ',');
		add_member(out, (first + i) % 6);
	}
	buffer_append_byte(out, '}');
}

static void assert_same_as_cjson(const struct buffer *text)
{
	cJSON *tree = cJSON_ParseWithLength((const char *)text->data, text->len);
	const char *user;

	cr_assert_not_null(tree, "%.*s", (int)text->len, text->data);
	user = cJSON_GetObjectItemCaseSensitive(tree, "user_id")->valuestring;
	assert_string(values[USER], user, strlen(user));
	cr_assert_eq(values[AMOUNT].as.f64, cJSON_GetObjectItemCaseSensitive(tree, "amount")->valuedouble, "%.*s",
		     (int)text->len, text->data);
	cr_assert_eq(values[COUNT].as.i64, (int64_t)cJSON_GetObjectItemCaseSensitive(tree, "count")->valuedouble);
	cr_assert_eq(values[GIFT].as.i64, cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(tree, "gift")));
	cJSON_Delete(tree);
}

Test(decode_json, random_records_decode_as_cjson_reads_them)
{
	struct buffer text = BUFFER_INIT;

	seed_random();
	for (unsigned i = 0; i < 20000; i++) {
		enum decode_result result;

		random_record(&text);
		result = decode_bytes(text.data, text.len);
		if (result == DECODE_BAD && strcmp(fault.reason, "out-of-range") == 0)
			continue;
		cr_assert_eq(result, DECODE_EVENT, "%.*s: %s", (int)text.len, text.data, fault.detail);
		assert_same_as_cjson(&text);
		arena_reset(&arena);
	}
	buffer_done(&text);
}

Test(decode_json, every_truncation_is_refused)
{
	struct buffer text = BUFFER_INIT;

	seed_random();
	for (unsigned i = 0; i < 50; i++) {
		random_record(&text);
		for (size_t len = 1; len < text.len; len++)
			cr_assert_eq(decode_bytes(text.data, len), DECODE_BAD, "%.*s", (int)len, text.data);
		arena_reset(&arena);
	}
	buffer_done(&text);
}

Test(decode_json, flipped_bytes_never_get_invalid_text_through)
{
	struct buffer text = BUFFER_INIT;

	seed_random();
	for (unsigned i = 0; i < 20000; i++) {
		random_record(&text);
		for (unsigned flips = 1 + random_below(3); flips > 0; flips--)
			text.data[random_below((unsigned)text.len)] ^= (uint8_t)(1u << random_below(8));
		if (decode_bytes(text.data, text.len) == DECODE_EVENT) {
			cr_assert(utf8_is_valid(buffer_slice(&text)), "%.*s", (int)text.len, text.data);
			cr_assert(utf8_is_valid(slice_of(values[USER].as.ptr, values[USER].len)));
		}
		arena_reset(&arena);
	}
	buffer_done(&text);
}
