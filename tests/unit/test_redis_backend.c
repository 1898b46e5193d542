/* What is Redis's own about the Redis backend: servers that go away, come back, or come back empty; places that somebody else
 * has; keys that Redis drops by itself; where keys lie in a cluster. What every backend must do is for tests/conformance. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/slice.h"
#include "kit/iter_check.h"
#include "support/redis.h"

#define SEED 11
#define HOUR_MS INT64_C(3600000)

static struct redis_server servers[REDIS_NODES];
static struct redis_server *const server = &servers[0];
static struct subject s;

static void stop_all(void)
{
	for (int i = 0; i < REDIS_NODES; i++)
		if (servers[i].dir[0])
			redis_stop(&servers[i]);
}

TestSuite(redis_backend, .fini = stop_all, .timeout = 120);

static void open_backend(const char *option)
{
	redis_start(server);
	server->profile.options[1] = option;
	profile_open(&s, &server->profile, SEED);
}

static int32_t open_other(const char *dir, struct instance **ret_instance, sb_error *err)
{
	return instance_open_backend(s.component, "backend-0", dir, 0, &s.options, &s.env, ret_instance, err);
}

static void expect_reply(const struct redis_server *of, const char *command, const char *expected)
{
	char *reply = redis_ask(of, command);

	cr_expect_str_eq(reply, expected, "%s: %s", command, reply);
	free(reply);
}

static double figure(const char *name)
{
	sb_stat stats[32];
	sb_error err = ERROR_INIT;
	uint64_t count;

	cr_assert_eq(s.ops->stats(s.backend, 32, stats, &count, &err), SB_OK, "%s", err.message);
	for (uint64_t i = 0; i < count; i++)
		if (strcmp(stats[i].name, name) == 0)
			return stats[i].value;
	cr_assert_fail("there is no figure %s", name);
	return 0;
}

static void put_some(unsigned from, unsigned to)
{
	uint8_t key[64];

	for (unsigned i = from; i < to; i++)
		subject_put(&s, key_of_number(key, i % 128, i), slice_of(&i, sizeof(i)), SB_NO_EXPIRY);
}

static int32_t get_one(unsigned number, sb_error *err)
{
	uint8_t bytes[64];
	const sb_slice key = key_of_number(bytes, number % 128, number);
	sb_pin pin;
	int32_t status = s.ops->multi_get(s.backend, 1, &key, &pin, err);

	if (status == SB_OK)
		s.ops->unpin(s.backend, 1, &pin);
	return status;
}

static int32_t put_one(unsigned number, sb_error *err)
{
	uint8_t bytes[64];
	const sb_op op = op_put(key_of_number(bytes, number % 128, number), slice_of_text("x"), SB_NO_EXPIRY);

	return s.ops->write_batch(s.backend, 1, &op, err);
}

/* --- connections ---------------------------------------------------------------------- */

Test(redis_backend, connection_that_breaks_is_made_anew_and_nothing_is_lost)
{
	NEED_REDIS();
	open_backend(NULL);
	for (unsigned i = 0; i < 20; i++) {
		put_some(50 * i, 50 * (i + 1));
		free(redis_ask(server, "CLIENT KILL TYPE normal"));
		subject_check_all(&s);
	}
	cr_expect_geq(figure("connects"), 20);
	profile_close(&s);
}

Test(redis_backend, server_that_is_gone_is_an_error_that_says_where_after_the_retries)
{
	sb_error err = ERROR_INIT;

	NEED_REDIS();
	open_backend("retries=2");
	put_some(0, 10);
	redis_kill(server);
	cr_expect_eq(get_one(3, &err), SB_ERR_IO);
	cr_expect_not_null(strstr(err.message, server->socket), "%s", err.message);
	cr_expect(err.flags & SB_ERROR_RETRYABLE);
	cr_expect_eq(figure("retries"), 2);
	redis_start_again(server);
	subject_close(&s);
}

Test(redis_backend, server_that_came_back_empty_is_never_taken_for_the_state)
{
	sb_error err = ERROR_INIT;

	NEED_REDIS();
	open_backend(NULL);
	put_some(0, 200);
	redis_kill(server);
	redis_start_again(server);
	cr_expect_eq(get_one(3, &err), SB_ERR_IO);
	cr_expect_not_null(strstr(err.message, "is not what was written"), "%s", err.message);
	/* For good: nobody goes on with half of it. */
	cr_expect_eq(put_one(3, &err), SB_ERR_IO);
	cr_expect_eq(get_one(500, &err), SB_ERR_IO);
	subject_close(&s);
}

