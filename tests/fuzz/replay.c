/* A main for the fuzz targets without libFuzzer: every file of a folder once, in the order of their names. So what was found once is tried again by
 * every compiler and on every machine; scripts/fuzz goes on from there. A target aborts on what it finds, and the last name in the output is the input. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void replay(const char *path)
{
	FILE *file = fopen(path, "re");
	struct stat st;
	uint8_t *bytes;

	if (!file || fstat(fileno(file), &st) != 0 || !(bytes = malloc((size_t)st.st_size + 1)) ||
	    fread(bytes, 1, (size_t)st.st_size, file) != (size_t)st.st_size) {
		perror(path);
		exit(1);
	}
	fclose(file);
	printf("%s\n", path);
	fflush(stdout);
	LLVMFuzzerTestOneInput(bytes, (size_t)st.st_size);
	free(bytes);
}

static int is_input(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

int main(int argc, char **argv)
{
	struct dirent **entries;
	int count = argc == 2 ? scandir(argv[1], &entries, is_input, alphasort) : 0;
	char path[4096];

	if (count <= 0) {
		fprintf(stderr, "usage: %s FOLDER, with inputs in it\n", argv[0]);
		return 1;
	}
	for (int i = 0; i < count; i++) {
		snprintf(path, sizeof(path), "%s/%s", argv[1], entries[i]->d_name);
		replay(path);
		free(entries[i]);
	}
	free(entries);
	return 0;
}
