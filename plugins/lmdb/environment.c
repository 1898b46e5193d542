/* SPDX-License-Identifier: Apache-2.0
 *
 * The file and its map.
 *
 * LMDB maps the whole file at one place and cannot write beyond the map. Making the map larger unmaps it, so it must
 * not happen while anybody holds a read transaction, and iterators of a checkpoint are held for long. Hence
 * two measures. We reserve far more addresses than the file will need; that costs no memory and no disk,
 * since LMDB extends the file page by page and the map is a read-only one. And where addresses are scarce
 * (ulimit -v, a sanitizer, a map_size that the user gave), the map is doubled ahead of need, when it is
 * half full and nobody reads: only a state that doubles during one checkpoint can then meet its end.
 *
 * Writes go through the file and not through the map (no MDB_WRITEMAP), so a full disk is an error
 * and not a SIGBUS. Nothing is synced: the directory is scratch.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "lmdb_private.h"

#define READERS_MAX 1024u
#define MAP_BYTES_MODEST ((uint64_t)(64 * MIB))

/* A new instance must not take up what an older one left: its moment is not the checkpoint's. */
static int32_t check_empty(const struct sb_backend *backend, sb_error *err)
{
	char path[PATH_MAX];
	struct stat st;

	snprintf(path, sizeof(path), "%s/data.mdb", backend->dir);
	if (stat(path, &st) == 0)
		return errors_set(err, SB_ERR_INVALID, EEXIST,
				  "LMDB cannot begin the state of %s in %s, which holds another one (data.mdb): empty "
				  "the directory",
				  backend->instance, backend->dir);
	return errno == ENOENT ? SB_OK : errors_take(backend, "begin", errno, err);
}

/* Without MDB_NOLOCK a reader would write to the lock file; here nobody writes meanwhile. */
static unsigned flags_of(const struct sb_backend *backend)
{
	unsigned flags = MDB_NOTLS | MDB_NOSYNC | MDB_NOMETASYNC;

	if (backend->read_only)
		flags |= MDB_RDONLY | MDB_NOLOCK;
	return backend->read_ahead ? flags : flags | MDB_NORDAHEAD;
}

/* LMDB opens the data without O_CLOEXEC. The host starts no programs, but what else runs in this process may. */
static int close_on_exec(const struct sb_backend *backend)
{
	mdb_filehandle_t fd;
	int result = mdb_env_get_fd(backend->env, &fd);

	return result ? result : fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 ? errno : 0;
}

static int try_open(struct sb_backend *backend)
{
	int result = mdb_env_create(&backend->env);

	if (!result)
		result = mdb_env_set_maxdbs(backend->env, 2);
	if (!result)
		result = mdb_env_set_maxreaders(backend->env, READERS_MAX);
	if (!result)
		result = mdb_env_set_mapsize(backend->env, backend->map_bytes);
	if (!result)
		result = mdb_env_open(backend->env, backend->dir, flags_of(backend), 0600);
	if (!result)
		result = close_on_exec(backend);
	if (result)
		environment_close(backend);
	return result;
}

/* Where addresses are limited we take few, and leave the rest to the process: it will need them. */
static int open_map(struct sb_backend *backend)
{
	int result = try_open(backend);

	if (result != ENOMEM || backend->map_bytes <= MAP_BYTES_MODEST)
		return result;
	backend->map_bytes = MAP_BYTES_MODEST;
	return try_open(backend);
}

static int open_databases(struct sb_backend *backend)
{
	MDB_txn *txn;
	unsigned create = backend->read_only ? 0 : MDB_CREATE;
	int result = mdb_txn_begin(backend->env, NULL, backend->read_only ? MDB_RDONLY : 0, &txn);

	if (result)
		return result;
	result = mdb_dbi_open(txn, "entries", create, &backend->entries);
	if (!result)
		result = mdb_dbi_open(txn, "tails", create, &backend->tails);
	if (!result)
		return mdb_txn_commit(txn);
	mdb_txn_abort(txn);
	return result;
}

int32_t environment_open(struct sb_backend *backend, sb_error *err)
{
	int32_t status = backend->read_only ? SB_OK : check_empty(backend, err);
	int result;

	if (status != SB_OK)
		return status;
	result = open_map(backend);
	if (!result)
		result = open_databases(backend);
	if (result)
		return errors_take(backend, "open", result, err);
	if (mdb_env_get_maxkeysize(backend->env) < (int)NODE_KEY_BYTES)
		return errors_set(
			err, SB_ERR_INCOMPATIBLE, 0,
			"this liblmdb takes keys of %d bytes only, and %s needs %u: use one that was built with "
			"its default",
			mdb_env_get_maxkeysize(backend->env), backend->instance, NODE_KEY_BYTES);
	return SB_OK;
}

void environment_close(struct sb_backend *backend)
{
	if (backend->env)
		mdb_env_close(backend->env);
	backend->env = NULL;
}

uint64_t environment_used_bytes(const struct sb_backend *backend)
{
	MDB_envinfo info;
	MDB_stat stat;

	/* They fail only for a NULL environment. */
	mdb_env_info(backend->env, &info);
	mdb_env_stat(backend->env, &stat);
	return ((uint64_t)info.me_last_pgno + 1) * stat.ms_psize;
}

/* LMDB gives the old map up before it asks for the new one, and cannot go on when it gets none. So we ask first. */
static bool can_address(uint64_t bytes)
{
	void *probe = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (probe == MAP_FAILED)
		return false;
	munmap(probe, bytes);
	return true;
}

int32_t environment_make_room(struct sb_backend *backend, bool full, bool *ret_grown, sb_error *err)
{
	uint64_t more = backend->map_bytes * 2;
	int result;

	*ret_grown = false;
	if (!full && environment_used_bytes(backend) < backend->map_bytes / 2)
		return SB_OK;
	/* Whoever stops reading does so in its own thread; whoever begins does so in this one. */
	if (more > (uint64_t)MAP_BYTES_MAX || atomic_load_explicit(&backend->readers, memory_order_acquire))
		return SB_OK;
	if (!can_address(more))
		return SB_OK;
	result = mdb_env_set_mapsize(backend->env, more);
	if (result)
		return errors_take(backend, "make more room for", result, err);
	backend->map_bytes = more;
	backend->counters.grown++;
	*ret_grown = true;
	return SB_OK;
}
