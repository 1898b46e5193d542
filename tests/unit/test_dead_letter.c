/* Dead letters: one JSON object a line, from which the record comes back byte for byte. */
#include <cJSON.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/slice.h"
#include "stream/dead_letter.h"
#include "support/rng.h"

static struct io io;
static struct output output;
static sb_error err = ERROR_INIT;

static void set_up(void)
{
	io_init_system(&io);
	/* Lazy, and never flushed: the line stays in the buffer, where it can be read. */
	cr_assert_eq(output_open(&output, &io, "dead-letter", "/tmp/sbhost-no-such-dead-letters", -1, true, &err),
		     SB_OK);
}

static void tear_down(void)
{
	output_close(&output);
}

TestSuite(dead_letter, .init = set_up, .fini = tear_down);

static const char *letter(const char *source, sb_slice bytes, int64_t offset, bool oversize, const char *detail)
{
	const struct source_record record = {.bytes = bytes, .offset = offset, .oversize = oversize};
	struct decode_fault fault = {.reason = "invalid-json"};

	snprintf(fault.detail, sizeof(fault.detail), "%s", detail);
	buffer_clear(&output.pending);
	cr_assert_eq(dead_letter_write(&output, source, &record, &fault, &err), SB_OK, "%s", err.message);
	return buffer_text(&output.pending);
}

Test(dead_letter, line_says_where_why_and_what)
{
	cr_assert_str_eq(
		letter("in.ndjson", slice_of_text("{\"a\":\n"), 1234, false, "it ends at byte 5"),
		"{\"source\":\"in.ndjson\",\"offset\":1234,\"reason\":\"invalid-json\",\"detail\":\"it ends at "
		"byte 5\",\"record\":\"{\\\"a\\\":\"}\n");
}

Test(dead_letter, line_end_is_no_part_of_the_record)
{
	static const char *const ends[] = {"x", "x\n", "x\r\n"};

	for (size_t i = 0; i < 3; i++)
		cr_assert_not_null(strstr(letter("s", slice_of_text(ends[i]), 0, false, ""), "\"record\":\"x\"}"));
	cr_assert_not_null(strstr(letter("s", slice_of_text("x\n\n"), 0, false, ""), "\"record\":\"x\\n\"}"));
	cr_assert_not_null(strstr(letter("s", slice_of_text(""), 0, false, ""), "\"record\":\"\"}"));
}

Test(dead_letter, cut_record_says_so)
{
	cr_assert_not_null(strstr(letter("s", slice_of_text("x"), 0, true, ""), ",\"truncated\":true}\n"));
}

static void expect_round_trip(sb_slice bytes)
{
	const char *text = letter("a \"source\"\n", bytes, INT64_MAX, false, "detail \\");
	const char *end;
	cJSON *json = cJSON_ParseWithOpts(text, &end, 0);
	const cJSON *plain, *encoded;
	uint8_t decoded[64];

	cr_assert_not_null(json, "%s", text);
	cr_assert_str_eq(end, "\n", "more than one line");
	cr_assert_eq(strchr(text, '\n'), end);
	cr_assert_str_eq(cJSON_GetObjectItemCaseSensitive(json, "source")->valuestring, "a \"source\"\n");
	plain = cJSON_GetObjectItemCaseSensitive(json, "record");
	encoded = cJSON_GetObjectItemCaseSensitive(json, "record_base64");
	cr_assert_neq(plain == NULL, encoded == NULL);
	if (plain) {
		cr_assert(slice_equal_text(bytes, plain->valuestring));
	} else {
		static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
		uint64_t n = 0;

		for (const char *at = encoded->valuestring; *at; at += 4) {
			uint32_t group = 0;
			unsigned padding = (at[2] == '=') + (at[3] == '=');

			for (int i = 0; i < 4; i++)
				group = group << 6 | (at[i] == '=' ? 0 : (uint32_t)(strchr(digits, at[i]) - digits));
			for (unsigned i = 0; i < 3 - padding; i++)
				decoded[n++] = (uint8_t)(group >> (16 - 8 * i));
		}
		cr_assert(slice_equal(bytes, slice_of(decoded, n)));
	}
	cJSON_Delete(json);
}

Test(dead_letter, any_bytes_come_back_from_the_line)
{
	struct rng rng;
	uint8_t bytes[40];

	rng_init(&rng, rng_test_seed(1));
	for (int i = 0; i < 5000; i++) {
		uint64_t len = rng_below(&rng, sizeof(bytes));

		rng_bytes(&rng, bytes, len);
		for (uint64_t k = 0; i % 2 && k < len; k++)
			bytes[k] &= 0x7f;
		for (uint64_t k = 0; k < len; k++)
			if (bytes[k] == 0 || (k + 1 == len && (bytes[k] == '\n' || bytes[k] == '\r')))
				bytes[k] = 1; /* cJSON ends at a zero, and a line end is dropped */
		expect_round_trip(slice_of(bytes, len));
	}
}
