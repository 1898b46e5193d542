/* A file under inspection, shared by elf.c (header, segments, sections, dynamic section),
 * elf_symbols.c (the entry function) and elf_note.c (the note). */
#ifndef PLUGIN_ELF_PRIVATE_H
#define PLUGIN_ELF_PRIVATE_H

#include <elf.h>

#include "base/error.h"
#include "plugin/plugin_private.h"

#define SEGMENTS_MAX 128

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
	uint64_t flags; /* DT_FLAGS */
	bool text_relocations; /* DT_TEXTREL */
	uint64_t search[2]; /* DT_RPATH, DT_RUNPATH: offsets among the strings, and 1 more; 0: absent */
};

/* Reads header, segments and dynamic section, and checks what they say. */
int32_t elf_read(struct elf *elf);
/* "…is truncated or damaged (what; …)": SB_ERR_CORRUPT. */
int32_t elf_damaged(struct elf *elf, const char *what);
int32_t elf_refuse_major(struct elf *elf, uint32_t major);
/* Bytes of the file; what is said when they lie outside of it. */
int32_t elf_read_at(struct elf *elf, uint64_t offset, void *ret_bytes, uint64_t len, const char *what);
/* Bytes by the address that they will be mapped at. */
int32_t elf_read_mapped(struct elf *elf, uint64_t address, void *ret_bytes, uint64_t len, const char *what);

int32_t elf_check_entry(struct elf *elf);
int32_t elf_find_note(struct elf *elf, struct plugin_note *ret_note);

#endif
