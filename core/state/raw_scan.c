/* Scans over raw states: what the backend has, and on top of it what it does not have yet.
 *
 * Own writes must be seen, so the raw entries of the key's group go to the backend first: costly when scans and writes
 * alternate. While the state of a barrier is on its way there (see write_back.c), newer entries must stay, and are laid over what the backend
 * returns, in its order. */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/slice.h"
#include "state/keyed_state_private.h"

#define SCAN_ENTRIES 64

struct scan {
	struct keyed_state *ks;
	sb_iter_options bounds;
	int64_t clock_ms;
	sb_scan_fn fn;
	void *arg;
	struct buffer key; /* scratch */
	struct ordered_entry *overlay; /* newer than what the backend has, by key */
	uint64_t overlay_count, overlay_cap;
	uint64_t overlay_at; /* ORDERED: the first one that is still to come */
};

static void done(struct scan *scan)
{
	buffer_done(&scan->key);
	free(scan->overlay);
}

/* The first key that does not start with prefix, written over it; empty when there is none. */
static void make_upper_bound(struct buffer *prefix)
{
	while (prefix->len && prefix->data[prefix->len - 1] == 0xff)
		prefix->len--;
	if (prefix->len)
		prefix->data[prefix->len - 1]++;
}

static int32_t visit(struct scan *scan, sb_slice composed, sb_slice value, int64_t expiry_ms, sb_error *err)
{
	sb_slice sub_key;

	if (expiry_reached(expiry_ms, scan->clock_ms))
		return SB_OK;
	if (composed.len < COMPOSED_PREFIX_BYTES)
		return error_set(err, SB_ERR_CORRUPT, "%s returned a key outside the bounds of its iterator",
				 scan->ks->config.backend->name);
	TRY(composed_split_raw(composed_user_part(composed), &scan->key, &sub_key, err));
	return scan->fn(scan->arg, sub_key, value);
}

static int32_t visit_overlay(struct scan *scan, const struct entry *entry, sb_error *err)
{
	if (!(entry->flags & ENTRY_PRESENT))
		return SB_OK;
	return visit(scan, entry_key(entry), entry_value(entry), entry->expiry_ms, err);
}

/* Those before key; *ret_hidden says whether key itself is among the newer ones. */
static int32_t catch_up(struct scan *scan, sb_slice key, bool *ret_hidden, sb_error *err)
{
	*ret_hidden = false;
	while (scan->overlay_at < scan->overlay_count && !*ret_hidden) {
		const struct entry *entry = scan->overlay[scan->overlay_at].entry;
		int order = slice_compare(entry_key(entry), key);

		if (order > 0)
			break;
		*ret_hidden = order == 0;
		scan->overlay_at++;
		TRY(visit_overlay(scan, entry, err));
	}
	return SB_OK;
}

