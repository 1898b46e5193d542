/* Does the library export our entry function? Looked up through the hash tables, as the
 * dynamic linker will: what it would not find, we do not find either. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "plugin/elf_private.h"

#define CHAIN_MAX 4096 /* symbols of one hash bucket */
#define ABI_MAJOR_PROBED 64
#define ENTRY_PREFIX "sb_plugin_entry_v"

static int32_t symbol_matches(struct elf *elf, uint64_t index, const char *name, Elf64_Sym *ret_symbol,
			      bool *ret_matches)
{
	char text[64];
	uint64_t len = strlen(name) + 1;

	assert(len <= sizeof(text));
	TRY(elf_read_mapped(elf, elf->symbols + index * sizeof(Elf64_Sym), ret_symbol, sizeof(Elf64_Sym),
			    "a symbol lies outside of its segment"));
	if (ret_symbol->st_name >= elf->strings_size)
		return elf_damaged(elf, "a symbol's name lies outside of the string table");
	*ret_matches = false;
	if (len > elf->strings_size - ret_symbol->st_name)
		return SB_OK;
	TRY(elf_read_mapped(elf, elf->strings + ret_symbol->st_name, text, len, "the string table is not mapped"));
	*ret_matches = memcmp(text, name, len) == 0;
	return SB_OK;
}

static int32_t read_word(struct elf *elf, uint64_t address, uint32_t *ret_word)
{
	return elf_read_mapped(elf, address, ret_word, sizeof(*ret_word), "its symbol hash table is not mapped");
}

static int32_t find_by_gnu_hash(struct elf *elf, const char *name, Elf64_Sym *ret_symbol, bool *ret_found)
{
	struct {
		uint32_t buckets, first_symbol, bloom_words, bloom_shift;
	} table;
	uint32_t hash = 5381, index, chained;
	uint64_t buckets, chains;

	for (const char *at = name; *at; at++)
		hash = hash * 33 + (uint8_t)*at;
	TRY(elf_read_mapped(elf, elf->gnu_hash, &table, sizeof(table), "its symbol hash table is not mapped"));
	if (table.buckets == 0 || table.bloom_words == 0 || (table.bloom_words & (table.bloom_words - 1)))
		return elf_damaged(elf, "its symbol hash table makes no sense");
	buckets = elf->gnu_hash + sizeof(table) + (uint64_t)table.bloom_words * 8;
	chains = buckets + (uint64_t)table.buckets * 4;
	TRY(read_word(elf, buckets + (uint64_t)(hash % table.buckets) * 4, &index));
	*ret_found = false;
	if (index == 0)
		return SB_OK;
	if (index < table.first_symbol)
		return elf_damaged(elf, "its symbol hash table makes no sense");
	for (unsigned step = 0; step < CHAIN_MAX; step++, index++) {
		TRY(read_word(elf, chains + (uint64_t)(index - table.first_symbol) * 4, &chained));
		if ((chained | 1) == (hash | 1))
			TRY(symbol_matches(elf, index, name, ret_symbol, ret_found));
		if (*ret_found || (chained & 1))
			return SB_OK;
	}
	return elf_damaged(elf, "its symbol hash table has a chain without end");
}

static uint32_t old_hash_of(const char *name)
{
	uint32_t hash = 0;

	for (; *name; name++) {
		hash = (hash << 4) + (uint8_t)*name;
		hash = (hash ^ ((hash >> 24) & 0xf0)) & 0x0fffffff;
	}
	return hash;
}

static int32_t find_by_old_hash(struct elf *elf, const char *name, Elf64_Sym *ret_symbol, bool *ret_found)
{
	uint32_t counts[2]; /* of buckets, of chains */
	uint64_t buckets = elf->old_hash + sizeof(counts);
	uint32_t index;

	TRY(elf_read_mapped(elf, elf->old_hash, counts, sizeof(counts), "its symbol hash table is not mapped"));
	if (counts[0] == 0)
		return elf_damaged(elf, "its symbol hash table makes no sense");
	TRY(read_word(elf, buckets + (uint64_t)(old_hash_of(name) % counts[0]) * 4, &index));
	*ret_found = false;
	for (unsigned step = 0; step < CHAIN_MAX; step++) {
		if (index == 0)
			return SB_OK;
		if (index >= counts[1])
			return elf_damaged(elf, "its symbol hash table makes no sense");
		TRY(symbol_matches(elf, index, name, ret_symbol, ret_found));
		if (*ret_found)
			return SB_OK;
		TRY(read_word(elf, buckets + ((uint64_t)counts[0] + index) * 4, &index));
	}
	return elf_damaged(elf, "its symbol hash table has a chain without end");
}

static bool is_code(const struct elf *elf, uint64_t address)
{
	for (unsigned i = 0; i < elf->header.e_phnum; i++) {
		const Elf64_Phdr *segment = &elf->segments[i];

		if (segment->p_type == PT_LOAD && (segment->p_flags & PF_X) && address >= segment->p_vaddr &&
		    address - segment->p_vaddr < segment->p_filesz)
			return true;
	}
	return false;
}

/* Is there a defined, exported function of that name? */
static int32_t has_function(struct elf *elf, const char *name, bool *ret_has)
{
	Elf64_Sym symbol;
	bool found;

	if (elf->gnu_hash)
		TRY(find_by_gnu_hash(elf, name, &symbol, &found));
	else if (elf->old_hash)
		TRY(find_by_old_hash(elf, name, &symbol, &found));
	else
		return elf_damaged(elf, "it has no symbol hash table");
	*ret_has = false;
	if (!found || symbol.st_shndx == SHN_UNDEF || ELF64_ST_TYPE(symbol.st_info) != STT_FUNC)
		return SB_OK;
	if (!is_code(elf, symbol.st_value))
		return elf_damaged(elf, "its entry function lies outside of its code");
	*ret_has = true;
	return SB_OK;
}

static int32_t has_entry(struct elf *elf, unsigned major, bool *ret_has)
{
	char name[64];

	snprintf(name, sizeof(name), ENTRY_PREFIX "%u", major);
	return has_function(elf, name, ret_has);
}

int32_t elf_check_entry(struct elf *elf)
{
	bool has;

	TRY(has_entry(elf, SB_ABI_MAJOR, &has));
	if (has)
		return SB_OK;
	for (unsigned major = 1; major <= ABI_MAJOR_PROBED; major++) {
		TRY(has_entry(elf, major, &has));
		if (has)
			return elf_refuse_major(elf, major);
	}
	return error_set(elf->err, SB_ERR_INVALID,
			 "%s is a shared library but no sbhost plugin: it does not export " ENTRY_PREFIX
			 "%u(); SB_PLUGIN_REGISTER in sb_plugin.h writes it",
			 elf->path, SB_ABI_MAJOR);
}
