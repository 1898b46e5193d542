/* The file's bytes, before any of them runs: a complete shared object for this very
 * machine, with a note that says sbhost and an entry function of our ABI.
 *
 * Nothing in the file is believed: every offset and count is checked against the file's size
 * where it is used, all reads go through read_at(), and every loop has a bound of its own, so
 * arbitrary bytes lead to a sentence and nothing else. The file is read in the few pieces that are
 * needed, not whole: a plugin with its debug information may have hundreds of megabytes.
 *
 * Symbols are looked up through the hash tables, as the dynamic linker will: what it would
 * not find, we do not find either. */
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "plugin/plugin_private.h"

_Static_assert(sizeof(void *) == 8, "elf.c knows 64-bit hosts only");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the ABI's schemas are little-endian");

#if defined(__x86_64__)
#define HOST_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define HOST_MACHINE EM_AARCH64
#elif defined(__riscv)
#define HOST_MACHINE EM_RISCV
#elif defined(__powerpc64__)
#define HOST_MACHINE EM_PPC64
#elif defined(__loongarch64)
#define HOST_MACHINE EM_LOONGARCH
#else
#error "add the machine number of this host, from elf.h"
#endif

#define SEGMENTS_MAX 128
#define DYNAMIC_MAX 1024
#define NOTES_BYTES_MAX 65536
#define CHAIN_MAX 4096 /* symbols of one hash bucket */
#define ABI_MAJOR_PROBED 64
#define ENTRY_PREFIX "sb_plugin_entry_v"

struct elf {
	struct io *io;
	int fd;
	uint64_t size;
	const char *path;
	sb_error *err;
	Elf64_Ehdr header;
	Elf64_Phdr segments[SEGMENTS_MAX];
	/* From the dynamic section; addresses, 0 when absent. */
	uint64_t symbols, strings, strings_size, gnu_hash, old_hash;
};

static int32_t damaged(struct elf *elf, const char *what)
{
	return error_set(elf->err, SB_ERR_CORRUPT,
			 "%s is truncated or damaged (%s; the file has %llu bytes): build or copy it again", elf->path,
			 what, (unsigned long long)elf->size);
}

static bool in_file(const struct elf *elf, uint64_t offset, uint64_t len)
{
	return offset <= elf->size && len <= elf->size - offset;
}

static int32_t read_at(struct elf *elf, uint64_t offset, void *ret_bytes, uint64_t len, const char *what)
{
	if (!in_file(elf, offset, len))
		return damaged(elf, what);
	return io_pread_all(elf->io, elf->fd, ret_bytes, len, (int64_t)offset, elf->path, elf->err);
}

/* Where the bytes that will be mapped at an address lie in the file; false when they are not all in one segment. */
static bool find_offset(const struct elf *elf, uint64_t address, uint64_t len, uint64_t *ret_offset)
{
	for (unsigned i = 0; i < elf->header.e_phnum; i++) {
		const Elf64_Phdr *segment = &elf->segments[i];
		uint64_t into = address - segment->p_vaddr;

		if (segment->p_type == PT_LOAD && address >= segment->p_vaddr && into <= segment->p_filesz &&
		    len <= segment->p_filesz - into) {
			*ret_offset = segment->p_offset + into;
			return true;
		}
	}
	return false;
}

static int32_t read_mapped(struct elf *elf, uint64_t address, void *ret_bytes, uint64_t len, const char *what)
{
	uint64_t offset;

	if (!find_offset(elf, address, len, &offset))
		return damaged(elf, what);
	return read_at(elf, offset, ret_bytes, len, what);
}

/* --- header ------------------------------------------------------------------- */

static const char *machine_name(uint16_t machine)
{
	switch (machine) {
	case EM_386:
		return "i386";
	case EM_X86_64:
		return "x86-64";
	case EM_ARM:
		return "32-bit Arm";
	case EM_AARCH64:
		return "AArch64";
	case EM_RISCV:
		return "RISC-V";
	case EM_PPC64:
		return "PowerPC 64";
	case EM_S390:
		return "S/390";
	case EM_LOONGARCH:
		return "LoongArch";
	default:
		return "unknown machine";
	}
}

