/* SPDX-License-Identifier: Apache-2.0
 *
 * The life of an instance.
 */
#include <stdlib.h>

#include "lmdb_private.h"

static int32_t start(struct sb_backend *backend, const sb_backend_config *config, sb_error *err)
{
	backend->host = config->host;
	backend->instance = config->instance;
	backend->dir = config->dir;
	backend->read_only = (config->flags & SB_OPEN_READ_ONLY) != 0;
	backend->map_bytes = (uint64_t)config->options[OPTION_MAP_SIZE].i64;
	backend->read_ahead = config->options[OPTION_READ_AHEAD].i64 != 0;
	backend->earliest_ms = backend->earliest_seen_ms = INT64_MAX;
	atomic_init(&backend->readers, 0);
	if (config->flags & SB_OPEN_FILES)
		return errors_set(
			err, SB_ERR_UNSUPPORTED, 0,
			"LMDB cannot go on from the files in %s, because it never makes any for a checkpoint: "
			"restore %s from a checkpoint with entries",
			config->dir, config->instance);
	return environment_open(backend, err);
}

int32_t backend_open(const sb_backend_config *config, sb_backend **ret_backend, sb_error *err)
{
	struct sb_backend *backend = calloc(1, sizeof(*backend));
	int32_t status;

	if (!backend)
		return errors_set(err, SB_ERR_NO_MEMORY, 0, "LMDB has no memory to open %s: free some",
				  config->instance);
	status = start(backend, config, err);
	if (status != SB_OK) {
		backend_close(backend);
		return status;
	}
	*ret_backend = backend;
	return SB_OK;
}

/* Takes NULL and half-built instances. */
void backend_close(sb_backend *backend)
{
	if (!backend)
		return;
	batch_done(backend);
	environment_close(backend);
	free(backend->sweep_key);
	free(backend);
}
