/* elf_inspect() against files that are cut, flipped, patched and made of noise. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "support/elf_image.h"

static void assert_refused(struct elf_image *image, int32_t code, const char *words)
{
	struct plugin_note note;
	sb_error err = ERROR_INIT;

	cr_assert_eq(elf_image_inspect(image, image->size, &note, &err), code, "%d: %s", err.code, err.message);
	cr_assert(strstr(err.message, words), "\"%s\" is not in: %s", words, err.message);
	cr_assert(strstr(err.message, "x.so"), "no file in: %s", err.message);
}

Test(plugin_elf, reads_the_note_without_running_anything)
{
	struct elf_image image;
	struct plugin_note note;
	sb_error err = ERROR_INIT;

	elf_image_open(&image, SB_TEST_PLUGIN_DIR "/libgood_newer.so");
	cr_assert_eq(elf_image_inspect(&image, image.size, &note, &err), SB_OK, "%s", err.message);
	cr_assert_str_eq(note.name, "zoo");
	cr_assert_str_eq(note.version, "1.0.0");
	cr_assert_eq(note.abi_major, 1);
	cr_assert_eq(note.abi_minor, 7);
	elf_image_close(&image);
}

Test(plugin_elf, refuses_a_file_truncated_at_any_length)
{
	struct elf_image image;
	struct plugin_note note;
	sb_error err = ERROR_INIT;

	elf_image_open(&image, SB_TEST_PLUGIN_DIR "/libgood_backend.so");
	for (uint64_t size = 0; size < image.size; size++) {
		cr_assert_neq(elf_image_inspect(&image, size, &note, &err), SB_OK, "accepted at %llu of %llu bytes",
			      (unsigned long long)size, (unsigned long long)image.size);
		cr_assert(size < SELFMAG || err.code == SB_ERR_CORRUPT, "%s", err.message);
	}
	elf_image_close(&image);
}

/* What is flipped in the note's text or in the padding may be accepted; nothing may crash or hang. */
Test(plugin_elf, survives_every_flipped_byte)
{
	static const uint8_t flips[] = {0x01, 0x80, 0xff};
	struct elf_image image;
	struct plugin_note note;
	sb_error err = ERROR_INIT;
	uint64_t refused = 0;

	elf_image_open(&image, SB_TEST_PLUGIN_DIR "/libgood_backend.so");
	for (uint64_t at = 0; at < image.size; at++)
		for (size_t i = 0; i < sizeof(flips); i++) {
			image.bytes[at] ^= flips[i];
			if (elf_image_inspect(&image, image.size, &note, &err) != SB_OK) {
				refused++;
				cr_assert(err.message[0]);
			}
			image.bytes[at] ^= flips[i];
		}
	cr_assert_gt(refused, 100);
	elf_image_close(&image);
}

Test(plugin_elf, survives_headers_of_noise)
{
	struct elf_image image;
	struct plugin_note note;
	sb_error err = ERROR_INIT;
	uint64_t seed = 20240917;
	uint8_t *good;

	elf_image_open(&image, SB_TEST_PLUGIN_DIR "/libgood_backend.so");
	good = malloc(image.size);
	memcpy(good, image.bytes, image.size);
	for (int round = 0; round < 20000; round++) {
		for (int i = 0; i < 4; i++) {
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			/* Three of four go into the ELF and program headers. */
			image.bytes[(seed >> 33) % (i ? 900 : image.size)] = (uint8_t)(seed >> 25);
		}
		memcpy(image.bytes, ELFMAG, SELFMAG);
		elf_image_inspect(&image, image.size, &note, &err);
		memcpy(image.bytes, good, image.size);
	}
	free(good);
	elf_image_close(&image);
}

Test(plugin_elf, refuses_other_machines_by_name)
{
	struct elf_image image;

	elf_image_open(&image, SB_TEST_PLUGIN_DIR "/libgood_backend.so");
	elf_image_header(&image)->e_machine =
		elf_image_header(&image)->e_machine == EM_AARCH64 ? EM_X86_64 : EM_AARCH64;
	assert_refused(&image, SB_ERR_INCOMPATIBLE, "another machine");
	elf_image_header(&image)->e_ident[EI_CLASS] = ELFCLASS32;
	assert_refused(&image, SB_ERR_INCOMPATIBLE, "64-bit");
	elf_image_header(&image)->e_ident[EI_CLASS] = ELFCLASS64;
	elf_image_header(&image)->e_ident[EI_DATA] = ELFDATA2MSB;
	assert_refused(&image, SB_ERR_INCOMPATIBLE, "endian");
	elf_image_close(&image);
}

