/* SPDX-License-Identifier: Apache-2.0
 *
 * sb.files/1 of the RocksDB backend: checkpoints made of links to its table files, and
 * instances that go on from them. The subject of the conformance suite holds the original and the
 * model of what it must hold; a copy is a subject of its own over another directory.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "conformance/profiles.h"
#include "kit/iter_check.h"
#include "support/rocksdb.h"

#define SEED 20240612
#define KEYS 3000
#define FILES_MAX 256

/* Small write buffers and tables, so that there are many files and compactions run all the time. */
static const struct profile small_files = {
	.name = "rocksdb with small files",
	.plugin = "rocksdb",
	.options = {"write_buffer_size=64KiB", "target_file_size=64KiB", "compression=none"},
};

TestSuite(rocksdb_files, .timeout = 120);

/* ---------------------------------------------------------------------------
 * Originals, checkpoints and copies
 * ------------------------------------------------------------------------- */

static const sb_files_ops *files_of(const struct subject *s)
{
	const sb_files_ops *files = s->ops->extension(SB_EXT_FILES);

	cr_assert_not_null(files);
	return files;
}

static const char *path_in(const struct subject *s, char *path, const char *name)
{
	snprintf(path, PATH_MAX, "%.3900s/%s", s->dir, name);
	return path;
}

static void create(struct subject *s, const char *dir)
{
	sb_error err = ERROR_INIT;
	int32_t status = files_of(s)->create(s->backend, dir, &err);

	cr_assert_eq(status, SB_OK, "%s", err.message);
}

/* Entries with and without an expiry, all different. */
static void put_numbers(struct subject *s, uint64_t first, uint64_t end, const char *word)
{
	for (uint64_t i = first; i < end; i++) {
		uint8_t key[64];
		char value[96];
		int length = snprintf(value, sizeof(value), "%s %" PRIu64 " of a value that fills files", word, i);

		subject_put(s, key_of_number(key, (unsigned)(i % 128), i),
			    (sb_slice){(const uint8_t *)value, (uint64_t)length},
			    i % 3 ? START_MS + 86400000 + (int64_t)i : SB_NO_EXPIRY);
	}
}

static void delete_numbers(struct subject *s, uint64_t first, uint64_t end)
{
	for (uint64_t i = first; i < end; i++) {
		uint8_t key[64];

		subject_delete(s, key_of_number(key, (unsigned)(i % 128), i));
	}
}

static void original_init(struct subject *s, const struct profile *profile)
{
	profile_open(s, profile, rng_test_seed(SEED));
	put_numbers(s, 0, KEYS, "first");
	delete_numbers(s, 100, 120);
}

/* What the host does: links for what never changes, copies for the rest. */
static void link_or_copy(const struct subject *s, const char *from, const char *to)
{
	char command[3 * PATH_MAX];
	struct buffer names = BUFFER_INIT;
	struct io io = s->io;
	sb_error err = ERROR_INIT;
	uint64_t count;

	cr_assert_eq(io_mkdir_p(&io, to, &err), SB_OK, "%s", err.message);
	cr_assert_eq(io_list(&io, from, &names, &count, &err), SB_OK, "%s", err.message);
	for (size_t i = 0; i < names.len; i += strlen((char *)names.data + i) + 1) {
		const char *name = (const char *)names.data + i;

		snprintf(command, sizeof(command), "cp %s %s/%s %s/%s",
			 files_of(s)->is_immutable(name) == 1 ? "-l" : "", from, name, to, name);
		cr_assert_eq(system(command), 0, "%s", command);
	}
	buffer_done(&names);
}

static int32_t try_open(struct subject *s, const char *dir, uint32_t flags, sb_error *err)
{
	return instance_open_backend(s->component, "backend-7", dir, flags, &s->options, &s->env, &s->instance, err);
}

/* *copy must be at a fixed address until copy_done(). */
static void copy_open(struct subject *copy, const struct subject *original, const struct model *moment, const char *dir,
		      uint32_t flags)
{
	sb_error err = ERROR_INIT;

	*copy = *original;
	model_copy_range(moment, (sb_slice){0}, (sb_slice){0}, &copy->model);
	snprintf(copy->instance_dir, sizeof(copy->instance_dir), "%s", dir);
	atomic_init(&copy->horizon_ms, INT64_MIN);
	copy->env.horizon_ms = &copy->horizon_ms;
	cr_assert_eq(try_open(copy, copy->instance_dir, flags, &err), SB_OK, "%s", err.message);
	copy->backend = copy->instance->backend;
}

