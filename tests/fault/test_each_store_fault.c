/* As test_each_fault.c, for what changes a checkpoint directory: a start, a collection, setting checkpoints aside, files put into shared/ and taken
 * out of it. Each attempt has a copy of one directory that holds all that can lie in one: chains, native checkpoints, damaged ones,
 * abandoned ones, temporaries of the dead and of the living, and files that are none of ours. What a failure leaves is good for the same step again. */
#include <criterion/criterion.h>
#include <errno.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/slice.h"
#include "checkpoint/coordinator.h"
#include "checkpoint/heads.h"
#include "checkpoint/shared.h"
#include "checkpoint/sweep.h"
#include "fault/checkpoint_fixture.h"
#include "fault/fault_step.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define FIRST "the first file of a backend"
#define SECOND "another file of that backend, and a longer one"

static char dir[128], ground[160], run[160];

/* --- the ground ------------------------------------------------------------------ */

static void in(const char *folder, const char *name, char path[512])
{
	snprintf(path, 512, "%s/%s", folder, name);
}

static void make_folder(const char *name)
{
	sb_error err = ERROR_INIT;
	char path[512];
	struct io io;

	io_init_system(&io);
	in(ground, name, path);
	cr_assert_eq(io_mkdir_p(&io, path, &err), SB_OK, "%s", err.message);
}

static void make_file(const char *name, const char *content)
{
	char path[512];

	in(ground, name, path);
	file_write(path, content, strlen(content));
}

static void hash_text(const char *text, char ret_hex[CHECKPOINT_SHA256_HEX + 1])
{
	uint8_t digest[SHA256_DIGEST_SIZE];
	struct sha256_ctx context;

	sha256_init(&context);
	sha256_update(&context, strlen(text), (const uint8_t *)text);
	sha256_digest(&context, sizeof(digest), digest);
	for (size_t i = 0; i < sizeof(digest); i++)
		snprintf(ret_hex + 2 * i, 3, "%02x", digest[i]);
}

static void make_shared(const char *content)
{
	char name[CHECKPOINT_SHA256_HEX + 16] = "shared/";

	hash_text(content, name + strlen(name));
	make_file(name, content);
}

static void write_to(const char *folder, struct fixture *fixture)
{
	sb_error err = ERROR_INIT;
	char path[512];
	struct io io;

	io_init_system(&io);
	in(ground, folder, path);
	cr_assert_eq(fixture_write(&io, path, fixture, CODEC_LZ4, NULL, &err), SB_OK, "%s", err.message);
	fixture_done(fixture);
}

/* parent 0: a full one. */
static void write_entries(const char *folder, uint64_t number, uint64_t parent, uint32_t depth)
{
	struct fixture fixture;

	fixture_init(&fixture, number, number, 20);
	if (parent)
		fixture_build_on(&fixture, parent, depth);
	write_to(folder, &fixture);
}

static void write_native(const char *folder, uint64_t number, uint64_t files)
{
	static const char *const contents[] = {FIRST, SECOND};
	struct fixture fixture;

	fixture_init(&fixture, number, number, 0);
	fixture.meta.kind = CHECKPOINT_INCREMENTAL;
	fixture.meta.files = calloc(files, sizeof(*fixture.meta.files));
	fixture.meta.file_count = files;
	for (uint64_t i = 0; i < files; i++) {
		struct file_meta *file = &fixture.meta.files[i];

		file->snapshot = strdup("backend-0");
		file->name = strdup(i ? "b.sst" : "a.sst");
		file->bytes = (int64_t)strlen(contents[i]);
		hash_text(contents[i], file->sha256);
	}
	write_to(folder, &fixture);
}

static void make_litter(void)
{
	char name[64];

	make_file("checkpoint-3.json.tmp", "{");
	make_file("checkpoint-99.json.tmp", "{");
	make_file("notes.txt", "no file of ours");
	make_folder("tmp-checkpoint-3-backend-0");
	make_file("tmp-checkpoint-3-backend-0/a.sst", FIRST);
	snprintf(name, sizeof(name), "tmp-read-%d-backend-0", (int)getpid());
	make_folder(name);
	make_folder("tmp-read-2147483647-backend-0"); /* nobody's: numbers of processes end far below */
	make_folder("tmp-read-nobody");
	make_file("shared/tmp-left", "half of a file");
	make_file("shared/notes.txt", "no file of ours");
	make_shared("what nobody names any more");
	make_shared(FIRST);
	make_shared(SECOND);
}

static void make_ground(void)
{
	make_folder("shared");
	make_folder("abandoned");
	make_folder("quarantine");
	write_entries(".", 1, 0, 0);
	write_entries(".", 2, 1, 1);
	write_entries(".", 3, 2, 2);
	write_native(".", 4, 1);
	write_native(".", 5, 2);
	write_entries(".", 6, 0, 0);
	write_entries(".", 7, 6, 1);
	write_entries(".", 8, 7, 2);
	make_file("checkpoint-9.json", "{");
	write_entries("abandoned", 10, 2, 2);
	write_native("quarantine", 11, 1);
	make_file("quarantine/checkpoint-12.json", "{");
	make_litter();
}

