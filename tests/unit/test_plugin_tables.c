/* Tables that a file's headers lead to, forged: the symbol hash tables in which the entry function is looked up, its symbol, and the note. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "support/elf_image.h"

#define GOOD SB_TEST_PLUGIN_DIR "/libgood_backend.so"
#define OLD_HASH SB_TEST_PLUGIN_DIR "/libgood_old_hash.so"
#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define NO_PLUGIN "is a shared library but no sbhost plugin"

static void assert_inspected(struct elf_image *image, int32_t code, const char *words)
{
	struct plugin_note note;
	sb_error err = ERROR_INIT;

	cr_assert_eq(elf_image_inspect(image, image->size, &note, &err), code, "not \"%s\", but: %s", words,
		     err.message);
	cr_assert(code == SB_OK || strstr(err.message, words), "\"%s\" is not in: %s", words, err.message);
}

/* --- hash tables ------------------------------------------------------------------ */

struct forged_hash {
	int32_t code;
	const char *words;
	uint32_t table[8], count;
	uint32_t zeros; /* words of nothing behind it */
};

static void assert_hash(const char *path, int64_t tag, const struct forged_hash *forged)
{
	const uint64_t len = (forged->count + forged->zeros) * sizeof(uint32_t);
	uint32_t *words = calloc(1, len);
	struct elf_image image;
	Elf64_Sym *symbols;
	uint64_t address;

	cr_assert(words);
	memcpy(words, forged->table, forged->count * sizeof(uint32_t));
	elf_image_open(&image, path);
	address = elf_image_append(&image, words, len);
	elf_image_dynamic(&image, tag)->d_un.d_ptr = address;
	symbols = elf_image_at(&image, elf_image_dynamic(&image, DT_SYMTAB)->d_un.d_ptr);
	symbols[1].st_name = symbols[2].st_name = 0; /* none of the two is the entry, whatever the linker did */
	assert_inspected(&image, forged->code, forged->words);
	elf_image_close(&image);
	free(words);
}

/* Buckets, chains; then so many of each. A bucket names the first symbol, that symbol's chain the next one, and 0 is the end. */
Test(plugin_tables, old_hash_tables_are_walked_with_care)
{
	static const struct forged_hash forged[] = {
		{SB_ERR_CORRUPT, "hash table is not mapped", {1}, 1, 0},
		{SB_ERR_CORRUPT, "hash table makes no sense", {0, 0}, 2, 0},
		{SB_ERR_CORRUPT, "hash table is not mapped", {1, 3}, 2, 0},
		{SB_ERR_CORRUPT, "hash table makes no sense", {1, 3, 3}, 3, 3},
		{SB_ERR_CORRUPT, "hash table is not mapped", {1, 3, 1}, 3, 0},
		{SB_ERR_CORRUPT, "a chain without end", {1, 3, 1, 0, 2, 1}, 6, 0},
		{SB_ERR_INVALID, NO_PLUGIN, {1, 3, 0}, 3, 3},
		{SB_ERR_INVALID, NO_PLUGIN, {1, 3, 1, 0, 2, 0}, 6, 0},
	};

	for (size_t i = 0; i < LENGTH(forged); i++)
		assert_hash(OLD_HASH, DT_HASH, &forged[i]);
}

/* Buckets, the first symbol in the table, words of the filter, its shift; then the filter, the buckets, the chains, in which bit 0 is the end. */
Test(plugin_tables, gnu_hash_tables_are_walked_with_care)
{
	static const struct forged_hash forged[] = {
		{SB_ERR_CORRUPT, "hash table is not mapped", {1, 1, 1}, 3, 0},
		{SB_ERR_CORRUPT, "hash table makes no sense", {0, 1, 1, 0}, 4, 8},
		{SB_ERR_CORRUPT, "hash table makes no sense", {1, 1, 0, 0}, 4, 8},
		{SB_ERR_CORRUPT, "hash table makes no sense", {1, 1, 3, 0}, 4, 8},
		{SB_ERR_CORRUPT, "hash table is not mapped", {1, 1, 1, 0}, 4, 0},
		{SB_ERR_CORRUPT, "hash table makes no sense", {1, 2, 1, 0, 0, 0, 1}, 7, 8},
		{SB_ERR_CORRUPT, "hash table is not mapped", {1, 1, 1, 0, 0, 0, 1}, 7, 0},
		{SB_ERR_CORRUPT, "a chain without end", {1, 1, 1, 0, 0, 0, 1}, 7, 4096},
		{SB_ERR_INVALID, NO_PLUGIN, {1, 1, 1, 0, 0, 0, 0}, 7, 8},
		{SB_ERR_INVALID, NO_PLUGIN, {1, 1, 1, 0, 0, 0, 1, 1}, 8, 0},
	};

	for (size_t i = 0; i < LENGTH(forged); i++)
		assert_hash(GOOD, DT_GNU_HASH, &forged[i]);
}