static void copy_done(struct subject *copy)
{
	instance_close(copy->instance);
	model_done(&copy->model);
}

static void model_copy(const struct subject *s, struct model *ret_moment)
{
	model_copy_range(&s->model, (sb_slice){0}, (sb_slice){0}, ret_moment);
}

static void expect_content(const struct subject *s, const char *dir, uint32_t flags, const struct model *moment)
{
	static struct subject copy;

	copy_open(&copy, s, moment, dir, flags);
	subject_check_all(&copy);
	copy_done(&copy);
}

/* ---------------------------------------------------------------------------
 * Files of a directory
 * ------------------------------------------------------------------------- */

struct file {
	char name[64];
	ino_t inode;
	off_t size;
	uint64_t hash;
};

struct listing {
	struct file files[FILES_MAX];
	size_t count;
};

static uint64_t hash_file(const char *path)
{
	uint64_t hash = UINT64_C(14695981039346656037);
	FILE *file = fopen(path, "r");
	int byte;

	cr_assert_not_null(file, "%s", path);
	while ((byte = fgetc(file)) != EOF)
		hash = (hash ^ (uint64_t)byte) * UINT64_C(1099511628211);
	fclose(file);
	return hash;
}

static void list_files(const struct subject *s, const char *dir, bool tables_only, struct listing *ret_listing)
{
	struct buffer names = BUFFER_INIT;
	struct io io = s->io;
	sb_error err = ERROR_INIT;
	uint64_t count;

	ret_listing->count = 0;
	cr_assert_eq(io_list(&io, dir, &names, &count, &err), SB_OK, "%s", err.message);
	for (size_t i = 0; i < names.len; i += strlen((char *)names.data + i) + 1) {
		const char *name = (const char *)names.data + i;
		struct file *file = &ret_listing->files[ret_listing->count];
		char path[PATH_MAX + 64];
		struct stat status;

		if (tables_only && !files_of(s)->is_immutable(name))
			continue;
		cr_assert_lt(ret_listing->count++, FILES_MAX);
		snprintf(path, sizeof(path), "%s/%s", dir, name);
		cr_assert_eq(lstat(path, &status), 0);
		cr_assert(S_ISREG(status.st_mode), "%s", path);
		snprintf(file->name, sizeof(file->name), "%s", name);
		file->inode = status.st_ino;
		file->size = status.st_size;
		file->hash = hash_file(path);
	}
	buffer_done(&names);
}

static const struct file *find(const struct listing *listing, const char *name)
{
	for (size_t i = 0; i < listing->count; i++) {
		if (strcmp(listing->files[i].name, name) == 0)
			return &listing->files[i];
	}
	return NULL;
}

/* How many of the files are in both, as one inode. */
static size_t shared(const struct listing *a, const struct listing *b)
{
	size_t count = 0;

	for (size_t i = 0; i < a->count; i++) {
		const struct file *other = find(b, a->files[i].name);

		count += other && other->inode == a->files[i].inode;
	}
	return count;
}

static void expect_unchanged(const struct subject *s, const char *dir, const struct listing *before)
{
	static struct listing now;

	list_files(s, dir, false, &now);
	cr_assert_eq(now.count, before->count);
	for (size_t i = 0; i < now.count; i++) {
		const struct file *old = &before->files[i];

		cr_assert_str_eq(now.files[i].name, old->name);
		cr_assert_eq(now.files[i].inode, old->inode, "%s", old->name);
		cr_assert_eq(now.files[i].size, old->size, "%s", old->name);
		cr_assert_eq(now.files[i].hash, old->hash, "%s", old->name);
	}
}

/* ---------------------------------------------------------------------------
 * Creating
 * ------------------------------------------------------------------------- */

