/* SPDX-License-Identifier: Apache-2.0
 *
 * What keyed state with its write-back cache brings over the plain way of using RocksDB: a get, a change and a put
 * for every event, on an engine with RocksDB's own defaults and the write-ahead log off.
 *
 * Both sides hold the same entries (16-byte keys, 80-byte values) and take turns on the same seeded events, in parts of so many
 * seconds; the medians are compared. The cache is a share of what all entries would take in it. What is dirty at the
 * end of a part is written back within it, so nothing is put off into a time that nobody counts. At the end each side's every
 * entry is compared with a count kept beside.
 *
 * Usage: rocksdb_cache [-k KEYS] [-r ROUNDS] [-t SECONDS] [-s SHARE]... [-o BACKEND_OPTION]... [-d DIRECTORY] [-j]
 */
#include <rocksdb/c.h>
#include <sys/resource.h>

#include "cached_state.h"

#define ROUNDS_MAX 15
#define LIST_MAX 16

struct options {
	uint64_t keys;
	int rounds;
	double seconds;
	double shares[LIST_MAX];
	int share_count;
	const char *pairs[LIST_MAX];
	uint64_t pair_count;
	const char *dir;
	bool json;
};

struct plain {
	struct side side;
	rocksdb_t *db;
	rocksdb_options_t *options;
	rocksdb_readoptions_t *read;
	rocksdb_writeoptions_t *write;
};

/* ---------------------------------------------------------------------------
 * The plain way
 * ------------------------------------------------------------------------- */

static void plain_open(struct plain *plain, const char *dir, uint64_t keys)
{
	char *problem = NULL;

	side_init(&plain->side, keys);
	plain->options = rocksdb_options_create();
	rocksdb_options_set_create_if_missing(plain->options, 1);
	plain->read = rocksdb_readoptions_create();
	plain->write = rocksdb_writeoptions_create();
	rocksdb_writeoptions_disable_WAL(plain->write, 1);
	plain->db = rocksdb_open(plain->options, dir, &problem);
	if (problem)
		die("plain", problem);
}

static void plain_change(struct plain *plain, uint64_t number)
{
	uint8_t key[BENCH_USER_KEY_BYTES];
	struct value value;
	char *problem = NULL;
	size_t size;
	char *found;

	bench_key_text(number, key);
	found = rocksdb_get(plain->db, plain->read, (char *)key, sizeof(key), &size, &problem);
	if (found)
		memcpy(&value, found, sizeof(value));
	else
		value_make(&value, number);
	rocksdb_free(found);
	value.changes++;
	plain->side.changes[number]++;
	if (!problem)
		rocksdb_put(plain->db, plain->write, (char *)key, sizeof(key), (char *)&value, sizeof(value), &problem);
	if (problem)
		die("plain", problem);
}

static void plain_fill(struct plain *plain)
{
	for (uint64_t i = 0; i < plain->side.keys.count; i++)
		plain_change(plain, bench_keys_scatter(&plain->side.keys, i));
}

static double plain_part(struct plain *plain, bool zipf, double seconds)
{
	double start = now();
	uint64_t count = 0;

	do {
		for (int i = 0; i < 64; i++)
			plain_change(plain, bench_keys_pick(&plain->side.keys, zipf));
		count += 64;
	} while (now() - start < seconds);
	return (double)count / (now() - start);
}

static void plain_check(struct plain *plain)
{
	rocksdb_iterator_t *iter = rocksdb_create_iterator(plain->db, plain->read);
	uint64_t count = 0;

	for (rocksdb_iter_seek_to_first(iter); rocksdb_iter_valid(iter); rocksdb_iter_next(iter), count++) {
		size_t key_len, len;
		const char *key = rocksdb_iter_key(iter, &key_len), *bytes = rocksdb_iter_value(iter, &len);
		uint64_t number = bench_key_number(slice_of((const uint8_t *)key, key_len));
		struct value value;

		memcpy(&value, bytes, sizeof(value));
		if (number >= plain->side.keys.count || value.changes != plain->side.changes[number])
			die("plain", "an entry is not what it must be");
	}
	if (count != plain->side.keys.count)
		die("plain", "entries are missing");
	rocksdb_iter_destroy(iter);
}

static void plain_close(struct plain *plain)
{
	rocksdb_close(plain->db);
	rocksdb_options_destroy(plain->options);
	rocksdb_readoptions_destroy(plain->read);
	rocksdb_writeoptions_destroy(plain->write);
	free(plain->side.changes);
}

