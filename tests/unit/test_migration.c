/* Schema evolution: every pair of types, what a plan refuses and says, ids, and random schemas with random evolutions, in
 * which the value of every surviving field is read back by other means than the code under test has. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "base/slice.h"
#include "state/migration.h"
#include "support/rng.h"

static struct clock test_clock;
static const struct log silent = {.fd = -1, .level = 0, .clock = &test_clock};

static struct schema parse(const char *json)
{
	struct schema schema;
	sb_error err = ERROR_INIT;

	cr_assert_eq(schema_from_json(slice_of_text(json), &schema, &err), SB_OK, "%s: %s", err.message, json);
	return schema;
}

/* One state "s" with these fields (JSON, without the brackets). */
static struct schema of_fields(const char *fields, unsigned value_size)
{
	char json[2048];

	snprintf(json, sizeof(json),
		 "[{\"name\":\"s\",\"id\":0,\"kind\":\"struct\",\"ttl_ms\":0,\"value_size\":%u,\"fields\":[%s]}]",
		 value_size, fields);
	return parse(json);
}

static sb_slice bytes_of_hex(const char *hex, uint8_t *bytes)
{
	size_t len = strlen(hex) / 2;

	for (size_t i = 0; i < len; i++) {
		unsigned byte;

		cr_assert_eq(sscanf(hex + 2 * i, "%2x", &byte), 1);
		bytes[i] = (uint8_t)byte;
	}
	return slice_of(bytes, len);
}

static void expect_bytes(sb_slice got, const char *hex, const char *of)
{
	uint8_t bytes[256];

	cr_assert(slice_equal(got, bytes_of_hex(hex, bytes)), "%s: not %s", of, hex);
}

struct pair {
	const char *was_type;
	uint32_t was_size;
	const char *is_type;
	uint32_t is_size;
	const char *was, *is; /* values; NULL: refused */
};

static const struct pair pairs[] = {
	/* The same, and other words for the same. */
	{"bool", 1, "bool", 1, "01", "01"},
	{"i64", 8, "i64", 8, "0807060504030201", "0807060504030201"},
	{"i64", 8, "int", 8, "f8ffffffffffffff", "f8ffffffffffffff"},
	{"int", 8, "i64", 8, "f8ffffffffffffff", "f8ffffffffffffff"},
	{"f64", 8, "float", 8, "000000000000f83f", "000000000000f83f"},
	{"float", 8, "f64", 8, "000000000000f83f", "000000000000f83f"},
	{"time", 8, "time", 8, "0102030405060708", "0102030405060708"},
	{"chars", 3, "chars", 3, "616263", "616263"},
	{"bytes", 3, "bytes", 3, "ff00fe", "ff00fe"},
	/* Wider. */
	{"int", 1, "int", 2, "80", "80ff"},
	{"int", 1, "int", 4, "7f", "7f000000"},
	{"int", 2, "int", 4, "feff", "feffffff"},
	{"int", 4, "int", 8, "00000080", "00000080ffffffff"},
	{"int", 4, "i64", 8, "ffffff7f", "ffffff7f00000000"},
	{"uint", 1, "uint", 2, "ff", "ff00"},
	{"uint", 4, "uint", 8, "ffffffff", "ffffffff00000000"},
	{"uint", 1, "int", 2, "ff", "ff00"},
	{"uint", 4, "i64", 8, "ffffffff", "ffffffff00000000"},
	{"float", 4, "float", 8, "0000c0bf", "000000000000f8bf"},
	{"float", 4, "f64", 8, "0000807f", "000000000000f07f"},
	{"bool", 1, "int", 1, "01", "01"},
	{"bool", 1, "uint", 4, "01", "01000000"},
	{"bool", 1, "i64", 8, "00", "0000000000000000"},
	{"enum", 1, "enum", 4, "c8", "c8000000"},
	{"chars", 2, "chars", 4, "6162", "61620000"},
	{"bytes", 2, "bytes", 3, "fffe", "fffe00"},
	/* Narrower. */
	{"int", 2, "int", 1, NULL, NULL},
	{"i64", 8, "int", 4, NULL, NULL},
	{"uint", 2, "uint", 1, NULL, NULL},
	{"uint", 2, "int", 2, NULL, NULL},
	{"uint", 8, "i64", 8, NULL, NULL},
	{"uint", 4, "int", 2, NULL, NULL},
	{"f64", 8, "float", 4, NULL, NULL},
	{"enum", 2, "enum", 1, NULL, NULL},
	{"chars", 4, "chars", 3, NULL, NULL},
	{"bytes", 4, "bytes", 3, NULL, NULL},
	/* Of another sort. */
	{"int", 1, "uint", 8, NULL, NULL},
	{"int", 4, "f64", 8, NULL, NULL},
	{"float", 4, "i64", 8, NULL, NULL},
	{"uint", 1, "bool", 1, NULL, NULL},
	{"bool", 1, "enum", 1, NULL, NULL},
	{"bool", 1, "f64", 8, NULL, NULL},
	{"enum", 1, "uint", 1, NULL, NULL},
	{"uint", 1, "enum", 1, NULL, NULL},
	{"time", 8, "i64", 8, NULL, NULL},
	{"i64", 8, "time", 8, NULL, NULL},
	{"chars", 8, "bytes", 8, NULL, NULL},
	{"bytes", 8, "chars", 8, NULL, NULL},
};