Test(redis_backend, write_on_a_server_that_was_emptied_fails)
{
	sb_error err = ERROR_INIT;

	NEED_REDIS();
	open_backend(NULL);
	put_some(0, 200);
	free(redis_ask(server, "FLUSHALL"));
	cr_expect_eq(put_one(3, &err), SB_ERR_IO);
	cr_expect_not_null(strstr(err.message, "is not what was written"), "%s", err.message);
	subject_close(&s);
}

Test(redis_backend, full_server_refuses_a_batch_whole_and_goes_on_when_there_is_room)
{
	uint8_t key[64];
	static uint8_t large[1 << 20];
	sb_error err = ERROR_INIT;
	sb_op op;

	NEED_REDIS();
	open_backend("retries=0");
	put_some(0, 200);
	free(redis_ask(server, "CONFIG SET maxmemory 1"));
	op = op_put(key_of_number(key, 1, 1), slice_of(large, sizeof(large)), SB_NO_EXPIRY);
	cr_expect_eq(s.ops->write_batch(s.backend, 1, &op, &err), SB_ERR_NO_SPACE);
	cr_expect_not_null(strstr(err.message, "maxmemory"), "%s", err.message);
	free(redis_ask(server, "CONFIG SET maxmemory 0"));
	put_some(100, 300);
	subject_check_all(&s);
	profile_close(&s);
}

/* --- opening -------------------------------------------------------------------------- */

Test(redis_backend, password_is_asked_for_and_never_shown)
{
	const char *const pairs[] = {server->option, "password=correct horse"};
	struct option_set with_password;
	struct instance *other;
	sb_error err = ERROR_INIT;

	NEED_REDIS();
	open_backend(NULL);
	cr_assert_eq(option_set_parse(s.component, "--opt", pairs, 2, &with_password, &err), SB_OK, "%s", err.message);
	free(redis_ask(server, "CONFIG SET requirepass xyzzy"));
	cr_expect_eq(open_other("/tmp", &other, &err), SB_ERR_CONFIG);
	cr_expect_not_null(strstr(err.message, "give the option password"), "%s", err.message);
	cr_expect_eq(instance_open_backend(s.component, "backend-0", "/tmp", 0, &with_password, &s.env, &other, &err),
		     SB_ERR_CONFIG);
	cr_expect_null(strstr(err.message, "horse"), "%s", err.message);
	option_set_done(&with_password);
	profile_close(&s); /* its connection has been greeted before */
}

Test(redis_backend, server_that_may_evict_keys_is_refused)
{
	struct instance *other;
	sb_error err = ERROR_INIT;

	NEED_REDIS();
	open_backend(NULL);
	free(redis_ask(server, "CONFIG SET maxmemory 100mb"));
	free(redis_ask(server, "CONFIG SET maxmemory-policy allkeys-lru"));
	cr_expect_eq(open_other("/tmp", &other, &err), SB_ERR_CONFIG);
	cr_expect_not_null(strstr(err.message, "noeviction"), "%s", err.message);
	profile_close(&s);
}

Test(redis_backend, namespace_holds_all_keys_and_is_left_empty)
{
	char *keys;

	NEED_REDIS();
	open_backend("namespace=job-7");
	put_some(0, 500);
	keys = redis_ask(server, "KEYS *");
	for (const char *line = keys; *line; line = strchr(line, '\n') + 1)
		cr_expect_eq(strncmp(line, "job-7:{", 7), 0, "%.40s", line);
	free(keys);
	profile_close(&s);
	expect_reply(server, "DBSIZE", "0");
}

Test(redis_backend, place_of_a_running_job_is_refused_and_that_of_a_dead_one_is_taken_and_emptied)
{
	struct instance *other;
	sb_error err = ERROR_INIT;

	NEED_REDIS();
	open_backend("retries=1");
	put_some(0, 100);
	cr_expect_eq(open_other(s.instance_dir, &other, &err), SB_ERR_BUSY);
	cr_expect_not_null(strstr(err.message, "another job"), "%s", err.message);
	/* Cut off is as good as dead, as far as the server knows. */
	free(redis_ask(server, "CLIENT KILL TYPE normal"));
	cr_assert_eq(open_other(s.instance_dir, &other, &err), SB_OK, "%s", err.message);
	expect_reply(server, "DBSIZE", "1"); /* the lock */
	cr_expect_neq(get_one(3, &err), SB_OK, "the former owner reads on");
	instance_close(other);
	subject_close(&s);
	expect_reply(server, "DBSIZE", "0");
}

