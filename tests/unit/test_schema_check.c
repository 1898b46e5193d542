/* What no schema may be, wherever it comes from: each mistake, put into a schema that is right, is refused by a sentence of its own. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/error.h"
#include "state/schema_private.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

/* A schema in memory of the test's own, so that a mistake can be put anywhere. */
struct draft {
	struct schema schema;
	struct schema_state states[2]; /* a struct of 16 bytes, and a raw one */
	struct schema_field fields[2]; /* an i64 and an enum */
	char names[4][8];
	char *name_list[1];
	char long_name[SCHEMA_NAME_MAX + 2];
};

static void fill(struct draft *d)
{
	*d = (struct draft){.names = {"profile", "notes", "count", "kind"}};
	d->name_list[0] = d->names[3];
	memset(d->long_name, 'n', sizeof(d->long_name) - 1);
	d->fields[0] = (struct schema_field){.name = d->names[2], .type = SB_TYPE_I64, .size = 8};
	d->fields[1] = (struct schema_field){.name = d->names[3],
					     .type = SB_TYPE_ENUM,
					     .offset = 8,
					     .size = 4,
					     .names = d->name_list,
					     .name_count = 1};
	d->states[0] = (struct schema_state){.name = d->names[0],
					     .kind = SB_STATE_STRUCT,
					     .value_size = 16,
					     .ttl_ms = 1000,
					     .fields = d->fields,
					     .field_count = 2};
	d->states[1] = (struct schema_state){.name = d->names[1], .id = 1, .kind = SB_STATE_RAW};
	d->schema = (struct schema){.states = d->states, .count = 2};
}

#define MISTAKE(name, change)                                                                                          \
	static void name(struct draft *d)                                                                              \
	{                                                                                                              \
		change;                                                                                                \
	}

MISTAKE(too_many_states, d->schema.count = SCHEMA_STATES_MAX + 1)
MISTAKE(state_without_a_name, d->names[0][0] = 0)
MISTAKE(state_with_a_long_name, d->states[0].name = d->long_name)
MISTAKE(high_number, d->states[1].id = SCHEMA_STATES_MAX)
MISTAKE(name_twice, d->states[1].name = d->names[0])
MISTAKE(number_twice, d->states[1].id = 0)
MISTAKE(unknown_kind, d->states[1].kind = 77)
MISTAKE(ttl_below_zero, d->states[0].ttl_ms = -5)
MISTAKE(ttl_beyond_all, d->states[0].ttl_ms = SCHEMA_TTL_MAX_MS + 1)
MISTAKE(raw_with_fields, d->states[1].field_count = 1)
MISTAKE(raw_with_a_size, d->states[1].value_size = 8)
MISTAKE(struct_of_nothing, d->states[0].value_size = 0)
MISTAKE(struct_of_too_much, d->states[0].value_size = SCHEMA_VALUE_MAX + 1)
MISTAKE(too_many_fields, d->states[0].field_count = SCHEMA_FIELDS_MAX + 1)
MISTAKE(field_without_a_name, d->names[2][0] = 0)
MISTAKE(field_twice, d->fields[1].name = d->names[2])
MISTAKE(unknown_type, d->fields[0].type = 99)
MISTAKE(bool_of_two_bytes, (d->fields[0].type = SB_TYPE_BOOL, d->fields[0].size = 2))
MISTAKE(int_of_three_bytes, (d->fields[0].type = SB_TYPE_INT, d->fields[0].size = 3))
MISTAKE(float_of_two_bytes, (d->fields[0].type = SB_TYPE_FLOAT, d->fields[0].size = 2))
MISTAKE(enum_of_eight_bytes, d->fields[1].size = 8)
MISTAKE(enum_of_three_bytes, d->fields[1].size = 3)
MISTAKE(chars_of_nothing, (d->fields[0].type = SB_TYPE_CHARS, d->fields[0].size = 0))
MISTAKE(time_of_four_bytes, (d->fields[0].type = SB_TYPE_TIME, d->fields[0].size = 4))
MISTAKE(begins_outside, d->fields[0].offset = 17)
MISTAKE(ends_outside, d->fields[0].offset = 9)
MISTAKE(names_without_enum, (d->fields[1].type = SB_TYPE_INT))

