/* SPDX-License-Identifier: Apache-2.0
 *
 * What is RocksDB's own about the RocksDB backend: that options reach the library,
 * that compactions purge what the horizon allows, that files and errors are as
 * promised. What every backend must do is for tests/conformance.
 *
 * The backend is loaded as the host loads it, with a host that has a fake horizon.
 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <dlfcn.h>
#include <ftw.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sb_plugin.h"
#include "support/rocksdb.h"

#define OPTION_LIMIT 64u
#define PATH_BYTES 512u
#define KEY_BYTES 32u
#define NICENESS_MAX 19

struct fixture {
	sb_host host;
	_Atomic int64_t horizon_ms;
	const sb_component *component;
	const sb_backend_ops *ops;
	sb_option_value values[OPTION_LIMIT];
	char dir[PATH_BYTES];
	sb_backend *backend;
	sb_error err;
};

/* ---------------------------------------------------------------------------
 * A host, as small as it gets
 * ------------------------------------------------------------------------- */

static int64_t fake_horizon(const sb_host *host)
{
	struct fixture *fixture = host->context;

	return atomic_load(&fixture->horizon_ms);
}

static int64_t with_unit(const char *text)
{
	static const struct {
		const char *name;
		int64_t factor;
	} units[] = {{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"ms", 1}, {"s", 1000}, {"h", 3600000}};
	char *end;
	int64_t number = strtoll(text, &end, 10);

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(end, units[i].name) == 0)
			return number * units[i].factor;
	}
	cr_assert_eq(*end, '\0', "%s", text);
	return number;
}

static int64_t parse(const sb_option *option, const char *text)
{
	if (option->type == SB_OPTION_BOOL)
		return strcmp(text, "true") == 0;
	if (option->type != SB_OPTION_CHOICE)
		return with_unit(text);
	for (int64_t i = 0; option->choices[i]; i++) {
		if (strcmp(option->choices[i], text) == 0)
			return i;
	}
	cr_assert_fail("%s is no choice of %s", text, option->name);
	return -1;
}

static void set_option(struct fixture *fixture, const char *name, const char *text)
{
	for (uint64_t i = 0; i < fixture->component->option_count; i++) {
		const sb_option *option = fixture->component->options[i];

		if (strcmp(option->name, name) != 0)
			continue;
		fixture->values[i] = (sb_option_value){.i64 = parse(option, text), .is_set = 1, .is_given = 1};
		return;
	}
	cr_assert_fail("no option %s", name);
}

static void set_defaults(struct fixture *fixture)
{
	cr_assert_leq(fixture->component->option_count, OPTION_LIMIT);
	for (uint64_t i = 0; i < fixture->component->option_count; i++) {
		const sb_option *option = fixture->component->options[i];

		fixture->values[i] = (sb_option_value){0};
		if (!option->default_text)
			continue;
		fixture->values[i].i64 = parse(option, option->default_text);
		fixture->values[i].is_set = 1;
	}
}

static const sb_plugin *load(const sb_host *host, sb_error *err)
{
	const sb_plugin *(*entry)(const sb_host *, sb_error *);
	void *library = dlopen(SB_PLUGIN_DIR "/librocksdb_backend.so", RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);

	if (!library)
		return NULL;
	*(void **)&entry = dlsym(library, "sb_plugin_entry_v1");
	cr_assert_not_null(entry);
	return entry(host, err);
}

static struct fixture *fixture_new(void)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	const char *parent = getenv("TMPDIR");

	cr_assert_not_null(fixture);
	fixture->host = (sb_host){
		.struct_size = sizeof(sb_host),
		.abi_major = SB_ABI_MAJOR,
		.abi_minor = SB_ABI_MINOR,
		.name = "test",
		.version = "0",
		.context = fixture,
		.expiry_horizon_ms = fake_horizon,
	};
	fixture->err.struct_size = sizeof(fixture->err);
	atomic_init(&fixture->horizon_ms, INT64_MIN);

	const sb_plugin *plugin = load(&fixture->host, &fixture->err);

	cr_assert_not_null(plugin, "%s", dlerror());
	fixture->component = plugin->components[0];
	fixture->ops = fixture->component->ops;
	snprintf(fixture->dir, sizeof(fixture->dir), "%s/test-rocksdb-XXXXXX", parent ? parent : "/tmp");
	cr_assert_not_null(mkdtemp(fixture->dir));
	set_defaults(fixture);
	return fixture;
}

/* Ends the test when the plugin was not built. */
static struct fixture *fixture_or_skip(void)
{
	NEED_ROCKSDB();
	return fixture_new();
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *where)
{
	(void)status;
	(void)kind;
	(void)where;
	return remove(path);
}