static struct schema of_type(const char *type, uint32_t size)
{
	char field[128];

	snprintf(field, sizeof(field), "{\"name\":\"f\",\"type\":\"%s\",\"offset\":0,\"size\":%u}", type, size);
	return of_fields(field, size);
}

static void expect_refused(struct schema *now, struct schema *saved, const char *const *words)
{
	struct migration *migration = NULL;
	sb_error err = ERROR_INIT;

	cr_assert_eq(migration_plan(now, saved, &silent, &migration, &err), SB_ERR_INCOMPATIBLE);
	cr_assert_null(migration);
	cr_assert_eq(err.code, SB_ERR_INCOMPATIBLE);
	for (; *words; words++)
		cr_assert(strstr(err.message, *words), "no \"%s\" in: %s", *words, err.message);
}

static struct migration *plan(struct schema *now, const struct schema *saved)
{
	struct migration *migration = NULL;
	sb_error err = ERROR_INIT;

	cr_assert_eq(migration_plan(now, saved, &silent, &migration, &err), SB_OK, "%s", err.message);
	return migration;
}

static sb_slice apply(const struct migration *migration, uint32_t id, sb_slice value, struct buffer *scratch)
{
	sb_slice result = {0};
	bool dropped = true;
	sb_error err = ERROR_INIT;

	cr_assert_eq(migration_apply(migration, id, value, scratch, &result, &dropped, &err), SB_OK, "%s", err.message);
	cr_assert(!dropped);
	return result;
}

static void check_pair(const struct pair *pair)
{
	struct schema saved = of_type(pair->was_type, pair->was_size), now = of_type(pair->is_type, pair->is_size);
	struct buffer scratch = BUFFER_INIT;
	uint8_t bytes[64];
	char of[64];

	snprintf(of, sizeof(of), "%s %u to %s %u", pair->was_type, pair->was_size, pair->is_type, pair->is_size);
	if (pair->is) {
		struct migration *migration = plan(&now, &saved);

		expect_bytes(apply(migration, 0, bytes_of_hex(pair->was, bytes), &scratch), pair->is, of);
		cr_assert_eq(migration_is_identity(migration), strcmp(pair->was, pair->is) == 0, "%s", of);
		migration_free(migration);
	} else {
		expect_refused(&now, &saved,
			       (const char *const[]){"field f", "state s", pair->was_type, pair->is_type,
						     "another name", NULL});
	}
	buffer_done(&scratch);
	schema_done(&saved);
	schema_done(&now);
}

Test(migration, widens_what_fits_and_refuses_the_rest)
{
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
		check_pair(&pairs[i]);
}

#define ENUM(size, names) "{\"name\":\"f\",\"type\":\"enum\",\"offset\":0,\"size\":" #size ",\"names\":[" names "]}"