static int32_t check_ident(struct elf *elf)
{
	const uint8_t *ident = elf->header.e_ident;

	if (ident[EI_CLASS] != ELFCLASS64)
		return error_set(
			elf->err, SB_ERR_INCOMPATIBLE,
			"%s is not a 64-bit shared object, and this sbhost is a 64-bit program: build it for %s",
			elf->path, machine_name(HOST_MACHINE));
	if (ident[EI_DATA] != ELFDATA2LSB)
		return error_set(elf->err, SB_ERR_INCOMPATIBLE,
				 "%s is built for big-endian machines, and this one is little-endian: build it for %s",
				 elf->path, machine_name(HOST_MACHINE));
	if (ident[EI_VERSION] != EV_CURRENT || elf->header.e_version != EV_CURRENT)
		return damaged(elf, "the ELF version is unknown");
	if (ident[EI_OSABI] != ELFOSABI_SYSV && ident[EI_OSABI] != ELFOSABI_GNU)
		return error_set(elf->err, SB_ERR_INCOMPATIBLE,
				 "%s is built for another operating system (ELF OS ABI %u): build it for Linux",
				 elf->path, ident[EI_OSABI]);
	return SB_OK;
}

static int32_t read_header(struct elf *elf)
{
	uint8_t magic[SELFMAG];

	if (elf->size == 0)
		return error_set(elf->err, SB_ERR_CORRUPT, "%s is empty: build or copy it again", elf->path);
	if (elf->size < SELFMAG)
		return error_set(elf->err, SB_ERR_INVALID, "%s is not a shared object (ELF file)", elf->path);
	TRY(read_at(elf, 0, magic, sizeof(magic), "the ELF header is cut off"));
	if (memcmp(magic, ELFMAG, SELFMAG) != 0)
		return error_set(elf->err, SB_ERR_INVALID,
				 "%s is not a shared object (ELF file): name the plugin's *.so file", elf->path);
	TRY(read_at(elf, 0, &elf->header, sizeof(elf->header), "the ELF header is cut off"));
	TRY(check_ident(elf));
	if (elf->header.e_machine != HOST_MACHINE)
		return error_set(
			elf->err, SB_ERR_INCOMPATIBLE,
			"%s is built for another machine, %s (%u), and this one is %s: build it for this machine",
			elf->path, machine_name(elf->header.e_machine), elf->header.e_machine,
			machine_name(HOST_MACHINE));
	if (elf->header.e_type != ET_DYN)
		return error_set(elf->err, SB_ERR_INVALID,
				 "%s is an ELF file, but not a shared object (type %u): link it with -shared",
				 elf->path, elf->header.e_type);
	if (elf->header.e_ehsize != sizeof(Elf64_Ehdr))
		return damaged(elf, "the size of the ELF header is wrong");
	return SB_OK;
}

/* --- segments and sections ------------------------------------------------------ */

static int32_t check_load(struct elf *elf, const Elf64_Phdr *segment, uint64_t *mapped_end)
{
	uint64_t align = segment->p_align ? segment->p_align : 1;
	uint64_t end;

	if (segment->p_filesz > segment->p_memsz)
		return damaged(elf, "a segment is larger in the file than in memory");
	if ((align & (align - 1)) || ((segment->p_vaddr ^ segment->p_offset) & (align - 1)))
		return damaged(elf, "a segment is misaligned");
	if (__builtin_add_overflow(segment->p_vaddr, segment->p_memsz, &end) || end > INT64_MAX / 2)
		return damaged(elf, "a segment ends outside of memory");
	if (segment->p_vaddr < *mapped_end)
		return damaged(elf, "segments overlap");
	*mapped_end = end;
	return SB_OK;
}

static int32_t read_segments(struct elf *elf)
{
	uint64_t mapped_end = 0;
	bool has_load = false;

	if (elf->header.e_phnum == 0 || elf->header.e_phnum > SEGMENTS_MAX ||
	    elf->header.e_phentsize != sizeof(Elf64_Phdr))
		return damaged(elf, "the number or size of its program headers is wrong");
	TRY(read_at(elf, elf->header.e_phoff, elf->segments, elf->header.e_phnum * sizeof(Elf64_Phdr),
		    "the program headers lie outside of the file"));
	for (unsigned i = 0; i < elf->header.e_phnum; i++) {
		const Elf64_Phdr *segment = &elf->segments[i];

		/* PT_GNU_STACK and other markers have no bytes, and their offset no meaning. */
		if (segment->p_filesz && !in_file(elf, segment->p_offset, segment->p_filesz))
			return damaged(elf, "a segment lies outside of the file");
		if (segment->p_type == PT_LOAD)
			TRY(check_load(elf, segment, &mapped_end));
		has_load |= segment->p_type == PT_LOAD;
	}
	return has_load ? SB_OK : damaged(elf, "it has no segment to load");
}