static const struct {
	void (*make)(struct draft *d);
	const char *says;
} mistakes[] = {
	{too_many_states, "more than"},
	{state_without_a_name, "a state has no name, or one of more than"},
	{state_with_a_long_name, "a state has no name, or one of more than"},
	{high_number, "state notes has number"},
	{name_twice, "state profile is there twice, or its number is"},
	{number_twice, "state notes is there twice, or its number is"},
	{unknown_kind, "state notes is of unknown kind 77"},
	{ttl_below_zero, "state profile has an impossible TTL"},
	{ttl_beyond_all, "state profile has an impossible TTL"},
	{raw_with_fields, "raw state notes has fields or a size"},
	{raw_with_a_size, "raw state notes has fields or a size"},
	{struct_of_nothing, "a value of state profile has 0 bytes"},
	{struct_of_too_much, "a value of state profile has"},
	{too_many_fields, "state profile has more than"},
	{field_without_a_name, "state profile has a field without a name"},
	{field_twice, "state profile has two fields called count"},
	{unknown_type, "field count of state profile cannot be of type 99 and 8 bytes"},
	{bool_of_two_bytes, "cannot be of type"},
	{int_of_three_bytes, "cannot be of type"},
	{float_of_two_bytes, "cannot be of type"},
	{enum_of_eight_bytes, "field kind of state profile cannot be of type"},
	{enum_of_three_bytes, "field kind of state profile cannot be of type"},
	{chars_of_nothing, "cannot be of type"},
	{time_of_four_bytes, "cannot be of type"},
	{begins_outside, "field count of state profile lies outside its 16 bytes"},
	{ends_outside, "field count of state profile lies outside its 16 bytes"},
	{names_without_enum, "field kind of state profile has names and is no enum"},
};

Test(schema_check, each_mistake_is_refused_by_its_own_sentence)
{
	for (size_t i = 0; i < LENGTH(mistakes); i++) {
		struct draft draft;
		sb_error err = ERROR_INIT;

		fill(&draft);
		cr_assert_eq(schema_check(&draft.schema, SB_ERR_CORRUPT, &err), SB_OK, "%s", err.message);
		mistakes[i].make(&draft);
		cr_expect_eq(schema_check(&draft.schema, SB_ERR_CORRUPT, &err), SB_ERR_CORRUPT, "mistake %zu: %s", i,
			     mistakes[i].says);
		cr_expect_not_null(strstr(err.message, mistakes[i].says), "mistake %zu: %s instead of %s", i,
				   err.message, mistakes[i].says);
	}
}

Test(schema_check, sizes_that_a_type_can_have_are_fine)
{
	static const struct {
		uint32_t type, size;
	} fine[] = {{SB_TYPE_BOOL, 1}, {SB_TYPE_F64, 8},   {SB_TYPE_INT, 1},   {SB_TYPE_INT, 2},   {SB_TYPE_UINT, 4},
		    {SB_TYPE_UINT, 8}, {SB_TYPE_FLOAT, 4}, {SB_TYPE_FLOAT, 8}, {SB_TYPE_CHARS, 1}, {SB_TYPE_BYTES, 7}};

	for (size_t i = 0; i < LENGTH(fine); i++) {
		struct draft draft;
		sb_error err = ERROR_INIT;

		fill(&draft);
		draft.fields[0].type = fine[i].type;
		draft.fields[0].size = fine[i].size;
		cr_expect_eq(schema_check(&draft.schema, SB_ERR_INVALID, &err), SB_OK, "type %u, %u bytes: %s",
			     fine[i].type, fine[i].size, err.message);
	}
}