static const struct enum_case {
	const char *was, *is;
	const char *values, *expected; /* bytes; NULL: refused */
	const char *word; /* of the refusal */
} enum_cases[] = {
	{ENUM(1, "\"a\",\"b\""), ENUM(1, "\"a\",\"b\",\"c\""), "00010205", "00010205", NULL},
	{ENUM(1, "\"a\",\"b\""), ENUM(1, "\"c\",\"b\",\"a\""), "0001", "0201", NULL},
	{ENUM(1, "\"a\",\"b\""), ENUM(1, "\"a\",\"m\",\"b\""), "0001", "0002", NULL},
	{ENUM(1, ""), ENUM(1, "\"a\""), "0009", "0009", NULL},
	{ENUM(1, "\"a\",\"b\""), ENUM(1, "\"a\""), NULL, NULL, "called b"},
	{ENUM(1, "\"a\",\"b\""), ENUM(1, "\"a\",\"B\""), NULL, NULL, "called b"},
	{ENUM(1, "\"a\",\"b\""), ENUM(1, "\"b\",\"a\",\"b\""), NULL, NULL, "called b"},
	{ENUM(1, "\"a\""), ENUM(1, ""), NULL, NULL, "called a"},
};

static void check_enum(const struct enum_case *enum_case)
{
	struct schema saved = of_fields(enum_case->was, 1), now = of_fields(enum_case->is, 1);
	struct buffer scratch = BUFFER_INIT;
	uint8_t was[16], is[16];
	struct migration *migration;

	if (enum_case->values) {
		sb_slice values = bytes_of_hex(enum_case->values, was);

		bytes_of_hex(enum_case->expected, is);
		migration = plan(&now, &saved);
		for (size_t i = 0; i < values.len; i++)
			cr_assert_eq(apply(migration, 0, slice_of(was + i, 1), &scratch).ptr[0], is[i], "%s",
				     enum_case->is);
		migration_free(migration);
	} else {
		expect_refused(&now, &saved, (const char *const[]){"field f", "state s", enum_case->word, NULL});
	}
	buffer_done(&scratch);
	schema_done(&saved);
	schema_done(&now);
}

Test(migration, lets_enum_values_follow_their_names)
{
	for (size_t i = 0; i < sizeof(enum_cases) / sizeof(enum_cases[0]); i++)
		check_enum(&enum_cases[i]);
}

Test(migration, widens_an_enum_whose_names_change_places)
{
	struct schema saved = of_fields(ENUM(1, "\"a\",\"b\""), 1), now = of_fields(ENUM(4, "\"x\",\"b\",\"a\""), 4);
	struct migration *migration = plan(&now, &saved);
	struct buffer scratch = BUFFER_INIT;

	expect_bytes(apply(migration, 0, slice_of("\0", 1), &scratch), "02000000", "a");
	expect_bytes(apply(migration, 0, slice_of("\1", 1), &scratch), "01000000", "b");
	migration_free(migration);
	buffer_done(&scratch);
	schema_done(&saved);
	schema_done(&now);
}

/* With names in another place a number without a name has no place at all. */
Test(migration, refuses_a_nameless_enum_value_when_names_change_places)
{
	struct schema saved = of_fields(ENUM(1, "\"a\",\"b\""), 1), now = of_fields(ENUM(1, "\"b\",\"a\""), 1);
	struct migration *migration = plan(&now, &saved);
	struct buffer scratch = BUFFER_INIT;
	sb_slice result;
	bool dropped;
	sb_error err = ERROR_INIT;

	cr_assert_eq(migration_apply(migration, 0, slice_of("\2", 1), &scratch, &result, &dropped, &err),
		     SB_ERR_INCOMPATIBLE);
	cr_assert(strstr(err.message, "field f") && strstr(err.message, "state s"), "%s", err.message);
	migration_free(migration);
	buffer_done(&scratch);
	schema_done(&saved);
	schema_done(&now);
}

#define I32(name, offset) "{\"name\":\"" name "\",\"type\":\"int\",\"offset\":" #offset ",\"size\":4}"
#define I32_DEFAULT(name, offset, hex)                                                                                 \
	"{\"name\":\"" name "\",\"type\":\"int\",\"offset\":" #offset ",\"size\":4,\"default\":\"" hex "\"}"

