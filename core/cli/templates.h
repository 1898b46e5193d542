/* The files that "sbhost plugin new" writes, built into the program from core/cli/templates, include and cmake. */
#ifndef CLI_TEMPLATES_H
#define CLI_TEMPLATES_H

#include <stddef.h>
#include <stdint.h>

struct template_file {
	const char *name; /* without folders: "backend.c" */
	const uint8_t *bytes;
	size_t len;
};

extern const struct template_file template_files[];
extern const size_t template_file_count;

#endif