static void fixture_free(struct fixture *fixture)
{
	if (fixture->backend)
		fixture->ops->close(fixture->backend);
	nftw(fixture->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(fixture);
}

static int32_t open_in(struct fixture *fixture, const char *dir, uint32_t flags, sb_backend **ret_backend)
{
	sb_backend_config config = {
		.struct_size = sizeof(config),
		.flags = flags,
		.host = &fixture->host,
		.instance = "backend-7",
		.dir = dir,
		.options = fixture->values,
		.option_count = fixture->component->option_count,
	};

	return fixture->ops->open(&config, ret_backend, &fixture->err);
}

static void open_with(struct fixture *fixture, uint32_t flags)
{
	cr_assert_eq(open_in(fixture, fixture->dir, flags, &fixture->backend), SB_OK, "%s", fixture->err.message);
}

static void open_backend(struct fixture *fixture)
{
	open_with(fixture, 0);
}

static void close_backend(struct fixture *fixture)
{
	fixture->ops->close(fixture->backend);
	fixture->backend = NULL;
}

/* ---------------------------------------------------------------------------
 * Entries
 * ------------------------------------------------------------------------- */

static sb_slice text(const char *from)
{
	return (sb_slice){(const uint8_t *)from, strlen(from)};
}

/* As the host composes them: two bytes of key group, two of state, the user's key. */
static sb_slice make_key(char *to, unsigned i)
{
	memcpy(to, "\0\5\0\1", 4);
	return (sb_slice){(const uint8_t *)to, 4 + (uint64_t)snprintf(to + 4, KEY_BYTES - 4, "key-%08u", i)};
}

static void write_ops(struct fixture *fixture, const sb_op *ops, uint64_t n)
{
	cr_assert_eq(fixture->ops->write_batch(fixture->backend, n, ops, &fixture->err), SB_OK, "%s",
		     fixture->err.message);
}

static void put(struct fixture *fixture, sb_slice key, sb_slice value, int64_t expiry_ms)
{
	write_ops(fixture, &(sb_op){.key = key, .value = value, .expiry_ms = expiry_ms, .kind = SB_OP_PUT}, 1);
}

static void put_range(struct fixture *fixture, unsigned first, unsigned end, const char *value, int64_t expiry_ms)
{
	char key[KEY_BYTES];

	for (unsigned i = first; i < end; i++)
		put(fixture, make_key(key, i), text(value), expiry_ms);
}

static sb_pin get(struct fixture *fixture, sb_slice key)
{
	sb_pin pin = {0};

	cr_assert_eq(fixture->ops->multi_get(fixture->backend, 1, &key, &pin, &fixture->err), SB_OK, "%s",
		     fixture->err.message);
	return pin;
}

static bool holds(sb_slice slice, const char *expected)
{
	return slice.len == strlen(expected) && memcmp(slice.ptr, expected, slice.len) == 0;
}

static void expect_value(struct fixture *fixture, const char *key, const char *expected)
{
	sb_pin pin = get(fixture, text(key));

	if (expected) {
		cr_assert(pin.found);
		cr_assert(holds(pin.value, expected));
	} else {
		cr_assert_not(pin.found);
	}
	fixture->ops->unpin(fixture->backend, 1, &pin);
}

static sb_iter *open_iter(struct fixture *fixture, const char *lower, const char *upper)
{
	sb_iter_options options = {.struct_size = sizeof(options), .lower = text(lower), .upper = text(upper)};
	sb_iter *iter = NULL;

	cr_assert_eq(fixture->ops->iter_open(fixture->backend, &options, &iter, &fixture->err), SB_OK, "%s",
		     fixture->err.message);
	return iter;
}

/* Counts what is left of an iterator and asserts that keys rise; all values must be
 * the expected one unless that is NULL. */
static uint64_t drain(struct fixture *fixture, sb_iter *iter, const char *expected)
{
	sb_error err = {.struct_size = sizeof(err)};
	char last[KEY_BYTES] = "";
	sb_entry entries[7];
	uint64_t total = 0;
	uint64_t count = 1;

	while (count > 0) {
		cr_assert_eq(fixture->ops->iter_next(iter, 7, entries, &count, &err), SB_OK, "%s", err.message);
		total += count;
		for (uint64_t i = 0; i < count; i++) {
			char key[KEY_BYTES] = "";

			memcpy(key, entries[i].key.ptr, entries[i].key.len);
			cr_assert_gt(memcmp(key, last, sizeof(key)), 0);
			memcpy(last, key, sizeof(last));
			cr_assert(!expected || holds(entries[i].value, expected));
		}
	}
	return total;
}

static uint64_t count_entries(struct fixture *fixture, const char *lower, const char *upper)
{
	sb_iter *iter = open_iter(fixture, lower, upper);
	uint64_t count = drain(fixture, iter, NULL);

	fixture->ops->iter_close(iter);
	return count;
}

static double stat_value(struct fixture *fixture, const char *name)
{
	sb_stat stats[64];
	uint64_t count;

	cr_assert_eq(fixture->ops->stats(fixture->backend, 64, stats, &count, &fixture->err), SB_OK);
	cr_assert_leq(count, 64);
	for (uint64_t i = 0; i < count; i++) {
		if (strcmp(stats[i].name, name) == 0)
			return stats[i].value;
	}
	return -1;
}

/* ---------------------------------------------------------------------------
 * Reading and writing
 * ------------------------------------------------------------------------- */

TestSuite(rocksdb_backend, .timeout = 120);

Test(rocksdb_backend, pins_survive_overwrite_delete_and_flush)
{
	struct fixture *fixture = fixture_or_skip();

	set_option(fixture, "write_buffer_size", "64KiB");
	open_backend(fixture);
	put(fixture, text("0001a"), text("first"), 11);
	put(fixture, text("0001b"), text("second"), SB_NO_EXPIRY);

	sb_slice keys[] = {text("0001b"), text("0001a"), text("0001b")};
	sb_pin pins[3];

	cr_assert_eq(fixture->ops->multi_get(fixture->backend, 3, keys, pins, &fixture->err), SB_OK);
	put(fixture, text("0001a"), text("other"), 12);
	write_ops(fixture, &(sb_op){.key = text("0001b"), .kind = SB_OP_DELETE}, 1);
	put_range(fixture, 0, 5000, "pushes the write buffer out to a file", SB_NO_EXPIRY);
	cr_assert(holds(pins[0].value, "second"));
	cr_assert(holds(pins[1].value, "first"));
	cr_assert_eq(pins[1].expiry_ms, 11);
	cr_assert(holds(pins[2].value, "second"));
	fixture->ops->unpin(fixture->backend, 1, &pins[1]);
	cr_assert(holds(pins[2].value, "second"));
	fixture->ops->unpin(fixture->backend, 1, &pins[2]);
	fixture->ops->unpin(fixture->backend, 1, &pins[0]);
	expect_value(fixture, "0001a", "other");
	expect_value(fixture, "0001b", NULL);
	fixture_free(fixture);
}

Test(rocksdb_backend, empty_batches_are_fine)
{
	struct fixture *fixture = fixture_or_skip();

	open_backend(fixture);
	write_ops(fixture, NULL, 0);
	cr_assert_eq(fixture->ops->multi_get(fixture->backend, 0, NULL, NULL, &fixture->err), SB_OK);
	fixture->ops->unpin(fixture->backend, 0, NULL);
	fixture_free(fixture);
}

Test(rocksdb_backend, last_operation_on_a_key_counts)
{
	struct fixture *fixture = fixture_or_skip();

	open_backend(fixture);

	const sb_op ops[] = {
		{.key = text("0001a"), .value = text("1"), .kind = SB_OP_PUT},
		{.key = text("0001b"), .value = text("1"), .kind = SB_OP_PUT},
		{.key = text("0001a"), .value = text("2"), .kind = SB_OP_PUT},
		{.key = text("0001b"), .kind = SB_OP_DELETE},
		{.key = text("0001c"), .kind = SB_OP_DELETE},
		{.key = text("0001c"), .value = text("3"), .kind = SB_OP_PUT},
	};

	write_ops(fixture, ops, sizeof(ops) / sizeof(ops[0]));
	expect_value(fixture, "0001a", "2");
	expect_value(fixture, "0001b", NULL);
	expect_value(fixture, "0001c", "3");
	fixture_free(fixture);
}

Test(rocksdb_backend, batch_with_unknown_operation_changes_nothing)
{
	struct fixture *fixture = fixture_or_skip();

	open_backend(fixture);

	const sb_op ops[] = {{.key = text("0001a"), .value = text("1"), .kind = SB_OP_PUT},
			     {.key = text("0001b"), .kind = 77}};

	cr_assert_eq(fixture->ops->write_batch(fixture->backend, 2, ops, &fixture->err), SB_ERR_INVALID);
	expect_value(fixture, "0001a", NULL);
	put(fixture, text("0001b"), text("2"), SB_NO_EXPIRY);
	expect_value(fixture, "0001a", NULL);
	expect_value(fixture, "0001b", "2");
	fixture_free(fixture);
}

static void check_round_trip(struct fixture *fixture, uint64_t size, int64_t expiry_ms)
{
	uint8_t *bytes = malloc(size + 1);

	for (uint64_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)(i * 7);
	put(fixture, text("0001k"), (sb_slice){size ? bytes : NULL, size}, expiry_ms);

	sb_pin pin = get(fixture, text("0001k"));

	cr_assert(pin.found);
	cr_assert_eq(pin.expiry_ms, expiry_ms);
	cr_assert_eq(pin.value.len, size);
	cr_assert(memcmp(pin.value.ptr, bytes, size) == 0);
	fixture->ops->unpin(fixture->backend, 1, &pin);
	free(bytes);
}

Test(rocksdb_backend, value_and_expiry_come_back_at_every_size)
{
	static const uint64_t sizes[] = {0, 1, 8, 80, 4087, 4088, 4089, 70000, 5 << 20};
	static const int64_t expiries[] = {SB_NO_EXPIRY, 1, -1, 1699564823123, INT64_MAX, INT64_MIN};

	struct fixture *fixture = fixture_or_skip();

	open_backend(fixture);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		check_round_trip(fixture, sizes[i], expiries[i % 6]);
	for (size_t i = 0; i < 6; i++)
		check_round_trip(fixture, 80, expiries[i]);
	fixture_free(fixture);
}

/* ---------------------------------------------------------------------------
 * Iterating
 * ------------------------------------------------------------------------- */

Test(rocksdb_backend, iterator_stays_within_its_bounds)
{
	struct fixture *fixture = fixture_or_skip();

	open_backend(fixture);
	for (const char *key = "abcdef"; *key; key++) {
		char name[] = {'0', '0', '0', '1', *key, '\0'};

		put(fixture, text(name), text("x"), SB_NO_EXPIRY);
	}
	cr_assert_eq(count_entries(fixture, "", ""), 6);
	cr_assert_eq(count_entries(fixture, "0001b", "0001e"), 3);
	cr_assert_eq(count_entries(fixture, "0001bb", ""), 4);
	cr_assert_eq(count_entries(fixture, "", "0001b"), 1);
	cr_assert_eq(count_entries(fixture, "0001e", "0001b"), 0);
	cr_assert_eq(count_entries(fixture, "0002", ""), 0);
	fixture_free(fixture);
}

/* In a table, keys are put together from their differences, in one place for all. */
Test(rocksdb_backend, entries_of_one_call_are_there_together)
{
	enum { ENTRIES = 5000, EACH = 200 };
	struct fixture *fixture = fixture_or_skip();
	sb_entry entries[EACH];
	uint64_t count = 1;
	unsigned seen = 0;

	set_option(fixture, "write_buffer_size", "64KiB");
	open_backend(fixture);
	put_range(fixture, 0, ENTRIES, "pushes the write buffer out to a file", SB_NO_EXPIRY);

	sb_iter *iter = open_iter(fixture, "", "");

	while (count > 0) {
		cr_assert_eq(fixture->ops->iter_next(iter, EACH, entries, &count, &fixture->err), SB_OK);
		for (uint64_t i = 0; i < count; i++, seen++) {
			char key[KEY_BYTES];
			sb_slice expected = make_key(key, seen);

			cr_assert_eq(entries[i].key.len, expected.len);
			cr_assert_eq(memcmp(entries[i].key.ptr, expected.ptr, expected.len), 0, "entry %u", seen);
		}
	}
	cr_assert_eq(seen, ENTRIES);
	fixture->ops->iter_close(iter);
	fixture_free(fixture);
}

Test(rocksdb_backend, iterator_hands_out_entries_larger_than_its_buffer)
{
	enum { LARGE = 700000 };
	struct fixture *fixture = fixture_or_skip();
	char *large = malloc(LARGE);
	sb_entry entries[8];
	uint64_t count = 1;
	uint64_t seen = 0;

	memset(large, 'z', LARGE);
	open_backend(fixture);
	for (unsigned i = 0; i < 5; i++) {
		char key[KEY_BYTES];

		put(fixture, make_key(key, 2 * i), (sb_slice){(uint8_t *)large, LARGE}, SB_NO_EXPIRY);
		put(fixture, make_key(key, 2 * i + 1), text("small"), SB_NO_EXPIRY);
	}

	sb_iter *iter = open_iter(fixture, "", "");

	while (count > 0) {
		cr_assert_eq(fixture->ops->iter_next(iter, 8, entries, &count, &fixture->err), SB_OK);
		for (uint64_t i = 0; i < count; i++, seen++) {
			char key[KEY_BYTES];
			sb_slice expected = make_key(key, (unsigned)seen);

			cr_assert_eq(entries[i].key.len, expected.len);
			cr_assert(memcmp(entries[i].key.ptr, expected.ptr, expected.len) == 0);
			if (seen % 2)
				cr_assert(holds(entries[i].value, "small"));
			else
				cr_assert(entries[i].value.len == LARGE &&
					  memcmp(entries[i].value.ptr, large, LARGE) == 0);
		}
	}
	cr_assert_eq(seen, 10);
	fixture->ops->iter_close(iter);
	free(large);
	fixture_free(fixture);
}

struct reader {
	struct fixture *fixture;
	sb_iter *iter;
	uint64_t count;
};

static void *read_and_close(void *argument)
{
	struct reader *reader = argument;

	reader->count = drain(reader->fixture, reader->iter, "old");
	reader->fixture->ops->iter_close(reader->iter);
	return NULL;
}

static void check_stable_iterator(struct fixture *fixture)
{
	struct reader reader = {.fixture = fixture};
	pthread_t thread;

	put_range(fixture, 0, 3000, "old", SB_NO_EXPIRY);
	reader.iter = open_iter(fixture, "", "");
	put_range(fixture, 3000, 3500, "new", SB_NO_EXPIRY);
	cr_assert_eq(pthread_create(&thread, NULL, read_and_close, &reader), 0);
	for (unsigned i = 0; i < 3000; i++) {
		char key[KEY_BYTES];

		if (i % 3)
			put(fixture, make_key(key, i), text("new"), SB_NO_EXPIRY);
		else
			write_ops(fixture, &(sb_op){.key = make_key(key, i), .kind = SB_OP_DELETE}, 1);
	}
	cr_assert_eq(pthread_join(thread, NULL), 0);
	cr_assert_eq(reader.count, 3000);
	cr_assert_eq(count_entries(fixture, "", ""), 2500);
}

Test(rocksdb_backend, iterator_shows_its_moment_while_another_thread_writes)
{
	struct fixture *fixture = fixture_or_skip();

	set_option(fixture, "write_buffer_size", "64KiB");
	open_backend(fixture);
	check_stable_iterator(fixture);
	fixture_free(fixture);
}

Test(rocksdb_backend, hash_linkedlist_memtable_reads_and_iterates_in_order)
{
	struct fixture *fixture = fixture_or_skip();

	set_option(fixture, "memtable", "hash-linkedlist");
	open_backend(fixture);
	check_stable_iterator(fixture);
	put(fixture, text("0001a"), text("1"), SB_NO_EXPIRY);
	expect_value(fixture, "0001a", "1");
	expect_value(fixture, "0001b", NULL);
	fixture_free(fixture);
}

/* ---------------------------------------------------------------------------
 * Expiry
 * ------------------------------------------------------------------------- */

/* Overwrites until compactions have purged as many as wanted; the bound keeps a
 * failure from going on for ever. */
static void churn(struct fixture *fixture, double wanted_purged, unsigned rounds)
{
	for (unsigned round = 0; round < rounds && stat_value(fixture, "purged") < wanted_purged; round++)
		put_range(fixture, 0, 2000, "a value that fills the write buffer in time", SB_NO_EXPIRY);
}

static void open_for_purging(struct fixture *fixture, int64_t horizon_ms)
{
	atomic_store(&fixture->horizon_ms, horizon_ms);
	set_option(fixture, "write_buffer_size", "64KiB");
	open_backend(fixture);
	/* Between the keys that churn overwrites, so that compactions meet them. */
	for (unsigned i = 0; i < 100; i++) {
		char key[KEY_BYTES];

		put(fixture, make_key(key, 10 * i), text("never"), SB_NO_EXPIRY);
		strcat(key + 4, "d");
		put(fixture, (sb_slice){(uint8_t *)key, 4 + strlen(key + 4)}, text("dead"), 1000);
		key[4 + strlen(key + 4) - 1] = 'l';
		put(fixture, (sb_slice){(uint8_t *)key, 4 + strlen(key + 4)}, text("alive"), 1001);
	}
}

Test(rocksdb_backend, compaction_purges_what_expired_at_the_horizon)
{
	struct fixture *fixture = fixture_or_skip();

	open_for_purging(fixture, 1000);
	churn(fixture, 100, 400);
	cr_assert_eq(stat_value(fixture, "purged"), 100);
	/* A compaction counts when it has read its input, a little before it replaces it. */
	for (unsigned round = 0; round < 100 && count_entries(fixture, "", "") > 2000 + 100; round++)
		put_range(fixture, 0, 2000, "a value that fills the write buffer in time", SB_NO_EXPIRY);
	cr_assert_eq(count_entries(fixture, "", ""), 2000 + 100);
	fixture_free(fixture);
}

Test(rocksdb_backend, compaction_purges_nothing_while_the_host_forbids_it)
{
	struct fixture *fixture = fixture_or_skip();

	open_for_purging(fixture, INT64_MIN);
	churn(fixture, 1, 40);
	cr_assert_eq(stat_value(fixture, "purged"), 0);
	cr_assert_eq(count_entries(fixture, "", ""), 2000 + 200);
	fixture_free(fixture);
}

Test(rocksdb_backend, open_iterator_keeps_what_a_compaction_purges)
{
	struct fixture *fixture = fixture_or_skip();

	open_for_purging(fixture, 1000);

	sb_iter *iter = open_iter(fixture, "", "");

	churn(fixture, 100, 400);
	cr_assert_eq(stat_value(fixture, "purged"), 100);
	cr_assert_eq(drain(fixture, iter, NULL), 300);
	fixture->ops->iter_close(iter);
	fixture_free(fixture);
}

/* ---------------------------------------------------------------------------
 * Files
 * ------------------------------------------------------------------------- */

/* The name of the last file, in order, that has the prefix and suffix; false: none. */
static bool find_file(const char *dir, const char *prefix, const char *suffix, char *ret_path)
{
	char best[256] = "";
	DIR *stream = opendir(dir);

	cr_assert_not_null(stream);
	for (struct dirent *entry = readdir(stream); entry; entry = readdir(stream)) {
		size_t len = strlen(entry->d_name);

		if (strncmp(entry->d_name, prefix, strlen(prefix)) == 0 && len >= strlen(suffix) &&
		    strcmp(entry->d_name + len - strlen(suffix), suffix) == 0 && strcmp(entry->d_name, best) > 0)
			snprintf(best, sizeof(best), "%s", entry->d_name);
	}
	closedir(stream);
	if (best[0])
		snprintf(ret_path, PATH_BYTES + 256, "%s/%s", dir, best);
	return best[0] != '\0';
}

static char *read_options_file(struct fixture *fixture)
{
	char path[PATH_BYTES + 256];
	char *content = calloc(1, 1 << 16);

	cr_assert(find_file(fixture->dir, "OPTIONS-", "", path));

	FILE *file = fopen(path, "r");

	cr_assert_not_null(file);
	cr_assert_gt(fread(content, 1, (1 << 16) - 1, file), 0);
	fclose(file);
	return content;
}

static void expect_lines(struct fixture *fixture, const char *const *lines)
{
	char *content = read_options_file(fixture);

	for (; *lines; lines++) {
		char line[128];

		snprintf(line, sizeof(line), "  %s\n", *lines);
		cr_assert_not_null(strstr(content, line), "RocksDB's options lack %s", *lines);
	}
	free(content);
}

static void expect_preset(const char *preset, const char *const *lines, const char *cache)
{
	struct fixture *fixture = fixture_or_skip();

	set_option(fixture, "preset", preset);
	open_backend(fixture);
	expect_lines(fixture, lines);

	/* RocksDB writes the cache's size into its log only. */
	char path[PATH_BYTES + 256];
	char *content = calloc(1, 1 << 18);

	cr_assert(find_file(fixture->dir, "LOG", "", path));

	FILE *file = fopen(path, "r");

	cr_assert_not_null(file);
	cr_assert_gt(fread(content, 1, (1 << 18) - 1, file), 0);
	fclose(file);
	cr_assert_not_null(strstr(content, cache), "%s: no %s in LOG", preset, cache);
	free(content);
	fixture_free(fixture);
}

Test(rocksdb_backend, preset_balanced_reaches_rocksdb)
{
	expect_preset("balanced",
		      (const char *[]){"write_buffer_size=67108864", "max_write_buffer_number=3",
				       "compression=kLZ4Compression", "filter_policy=bloomfilter", NULL},
		      "capacity : 134217728\n");
}

Test(rocksdb_backend, preset_low_latency_reaches_rocksdb)
{
	expect_preset("low-latency", (const char *[]){"write_buffer_size=134217728", "max_write_buffer_number=4", NULL},
		      "capacity : 536870912\n");
}

Test(rocksdb_backend, preset_high_throughput_reaches_rocksdb)
{
	expect_preset("high-throughput",
		      (const char *[]){"write_buffer_size=268435456", "max_write_buffer_number=6", NULL},
		      "capacity : 1073741824\n");
}

Test(rocksdb_backend, preset_large_state_reaches_rocksdb)
{
	expect_preset("large-state",
		      (const char *[]){"write_buffer_size=268435456", "max_write_buffer_number=8", "compression=kZSTD",
				       "cache_index_and_filter_blocks=true", "partition_filters=true",
				       "index_type=kTwoLevelIndexSearch", NULL},
		      "capacity : 2147483648\n");
}

Test(rocksdb_backend, given_options_override_the_preset)
{
	struct fixture *fixture = fixture_or_skip();

	set_option(fixture, "preset", "large-state");
	set_option(fixture, "max_write_buffer_number", "5");
	set_option(fixture, "compression", "none");
	set_option(fixture, "bloom_bits", "0");
	set_option(fixture, "cache_index_and_filter_blocks", "false");
	open_backend(fixture);
	expect_lines(fixture, (const char *[]){"write_buffer_size=268435456", "max_write_buffer_number=5",
					       "compression=kNoCompression", "filter_policy=nullptr",
					       "cache_index_and_filter_blocks=false", NULL});
	fixture_free(fixture);
}

Test(rocksdb_backend, every_tuning_option_reaches_rocksdb)
{
	struct fixture *fixture = fixture_or_skip();
	char *options;

	set_option(fixture, "write_buffer_size", "8MiB"); /* a hashed one comes in quarters, two less */
	set_option(fixture, "max_write_buffer_number", "5");
	set_option(fixture, "compression", "lz4");
	set_option(fixture, "block_size", "16KiB");
	set_option(fixture, "block_cache_size", "0");
	set_option(fixture, "max_background_jobs", "3");
	set_option(fixture, "max_open_files", "200");
	set_option(fixture, "target_file_size", "32MiB");
	set_option(fixture, "compaction_style", "level");
	set_option(fixture, "compaction_trigger", "6");
	set_option(fixture, "universal_max_size_amplification", "150");
	set_option(fixture, "level_compaction_dynamic_level_bytes", "false");
	set_option(fixture, "rate_limit", "10MiB");
	set_option(fixture, "purge_interval", "1h");
	set_option(fixture, "memtable", "hash-linkedlist");
	set_option(fixture, "memtable_bloom_percent", "10");
	set_option(fixture, "flush_on_close", "false");
	set_option(fixture, "statistics", "true");
	open_backend(fixture);
	expect_lines(fixture,
		     (const char *[]){
			     "write_buffer_size=2097152", "max_write_buffer_number=18", "compression=kLZ4Compression",
			     "block_size=16384", "no_block_cache=true", "max_background_jobs=3", "max_open_files=200",
			     "target_file_size_base=33554432", "compaction_style=kCompactionStyleLevel",
			     "level0_file_num_compaction_trigger=6", "level_compaction_dynamic_level_bytes=false",
			     "periodic_compaction_seconds=3600", "memtable_prefix_bloom_size_ratio=0.100000",
			     "allow_concurrent_memtable_write=false", "prefix_extractor=rocksdb.Noop",
			     "avoid_flush_during_shutdown=true", "compaction_filter_factory=sbhost.expiry", NULL});
	options = read_options_file(fixture);
	cr_assert_not_null(strstr(options, "max_size_amplification_percent=150;"));
	free(options);
	put_range(fixture, 0, 100, "x", SB_NO_EXPIRY);
	cr_assert_geq(stat_value(fixture, "block_cache_misses"), 0);
	fixture_free(fixture);
}

/* How many threads of RocksDB this process has; fails unless all have that niceness. */
static int background_threads(int niceness)
{
	DIR *tasks = opendir("/proc/self/task");
	const struct dirent *entry;
	int count = 0;

	cr_assert_not_null(tasks);
	while ((entry = readdir(tasks))) {
		char path[300], name[32] = "";
		FILE *file;

		snprintf(path, sizeof(path), "/proc/self/task/%s/comm", entry->d_name);
		file = entry->d_name[0] == '.' ? NULL : fopen(path, "r");
		if (!file)
			continue;
		if (fgets(name, sizeof(name), file) && strncmp(name, "rocksdb:", 8) == 0) {
			cr_assert_eq(getpriority(PRIO_PROCESS, (id_t)atoi(entry->d_name)), niceness, "%s", name);
			count++;
		}
		fclose(file);
	}
	closedir(tasks);
	return count;
}

static void expect_niceness(const char *value, int niceness)
{
	struct fixture *fixture = fixture_or_skip();
	const int before = getpriority(PRIO_PROCESS, 0);
	const int expected = before + niceness < NICENESS_MAX ? before + niceness : NICENESS_MAX;

	if (value)
		set_option(fixture, "background_niceness", value);
	open_backend(fixture);
	cr_assert_eq(background_threads(expected), 2, "one that flushes and one that compacts");
	cr_assert_eq(getpriority(PRIO_PROCESS, 0), before);
	put_range(fixture, 0, 100, "x", SB_NO_EXPIRY);
	fixture_free(fixture);
}

Test(rocksdb_backend, its_threads_stand_back)
{
	expect_niceness(NULL, 10);
}

Test(rocksdb_backend, its_threads_stand_back_as_far_as_they_are_told)
{
	expect_niceness("2", 2);
}

Test(rocksdb_backend, its_threads_do_not_stand_back_when_told_so)
{
	expect_niceness("0", 0);
}

Test(rocksdb_backend, memtable_is_hashed_where_no_scans_will_come)
{
	struct fixture *fixture = fixture_or_skip();

	open_backend(fixture);
	expect_lines(fixture, (const char *[]){"prefix_extractor=nullptr", NULL});
	fixture_free(fixture);
	fixture = fixture_or_skip();
	open_with(fixture, SB_OPEN_NO_SHORT_ITER);
	expect_lines(fixture, (const char *[]){"prefix_extractor=rocksdb.Noop", NULL});
	check_stable_iterator(fixture);
	fixture_free(fixture);
}

/* RocksDB's OPTIONS do not tell the bits, so the filter is seen at work. */
static double lookups_spared(const char *bloom_bits)
{
	struct fixture *fixture = fixture_new();
	char key[KEY_BYTES];

	set_option(fixture, "statistics", "true");
	set_option(fixture, "bloom_bits", bloom_bits);
	set_option(fixture, "write_buffer_size", "64KiB");
	open_backend(fixture);
	for (unsigned i = 0; i < 8000; i += 2)
		put(fixture, make_key(key, i), text("even keys only"), SB_NO_EXPIRY);
	for (unsigned i = 1; i < 4000; i += 2) {
		sb_pin pin = get(fixture, make_key(key, i));

		cr_assert_not(pin.found);
	}

	double spared = stat_value(fixture, "bloom_useful");

	fixture_free(fixture);
	return spared;
}

Test(rocksdb_backend, bloom_filter_spares_reads_of_missing_keys)
{
	fixture_free(fixture_or_skip());
	cr_assert_eq(lookups_spared("0"), 0);
	cr_assert_gt(lookups_spared("10"), 1000);
}

static off_t log_size(struct fixture *fixture)
{
	char path[PATH_BYTES + 256];
	struct stat status;

	cr_assert(find_file(fixture->dir, "", ".log", path));
	cr_assert_eq(stat(path, &status), 0);
	return status.st_size;
}

Test(rocksdb_backend, write_ahead_log_is_written_when_asked_for)
{
	struct fixture *fixture = fixture_or_skip();

	open_backend(fixture);
	put_range(fixture, 0, 10, "x", SB_NO_EXPIRY);
	cr_assert_eq(log_size(fixture), 0);
	fixture_free(fixture);

	struct fixture *logged = fixture_or_skip();

	set_option(logged, "wal", "true");
	open_backend(logged);
	put_range(logged, 0, 10, "x", SB_NO_EXPIRY);
	cr_assert_gt(log_size(logged), 0);
	fixture_free(logged);
}

/* Names, sizes and times of a directory's files, as one number. */
static uint64_t fingerprint(const char *dir)
{
	uint64_t sum = 0;
	DIR *stream = opendir(dir);

	cr_assert_not_null(stream);
	for (struct dirent *entry = readdir(stream); entry; entry = readdir(stream)) {
		struct stat status;
		uint64_t hash = 5381;

		cr_assert_eq(fstatat(dirfd(stream), entry->d_name, &status, 0), 0);
		for (const char *byte = entry->d_name; *byte; byte++)
			hash = hash * 33 + (uint8_t)*byte;
		if (S_ISREG(status.st_mode))
			sum += hash * 31 + (uint64_t)status.st_size * 7 + (uint64_t)status.st_mtim.tv_nsec;
	}
	closedir(stream);
	return sum;
}

static void check_read_only(struct fixture *fixture)
{
	open_backend(fixture);
	put_range(fixture, 0, 500, "kept", 77);
	close_backend(fixture);

	uint64_t before = fingerprint(fixture->dir);
	sb_op op = {.key = text("0001a"), .value = text("1"), .kind = SB_OP_PUT};

	open_with(fixture, SB_OPEN_READ_ONLY);
	cr_assert_eq(count_entries(fixture, "", ""), 500);
	cr_assert_eq(fixture->ops->write_batch(fixture->backend, 1, &op, &fixture->err), SB_ERR_INVALID);
	cr_assert_not_null(strstr(fixture->err.message, fixture->dir));
	close_backend(fixture);
	cr_assert_eq(fingerprint(fixture->dir), before, "reading changed the directory");
}

Test(rocksdb_backend, read_only_instance_reads_and_changes_nothing)
{
	struct fixture *fixture = fixture_or_skip();

	check_read_only(fixture);
	fixture_free(fixture);
}

Test(rocksdb_backend, read_only_instance_reads_the_write_ahead_log)
{
	struct fixture *fixture = fixture_or_skip();

	set_option(fixture, "wal", "true");
	set_option(fixture, "flush_on_close", "false");
	check_read_only(fixture);
	fixture_free(fixture);
}

Test(rocksdb_backend, two_read_only_instances_share_a_directory)
{
	struct fixture *fixture = fixture_or_skip();
	sb_backend *other = NULL;

	open_backend(fixture);
	put_range(fixture, 0, 10, "x", SB_NO_EXPIRY);
	close_backend(fixture);
	open_with(fixture, SB_OPEN_READ_ONLY);
	cr_assert_eq(open_in(fixture, fixture->dir, SB_OPEN_READ_ONLY, &other), SB_OK, "%s", fixture->err.message);
	cr_assert_eq(count_entries(fixture, "", ""), 10);
	fixture->ops->close(other);
	fixture_free(fixture);
}

/* ---------------------------------------------------------------------------
 * Errors
 * ------------------------------------------------------------------------- */

static void expect_refused(struct fixture *fixture, const char *dir, uint32_t flags, int32_t code)
{
	sb_backend *backend = NULL;

	cr_assert_eq(open_in(fixture, dir, flags, &backend), code, "%s", fixture->err.message);
	cr_assert_null(backend);
	cr_assert_eq(fixture->err.code, code);
	cr_assert_not_null(strstr(fixture->err.message, dir), "%s", fixture->err.message);
	cr_assert_not_null(strstr(fixture->err.message, "backend-7"), "%s", fixture->err.message);
	cr_assert_null(strchr(fixture->err.message, '\n'));
}

Test(rocksdb_backend, missing_directory_is_named)
{
	struct fixture *fixture = fixture_or_skip();

	expect_refused(fixture, "/nonexistent/state-data", 0, SB_ERR_NOT_FOUND);
	fixture_free(fixture);
}

Test(rocksdb_backend, file_in_place_of_a_directory_is_refused)
{
	struct fixture *fixture = fixture_or_skip();

	expect_refused(fixture, "/dev/null", 0, SB_ERR_IO);
	fixture_free(fixture);
}

Test(rocksdb_backend, empty_directory_cannot_be_opened_to_be_read)
{
	struct fixture *fixture = fixture_or_skip();

	expect_refused(fixture, fixture->dir, SB_OPEN_READ_ONLY, SB_ERR_NOT_FOUND);
	fixture_free(fixture);
}

Test(rocksdb_backend, directory_of_an_open_instance_is_busy)
{
	struct fixture *fixture = fixture_or_skip();

	open_backend(fixture);
	expect_refused(fixture, fixture->dir, 0, SB_ERR_BUSY);
	fixture_free(fixture);
}

Test(rocksdb_backend, directory_that_holds_older_state_is_refused)
{
	struct fixture *fixture = fixture_or_skip();

	open_backend(fixture);
	close_backend(fixture);
	expect_refused(fixture, fixture->dir, 0, SB_ERR_INVALID);
	fixture_free(fixture);
}

Test(rocksdb_backend, impossible_combination_of_options_is_a_configuration_error)
{
	struct fixture *fixture = fixture_or_skip();

	set_option(fixture, "block_cache_size", "0");
	set_option(fixture, "cache_index_and_filter_blocks", "true");
	expect_refused(fixture, fixture->dir, 0, SB_ERR_CONFIG);
	fixture_free(fixture);
}

/* Changes a byte of the first data block of the only table. */
static void damage_table(struct fixture *fixture)
{
	char path[PATH_BYTES + 256];

	cr_assert(find_file(fixture->dir, "", ".sst", path));

	FILE *file = fopen(path, "r+");

	cr_assert_not_null(file);
	fseek(file, 20, SEEK_SET);

	int byte = fgetc(file);

	fseek(file, 20, SEEK_SET);
	fputc(byte ^ 0xff, file);
	fclose(file);
}

Test(rocksdb_backend, damaged_file_is_reported_as_corrupt)
{
	struct fixture *fixture = fixture_or_skip();
	char first[KEY_BYTES];
	char second[KEY_BYTES];
	sb_slice keys[] = {make_key(first, 0), make_key(second, 1)};
	sb_pin pins[2] = {{.found = 9}, {.found = 9}};
	sb_entry entry;
	uint64_t count = 99;

	open_backend(fixture);
	put_range(fixture, 0, 50, "x", SB_NO_EXPIRY);
	close_backend(fixture);
	damage_table(fixture);
	open_with(fixture, SB_OPEN_READ_ONLY);
	cr_assert_eq(fixture->ops->multi_get(fixture->backend, 2, keys, pins, &fixture->err), SB_ERR_CORRUPT);
	cr_assert_eq(pins[0].found, 9, "outputs are untouched on failure");
	cr_assert_not_null(strstr(fixture->err.message, "checkpoint"), "%s", fixture->err.message);

	sb_iter *iter = open_iter(fixture, "", "");

	cr_assert_eq(fixture->ops->iter_next(iter, 1, &entry, &count, &fixture->err), SB_ERR_CORRUPT);
	cr_assert_eq(count, 99);
	fixture->ops->iter_close(iter);
	fixture_free(fixture);
}

/* ---------------------------------------------------------------------------
 * Figures
 * ------------------------------------------------------------------------- */

Test(rocksdb_backend, stats_count_operations)
{
	struct fixture *fixture = fixture_or_skip();
	sb_stat few[2];
	uint64_t count;

	open_backend(fixture);
	put_range(fixture, 0, 10, "x", SB_NO_EXPIRY);
	expect_value(fixture, "0001a", NULL);
	write_ops(fixture, &(sb_op){.key = text("0001a"), .kind = SB_OP_DELETE}, 1);
	cr_assert_eq(stat_value(fixture, "puts"), 10);
	cr_assert_eq(stat_value(fixture, "gets"), 1);
	cr_assert_eq(stat_value(fixture, "gets_found"), 0);
	cr_assert_eq(stat_value(fixture, "deletes"), 1);
	cr_assert_eq(stat_value(fixture, "write_batches"), 11);
	cr_assert_gt(stat_value(fixture, "memtable_bytes"), 0);
	cr_assert_eq(stat_value(fixture, "level0_files"), 0);
	cr_assert_eq(fixture->ops->stats(fixture->backend, 2, few, &count, &fixture->err), SB_OK);
	cr_assert_gt(count, 2);
	fixture_free(fixture);
}