static const struct layout_case {
	const char *what, *was, *is;
	unsigned was_size, is_size;
	const char *value, *expected;
	bool identity;
} layout_cases[] = {
	{"nothing changes", I32("a", 0), I32("a", 0), 8, 8, "01000000aabbccdd", "01000000aabbccdd", true},
	{"moved", I32("a", 0) "," I32("b", 4), I32("b", 0) "," I32("a", 8), 8, 12, "0100000002000000",
	 "020000000000000001000000", false},
	{"another order of declaration alone", I32("a", 0) "," I32("b", 4), I32("b", 4) "," I32("a", 0), 8, 8,
	 "0100000002000000", "0100000002000000", true},
	{"a new field where padding was", I32("a", 0), I32("a", 0) "," I32("b", 4), 8, 8, "01000000aabbccdd",
	 "0100000000000000", false},
	{"a new field with a default", I32("a", 0), I32_DEFAULT("b", 0, "07000000") "," I32("a", 4), 4, 8, "01000000",
	 "0700000001000000", false},
	{"the default of an old field", I32("a", 0), I32_DEFAULT("a", 0, "07000000"), 4, 4, "01000000", "01000000",
	 true},
	{"a lost field leaves nothing behind", I32("a", 0) "," I32("b", 4), I32("b", 4), 8, 8, "0100000002000000",
	 "0000000002000000", false},
	{"other padding alone", I32("a", 0), I32("a", 0), 4, 8, "01000000", "0100000000000000", false},
	{"all fields go, one comes", I32("a", 0), I32_DEFAULT("b", 0, "07000000"), 4, 4, "01000000", "07000000", false},
};

Test(migration, places_fields_by_name)
{
	for (size_t i = 0; i < sizeof(layout_cases) / sizeof(layout_cases[0]); i++) {
		const struct layout_case *it = &layout_cases[i];
		struct schema saved = of_fields(it->was, it->was_size), now = of_fields(it->is, it->is_size);
		struct migration *migration = plan(&now, &saved);
		struct buffer scratch = BUFFER_INIT;
		uint8_t bytes[64];

		expect_bytes(apply(migration, 0, bytes_of_hex(it->value, bytes), &scratch), it->expected, it->what);
		cr_assert_eq(migration_is_identity(migration), it->identity, "%s", it->what);
		migration_free(migration);
		buffer_done(&scratch);
		schema_done(&saved);
		schema_done(&now);
	}
}

#define RAW(name, id) "{\"name\":\"" name "\",\"id\":" #id ",\"kind\":\"raw\",\"ttl_ms\":0}"

Test(migration, matches_states_by_name_and_drops_lost_ones)
{
	struct schema saved = parse("[" RAW("kept", 5) "," RAW("lost", 0) "," RAW("too", 1) "]");
	struct schema now = parse("[" RAW("new", 0) "," RAW("too", 1) "," RAW("kept", 2) "]");
	struct migration *migration = plan(&now, &saved);
	struct buffer scratch = BUFFER_INIT;
	sb_slice result;
	bool dropped = false;
	sb_error err = ERROR_INIT;

	cr_assert_eq(schema_find_name(&now, "kept")->id, 5);
	cr_assert_eq(schema_find_name(&now, "too")->id, 1);
	cr_assert_eq(schema_find_name(&now, "new")->id, 2);
	cr_assert(!migration_is_identity(migration));
	cr_assert(slice_equal(apply(migration, 5, slice_of("any", 3), &scratch), slice_of("any", 3)));
	cr_assert_eq(migration_apply(migration, 0, slice_of("any", 3), &scratch, &result, &dropped, &err), SB_OK);
	cr_assert(dropped);
	cr_assert_eq(migration_apply(migration, 2, slice_of("any", 3), &scratch, &result, &dropped, &err),
		     SB_ERR_CORRUPT);
	cr_assert_eq(migration_apply(migration, 9999, slice_of("any", 3), &scratch, &result, &dropped, &err),
		     SB_ERR_CORRUPT);
	migration_free(migration);
	buffer_done(&scratch);
	schema_done(&saved);
	schema_done(&now);
}

Test(migration, is_an_identity_when_states_are_only_added)
{
	struct schema saved = parse("[" RAW("kept", 1) "]");
	struct schema now = parse("[" RAW("new", 0) "," RAW("newer", 1) "," RAW("kept", 2) "]");
	struct migration *migration = plan(&now, &saved);

	cr_assert(migration_is_identity(migration));
	cr_assert_eq(schema_find_name(&now, "new")->id, 0);
	cr_assert_eq(schema_find_name(&now, "newer")->id, 2);
	cr_assert_eq(schema_find_name(&now, "kept")->id, 1);
	migration_free(migration);
	schema_done(&saved);
	schema_done(&now);
}

