/* SPDX-License-Identifier: Apache-2.0
 * The zoo's sb.files/1: one file, which holds all entries and is never written to again. */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "backend.h"

struct head {
	uint64_t key_len, value_len;
	int64_t expiry_ms;
};

static bool write_entry(FILE *file, const struct entry *entry)
{
	struct head head = {entry->key.len, entry->value.len, entry->expiry_ms};

	if (IS(files_hold_what_was_there))
		head.expiry_ms = SB_NO_EXPIRY;
	return fwrite(&head, sizeof(head), 1, file) == 1 &&
	       fwrite(entry->bytes, 1, head.key_len + head.value_len, file) == head.key_len + head.value_len;
}

static int32_t create(sb_backend *backend, const char *dir, sb_error *err)
{
	char path[4200];
	bool good;
	FILE *file;

	snprintf(path, sizeof(path), "%s/entries", dir);
	if (mkdir(dir, 0700) != 0 || !(file = fopen(path, "wbx")))
		return fail(err, SB_ERR_IO, "cannot make the file of a checkpoint");
	good = true;
	for (uint64_t i = 0; good && i < backend->entries.count; i++)
		good = write_entry(file, backend->entries.items[i]);
	if (fclose(file) != 0 || !good)
		return fail(err, SB_ERR_IO, "cannot write the file of a checkpoint");
	return SB_OK;
}

static int32_t is_immutable(const char *name)
{
	return strcmp(name, "entries") == 0;
}

/* Nothing in the file is believed: lengths beyond the ABI's are damage. */
static struct entry *read_entry(FILE *file, const struct head *head)
{
	struct entry *entry;

	if (!IS(damaged_files_are_survived) && (head->key_len > 1 << 20 || head->value_len > (65 << 20)))
		return NULL;
	entry = malloc(sizeof(*entry) + head->key_len + head->value_len);
	if (IS(damaged_files_are_survived))
		memset(entry->bytes, 0, head->key_len + head->value_len);
	if (!entry)
		return NULL;
	atomic_init(&entry->refs, 1);
	entry->key = (sb_slice){entry->bytes, head->key_len};
	entry->value = (sb_slice){entry->bytes + head->key_len, head->value_len};
	entry->expiry_ms = head->expiry_ms;
	entry->deleted = false;
	if (fread(entry->bytes, 1, head->key_len + head->value_len, file) == head->key_len + head->value_len)
		return entry;
	free(entry);
	return NULL;
}

int32_t files_load(sb_backend *backend, sb_error *err)
{
	char path[4200];
	struct head head;
	bool good = true;
	FILE *file;

	snprintf(path, sizeof(path), "%s/entries", backend->dir);
	file = fopen(path, "rb");
	if (!file)
		return fail(err, SB_ERR_CORRUPT, "the file of the checkpoint is missing");
	if (IS(damaged_files_are_survived) && fread(&head, sizeof(head), 1, file) == 0)
		*(volatile int *)8 = 1; /* an empty one was never thought of */
	rewind(file);
	while (good && fread(&head, sizeof(head), 1, file) == 1) {
		struct entry *entry = read_entry(file, &head);

		good = entry && list_reserve(&backend->entries, backend->entries.count + 1);
		if (good)
			list_insert(&backend->entries, list_find(&backend->entries, entry->key), entry);
		else
			entry_drop(entry);
	}
	good = good && !ferror(file) && feof(file);
	fclose(file);
	return good ? SB_OK : fail(err, SB_ERR_CORRUPT, "the file of the checkpoint is damaged");
}

const sb_files_ops zoo_files = {
	.struct_size = sizeof(sb_files_ops),
	.create = create,
	.is_immutable = is_immutable,
};
