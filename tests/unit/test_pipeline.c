/* The running pipeline: every checkpoint that it writes at whatever moment is an exact cut, and every failure ends it. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "support/pipeline_rig.h"
#include "support/plain_backend.h"
#include "support/rocksdb.h"

static struct io io;
static sb_error err = ERROR_INIT;
static struct plugin *plugin;
static const struct component *loaded;
static struct option_set options;
static struct component changed;
static struct rig *rig;

static void set_up(void)
{
	io_init_system(&io);
	alarm(100); /* a hang is a failure, not a wait */
}

static void tear_down(void)
{
	if (rig)
		rig_free(rig);
	option_set_done(&options);
	plugin_free(plugin);
}

TestSuite(pipeline, .init = set_up, .fini = tear_down);

static void load(const char *name)
{
	cr_assert_eq(plugin_load(&io, name, SB_PLUGIN_DIR, &plugin, &err), SB_OK, "%s", err.message);
	cr_assert_eq(plugin_find_component(plugin, SB_KIND_BACKEND, &loaded, &err), SB_OK, "%s", err.message);
	cr_assert_eq(option_set_parse(loaded, "--backend-opt", NULL, 0, &options, &err), SB_OK, "%s", err.message);
}

static struct rig_config memory_rig(uint32_t tasks, uint64_t seed)
{
	load("memory");
	return (struct rig_config){.backend = loaded,
				   .backend_options = &options,
				   .tasks = tasks,
				   .partitions = 3,
				   .records = 15000,
				   .seed = seed,
				   .checkpoints = 25};
}

static struct rig_config plain_rig(uint32_t tasks, uint64_t seed, uint32_t flags)
{
	plain_backend_component(&changed, SB_BACKEND_ORDERED | flags);
	return (struct rig_config){.backend = &changed,
				   .tasks = tasks,
				   .partitions = 2,
				   .records = 15000,
				   .seed = seed,
				   .checkpoints = 25};
}

static void expect_exact_cuts(const struct rig_config *config)
{
	struct rig_counts counts;

	rig = rig_new(config);
	cr_assert_eq(rig_run(rig, &err), SB_OK, "%s", err.message);
	rig_get_counts(rig, &counts);
	cr_assert_geq(counts.checkpoints, 3, "the run was over before it was cut");
	cr_assert_eq(counts.failed_checkpoints, 0);
}

static void expect_failure(const struct rig_config *config, int32_t status, const char *part)
{
	rig = rig_new(config);
	cr_assert_eq(rig_run(rig, &err), status, "%s", err.message);
	cr_assert_not_null(strstr(err.message, part), "%s", err.message);
}

Test(pipeline, checkpoints_of_one_task_are_exact_cuts)
{
	struct rig_config config = memory_rig(1, 1);

	expect_exact_cuts(&config);
}

Test(pipeline, checkpoints_of_two_tasks_are_exact_cuts)
{
	struct rig_config config = memory_rig(2, 2);

	expect_exact_cuts(&config);
}

Test(pipeline, checkpoints_of_five_tasks_are_exact_cuts)
{
	struct rig_config config = memory_rig(5, 3);

	expect_exact_cuts(&config);
}

static struct rig_config rocksdb_rig(uint64_t seed)
{
	load("rocksdb");
	return (struct rig_config){.backend = loaded,
				   .backend_options = &options,
				   .tasks = 2,
				   .partitions = 2,
				   .records = 15000,
				   .seed = seed,
				   .cache_bytes = 256 << 10,
				   .checkpoints = 15};
}

Test(pipeline, checkpoints_over_rocksdb_are_exact_cuts)
{
	struct rig_config config;

	NEED_ROCKSDB();
	config = rocksdb_rig(4);
	expect_exact_cuts(&config);
}

Test(pipeline, full_checkpoints_over_rocksdb_are_exact_cuts)
{
	struct rig_config config;

	NEED_ROCKSDB();
	config = rocksdb_rig(21);
	config.full_checkpoints = true;
	expect_exact_cuts(&config);
}

/* A backend with stable views and changes, in front of which the host caches: views are opened behind the barrier. */
static struct rig_config cached_rig(uint64_t seed)
{
	struct rig_config config = memory_rig(3, seed);

	changed = *loaded;
	changed.flags &= ~SB_BACKEND_IN_MEMORY;
	config.backend = &changed;
	config.cache_bytes = 256 << 10;
	return config;
}

Test(pipeline, checkpoints_of_changes_behind_a_cache_are_exact_cuts)
{
	struct rig_config config = cached_rig(22);

	expect_exact_cuts(&config);
}

/* Of the plugin that is loaded; forgets every other mark. */
static const sb_delta_ops *remembering;
static sb_delta_ops forgetful;
static _Atomic uint64_t walks;

static int32_t open_or_forget(sb_backend *backend, uint64_t since, sb_changes **ret_changes, sb_error *error)
{
	if (atomic_fetch_add(&walks, 1) % 2)
		return error_set(error, SB_ERR_NOT_FOUND, "this mark is forgotten");
	return remembering->changes_open(backend, since, ret_changes, error);
}