static struct schema as_many_as_can_be(char initial)
{
	struct buffer json = BUFFER_INIT;
	struct schema schema;

	for (unsigned i = 0; i < SCHEMA_STATES_MAX; i++)
		buffer_printf(&json, "%c{\"name\":\"%c%u\",\"id\":%u,\"kind\":\"raw\",\"ttl_ms\":0}", i ? ',' : '[',
			      i ? initial : 'z', i, i);
	buffer_append_byte(&json, ']');
	schema = parse(buffer_text(&json));
	buffer_done(&json);
	return schema;
}

Test(migration, gives_new_states_the_numbers_of_dropped_ones_when_no_other_is_left)
{
	struct schema saved = as_many_as_can_be('a'), now = as_many_as_can_be('b');
	struct migration *migration = plan(&now, &saved);
	bool seen[SCHEMA_STATES_MAX] = {false};

	for (unsigned i = 0; i < SCHEMA_STATES_MAX; i++) {
		uint32_t id = now.states[i].id;

		cr_assert(id < SCHEMA_STATES_MAX && !seen[id]);
		seen[id] = true;
	}
	cr_assert_eq(schema_find_name(&now, "z0")->id, 0);
	migration_free(migration);
	schema_done(&saved);
	schema_done(&now);
}

Test(migration, refuses_another_kind_and_leaves_the_numbers_alone)
{
	struct schema saved = parse("[" RAW("first", 7) "," RAW("s", 3) "]"), now = of_fields(I32("a", 0), 4);

	expect_refused(&now, &saved, (const char *const[]){"state s", "raw", "struct", NULL});
	cr_assert_eq(now.states[0].id, 0);
	schema_done(&saved);
	schema_done(&now);
}

Test(migration, refuses_a_value_of_another_size)
{
	struct schema saved = of_fields(I32("a", 0), 4), now = of_fields(I32("a", 0), 4);
	struct migration *migration = plan(&now, &saved);
	struct buffer scratch = BUFFER_INIT;
	sb_slice result;
	bool dropped;
	sb_error err = ERROR_INIT;

	cr_assert_eq(migration_apply(migration, 0, slice_of("abc", 3), &scratch, &result, &dropped, &err),
		     SB_ERR_CORRUPT);
	migration_free(migration);
	buffer_done(&scratch);
	schema_done(&saved);
	schema_done(&now);
}

Test(migration, logs_a_line_for_each_change)
{
	static const char saved_json[] = "[{\"name\":\"s\",\"id\":0,\"kind\":\"struct\",\"ttl_ms\":5,\"value_size\":8,"
					 "\"fields\":[" I32("wide", 0) "," I32("gone", 4) "]}," RAW("old", 1) "]";
	static const char now_json[] =
		"[{\"name\":\"s\",\"id\":0,\"kind\":\"struct\",\"ttl_ms\":6,\"value_size\":16,"
		"\"fields\":[{\"name\":\"wide\",\"type\":\"i64\",\"offset\":0,\"size\":8}," I32(
			"zero", 8) "," I32_DEFAULT("seven", 12, "07000000") "]}," RAW("fresh", 1) "]";
	static const char *const lines[] = {
		"TTL changed, for later writes only  state=s from_ms=5 to_ms=6",
		"Field widened  state=s field=wide",
		"Field dropped: the operator no longer has it  state=s field=gone",
		"Field added, with zeros  state=s field=zero",
		"Field added, with its default  state=s field=seven",
		"State dropped: the operator no longer has it  state=old",
		"State added  state=fresh",
	};
	struct schema saved = parse(saved_json), now = parse(now_json);
	struct log log = {.fd = memfd_create("log", 0), .level = SB_LOG_INFO, .clock = &test_clock};
	struct migration *migration = NULL;
	sb_error err = ERROR_INIT;
	char text[4096];
	ssize_t len;

	clock_init_system(&test_clock);
	cr_assert_eq(migration_plan(&now, &saved, &log, &migration, &err), SB_OK, "%s", err.message);
	len = pread(log.fd, text, sizeof(text) - 1, 0);
	cr_assert(len > 0);
	text[len] = 0;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		cr_assert(strstr(text, lines[i]), "no line \"%s\" in\n%s", lines[i], text);
	close(log.fd);
	migration_free(migration);
	schema_done(&saved);
	schema_done(&now);
}