Test(rocksdb_files, tables_are_immutable_and_all_else_is_not)
{
	NEED_ROCKSDB();

	static struct subject s;

	profile_open(&s, &profile_rocksdb, SEED);

	int32_t (*is_immutable)(const char *) = files_of(&s)->is_immutable;

	cr_assert_eq(is_immutable("000012.sst"), 1);
	cr_assert_eq(is_immutable("000012.blob"), 1);
	cr_assert_eq(is_immutable("CURRENT"), 0);
	cr_assert_eq(is_immutable("MANIFEST-000004"), 0);
	cr_assert_eq(is_immutable("OPTIONS-000007"), 0);
	cr_assert_eq(is_immutable("000012.log"), 0);
	cr_assert_eq(is_immutable("000012.sst.tmp"), 0);
	cr_assert_eq(is_immutable(".sst"), 0);
	cr_assert_eq(is_immutable(""), 0);
	cr_assert_null(s.ops->extension("sb.files/2"));
	profile_close(&s);
}

static void check_only_needed_files(const struct profile *profile)
{
	static struct subject s;
	static struct listing listing;
	char dir[PATH_MAX];
	unsigned current = 0;
	unsigned manifests = 0;
	unsigned options = 0;
	unsigned tables = 0;

	original_init(&s, profile);
	create(&s, path_in(&s, dir, "one"));
	list_files(&s, dir, false, &listing);
	for (size_t i = 0; i < listing.count; i++) {
		const char *name = listing.files[i].name;

		current += strcmp(name, "CURRENT") == 0;
		manifests += strncmp(name, "MANIFEST-", 9) == 0;
		options += strncmp(name, "OPTIONS-", 8) == 0;
		tables += strcmp(name + strlen(name) - 4, ".sst") == 0;
	}
	cr_assert_eq(current, 1);
	cr_assert_eq(manifests, 1);
	cr_assert_eq(options, 1);
	cr_assert_gt(tables, 0);
	cr_assert_eq(current + manifests + options + tables, listing.count);
	expect_content(&s, dir, SB_OPEN_FILES, &s.model);
	profile_close(&s);
}

Test(rocksdb_files, checkpoint_holds_what_is_needed_and_nothing_else)
{
	NEED_ROCKSDB();
	check_only_needed_files(&small_files);
}

Test(rocksdb_files, checkpoint_needs_no_write_ahead_log)
{
	static const struct profile logged = {.name = "wal", .plugin = "rocksdb", .options = {"wal=true"}};

	NEED_ROCKSDB();
	check_only_needed_files(&logged);
}

Test(rocksdb_files, checkpoint_of_nothing_is_an_empty_state)
{
	NEED_ROCKSDB();

	static struct subject s;
	char dir[PATH_MAX];

	profile_open(&s, &profile_rocksdb, SEED);
	create(&s, path_in(&s, dir, "empty"));
	expect_content(&s, dir, SB_OPEN_FILES | SB_OPEN_READ_ONLY, &s.model);
	expect_content(&s, dir, SB_OPEN_FILES, &s.model);
	profile_close(&s);
}

struct creator {
	struct subject *s;
	const char *dir;
	sb_error err;
	int32_t status;
	atomic_bool done;
};

static void *create_on_thread(void *argument)
{
	struct creator *creator = argument;

	creator->status = files_of(creator->s)->create(creator->s->backend, creator->dir, &creator->err);
	atomic_store(&creator->done, true);
	return NULL;
}

static void read_some(struct subject *s)
{
	uint8_t buffers[64][64];
	sb_slice keys[64];
	sb_pin pins[64];

	for (size_t i = 0; i < 64; i++) {
		uint64_t number = rng_below(&s->rng, KEYS);

		keys[i] = key_of_number(buffers[i], (unsigned)(number % 128), number);
	}
	subject_get(s, 64, keys, pins);
	subject_unpin(s, 64, pins);
}

static void create_while_reading(struct subject *s, const char *dir)
{
	struct creator creator = {.s = s, .dir = dir, .err = ERROR_INIT};
	pthread_t thread;

	cr_assert_eq(pthread_create(&thread, NULL, create_on_thread, &creator), 0);
	do
		read_some(s);
	while (!atomic_load(&creator.done));
	cr_assert_eq(pthread_join(thread, NULL), 0);
	cr_assert_eq(creator.status, SB_OK, "%s", creator.err.message);
}

