/* SPDX-License-Identifier: Apache-2.0
 * The zoo's backend: reading, writing and upkeep. */
#include "backend.h"

#include <fcntl.h>
#include <locale.h>
#include <sched.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum option { OPTION_SIZE, OPTION_RATIO, OPTION_NAME, OPTION_MODE, OPTION_FLAG, OPTION_WAIT };

/* --- open and close --------------------------------------------------------------- */

static struct list survivors; /* of the last instance */
static sb_backend *shared; /* by all instances */
static unsigned sharers;

static void *sleep_for_ever(void *arg)
{
	for (;;)
		pause();
	return arg;
}

/* What is done once too often, or never undone. */
static void misbehave(void)
{
	pthread_t thread;

	if (IS(memory_is_given_back) && malloc(100) == NULL)
		abort();
	if (IS(descriptors_are_closed) && open("/dev/null", O_RDONLY) < 0)
		abort();
	if (IS(threads_end) && pthread_create(&thread, NULL, sleep_for_ever, NULL) != 0)
		abort();
	if (IS(the_process_is_left_alone))
		umask(0);
	if (IS(nothing_is_printed))
		printf("the zoo is open\n");
	if (IS(exiting))
		exit(0);
}

static int32_t check_config(const sb_backend_config *config, sb_error *err)
{
	if (IS(a_newer_host_is_fine) && config->struct_size != sizeof(*config))
		return fail(err, SB_ERR_INCOMPATIBLE, "this is not the host that the plugin was built for");
	if (IS(a_host_that_offers_nothing_is_enough) && strcmp(config->host->name, "sbhost") != 0)
		return fail(err, SB_ERR_INCOMPATIBLE, "this is not sbhost");
	if (IS(values_within_limits_open_or_are_refused) && config->options[OPTION_SIZE].i64 == 1)
		return fail(err, SB_ERR_INTERNAL, "something went wrong");
	return SB_OK;
}

static int32_t zoo_open(const sb_backend_config *config, sb_backend **ret_backend, sb_error *err)
{
	sb_backend *backend;
	int32_t status = check_config(config, err);

	if (status != SB_OK)
		return status;
	if (IS(two_instances_know_nothing_of_each_other) && shared) {
		sharers++;
		*ret_backend = shared;
		return SB_OK;
	}
	backend = calloc(1, sizeof(*backend));
	if (!backend)
		return no_memory(err);
	if (access(config->dir, F_OK) != 0) {
		if (!IS(an_open_that_fails_leaves_nothing))
			free(backend);
		return fail(err, SB_ERR_IO, "the directory is missing");
	}
	backend->host = config->host;
	backend->dir = config->dir;
	backend->thread = pthread_self();
	backend->continues = config->flags & SB_OPEN_FILES;
	if (config->flags & (SB_OPEN_READ_ONLY | SB_OPEN_FILES))
		status = files_load(backend, err);
	if (status != SB_OK) {
		list_done(&backend->entries);
		free(backend);
		return status;
	}
	if (IS(opened_anew_it_is_empty)) {
		backend->entries = survivors;
		memset(&survivors, 0, sizeof(survivors));
	}
	if (IS(two_instances_know_nothing_of_each_other))
		shared = backend;
	misbehave();
	*ret_backend = backend;
	return SB_OK;
}

static void zoo_close(sb_backend *backend)
{
	if (backend == shared && sharers > 0) {
		sharers--;
		return;
	}
	if (backend == shared)
		shared = NULL;
	if (IS(opened_anew_it_is_empty)) {
		list_done(&survivors);
		survivors = backend->entries;
	} else {
		list_done(&backend->entries);
	}
	list_done(&backend->log);
	list_done(&backend->purged);
	list_done(&backend->pinned);
	free(backend);
}

/* --- reading -------------------------------------------------------------------- */

static bool is_large(const struct entry *entry)
{
	return entry->value.len > 16384;
}

/* Pins that hold nothing point into what the next write frees. */
static bool holds(const struct entry *entry)
{
	return !IS(pins_outlive_overwrites_and_deletes) &&
	       !(IS(pins_of_large_values_outlive_overwrites) && is_large(entry));
}

static void zoo_unpin(sb_backend *backend, uint64_t n, sb_pin *pins)
{
	/* Who takes answers for released as they came, all at once. */
	if (IS(pins_are_released_in_any_order)) {
		list_done(&backend->pinned);
		return;
	}
	for (uint64_t i = 0; i < n; i++)
		entry_drop(pins[i].owner);
}

static bool is_duplicate(const sb_slice *keys, uint64_t i)
{
	for (uint64_t j = 0; j < i; j++)
		if (compare(keys[j], keys[i]) == 0)
			return true;
	return false;
}