/* Random schemas. A model of two declarations, drawn together; each goes through JSON into a schema. */

#define FIELDS_MAX 10u
#define STATES_MAX 6u
#define NAMES_MAX 6u
#define SIZE_MAX_BYTES 512u

struct random_field {
	bool was, is; /* in which declarations it is */
	const char *was_type, *is_type;
	uint32_t was_size, is_size, was_offset, is_offset;
	unsigned was_names[NAMES_MAX], is_names[NAMES_MAX];
	unsigned was_name_count, is_name_count;
	bool has_default;
	uint8_t default_value[32];
};

struct random_state {
	bool was, is;
	uint32_t was_size, is_size, was_id;
	struct random_field fields[FIELDS_MAX];
	unsigned field_count;
};

/* Ways of one field: types that can become one another, narrow to wide. */
static const struct way {
	const char *was_type;
	uint32_t was_size;
	const char *is_type;
	uint32_t is_size;
} ways[] = {
	{"bool", 1, "bool", 1},	   {"bool", 1, "uint", 2},   {"bool", 1, "int", 4},	{"int", 1, "int", 1},
	{"int", 1, "int", 2},	   {"int", 1, "i64", 8},     {"int", 2, "int", 4},	{"int", 4, "int", 8},
	{"i64", 8, "int", 8},	   {"uint", 1, "uint", 8},   {"uint", 2, "uint", 2},	{"uint", 2, "int", 4},
	{"uint", 4, "i64", 8},	   {"uint", 8, "uint", 8},   {"float", 4, "float", 4},	{"float", 4, "f64", 8},
	{"f64", 8, "float", 8},	   {"time", 8, "time", 8},   {"enum", 1, "enum", 1},	{"enum", 1, "enum", 4},
	{"enum", 2, "enum", 2},	   {"chars", 5, "chars", 5}, {"chars", 5, "chars", 17}, {"bytes", 9, "bytes", 9},
	{"bytes", 9, "bytes", 20},
};

static void shuffle(struct rng *rng, unsigned *numbers, unsigned count)
{
	for (unsigned i = count; i > 1; i--) {
		unsigned j = (unsigned)rng_below(rng, i), number = numbers[j];

		numbers[j] = numbers[i - 1];
		numbers[i - 1] = number;
	}
}

static void draw_names(struct rng *rng, struct random_field *field)
{
	field->was_name_count = (unsigned)rng_below(rng, NAMES_MAX) + 1;
	field->is_name_count = field->was_name_count + (unsigned)rng_below(rng, NAMES_MAX - field->was_name_count + 1);
	for (unsigned i = 0; i < NAMES_MAX; i++)
		field->was_names[i] = field->is_names[i] = i;
	if (rng_chance(rng, 50))
		shuffle(rng, field->is_names, field->is_name_count);
}

static void draw_field(struct rng *rng, struct random_field *field)
{
	const struct way *way = &ways[rng_below(rng, sizeof(ways) / sizeof(ways[0]))];

	*field = (struct random_field){.was = rng_chance(rng, 80),
				       .is = rng_chance(rng, 80),
				       .was_type = way->was_type,
				       .is_type = way->is_type,
				       .was_size = way->was_size,
				       .is_size = way->is_size,
				       .has_default = rng_chance(rng, 50)};
	rng_bytes(rng, field->default_value, sizeof(field->default_value));
	if (strcmp(way->was_type, "enum") == 0)
		draw_names(rng, field);
}

/* Fields in a random order, with random gaps. */
static uint32_t lay_out(struct rng *rng, struct random_state *state, bool is)
{
	unsigned order[FIELDS_MAX];
	uint32_t at = (uint32_t)rng_below(rng, 4);

	for (unsigned i = 0; i < state->field_count; i++)
		order[i] = i;
	shuffle(rng, order, state->field_count);
	for (unsigned i = 0; i < state->field_count; i++) {
		struct random_field *field = &state->fields[order[i]];

		if (!(is ? field->is : field->was))
			continue;
		*(is ? &field->is_offset : &field->was_offset) = at;
		at += (is ? field->is_size : field->was_size) + (uint32_t)(rng_chance(rng, 30) ? rng_below(rng, 5) : 0);
	}
	return at + 1;
}