/* dlopen does not look at sections. They come last in the file, so checking them finds files that were cut
 * short behind the last segment. A file without sections is fine. */
static int32_t check_sections(struct elf *elf)
{
	uint64_t count = elf->header.e_shnum;
	uint64_t at = elf->header.e_shoff;
	Elf64_Shdr section;

	if (at == 0)
		return count ? damaged(elf, "it counts sections that it does not have") : SB_OK;
	if (elf->header.e_shentsize != sizeof(section))
		return damaged(elf, "the size of its section headers is wrong");
	TRY(read_at(elf, at, &section, sizeof(section), "the section headers lie outside of the file"));
	if (count == 0)
		count = section.sh_size; /* more than 65279 of them */
	if (count > elf->size / sizeof(section) || !in_file(elf, at, count * sizeof(section)))
		return damaged(elf, "the section headers lie outside of the file");
	for (uint64_t i = 1; i < count; i++) {
		TRY(read_at(elf, at + i * sizeof(section), &section, sizeof(section), "section headers"));
		if (section.sh_type != SHT_NOBITS && section.sh_type != SHT_NULL &&
		    !in_file(elf, section.sh_offset, section.sh_size))
			return damaged(elf, "a section lies outside of the file");
	}
	return SB_OK;
}

/* --- dynamic section ------------------------------------------------------------ */

static const Elf64_Phdr *find_segment(const struct elf *elf, uint32_t type)
{
	for (unsigned i = 0; i < elf->header.e_phnum; i++)
		if (elf->segments[i].p_type == type)
			return &elf->segments[i];
	return NULL;
}

static int32_t take_dynamic(struct elf *elf, const Elf64_Dyn *entry)
{
	switch (entry->d_tag) {
	case DT_SYMTAB:
		elf->symbols = entry->d_un.d_ptr;
		break;
	case DT_STRTAB:
		elf->strings = entry->d_un.d_ptr;
		break;
	case DT_STRSZ:
		elf->strings_size = entry->d_un.d_val;
		break;
	case DT_HASH:
		elf->old_hash = entry->d_un.d_ptr;
		break;
	case DT_GNU_HASH:
		elf->gnu_hash = entry->d_un.d_ptr;
		break;
	case DT_SYMENT:
		if (entry->d_un.d_val != sizeof(Elf64_Sym))
			return damaged(elf, "the size of its symbols is wrong");
		break;
	case DT_FLAGS_1:
		if (entry->d_un.d_val & DF_1_PIE)
			return error_set(elf->err, SB_ERR_INVALID,
					 "%s is a program, not a plugin: link it with -shared", elf->path);
		break;
	default:
		break;
	}
	return SB_OK;
}

static int32_t read_dynamic(struct elf *elf)
{
	const Elf64_Phdr *segment = find_segment(elf, PT_DYNAMIC);
	uint64_t count = segment ? segment->p_filesz / sizeof(Elf64_Dyn) : 0;
	Elf64_Dyn entry;
	uint64_t offset;

	if (!segment)
		return damaged(elf, "it has no dynamic section");
	if (count > DYNAMIC_MAX)
		return damaged(elf, "its dynamic section is too long");
	for (uint64_t i = 0; i < count; i++) {
		TRY(read_mapped(elf, segment->p_vaddr + i * sizeof(entry), &entry, sizeof(entry),
				"the dynamic section is not mapped from the file"));
		if (entry.d_tag == DT_NULL) {
			if (!elf->symbols || !elf->strings ||
			    !find_offset(elf, elf->strings, elf->strings_size, &offset))
				return damaged(elf, "its symbol or string table is missing");
			return SB_OK;
		}
		TRY(take_dynamic(elf, &entry));
	}
	return damaged(elf, "its dynamic section has no end");
}

/* --- symbols -------------------------------------------------------------------- */

static int32_t symbol_matches(struct elf *elf, uint64_t index, const char *name, Elf64_Sym *ret_symbol,
			      bool *ret_matches)
{
	char text[64];
	uint64_t len = strlen(name) + 1;

	TRY(read_mapped(elf, elf->symbols + index * sizeof(Elf64_Sym), ret_symbol, sizeof(Elf64_Sym),
			"a symbol lies outside of its segment"));
	if (ret_symbol->st_name >= elf->strings_size)
		return damaged(elf, "a symbol's name lies outside of the string table");
	*ret_matches = false;
	if (len > sizeof(text) || len > elf->strings_size - ret_symbol->st_name)
		return SB_OK;
	TRY(read_mapped(elf, elf->strings + ret_symbol->st_name, text, len, "the string table is not mapped"));
	*ret_matches = memcmp(text, name, len) == 0;
	return SB_OK;
}