Test(plugin_tables, a_file_without_a_hash_table_has_no_entry)
{
	struct elf_image image;

	elf_image_open(&image, GOOD);
	elf_image_dynamic(&image, DT_GNU_HASH)->d_tag = DT_DEBUG;
	assert_inspected(&image, SB_ERR_CORRUPT, "it has no symbol hash table");
	elf_image_close(&image);
}

/* --- symbols ---------------------------------------------------------------------- */

/* The only symbol of a file, in the chain of the only bucket; changed by what. */
static void assert_symbol(void (*what)(Elf64_Sym *symbol, uint64_t strings_size), int32_t code, const char *words)
{
	struct {
		uint32_t hash[6];
		Elf64_Sym symbols[2];
	} forged = {.hash = {1, 2, 1, 0, 0}};
	struct elf_image image;
	const Elf64_Sym *symbols;
	const char *strings;
	uint64_t address;

	elf_image_open(&image, OLD_HASH);
	symbols = elf_image_at(&image, elf_image_dynamic(&image, DT_SYMTAB)->d_un.d_ptr);
	strings = elf_image_at(&image, elf_image_dynamic(&image, DT_STRTAB)->d_un.d_ptr);
	for (const Elf64_Sym *at = symbols + 1; forged.symbols[1].st_name == 0; at++)
		if (strcmp(strings + at->st_name, "sb_plugin_entry_v1") == 0)
			forged.symbols[1] = *at;
	what(&forged.symbols[1], elf_image_dynamic(&image, DT_STRSZ)->d_un.d_val);
	address = elf_image_append(&image, &forged, sizeof(forged));
	elf_image_dynamic(&image, DT_HASH)->d_un.d_ptr = address;
	elf_image_dynamic(&image, DT_SYMTAB)->d_un.d_ptr = address + sizeof(forged.hash);
	assert_inspected(&image, code, words);
	elf_image_close(&image);
}

static void leave(Elf64_Sym *symbol, uint64_t strings_size)
{
	(void)symbol;
	(void)strings_size;
}

static void name_outside(Elf64_Sym *symbol, uint64_t strings_size)
{
	symbol->st_name = (uint32_t)strings_size;
}

static void name_at_the_end(Elf64_Sym *symbol, uint64_t strings_size)
{
	symbol->st_name = (uint32_t)strings_size - 1;
}

static void undefine(Elf64_Sym *symbol, uint64_t strings_size)
{
	(void)strings_size;
	symbol->st_shndx = SHN_UNDEF;
}

static void make_data(Elf64_Sym *symbol, uint64_t strings_size)
{
	(void)strings_size;
	symbol->st_info = ELF64_ST_INFO(STB_GLOBAL, STT_OBJECT);
}

static void lead_nowhere(Elf64_Sym *symbol, uint64_t strings_size)
{
	(void)strings_size;
	symbol->st_value = 0;
}

Test(plugin_tables, the_entry_is_a_function_with_code_in_the_file)
{
	assert_symbol(leave, SB_OK, "");
	assert_symbol(name_outside, SB_ERR_CORRUPT, "a symbol's name lies outside of the string table");
	assert_symbol(name_at_the_end, SB_ERR_INVALID, NO_PLUGIN);
	assert_symbol(undefine, SB_ERR_INVALID, NO_PLUGIN);
	assert_symbol(make_data, SB_ERR_INVALID, NO_PLUGIN);
	assert_symbol(lead_nowhere, SB_ERR_CORRUPT, "its entry function lies outside of its code");
}

/* --- the note ---------------------------------------------------------------------- */