static void draw_state(struct rng *rng, struct random_state *state)
{
	state->was = rng_chance(rng, 80);
	state->is = rng_chance(rng, 80);
	state->field_count = (unsigned)rng_below(rng, FIELDS_MAX + 1);
	for (unsigned i = 0; i < state->field_count; i++)
		draw_field(rng, &state->fields[i]);
	state->was_size = lay_out(rng, state, false);
	state->is_size = lay_out(rng, state, true);
	cr_assert(state->was_size < SIZE_MAX_BYTES && state->is_size < SIZE_MAX_BYTES);
}

static void field_json(struct buffer *json, const struct random_field *field, unsigned number, bool is)
{
	unsigned count = is ? field->is_name_count : field->was_name_count;

	buffer_printf(json, "{\"name\":\"f%u\",\"type\":\"%s\",\"offset\":%u,\"size\":%u", number,
		      is ? field->is_type : field->was_type, is ? field->is_offset : field->was_offset,
		      is ? field->is_size : field->was_size);
	for (unsigned i = 0; i < count; i++)
		buffer_printf(json, "%s\"n%u\"%s", i ? "," : ",\"names\":[",
			      is ? field->is_names[i] : field->was_names[i], i + 1 == count ? "]" : "");
	if (is && field->has_default) {
		buffer_append_text(json, ",\"default\":\"");
		for (uint32_t i = 0; i < field->is_size; i++)
			buffer_printf(json, "%02x", field->default_value[i]);
		buffer_append_text(json, "\"");
	}
	buffer_append_text(json, "}");
}

static struct schema random_schema(struct rng *rng, struct random_state *states, unsigned count, bool is)
{
	struct buffer json = BUFFER_INIT;
	unsigned ids[STATES_MAX];
	const char *comma = "";
	struct schema schema;

	for (unsigned i = 0; i < STATES_MAX; i++)
		ids[i] = i;
	shuffle(rng, ids, STATES_MAX);
	buffer_append_text(&json, "[");
	for (unsigned i = 0; i < count; i++) {
		const char *between = "";

		if (!(is ? states[i].is : states[i].was))
			continue;
		states[i].was_id = is ? states[i].was_id : ids[i];
		buffer_printf(
			&json,
			"%s{\"name\":\"s%u\",\"id\":%u,\"kind\":\"struct\",\"ttl_ms\":0,\"value_size\":%u,\"fields\":[",
			comma, i, ids[i], is ? states[i].is_size : states[i].was_size);
		comma = ",";
		for (unsigned j = 0; j < states[i].field_count; j++) {
			if (!(is ? states[i].fields[j].is : states[i].fields[j].was))
				continue;
			buffer_append_text(&json, between);
			between = ",";
			field_json(&json, &states[i].fields[j], j, is);
		}
		buffer_append_text(&json, "]}");
	}
	buffer_append_text(&json, "]");
	schema = parse(buffer_text(&json));
	buffer_done(&json);
	return schema;
}

/* What a number in a struct is, by C's own types. */
static __int128 number_at(const char *type, const uint8_t *at, uint32_t size)
{
	union {
		int8_t i8;
		int16_t i16;
		int32_t i32;
		int64_t i64;
		uint8_t u8;
		uint16_t u16;
		uint32_t u32;
		uint64_t u64;
	} value;
	bool is_signed = strcmp(type, "int") == 0 || strcmp(type, "i64") == 0 || strcmp(type, "time") == 0;

	memcpy(&value, at, size);
	switch (size) {
	case 1:
		return is_signed ? value.i8 : (__int128)value.u8;
	case 2:
		return is_signed ? value.i16 : (__int128)value.u16;
	case 4:
		return is_signed ? value.i32 : (__int128)value.u32;
	default:
		return is_signed ? value.i64 : (__int128)value.u64;
	}
}

static double float_at(const uint8_t *at, uint32_t size)
{
	union {
		float f;
		double d;
	} value;

	memcpy(&value, at, size);
	return size == 4 ? (double)value.f : value.d;
}

