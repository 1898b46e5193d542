/* The file's bytes, before any of them runs: a complete shared object for this very
 * machine, with a note that says sbhost and an entry function of our ABI.
 *
 * Nothing in the file is believed: every offset and count is checked against the file's size
 * where it is used, all reads go through elf_read_at(), and every loop has a bound of its own, so
 * arbitrary bytes lead to a sentence and nothing else. The file is read in the few pieces that are
 * needed, not whole: a plugin with its debug information may have hundreds of megabytes.
 */
#include <string.h>

#include "plugin/elf_private.h"

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

#define DYNAMIC_MAX 1024

int32_t elf_damaged(struct elf *elf, const char *what)
{
	return error_set(elf->err, SB_ERR_CORRUPT,
			 "%s is truncated or damaged (%s; the file has %llu bytes): build or copy it again", elf->path,
			 what, (unsigned long long)elf->size);
}

static bool in_file(const struct elf *elf, uint64_t offset, uint64_t len)
{
	return offset <= elf->size && len <= elf->size - offset;
}

int32_t elf_read_at(struct elf *elf, uint64_t offset, void *ret_bytes, uint64_t len, const char *what)
{
	if (!in_file(elf, offset, len))
		return elf_damaged(elf, what);
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

int32_t elf_read_mapped(struct elf *elf, uint64_t address, void *ret_bytes, uint64_t len, const char *what)
{
	uint64_t offset;

	if (!find_offset(elf, address, len, &offset))
		return elf_damaged(elf, what);
	return elf_read_at(elf, offset, ret_bytes, len, what);
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
		return elf_damaged(elf, "the ELF version is unknown");
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
	TRY(elf_read_at(elf, 0, magic, sizeof(magic), "the ELF header is cut off"));
	if (memcmp(magic, ELFMAG, SELFMAG) != 0)
		return error_set(elf->err, SB_ERR_INVALID,
				 "%s is not a shared object (ELF file): name the plugin's *.so file", elf->path);
	TRY(elf_read_at(elf, 0, &elf->header, sizeof(elf->header), "the ELF header is cut off"));
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
		return elf_damaged(elf, "the size of the ELF header is wrong");
	return SB_OK;
}

/* --- segments and sections ------------------------------------------------------ */

static int32_t check_load(struct elf *elf, const Elf64_Phdr *segment, uint64_t *mapped_end)
{
	uint64_t align = segment->p_align ? segment->p_align : 1;
	uint64_t end;

	if (segment->p_filesz > segment->p_memsz)
		return elf_damaged(elf, "a segment is larger in the file than in memory");
	if ((align & (align - 1)) || ((segment->p_vaddr ^ segment->p_offset) & (align - 1)))
		return elf_damaged(elf, "a segment is misaligned");
	if (__builtin_add_overflow(segment->p_vaddr, segment->p_memsz, &end) || end > INT64_MAX / 2)
		return elf_damaged(elf, "a segment ends outside of memory");
	if (segment->p_vaddr < *mapped_end)
		return elf_damaged(elf, "segments overlap");
	*mapped_end = end;
	return SB_OK;
}

static int32_t read_segments(struct elf *elf)
{
	uint64_t mapped_end = 0;
	bool has_load = false;

	if (elf->header.e_phnum == 0 || elf->header.e_phnum > SEGMENTS_MAX ||
	    elf->header.e_phentsize != sizeof(Elf64_Phdr))
		return elf_damaged(elf, "the number or size of its program headers is wrong");
	TRY(elf_read_at(elf, elf->header.e_phoff, elf->segments, elf->header.e_phnum * sizeof(Elf64_Phdr),
			"the program headers lie outside of the file"));
	for (unsigned i = 0; i < elf->header.e_phnum; i++) {
		const Elf64_Phdr *segment = &elf->segments[i];

		/* PT_GNU_STACK and other markers have no bytes, and their offset no meaning. */
		if (segment->p_filesz && !in_file(elf, segment->p_offset, segment->p_filesz))
			return elf_damaged(elf, "a segment lies outside of the file");
		if (segment->p_type == PT_LOAD)
			TRY(check_load(elf, segment, &mapped_end));
		has_load |= segment->p_type == PT_LOAD;
	}
	return has_load ? SB_OK : elf_damaged(elf, "it has no segment to load");
}

/* dlopen does not look at sections. They come last in the file, so checking them finds files that were cut
 * short behind the last segment. A file without sections is fine. */
static int32_t check_sections(struct elf *elf)
{
	uint64_t count = elf->header.e_shnum;
	uint64_t at = elf->header.e_shoff;
	Elf64_Shdr section;

	if (at == 0)
		return count ? elf_damaged(elf, "it counts sections that it does not have") : SB_OK;
	if (elf->header.e_shentsize != sizeof(section))
		return elf_damaged(elf, "the size of its section headers is wrong");
	TRY(elf_read_at(elf, at, &section, sizeof(section), "the section headers lie outside of the file"));
	if (count == 0)
		count = section.sh_size; /* more than 65279 of them */
	if (count > elf->size / sizeof(section) || !in_file(elf, at, count * sizeof(section)))
		return elf_damaged(elf, "the section headers lie outside of the file");
	for (uint64_t i = 1; i < count; i++) {
		TRY(elf_read_at(elf, at + i * sizeof(section), &section, sizeof(section), "section headers"));
		if (section.sh_type != SHT_NOBITS && section.sh_type != SHT_NULL &&
		    !in_file(elf, section.sh_offset, section.sh_size))
			return elf_damaged(elf, "a section lies outside of the file");
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
	case DT_RPATH:
		elf->search[0] = entry->d_un.d_val + 1;
		break;
	case DT_RUNPATH:
		elf->search[1] = entry->d_un.d_val + 1;
		break;
	case DT_TEXTREL:
		elf->text_relocations = true;
		break;
	case DT_FLAGS:
		elf->flags = entry->d_un.d_val;
		break;
	case DT_SYMENT:
		if (entry->d_un.d_val != sizeof(Elf64_Sym))
			return elf_damaged(elf, "the size of its symbols is wrong");
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
		return elf_damaged(elf, "it has no dynamic section");
	if (count > DYNAMIC_MAX)
		return elf_damaged(elf, "its dynamic section is too long");
	for (uint64_t i = 0; i < count; i++) {
		TRY(elf_read_mapped(elf, segment->p_vaddr + i * sizeof(entry), &entry, sizeof(entry),
				    "the dynamic section is not mapped from the file"));
		if (entry.d_tag == DT_NULL) {
			if (!elf->symbols || !elf->strings ||
			    !find_offset(elf, elf->strings, elf->strings_size, &offset))
				return elf_damaged(elf, "its symbol or string table is missing");
			return SB_OK;
		}
		TRY(take_dynamic(elf, &entry));
	}
	return elf_damaged(elf, "its dynamic section has no end");
}

int32_t elf_refuse_major(struct elf *elf, uint32_t major)
{
	return error_set(elf->err, SB_ERR_INCOMPATIBLE, "%s is a plugin for ABI %u, and this sbhost has ABI %u.%u: %s",
			 elf->path, (unsigned)major, SB_ABI_MAJOR, SB_ABI_MINOR,
			 major > SB_ABI_MAJOR
				 ? "use a newer sbhost, or an older version of the plugin"
				 : "build it with this sbhost's sb_plugin.h, or use a newer version of the plugin");
}

int32_t elf_read(struct elf *elf)
{
	TRY(read_header(elf));
	TRY(read_segments(elf));
	TRY(check_sections(elf));
	return read_dynamic(elf);
}

/* Both search paths, joined by a colon; "" when there is none. */
static int32_t read_search(struct elf *elf, char ret_search[ELF_SEARCH_BYTES])
{
	size_t used = 0;

	for (int i = 0; i < 2; i++) {
		const uint64_t offset = elf->search[i] - 1;
		char c;

		if (elf->search[i] == 0)
			continue;
		if (used)
			ret_search[used++] = ':';
		for (uint64_t at = offset;; at++) {
			if (at >= elf->strings_size)
				return elf_damaged(elf, "its search path is outside of its strings");
			TRY(elf_read_mapped(elf, elf->strings + at, &c, 1, "its search path"));
			if (!c)
				break;
			if (used >= ELF_SEARCH_BYTES - 2)
				return error_set(elf->err, SB_ERR_INVALID,
						 "%s has a search path (RUNPATH) of more than %d bytes: link it "
						 "with a shorter one",
						 elf->path, ELF_SEARCH_BYTES);
			ret_search[used++] = c;
		}
	}
	ret_search[used] = 0;
	return SB_OK;
}

int32_t elf_inspect(struct io *io, int fd, uint64_t size, const char *path, struct plugin_note *ret_note,
		    char ret_search[ELF_SEARCH_BYTES], sb_error *err)
{
	struct elf elf = {.io = io, .fd = fd, .size = size, .path = path, .err = err};

	TRY(elf_read(&elf));
	TRY(elf_check_entry(&elf));
	TRY(read_search(&elf, ret_search));
	return elf_find_note(&elf, ret_note);
}
