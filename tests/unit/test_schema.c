/* Schemas: from a component, to JSON and back, printing values. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/slice.h"
#include "state/schema.h"

struct everything {
	uint8_t flag;
	uint8_t kind;
	int16_t small;
	float ratio;
	int64_t count;
	uint64_t big;
	double sum;
	int64_t seen;
	char name[8];
	uint8_t raw[4];
};

#define FIELD(member, field_type, ...)                                                                                 \
	{                                                                                                              \
		.struct_size = sizeof(sb_schema_field), .type = (field_type), .name = #member,                         \
		.offset = offsetof(struct everything, member), .size = sizeof(((struct everything *)0)->member),       \
		__VA_ARGS__                                                                                            \
	}

static const char *const kind_names[] = {"Regular", "Premium", NULL};
static const sb_schema_field field_list[] = {
	FIELD(flag, SB_TYPE_BOOL),
	FIELD(kind, SB_TYPE_ENUM, .names = kind_names),
	FIELD(small, SB_TYPE_INT),
	FIELD(ratio, SB_TYPE_FLOAT),
	FIELD(count, SB_TYPE_I64, .default_value = "\1\2\3\4\5\6\7"),
	FIELD(big, SB_TYPE_UINT),
	FIELD(sum, SB_TYPE_F64),
	FIELD(seen, SB_TYPE_TIME),
	FIELD(name, SB_TYPE_CHARS),
	FIELD(raw, SB_TYPE_BYTES),
};
#define FIELDS (sizeof(field_list) / sizeof(field_list[0]))

static struct schema make(uint64_t fields)
{
	const sb_schema_field *pointers[FIELDS];
	sb_state states[2] = {
		{.struct_size = sizeof(sb_state),
		 .kind = SB_STATE_STRUCT,
		 .value_size = sizeof(struct everything),
		 .ttl_ms = SB_TTL_JOB,
		 .name = "all",
		 .fields = pointers,
		 .field_count = fields},
		{.struct_size = sizeof(sb_state), .kind = SB_STATE_RAW, .ttl_ms = SB_TTL_NONE, .name = "bytes"},
	};
	char id[] = "op";
	struct component component = {.kind = SB_KIND_OPERATOR, .id = id, .states = states, .state_count = 2};
	struct schema schema;
	sb_error err = ERROR_INIT;

	for (size_t i = 0; i < FIELDS; i++)
		pointers[i] = &field_list[i];
	cr_assert_eq(schema_from_component(&component, 5000, &schema, &err), SB_OK, "%s", err.message);
	return schema;
}

Test(schema, resolves_the_ttl_of_the_job_and_numbers_the_states)
{
	struct schema schema = make(FIELDS);

	cr_assert_eq(schema.count, 2);
	cr_assert(schema.states[0].ttl_ms == 5000 && schema.states[1].ttl_ms == 0);
	cr_assert(schema_find_name(&schema, "bytes") == schema_find_id(&schema, 1));
	cr_assert_null(schema_find_id(&schema, 2));
	cr_assert_null(schema_find_name(&schema, "ALL"));
	schema_done(&schema);
}

Test(schema, comes_back_from_json_as_it_was)
{
	struct schema schema = make(FIELDS), back;
	struct buffer json = BUFFER_INIT, again = BUFFER_INIT;
	sb_error err = ERROR_INIT;

	schema_to_json(&schema, &json);
	cr_assert_eq(schema_from_json(buffer_slice(&json), &back, &err), SB_OK, "%s", err.message);
	schema_to_json(&back, &again);
	cr_assert(slice_equal(buffer_slice(&json), buffer_slice(&again)));
	cr_assert_eq(back.states[0].fields[4].default_value[1], 2);
	cr_assert_str_eq(back.states[0].fields[1].names[1], "Premium");
	schema_done(&schema);
	schema_done(&back);
	buffer_done(&json);
	buffer_done(&again);
}

Test(schema, refuses_json_that_it_would_not_have_written)
{
	static const char *const wrong[] = {
		"",
		"{}",
		"[1]",
		"[] x",
		"[{}]",
		"[{\"name\":\"a\",\"id\":0,\"kind\":\"raw\"}]",
		"[{\"name\":\"a\",\"id\":0,\"kind\":\"other\",\"ttl_ms\":0}]",
		"[{\"Name\":\"a\",\"id\":0,\"kind\":\"raw\",\"ttl_ms\":0}]",
		"[{\"name\":\"a\",\"id\":1024,\"kind\":\"raw\",\"ttl_ms\":0}]",
		"[{\"name\":\"a\",\"id\":0.5,\"kind\":\"raw\",\"ttl_ms\":0}]",
		"[{\"name\":\"a\",\"id\":-1,\"kind\":\"raw\",\"ttl_ms\":0}]",
		"[{\"name\":\"a\",\"id\":0,\"kind\":\"raw\",\"ttl_ms\":-1}]",
		"[{\"name\":\"a\",\"id\":0,\"kind\":\"raw\",\"ttl_ms\":1e300}]",
		"[{\"name\":\"\",\"id\":0,\"kind\":\"raw\",\"ttl_ms\":0}]",
		"[{\"name\":\"a\",\"id\":0,\"id\":0,\"kind\":\"raw\",\"ttl_ms\":0}]",
		"[{\"name\":\"a\",\"id\":0,\"kind\":\"raw\",\"ttl_ms\":0,\"more\":1}]",
		"[{\"name\":\"a\",\"id\":0,\"kind\":\"raw\",\"ttl_ms\":0},{\"name\":\"a\",\"id\":1,\"kind\":\"raw\",\"ttl_ms\":0}]",
		"[{\"name\":\"a\",\"id\":0,\"kind\":\"raw\",\"ttl_ms\":0},{\"name\":\"b\",\"id\":0,\"kind\":\"raw\",\"ttl_ms\":0}]",
		"[{\"name\":\"a\",\"id\":0,\"kind\":\"struct\",\"ttl_ms\":0,\"value_size\":0,\"fields\":[]}]",
		"[{\"name\":\"a\",\"id\":0,\"kind\":\"struct\",\"ttl_ms\":0,\"value_size\":65537,\"fields\":[]}]",
		"[{\"name\":\"a\",\"id\":0,\"kind\":\"struct\",\"ttl_ms\":0,\"value_size\":8,\"fields\":[{\"name\":\"f\","
		"\"type\":\"i64\",\"offset\":1,\"size\":8}]}]",
		"[{\"name\":\"a\",\"id\":0,\"kind\":\"struct\",\"ttl_ms\":0,\"value_size\":8,\"fields\":[{\"name\":\"f\","
		"\"type\":\"i64\",\"offset\":4294967295,\"size\":8}]}]",
		"[{\"name\":\"a\",\"id\":0,\"kind\":\"struct\",\"ttl_ms\":0,\"value_size\":8,\"fields\":[{\"name\":\"f\","
		"\"type\":\"i64\",\"offset\":0,\"size\":4}]}]",
		"[{\"name\":\"a\",\"id\":0,\"kind\":\"struct\",\"ttl_ms\":0,\"value_size\":8,\"fields\":[{\"name\":\"f\","
		"\"type\":\"uint\",\"offset\":0,\"size\":1,\"default\":\"0\"}]}]",
		"[{\"name\":\"a\",\"id\":0,\"kind\":\"struct\",\"ttl_ms\":0,\"value_size\":8,\"fields\":[{\"name\":\"f\","
		"\"type\":\"uint\",\"offset\":0,\"size\":1},{\"name\":\"f\",\"type\":\"uint\",\"offset\":1,\"size\":1}]}]",
	};
	struct schema schema;
	sb_error err = ERROR_INIT;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		cr_assert_eq(schema_from_json(slice_of_text(wrong[i]), &schema, &err), SB_ERR_CORRUPT, "taken: %s",
			     wrong[i]);
		cr_assert_neq(err.message[0], 0);
	}
}

static void expect_printed(const struct everything *value, const char *expected)
{
	struct schema schema = make(FIELDS);
	struct buffer out = BUFFER_INIT;
	sb_error err = ERROR_INIT;

	cr_assert_eq(schema_value_to_json(&schema.states[0], slice_of(value, sizeof(*value)), &out, &err), SB_OK);
	cr_assert_str_eq(buffer_text(&out), expected);
	buffer_done(&out);
	schema_done(&schema);
}

Test(schema, prints_every_type)
{
	struct everything value;

	memset(&value, 0, sizeof(value));
	expect_printed(&value,
		       "{\"flag\":false,\"kind\":\"Regular\",\"small\":0,\"ratio\":0,\"count\":0,\"big\":0,\"sum\":0,"
		       "\"seen\":\"1970-01-01T00:00:00.000Z\",\"name\":\"\",\"raw\":\"\\\\x00\\\\x00\\\\x00\\\\x00\"}");
	value = (struct everything){.flag = 1,
				    .kind = 1,
				    .small = -32768,
				    .ratio = 0.1f,
				    .count = INT64_MIN,
				    .big = UINT64_MAX,
				    .sum = 0.1,
				    .seen = INT64_C(1731165623123),
				    .name = "h\xc3\xa9llo\"!",
				    .raw = {'a', '\\', 0xff, '"'}};
	expect_printed(&value, "{\"flag\":true,\"kind\":\"Premium\",\"small\":-32768,\"ratio\":0.1,"
			       "\"count\":-9223372036854775808,\"big\":18446744073709551615,\"sum\":0.1,"
			       "\"seen\":\"2024-11-09T15:20:23.123Z\",\"name\":\"h\xc3\xa9llo\\\"!\","
			       "\"raw\":\"a\\\\\\\\\\\\xff\\\"\"}");
}

Test(schema, prints_what_json_has_no_word_for_and_loses_nothing)
{
	struct everything value;

	memset(&value, 0, sizeof(value));
	value.kind = 9;
	value.sum = (double)NAN;
	value.ratio = -INFINITY;
	memcpy(value.name, "a\xff\0b", 4);
	expect_printed(&value, "{\"flag\":false,\"kind\":9,\"small\":0,\"ratio\":\"-Infinity\",\"count\":0,\"big\":0,"
			       "\"sum\":\"NaN\",\"seen\":\"1970-01-01T00:00:00.000Z\",\"name\":\"a\\\\xff\\\\x00b\","
			       "\"raw\":\"\\\\x00\\\\x00\\\\x00\\\\x00\"}");
}

Test(schema, refuses_to_print_a_value_of_another_size)
{
	struct schema schema = make(FIELDS);
	struct buffer out = BUFFER_INIT;
	sb_error err = ERROR_INIT;

	cr_assert_eq(schema_value_to_json(&schema.states[0], slice_of("abc", 3), &out, &err), SB_ERR_CORRUPT);
	cr_assert_eq(schema_value_to_json(&schema.states[1], slice_of("a\n", 2), &out, &err), SB_OK);
	cr_assert_str_eq(buffer_text(&out), "\"a\\\\x0a\"");
	buffer_done(&out);
	schema_done(&schema);
}