static bool survived(const struct random_field *field, const uint8_t *was, const uint8_t *is)
{
	static const uint8_t zeros[32];

	if (strcmp(field->was_type, "chars") == 0 || strcmp(field->was_type, "bytes") == 0)
		return memcmp(was, is, field->was_size) == 0 &&
		       memcmp(is + field->was_size, zeros, field->is_size - field->was_size) == 0;
	if (strcmp(field->was_type, "float") == 0 || strcmp(field->was_type, "f64") == 0) {
		double before = float_at(was, field->was_size), after = float_at(is, field->is_size);

		return before == after || (before != before && after != after);
	}
	if (strcmp(field->was_type, "enum") == 0)
		return field->was_names[number_at("enum", was, field->was_size)] ==
		       field->is_names[number_at("enum", is, field->is_size)];
	return number_at(field->was_type, was, field->was_size) == number_at(field->is_type, is, field->is_size);
}

static void random_value(struct rng *rng, const struct random_state *state, uint8_t *value)
{
	rng_bytes(rng, value, state->was_size);
	for (unsigned i = 0; i < state->field_count; i++) {
		const struct random_field *field = &state->fields[i];
		uint8_t *at = value + field->was_offset;

		if (!field->was)
			continue;
		if (field->was_name_count) {
			memset(at, 0, field->was_size);
			*at = (uint8_t)rng_below(rng, field->was_name_count);
		}
		if (strcmp(field->was_type, "bool") == 0)
			*at &= 1;
	}
}

static void check_value(const struct random_state *state, const uint8_t *was, sb_slice is, uint64_t seed)
{
	static const uint8_t zeros[32];
	uint8_t rest[SIZE_MAX_BYTES];

	cr_assert_eq(is.len, state->is_size, "seed %llu", (unsigned long long)seed);
	memcpy(rest, is.ptr, is.len);
	for (unsigned i = 0; i < state->field_count; i++) {
		const struct random_field *field = &state->fields[i];
		const uint8_t *at = is.ptr + field->is_offset;

		if (!field->is)
			continue;
		if (field->was)
			cr_assert(survived(field, was + field->was_offset, at), "field %u (%s %u to %s %u), seed %llu",
				  i, field->was_type, field->was_size, field->is_type, field->is_size,
				  (unsigned long long)seed);
		else
			cr_assert(memcmp(at, field->has_default ? field->default_value : zeros, field->is_size) == 0,
				  "new field %u, seed %llu", i, (unsigned long long)seed);
		memset(rest + field->is_offset, 0, field->is_size);
	}
	/* The identity leaves what no field describes as it is. */
	for (uint32_t i = 0; i < state->is_size && is.ptr != was; i++)
		cr_assert_eq(rest[i], 0, "byte %u belongs to no field, seed %llu", i, (unsigned long long)seed);
}

static void check_states(struct rng *rng, const struct migration *migration, const struct schema *now,
			 struct random_state *states, unsigned count)
{
	struct buffer scratch = BUFFER_INIT;
	uint8_t value[SIZE_MAX_BYTES];

	for (unsigned i = 0; i < count; i++) {
		bool dropped;
		sb_slice result;
		sb_error err = ERROR_INIT;

		if (!states[i].was)
			continue;
		random_value(rng, &states[i], value);
		cr_assert_eq(migration_apply(migration, states[i].was_id, slice_of(value, states[i].was_size), &scratch,
					     &result, &dropped, &err),
			     SB_OK, "%s, seed %llu", err.message, (unsigned long long)rng->seed);
		cr_assert_eq(dropped, !states[i].is);
		if (dropped)
			continue;
		cr_assert_not_null(schema_find_id(now, states[i].was_id));
		check_value(&states[i], value, result, rng->seed);
	}
	buffer_done(&scratch);
}

Test(migration, keeps_every_surviving_field_of_random_schemas)
{
	struct rng rng;

	rng_init(&rng, rng_test_seed(20241109));
	for (unsigned round = 0; round < 1500; round++) {
		struct random_state states[STATES_MAX] = {0};
		unsigned count = 1 + (unsigned)rng_below(&rng, STATES_MAX);
		struct schema saved, now;
		struct migration *migration;

		for (unsigned i = 0; i < count; i++)
			draw_state(&rng, &states[i]);
		saved = random_schema(&rng, states, count, false);
		now = random_schema(&rng, states, count, true);
		migration = plan(&now, &saved);
		for (unsigned i = 0; i < 4; i++)
			check_states(&rng, migration, &now, states, count);
		migration_free(migration);
		schema_done(&saved);
		schema_done(&now);
	}
}
