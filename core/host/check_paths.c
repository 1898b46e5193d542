/* Paths that must not meet, checked before anything is made or emptied.
 *
 * Every start empties the state directory and cuts outputs to their length: a checkpoint or an input that lies in the one, or is the
 * other, would be gone. Files are compared by what they are (a link has another name), and where there is none yet,
 * by where they would be. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "host/job_private.h"

/* The absolute path without links, as far as it exists; what does not exist yet follows as it is. NULL: no memory, or no way there. */
static char *resolve(const char *path)
{
	char *real = realpath(path, NULL);
	AUTO(free_memory) char *parent = NULL;
	AUTO(free_memory) char *real_parent = NULL;
	const char *name;
	const char *slash;

	if (real || errno != ENOENT || !*path)
		return real;
	slash = strrchr(path, '/');
	name = slash ? slash + 1 : path;
	if (!slash)
		parent = strdup(".");
	else
		parent = slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
	real_parent = parent ? resolve(parent) : NULL;
	if (!real_parent)
		return NULL;
	return asprintf(&real, "%s/%s", strcmp(real_parent, "/") == 0 ? "" : real_parent, name) < 0 ? NULL : real;
}

static bool lies_in(const char *path, const char *dir)
{
	AUTO(free_memory) char *real_path = resolve(path);
	AUTO(free_memory) char *real_dir = resolve(dir);
	size_t len = real_dir ? strlen(real_dir) : 0;

	return real_path && real_dir && strncmp(real_path, real_dir, len) == 0 &&
	       (real_path[len] == '/' || real_path[len] == 0 || strcmp(real_dir, "/") == 0);
}

/* Devices and pipes may well be both. */
static bool is_same_file(const char *a, const char *b)
{
	AUTO(free_memory) char *real_a = NULL;
	AUTO(free_memory) char *real_b = NULL;
	struct stat of_a, of_b;
	bool has_a = stat(a, &of_a) == 0;
	bool has_b = stat(b, &of_b) == 0;

	if (has_a && has_b)
		return S_ISREG(of_a.st_mode) && of_a.st_dev == of_b.st_dev && of_a.st_ino == of_b.st_ino;
	if (has_a || has_b)
		return false;
	real_a = resolve(a);
	real_b = resolve(b);
	return real_a && real_b && strcmp(real_a, real_b) == 0;
}

static bool is_file(const char *output)
{
	return strcmp(output, "-") != 0 && strcmp(output, "none") != 0;
}

static int32_t check_outside(const struct job_config *config, const char *option, const char *path, sb_error *err)
{
	if (!lies_in(path, config->state_dir))
		return SB_OK;
	return error_set(
		err, SB_ERR_CONFIG,
		"%s %s lies in --state-dir %s, which is emptied at each start; choose another place for one of them",
		option, path, config->state_dir);
}

static int32_t check_no_input(const struct job_config *config, const char *option, const char *path, sb_error *err)
{
	for (uint64_t i = 0; i < config->input_count; i++)
		if (config->inputs[i].kind == SOURCE_FILE && is_same_file(path, config->inputs[i].path))
			return error_set(err, SB_ERR_CONFIG,
					 "%s %s is the input %s, which would be overwritten; choose another file",
					 option, path, config->inputs[i].path);
	return SB_OK;
}

static int32_t check_output(const struct job_config *config, const char *option, const char *path, sb_error *err)
{
	if (!is_file(path))
		return SB_OK;
	TRY(check_outside(config, option, path, err));
	return check_no_input(config, option, path, err);
}

int32_t check_paths(const struct job_config *config, sb_error *err)
{
	TRY(check_outside(config, "--checkpoint-dir", config->checkpoint_dir, err));
	for (uint64_t i = 0; i < config->input_count; i++)
		if (config->inputs[i].kind == SOURCE_FILE)
			TRY(check_outside(config, "--input", config->inputs[i].path, err));
	TRY(check_output(config, "--output", config->output, err));
	TRY(check_output(config, "--dead-letter", config->dead_letters, err));
	if (is_file(config->output) && is_file(config->dead_letters) &&
	    is_same_file(config->output, config->dead_letters))
		return error_set(err, SB_ERR_CONFIG, "--dead-letter %s and --output %s are one file; choose two",
				 config->dead_letters, config->output);
	return SB_OK;
}
