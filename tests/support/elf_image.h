/* A plugin's file in memory, to be patched, behind a struct io that reads from it: thousands of damaged files cost nothing. What the fixture turns out to
 * lack ends the test. */
#ifndef SUPPORT_ELF_IMAGE_H
#define SUPPORT_ELF_IMAGE_H

#include <elf.h>

#include "plugin/plugin_private.h"

struct elf_image {
	struct io io;
	struct io_ops ops;
	uint8_t *bytes;
	uint64_t size;
	uint64_t reads, fail_at; /* the read of that number fails with EIO; 0: none */
};

void elf_image_open(struct elf_image *image, const char *path);
void elf_image_close(struct elf_image *image);
/* Writes it to a new file, mode 0600. */
void elf_image_save(const struct elf_image *image, const char *path);

Elf64_Ehdr *elf_image_header(struct elf_image *image);
/* The first of that type. */
Elf64_Phdr *elf_image_segment(struct elf_image *image, uint32_t type);
Elf64_Dyn *elf_image_dynamic(struct elf_image *image, int64_t tag);
/* Changes the entry of that tag; when there is none, one about relocations becomes it, so that the file is no good for anything but being looked at. */
void elf_image_set_dynamic(struct elf_image *image, int64_t tag, uint64_t value);
/* Where the bytes of an address lie. */
void *elf_image_at(struct elf_image *image, uint64_t address);
/* Puts bytes behind the file, and into memory behind all else, in the place of a segment that is only a hint (PT_GNU_RELRO): once for an image. Returns their
 * address; pointers into the image are stale. */
uint64_t elf_image_append(struct elf_image *image, const void *bytes, uint64_t len);
/* Gives it a RUNPATH; appends. */
void elf_image_set_search(struct elf_image *image, const char *search);
/* elf_inspect of the first size bytes, as file x.so. */
int32_t elf_image_inspect(struct elf_image *image, uint64_t size, struct plugin_note *ret_note, sb_error *err);

#endif
