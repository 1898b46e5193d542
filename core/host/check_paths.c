/* Paths that must not meet, checked before anything is made or emptied.
 *
 * Every start empties the state directory and cuts outputs to their length: a checkpoint or an input that lies in the one, or is the
 * other, would be gone. Files are compared by what they are (a link has another name), and where there is none yet,
 * by where they would be. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "host/job_private.h"

/* The absolute path without links, as far as it exists; what does not exist yet follows as it is. malloc'ed; NULL, and err, on failure. */
static char *resolve(struct io *io, const char *path, sb_error *err)
{
	const char *slash = strrchr(path, '/');
	AUTO(free_memory) char *parent = NULL;
	AUTO(free_memory) char *real_parent = NULL;
	char *real = NULL;

	if (io_real_path(io, path, &real, err) != SB_OK || real)
		return real;
	parent = !slash ? strdup(".") : slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
	if (!parent)
		error_no_memory(err);
	else if (strcmp(parent, path) == 0)
		error_set(err, SB_ERR_CONFIG,
			  "the working directory is gone; start from one that is there, or use absolute paths");
	else
		real_parent = resolve(io, parent, err);
	if (!real_parent)
		return NULL;
	if (asprintf(&real, "%s/%s", strcmp(real_parent, "/") == 0 ? "" : real_parent, slash ? slash + 1 : path) < 0) {
		error_no_memory(err);
		return NULL;
	}
	return real;
}

static int32_t lies_in(struct io *io, const char *path, const char *dir, bool *ret_lies, sb_error *err)
{
	AUTO(free_memory) char *real_path = resolve(io, path, err);
	AUTO(free_memory) char *real_dir = real_path ? resolve(io, dir, err) : NULL;
	size_t len;

	if (!real_dir)
		return err->code;
	len = strlen(real_dir);
	*ret_lies = strncmp(real_path, real_dir, len) == 0 &&
		    (real_path[len] == '/' || real_path[len] == 0 || strcmp(real_dir, "/") == 0);
	return SB_OK;
}

/* Devices and pipes may well be both. */
static int32_t is_same_file(struct io *io, const char *a, const char *b, bool *ret_same, sb_error *err)
{
	AUTO(free_memory) char *real_a = NULL;
	AUTO(free_memory) char *real_b = NULL;
	struct stat of_a, of_b;
	bool has_a = false, has_b = false;

	TRY(io_stat(io, a, &of_a, &has_a, err));
	TRY(io_stat(io, b, &of_b, &has_b, err));
	*ret_same = has_a && has_b && S_ISREG(of_a.st_mode) && of_a.st_dev == of_b.st_dev && of_a.st_ino == of_b.st_ino;
	if (has_a || has_b)
		return SB_OK;
	real_a = resolve(io, a, err);
	real_b = real_a ? resolve(io, b, err) : NULL;
	if (!real_b)
		return err->code;
	*ret_same = strcmp(real_a, real_b) == 0;
	return SB_OK;
}

static bool is_file(const char *output)
{
	return strcmp(output, "-") != 0 && strcmp(output, "none") != 0;
}

static int32_t check_outside(const struct job_config *config, const char *option, const char *path, sb_error *err)
{
	bool lies = false;

	TRY(lies_in(config->io, path, config->state_dir, &lies, err));
	if (!lies)
		return SB_OK;
	return error_set(
		err, SB_ERR_CONFIG,
		"%s %s lies in --state-dir %s, which is emptied at each start; choose another place for one of them",
		option, path, config->state_dir);
}

static int32_t check_no_input(const struct job_config *config, const char *option, const char *path, sb_error *err)
{
	for (uint64_t i = 0; i < config->input_count; i++) {
		bool same = false;

		if (config->inputs[i].kind == SOURCE_FILE)
			TRY(is_same_file(config->io, path, config->inputs[i].path, &same, err));
		if (same)
			return error_set(err, SB_ERR_CONFIG,
					 "%s %s is the input %s, which would be overwritten; choose another file",
					 option, path, config->inputs[i].path);
	}
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
	bool same = false;

	TRY(check_outside(config, "--checkpoint-dir", config->checkpoint_dir, err));
	for (uint64_t i = 0; i < config->input_count; i++)
		if (config->inputs[i].kind == SOURCE_FILE)
			TRY(check_outside(config, "--input", config->inputs[i].path, err));
	TRY(check_output(config, "--output", config->output, err));
	TRY(check_output(config, "--dead-letter", config->dead_letters, err));
	if (is_file(config->output) && is_file(config->dead_letters))
		TRY(is_same_file(config->io, config->output, config->dead_letters, &same, err));
	if (same)
		return error_set(err, SB_ERR_CONFIG, "--dead-letter %s and --output %s are one file; choose two",
				 config->dead_letters, config->output);
	return SB_OK;
}
