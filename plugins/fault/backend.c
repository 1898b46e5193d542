/* SPDX-License-Identifier: Apache-2.0
 *
 * An instance: the inner backend, opened by the host on our behalf, and what goes wrong on the way to it.
 *
 * With all options at their defaults every call is passed through as it is. A value that a short read cuts is a copy, so that
 * the inner backend gets its pins back as it gave them.
 */
#include <stdlib.h>
#include <string.h>

#include "fault_private.h"

#define INNER_OPTIONS_MAX 64

/* A pin whose owner is one of these; only in instances with short reads, and then each that found something. */
struct wrapped {
	sb_pin pin;
	uint8_t cut[];
};

/* ---------------------------------------------------------------------------
 * Opening
 * ------------------------------------------------------------------------- */

static void read_plan(const sb_option_value *options, struct plan *ret_plan)
{
	static const int32_t statuses[] = {SB_ERR_IO, SB_ERR_NO_SPACE, SB_ERR_NO_MEMORY, SB_ERR_BUSY, SB_ERR_CORRUPT};

	for (unsigned i = 0; i < FAULT_COUNT; i++) {
		ret_plan->chance[i] = options[OPTION_CHANCE(i)].f64;
		ret_plan->nth[i] = (uint64_t)options[OPTION_NTH(i)].i64;
	}
	ret_plan->seed = (uint64_t)options[OPTION_SEED].i64;
	ret_plan->delay_ms = options[OPTION_DELAY].i64;
	ret_plan->status = statuses[options[OPTION_STATUS].i64];
}

/* "a=1,b=2" becomes two texts, in place. */
static int32_t split(char *text, const char **ret_options, uint64_t *ret_count, sb_error *err)
{
	char *rest = text;
	uint64_t count = 0;

	for (char *part = strsep(&rest, ","); part; part = strsep(&rest, ",")) {
		if (!*part)
			continue;
		if (count == INNER_OPTIONS_MAX)
			return fault_error(err, SB_ERR_CONFIG, "inner_options has more than %d options: leave some out",
					   INNER_OPTIONS_MAX);
		ret_options[count++] = part;
	}
	*ret_count = count;
	return SB_OK;
}

static int32_t open_inner(struct sb_backend *backend, const sb_backend_config *config, sb_error *err)
{
	const char *options[INNER_OPTIONS_MAX];
	uint64_t count;
	char *text = strdup((const char *)config->options[OPTION_INNER_OPTIONS].text.ptr);
	int32_t status;

	if (!text)
		return fault_error(err, SB_ERR_NO_MEMORY, "the fault backend has no memory to open %s: free some",
				   config->instance);
	status = split(text, options, &count, err);
	if (status == SB_OK)
		status = backend->opener->open(config->host, (const char *)config->options[OPTION_INNER].text.ptr,
					       count, options, config->dir, config->flags, &backend->inner, err);
	free(text);
	backend->is_open = status == SB_OK;
	return status;
}

static int32_t start(struct sb_backend *backend, const sb_backend_config *config, sb_error *err)
{
	backend->host = config->host;
	backend->instance = config->instance;
	backend->inner.struct_size = sizeof(backend->inner);
	read_plan(config->options, &backend->plan);
	/* Instances of one job must not fail in step. */
	backend->dice.state = backend->plan.seed;
	for (const char *at = config->instance; *at; at++)
		backend->dice.state = dice_roll(&backend->dice) ^ (uint8_t)*at;
	backend->opener = config->host->extension(config->host, SB_EXT_BACKEND_OPEN);
	if (!backend->opener)
		return fault_error(err, SB_ERR_UNSUPPORTED,
				   "this host cannot open a backend within a backend (%s): use a newer one",
				   SB_EXT_BACKEND_OPEN);
	return open_inner(backend, config, err);
}

int32_t backend_open(const sb_backend_config *config, sb_backend **ret_backend, sb_error *err)
{
	struct sb_backend *backend = calloc(1, sizeof(*backend));
	int32_t status;

	if (!backend)
		return fault_error(err, SB_ERR_NO_MEMORY, "the fault backend has no memory to open %s: free some",
				   config->instance);
	status = start(backend, config, err);
	if (status != SB_OK) {
		backend_close(backend);
		return status;
	}
	*ret_backend = backend;
	return SB_OK;
}

/* Takes half-built ones. */
void backend_close(sb_backend *backend)
{
	if (backend->past)
		backend->inner.ops->iter_close(backend->past);
	if (backend->is_open)
		backend->opener->close(backend->host, &backend->inner);
	free(backend->kept);
	free(backend);
}

/* ---------------------------------------------------------------------------
 * Reading
 * ------------------------------------------------------------------------- */

static bool may_cut(const struct sb_backend *backend)
{
	return backend->plan.chance[FAULT_SHORT_READ] > 0 || backend->plan.nth[FAULT_SHORT_READ];
}

static bool wrap(struct sb_backend *backend, sb_pin *pin)
{
	bool is_cut = dice_fault(backend, &backend->dice, FAULT_SHORT_READ);
	uint64_t len = pin->value.len / 2;
	struct wrapped *wrapped = malloc(sizeof(*wrapped) + (is_cut ? len : 0));

	if (!wrapped)
		return false;
	wrapped->pin = *pin;
	pin->owner = wrapped;
	if (is_cut) {
		if (len)
			memcpy(wrapped->cut, pin->value.ptr, len);
		pin->value = (sb_slice){wrapped->cut, len};
	}
	return true;
}