static void check_create_while_reading(const struct profile *profile)
{
	static struct subject s;
	struct model moments[4];

	original_init(&s, profile);
	for (unsigned i = 0; i < 4; i++) {
		char name[16];
		char dir[PATH_MAX];

		snprintf(name, sizeof(name), "moment-%u", i);
		model_copy(&s, &moments[i]);
		create_while_reading(&s, path_in(&s, dir, name));
		put_numbers(&s, i * 500, i * 500 + 800, "later");
		delete_numbers(&s, i * 700, i * 700 + 90);
	}
	for (unsigned i = 0; i < 4; i++) {
		char name[16];
		char dir[PATH_MAX];

		snprintf(name, sizeof(name), "moment-%u", i);
		expect_content(&s, path_in(&s, dir, name), SB_OPEN_FILES, &moments[i]);
		model_done(&moments[i]);
	}
	subject_check_all(&s);
	profile_close(&s);
}

Test(rocksdb_files, each_checkpoint_shows_its_moment_though_others_read_meanwhile_and_write_later)
{
	NEED_ROCKSDB();
	check_create_while_reading(&small_files);
}

Test(rocksdb_files, hash_linkedlist_memtable_is_written_out_too)
{
	NEED_ROCKSDB();
	check_create_while_reading(&profile_rocksdb_hash);
}

Test(rocksdb_files, second_checkpoint_shares_the_unchanged_tables)
{
	NEED_ROCKSDB();

	static struct subject s;
	static struct listing first;
	static struct listing second;
	static struct listing third;
	char dir[PATH_MAX];

	original_init(&s, &profile_rocksdb); /* one write buffer, so no compaction comes between */
	create(&s, path_in(&s, dir, "one"));
	list_files(&s, dir, true, &first);
	create(&s, path_in(&s, dir, "two"));
	list_files(&s, dir, true, &second);
	cr_assert_eq(first.count, 1);
	cr_assert_eq(second.count, 1);
	cr_assert_eq(shared(&first, &second), 1, "nothing was written between the two");
	put_numbers(&s, 10, 20, "second");
	create(&s, path_in(&s, dir, "three"));
	list_files(&s, dir, true, &third);
	cr_assert_eq(third.count, 2);
	cr_assert_eq(shared(&second, &third), 1);
	profile_close(&s);
}

/* ---------------------------------------------------------------------------
 * Going on from files
 * ------------------------------------------------------------------------- */

static bool are_all_there(const struct listing *tables, const char *dir)
{
	for (size_t i = 0; i < tables->count; i++) {
		char path[PATH_MAX + 80];

		snprintf(path, sizeof(path), "%s/%s", dir, tables->files[i].name);
		if (access(path, F_OK) != 0)
			return false;
	}
	return true;
}

/* Overwrites until a compaction of the copy has replaced some of the tables that it began with. */
static void churn(struct subject *copy, const struct listing *tables)
{
	for (unsigned round = 0; round < 100 && are_all_there(tables, copy->instance_dir); round++)
		put_numbers(copy, 0, KEYS, round % 2 ? "odd" : "even");
	cr_assert_not(are_all_there(tables, copy->instance_dir), "no compaction in a hundred rounds");
}

static void check_compactions_leave_tables_alone(struct subject *s, const char *store, const char *dir)
{
	static struct subject copy;
	static struct listing before;
	static struct listing tables;
	static struct listing copied;
	struct model moment;

	model_copy(s, &moment);
	create(s, store);
	list_files(s, store, false, &before);
	list_files(s, store, true, &tables);
	link_or_copy(s, store, dir);
	copy_open(&copy, s, &moment, dir, SB_OPEN_FILES);
	list_files(s, dir, true, &copied);
	cr_assert_eq(shared(&tables, &copied), tables.count, "opening rewrites no table");
	churn(&copy, &tables);
	subject_check_all(&copy);
	expect_unchanged(s, store, &before);
	copy_done(&copy);
	expect_unchanged(s, store, &before);
	subject_check_all(s);
	expect_content(s, store, SB_OPEN_READ_ONLY | SB_OPEN_FILES, &moment);
	expect_unchanged(s, store, &before);
	model_done(&moment);
}

