/* Log lines in their three formats; nothing from outside reaches the reader raw. */
#include <cJSON.h>
#include <criterion/criterion.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/slice.h"

static struct fake_clock fake;
static struct log sink;
static int reader = -1;
static char line[8192];

static void set_up(void)
{
	int fds[2];

	cr_assert_eq(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
	reader = fds[0];
	fake_clock_init(&fake, INT64_C(1731165623123456789));
	sink = (struct log){.fd = fds[1], .level = SB_LOG_INFO, .clock = &fake.clock};
}

static void tear_down(void)
{
	close(sink.fd);
	close(reader);
}

TestSuite(log, .init = set_up, .fini = tear_down);

/* What one call wrote: exactly one line, or nothing. */
static const char *written(void)
{
	ssize_t n = read(reader, line, sizeof(line) - 1);

	line[n > 0 ? n : 0] = 0;
	if (n > 0) {
		cr_assert_eq(line[n - 1], '\n');
		line[n - 1] = 0;
		cr_assert_null(strchr(line, '\n'));
	}
	return line;
}

Test(log, text_line)
{
	LOG(&sink, SB_LOG_INFO, "Checkpoint created", LOG_S("id", "checkpoint-1"), LOG_I("bytes", -5),
	    LOG_F("ms", 1.5, 3), LOG_F("exact", 0.1, -1), LOG_B("ok", true));
	cr_assert_str_eq(written(), "INFO  Checkpoint created  id=checkpoint-1 bytes=-5 ms=1.500 exact=0.1 ok=true");
	LOG(&sink, SB_LOG_WARN, "Alone");
	cr_assert_str_eq(written(), "WARN  Alone");
}

Test(log, text_line_in_color_has_only_the_level_colored)
{
	sink.color = true;
	LOG(&sink, SB_LOG_ERROR, "Bad", LOG_S("a", "b"));
	cr_assert_str_eq(written(), "\033[31mERROR\033[0m Bad  a=b");
}

Test(log, logfmt_line)
{
	sink.format = LOG_LOGFMT;
	LOG(&sink, SB_LOG_INFO, "Checkpoint created", LOG_S("id", "a b"), LOG_I("n", 1));
	cr_assert_str_eq(written(),
			 "time=2024-11-09T15:20:23.123Z level=info msg=\"Checkpoint created\" id=\"a b\" n=1");
}

Test(log, json_line)
{
	sink.format = LOG_JSON;
	LOG(&sink, SB_LOG_INFO, "Checkpoint created", LOG_S("id", "x"), LOG_I("n", 1), LOG_B("ok", false));
	cr_assert_str_eq(written(), "{\"time\":\"2024-11-09T15:20:23.123Z\",\"level\":\"info\",\"msg\":\"Checkpoint "
				    "created\",\"id\":\"x\",\"n\":1,\"ok\":false}");
}

Test(log, component_is_the_last_field_and_left_out_of_text_at_info)
{
	const sb_log_field fields[] = {LOG_S("a", "b")};

	log_write(&sink, SB_LOG_INFO, "backend-0", "Message", fields, 1);
	cr_assert_str_eq(written(), "INFO  Message  a=b");
	log_write(&sink, SB_LOG_WARN, "backend-0", "Message", fields, 1);
	cr_assert_str_eq(written(), "WARN  Message  a=b component=backend-0");
	log_write(&sink, SB_LOG_WARN, "backend-0", "Message", NULL, 0);
	cr_assert_str_eq(written(), "WARN  Message  component=backend-0");
	sink.format = LOG_LOGFMT;
	log_write(&sink, SB_LOG_INFO, "backend-0", "Message", NULL, 0);
	cr_assert_str_eq(written(), "time=2024-11-09T15:20:23.123Z level=info msg=\"Message\" component=backend-0");
	sink.format = LOG_JSON;
	log_write(&sink, SB_LOG_INFO, "backend-0", "Message", NULL, 0);
	cr_assert_not_null(strstr(written(), ",\"component\":\"backend-0\"}"));
}

Test(log, levels_above_the_chosen_one_and_unknown_ones_are_not_written)
{
	LOG(&sink, SB_LOG_DEBUG, "Detail");
	cr_assert_str_eq(written(), "");
	log_write(&sink, 0, NULL, "Nothing", NULL, 0);
	log_write(&sink, -1, NULL, "Nothing", NULL, 0);
	sink.level = 99;
	log_write(&sink, 99, NULL, "Nothing", NULL, 0);
	cr_assert_str_eq(written(), "");
	sink.level = 0;
	LOG(&sink, SB_LOG_ERROR, "Silent");
	cr_assert_str_eq(written(), "");
}

Test(log, levels_have_names_both_ways)
{
	for (int32_t level = 0; level <= SB_LOG_TRACE; level++)
		cr_assert_eq(log_level_parse(log_level_name(level)), level);
	cr_assert_eq(log_level_parse("INFO"), -1);
	cr_assert_eq(log_level_parse(""), -1);
	cr_assert_str_eq(log_level_name(-1), "unknown");
	cr_assert_str_eq(log_level_name(SB_LOG_TRACE + 1), "unknown");
}

Test(log, values_that_a_reader_would_split_wrongly_are_quoted)
{
	static const char *const values[][2] = {
		{"plain", "plain"},
		{"", "\"\""},
		{"a b", "\"a b\""},
		{"a=b", "\"a=b\""},
		{"a\"b", "\"a\\\"b\""},
		{"a\\b", "a\\b"},
		{"\n", "\"\\n\""},
		{"\033[2J", "\"\\u001b[2J\""},
		{"\x7f", "\"\\u007f\""},
		{"\xff", "\"\xef\xbf\xbd\""},
		{"\xc3\xa4", "\"\xc3\xa4\""},
	};

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		char expected[64];

		snprintf(expected, sizeof(expected), "INFO  M  v=%s", values[i][1]);
		LOG(&sink, SB_LOG_INFO, "M", LOG_S("v", values[i][0]));
		cr_assert_str_eq(written(), expected);
	}
}

