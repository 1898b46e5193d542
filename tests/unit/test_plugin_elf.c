/* elf_inspect() against files that are cut, flipped, patched and made of noise. The files
 * are bytes in memory behind a struct io of our own, so that thousands of them cost nothing. */
#include <criterion/criterion.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/error.h"
#include "plugin/plugin_private.h"

struct image {
	struct io io;
	struct io_ops ops;
	uint8_t *bytes;
	uint64_t size;
};

static ssize_t image_pread(struct io *io, int fd, void *bytes, size_t len, off_t offset)
{
	struct image *image = io->context;
	uint64_t left = (uint64_t)offset < image->size ? image->size - (uint64_t)offset : 0;

	(void)fd;
	if (len > left)
		len = left;
	memcpy(bytes, image->bytes + offset, len);
	return (ssize_t)len;
}

static void image_open(struct image *image, const char *path)
{
	struct io io;
	sb_error err = ERROR_INIT;
	struct stat st;
	int fd;

	io_init_system(&io);
	cr_assert_eq(io_open(&io, path, O_RDONLY, 0, &fd, &err), SB_OK, "%s", err.message);
	cr_assert_eq(io_stat_fd(&io, fd, &st, path, &err), SB_OK);
	image->size = (uint64_t)st.st_size;
	image->bytes = malloc(image->size);
	cr_assert_eq(io_pread_all(&io, fd, image->bytes, image->size, 0, path, &err), SB_OK);
	io_close(&io, fd);
	image->ops = (struct io_ops){.pread = image_pread};
	image->io = (struct io){.ops = &image->ops, .context = image};
}

static void image_close(struct image *image)
{
	free(image->bytes);
}

static int32_t inspect(struct image *image, uint64_t size, struct plugin_note *note, sb_error *err)
{
	err->message[0] = 0;
	char search[ELF_SEARCH_BYTES];

	return elf_inspect(&image->io, 3, size, "x.so", note, search, err);
}

static Elf64_Ehdr *header_of(struct image *image)
{
	return (Elf64_Ehdr *)image->bytes;
}

static void assert_refused(struct image *image, int32_t code, const char *words)
{
	struct plugin_note note;
	sb_error err = ERROR_INIT;

	cr_assert_eq(inspect(image, image->size, &note, &err), code, "%d: %s", err.code, err.message);
	cr_assert(strstr(err.message, words), "\"%s\" is not in: %s", words, err.message);
	cr_assert(strstr(err.message, "x.so"), "no file in: %s", err.message);
}

Test(plugin_elf, reads_the_note_without_running_anything)
{
	struct image image;
	struct plugin_note note;
	sb_error err = ERROR_INIT;

	image_open(&image, SB_TEST_PLUGIN_DIR "/libgood_newer.so");
	cr_assert_eq(inspect(&image, image.size, &note, &err), SB_OK, "%s", err.message);
	cr_assert_str_eq(note.name, "zoo");
	cr_assert_str_eq(note.version, "1.0.0");
	cr_assert_eq(note.abi_major, 1);
	cr_assert_eq(note.abi_minor, 7);
	image_close(&image);
}

Test(plugin_elf, refuses_a_file_truncated_at_any_length)
{
	struct image image;
	struct plugin_note note;
	sb_error err = ERROR_INIT;

	image_open(&image, SB_TEST_PLUGIN_DIR "/libgood_backend.so");
	for (uint64_t size = 0; size < image.size; size++) {
		cr_assert_neq(inspect(&image, size, &note, &err), SB_OK, "accepted at %llu of %llu bytes",
			      (unsigned long long)size, (unsigned long long)image.size);
		cr_assert(size < SELFMAG || err.code == SB_ERR_CORRUPT, "%s", err.message);
	}
	image_close(&image);
}

/* What is flipped in the note's text or in the padding may be accepted; nothing may crash or hang. */
Test(plugin_elf, survives_every_flipped_byte)
{
	static const uint8_t flips[] = {0x01, 0x80, 0xff};
	struct image image;
	struct plugin_note note;
	sb_error err = ERROR_INIT;
	uint64_t refused = 0;

	image_open(&image, SB_TEST_PLUGIN_DIR "/libgood_backend.so");
	for (uint64_t at = 0; at < image.size; at++)
		for (size_t i = 0; i < sizeof(flips); i++) {
			image.bytes[at] ^= flips[i];
			if (inspect(&image, image.size, &note, &err) != SB_OK) {
				refused++;
				cr_assert(err.message[0]);
			}
			image.bytes[at] ^= flips[i];
		}
	cr_assert_gt(refused, 100);
	image_close(&image);
}

