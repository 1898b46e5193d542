/* --sandbox: what the process gives up once its plugins are loaded, so that a plugin, or an input that breaks one, can do no more than the job needs.
 *
 *   files   Landlock: the job's directories and outputs for writing, its inputs, plugins and the system's libraries for reading, nothing else
 *   system  seccomp: no new programs and processes, no tracing, mounts, modules, keys, clocks; in SANDBOX_LOCAL no new sockets at all
 *
 * On the calling thread, while there is no other: whoever is started later inherits it. There is no way back. */
#ifndef HOST_SANDBOX_H
#define HOST_SANDBOX_H

#include <stdbool.h>

#include "base/log.h"
#include "sb_plugin.h"

enum sandbox_mode { SANDBOX_OFF, SANDBOX_LOCAL, SANDBOX_NET };

enum sandbox_access {
	SANDBOX_READ, /* of a file, or of all below a directory */
	SANDBOX_WRITE, /* all that is done to files below a directory */
	SANDBOX_OUTPUT, /* of a file, which is made if it is not there */
};

struct sandbox_path {
	const char *path;
	enum sandbox_access access;
};

/* Paths that are not there are left out. SB_ERR_UNSUPPORTED: this kernel cannot, and nothing was given up. */
int32_t sandbox_enter(enum sandbox_mode mode, const struct sandbox_path *paths, uint64_t count, const struct log *log,
		      sb_error *err);

#endif