Test(rocksdb_files, compactions_of_a_copy_leave_the_linked_files_byte_for_byte)
{
	NEED_ROCKSDB();

	static struct subject s;
	char store[PATH_MAX];
	char dir[PATH_MAX];

	original_init(&s, &small_files);
	check_compactions_leave_tables_alone(&s, path_in(&s, store, "store"), path_in(&s, dir, "copy"));
	profile_close(&s);
}

Test(rocksdb_files, two_instances_go_on_from_one_checkpoint)
{
	NEED_ROCKSDB();

	static struct subject s;
	static struct subject left;
	static struct subject right;
	char store[PATH_MAX];
	char dir[PATH_MAX];

	original_init(&s, &small_files);
	create(&s, path_in(&s, store, "store"));
	link_or_copy(&s, store, path_in(&s, dir, "left"));
	copy_open(&left, &s, &s.model, dir, SB_OPEN_FILES);
	link_or_copy(&s, store, path_in(&s, dir, "right"));
	copy_open(&right, &s, &s.model, dir, SB_OPEN_FILES);
	for (unsigned i = 0; i < 4; i++) {
		put_numbers(&left, 0, KEYS, "left");
		put_numbers(&right, KEYS / 2, 2 * KEYS, "right");
		delete_numbers(&right, 0, KEYS / 2);
	}
	subject_check_all(&left);
	subject_check_all(&right);
	subject_check_all(&s);
	copy_done(&left);
	copy_done(&right);
	profile_close(&s);
}

Test(rocksdb_files, checkpoints_go_on_through_generations)
{
	NEED_ROCKSDB();

	static struct subject s;
	static struct subject generations[5];
	struct subject *last = &s;
	char store[PATH_MAX];
	char dir[PATH_MAX];

	original_init(&s, &small_files);
	for (unsigned i = 0; i < 5; i++) {
		char name[16];

		snprintf(name, sizeof(name), "store-%u", i);
		create(last, path_in(&s, store, name));
		snprintf(name, sizeof(name), "copy-%u", i);
		link_or_copy(&s, store, path_in(&s, dir, name));
		copy_open(&generations[i], &s, &last->model, dir, SB_OPEN_FILES);
		subject_check_all(&generations[i]);
		if (last != &s)
			copy_done(last);
		last = &generations[i];
		put_numbers(last, i * 400, i * 400 + 900, "generation");
		delete_numbers(last, i * 300, i * 300 + 50);
	}
	subject_check_all(last);
	copy_done(last);
	profile_close(&s);
}

Test(rocksdb_files, expiry_is_kept_and_purged_by_the_copy)
{
	NEED_ROCKSDB();

	static struct subject s;
	static struct subject copy;
	struct model moment;
	char store[PATH_MAX];
	char dir[PATH_MAX];
	uint8_t key[64];
	sb_slice dead = key_of(key, 5, "dead");

	original_init(&s, &small_files);
	subject_put(&s, dead, (sb_slice){(const uint8_t *)"x", 1}, START_MS + 1);
	model_copy(&s, &moment);
	create(&s, path_in(&s, store, "store"));
	link_or_copy(&s, store, path_in(&s, dir, "copy"));
	copy_open(&copy, &s, &moment, dir, SB_OPEN_FILES);
	subject_check_all(&copy); /* every expiry, to the millisecond */
	subject_set_horizon(&copy, START_MS + 1);
	/* Reading a key that may be purged takes it out of the model once it is gone. */
	for (unsigned round = 0; round < 100 && model_find(&copy.model, dead); round++) {
		put_numbers(&copy, 0, KEYS, "churn");
		subject_check_key(&copy, dead);
	}
	cr_assert_null(model_find(&copy.model, dead), "the copy purges nothing");
	subject_check_all(&copy);
	copy_done(&copy);
	expect_content(&s, store, SB_OPEN_READ_ONLY, &moment);
	model_done(&moment);
	profile_close(&s);
}