static int32_t read_word(struct elf *elf, uint64_t address, uint32_t *ret_word)
{
	return read_mapped(elf, address, ret_word, sizeof(*ret_word), "its symbol hash table is not mapped");
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
	TRY(read_mapped(elf, elf->gnu_hash, &table, sizeof(table), "its symbol hash table is not mapped"));
	if (table.buckets == 0 || table.bloom_words == 0 || (table.bloom_words & (table.bloom_words - 1)))
		return damaged(elf, "its symbol hash table makes no sense");
	buckets = elf->gnu_hash + sizeof(table) + (uint64_t)table.bloom_words * 8;
	chains = buckets + (uint64_t)table.buckets * 4;
	TRY(read_word(elf, buckets + (uint64_t)(hash % table.buckets) * 4, &index));
	*ret_found = false;
	if (index == 0)
		return SB_OK;
	if (index < table.first_symbol)
		return damaged(elf, "its symbol hash table makes no sense");
	for (unsigned step = 0; step < CHAIN_MAX; step++, index++) {
		TRY(read_word(elf, chains + (uint64_t)(index - table.first_symbol) * 4, &chained));
		if ((chained | 1) == (hash | 1))
			TRY(symbol_matches(elf, index, name, ret_symbol, ret_found));
		if (*ret_found || (chained & 1))
			return SB_OK;
	}
	return damaged(elf, "its symbol hash table has a chain without end");
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

	TRY(read_mapped(elf, elf->old_hash, counts, sizeof(counts), "its symbol hash table is not mapped"));
	if (counts[0] == 0)
		return damaged(elf, "its symbol hash table makes no sense");
	TRY(read_word(elf, buckets + (uint64_t)(old_hash_of(name) % counts[0]) * 4, &index));
	*ret_found = false;
	for (unsigned step = 0; step < CHAIN_MAX; step++) {
		if (index == 0)
			return SB_OK;
		if (index >= counts[1])
			return damaged(elf, "its symbol hash table makes no sense");
		TRY(symbol_matches(elf, index, name, ret_symbol, ret_found));
		if (*ret_found)
			return SB_OK;
		TRY(read_word(elf, buckets + ((uint64_t)counts[0] + index) * 4, &index));
	}
	return damaged(elf, "its symbol hash table has a chain without end");
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
		return damaged(elf, "it has no symbol hash table");
	*ret_has = false;
	if (!found || symbol.st_shndx == SHN_UNDEF || ELF64_ST_TYPE(symbol.st_info) != STT_FUNC)
		return SB_OK;
	if (!is_code(elf, symbol.st_value))
		return damaged(elf, "its entry function lies outside of its code");
	*ret_has = true;
	return SB_OK;
}

static int32_t refuse_major(struct elf *elf, uint32_t major)
{
	return error_set(elf->err, SB_ERR_INCOMPATIBLE, "%s is a plugin for ABI %u, and this sbhost has ABI %u.%u: %s",
			 elf->path, (unsigned)major, SB_ABI_MAJOR, SB_ABI_MINOR,
			 major > SB_ABI_MAJOR
				 ? "use a newer sbhost, or an older version of the plugin"
				 : "build it with this sbhost's sb_plugin.h, or use a newer version of the plugin");
}

static int32_t has_entry(struct elf *elf, unsigned major, bool *ret_has)
{
	char name[64];

	snprintf(name, sizeof(name), ENTRY_PREFIX "%u", major);
	return has_function(elf, name, ret_has);
}

static int32_t check_entry(struct elf *elf)
{
	bool has;

	TRY(has_entry(elf, SB_ABI_MAJOR, &has));
	if (has)
		return SB_OK;
	for (unsigned major = 1; major <= ABI_MAJOR_PROBED; major++) {
		TRY(has_entry(elf, major, &has));
		if (has)
			return refuse_major(elf, major);
	}
	return error_set(elf->err, SB_ERR_INVALID,
			 "%s is a shared library but no sbhost plugin: it does not export " ENTRY_PREFIX
			 "%u(); SB_PLUGIN_REGISTER in sb_plugin.h writes it",
			 elf->path, SB_ABI_MAJOR);
}

