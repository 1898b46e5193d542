/* elf_examine_linkage(): what of a file's symbols, stack and relocations meets the other libraries of a process. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "support/elf_image.h"

#define GOOD SB_TEST_PLUGIN_DIR "/libgood_backend.so"
#define OLD_HASH SB_TEST_PLUGIN_DIR "/libgood_old_hash.so"
#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define SYMBOLS_MAX (1u << 20)

static int32_t examine(struct elf_image *image, struct plugin_linkage *ret_linkage, sb_error *err)
{
	return elf_examine_linkage(&image->io, 3, image->size, "x.so", ret_linkage, err);
}

static struct plugin_linkage examined(struct elf_image *image)
{
	struct plugin_linkage linkage;
	sb_error err = ERROR_INIT;

	cr_assert_eq(examine(image, &linkage, &err), SB_OK, "%s", err.message);
	return linkage;
}

static void assert_refused(struct elf_image *image, const char *words)
{
	struct plugin_linkage linkage;
	sb_error err = ERROR_INIT;

	cr_assert_eq(examine(image, &linkage, &err), SB_ERR_CORRUPT, "not \"%s\"", words);
	cr_assert(strstr(err.message, words), "\"%s\" is not in: %s", words, err.message);
}

/* --- the process ------------------------------------------------------------------ */

Test(plugin_linkage, sees_how_a_file_would_change_the_process)
{
	struct plugin_linkage linkage;
	struct elf_image image;

	elf_image_open(&image, GOOD);
	linkage = examined(&image);
	cr_assert(!linkage.executable_stack && !linkage.text_relocations && !linkage.static_tls);
	elf_image_segment(&image, PT_GNU_STACK)->p_flags |= PF_X;
	elf_image_set_dynamic(&image, DT_TEXTREL, 0);
	linkage = examined(&image);
	cr_assert(linkage.executable_stack && linkage.text_relocations && !linkage.static_tls);
	elf_image_close(&image);
}

Test(plugin_linkage, takes_flags_for_what_older_entries_say)
{
	struct plugin_linkage linkage;
	struct elf_image image;

	elf_image_open(&image, GOOD);
	elf_image_set_dynamic(&image, DT_FLAGS, DF_TEXTREL);
	linkage = examined(&image);
	cr_assert(linkage.text_relocations && !linkage.static_tls);
	elf_image_dynamic(&image, DT_FLAGS)->d_un.d_val = DF_STATIC_TLS;
	linkage = examined(&image);
	cr_assert(!linkage.text_relocations && linkage.static_tls);
	elf_image_close(&image);
}

Test(plugin_linkage, a_file_that_says_nothing_of_its_stack_gets_an_executable_one)
{
	struct elf_image image;

	elf_image_open(&image, GOOD);
	elf_image_segment(&image, PT_GNU_STACK)->p_type = PT_NULL;
	cr_assert(examined(&image).executable_stack);
	elf_image_close(&image);
}

/* --- symbols ---------------------------------------------------------------------- */

struct symbol {
	uint8_t bind, visibility;
	uint16_t section;
	bool is_entry, is_exported; /* else its name is a part of the entry's */
};

#define FORGED_MAX 4

/* A file with these symbols and no others. */
static void forge(struct elf_image *image, const struct symbol *symbols, uint32_t count)
{
	struct {
		uint32_t buckets, chains; /* of the latter there are as many as symbols, and the first symbol is none */
		Elf64_Sym symbols[FORGED_MAX + 1];
	} forged = {.chains = count + 1};
	const Elf64_Sym *entry;
	const char *strings;
	uint64_t address;

	elf_image_open(image, OLD_HASH);
	entry = elf_image_at(image, elf_image_dynamic(image, DT_SYMTAB)->d_un.d_ptr);
	strings = elf_image_at(image, elf_image_dynamic(image, DT_STRTAB)->d_un.d_ptr);
	while (strcmp(strings + entry->st_name, "sb_plugin_entry_v1") != 0)
		entry++;
	for (uint32_t i = 0; i < count; i++)
		forged.symbols[i + 1] = (Elf64_Sym){.st_name = entry->st_name + (symbols[i].is_entry ? 0 : 3 + i),
						    .st_info = (uint8_t)ELF64_ST_INFO(symbols[i].bind, STT_OBJECT),
						    .st_other = symbols[i].visibility,
						    .st_shndx = symbols[i].section};
	address = elf_image_append(image, &forged, sizeof(forged));
	elf_image_dynamic(image, DT_HASH)->d_un.d_ptr = address;
	elf_image_dynamic(image, DT_SYMTAB)->d_un.d_ptr = address + 2 * sizeof(uint32_t);
}

