/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading and writing in batches.
 *
 * A pin's bytes are LMDB's map. A read transaction keeps its pages from being used again, so pins
 * belong to a view: a transaction, and how many pins point into it. One view is kept for the present moment. A write makes
 * it a thing of the past: without pins it is reset, to be renewed by the next read, and LMDB may use the old
 * pages again at once; with pins it is let go of, and ends with its last pin. An idle view that was not reset would hold
 * every page freed since, and the file would grow without end.
 *
 * A batch is one write transaction. Values are written where LMDB puts them (MDB_RESERVE), without a copy in between.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lmdb_private.h"

/* ---------------------------------------------------------------------------
 * Views
 * ------------------------------------------------------------------------- */

static int begin_view(struct sb_backend *backend)
{
	struct view *view = calloc(1, sizeof(*view));
	int result;

	if (!view)
		return ENOMEM;
	result = mdb_txn_begin(backend->env, NULL, MDB_RDONLY, &view->txn);
	if (result) {
		free(view);
		return result;
	}
	backend->view = view;
	return 0;
}

static int view_now(struct sb_backend *backend)
{
	int result = 0;

	if (!backend->view)
		result = begin_view(backend);
	else if (backend->view_is_reset)
		result = mdb_txn_renew(backend->view->txn);
	if (!result)
		backend->view_is_reset = false;
	return result;
}

static void end_view(struct view *view)
{
	mdb_txn_abort(view->txn);
	free(view);
}

static void leave_view(struct sb_backend *backend)
{
	if (!backend->view || backend->view_is_reset)
		return;
	if (backend->view->pins) {
		backend->view = NULL;
		atomic_fetch_add_explicit(&backend->readers, 1, memory_order_relaxed);
		return;
	}
	mdb_txn_reset(backend->view->txn);
	backend->view_is_reset = true;
}

void batch_done(struct sb_backend *backend)
{
	if (backend->view)
		end_view(backend->view);
	backend->view = NULL;
}

/* ---------------------------------------------------------------------------
 * Reading
 * ------------------------------------------------------------------------- */

static int32_t read_one(struct sb_backend *backend, sb_slice key, sb_pin *ret_pin, sb_error *err)
{
	MDB_val stored;
	int result;

	memset(ret_pin, 0, sizeof(*ret_pin));
	if (key.len > KEY_BYTES_MAX)
		return errors_long_key(backend, key.len, err);
	result = layers_get(backend, backend->view->txn, key, &stored);
	if (result == MDB_NOTFOUND)
		return SB_OK;
	if (result)
		return errors_take(backend, "read", result, err);
	if (!value_decode(stored, &ret_pin->value, &ret_pin->expiry_ms))
		return errors_short_value(backend, err);
	ret_pin->owner = backend->view;
	ret_pin->found = 1;
	backend->view->pins++;
	return SB_OK;
}

int32_t batch_multi_get(sb_backend *backend, uint64_t n, const sb_slice *keys, sb_pin *pins, sb_error *err)
{
	int result = view_now(backend);

	if (result)
		return errors_take(backend, "read", result, err);
	for (uint64_t i = 0; i < n; i++) {
		int32_t status = read_one(backend, keys[i], &pins[i], err);

		if (status != SB_OK) {
			batch_unpin(backend, i, pins);
			return status;
		}
	}
	backend->counters.gets += n;
	return SB_OK;
}

void batch_unpin(sb_backend *backend, uint64_t n, sb_pin *pins)
{
	for (uint64_t i = 0; i < n; i++) {
		struct view *view = pins[i].owner;

		if (!view || --view->pins || view == backend->view)
			continue;
		end_view(view);
		atomic_fetch_sub_explicit(&backend->readers, 1, memory_order_release);
	}
}

/* ---------------------------------------------------------------------------
 * Writing
 * ------------------------------------------------------------------------- */

static int put(struct sb_backend *backend, MDB_txn *txn, const sb_op *op)
{
	uint8_t *stored;
	int result = layers_put(backend, txn, op->key, EXPIRY_BYTES + op->value.len, &stored);

	if (result)
		return result;
	expiry_store(stored, op->expiry_ms);
	if (op->value.len)
		memcpy(stored + EXPIRY_BYTES, op->value.ptr, op->value.len);
	maintain_saw_put(backend, op->expiry_ms);
	return 0;
}

static int apply(struct sb_backend *backend, MDB_txn *txn, uint64_t n, const sb_op *ops)
{
	for (uint64_t i = 0; i < n; i++) {
		int result =
			ops[i].kind == SB_OP_PUT ? put(backend, txn, &ops[i]) : layers_delete(backend, txn, ops[i].key);

		if (result && !(result == MDB_NOTFOUND && ops[i].kind == SB_OP_DELETE))
			return result;
	}
	return 0;
}

static int write_once(struct sb_backend *backend, uint64_t n, const sb_op *ops)
{
	struct layers before = backend->layers;
	MDB_txn *txn;
	int result = mdb_txn_begin(backend->env, NULL, 0, &txn);

	if (result)
		return result;
	result = apply(backend, txn, n, ops);
	if (result)
		mdb_txn_abort(txn);
	else
		result = mdb_txn_commit(txn); /* frees the transaction even when it fails */
	if (result)
		backend->layers = before;
	return result;
}

static int32_t check(const struct sb_backend *backend, uint64_t n, const sb_op *ops, sb_error *err)
{
	if (backend->read_only)
		return errors_set(
			err, SB_ERR_INVALID, 0,
			"LMDB cannot write the state of %s in %s, which was opened to be read only: open it for "
			"writing",
			backend->instance, backend->dir);
	for (uint64_t i = 0; i < n; i++) {
		if (ops[i].kind != SB_OP_PUT && ops[i].kind != SB_OP_DELETE)
			return errors_set(
				err, SB_ERR_INVALID, 0,
				"LMDB cannot apply operation %llu of a batch of %s, whose kind %u it does not "
				"know: a bug of the host",
				(unsigned long long)i, backend->instance, ops[i].kind);
		if (ops[i].key.len > KEY_BYTES_MAX)
			return errors_long_key(backend, ops[i].key.len, err);
	}
	return SB_OK;
}

static void count(struct counters *counters, uint64_t n, const sb_op *ops)
{
	for (uint64_t i = 0; i < n; i++) {
		counters->puts += ops[i].kind == SB_OP_PUT;
		counters->deletes += ops[i].kind == SB_OP_DELETE;
	}
}

int32_t batch_write(sb_backend *backend, uint64_t n, const sb_op *ops, sb_error *err)
{
	int32_t status = check(backend, n, ops, err);
	bool grown = false;
	int result;

	if (status != SB_OK || n == 0)
		return status;
	leave_view(backend);
	status = environment_make_room(backend, false, &grown, err);
	if (status != SB_OK)
		return status;
	do {
		result = write_once(backend, n, ops);
		if (result == MDB_MAP_FULL)
			status = environment_make_room(backend, true, &grown, err);
		if (status != SB_OK)
			return status;
	} while (result == MDB_MAP_FULL && grown);
	if (result)
		return errors_take(backend, "write", result, err);
	count(&backend->counters, n, ops);
	return SB_OK;
}