/* --- note ----------------------------------------------------------------------- */

/* Two NUL-terminated texts behind the numbers. */
static bool take_note_texts(const uint8_t *at, uint64_t len, struct plugin_note *note)
{
	uint64_t name_len = strnlen((const char *)at, len);
	uint64_t version_len;

	if (name_len == 0 || name_len >= len || name_len >= sizeof(note->name))
		return false;
	version_len = strnlen((const char *)at + name_len + 1, len - name_len - 1);
	if (version_len == 0 || version_len >= len - name_len - 1 || version_len >= sizeof(note->version))
		return false;
	memcpy(note->name, at, name_len + 1);
	memcpy(note->version, at + name_len + 1, version_len + 1);
	return true;
}

static int32_t take_note(struct elf *elf, const uint8_t *body, uint64_t len, struct plugin_note *note)
{
	uint32_t major;

	/* Of another major, not even what follows the numbers is known. */
	if (len < 8)
		return damaged(elf, "its sbhost note is too short");
	memcpy(&major, body, sizeof(major));
	if (major != SB_ABI_MAJOR)
		return refuse_major(elf, major);
	note->abi_major = major;
	memcpy(&note->abi_minor, body + 4, sizeof(note->abi_minor));
	if (!take_note_texts(body + 8, len - 8, note))
		return damaged(elf, "its sbhost note has no name or version, or they are too long");
	return SB_OK;
}

/* Looks through one segment of notes; *ret_found when ours is among them. */
static int32_t scan_notes(struct elf *elf, const uint8_t *bytes, uint64_t len, uint64_t align, struct plugin_note *note,
			  bool *ret_found)
{
	uint64_t at = 0;

	while (len - at >= sizeof(Elf64_Nhdr)) {
		Elf64_Nhdr header;
		uint64_t name_at = at + sizeof(header);
		uint64_t body_at, end;

		memcpy(&header, bytes + at, sizeof(header));
		body_at = (name_at + header.n_namesz + align - 1) & ~(align - 1);
		end = body_at + header.n_descsz;
		if (end > len)
			return damaged(elf, "a note is longer than its segment");
		if (header.n_type == SB_NOTE_TYPE && header.n_namesz == sizeof(SB_NOTE_OWNER) &&
		    memcmp(bytes + name_at, SB_NOTE_OWNER, sizeof(SB_NOTE_OWNER)) == 0) {
			*ret_found = true;
			return take_note(elf, bytes + body_at, header.n_descsz, note);
		}
		at = (end + align - 1) & ~(align - 1);
		if (at > len)
			break;
	}
	return SB_OK;
}

static int32_t read_notes(struct elf *elf, const Elf64_Phdr *segment, struct plugin_note *note, bool *ret_found)
{
	AUTO(free_memory) uint8_t *bytes = NULL;

	if (segment->p_filesz > NOTES_BYTES_MAX)
		return damaged(elf, "its notes are too long");
	bytes = malloc(segment->p_filesz + 1);
	if (!bytes)
		return error_no_memory(elf->err);
	TRY(read_at(elf, segment->p_offset, bytes, segment->p_filesz, "its notes lie outside of the file"));
	return scan_notes(elf, bytes, segment->p_filesz, segment->p_align == 8 ? 8 : 4, note, ret_found);
}

static int32_t find_note(struct elf *elf, struct plugin_note *ret_note)
{
	struct plugin_note note = {0};
	bool found = false;

	for (unsigned i = 0; i < elf->header.e_phnum && !found; i++)
		if (elf->segments[i].p_type == PT_NOTE)
			TRY(read_notes(elf, &elf->segments[i], &note, &found));
	if (!found)
		return error_set(
			elf->err, SB_ERR_INVALID,
			"%s has an entry function but no \"" SB_NOTE_OWNER
			"\" ELF note, which tells its ABI before it runs: write both with SB_PLUGIN_REGISTER in "
			"sb_plugin.h, and keep section .note.sbhost when stripping",
			elf->path);
	*ret_note = note;
	return SB_OK;
}

int32_t elf_inspect(struct io *io, int fd, uint64_t size, const char *path, struct plugin_note *ret_note, sb_error *err)
{
	struct elf elf = {.io = io, .fd = fd, .size = size, .path = path, .err = err};

	TRY(read_header(&elf));
	TRY(read_segments(&elf));
	TRY(check_sections(&elf));
	TRY(read_dynamic(&elf));
	TRY(check_entry(&elf));
	return find_note(&elf, ret_note);
}
