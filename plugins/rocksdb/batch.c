/* SPDX-License-Identifier: Apache-2.0
 *
 * The hot path: many lookups in one MultiGet, many writes in one WriteBatch.
 *
 * A pin's bytes are RocksDB's: a block of the cache that the slice keeps there, or
 * the slice's own copy of what lay in the memtable. Either stays as it is until
 * unpin, whatever is written, and owner is that slice.
 *
 * The arrays and the batch belong to the instance and are kept, so a call of
 * the usual size allocates nothing on our side.
 */
#include <stdlib.h>
#include <string.h>

#include "rocksdb_private.h"

/* Up to here a value is laid behind its expiry in a buffer of ours; beyond it the
 * copy costs more than the vectors that the C API builds for a put in parts. */
#define ENCODED_BYTES 4096u

/* A batch that grew beyond this gives its memory back. */
#define BATCH_KEPT_BYTES ((size_t)16 << 20)

int32_t batch_init(struct sb_backend *backend, sb_error *err)
{
	backend->encoded = malloc(ENCODED_BYTES);
	if (!backend->encoded)
		return errors_no_memory(backend, "open", err);
	backend->batch = rocksdb_writebatch_create();
	return SB_OK;
}

static void lookup_done(struct lookup *lookup)
{
	free(lookup->keys);
	free(lookup->key_sizes);
	free(lookup->values);
	free(lookup->errors);
	memset(lookup, 0, sizeof(*lookup));
}

void batch_done(struct sb_backend *backend)
{
	lookup_done(&backend->lookup);
	free(backend->encoded);
	if (backend->batch)
		rocksdb_writebatch_destroy(backend->batch);
}

/* ---------------------------------------------------------------------------
 * Reading
 * ------------------------------------------------------------------------- */

static bool lookup_reserve(struct lookup *lookup, uint64_t n)
{
	uint64_t capacity = lookup->capacity ? lookup->capacity : 256;

	if (n <= lookup->capacity)
		return true;
	if (n > SIZE_MAX / sizeof(void *) / 2)
		return false;
	while (capacity < n)
		capacity *= 2;
	lookup_done(lookup);
	lookup->keys = calloc(capacity, sizeof(*lookup->keys));
	lookup->key_sizes = calloc(capacity, sizeof(*lookup->key_sizes));
	lookup->values = calloc(capacity, sizeof(*lookup->values));
	lookup->errors = calloc(capacity, sizeof(*lookup->errors));
	if (!lookup->keys || !lookup->key_sizes || !lookup->values || !lookup->errors) {
		lookup_done(lookup);
		return false;
	}
	lookup->capacity = capacity;
	return true;
}

static bool not_above(sb_slice a, sb_slice b)
{
	size_t shorter = (size_t)(a.len < b.len ? a.len : b.len);
	int order = memcmp(a.ptr, b.ptr, shorter);

	return order < 0 || (order == 0 && a.len <= b.len);
}

/* Ends at the first pair out of order, so it costs little where it does not help;
 * sorted keys spare RocksDB a sort. */
static bool is_sorted(uint64_t n, const sb_slice *keys)
{
	for (uint64_t i = 1; i < n; i++) {
		if (!not_above(keys[i - 1], keys[i]))
			return false;
	}
	return true;
}

static void read_all(struct sb_backend *backend, uint64_t n, const sb_slice *keys)
{
	struct engine *engine = &backend->engine;
	struct lookup *lookup = &backend->lookup;

	for (uint64_t i = 0; i < n; i++) {
		lookup->keys[i] = (const char *)keys[i].ptr;
		lookup->key_sizes[i] = keys[i].len;
	}
	rocksdb_batched_multi_get_cf(engine->db, engine->read_options, engine->family, n, lookup->keys,
				     lookup->key_sizes, lookup->values, lookup->errors, is_sorted(n, keys));
}

/* Reports the first failure, if any, and frees the text of all. */
static int32_t check_errors(struct sb_backend *backend, uint64_t n, sb_error *err)
{
	int32_t status = SB_OK;

	for (uint64_t i = 0; i < n; i++) {
		char *message = backend->lookup.errors[i];

		if (!message)
			continue;
		if (status == SB_OK)
			status = errors_take(backend, "read", message, err);
		else
			rocksdb_free(message);
	}
	return status;
}

static int32_t check_values(struct sb_backend *backend, uint64_t n, const sb_slice *keys, sb_error *err)
{
	for (uint64_t i = 0; i < n; i++) {
		size_t size = EXPIRY_BYTES;

		if (backend->lookup.values[i])
			rocksdb_pinnableslice_value(backend->lookup.values[i], &size);
		if (size < EXPIRY_BYTES)
			return errors_short_value(backend, keys[i], err);
	}
	return SB_OK;
}

static void release_values(struct lookup *lookup, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		if (lookup->values[i])
			rocksdb_pinnableslice_destroy(lookup->values[i]);
	}
}

static void pin_value(rocksdb_pinnableslice_t *slice, sb_pin *ret_pin)
{
	size_t size;
	const uint8_t *stored = (const uint8_t *)rocksdb_pinnableslice_value(slice, &size);

	*ret_pin = (sb_pin){
		.value = {stored + EXPIRY_BYTES, size - EXPIRY_BYTES},
		.expiry_ms = expiry_load(stored),
		.owner = slice,
		.found = 1,
	};
}

