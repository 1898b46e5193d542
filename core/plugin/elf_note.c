/* The note that tells name, version and ABI while the plugin is still only a file. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "plugin/elf_private.h"

#define NOTES_BYTES_MAX 65536

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
		return elf_damaged(elf, "its sbhost note is too short");
	memcpy(&major, body, sizeof(major));
	if (major != SB_ABI_MAJOR)
		return elf_refuse_major(elf, major);
	note->abi_major = major;
	memcpy(&note->abi_minor, body + 4, sizeof(note->abi_minor));
	if (!take_note_texts(body + 8, len - 8, note))
		return elf_damaged(elf, "its sbhost note has no name or version, or they are too long");
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
			return elf_damaged(elf, "a note is longer than its segment");
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
		return elf_damaged(elf, "its notes are too long");
	bytes = malloc(segment->p_filesz + 1);
	if (!bytes)
		return error_no_memory(elf->err);
	TRY(elf_read_at(elf, segment->p_offset, bytes, segment->p_filesz, "its notes lie outside of the file"));
	return scan_notes(elf, bytes, segment->p_filesz, segment->p_align == 8 ? 8 : 4, note, ret_found);
}

int32_t elf_find_note(struct elf *elf, struct plugin_note *ret_note)
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