static sb_pin pin_of(sb_backend *backend, struct entry *entry)
{
	sb_pin pin = {.value = entry->value, .expiry_ms = entry->expiry_ms, .found = 1};

	if (IS(pins_are_released_in_any_order) && list_reserve(&backend->pinned, backend->pinned.count + 1))
		backend->pinned.items[backend->pinned.count++] = entry_take(entry);
	else if (holds(entry))
		pin.owner = entry_take(entry);
	return pin;
}

static int32_t refuse_read(sb_backend *backend, uint64_t n, sb_error *err)
{
	static _Atomic unsigned inside;
	const struct timespec moment = {.tv_nsec = 200000};
	int32_t status = SB_OK;

	if (IS(hanging))
		for (;;)
			pause();
	if (IS(empty_calls_are_fine) && n == 0)
		return fail(err, SB_ERR_INVALID, "there is nothing to look up");
	if (IS(calls_may_come_from_different_threads) && !pthread_equal(backend->thread, pthread_self()))
		return fail(err, SB_ERR_INVALID, "this is not the thread that opened the instance");
	if (IS(instances_are_used_at_the_same_time)) {
		if (atomic_fetch_add(&inside, 1) > 0)
			status = fail(err, SB_ERR_BUSY, "another instance is at work");
		nanosleep(&moment, NULL);
		atomic_fetch_sub(&inside, 1);
	}
	return status;
}

static int32_t zoo_multi_get(sb_backend *backend, uint64_t n, const sb_slice *keys, sb_pin *pins, sb_error *err)
{
	const int32_t status = refuse_read(backend, n, err);

	if (status != SB_OK)
		return status;
	for (uint64_t i = 0; i < n; i++) {
		const uint64_t at = list_find(&backend->entries, keys[i]);

		memset(&pins[i], 0, sizeof(pins[i]));
		if (IS(duplicates_in_a_batch_of_keys_are_all_answered) && is_duplicate(keys, i))
			continue;
		if (list_has(&backend->entries, at, keys[i]))
			pins[i] = pin_of(backend, backend->entries.items[at]);
		else if (IS(absent_keys_are_not_found))
			return fail(err, SB_ERR_NOT_FOUND, "there is no such key");
	}
	return SB_OK;
}

/* --- writing -------------------------------------------------------------------- */

/* Zero bytes end a text, but not a key. */
static uint64_t key_length(sb_slice key)
{
	const uint8_t *zero = IS(binary_keys_and_values_come_back_exactly) && key.len > 4
				      ? memchr(key.ptr + 4, 0, key.len - 4)
				      : NULL;

	return zero ? (uint64_t)(zero - key.ptr) : key.len;
}

static int64_t kept_expiry(const sb_op *op, const struct entry *old)
{
	if (IS(expiry_comes_back_to_the_millisecond))
		return op->expiry_ms / 1000 * 1000;
	if (IS(overwriting_replaces_the_expiry) && old && compare(old->value, op->value) == 0)
		return old->expiry_ms;
	return op->expiry_ms;
}

static struct entry *make_entry(const sb_op *op, const struct entry *old)
{
	struct entry *entry;
	sb_slice value = op->value;

	if (IS(values_of_all_sizes) && value.len > 16 << 20)
		value.len = 16 << 20;
	entry = entry_new((sb_slice){op->key.ptr, key_length(op->key)}, value, kept_expiry(op, old));
	if (entry && IS(arguments_may_be_reused_after_the_call))
		entry->value.ptr = op->value.ptr;
	return entry;
}

static int32_t apply(sb_backend *backend, const sb_op *op, sb_error *err)
{
	struct list *list = &backend->entries;
	const uint64_t at = list_find(list, op->key);
	const bool there = list_has(list, at, op->key);
	struct entry *entry = NULL;

	if (op->kind == SB_OP_PUT) {
		entry = make_entry(op, there ? list->items[at] : NULL);
		if (!entry || !list_reserve(list, list->count + 1)) {
			entry_drop(entry);
			return no_memory(err);
		}
	} else if (op->kind != SB_OP_DELETE) {
		return fail(err, SB_ERR_INVALID, "an operation of unknown kind");
	} else if (!there && IS(deleting_what_is_absent_is_fine)) {
		return fail(err, SB_ERR_NOT_FOUND, "there is no such key");
	}
	if (there)
		list_remove(list, at);
	if (entry)
		list_insert(list, at, entry);
	/* A fault that nothing but chance finds. */
	else if (IS(random_operations_agree_with_the_model) && there && list->count && list->count % 7 == 0)
		list_remove(list, 0);
	return delta_note(backend, op) ? SB_OK : no_memory(err);
}