Test(plugin_elf, names_the_machine_that_a_file_is_for)
{
	static const struct {
		uint16_t machine;
		const char *name;
	} machines[] = {{EM_386, "i386"},	    {EM_ARM, "32-bit Arm"}, {EM_RISCV, "RISC-V"},
			{EM_PPC64, "PowerPC 64"},   {EM_S390, "S/390"},	    {EM_LOONGARCH, "LoongArch"},
			{0xfffe, "unknown machine"}};
	struct elf_image image;
	uint16_t own;

	elf_image_open(&image, SB_TEST_PLUGIN_DIR "/libgood_backend.so");
	own = elf_image_header(&image)->e_machine;
	for (size_t i = 0; i < sizeof(machines) / sizeof(machines[0]); i++) {
		elf_image_header(&image)->e_machine = machines[i].machine;
		if (machines[i].machine != own)
			assert_refused(&image, SB_ERR_INCOMPATIBLE, machines[i].name);
	}
	elf_image_header(&image)->e_machine = own;
	elf_image_header(&image)->e_ident[EI_OSABI] = ELFOSABI_FREEBSD;
	assert_refused(&image, SB_ERR_INCOMPATIBLE, "another operating system");
	elf_image_close(&image);
}

/* --- patched tables -------------------------------------------------------------- */

Test(plugin_elf, hands_out_both_search_paths_or_says_that_they_lie_outside)
{
	char search[ELF_SEARCH_BYTES], *colon;
	struct plugin_note note;
	sb_error err = ERROR_INIT;
	struct elf_image image;

	elf_image_open(&image, SB_TEST_PLUGIN_DIR "/libgood_backend.so");
	elf_image_set_dynamic(&image, DT_RPATH, 1);
	elf_image_set_dynamic(&image, DT_RUNPATH, 1);
	cr_assert_eq(elf_inspect(&image.io, 3, image.size, "x.so", &note, search, &err), SB_OK, "%s", err.message);
	colon = strchr(search, ':');
	cr_assert(colon && colon > search, "\"%s\"", search);
	*colon = 0;
	cr_assert_str_eq(search, colon + 1);
	elf_image_dynamic(&image, DT_RUNPATH)->d_un.d_val = UINT64_C(1) << 40;
	assert_refused(&image, SB_ERR_CORRUPT, "its search path is outside");
	elf_image_close(&image);
}

Test(plugin_elf, a_search_path_may_be_as_long_as_there_is_room_and_no_longer)
{
	char search[ELF_SEARCH_BYTES], longest[ELF_SEARCH_BYTES] = {0};
	struct plugin_note note;
	sb_error err = ERROR_INIT;
	struct elf_image image;

	memset(longest, 'a', ELF_SEARCH_BYTES - 2);
	elf_image_open(&image, SB_TEST_PLUGIN_DIR "/libgood_backend.so");
	elf_image_set_search(&image, longest);
	cr_assert_eq(elf_inspect(&image.io, 3, image.size, "x.so", &note, search, &err), SB_OK, "%s", err.message);
	cr_assert_str_eq(search, longest);
	elf_image_close(&image);
	longest[ELF_SEARCH_BYTES - 2] = 'a';
	elf_image_open(&image, SB_TEST_PLUGIN_DIR "/libgood_backend.so");
	elf_image_set_search(&image, longest);
	assert_refused(&image, SB_ERR_INVALID, "has a search path (RUNPATH) of more than 4096 bytes");
	elf_image_close(&image);
}

Test(plugin_elf, a_read_that_fails_is_no_damage)
{
	struct elf_image image;
	struct plugin_note note;
	sb_error err = ERROR_INIT;
	int32_t status;

	elf_image_open(&image, SB_TEST_PLUGIN_DIR "/libgood_backend.so");
	elf_image_set_dynamic(&image, DT_RPATH, 1);
	do {
		image.reads = 0;
		image.fail_at++;
		status = elf_image_inspect(&image, image.size, &note, &err);
		if (status != SB_OK)
			cr_assert(status == SB_ERR_IO && err.sys_errno == EIO, "read %llu: %s",
				  (unsigned long long)image.fail_at, err.message);
	} while (status != SB_OK);
	cr_assert_gt(image.fail_at, 20);
	elf_image_close(&image);
}

Test(plugin_elf, segments_end_in_the_lower_half_of_memory)
{
	static const uint64_t sizes[] = {UINT64_MAX, INT64_MAX / 2};
	struct elf_image image;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		Elf64_Phdr *segment;

		elf_image_open(&image, SB_TEST_PLUGIN_DIR "/libgood_backend.so");
		elf_image_append(&image, "", 1);
		segment = elf_image_segment(&image, PT_DYNAMIC);
		while (segment->p_type != PT_LOAD || segment->p_vaddr == 0)
			segment++; /* the appended one */
		segment->p_memsz = sizes[i];
		assert_refused(&image, SB_ERR_CORRUPT, "a segment ends outside of memory");
		elf_image_close(&image);
	}
}

