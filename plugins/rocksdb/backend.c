/* SPDX-License-Identifier: Apache-2.0
 *
 * The life of an instance: options, engine, and the buffers of its calls.
 */
#include <stdlib.h>

#include "rocksdb_private.h"

static int32_t start(struct sb_backend *backend, const sb_backend_config *config, sb_error *err)
{
	backend->host = config->host;
	backend->instance = config->instance;
	backend->dir = config->dir;
	backend->read_only = (config->flags & SB_OPEN_READ_ONLY) != 0;
	backend->from_files = (config->flags & SB_OPEN_FILES) != 0;
	atomic_init(&backend->purged, 0);

	int32_t status = options_resolve(config, &backend->settings, err);

	if (status == SB_OK)
		status = batch_init(backend, err);
	if (status == SB_OK)
		status = engine_open(backend, err);
	return status;
}

int32_t backend_open(const sb_backend_config *config, sb_backend **ret_backend, sb_error *err)
{
	struct sb_backend *backend = calloc(1, sizeof(*backend));

	if (!backend)
		return errors_set(err, SB_ERR_NO_MEMORY, 0, "RocksDB has no memory to open %s: free some",
				  config->instance);

	int32_t status = start(backend, config, err);

	if (status != SB_OK) {
		backend_close(backend);
		return status;
	}
	*ret_backend = backend;
	return SB_OK;
}

/* Takes NULL and half-built instances. Nothing is freed before the database is
 * closed: its compactions still ask the instance for the horizon. */
void backend_close(sb_backend *backend)
{
	if (!backend)
		return;
	engine_close(backend);
	batch_done(backend);
	free(backend);
}
