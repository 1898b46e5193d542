/* See elf_image.h. */
#include "support/elf_image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define PAGE UINT64_C(65536) /* of any machine */
#define APPENDED_ADDRESS (UINT64_C(1) << 40)

static void must(bool is_so, const char *what)
{
	if (is_so)
		return;
	fprintf(stderr, "elf_image: %s\n", what);
	abort();
}

static ssize_t image_pread(struct io *io, int fd, void *bytes, size_t len, off_t offset)
{
	struct elf_image *image = io->context;
	uint64_t left = (uint64_t)offset < image->size ? image->size - (uint64_t)offset : 0;

	(void)fd;
	if (++image->reads == image->fail_at) {
		errno = EIO;
		return -1;
	}
	if (len > left)
		len = left;
	memcpy(bytes, image->bytes + offset, len);
	return (ssize_t)len;
}

void elf_image_open(struct elf_image *image, const char *path)
{
	struct io io;
	sb_error err = ERROR_INIT;
	struct stat st;
	int fd;

	memset(image, 0, sizeof(*image));
	io_init_system(&io);
	must(io_open(&io, path, O_RDONLY, 0, &fd, &err) == SB_OK, path);
	must(io_stat_fd(&io, fd, &st, path, &err) == SB_OK, path);
	image->size = (uint64_t)st.st_size;
	image->bytes = malloc(image->size);
	must(image->bytes, "out of memory");
	must(io_pread_all(&io, fd, image->bytes, image->size, 0, path, &err) == SB_OK, path);
	io_close(&io, fd);
	image->ops = (struct io_ops){.pread = image_pread};
	image->io = (struct io){.ops = &image->ops, .context = image};
}

void elf_image_close(struct elf_image *image)
{
	free(image->bytes);
}

void elf_image_save(const struct elf_image *image, const char *path)
{
	sb_error err = ERROR_INIT;
	struct io io;
	int fd;

	io_init_system(&io);
	must(io_create_new(&io, path, &fd, &err) == SB_OK, path);
	must(io_write_all(&io, fd, image->bytes, image->size, path, &err) == SB_OK, path);
	io_close(&io, fd);
}

Elf64_Ehdr *elf_image_header(struct elf_image *image)
{
	return (Elf64_Ehdr *)image->bytes;
}

Elf64_Phdr *elf_image_segment(struct elf_image *image, uint32_t type)
{
	Elf64_Phdr *segments = (Elf64_Phdr *)(image->bytes + elf_image_header(image)->e_phoff);

	for (unsigned i = 0; i < elf_image_header(image)->e_phnum; i++)
		if (segments[i].p_type == type)
			return &segments[i];
	must(false, "the fixture has no segment of that type");
	return NULL;
}

static Elf64_Dyn *find_dynamic(struct elf_image *image, int64_t tag)
{
	const Elf64_Phdr *segment = elf_image_segment(image, PT_DYNAMIC);
	Elf64_Dyn *entries = (Elf64_Dyn *)(image->bytes + segment->p_offset);

	for (uint64_t i = 0; i < segment->p_filesz / sizeof(*entries); i++)
		if (entries[i].d_tag == tag)
			return &entries[i];
	return NULL;
}

Elf64_Dyn *elf_image_dynamic(struct elf_image *image, int64_t tag)
{
	Elf64_Dyn *entry = find_dynamic(image, tag);

	must(entry, "the fixture has no dynamic entry of that tag");
	return entry;
}

void elf_image_set_dynamic(struct elf_image *image, int64_t tag, uint64_t value)
{
	static const int64_t dispensable[] = {DT_RELASZ, DT_RELAENT};
	Elf64_Dyn *entry = find_dynamic(image, tag);

	for (size_t i = 0; i < 2 && !entry; i++)
		entry = find_dynamic(image, dispensable[i]);
	must(entry, "the fixture has no relocations");
	*entry = (Elf64_Dyn){.d_tag = tag, .d_un.d_val = value};
}

void *elf_image_at(struct elf_image *image, uint64_t address)
{
	const Elf64_Phdr *segments = (const Elf64_Phdr *)(image->bytes + elf_image_header(image)->e_phoff);

	for (unsigned i = 0; i < elf_image_header(image)->e_phnum; i++)
		if (segments[i].p_type == PT_LOAD && address >= segments[i].p_vaddr &&
		    address - segments[i].p_vaddr < segments[i].p_filesz)
			return image->bytes + segments[i].p_offset + (address - segments[i].p_vaddr);
	must(false, "the fixture has nothing at that address");
	return NULL;
}

uint64_t elf_image_append(struct elf_image *image, const void *bytes, uint64_t len)
{
	uint64_t offset = (image->size + PAGE - 1) / PAGE * PAGE;
	uint8_t *grown = realloc(image->bytes, offset + len);

	must(grown, "out of memory");
	memset(grown + image->size, 0, offset - image->size);
	memcpy(grown + offset, bytes, len);
	image->bytes = grown;
	image->size = offset + len;
	*elf_image_segment(image, PT_GNU_RELRO) = (Elf64_Phdr){.p_type = PT_LOAD,
							       .p_flags = PF_R,
							       .p_offset = offset,
							       .p_vaddr = APPENDED_ADDRESS,
							       .p_paddr = APPENDED_ADDRESS,
							       .p_filesz = len,
							       .p_memsz = len,
							       .p_align = PAGE};
	return APPENDED_ADDRESS;
}

void elf_image_set_search(struct elf_image *image, const char *search)
{
	const uint64_t size = elf_image_dynamic(image, DT_STRSZ)->d_un.d_val;
	const uint64_t grown = size + strlen(search) + 1;
	char *strings = calloc(1, grown);
	uint64_t address;

	must(strings, "out of memory");
	memcpy(strings, elf_image_at(image, elf_image_dynamic(image, DT_STRTAB)->d_un.d_ptr), size);
	memcpy(strings + size, search, strlen(search));
	address = elf_image_append(image, strings, grown);
	elf_image_dynamic(image, DT_STRTAB)->d_un.d_ptr = address;
	elf_image_dynamic(image, DT_STRSZ)->d_un.d_val = grown;
	elf_image_set_dynamic(image, DT_RUNPATH, size);
	free(strings);
}

int32_t elf_image_inspect(struct elf_image *image, uint64_t size, struct plugin_note *ret_note, sb_error *err)
{
	char search[ELF_SEARCH_BYTES];

	err->message[0] = 0;
	return elf_inspect(&image->io, 3, size, "x.so", ret_note, search, err);
}
