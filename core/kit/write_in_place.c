/* See write_in_place.h. */
#include "kit/write_in_place.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct round {
	const struct write_in_place *with;
	uint64_t n;
	const sb_op *ops;
	sb_slice keys[WRITE_IN_PLACE_MAX];
	sb_place places[WRITE_IN_PLACE_MAX];
	bool last[WRITE_IN_PLACE_MAX]; /* the operation that counts for its key */
	sb_op later[WRITE_IN_PLACE_MAX];
	uint64_t later_count;
	sb_error err;
};

#define NOTED(with, ops, callback, ...)                                                                                \
	((with)->witness ? CALL((with)->witness, (with)->ops, callback, (with)->backend, __VA_ARGS__)                  \
			 : (with)->ops->callback((with)->backend, __VA_ARGS__))

static bool same(sb_slice a, sb_slice b)
{
	return a.len == b.len && (!a.len || !memcmp(a.ptr, b.ptr, a.len));
}

static const char *check_answer(const sb_place *place)
{
	if (place->kind)
		return "find has set kind";
	if (!(place->flags & SB_PLACE_FOUND))
		return place->value || place->value_len || place->expiry_ms || place->flags
			       ? "a place that was not found says something"
			       : NULL;
	if ((uintptr_t)place->value % 16)
		return "a value is not aligned to 16";
	return NULL;
}

/* What was there must be there still, wherever it lies now. */
static const char *make_writable(struct round *r, uint64_t i)
{
	sb_place *place = &r->places[i];
	const struct write_in_place *with = r->with;
	uint64_t len = r->ops[i].value.len;
	const bool was_found = place->flags & SB_PLACE_FOUND;
	bool kept = true;
	uint8_t *before;

	if (place->flags & SB_PLACE_WRITABLE)
		return NULL;
	before = malloc(len + 1);
	if (!before)
		return "out of memory";
	if (was_found && len)
		memcpy(before, place->value, len);
	if (NOTED(with, inplace, write, r->keys[i], len, place, &r->err) != SB_OK) {
		free(before);
		return r->err.message;
	}
	if (was_found && len)
		kept = !memcmp(before, place->value, len);
	free(before);
	if (!kept)
		return "write has lost the bytes of an entry";
	if ((place->flags & (SB_PLACE_WRITABLE | SB_PLACE_FOUND)) != (SB_PLACE_WRITABLE | SB_PLACE_FOUND) ||
	    place->value_len != len || (uintptr_t)place->value % 16)
		return "write gave a place that is not found, not writable, not aligned or of another length";
	return NULL;
}

static const char *change(struct round *r, uint64_t i)
{
	const sb_op *op = &r->ops[i];
	sb_place *place = &r->places[i];
	const char *failure;

	if (op->kind == SB_OP_DELETE) {
		place->kind = SB_OP_DELETE;
		return NULL;
	}
	if (place->flags & SB_PLACE_FOUND && place->value_len != op->value.len) {
		r->later[r->later_count++] = *op;
		return NULL;
	}
	failure = make_writable(r, i);
	if (failure)
		return failure;
	if (op->value.len)
		memcpy(place->value, op->value.ptr, op->value.len);
	place->expiry_ms = op->expiry_ms;
	place->kind = SB_OP_PUT;
	return NULL;
}

static const char *run(struct round *r)
{
	const struct write_in_place *with = r->with;
	const char *failure = NULL;

	if (NOTED(with, inplace, find, r->n, r->keys, r->places, &r->err) != SB_OK)
		return r->err.message;
	for (uint64_t i = 0; i < r->n && !failure; i++) {
		failure = check_answer(&r->places[i]);
		if (!failure && with->found)
			with->found(with->arg, r->keys[i], &r->places[i]);
	}
	for (uint64_t i = 0; i < r->n && !failure; i++) {
		if (with->between && i == r->n / 2)
			with->between(with->arg);
		if (r->last[i])
			failure = change(r, i);
	}
	if (failure)
		return failure;
	if (NOTED(with, inplace, finish, r->n, r->keys, r->places, &r->err) != SB_OK)
		return r->err.message;
	if (NOTED(with, ops, write_batch, r->later_count, r->later, &r->err) != SB_OK)
		return r->err.message;
	return NULL;
}

const char *write_in_place(const struct write_in_place *with, uint64_t n, const sb_op *ops)
{
	static _Thread_local struct round r;

	if (n > WRITE_IN_PLACE_MAX)
		return "the batch is too long for the test";
	memset(&r, 0, sizeof(r));
	memset(r.places, 0xA5, sizeof(r.places)); /* find fills in every member, whatever was there */
	r.err.struct_size = sizeof(r.err);
	r.with = with;
	r.n = n;
	r.ops = ops;
	for (uint64_t i = 0; i < n; i++) {
		r.keys[i] = ops[i].key;
		r.last[i] = true;
		for (uint64_t later = i + 1; later < n && r.last[i]; later++)
			r.last[i] = !same(ops[i].key, ops[later].key);
	}
	return run(&r);
}
