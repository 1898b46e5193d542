/* "name=value" texts against declarations, and the nearest-name suggestions. */
#include <criterion/criterion.h>
#include <float.h>
#include <string.h>

#include "base/error.h"
#include "base/nearest.h"
#include "base/slice.h"
#include "plugin/options.h"

#define OPTION(option_name, option_type, ...)                                                                          \
	{                                                                                                              \
		.struct_size = sizeof(sb_option), .type = (option_type), .name = (option_name), .doc = "", __VA_ARGS__ \
	}

static const char *const colors[] = {"red", "green", "blue", NULL};

enum { FLAG, COUNT, LEVEL, RATIO, SIZE, AGE, TEXT, COLOR, PASSWORD, FREE_COUNT, PIN, CAPACITY, LOSS, TEAM, SCALE };

static sb_option declared[] = {
	[FLAG] = OPTION("flag", SB_OPTION_BOOL, .default_text = "no"),
	[COUNT] = OPTION("count", SB_OPTION_I64, .default_text = "3", .min = -5, .max = 10),
	[LEVEL] = OPTION("level", SB_OPTION_I64, .min = 0, .max = 9),
	[RATIO] = OPTION("ratio", SB_OPTION_F64, .default_text = "0.5", .min_f64 = 0, .max_f64 = 1.5),
	[SIZE] = OPTION("size", SB_OPTION_SIZE, .default_text = "64KiB", .min = 4096, .max = 1 << 30),
	[AGE] = OPTION("age", SB_OPTION_DURATION, .default_text = "24h", .min = 1, .max = INT64_C(604800000)),
	[TEXT] = OPTION("text", SB_OPTION_STRING, .default_text = "none"),
	[COLOR] = OPTION("color", SB_OPTION_CHOICE, .default_text = "green", .choices = colors),
	[PASSWORD] = OPTION("password", SB_OPTION_STRING, .flags = SB_OPTION_SECRET),
	[FREE_COUNT] = OPTION("free_count", SB_OPTION_I64, .default_text = NULL),
	[CAPACITY] = OPTION("capacity", SB_OPTION_SIZE, .min = 1024, .max = INT64_MAX),
	[LOSS] = OPTION("loss", SB_OPTION_F64, .min_f64 = -1, .max_f64 = 0),
	[SCALE] = OPTION("scale", SB_OPTION_F64),
	[TEAM] = OPTION("team", SB_OPTION_CHOICE, .flags = SB_OPTION_SECRET, .choices = colors),
	[PIN] = OPTION("pin", SB_OPTION_I64, .flags = SB_OPTION_SECRET, .min = 0, .max = 9999),
};

static const struct component component = {
	.id = "thing",
	.options = declared,
	.option_count = sizeof(declared) / sizeof(declared[0]),
};

static const struct component without_options = {.id = "plain"};

/* The same without secrets. */
static const struct component open_component = {.id = "thing", .options = declared, .option_count = PASSWORD};

static struct option_set parse(const char *pair)
{
	struct option_set set;
	sb_error err = ERROR_INIT;

	cr_assert_eq(option_set_parse(&component, "--backend-opt", &pair, 1, &set, &err), SB_OK, "%s: %s", pair,
		     err.message);
	return set;
}

static sb_error refusal(const struct component *of, const char *pair)
{
	struct option_set set = {.count = 77};
	sb_error err = ERROR_INIT;

	cr_assert_eq(option_set_parse(of, "--backend-opt", &pair, 1, &set, &err), SB_ERR_CONFIG, "%s was taken", pair);
	cr_assert_eq(set.count, 77, "the output was touched");
	cr_assert(strstr(err.message, "--backend-opt"), "no flag in: %s", err.message);
	cr_assert(strstr(err.message, of->id), "no component in: %s", err.message);
	return err;
}

static void assert_refused(const char *pair, const char *words)
{
	sb_error err = refusal(&component, pair);

	cr_assert(strstr(err.message, words), "\"%s\" is not in: %s", words, err.message);
}

Test(plugin_options, defaults_are_set_but_not_given)
{
	struct option_set set;
	sb_error err = ERROR_INIT;

	cr_assert_eq(option_set_parse(&component, "--backend-opt", NULL, 0, &set, &err), SB_OK, "%s", err.message);
	cr_assert_eq(set.count, component.option_count);
	cr_assert_eq(set.values[FLAG].i64, 0);
	cr_assert_eq(set.values[COUNT].i64, 3);
	cr_assert_eq(set.values[RATIO].f64, 0.5);
	cr_assert_eq(set.values[SIZE].i64, 65536);
	cr_assert_eq(set.values[AGE].i64, 86400000);
	cr_assert_str_eq((const char *)set.values[TEXT].text.ptr, "none");
	cr_assert_eq(set.values[COLOR].i64, 1);
	cr_assert_eq(set.values[SIZE].is_set, 1);
	cr_assert_eq(set.values[SIZE].is_given, 0);
	cr_assert_eq(set.values[PASSWORD].is_set, 0);
	option_set_done(&set);
}

