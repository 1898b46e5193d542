/* The ABI's memory layout against tests/golden/abi_v1.txt: what is there stays where it is.
 *
 * A struct that begins with struct_size may get members at its end; one that travels in arrays
 * may not change at all; a constant keeps its value. That abi_members.h is complete is tested, too:
 * structs leave no gap that a forgotten member would fill, and every name in the header is in the list.
 * What this cannot see is the signature of a callback. */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sb_plugin.h"

#define GOLDEN SB_SOURCE_DIR "/tests/golden/abi_v1.txt"
#define HEADER SB_SOURCE_DIR "/include/sb_plugin.h"

struct member {
	const char *type; /* "sb_slice" */
	const char *name; /* NULL: the struct itself */
	size_t offset, size, align;
};

/* A comma would split the macro's argument. */
#define MEMBER_OF(type, member) (((type *)0)->member)

static const struct member members[] = {
#define STRUCT(type) {#type, NULL, 0, sizeof(type), _Alignof(type)},
#define MEMBER(type, member)                                                                                           \
	{#type, #member, offsetof(type, member), sizeof(MEMBER_OF(type, member)),                                      \
	 _Alignof(__typeof__(MEMBER_OF(type, member)))},
#define CONSTANT(name)
#include "../golden/abi_members.h"
#undef STRUCT
#undef MEMBER
#undef CONSTANT
};

static const struct constant {
	const char *name;
	int64_t value;
} constants[] = {
#define STRUCT(type)
#define MEMBER(type, member)
#define CONSTANT(name) {#name, (int64_t)(name)},
#include "../golden/abi_members.h"
#undef STRUCT
#undef MEMBER
#undef CONSTANT
};

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static char *read_text(const char *path)
{
	FILE *file = fopen(path, "rb");
	char *text = calloc(1, 1 << 20);

	cr_assert(file, "cannot open %s", path);
	cr_assert_lt(fread(text, 1, (1 << 20) - 1, file), (1 << 20) - 1);
	fclose(file);
	return text;
}

/* Structs are sized, so that what follows is a prefix of them, or frozen. */
static int is_sized(const char *type)
{
	for (size_t i = 0; i + 1 < LENGTH(members); i++)
		if (!members[i].name && strcmp(members[i].type, type) == 0)
			return strcmp(members[i + 1].name, "struct_size") == 0;
	return 0;
}

static void update_golden(void)
{
	FILE *file = fopen(GOLDEN, "wb");

	cr_assert(file);
	fprintf(file, "# Layout of sb_plugin.h, ABI %d.%d, on 64-bit little-endian machines. See abi_members.h.\n",
		SB_ABI_MAJOR, SB_ABI_MINOR);
	for (size_t i = 0; i < LENGTH(members); i++)
		if (members[i].name)
			fprintf(file, "member %s.%s %zu %zu\n", members[i].type, members[i].name, members[i].offset,
				members[i].size);
		else
			fprintf(file, "struct %s %s %zu\n", members[i].type,
				is_sized(members[i].type) ? "sized" : "frozen", members[i].size);
	for (size_t i = 0; i < LENGTH(constants); i++)
		fprintf(file, "constant %s %" PRId64 "\n", constants[i].name, constants[i].value);
	fclose(file);
}

/* "struct", "member" and "constant" lines of the golden file, held against the tables in step. */
struct reader {
	size_t at; /* the next of members[] */
};

static void check_struct(struct reader *r, const char *type, const char *growth, size_t size)
{
	/* What was appended to the struct before is none of the golden file's business. */
	while (r->at < LENGTH(members) && members[r->at].name) {
		cr_assert(is_sized(members[r->at].type), "%s is used in arrays and must not grow: %s",
			  members[r->at].type, members[r->at].name);
		r->at++;
	}
	cr_assert_lt(r->at, LENGTH(members), "struct %s is gone", type);
	cr_assert_str_eq(members[r->at].type, type);
	cr_assert_str_eq(is_sized(type) ? "sized" : "frozen", growth);
	cr_assert(members[r->at].size == size || (is_sized(type) && members[r->at].size > size),
		  "%s has %zu bytes and had %zu", type, members[r->at].size, size);
	r->at++;
}