Test(log, null_values_and_null_text)
{
	const sb_log_field fields[] = {{.name = "none", .type = SB_TYPE_I64, .value = {.len = SB_NULL}}};

	log_write(&sink, SB_LOG_INFO, NULL, "M", fields, 1);
	cr_assert_str_eq(written(), "INFO  M  none=null");
	LOG(&sink, SB_LOG_INFO, "M", LOG_S("text", NULL), LOG_SLICE("slice", ((sb_slice){0})));
	cr_assert_str_eq(written(), "INFO  M  text=\"\" slice=\"\"");
}

Test(log, times_are_quoted_in_json_only)
{
	const sb_log_field fields[] = {{.name = "at", .type = SB_TYPE_TIME, .value = {.as = {.i64 = 0}}}};

	log_write(&sink, SB_LOG_INFO, NULL, "M", fields, 1);
	cr_assert_str_eq(written(), "INFO  M  at=1970-01-01T00:00:00.000Z");
	sink.format = LOG_JSON;
	log_write(&sink, SB_LOG_INFO, NULL, "M", fields, 1);
	cr_assert_not_null(strstr(written(), "\"at\":\"1970-01-01T00:00:00.000Z\""));
}

static cJSON *parse(void)
{
	const char *end;
	cJSON *json = cJSON_ParseWithOpts(written(), &end, 1);

	cr_assert_not_null(json, "%s", line);
	return json;
}

Test(log, json_line_is_valid_whatever_its_values_are)
{
	char bytes[256];
	cJSON *json;

	for (int i = 0; i < 256; i++)
		bytes[i] = (char)i;
	sink.format = LOG_JSON;
	for (int length = 0; length <= 256; length += 16) {
		LOG(&sink, SB_LOG_INFO, "A \"message\"", LOG_SLICE("v", slice_of(bytes, (size_t)length)),
		    LOG_I("n", INT64_MIN), LOG_F("nan", NAN, -1), LOG_F("inf", INFINITY, 2),
		    LOG_F("neg", -INFINITY, -1), LOG_F("tiny", 5e-324, -1), LOG_F("huge", 1.7e308, 0));
		json = parse();
		cr_assert_str_eq(cJSON_GetObjectItemCaseSensitive(json, "msg")->valuestring, "A \"message\"");
		cr_assert(cJSON_IsString(cJSON_GetObjectItemCaseSensitive(json, "nan")));
		cr_assert(cJSON_IsString(cJSON_GetObjectItemCaseSensitive(json, "inf")));
		cr_assert(cJSON_IsNumber(cJSON_GetObjectItemCaseSensitive(json, "tiny")));
		cJSON_Delete(json);
	}
}

Test(log, text_comes_back_from_json_as_it_was)
{
	static const char text[] = "quote \" backslash \\ tab \t line \n escape \033 \xe2\x82\xac";
	cJSON *json;

	sink.format = LOG_JSON;
	LOG(&sink, SB_LOG_INFO, "M", LOG_S("v", text));
	json = parse();
	cr_assert_str_eq(cJSON_GetObjectItemCaseSensitive(json, "v")->valuestring, text);
	cJSON_Delete(json);
}

Test(log, line_that_cannot_be_written_is_no_error)
{
	struct log broken = sink;

	broken.fd = -1;
	LOG(&broken, SB_LOG_ERROR, "Lost");
}