static void prepare(void)
{
	scratch_remove(run);
	scratch_copy(ground, run);
}

/* In memory where that can be: the ground is copied thousands of times. */
static void set_up(void)
{
	if (access("/dev/shm", W_OK) == 0)
		setenv("TMPDIR", "/dev/shm", 0);
	scratch_make(dir);
	snprintf(ground, sizeof(ground), "%s/ground", dir);
	snprintf(run, sizeof(run), "%s/run", dir);
	make_ground();
}

static void tear_down(void)
{
	scratch_remove(dir);
}

TestSuite(each_store_fault, .init = set_up, .fini = tear_down);

/* --- the steps --------------------------------------------------------------------- */

/* Locked, but not tidied up: that is a step of its own. */
static int32_t with_store(struct io *io, int32_t (*step)(struct checkpoint_store *store, sb_error *err), sb_error *err)
{
	struct checkpoint_store *store;
	int32_t status;

	TRY(checkpoint_store_open(io, &silent_log, run, true, false, &store, err));
	status = checkpoint_store_lock(store, err);
	if (status == SB_OK)
		status = step(store, err);
	checkpoint_store_close(store);
	return status;
}

static int32_t start(struct io *io, sb_error *err)
{
	struct checkpoint_store *store;

	TRY(checkpoint_store_open(io, &silent_log, run, true, true, &store, err));
	checkpoint_store_close(store);
	return SB_OK;
}

static int32_t collect_two(struct checkpoint_store *store, sb_error *err)
{
	uint64_t removed;

	return checkpoint_store_collect(store, 2, &removed, err);
}

static int32_t collect(struct io *io, sb_error *err)
{
	return with_store(io, collect_two, err);
}

static int32_t restore_newest(struct checkpoint_store *store, sb_error *err)
{
	struct checkpoint_reader *reader;
	uint64_t damaged;

	TRY(checkpoint_store_open_newest(store, NULL, true, &reader, &damaged, err));
	checkpoint_reader_close(reader);
	return SB_OK;
}

static int32_t restore(struct io *io, sb_error *err)
{
	return with_store(io, restore_newest, err);
}

/* One file by a link, one by a copy, as a restore takes them over. */
static int32_t take_files(struct checkpoint_store *store, const struct checkpoint_meta *meta, sb_error *err)
{
	char path[512];

	for (uint64_t i = 0; i < meta->file_count; i++) {
		in(run, meta->files[i].name, path);
		unlink(path);
		TRY(checkpoint_store_take_file(store, &meta->files[i], i == 0, true, path, err));
	}
	return SB_OK;
}

static int32_t restore_named(struct checkpoint_store *store, sb_error *err)
{
	struct checkpoint_reader *reader;
	uint64_t damaged;
	int32_t status;

	TRY(checkpoint_store_open_newest(store, "checkpoint-5", false, &reader, &damaged, err));
	status = take_files(store, checkpoint_reader_meta(reader), err);
	checkpoint_reader_close(reader);
	return status;
}

static int32_t restore_native(struct io *io, sb_error *err)
{
	return with_store(io, restore_named, err);
}

static int32_t verify_both(struct checkpoint_store *store, sb_error *err)
{
	TRY(checkpoint_store_verify(store, "checkpoint-8", err));
	return checkpoint_store_verify(store, "checkpoint-5", err);
}

static int32_t verify(struct io *io, sb_error *err)
{
	return with_store(io, verify_both, err);
}

static int32_t abandon_some(struct checkpoint_store *store, sb_error *err)
{
	uint64_t count;

	TRY(checkpoint_store_abandon_newer(store, "checkpoint-6", &count, err));
	return checkpoint_store_abandon_others(store, "checkpoint-5", &count, err);
}

static int32_t abandon(struct io *io, sb_error *err)
{
	return with_store(io, abandon_some, err);
}

static int32_t number_next(struct checkpoint_store *store, sb_error *err)
{
	char id[CHECKPOINT_ID_BYTES];
	struct fake_clock clock;

	fake_clock_init(&clock, 1);
	TRY(checkpoint_store_next_id(store, &clock.clock, id, err));
	return strcmp(id, "checkpoint-100") == 0 ? SB_OK : error_set(err, SB_ERR_INTERNAL, "%s comes next", id);
}

static int32_t number(struct io *io, sb_error *err)
{
	return with_store(io, number_next, err);
}

static int32_t check_each(struct checkpoint_store *store, sb_error *err)
{
	struct checkpoint_heads heads;
	int32_t status = SB_OK;
	uint64_t links;

	TRY(checkpoint_heads_open(store, &heads, err));
	for (uint64_t i = 1; status == SB_OK && i < heads.count; i++)
		status = checkpoint_heads_check(&heads, i, &links, err);
	checkpoint_heads_close(&heads);
	return status;
}

static int32_t check(struct io *io, sb_error *err)
{
	return with_store(io, check_each, err);
}