Test(plugin_options, every_type_is_parsed)
{
	static const struct {
		const char *pair;
		int index;
		int64_t i64;
	} cases[] = {
		{"flag=true", FLAG, 1},
		{"flag=yes", FLAG, 1},
		{"flag=on", FLAG, 1},
		{"flag=1", FLAG, 1},
		{"flag=false", FLAG, 0},
		{"flag=no", FLAG, 0},
		{"flag=off", FLAG, 0},
		{"flag=0", FLAG, 0},
		{"count=-5", COUNT, -5},
		{"count=10", COUNT, 10},
		{"level=0", LEVEL, 0},
		{"size=4096", SIZE, 4096},
		{"size=1GiB", SIZE, 1 << 30},
		{"size=10MB", SIZE, 10000000},
		{"age=250ms", AGE, 250},
		{"age=7d", AGE, 604800000},
		{"color=blue", COLOR, 2},
		{"free_count=9223372036854775807", FREE_COUNT, INT64_MAX},
		{"free_count=-9223372036854775808", FREE_COUNT, INT64_MIN},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct option_set set = parse(cases[i].pair);

		cr_assert_eq(set.values[cases[i].index].i64, cases[i].i64, "%s", cases[i].pair);
		cr_assert_eq(set.values[cases[i].index].is_set, 1);
		cr_assert_eq(set.values[cases[i].index].is_given, 1);
		option_set_done(&set);
	}
}

Test(plugin_options, texts_may_hold_anything_behind_the_first_equals_sign)
{
	struct option_set set = parse("text=a=b, c");

	cr_assert(slice_equal_text(set.values[TEXT].text, "a=b, c"));
	cr_assert_eq(set.values[TEXT].text.ptr[6], 0, "not NUL-terminated");
	option_set_done(&set);
	set = parse("text=");
	cr_assert_eq(set.values[TEXT].text.len, 0);
	cr_assert_eq(set.values[TEXT].is_given, 1);
	option_set_done(&set);
	set = parse("ratio=1.5e-3");
	cr_assert_eq(set.values[RATIO].f64, 1.5e-3);
	option_set_done(&set);
	set = parse("scale=-1e300");
	cr_assert_eq(set.values[SCALE].f64, -1e300);
	option_set_done(&set);
	set = parse("color=red");
	cr_assert(slice_equal_text(set.values[COLOR].text, "red"));
	option_set_done(&set);
}

Test(plugin_options, several_options_keep_their_texts)
{
	static const char *const pairs[] = {"text=first", "password=second", "count=7"};
	struct option_set set;
	sb_error err = ERROR_INIT;

	cr_assert_eq(option_set_parse(&component, "--backend-opt", pairs, 3, &set, &err), SB_OK, "%s", err.message);
	cr_assert_str_eq((const char *)set.values[TEXT].text.ptr, "first");
	cr_assert_str_eq((const char *)set.values[PASSWORD].text.ptr, "second");
	cr_assert_eq(set.values[COUNT].i64, 7);
	option_set_done(&set);
}

Test(plugin_options, wrong_types_are_refused)
{
	assert_refused("flag=maybe", "is none of true, false");
	assert_refused("count=3.5", "is not a whole number");
	assert_refused("count=", "is not a whole number");
	assert_refused("count=9223372036854775808", "is not a whole number");
	assert_refused("ratio=nan", "is not a finite decimal number");
	assert_refused("ratio=0x1p3", "is not a finite decimal number");
	assert_refused("size=4 furlongs", "is not a size in bytes");
	assert_refused("size=-1", "is not a size in bytes");
	assert_refused("age=5 parsecs", "is not a duration");
	assert_refused("age=10", "is not a duration");
	assert_refused("text=\xff\xfe", "is not valid UTF-8");
	assert_refused("color=gren", "is none of red, green, blue; did you mean \"green\"?");
}

/* The loader refuses such declarations, but nobody has to have asked it. */
Test(plugin_options, a_default_that_is_none_is_refused_with_the_option)
{
	static sb_option spoilt[] = {OPTION("count", SB_OPTION_I64, .default_text = "many")};
	static const struct component of = {.id = "thing", .options = spoilt, .option_count = 1};
	struct option_set set = {.count = 77};
	sb_error err = ERROR_INIT;

	cr_assert_eq(option_set_parse(&of, "--backend-opt", NULL, 0, &set, &err), SB_ERR_CONFIG);
	cr_assert(strstr(err.message, "count=many: the value of this option of thing is not a whole"), "%s",
		  err.message);
	cr_assert_eq(set.count, 77);
}