static const void *forgetful_extension(const char *id)
{
	return strcmp(id, SB_EXT_DELTA) == 0 ? &forgetful : NULL;
}

static void forget_marks(void)
{
	remembering = loaded->backend.extension(SB_EXT_DELTA);
	forgetful = *remembering;
	forgetful.changes_open = open_or_forget;
	changed.backend.extension = forgetful_extension;
}

Test(pipeline, checkpoints_are_exact_cuts_when_marks_are_forgotten_at_the_barrier)
{
	struct rig_config config = memory_rig(3, 23);

	changed = *loaded;
	config.backend = &changed;
	forget_marks();
	expect_exact_cuts(&config);
	cr_assert_gt(walks, 3);
}

Test(pipeline, checkpoints_are_exact_cuts_when_marks_are_forgotten_behind_the_barrier)
{
	struct rig_config config = cached_rig(24);

	forget_marks();
	expect_exact_cuts(&config);
	cr_assert_gt(walks, 3);
}

Test(pipeline, checkpoints_by_event_time_hold_exactly_what_is_live)
{
	struct rig_config config = memory_rig(2, 5);

	config.partitions = 1;
	config.records = 20000;
	config.ttl_ms = 60;
	expect_exact_cuts(&config);
}

/* Views are opened behind the barrier, when events have moved the clock on, and the backend purges by itself: what expired in
 * between was live at the cut. */
Test(pipeline, checkpoints_by_event_time_behind_a_cache_hold_exactly_what_is_live)
{
	struct rig_config config = cached_rig(27);

	config.tasks = 2;
	config.partitions = 1;
	config.records = 20000;
	config.ttl_ms = 60;
	config.full_checkpoints = true;
	expect_exact_cuts(&config);
}

/* Of the plugin that is loaded: its instances, and the horizon of each when its view was opened. The pipeline hands a view from
 * one thread to the other, and this with it. */
static struct watched {
	sb_backend *backend;
	const sb_host *host;
	sb_iter *view;
	int64_t horizon_ms;
} watched[RIG_TASKS_MAX];
static uint32_t watched_count;
static _Atomic uint64_t views_closed, horizons_moved;

static int32_t open_watched(const sb_backend_config *config, sb_backend **ret_backend, sb_error *error)
{
	int32_t status = loaded->backend.open(config, ret_backend, error);

	if (status == SB_OK)
		watched[watched_count++] = (struct watched){.backend = *ret_backend, .host = config->host};
	return status;
}

static int32_t open_view(sb_backend *backend, const sb_iter_options *range, sb_iter **ret_iter, sb_error *error)
{
	int32_t status = loaded->backend.iter_open(backend, range, ret_iter, error);
	struct watched *at = watched;

	if (status != SB_OK || range->flags & SB_ITER_SHORT)
		return status;
	while (at->backend != backend)
		at++;
	at->view = *ret_iter;
	at->horizon_ms = at->host->expiry_horizon_ms(at->host);
	return SB_OK;
}

static void close_view(sb_iter *iter)
{
	for (uint32_t i = 0; i < watched_count; i++) {
		if (watched[i].view != iter)
			continue;
		atomic_fetch_add(&views_closed, 1);
		if (watched[i].host->expiry_horizon_ms(watched[i].host) != watched[i].horizon_ms)
			atomic_fetch_add(&horizons_moved, 1);
		watched[i].view = NULL;
	}
	loaded->backend.iter_close(iter);
}

Test(pipeline, horizon_stands_still_while_a_checkpoint_reads)
{
	struct rig_config config = memory_rig(1, 28);

	changed = *loaded;
	changed.backend.open = open_watched;
	changed.backend.iter_open = open_view;
	changed.backend.iter_close = close_view;
	config.backend = &changed;
	config.partitions = 1;
	config.records = 60000;
	config.ttl_ms = 60;
	config.full_checkpoints = true;
	expect_exact_cuts(&config);
	cr_assert_geq(views_closed, 3);
	cr_assert_eq(horizons_moved, 0);
	/* Under a sanitizer a checkpoint may take so long to read that the next one begins at once. */
	if (watched[0].horizon_ms <= 0)
		cr_skip_test("there was always a checkpoint that read, so the horizon had no time to move");
}

Test(pipeline, checkpoints_over_unstable_iterators_are_exact_cuts)
{
	static const uint32_t tasks[] = {1, 2, 5};

	for (size_t i = 0; i < 3; i++) {
		struct rig_config config = plain_rig(tasks[i], 6 + i, 0);

		config.cache_bytes = i == 1 ? 0 : 32 << 10;
		expect_exact_cuts(&config);
		rig_free(rig);
		rig = NULL;
	}
	cr_assert_eq(plain_control.overlapping, 0, "calls on one instance overlapped");
	cr_assert_eq(plain_control.overtaken, 0, "a backend was written to while its snapshot was read");
}

Test(pipeline, memory_backend_without_its_stable_iterators_gives_exact_cuts)
{
	struct rig_config config = memory_rig(5, 9);

	changed = *loaded;
	changed.flags &= ~SB_BACKEND_STABLE_ITER;
	config.backend = &changed;
	expect_exact_cuts(&config);
}