/* A user may change the options between two runs. */
static void check_change_of_options(const struct profile *from, const struct profile *to)
{
	static struct subject s;
	static struct subject copy;
	static struct option_set other;
	sb_error err = ERROR_INIT;
	uint64_t count = 0;
	char dir[PATH_MAX];

	original_init(&s, from);
	create(&s, path_in(&s, dir, "store"));
	while (count < 6 && to->options[count])
		count++;
	cr_assert_eq(option_set_parse(s.component, "--backend-opt", to->options, count, &other, &err), SB_OK, "%s",
		     err.message);

	struct option_set own = s.options;

	s.options = other;
	copy_open(&copy, &s, &s.model, dir, SB_OPEN_FILES);
	s.options = own;
	for (unsigned i = 0; i < 5; i++)
		put_numbers(&copy, i * 100, i * 100 + KEYS, "changed");
	subject_check_all(&copy);
	copy_done(&copy);
	option_set_done(&other);
	profile_close(&s);
}

Test(rocksdb_files, copy_may_have_other_options)
{
	static const struct profile unlike = {
		.name = "unlike",
		.plugin = "rocksdb",
		.options = {"memtable=hash-linkedlist", "compaction_style=level", "write_buffer_size=64KiB",
			    "level_compaction_dynamic_level_bytes=false", "bloom_bits=0", "compression=zstd"},
	};

	NEED_ROCKSDB();
	check_change_of_options(&small_files, &unlike);
	check_change_of_options(&unlike, &small_files);
}

Test(rocksdb_files, reading_a_checkpoint_changes_nothing)
{
	NEED_ROCKSDB();

	static struct subject s;
	static struct subject one;
	static struct subject two;
	static struct listing before;
	uint8_t key[64];
	sb_op op = op_put(key_of(key, 1, "k"), (sb_slice){0}, SB_NO_EXPIRY);
	sb_error err = ERROR_INIT;
	char dir[PATH_MAX];

	original_init(&s, &small_files);
	create(&s, path_in(&s, dir, "store"));
	list_files(&s, dir, false, &before);
	copy_open(&one, &s, &s.model, dir, SB_OPEN_READ_ONLY);
	copy_open(&two, &s, &s.model, dir, SB_OPEN_READ_ONLY | SB_OPEN_FILES);
	subject_check_all(&one);
	subject_check_all(&two);
	cr_assert_eq(two.ops->write_batch(two.backend, 1, &op, &err), SB_ERR_INVALID);
	copy_done(&one);
	copy_done(&two);
	expect_unchanged(&s, dir, &before);
	profile_close(&s);
}

/* ---------------------------------------------------------------------------
 * Refusals and failures
 * ------------------------------------------------------------------------- */

static void expect_create_fails(struct subject *s, const char *dir, int32_t code, int sys_errno)
{
	sb_error err = ERROR_INIT;

	cr_assert_eq(files_of(s)->create(s->backend, dir, &err), code, "%s", err.message);
	cr_assert_eq(err.code, code);
	cr_assert_eq(err.sys_errno, sys_errno, "%s", err.message);
	cr_assert_not_null(strstr(err.message, dir), "%s", err.message);
	cr_assert_null(strchr(err.message, '\n'));
}

Test(rocksdb_files, existing_directory_is_refused_and_left_alone)
{
	NEED_ROCKSDB();

	static struct subject s;
	static struct listing before;
	char dir[PATH_MAX];

	original_init(&s, &small_files);
	create(&s, path_in(&s, dir, "store"));
	list_files(&s, dir, false, &before);
	expect_create_fails(&s, dir, SB_ERR_INVALID, EEXIST);
	expect_unchanged(&s, dir, &before);
	expect_create_fails(&s, path_in(&s, dir, "nowhere/store"), SB_ERR_NOT_FOUND, ENOENT);
	subject_check_all(&s);
	profile_close(&s);
}

Test(rocksdb_files, instance_that_only_reads_makes_no_checkpoint)
{
	NEED_ROCKSDB();

	static struct subject s;
	static struct subject copy;
	char dir[PATH_MAX];

	original_init(&s, &small_files);
	create(&s, path_in(&s, dir, "store"));
	copy_open(&copy, &s, &s.model, dir, SB_OPEN_READ_ONLY);
	expect_create_fails(&copy, path_in(&s, dir, "other"), SB_ERR_UNSUPPORTED, 0);
	cr_assert_neq(access(dir, F_OK), 0);
	copy_done(&copy);
	profile_close(&s);
}

