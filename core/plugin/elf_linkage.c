/* How a plugin meets the other libraries of the process: its exports, its unique symbols, its stack, its relocations.
 *
 * None of it keeps a plugin from being loaded. Two plugins that each bring a copy of one library are kept apart
 * by showing nothing but their entry functions, and what asks for an executable stack weakens the whole process. */
#include <stdio.h>
#include <string.h>

#include "plugin/elf_private.h"

#define SYMBOLS_MAX (1u << 20)
#define ENTRY_NAME "sb_plugin_entry_v" SB_STRINGIZE(SB_ABI_MAJOR)

static int32_t read_word(struct elf *elf, uint64_t address, uint32_t *ret_word)
{
	return elf_read_mapped(elf, address, ret_word, sizeof(*ret_word), "its symbol hash table is not mapped");
}

/* The GNU table names no count: it ends with the chain of the highest bucket. */
static int32_t count_by_gnu_hash(struct elf *elf, uint64_t *ret_count)
{
	struct {
		uint32_t buckets, first_symbol, bloom_words, bloom_shift;
	} table;
	uint64_t buckets, chains, last = 0;
	uint32_t word;

	TRY(elf_read_mapped(elf, elf->gnu_hash, &table, sizeof(table), "its symbol hash table is not mapped"));
	buckets = elf->gnu_hash + sizeof(table) + (uint64_t)table.bloom_words * 8;
	chains = buckets + (uint64_t)table.buckets * 4;
	for (uint32_t i = 0; i < table.buckets && i < SYMBOLS_MAX; i++) {
		TRY(read_word(elf, buckets + (uint64_t)i * 4, &word));
		last = word > last ? word : last;
	}
	*ret_count = 0;
	if (last < table.first_symbol)
		return SB_OK;
	do {
		TRY(read_word(elf, chains + (last - table.first_symbol) * 4, &word));
		last++;
	} while (!(word & 1) && last < SYMBOLS_MAX);
	*ret_count = last;
	return SB_OK;
}

static int32_t count_symbols(struct elf *elf, uint64_t *ret_count)
{
	uint32_t counts[2]; /* of buckets, of chains, which are as many as the symbols */

	if (elf->gnu_hash)
		return count_by_gnu_hash(elf, ret_count);
	TRY(elf_read_mapped(elf, elf->old_hash, counts, sizeof(counts), "its symbol hash table is not mapped"));
	*ret_count = counts[1] < SYMBOLS_MAX ? counts[1] : SYMBOLS_MAX;
	return SB_OK;
}

/* As much of the name as there is room for. */
static int32_t read_name(struct elf *elf, const Elf64_Sym *symbol, char *ret_name, size_t room)
{
	uint64_t left = elf->strings_size - symbol->st_name;

	if (symbol->st_name >= elf->strings_size)
		return elf_damaged(elf, "a symbol's name lies outside of the string table");
	memset(ret_name, 0, room);
	return elf_read_mapped(elf, elf->strings + symbol->st_name, ret_name, left < room - 1 ? left : room - 1,
			       "the string table is not mapped");
}

static bool is_exported(const Elf64_Sym *symbol)
{
	const unsigned bind = ELF64_ST_BIND(symbol->st_info);
	const unsigned visibility = ELF64_ST_VISIBILITY(symbol->st_other);

	return symbol->st_shndx != SHN_UNDEF && symbol->st_shndx != SHN_ABS &&
	       (bind == STB_GLOBAL || bind == STB_WEAK || bind == STB_GNU_UNIQUE) &&
	       (visibility == STV_DEFAULT || visibility == STV_PROTECTED);
}

static int32_t take_symbol(struct elf *elf, uint64_t index, struct plugin_linkage *linkage)
{
	Elf64_Sym symbol;
	char name[128];

	TRY(elf_read_mapped(elf, elf->symbols + index * sizeof(symbol), &symbol, sizeof(symbol),
			    "a symbol lies outside of its segment"));
	if (!is_exported(&symbol))
		return SB_OK;
	TRY(read_name(elf, &symbol, name, sizeof(name)));
	if (ELF64_ST_BIND(symbol.st_info) == STB_GNU_UNIQUE && linkage->unique_count++ == 0)
		memcpy(linkage->first_unique, name, sizeof(name));
	if (strcmp(name, ENTRY_NAME) != 0 && linkage->export_count++ == 0)
		memcpy(linkage->first_export, name, sizeof(name));
	return SB_OK;
}

/* Without the header the kernel's default holds, and that is an executable one on some machines. */
static bool wants_executable_stack(const struct elf *elf)
{
	for (unsigned i = 0; i < elf->header.e_phnum; i++)
		if (elf->segments[i].p_type == PT_GNU_STACK)
			return (elf->segments[i].p_flags & PF_X) != 0;
	return true;
}

int32_t elf_examine_linkage(struct io *io, int fd, uint64_t size, const char *path, struct plugin_linkage *ret_linkage,
			    sb_error *err)
{
	struct elf elf = {.io = io, .fd = fd, .size = size, .path = path, .err = err};
	struct plugin_linkage linkage = {0};
	uint64_t count;

	TRY(elf_read(&elf));
	TRY(count_symbols(&elf, &count));
	for (uint64_t i = 1; i < count; i++)
		TRY(take_symbol(&elf, i, &linkage));
	linkage.executable_stack = wants_executable_stack(&elf);
	linkage.text_relocations = elf.text_relocations || (elf.flags & DF_TEXTREL);
	linkage.static_tls = (elf.flags & DF_STATIC_TLS) != 0;
	*ret_linkage = linkage;
	return SB_OK;
}