static uint64_t pin_all(struct lookup *lookup, uint64_t n, sb_pin *pins)
{
	uint64_t found = 0;

	for (uint64_t i = 0; i < n; i++) {
		if (!lookup->values[i]) {
			pins[i] = (sb_pin){0};
			continue;
		}
		pin_value(lookup->values[i], &pins[i]);
		found++;
	}
	return found;
}

int32_t batch_multi_get(sb_backend *backend, uint64_t n, const sb_slice *keys, sb_pin *pins, sb_error *err)
{
	struct lookup *lookup = &backend->lookup;

	if (n == 0)
		return SB_OK;
	if (!lookup_reserve(lookup, n))
		return errors_no_memory(backend, "read", err);
	read_all(backend, n, keys);

	int32_t status = check_errors(backend, n, err);

	if (status == SB_OK)
		status = check_values(backend, n, keys, err);
	if (status != SB_OK) {
		release_values(lookup, n);
		return status;
	}
	backend->counters.gets += n;
	backend->counters.gets_found += pin_all(lookup, n, pins);
	backend->counters.read_batches++;
	return SB_OK;
}

void batch_unpin(sb_backend *backend, uint64_t n, sb_pin *pins)
{
	(void)backend;
	for (uint64_t i = 0; i < n; i++) {
		if (pins[i].owner)
			rocksdb_pinnableslice_destroy(pins[i].owner);
		pins[i].owner = NULL;
	}
}

/* ---------------------------------------------------------------------------
 * Writing
 * ------------------------------------------------------------------------- */

static void put_in_parts(rocksdb_writebatch_t *batch, const sb_op *op)
{
	uint8_t expiry[EXPIRY_BYTES];
	const char *key = (const char *)op->key.ptr;
	size_t key_size = op->key.len;
	const char *parts[] = {(const char *)expiry, (const char *)op->value.ptr};
	size_t sizes[] = {EXPIRY_BYTES, op->value.len};

	expiry_store(expiry, op->expiry_ms);
	rocksdb_writebatch_putv(batch, 1, &key, &key_size, 2, parts, sizes);
}

static void put(struct sb_backend *backend, const sb_op *op)
{
	uint8_t *encoded = backend->encoded;

	if (op->value.len > ENCODED_BYTES - EXPIRY_BYTES) {
		put_in_parts(backend->batch, op);
		return;
	}
	expiry_store(encoded, op->expiry_ms);
	if (op->value.len)
		memcpy(encoded + EXPIRY_BYTES, op->value.ptr, op->value.len);
	rocksdb_writebatch_put(backend->batch, (const char *)op->key.ptr, op->key.len, (const char *)encoded,
			       EXPIRY_BYTES + op->value.len);
}

/* *ret_puts counts the puts among the n operations. */
static int32_t fill(struct sb_backend *backend, uint64_t n, const sb_op *ops, uint64_t *ret_puts, sb_error *err)
{
	uint64_t puts = 0;

	for (uint64_t i = 0; i < n; i++) {
		switch (ops[i].kind) {
		case SB_OP_PUT:
			put(backend, &ops[i]);
			puts++;
			break;
		case SB_OP_DELETE:
			rocksdb_writebatch_delete(backend->batch, (const char *)ops[i].key.ptr, ops[i].key.len);
			break;
		default:
			return errors_set(err, SB_ERR_INVALID, 0,
					  "RocksDB cannot apply operation %llu of a batch of %s, whose kind %u it does "
					  "not know: a bug of the host",
					  (unsigned long long)i, backend->instance, ops[i].kind);
		}
	}
	*ret_puts = puts;
	return SB_OK;
}

static int32_t write_filled(struct sb_backend *backend, sb_error *err)
{
	char *message = NULL;

	rocksdb_write(backend->engine.db, backend->engine.write_options, backend->batch, &message);
	return message ? errors_take(backend, "write", message, err) : SB_OK;
}

/* Clearing keeps the memory for the next batch, which is good up to a point. */
static void reset_batch(struct sb_backend *backend)
{
	size_t size;

	rocksdb_writebatch_data(backend->batch, &size);
	if (size <= BATCH_KEPT_BYTES) {
		rocksdb_writebatch_clear(backend->batch);
		return;
	}
	rocksdb_writebatch_destroy(backend->batch);
	backend->batch = rocksdb_writebatch_create();
}

int32_t batch_write(sb_backend *backend, uint64_t n, const sb_op *ops, sb_error *err)
{
	uint64_t puts = 0;

	if (backend->read_only)
		return errors_set(
			err, SB_ERR_INVALID, 0,
			"RocksDB cannot write the state of %s in %s, which was opened to be read only: open it "
			"for writing",
			backend->instance, backend->dir);
	if (n == 0)
		return SB_OK;

	int32_t status = fill(backend, n, ops, &puts, err);

	if (status == SB_OK)
		status = write_filled(backend, err);
	reset_batch(backend);
	if (status != SB_OK)
		return status;
	backend->counters.puts += puts;
	backend->counters.deletes += n - puts;
	backend->counters.write_batches++;
	return SB_OK;
}