static int32_t wrap_all(struct sb_backend *backend, uint64_t n, sb_pin *pins, sb_error *err)
{
	for (uint64_t i = 0; i < n; i++) {
		if (!pins[i].found || wrap(backend, &pins[i]))
			continue;
		backend_unpin(backend, i, pins);
		backend->inner.ops->unpin(backend->inner.backend, n - i, pins + i);
		return fault_error(err, SB_ERR_NO_MEMORY, "the fault backend has no memory to read %s: free some",
				   backend->instance);
	}
	return SB_OK;
}

int32_t backend_multi_get(sb_backend *backend, uint64_t n, const sb_slice *keys, sb_pin *pins, sb_error *err)
{
	int32_t status = dice_call(backend, &backend->dice, FAULT_MULTI_GET, err);

	if (status == SB_OK)
		status = backend->inner.ops->multi_get(backend->inner.backend, n, keys, pins, err);
	if (status == SB_OK && may_cut(backend))
		status = wrap_all(backend, n, pins, err);
	return status;
}

void backend_unpin(sb_backend *backend, uint64_t n, sb_pin *pins)
{
	for (uint64_t i = 0; may_cut(backend) && i < n; i++) {
		struct wrapped *wrapped = pins[i].owner;

		if (!pins[i].found)
			continue;
		pins[i] = wrapped->pin;
		free(wrapped);
	}
	backend->inner.ops->unpin(backend->inner.backend, n, pins);
}

/* ---------------------------------------------------------------------------
 * Writing
 * ------------------------------------------------------------------------- */

static bool may_lose(const struct sb_backend *backend)
{
	return backend->plan.chance[FAULT_LOST_WRITE] > 0 || backend->plan.nth[FAULT_LOST_WRITE];
}

static int32_t write_some(struct sb_backend *backend, uint64_t n, const sb_op *ops, sb_error *err)
{
	uint64_t kept = 0;

	if (n > backend->kept_room) {
		sb_op *more = realloc(backend->kept, n * sizeof(*more));

		if (!more)
			return fault_error(err, SB_ERR_NO_MEMORY,
					   "the fault backend has no memory to write %s: free some", backend->instance);
		backend->kept = more;
		backend->kept_room = n;
	}
	for (uint64_t i = 0; i < n; i++)
		if (!dice_fault(backend, &backend->dice, FAULT_LOST_WRITE))
			backend->kept[kept++] = ops[i];
	return backend->inner.ops->write_batch(backend->inner.backend, kept, backend->kept, err);
}

/* The first of n, but not all. */
static int32_t tear(struct sb_backend *backend, uint64_t n, const sb_op *ops, sb_error *err)
{
	uint64_t part = dice_roll(&backend->dice) % n;
	int32_t status = backend->inner.ops->write_batch(backend->inner.backend, part, ops, err);

	return status == SB_OK ? dice_fail(backend, FAULT_TORN_BATCH, err) : status;
}

int32_t backend_write_batch(sb_backend *backend, uint64_t n, const sb_op *ops, sb_error *err)
{
	int32_t status = dice_call(backend, &backend->dice, FAULT_WRITE_BATCH, err);

	if (status == SB_OK)
		status = iter_keep_past(backend, err);
	if (status != SB_OK)
		return status;
	if (n && dice_fault(backend, &backend->dice, FAULT_TORN_BATCH))
		return tear(backend, n, ops, err);
	if (may_lose(backend))
		return write_some(backend, n, ops, err);
	return backend->inner.ops->write_batch(backend->inner.backend, n, ops, err);
}

/* ---------------------------------------------------------------------------
 * The rest
 * ------------------------------------------------------------------------- */

int32_t backend_maintain(sb_backend *backend, uint64_t budget, uint64_t *ret_purged, sb_error *err)
{
	int32_t status = dice_call(backend, &backend->dice, FAULT_MAINTAIN, err);

	return status == SB_OK ? backend->inner.ops->maintain(backend->inner.backend, budget, ret_purged, err) : status;
}

static const char *const injected_names[FAULT_COUNT] = {
	[FAULT_MULTI_GET] = "fault_multi_get",	 [FAULT_WRITE_BATCH] = "fault_write_batch",
	[FAULT_ITER_OPEN] = "fault_iter_open",	 [FAULT_ITER_NEXT] = "fault_iter_next",
	[FAULT_MAINTAIN] = "fault_maintain",	 [FAULT_TORN_BATCH] = "fault_torn_batch",
	[FAULT_LOST_WRITE] = "fault_lost_write", [FAULT_STALE_ITERATOR] = "fault_stale_iterator",
	[FAULT_SHORT_READ] = "fault_short_read", [FAULT_SHORT_ITERATOR] = "fault_short_iterator",
	[FAULT_DELAY] = "fault_delay",
};

/* How often each fault came, then what the inner backend has to say. */
int32_t backend_stats(sb_backend *backend, uint64_t capacity, sb_stat *stats, uint64_t *ret_count, sb_error *err)
{
	uint64_t left = capacity > FAULT_COUNT ? capacity - FAULT_COUNT : 0;
	uint64_t inner = 0;
	int32_t status =
		backend->inner.ops->stats(backend->inner.backend, left, left ? stats + FAULT_COUNT : NULL, &inner, err);

	if (status != SB_OK && status != SB_ERR_UNSUPPORTED)
		return status;
	for (uint64_t i = 0; i < FAULT_COUNT && i < capacity; i++)
		stats[i] = (sb_stat){injected_names[i], (double)atomic_load(&backend->tally.injected[i]), "",
				     SB_METRIC_COUNTER, 0};
	*ret_count = FAULT_COUNT + (status == SB_OK ? inner : 0);
	return SB_OK;
}