Test(plugin_options, a_long_value_is_not_repeated_whole)
{
	char pair[200] = "count=";
	sb_error err;

	memset(pair + 6, '1', 150);
	err = refusal(&component, pair);
	pair[6 + 100] = 0;
	cr_assert(strstr(err.message, pair), "%s", err.message);
	pair[6 + 100] = '1';
	pair[6 + 101] = 0;
	cr_assert_null(strstr(err.message, pair), "%s", err.message);
}

Test(plugin_options, values_out_of_range_are_refused_with_the_range)
{
	assert_refused("count=11", "is out of range: -5 to 10");
	assert_refused("count=-6", "is out of range: -5 to 10");
	assert_refused("ratio=1.50001", "is out of range: 0 to 1.5");
	assert_refused("loss=0.5", "is out of range: -1 to 0");
	assert_refused("loss=-1.5", "is out of range: -1 to 0");
	assert_refused("size=4095", "is out of range: 4KiB to 1GiB");
	assert_refused("age=8d", "is out of range: 1ms to 7d");
	assert_refused("capacity=5", "is out of range: 1KiB or more");
	assert_refused("level=-1", "is out of range: 0 to 9");
}

Test(plugin_options, unknown_names_are_refused_with_the_nearest)
{
	char long_pair[160] = {0};

	assert_refused("cuont=1", "no option \"cuont\"; did you mean \"count\"?");
	assert_refused("siz=1", "did you mean \"size\"?");
	assert_refused("nothing_like_it=1", "it has: flag, count, level");
	cr_assert(strstr(refusal(&without_options, "size=1").message, "has no options"));
	memset(long_pair, 'a', 150);
	strcpy(long_pair + 150, "=1");
	assert_refused(long_pair, "has no option \"aaaa");
	long_pair[101] = 0;
	cr_assert_null(strstr(refusal(&component, strcat(long_pair, "=1")).message, long_pair));
}

Test(plugin_options, a_pair_without_a_name_or_value_is_refused)
{
	assert_refused("flag", "write it as name=value");
	assert_refused("=5", "write it as name=value");
	assert_refused("", "write it as name=value");
	cr_assert(strstr(refusal(&open_component, "flag").message, "--backend-opt flag"));
}

Test(plugin_options, an_option_given_twice_is_refused)
{
	static const char *const pairs[] = {"count=1", "count=1"};
	struct option_set set;
	sb_error err = ERROR_INIT;

	cr_assert_eq(option_set_parse(&component, "--backend-opt", pairs, 2, &set, &err), SB_ERR_CONFIG);
	cr_assert(strstr(err.message, "option \"count\" of thing is given twice"), "%s", err.message);
}

Test(plugin_options, secret_values_are_in_no_sentence)
{
	static const char *const pairs[] = {"pin=hunter2", "pin=12345", "password=hunter2\xff",
					    "hunter2",	   "team=gren", NULL};

	for (size_t i = 0; pairs[i]; i++) {
		sb_error err = refusal(&component, pairs[i]);

		cr_assert_null(strstr(err.message, "hunter2"), "%s", err.message);
		cr_assert_null(strstr(err.message, "12345"), "%s", err.message);
		cr_assert_null(strstr(err.message, "did you mean"), "%s", err.message);
	}
}

/* --- nearest -------------------------------------------------------------------- */

static uint32_t distance(const char *a, const char *b)
{
	return nearest_distance(slice_of_text(a), slice_of_text(b));
}

Test(plugin_options, distance_counts_slips)
{
	cr_assert_eq(distance("", ""), 0);
	cr_assert_eq(distance("", "abc"), 3);
	cr_assert_eq(distance("abc", ""), 3);
	cr_assert_eq(distance("kitten", "sitting"), 3);
	cr_assert_eq(distance("form", "from"), 1);
	cr_assert_eq(distance("ca", "abc"), 3);
	cr_assert_eq(distance("write_bufer_size", "write_buffer_size"), 1);
}

Test(plugin_options, distance_of_an_overlong_name_is_infinite)
{
	char longest[NEAREST_NAME_BYTES + 2];

	memset(longest, 'a', sizeof(longest));
	longest[NEAREST_NAME_BYTES + 1] = 0;
	cr_assert_eq(distance(longest, "a"), UINT32_MAX);
	longest[NEAREST_NAME_BYTES] = 0;
	cr_assert_eq(distance(longest, "a"), NEAREST_NAME_BYTES - 1);
}

Test(plugin_options, far_names_are_not_offered)
{
	struct nearest near = {.wanted = slice_of_text("rocksdb")};

	nearest_offer(&near, "memory");
	cr_assert_null(near.name);
	nearest_offer(&near, "rocks");
	nearest_offer(&near, "rocksbd");
	nearest_offer(&near, "roxdb");
	cr_assert_str_eq(near.name, "rocksbd");
}