/* Without an order all newer ones come at the end. */
static bool is_hidden(const struct scan *scan, sb_slice key)
{
	uint64_t low = 0, high = scan->overlay_count;

	while (low < high) {
		uint64_t middle = low + (high - low) / 2;
		int order = slice_compare(entry_key(scan->overlay[middle].entry), key);

		if (order == 0)
			return true;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

static int32_t take_entry(struct scan *scan, const sb_entry *entry, sb_error *err)
{
	bool hidden;

	if (scan->ks->config.backend->component->flags & SB_BACKEND_ORDERED)
		TRY(catch_up(scan, entry->key, &hidden, err));
	else
		hidden = is_hidden(scan, entry->key);
	return hidden ? SB_OK : visit(scan, entry->key, entry->value, entry->expiry_ms, err);
}

static int32_t walk(struct scan *scan, sb_iter *iter, sb_error *err)
{
	struct instance *backend = scan->ks->config.backend;
	sb_entry entries[SCAN_ENTRIES];
	uint64_t n;

	do {
		int32_t status = CALL_PLUGIN(&backend->calls, "iter_next", err,
					     scan->ks->ops->iter_next(iter, SCAN_ENTRIES, entries, &n, err));

		if (status != SB_OK)
			return instance_fault(backend, "iter_next", status, err);
		for (uint64_t i = 0; i < n; i++)
			TRY(take_entry(scan, &entries[i], err));
	} while (n);
	while (scan->overlay_at < scan->overlay_count)
		TRY(visit_overlay(scan, scan->overlay[scan->overlay_at++].entry, err));
	return SB_OK;
}

static int32_t run(struct scan *scan, sb_error *err)
{
	struct instance *backend = scan->ks->config.backend;
	sb_iter *iter;
	int32_t status;

	status = CALL_PLUGIN(&backend->calls, "iter_open", err,
			     scan->ks->ops->iter_open(backend->backend, &scan->bounds, &iter, err));
	if (status != SB_OK)
		return instance_fault(backend, "iter_open", status, err);
	status = walk(scan, iter, err);
	MARK_CALL(&backend->calls, "iter_close", scan->ks->ops->iter_close(iter));
	return status;
}

static bool is_within(const struct scan *scan, const struct entry *entry)
{
	return slice_compare(entry_key(entry), scan->bounds.lower) >= 0 &&
	       (scan->bounds.upper.len == 0 || slice_compare(entry_key(entry), scan->bounds.upper) < 0);
}

static int32_t add_overlay(struct scan *scan, struct entry *entry, sb_error *err)
{
	if (scan->overlay_count == scan->overlay_cap) {
		const uint64_t cap = scan->overlay_cap ? 2 * scan->overlay_cap : 64;
		struct ordered_entry *grown = realloc(scan->overlay, cap * sizeof(*grown));

		if (!grown)
			return error_no_memory(err);
		scan->overlay = grown;
		scan->overlay_cap = cap;
	}
	scan->overlay[scan->overlay_count++].entry = entry;
	return SB_OK;
}

static int32_t lay_over(struct scan *scan, uint32_t key_group, sb_error *err)
{
	const struct changed_list *list =
		&working_set_dirty(&scan->ks->set)->lists[changed_list_index(key_group, CHANGED_RAW)];

	for (struct entry *entry = list->first; entry; entry = entry->changed_next)
		if (is_within(scan, entry))
			TRY(add_overlay(scan, entry, err));
	key_order_sort(scan->overlay, scan->overlay_count);
	return SB_OK;
}

static int32_t prepare_and_run(struct scan *scan, uint64_t event, sb_error *err)
{
	struct keyed_state *ks = scan->ks;
	const uint32_t key_group = key_group_of(ks->hashes[event], ks->config.key_groups);

	write_hold_wait(ks->config.hold); /* nothing but multi_get may be called meanwhile */
	TRY(write_back_raw(ks, key_group, err));
	if (ks->sealed)
		TRY(lay_over(scan, key_group, err));
	return run(scan, err);
}

int32_t keyed_state_raw_scan(struct keyed_state *ks, uint32_t state, uint64_t event, sb_slice prefix, sb_scan_fn fn,
			     void *arg)
{
	AUTO(done)
	struct scan scan = {.ks = ks,
			    .bounds = {.struct_size = sizeof(scan.bounds), .flags = SB_ITER_SHORT},
			    .fn = fn,
			    .arg = arg,
			    .key = BUFFER_INIT};
	AUTO(buffer_done) struct buffer upper = BUFFER_INIT;
	sb_error err = ERROR_INIT;
	int32_t status;

	TRY(keyed_state_check_call(ks, state, event, SB_STATE_RAW));
	scan.clock_ms = ks->events[event].clock_ms;
	scan.bounds.lower = keyed_state_compose(ks, state, event, prefix); /* until the backend has copied it */
	buffer_append_slice(&upper, scan.bounds.lower);
	if (upper.failed || ks->raw_key.failed) {
		error_no_memory(&err);
		return keyed_state_fail(ks, SB_ERR_NO_MEMORY, &err);
	}
	make_upper_bound(&upper);
	scan.bounds.upper = buffer_slice(&upper);
	err.code = SB_OK;
	status = prepare_and_run(&scan, event, &err);
	ks->stats.gets++;
	/* A status of the caller's own function is its business; a failure of ours has a code in err. */
	return err.code != SB_OK ? keyed_state_fail(ks, status, &err) : status;
}