Test(plugin_elf, survives_headers_of_noise)
{
	struct image image;
	struct plugin_note note;
	sb_error err = ERROR_INIT;
	uint64_t seed = 20240917;
	uint8_t *good;

	image_open(&image, SB_TEST_PLUGIN_DIR "/libgood_backend.so");
	good = malloc(image.size);
	memcpy(good, image.bytes, image.size);
	for (int round = 0; round < 20000; round++) {
		for (int i = 0; i < 4; i++) {
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			/* Three of four go into the ELF and program headers. */
			image.bytes[(seed >> 33) % (i ? 900 : image.size)] = (uint8_t)(seed >> 25);
		}
		memcpy(image.bytes, ELFMAG, SELFMAG);
		inspect(&image, image.size, &note, &err);
		memcpy(image.bytes, good, image.size);
	}
	free(good);
	image_close(&image);
}

Test(plugin_elf, refuses_other_machines_by_name)
{
	struct image image;

	image_open(&image, SB_TEST_PLUGIN_DIR "/libgood_backend.so");
	header_of(&image)->e_machine = header_of(&image)->e_machine == EM_AARCH64 ? EM_X86_64 : EM_AARCH64;
	assert_refused(&image, SB_ERR_INCOMPATIBLE, "another machine");
	header_of(&image)->e_ident[EI_CLASS] = ELFCLASS32;
	assert_refused(&image, SB_ERR_INCOMPATIBLE, "64-bit");
	header_of(&image)->e_ident[EI_CLASS] = ELFCLASS64;
	header_of(&image)->e_ident[EI_DATA] = ELFDATA2MSB;
	assert_refused(&image, SB_ERR_INCOMPATIBLE, "endian");
	image_close(&image);
}

Test(plugin_elf, names_the_machine_that_a_file_is_for)
{
	static const struct {
		uint16_t machine;
		const char *name;
	} machines[] = {{EM_386, "i386"},	    {EM_ARM, "32-bit Arm"}, {EM_RISCV, "RISC-V"},
			{EM_PPC64, "PowerPC 64"},   {EM_S390, "S/390"},	    {EM_LOONGARCH, "LoongArch"},
			{0xfffe, "unknown machine"}};
	struct image image;
	uint16_t own;

	image_open(&image, SB_TEST_PLUGIN_DIR "/libgood_backend.so");
	own = header_of(&image)->e_machine;
	for (size_t i = 0; i < sizeof(machines) / sizeof(machines[0]); i++) {
		header_of(&image)->e_machine = machines[i].machine;
		if (machines[i].machine != own)
			assert_refused(&image, SB_ERR_INCOMPATIBLE, machines[i].name);
	}
	header_of(&image)->e_machine = own;
	header_of(&image)->e_ident[EI_OSABI] = ELFOSABI_FREEBSD;
	assert_refused(&image, SB_ERR_INCOMPATIBLE, "another operating system");
	image_close(&image);
}

/* --- patched tables -------------------------------------------------------------- */

static Elf64_Phdr *segment_of(struct image *image, uint32_t type)
{
	Elf64_Phdr *segments = (Elf64_Phdr *)(image->bytes + header_of(image)->e_phoff);

	for (unsigned i = 0;; i++) {
		cr_assert(i < header_of(image)->e_phnum, "the fixture has no segment of type %u", type);
		if (segments[i].p_type == type)
			return &segments[i];
	}
}

static Elf64_Dyn *dynamic_of(struct image *image, int64_t tag)
{
	const Elf64_Phdr *segment = segment_of(image, PT_DYNAMIC);
	Elf64_Dyn *entries = (Elf64_Dyn *)(image->bytes + segment->p_offset);

	for (uint64_t i = 0;; i++) {
		cr_assert(i < segment->p_filesz / sizeof(*entries), "the fixture has no dynamic entry %lld",
			  (long long)tag);
		if (entries[i].d_tag == tag)
			return &entries[i];
	}
}

Test(plugin_elf, hands_out_both_search_paths_or_says_that_they_lie_outside)
{
	char search[ELF_SEARCH_BYTES], *colon;
	struct plugin_note note;
	sb_error err = ERROR_INIT;
	struct image image;

	image_open(&image, SB_TEST_PLUGIN_DIR "/libgood_backend.so");
	*dynamic_of(&image, DT_RELASZ) = (Elf64_Dyn){.d_tag = DT_RPATH, .d_un.d_val = 1};
	*dynamic_of(&image, DT_RELAENT) = (Elf64_Dyn){.d_tag = DT_RUNPATH, .d_un.d_val = 1};
	cr_assert_eq(elf_inspect(&image.io, 3, image.size, "x.so", &note, search, &err), SB_OK, "%s", err.message);
	colon = strchr(search, ':');
	cr_assert(colon && colon > search, "\"%s\"", search);
	*colon = 0;
	cr_assert_str_eq(search, colon + 1);
	dynamic_of(&image, DT_RUNPATH)->d_un.d_val = UINT64_C(1) << 40;
	assert_refused(&image, SB_ERR_CORRUPT, "its search path is outside");
	image_close(&image);
}