static void check_member(struct reader *r, const char *name, size_t offset, size_t size)
{
	char now[128] = "(end)";

	if (r->at < LENGTH(members) && members[r->at].name)
		snprintf(now, sizeof(now), "%s.%s", members[r->at].type, members[r->at].name);
	cr_assert_str_eq(now, name, "%s is where %s was", now, name);
	cr_assert_eq(members[r->at].offset, offset, "%s moved from %zu to %zu", name, offset, members[r->at].offset);
	cr_assert_eq(members[r->at].size, size, "%s had %zu bytes, and has %zu", name, size, members[r->at].size);
	r->at++;
}

static void check_constant(const char *name, int64_t value)
{
	for (size_t i = 0; i < LENGTH(constants); i++) {
		if (strcmp(constants[i].name, name) != 0)
			continue;
		if (strcmp(name, "SB_ABI_MINOR") == 0)
			cr_assert_geq(constants[i].value, value);
		else
			cr_assert_eq(constants[i].value, value, "%s was %" PRId64 ", and is %" PRId64, name, value,
				     constants[i].value);
		return;
	}
	cr_assert_fail("constant %s is gone", name);
}

static void check_line(struct reader *r, const char *line)
{
	char name[128], growth[16];
	size_t offset, size;
	int64_t value;

	if (sscanf(line, "struct %127s %15s %zu", name, growth, &size) == 3)
		check_struct(r, name, growth, size);
	else if (sscanf(line, "member %127s %zu %zu", name, &offset, &size) == 3)
		check_member(r, name, offset, size);
	else if (sscanf(line, "constant %127s %" SCNd64, name, &value) == 2)
		check_constant(name, value);
	else
		cr_assert_eq(line[0], '#', "golden line not understood: %s", line);
}

Test(abi_layout, what_was_published_stays_where_it_is)
{
	struct reader r = {0};
	char *golden, *rest;

	if (getenv("SBHOST_UPDATE_GOLDEN"))
		update_golden();
	golden = read_text(GOLDEN);
	for (char *line = strtok_r(golden, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
		check_line(&r, line);
	for (; r.at < LENGTH(members); r.at++)
		cr_assert(!members[r.at].name || is_sized(members[r.at].type), "%s must not grow", members[r.at].type);
	free(golden);
}

/* Each member begins where the one before ends, up to alignment: no member is missing in the list. */
Test(abi_layout, the_list_of_members_is_complete)
{
	for (size_t i = 0; i < LENGTH(members); i++) {
		size_t end = 0, j = i + 1;

		if (members[i].name)
			continue;
		for (; j < LENGTH(members) && members[j].name; j++) {
			cr_assert_eq(members[j].offset, (end + members[j].align - 1) & ~(members[j].align - 1),
				     "something is missing before %s.%s", members[j].type, members[j].name);
			end = members[j].offset + members[j].size;
		}
		cr_assert_eq(members[i].size, (end + members[i].align - 1) & ~(members[i].align - 1),
			     "something is missing at the end of %s", members[i].type);
	}
}

/* Padding would be bytes that nobody sets. */
Test(abi_layout, no_struct_has_padding)
{
	for (size_t i = 1; i < LENGTH(members); i++)
		if (members[i].name && members[i - 1].name)
			cr_assert_eq(members[i].offset, members[i - 1].offset + members[i - 1].size,
				     "a gap before %s.%s", members[i].type, members[i].name);
}

static int is_listed(const char *name)
{
	for (size_t i = 0; i < LENGTH(constants); i++)
		if (strcmp(constants[i].name, name) == 0)
			return 1;
	for (size_t i = 0; i < LENGTH(members); i++)
		if (!members[i].name && strcmp(members[i].type, name) == 0)
			return 1;
	return 0;
}

Test(abi_layout, every_constant_and_struct_of_the_header_is_listed)
{
	char *header = read_text(HEADER), *rest;
	unsigned seen = 0;

	for (char *line = strtok_r(header, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		char name[128], value[8];

		/* Not macros with arguments, the include guard, SB_EXPORT and the note's owner, which is a text. */
		if (sscanf(line, "#define %127s %7s", name, value) == 2 && strncmp(name, "SB_", 3) == 0) {
			if (strchr(name, '(') || strcmp(name, "SB_EXPORT") == 0 || value[0] == '"')
				continue;
		} else if (sscanf(line, "typedef struct %127s %1[{]", name, value) != 2 &&
			   sscanf(line, "struct %127s %1[{]", name, value) != 2) {
			continue;
		}
		cr_assert(is_listed(name), "%s is not in tests/golden/abi_members.h", name);
		seen++;
	}
	cr_assert_gt(seen, 80);
	free(header);
}