static int32_t put_made(struct shared *shared, const char *name, const char *content, bool immutable, sb_error *err)
{
	struct file_meta file = {0};
	char path[512], hex[CHECKPOINT_SHA256_HEX + 1];
	enum shared_how how;

	in(run, name, path);
	TRY(shared_put(shared, path, immutable, &file, &how, err));
	hash_text(content, hex);
	if (strcmp(file.sha256, hex) != 0 || file.bytes != (int64_t)strlen(content))
		return error_set(err, SB_ERR_INTERNAL, "%s was put under another hash", name);
	return SB_OK;
}

static int32_t put_file(struct shared *shared, const char *name, const char *content, bool immutable, sb_error *err)
{
	char path[512];

	in(run, name, path);
	file_write(path, content, strlen(content));
	return put_made(shared, name, content, immutable, err);
}

/* Linked, there already, copied, and known from the checkpoint before. */
static int32_t put_files(struct shared *shared, sb_error *err)
{
	char path[512], hex[CHECKPOINT_SHA256_HEX + 1];

	shared_begin(shared);
	TRY(put_file(shared, "linked", "a file that is linked", true, err));
	TRY(put_file(shared, "there", FIRST, true, err));
	TRY(put_file(shared, "copied", "a file that is copied", false, err));
	TRY(put_file(shared, "copied again", "a file that is copied", false, err));
	TRY(shared_sync(shared, err));
	shared_commit(shared);
	in(run, "there", path);
	hash_text(FIRST, hex);
	TRY(shared_know(shared, path, hex, err));
	shared_begin(shared);
	TRY(put_made(shared, "linked", "a file that is linked", true, err));
	return shared_sync(shared, err);
}

/* The attempts are those of one job, which never numbers two temporaries alike. */
static int32_t put(struct io *io, sb_error *err)
{
	static uint64_t temporaries;
	struct shared shared;
	int32_t status;

	shared_init(&shared, io, run);
	shared.temporaries = temporaries;
	status = put_files(&shared, err);
	temporaries = shared.temporaries;
	shared_done(&shared);
	return status;
}

static int32_t start_thread(struct io *io, sb_error *err)
{
	const struct coordinator_config config = {.io = io};
	struct coordinator *coordinator;

	TRY(coordinator_start(&config, &coordinator, err));
	coordinator_stop(coordinator);
	return SB_OK;
}

static const struct fault_step changers[] = {
	{"start", start, true},	    {"collect", collect, true}, {"restore the newest", restore, true},
	{"abandon", abandon, true}, {"put files", put, true},
};

static const struct fault_step readers[] = {
	{"restore a native one", restore_native, true},
	{"verify", verify, true},
	{"number", number, true},
	{"check heads", check, true},
	{"start the coordinator's thread", start_thread, false},
};

Test(each_store_fault, an_allocation_that_fails_is_an_error_that_passes)
{
	sb_error err = ERROR_INIT;

	for (size_t i = 0; i < LENGTH(changers); i++)
		cr_assert_eq(fault_step_starve_on(&changers[i], prepare, &err), SB_OK, "%s", err.message);
	prepare();
	for (size_t i = 0; i < LENGTH(readers); i++)
		cr_assert_eq(fault_step_starve(&readers[i], &err), SB_OK, "%s", err.message);
}

Test(each_store_fault, a_call_that_fails_is_an_error_that_passes)
{
	sb_error err = ERROR_INIT;

	for (size_t i = 0; i < LENGTH(changers); i++)
		cr_assert_eq(fault_step_fail_on(&changers[i], prepare, EIO, &err), SB_OK, "%s", err.message);
	prepare();
	for (size_t i = 0; i < LENGTH(readers); i++)
		cr_assert(!readers[i].files || fault_step_fail(&readers[i], EIO, &err) == SB_OK, "%s", err.message);
}

/* As when somebody else tidies up at the same time. */
Test(each_store_fault, a_name_that_is_gone_is_none_or_an_error_that_passes)
{
	sb_error err = ERROR_INIT;

	for (size_t i = 0; i < LENGTH(changers); i++)
		cr_assert_eq(fault_step_fail_on(&changers[i], prepare, ENOENT, &err), SB_OK, "%s", err.message);
	prepare();
	for (size_t i = 0; i < LENGTH(readers); i++)
		cr_assert(!readers[i].files || fault_step_fail(&readers[i], ENOENT, &err) == SB_OK, "%s", err.message);
}

/* What cannot be linked is copied. */
Test(each_store_fault, a_file_system_that_ends_there_is_none_or_an_error_that_passes)
{
	const struct fault_step put_step = {"put files", put, true};
	const struct fault_step take_step = {"restore a native one", restore_native, true};
	sb_error err = ERROR_INIT;

	cr_assert_eq(fault_step_fail_on(&put_step, prepare, EXDEV, &err), SB_OK, "%s", err.message);
	prepare();
	cr_assert_eq(fault_step_fail(&take_step, EXDEV, &err), SB_OK, "%s", err.message);
}