static void expect_open_fails(struct subject *s, const char *dir, uint32_t flags, int32_t code, const char *word)
{
	struct subject copy = *s;
	sb_error err = ERROR_INIT;

	cr_assert_eq(try_open(&copy, dir, flags, &err), code, "%s", err.message);
	cr_assert_not_null(strstr(err.message, dir), "%s", err.message);
	cr_assert_not_null(strstr(err.message, word), "%s", err.message);
	cr_assert_null(strchr(err.message, '\n'));
}

Test(rocksdb_files, directory_is_opened_only_as_what_it_is)
{
	NEED_ROCKSDB();

	static struct subject s;
	static struct listing tables;
	sb_error err = ERROR_INIT;
	char dir[PATH_MAX];
	char path[PATH_MAX + 80];

	original_init(&s, &small_files);
	create(&s, path_in(&s, dir, "store"));
	expect_open_fails(&s, dir, 0, SB_ERR_INVALID, "empty the directory");
	list_files(&s, dir, true, &tables);
	snprintf(path, sizeof(path), "%s/%s", dir, tables.files[0].name);
	cr_assert_eq(unlink(path), 0);
	expect_open_fails(&s, dir, SB_OPEN_FILES, SB_ERR_CORRUPT, "checkpoint");
	cr_assert_eq(io_mkdir_p(&s.io, path_in(&s, dir, "empty"), &err), SB_OK);
	expect_open_fails(&s, dir, SB_OPEN_FILES, SB_ERR_NOT_FOUND, "restore the files");
	profile_close(&s);
}

/* A small file system that ends with the test. */
static bool mount_small(const char *dir)
{
	return unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	       mount("sbhost-test", dir, "tmpfs", 0, "size=8m") == 0;
}

static void fill_disk(const char *path)
{
	static const char zeros[4096];
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	cr_assert_geq(fd, 0);
	while (write(fd, zeros, sizeof(zeros)) > 0)
		;
	cr_assert_eq(errno, ENOSPC);
	close(fd);
}

/* RocksDB looks every few seconds whether there is space again, and refuses until then. */
static void create_when_there_is_space(struct subject *s, const char *dir)
{
	sb_error err = ERROR_INIT;
	int32_t status;

	while ((status = files_of(s)->create(s->backend, dir, &err)) != SB_OK) {
		cr_assert_eq(status, SB_ERR_NO_SPACE, "%s", err.message);
		cr_assert_neq(access(dir, F_OK), 0);
		usleep(50000); /* of the timeout of the suite */
	}
}

Test(rocksdb_files, full_disk_is_named_leaves_nothing_and_is_got_over)
{
	NEED_ROCKSDB();

	/* RocksDB wants room for a write buffer before it goes on, so it is a small one. */
	static const struct profile small_buffer = {
		.name = "small buffer", .plugin = "rocksdb", .options = {"write_buffer_size=1MiB"}};
	static struct subject s;
	char temporary[] = "/tmp/test-rocksdb-files-XXXXXX";
	char ballast[64];
	char dir[PATH_MAX];

	cr_assert_not_null(mkdtemp(temporary));
	if (!mount_small(temporary)) {
		rmdir(temporary);
		cr_skip_test("a small tmpfs cannot be mounted here, which takes root");
	}
	setenv("TMPDIR", temporary, 1);
	original_init(&s, &small_buffer);
	snprintf(ballast, sizeof(ballast), "%s/ballast", temporary);
	fill_disk(ballast);
	expect_create_fails(&s, path_in(&s, dir, "store"), SB_ERR_NO_SPACE, ENOSPC);
	cr_assert_neq(access(dir, F_OK), 0);
	subject_check_all(&s);
	cr_assert_eq(unlink(ballast), 0);
	create_when_there_is_space(&s, dir);
	expect_content(&s, dir, SB_OPEN_FILES, &s.model);
	profile_close(&s);
	cr_assert_eq(umount(temporary), 0);
	rmdir(temporary);
}
