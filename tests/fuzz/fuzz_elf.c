/* libFuzzer on the vetting of plugins: a file that is no library, or half of one, is refused in a sentence before anything of it runs. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "io/io.h"
#include "plugin/plugin.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Nobody else may write to the file or to a directory above it, or it is not even looked at. */
static const char *path_of_plugin(void)
{
	static char path[] = "./fuzz_elf.plugin.so";

	return path;
}

static void write_plugin(const uint8_t *data, size_t size)
{
	int fd = open(path_of_plugin(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct plugin_linkage linkage;
	sb_error err = ERROR_INIT;
	struct plugin_note note;
	struct io io;

	umask(077);
	io_init_system(&io);
	write_plugin(data, size);
	if (plugin_vet(&io, path_of_plugin(), &note, &err) != SB_OK && !err.message[0])
		abort();
	err = (sb_error)ERROR_INIT;
	if (plugin_examine_linkage(&io, path_of_plugin(), &linkage, &err) != SB_OK && !err.message[0])
		abort();
	return 0;
}