/* That of a file with unique symbols or indirect functions. */
Test(plugin_elf, takes_a_file_for_linux_by_either_name)
{
	struct plugin_note note;
	sb_error err = ERROR_INIT;
	struct elf_image image;

	elf_image_open(&image, SB_TEST_PLUGIN_DIR "/libgood_backend.so");
	elf_image_header(&image)->e_ident[EI_OSABI] = ELFOSABI_GNU;
	cr_assert_eq(elf_image_inspect(&image, image.size, &note, &err), SB_OK, "%s", err.message);
	elf_image_close(&image);
}

Test(plugin_elf, bounds_the_dynamic_section)
{
	struct elf_image image;

	elf_image_open(&image, SB_TEST_PLUGIN_DIR "/libgood_backend.so");
	elf_image_segment(&image, PT_DYNAMIC)->p_filesz = 1025 * sizeof(Elf64_Dyn);
	image.bytes = realloc(image.bytes, image.size + 1025 * sizeof(Elf64_Dyn));
	cr_assert(image.bytes);
	memset(image.bytes + image.size, 0, 1025 * sizeof(Elf64_Dyn));
	image.size += 1025 * sizeof(Elf64_Dyn);
	assert_refused(&image, SB_ERR_CORRUPT, "dynamic section is too long");
	elf_image_close(&image);
}

Test(plugin_elf, a_file_may_have_no_sections_but_not_count_those_it_lacks)
{
	struct plugin_note note;
	sb_error err = ERROR_INIT;
	struct elf_image image;

	elf_image_open(&image, SB_TEST_PLUGIN_DIR "/libgood_backend.so");
	elf_image_header(&image)->e_shoff = 0;
	assert_refused(&image, SB_ERR_CORRUPT, "counts sections");
	elf_image_header(&image)->e_shnum = 0;
	cr_assert_eq(elf_image_inspect(&image, image.size, &note, &err), SB_OK, "%s", err.message);
	elf_image_close(&image);
}

/* With more than 65279 sections the count stands in the first of them. */
Test(plugin_elf, takes_a_large_count_of_sections_from_the_first_one)
{
	struct plugin_note note;
	sb_error err = ERROR_INIT;
	struct elf_image image;
	Elf64_Shdr *first;

	elf_image_open(&image, SB_TEST_PLUGIN_DIR "/libgood_backend.so");
	first = (Elf64_Shdr *)(image.bytes + elf_image_header(&image)->e_shoff);
	first->sh_size = elf_image_header(&image)->e_shnum;
	elf_image_header(&image)->e_shnum = 0;
	cr_assert_eq(elf_image_inspect(&image, image.size, &note, &err), SB_OK, "%s", err.message);
	first->sh_size = UINT64_MAX;
	assert_refused(&image, SB_ERR_CORRUPT, "section headers lie outside");
	elf_image_close(&image);
}

Test(plugin_elf, refuses_what_is_no_shared_object)
{
	struct elf_image image;

	elf_image_open(&image, SB_TEST_PLUGIN_DIR "/libgood_backend.so");
	elf_image_header(&image)->e_type = ET_REL;
	assert_refused(&image, SB_ERR_INVALID, "not a shared object");
	elf_image_header(&image)->e_type = ET_EXEC;
	assert_refused(&image, SB_ERR_INVALID, "not a shared object");
	memcpy(image.bytes, "#!/bin/sh\n", 10);
	assert_refused(&image, SB_ERR_INVALID, "not a shared object");
	elf_image_close(&image);
}

Test(plugin_elf, refuses_a_program)
{
	struct elf_image image;

	elf_image_open(&image, "/proc/self/exe");
	if (elf_image_header(&image)->e_type == ET_DYN)
		assert_refused(&image, SB_ERR_INVALID, "is a program");
	elf_image_close(&image);
}

/* DT_HASH is all that an old linker writes. */
Test(plugin_elf, finds_the_entry_through_the_old_hash_table)
{
	struct elf_image image;
	struct plugin_note note;
	sb_error err = ERROR_INIT;

	elf_image_open(&image, SB_TEST_PLUGIN_DIR "/libgood_old_hash.so");
	cr_assert_eq(elf_image_inspect(&image, image.size, &note, &err), SB_OK, "%s", err.message);
	elf_image_close(&image);
	elf_image_open(&image, SB_TEST_PLUGIN_DIR "/libgood_old_hash.so");
	for (uint64_t at = 0; at < image.size && at < 4096; at++) {
		image.bytes[at] ^= 0xff;
		elf_image_inspect(&image, image.size, &note, &err);
		image.bytes[at] ^= 0xff;
	}
	elf_image_close(&image);
}