/* --- expiry --------------------------------------------------------------------------- */

static int64_t server_now_ms(void)
{
	char *reply = redis_ask(server, "TIME");
	const int64_t ms = strtoll(reply, NULL, 10) * 1000;

	free(reply);
	return ms;
}

static uint64_t keys_with_a_time(void)
{
	char *info = redis_ask(server, "INFO keyspace");
	const char *at = strstr(info, "expires=");
	const uint64_t n = at ? strtoull(at + strlen("expires="), NULL, 10) : 0;

	free(info);
	return n;
}

static void put_text(const char *name, int64_t expiry_ms)
{
	uint8_t key[64];

	subject_put(&s, key_of(key, 1, name), slice_of_text("v"), expiry_ms);
}

Test(redis_backend, entries_are_given_to_redis_to_drop_after_a_margin_when_the_job_is_on_time)
{
	int64_t now_ms;

	NEED_REDIS();
	open_backend("expiry_margin=2h");
	now_ms = server_now_ms();
	subject_set_horizon(&s, now_ms - HOUR_MS / 2);
	put_text("soon", now_ms + HOUR_MS);
	put_text("never", SB_NO_EXPIRY);
	cr_expect_eq(keys_with_a_time(), 1);
	subject_check_all(&s);
	profile_close(&s);
}

Test(redis_backend, job_that_is_behind_the_clock_keeps_its_entries_to_itself)
{
	int64_t now_ms;

	NEED_REDIS();
	open_backend("expiry_margin=2h");
	now_ms = server_now_ms();
	subject_set_horizon(&s, now_ms - 3 * HOUR_MS);
	put_text("old", now_ms - 2 * HOUR_MS);
	put_text("soon", now_ms + HOUR_MS);
	cr_expect_eq(keys_with_a_time(), 0);
	subject_check_all(&s);
	profile_close(&s);
}

Test(redis_backend, margin_of_zero_leaves_expiry_to_upkeep)
{
	uint64_t purged;
	sb_error err = ERROR_INIT;
	int64_t now_ms;

	NEED_REDIS();
	open_backend("expiry_margin=0");
	now_ms = server_now_ms();
	subject_set_horizon(&s, now_ms);
	put_text("a", now_ms - 1);
	put_text("b", now_ms + HOUR_MS);
	cr_expect_eq(keys_with_a_time(), 0);
	cr_assert_eq(s.ops->maintain(s.backend, 100, &purged, &err), SB_OK, "%s", err.message);
	cr_expect_eq(purged, 1);
	profile_close(&s);
}

/* --- a cluster ------------------------------------------------------------------------ */

Test(redis_backend, cluster_holds_each_group_on_one_node_and_uses_all_of_them)
{
	NEED_REDIS();
	redis_cluster_start(servers);
	profile_open(&s, &server->profile, SEED);
	put_some(0, 2000);
	for (int i = 0; i < REDIS_NODES; i++) {
		char *size = redis_ask(&servers[i], "DBSIZE");

		cr_expect_gt(strtoll(size, NULL, 10), 200, "node %d has %s keys", i, size);
		free(size);
	}
	subject_check_all(&s);
	profile_close(&s);
	for (int i = 0; i < REDIS_NODES; i++)
		expect_reply(&servers[i], "DBSIZE", "0");
}

Test(redis_backend, node_of_a_cluster_that_came_back_empty_is_noticed)
{
	sb_error err = ERROR_INIT;
	bool noticed = false;

	NEED_REDIS();
	redis_cluster_start(servers);
	profile_open(&s, &server->profile, SEED);
	put_some(0, 500);
	free(redis_ask(&servers[1], "FLUSHALL"));
	for (unsigned i = 0; i < 500 && !noticed; i++)
		noticed = get_one(i, &err) == SB_ERR_IO && strstr(err.message, "is not what was written");
	cr_expect(noticed);
	subject_close(&s);
}
