/* libFuzzer on reading a checkpoint. Each input is read as it is, which the digest mostly ends, and once more after all that guards it has been
 * computed anew: the checksum of each frame in StateData, and the file's digest. So what lies behind the guards is reached. Whatever it is, the
 * reader says what is wrong with it or hands out items; and what it calls whole once, it calls whole again. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "checkpoint/reader.h"
#include "io/io.h"
#include "support/resign.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int32_t read_all(struct io *io, const char *path)
{
	struct checkpoint_reader *reader;
	struct checkpoint_item item;
	sb_error err = ERROR_INIT;
	int32_t status = checkpoint_reader_open(io, path, &reader, &err);

	if (status != SB_OK)
		return status;
	do {
		status = checkpoint_reader_next(reader, &item, &err);
	} while (status == SB_OK && item.kind != ITEM_END);
	if (status != SB_OK && !err.message[0])
		abort(); /* a refusal without a sentence */
	checkpoint_reader_close(reader);
	return status;
}

static void read_file(const uint8_t *bytes, size_t len)
{
	static int fd = -1;
	static struct io io;
	char path[64];
	sb_error err = ERROR_INIT;
	int32_t first;

	if (fd < 0) {
		io_init_system(&io);
		fd = memfd_create("checkpoint", MFD_CLOEXEC);
	}
	if (fd < 0 || ftruncate(fd, 0) != 0 || pwrite(fd, bytes, len, 0) != (ssize_t)len)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	first = read_all(&io, path);
	if (read_all(&io, path) != first)
		abort();
	checkpoint_verify(&io, path, NULL, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size + 1);

	if (!copy)
		return 0;
	read_file(data, size);
	memcpy(copy, data, size);
	copy[size] = 0;
	resign_checkpoint(copy, size);
	read_file(copy, size);
	free(copy);
	return 0;
}