Test(plugin_linkage, what_others_can_see_counts_as_exported)
{
	static const struct symbol symbols[] = {
		{STB_GLOBAL, STV_DEFAULT, 1, false, true},	  {STB_WEAK, STV_DEFAULT, 1, false, true},
		{STB_GNU_UNIQUE, STV_DEFAULT, 1, false, true},	  {STB_GLOBAL, STV_PROTECTED, 1, false, true},
		{STB_GLOBAL, STV_DEFAULT, 1, true, false},	  {STB_LOCAL, STV_DEFAULT, 1, false, false},
		{STB_GLOBAL, STV_HIDDEN, 1, false, false},	  {STB_GLOBAL, STV_DEFAULT, SHN_UNDEF, false, false},
		{STB_GLOBAL, STV_DEFAULT, SHN_ABS, false, false},
	};

	for (size_t i = 0; i < LENGTH(symbols); i++) {
		struct plugin_linkage linkage;
		struct elf_image image;

		forge(&image, &symbols[i], 1);
		linkage = examined(&image);
		cr_assert_eq(linkage.export_count, symbols[i].is_exported, "symbol %zu", i);
		cr_assert_str_eq(linkage.first_export, symbols[i].is_exported ? "plugin_entry_v1" : "");
		cr_assert_eq(linkage.unique_count, symbols[i].bind == STB_GNU_UNIQUE, "symbol %zu", i);
		elf_image_close(&image);
	}
}

Test(plugin_linkage, of_several_it_names_the_first)
{
	static const struct symbol symbols[] = {{STB_GLOBAL, STV_DEFAULT, 1, false, true},
						{STB_GNU_UNIQUE, STV_DEFAULT, 1, false, true},
						{STB_GNU_UNIQUE, STV_DEFAULT, 1, false, true}};
	struct plugin_linkage linkage;
	struct elf_image image;

	forge(&image, symbols, LENGTH(symbols));
	linkage = examined(&image);
	cr_assert_eq(linkage.export_count, 3);
	cr_assert_str_eq(linkage.first_export, "plugin_entry_v1");
	cr_assert_eq(linkage.unique_count, 2);
	cr_assert_str_eq(linkage.first_unique, "lugin_entry_v1");
	elf_image_close(&image);
}

Test(plugin_linkage, a_name_outside_of_the_strings_is_damage)
{
	static const struct symbol exported = {STB_GLOBAL, STV_DEFAULT, 1, false, true};
	struct elf_image image;
	uint64_t symbols;

	forge(&image, &exported, 1);
	symbols = elf_image_dynamic(&image, DT_SYMTAB)->d_un.d_ptr;
	((Elf64_Sym *)elf_image_at(&image, symbols))[1].st_name = UINT32_MAX;
	assert_refused(&image, "a symbol's name lies outside of the string table");
	elf_image_close(&image);
}

/* --- how many there are ------------------------------------------------------------ */

/* A symbol hash table of that many words, the first of which are these. */
static void forge_table(struct elf_image *image, const char *path, int64_t tag, const uint32_t *words, uint32_t given,
			uint32_t count)
{
	uint32_t *table = calloc(count, sizeof(*table));
	uint64_t address;

	cr_assert(table);
	memcpy(table, words, given * sizeof(*table));
	elf_image_open(image, path);
	address = elf_image_append(image, table, count * sizeof(*table));
	elf_image_dynamic(image, tag)->d_un.d_ptr = address;
	free(table);
}

/* Buckets, the first symbol, words of the filter, its shift; the filter; the buckets; the chains. */
Test(plugin_linkage, a_table_without_symbols_has_none_however_many_buckets_it_has)
{
	static const uint32_t bucket_counts[] = {1, SYMBOLS_MAX + 1};

	for (size_t i = 0; i < LENGTH(bucket_counts); i++) {
		const uint32_t words[] = {bucket_counts[i], 1, 1, 0};
		struct elf_image image;

		forge_table(&image, GOOD, DT_GNU_HASH, words, 4, 6 + bucket_counts[i]);
		cr_assert_eq(examined(&image).export_count, 0);
		elf_image_close(&image);
	}
}

Test(plugin_linkage, a_chain_without_end_leads_out_of_the_symbols)
{
	static const uint32_t words[] = {1, 1, 1, 0, 0, 0, 1};
	struct elf_image image;

	forge_table(&image, GOOD, DT_GNU_HASH, words, 7, 7 + SYMBOLS_MAX);
	assert_refused(&image, "a symbol lies outside of its segment");
	elf_image_close(&image);
}

Test(plugin_linkage, a_count_of_chains_is_not_believed)
{
	static const uint32_t words[] = {1, UINT32_MAX};
	struct elf_image image;

	forge_table(&image, OLD_HASH, DT_HASH, words, 2, 2);
	assert_refused(&image, "a symbol lies outside of its segment");
	elf_image_close(&image);
}

Test(plugin_linkage, a_table_that_is_cut_off_is_damage)
{
	static const uint32_t words[] = {1, 1, 1, 0, 0, 0, 1};
	struct elf_image image;

	for (uint32_t count = 3; count <= 7; count++) {
		forge_table(&image, GOOD, DT_GNU_HASH, words, count, count);
		assert_refused(&image, "its symbol hash table is not mapped");
		elf_image_close(&image);
	}
	forge_table(&image, OLD_HASH, DT_HASH, words, 1, 1);
	assert_refused(&image, "its symbol hash table is not mapped");
	elf_image_close(&image);
}