/* ---------------------------------------------------------------------------
 * Turns and figures
 * ------------------------------------------------------------------------- */

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values, int n)
{
	qsort(values, (size_t)n, sizeof(*values), compare_doubles);
	return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

static double cached_part(struct cached *cached, bool zipf, double seconds)
{
	double start = now();
	uint64_t count = 0;

	do {
		cached_draw(cached, zipf);
		count += BATCH;
	} while (now() - start < seconds);
	cached_flush(cached);
	return (double)count / (now() - start);
}

static void print_row(const struct options *options, double share, bool zipf, double plain, double cached)
{
	static bool headed;
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	if (options->json) {
		printf("{\"keys\":%" PRIu64
		       ",\"share\":%g,\"keys_drawn\":\"%s\",\"plain_per_s\":%.0f,\"cached_per_s\":%.0f,"
		       "\"ratio\":%.2f,\"peak_rss_mib\":%ld}\n",
		       options->keys, share, zipf ? "zipf" : "uniform", plain, cached, cached / plain,
		       usage.ru_maxrss / 1024);
	} else {
		if (!headed)
			puts("     KEYS  CACHE  DRAWN     PLAIN M/s  CACHED M/s  RATIO  PEAK RSS MiB");
		printf("%9" PRIu64 "  %4.0f%%  %-8s  %9.3f  %10.3f  %5.2f  %12ld\n", options->keys, 100 * share,
		       zipf ? "zipf" : "uniform", plain / 1e6, cached / 1e6, cached / plain, usage.ru_maxrss / 1024);
		headed = true;
	}
	fflush(stdout);
}

static void compare(const struct options *options, double share, const char *dir)
{
	uint64_t cache_bytes = (uint64_t)(share * (double)options->keys * CACHED_BYTES);
	struct cached *cached = calloc(1, sizeof(*cached));
	struct plain plain = {0};
	char plain_dir[300], cached_dir[300];
	sb_error err = ERROR_INIT;

	snprintf(plain_dir, sizeof(plain_dir), "%s/plain", dir);
	snprintf(cached_dir, sizeof(cached_dir), "%s/cached", dir);
	must(io_mkdir_p(&io, cached_dir, &err), &err);
	if (!cached)
		die("cached", "out of memory");
	plain_open(&plain, plain_dir, options->keys);
	cached_open(cached, cached_dir, options->keys, cache_bytes, options->pairs, options->pair_count);
	plain_fill(&plain);
	cached_fill(cached);
	for (int zipf = 0; zipf < 2; zipf++) {
		double plain_rate[ROUNDS_MAX], cached_rate[ROUNDS_MAX];

		for (int round = 0; round < options->rounds; round++) {
			plain_rate[round] = plain_part(&plain, zipf, options->seconds);
			cached_rate[round] = cached_part(cached, zipf, options->seconds);
		}
		print_row(options, share, zipf, median(plain_rate, options->rounds),
			  median(cached_rate, options->rounds));
	}
	plain_check(&plain);
	cached_check(cached);
	plain_close(&plain);
	cached_close(cached);
	free(cached);
	must(io_empty_dir(&io, dir, NULL, &err), &err);
}

static void parse(int argc, char **argv, struct options *o)
{
	int option;

	*o = (struct options){.keys = 1000000, .rounds = 5, .seconds = 2, .dir = "."};
	while ((option = getopt(argc, argv, "k:r:t:s:o:d:j")) != -1) {
		if (option == 'k')
			o->keys = strtoull(optarg, NULL, 10);
		else if (option == 'r')
			o->rounds = atoi(optarg);
		else if (option == 't')
			o->seconds = atof(optarg);
		else if (option == 's' && o->share_count < LIST_MAX)
			o->shares[o->share_count++] = atof(optarg);
		else if (option == 'o' && o->pair_count < LIST_MAX)
			o->pairs[o->pair_count++] = optarg;
		else if (option == 'd')
			o->dir = optarg;
		else if (option == 'j')
			o->json = true;
		else
			die("usage", "rocksdb_cache [-k KEYS] [-r ROUNDS] [-t SECONDS] [-s SHARE]... "
				     "[-o BACKEND_OPTION]... [-d DIRECTORY] [-j]");
	}
	if (o->keys < 1000 || o->keys > BENCH_KEYS_MAX || o->rounds < 1 || o->rounds > ROUNDS_MAX)
		die("usage", "keys from 1000, rounds from 1 to 15");
	if (o->share_count == 0) {
		o->shares[0] = 0.1;
		o->shares[1] = 0.5;
		o->shares[2] = 1.2;
		o->share_count = 3;
	}
}

int main(int argc, char **argv)
{
	struct options options;
	sb_error err = ERROR_INIT;
	char dir[256];

	parse(argc, argv, &options);
	bench_begin(options.dir, dir, sizeof(dir));
	for (int i = 0; i < options.share_count; i++)
		compare(&options, options.shares[i], dir);
	must(io_remove_tree(&io, dir, &err), &err);
	return 0;
}