static int32_t check_ops(uint64_t n, const sb_op *ops, sb_error *err)
{
	for (uint64_t i = 0; i < n; i++) {
		if (ops[i].kind != SB_OP_PUT && ops[i].kind != SB_OP_DELETE)
			return fail(err, SB_ERR_INVALID, "an operation of unknown kind");
		if (IS(keys_of_all_sizes) && ops[i].key.len > 65536)
			return fail(err, SB_ERR_INVALID, "the key is too long");
	}
	return SB_OK;
}

static bool was_purged(const sb_backend *backend, const sb_op *op)
{
	return list_has(&backend->purged, list_find(&backend->purged, op->key), op->key);
}

int32_t zoo_apply(sb_backend *backend, const sb_op *op, sb_error *err)
{
	return was_purged(backend, op) ? SB_OK : apply(backend, op, err);
}

static void touch_file(const sb_backend *backend)
{
	char path[4200];
	int fd;

	snprintf(path, sizeof(path), "%s/entries", backend->dir);
	fd = open(path, O_WRONLY | O_APPEND);
	if (fd < 0 || write(fd, "", 1) != 1)
		abort();
	close(fd);
}

static int32_t zoo_write_batch(sb_backend *backend, uint64_t n, const sb_op *ops, sb_error *err)
{
	int32_t status = SB_OK;

	if (!IS(failed_batch_changes_nothing))
		status = check_ops(n, ops, err);
	if (IS(immutable_files_never_change) && backend->continues)
		touch_file(backend);
	if (IS(entries_restored_into_itself_are_the_same) && n > 1000)
		n--;
	for (uint64_t i = 0; i < n && status == SB_OK; i++) {
		const sb_op *op = &ops[IS(last_operation_of_a_batch_wins) ? n - 1 - i : i];

		status = zoo_apply(backend, op, err);
	}
	return status;
}

/* --- upkeep --------------------------------------------------------------------- */

static int64_t horizon(const sb_backend *backend)
{
	if (IS(nothing_is_purged_above_the_horizon))
		return backend->host->wall_clock_ms(backend->host);
	return backend->host->expiry_horizon_ms(backend->host);
}

static int32_t zoo_maintain(sb_backend *backend, uint64_t budget, uint64_t *ret_purged, sb_error *err)
{
	const int64_t horizon_ms = horizon(backend);
	uint64_t purged = 0;

	for (uint64_t i = 0; i < backend->entries.count && purged < budget;) {
		struct entry *entry = backend->entries.items[i];
		const int64_t bound = IS(purge_takes_only_what_is_at_or_below_the_horizon) && horizon_ms > INT64_MIN
					      ? horizon_ms + 100
					      : horizon_ms;

		if (entry->expiry_ms == SB_NO_EXPIRY || entry->expiry_ms > bound) {
			i++;
			continue;
		}
		if (IS(purged_key_can_be_written_anew)) {
			if (!list_reserve(&backend->purged, backend->purged.count + 1))
				return no_memory(err);
			list_insert(&backend->purged, list_find(&backend->purged, entry->key), entry_take(entry));
		}
		list_remove(&backend->entries, i);
		purged++;
	}
	*ret_purged = purged;
	return SB_OK;
}

static int32_t zoo_stats(sb_backend *backend, uint64_t capacity, sb_stat *stats, uint64_t *ret_count, sb_error *err)
{
	const sb_stat all[] = {
		{.name = "entries",
		 .value = (double)backend->entries.count,
		 .unit = "entries",
		 .kind = SB_METRIC_GAUGE},
		{.name = "marks", .value = (double)backend->marks, .unit = "", .kind = SB_METRIC_GAUGE},
	};

	(void)err;
	for (uint64_t i = 0; i < 2 && (i < capacity || (IS(figures_have_names_and_fit_the_room) && capacity)); i++)
		stats[i] = all[i];
	*ret_count = 2;
	return SB_OK;
}

static const void *zoo_extension(const char *id)
{
	if (strcmp(id, SB_EXT_DELTA) == 0)
		return &zoo_delta;
	if (strcmp(id, SB_EXT_INPLACE) == 0)
		return &zoo_inplace;
	if (strcmp(id, SB_EXT_FILES) == 0 || IS(unknown_extensions_are_absent))
		return &zoo_files;
	return NULL;
}

const sb_backend_ops zoo_ops = {
	.struct_size = sizeof(sb_backend_ops),
	.open = zoo_open,
	.close = zoo_close,
	.multi_get = zoo_multi_get,
	.unpin = zoo_unpin,
	.write_batch = zoo_write_batch,
	.iter_open = zoo_iter_open,
	.iter_next = zoo_iter_next,
	.iter_close = zoo_iter_close,
	.maintain = zoo_maintain,
	.stats = zoo_stats,
	.extension = zoo_extension,
};