Test(pipeline, max_events_stops_at_exactly_that_many)
{
	struct rig_config config = memory_rig(2, 10);
	struct rig_counts counts;

	config.max_events = 7001;
	rig = rig_new(&config);
	cr_assert_eq(rig_run(rig, &err), SB_OK, "%s", err.message);
	cr_assert_eq(rig_last_events(rig), 7001);
	/* The rest comes with the next run, as if there had been no stop. */
	cr_assert_eq(rig_resume(rig, 0, &err), SB_OK, "%s", err.message);
	rig_get_counts(rig, &counts);
	cr_assert_gt(counts.good, 7001);
	cr_assert_eq(rig_last_events(rig), counts.good);
}

static void expect_resume(uint32_t before, uint32_t after, uint64_t seed)
{
	struct rig_config config = memory_rig(before, seed);

	config.fail_at = before == 1 ? 20000 : 4000;
	rig = rig_new(&config);
	cr_assert_eq(rig_run(rig, &err), SB_ERR_DATA, "%s", err.message);
	cr_assert_eq(rig_resume(rig, after, &err), SB_OK, "%s", err.message);
}

Test(pipeline, job_that_failed_resumes_exactly_once)
{
	expect_resume(2, 2, 11);
}

Test(pipeline, job_resumes_with_more_tasks)
{
	expect_resume(1, 5, 12);
}

Test(pipeline, job_resumes_with_fewer_tasks)
{
	expect_resume(5, 2, 13);
}

Test(pipeline, failing_operator_ends_the_run_with_its_sentence)
{
	struct rig_config config = memory_rig(5, 14);

	config.fail_at = 700;
	expect_failure(&config, SB_ERR_DATA, "(tally): process: this is event 700");
}

Test(pipeline, operator_that_fails_without_a_word_ends_the_run)
{
	struct rig_config config = memory_rig(2, 26);

	config.fail_at = 700;
	config.fail_without_a_word = true;
	expect_failure(&config, SB_ERR_DATA, "did not say why");
}

Test(pipeline, failed_service_ends_the_run_whatever_the_operator_returns)
{
	struct rig_config config = memory_rig(2, 15);

	config.fail_at = 700;
	config.fail_in_service = true;
	expect_failure(&config, SB_ERR_INVALID, "asked for state 99");
}

Test(pipeline, failing_snapshot_of_an_operator_ends_the_run)
{
	struct rig_config config = memory_rig(5, 16);

	config.fail_snapshot = true;
	expect_failure(&config, SB_ERR_IO, "snapshot: no snapshot today");
}

Test(pipeline, full_output_ends_the_run)
{
	struct rig_config config = memory_rig(5, 17);

	config.output = "/dev/full";
	expect_failure(&config, SB_ERR_NO_SPACE, "/dev/full");
}

Test(pipeline, bad_record_ends_the_run_when_it_shall)
{
	struct rig_config config = memory_rig(2, 18);

	config.stop_on_bad_record = true;
	expect_failure(&config, SB_ERR_DATA, "--on-error dead-letter");
}

Test(pipeline, output_that_cannot_be_synced_fails_the_checkpoints_and_not_the_run)
{
	struct rig_config config = memory_rig(2, 19);
	struct rig_counts counts;

	config.fsync_errno = EIO;
	rig = rig_new(&config);
	cr_assert_eq(rig_run(rig, &err), SB_ERR_IO, "%s", err.message);
	rig_get_counts(rig, &counts);
	cr_assert_geq(counts.failed_checkpoints, 2);
	cr_assert_eq(counts.good_after_failed, 0, "what was not synced once is lost, whatever a later fsync says");
}

static void expect_backend_failure(enum plain_call call, int64_t fail_in, uint32_t flags, const char *part)
{
	struct rig_config config = plain_rig(3, 20, flags);

	plain_control.fail_in[call] = fail_in;
	expect_failure(&config, SB_ERR_IO, part);
}

Test(pipeline, failed_multi_get_ends_the_run)
{
	expect_backend_failure(PLAIN_MULTI_GET, 5, 0, "multi_get: plain fault");
}

Test(pipeline, failed_write_batch_ends_the_run)
{
	expect_backend_failure(PLAIN_WRITE_BATCH, 9, 0, "write_batch: plain fault");
}

/* The first write of all: the working set holds everything until then. */
Test(pipeline, failed_write_of_a_thaw_ends_the_run)
{
	struct rig_config config = cached_rig(25);

	plain_backend_component(&changed, SB_BACKEND_ORDERED | SB_BACKEND_STABLE_ITER);
	config.backend_options = NULL;
	config.cache_bytes = 64 << 20;
	plain_control.fail_in[PLAIN_WRITE_BATCH] = 1;
	expect_failure(&config, SB_ERR_IO, "write_batch: plain fault");
}

Test(pipeline, failed_scan_ends_the_run)
{
	expect_backend_failure(PLAIN_ITER_OPEN, 40, 0, "iter_open: plain fault");
}