/* The only notes of a file. */
static void assert_notes(const void *bytes, uint64_t len, int32_t code, const char *words)
{
	struct elf_image image;
	Elf64_Phdr *segments;
	bool first = true;

	elf_image_open(&image, GOOD);
	elf_image_append(&image, bytes, len);
	segments = (Elf64_Phdr *)(image.bytes + elf_image_header(&image)->e_phoff);
	for (unsigned i = 0; i < elf_image_header(&image)->e_phnum; i++)
		if (segments[i].p_type == PT_NOTE) {
			segments[i].p_type = first ? PT_NOTE : PT_NULL;
			segments[i].p_offset = image.size - len;
			segments[i].p_filesz = len;
			first = false;
		}
	assert_inspected(&image, code, words);
	elf_image_close(&image);
}

struct forged_note {
	Elf64_Nhdr header;
	char owner[8];
	uint32_t major, minor;
	char texts[300];
};

/* Ours, with texts for name and version; NULs are among them. */
static struct forged_note note_of(const void *texts, uint32_t len)
{
	struct forged_note note = {
		.header = {.n_namesz = sizeof(SB_NOTE_OWNER), .n_descsz = 8 + len, .n_type = SB_NOTE_TYPE},
		.owner = SB_NOTE_OWNER,
		.major = SB_ABI_MAJOR};

	memcpy(note.texts, texts, len);
	return note;
}

static void assert_texts(const char *texts, uint32_t len, int32_t code)
{
	struct forged_note note = note_of(texts, len);

	assert_notes(&note, offsetof(struct forged_note, texts) + len, code,
		     "its sbhost note has no name or version, or they are too long");
}

Test(plugin_tables, a_note_has_a_name_and_a_version)
{
	char texts[128 + 64];

	assert_texts("store\0001.0", 10, SB_OK);
	assert_texts("", 0, SB_ERR_CORRUPT);
	assert_texts("\0001.0", 5, SB_ERR_CORRUPT);
	assert_texts("store", 5, SB_ERR_CORRUPT);
	assert_texts("store", 6, SB_ERR_CORRUPT);
	assert_texts("store\0", 7, SB_ERR_CORRUPT);
	assert_texts("store\0001.0", 9, SB_ERR_CORRUPT);
	memset(texts, 'a', sizeof(texts));
	texts[127] = 0;
	texts[127 + 1 + 63] = 0;
	assert_texts(texts, sizeof(texts), SB_OK);
	texts[127] = 'a';
	texts[128] = 0;
	assert_texts(texts, sizeof(texts), SB_ERR_CORRUPT);
	texts[128] = 'a';
	texts[126] = 0;
	assert_texts(texts, sizeof(texts), SB_ERR_CORRUPT);
}

Test(plugin_tables, a_note_is_found_among_others_and_within_its_segment)
{
	struct {
		struct forged_note other, ours;
	} both = {note_of("", 0), note_of("store\0001.0", 10)};
	struct forged_note note = both.ours;
	const uint64_t len = offsetof(struct forged_note, texts) + 10;

	both.other.header.n_descsz = sizeof(both.other) - offsetof(struct forged_note, major);
	assert_notes(&both, sizeof(both), SB_ERR_CORRUPT, "note has no name");
	both.other.header.n_type = SB_NOTE_TYPE + 1;
	assert_notes(&both, sizeof(both), SB_OK, "");
	both.other.header.n_type = SB_NOTE_TYPE;
	both.other.owner[0] = 'S';
	assert_notes(&both, sizeof(both), SB_OK, "");
	both.other.header.n_namesz--;
	assert_notes(&both, sizeof(both), SB_OK, "");
	assert_notes(&both.other, sizeof(both.other), SB_ERR_INVALID, "but no \"sbhost\" ELF note");
	assert_notes(&note, len - 1, SB_ERR_CORRUPT, "a note is longer than its segment");
	assert_notes(&note, sizeof(note.header) - 1, SB_ERR_INVALID, "but no \"sbhost\" ELF note");
	note.header.n_descsz = 7;
	assert_notes(&note, len, SB_ERR_CORRUPT, "its sbhost note is too short");
	note.header.n_descsz = 8;
	note.major = 2;
	assert_notes(&note, len, SB_ERR_INCOMPATIBLE, "is a plugin for ABI 2");
	note.major = 0;
	assert_notes(&note, len, SB_ERR_INCOMPATIBLE, "or use a newer version of the plugin");
}

Test(plugin_tables, notes_have_a_limit)
{
	uint8_t *bytes = calloc(1, 65537);

	cr_assert(bytes);
	assert_notes(bytes, 65537, SB_ERR_CORRUPT, "its notes are too long");
	assert_notes(bytes, 65536, SB_ERR_INVALID, "but no \"sbhost\" ELF note");
	free(bytes);
}