Test(plugin_elf, bounds_the_dynamic_section)
{
	struct image image;

	image_open(&image, SB_TEST_PLUGIN_DIR "/libgood_backend.so");
	segment_of(&image, PT_DYNAMIC)->p_filesz = 1025 * sizeof(Elf64_Dyn);
	image.bytes = realloc(image.bytes, image.size + 1025 * sizeof(Elf64_Dyn));
	cr_assert(image.bytes);
	memset(image.bytes + image.size, 0, 1025 * sizeof(Elf64_Dyn));
	image.size += 1025 * sizeof(Elf64_Dyn);
	assert_refused(&image, SB_ERR_CORRUPT, "dynamic section is too long");
	image_close(&image);
}

Test(plugin_elf, a_file_may_have_no_sections_but_not_count_those_it_lacks)
{
	struct plugin_note note;
	sb_error err = ERROR_INIT;
	struct image image;

	image_open(&image, SB_TEST_PLUGIN_DIR "/libgood_backend.so");
	header_of(&image)->e_shoff = 0;
	assert_refused(&image, SB_ERR_CORRUPT, "counts sections");
	header_of(&image)->e_shnum = 0;
	cr_assert_eq(inspect(&image, image.size, &note, &err), SB_OK, "%s", err.message);
	image_close(&image);
}

/* With more than 65279 sections the count stands in the first of them. */
Test(plugin_elf, takes_a_large_count_of_sections_from_the_first_one)
{
	struct plugin_note note;
	sb_error err = ERROR_INIT;
	struct image image;
	Elf64_Shdr *first;

	image_open(&image, SB_TEST_PLUGIN_DIR "/libgood_backend.so");
	first = (Elf64_Shdr *)(image.bytes + header_of(&image)->e_shoff);
	first->sh_size = header_of(&image)->e_shnum;
	header_of(&image)->e_shnum = 0;
	cr_assert_eq(inspect(&image, image.size, &note, &err), SB_OK, "%s", err.message);
	first->sh_size = UINT64_MAX;
	assert_refused(&image, SB_ERR_CORRUPT, "section headers lie outside");
	image_close(&image);
}

Test(plugin_elf, sees_how_a_file_would_change_the_process)
{
	struct plugin_linkage linkage;
	sb_error err = ERROR_INIT;
	struct image image;

	image_open(&image, SB_TEST_PLUGIN_DIR "/libgood_backend.so");
	cr_assert_eq(elf_examine_linkage(&image.io, 3, image.size, "x.so", &linkage, &err), SB_OK, "%s", err.message);
	cr_assert(!linkage.executable_stack && !linkage.text_relocations);
	segment_of(&image, PT_GNU_STACK)->p_flags |= PF_X;
	*dynamic_of(&image, DT_RELASZ) = (Elf64_Dyn){.d_tag = DT_TEXTREL};
	cr_assert_eq(elf_examine_linkage(&image.io, 3, image.size, "x.so", &linkage, &err), SB_OK, "%s", err.message);
	cr_assert(linkage.executable_stack && linkage.text_relocations);
	image_close(&image);
}

Test(plugin_elf, refuses_what_is_no_shared_object)
{
	struct image image;

	image_open(&image, SB_TEST_PLUGIN_DIR "/libgood_backend.so");
	header_of(&image)->e_type = ET_REL;
	assert_refused(&image, SB_ERR_INVALID, "not a shared object");
	header_of(&image)->e_type = ET_EXEC;
	assert_refused(&image, SB_ERR_INVALID, "not a shared object");
	memcpy(image.bytes, "#!/bin/sh\n", 10);
	assert_refused(&image, SB_ERR_INVALID, "not a shared object");
	image_close(&image);
}

Test(plugin_elf, refuses_a_program)
{
	struct image image;

	image_open(&image, "/proc/self/exe");
	if (header_of(&image)->e_type == ET_DYN)
		assert_refused(&image, SB_ERR_INVALID, "is a program");
	image_close(&image);
}

/* DT_HASH is all that an old linker writes. */
Test(plugin_elf, finds_the_entry_through_the_old_hash_table)
{
	struct image image;
	struct plugin_note note;
	sb_error err = ERROR_INIT;

	image_open(&image, SB_TEST_PLUGIN_DIR "/libgood_old_hash.so");
	cr_assert_eq(inspect(&image, image.size, &note, &err), SB_OK, "%s", err.message);
	image_close(&image);
	image_open(&image, SB_TEST_PLUGIN_DIR "/libgood_old_hash.so");
	for (uint64_t at = 0; at < image.size && at < 4096; at++) {
		image.bytes[at] ^= 0xff;
		inspect(&image, image.size, &note, &err);
		image.bytes[at] ^= 0xff;
	}
	image_close(&image);
}
