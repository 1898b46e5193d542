/* What the Redis backend makes of a server and a network that behave badly at any moment: each reply in turn is lost with its connection, is an error, or
 * has another form than the command's. A call then fails with a sentence, or has been attempted anew and is right; the next job that opens the place gets
 * it empty, whatever was left behind. With a plain server, and with one that says it is a cluster's only node. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/slice.h"
#include "kit/model.h"
#include "kit/subject.h"
#include "plugin/instance.h"
#include "support/redis.h"
#include "support/redis_proxy.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define REPLIES_MAX 2000
#define KEYS 6u
#define HORIZON_MS 5000

#define INFO_OF_A_CLUSTER "$47\r\n\r\nredis_version:7.0.0\r\nredis_mode:cluster\r\n....\r\n"
#define ONE_NODE_HAS_ALL "*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$0\r\n\r\n:%d\r\n"
#define NO_CLUSTER "cluster support disabled"

static struct redis_server server;
static struct redis_proxy proxy;
static struct plugin *plugin;
static const struct component *component;
static char slots[128]; /* what a cluster of one node says */
static struct proxy_trouble cluster[2];

struct trouble {
	const char *name;
	const char *reply; /* NULL: the connection breaks */
	bool honest; /* the server does not lie: who says it went well must be right */
	unsigned step; /* it takes the place of every so manyth reply */
};

static const struct trouble troubles[] = {
	{"hung up", NULL, true, 1},
	{"an error", "-ERR out of sorts\r\n", true, 2},
	{"loading", "-LOADING the dataset\r\n", true, 17},
	{"full", "-OOM used memory > 'maxmemory'\r\n", true, 17},
	{"a status", "+OK\r\n", false, 7},
	{"a number", ":7\r\n", false, 7},
	{"nil", "$-1\r\n", false, 7},
	{"an empty string", "$0\r\n\r\n", false, 7},
	{"a short string", "$3\r\nabc\r\n", false, 7},
	{"an empty array", "*0\r\n", false, 7},
	{"an array with a number", "*1\r\n:3\r\n", false, 7},
	{"an array with an error", "*2\r\n-ERR inside\r\n$1\r\n1\r\n", false, 4},
	{"no reply at all", "!?\r\n", true, 17},
};

/* --- a session ----------------------------------------------------------------------- */

struct session {
	struct instance *instance;
	const sb_backend_ops *ops;
	unsigned failed; /* calls */
	bool known; /* every write went well, so what is there is certain */
	bool honest;
	const char *what;
	uint64_t at;
};

/* Whether the call went well; one that did not says why. */
static bool went_well(struct session *s, const char *call, int32_t status, const sb_error *err)
{
	if (status == SB_OK)
		return true;
	cr_assert(status < SB_OK && err->code == status && strlen(err->message) > 20, "%s, reply %llu: %s: %d, \"%s\"",
		  s->what, (unsigned long long)s->at, call, status, err->message);
	s->failed++;
	return false;
}

static sb_slice numbered_key(uint8_t *bytes, unsigned number)
{
	return key_of_number(bytes, number % 3, number);
}

/* Key i has the value "i" and, when i is even, an expiry that upkeep will find passed; all but the last are there. */
static void write_keys(struct session *s)
{
	static const char digits[] = "012345";
	uint8_t keys[KEYS][64];
	sb_op ops[KEYS];
	sb_error err = ERROR_INIT;

	for (unsigned i = 0; i < KEYS; i++)
		ops[i] = op_put(numbered_key(keys[i], i), slice_of(&digits[i], 1),
				i % 2 ? SB_NO_EXPIRY : HORIZON_MS - 1);
	s->known = went_well(s, "write_batch", s->ops->write_batch(s->instance->backend, KEYS, ops, &err), &err);
	ops[0] = op_delete(numbered_key(keys[0], KEYS - 1));
	s->known &= went_well(s, "write_batch", s->ops->write_batch(s->instance->backend, 1, ops, &err), &err);
}

static void check(const struct session *s, bool found, unsigned number, sb_slice value)
{
	static const char digits[] = "012345";

	if (!s->known || !s->honest)
		return;
	cr_assert(found == (number < KEYS - 1), "%s, reply %llu: key %u", s->what, (unsigned long long)s->at, number);
	cr_assert(!found || slice_equal(value, slice_of(&digits[number], 1)), "%s, reply %llu: key %u has %.*s",
		  s->what, (unsigned long long)s->at, number, (int)value.len, (const char *)value.ptr);
}

static void read_keys(struct session *s)
{
	uint8_t bytes[KEYS][64];
	sb_slice keys[KEYS];
	sb_pin pins[KEYS];
	sb_error err = ERROR_INIT;

	for (unsigned i = 0; i < KEYS; i++)
		keys[i] = numbered_key(bytes[i], i);
	if (!went_well(s, "multi_get", s->ops->multi_get(s->instance->backend, KEYS, keys, pins, &err), &err))
		return;
	for (unsigned i = 0; i < KEYS; i++)
		check(s, pins[i].found, i, pins[i].value);
	s->ops->unpin(s->instance->backend, KEYS, pins);
}

/* Up to a bound in the last group, so that both kinds of a page are asked for. */
static void walk(struct session *s, unsigned expected)
{
	uint8_t bytes[64];
	const sb_iter_options options = {.struct_size = sizeof(options), .upper = key_of(bytes, 2, "9")};
	unsigned seen = 0;
	uint64_t count = 1;
	sb_entry entries[3];
	sb_error err = ERROR_INIT;
	sb_iter *iter;

	if (!went_well(s, "iter_open", s->ops->iter_open(s->instance->backend, &options, &iter, &err), &err))
		return;
	while (count) {
		if (!went_well(s, "iter_next", s->ops->iter_next(iter, LENGTH(entries), entries, &count, &err), &err))
			break;
		seen += (unsigned)count;
	}
	if (count == 0 && s->known && s->honest)
		cr_assert_eq(seen, expected, "%s, reply %llu: %u entries", s->what, (unsigned long long)s->at, seen);
	s->ops->iter_close(iter);
}

static void purge(struct session *s)
{
	uint64_t purged, total = 0;
	sb_error err = ERROR_INIT;
	bool well = true;

	for (unsigned i = 0; i < 3 && well; i++) {
		well = went_well(s, "maintain", s->ops->maintain(s->instance->backend, 5, &purged, &err), &err);
		total += well ? purged : 0;
	}
	if (well && s->known && s->honest)
		cr_assert_eq(total, KEYS / 2, "%s, reply %llu: %llu purged", s->what, (unsigned long long)s->at,
			     (unsigned long long)total);
	s->known &= well;
}

static bool open_instance(struct session *s, const char *retries)
{
	const char *const pairs[] = {proxy.option, retries, "expiry_margin=0"};
	static _Atomic int64_t horizon_ms = HORIZON_MS;
	static struct log log = {.fd = -1};
	static struct clock clock;
	static struct option_set options;
	const struct plugin_env env = {.log = &log, .clock = &clock, .horizon_ms = &horizon_ms};
	sb_error err = ERROR_INIT;
	int32_t status;

	clock_init_system(&clock);
	log.clock = &clock;
	option_set_done(&options);
	cr_assert_eq(option_set_parse(component, "--opt", pairs, LENGTH(pairs), &options, &err), SB_OK, "%s",
		     err.message);
	status = instance_open_backend(component, "backend-0", server.dir, 0, &options, &env, &s->instance, &err);
	s->ops = &component->backend;
	return went_well(s, "open", status, &err);
}

/* Nobody is connected any more, and the server knows it. */
static void forget_connections(void)
{
	free(redis_ask(&server, "CLIENT KILL TYPE normal"));
}

/* A former owner that went without a word: its lock and its keys lie there. */
static void leave_keys_behind(void)
{
	const struct proxy_trouble gone[PROXY_TROUBLES] = {
		cluster[0], cluster[1], {.at = 1, .from_then_on = true, .reply = NULL}};
	const struct proxy_trouble none[PROXY_TROUBLES] = {cluster[0], cluster[1]};
	struct session s = {.what = "before"};

	redis_proxy_plan(&proxy, none);
	cr_assert(open_instance(&s, "retries=0"));
	write_keys(&s);
	cr_assert(s.known);
	redis_proxy_plan(&proxy, gone);
	instance_close(s.instance);
	forget_connections();
}

/* A whole life, on through calls that fail. Returns how many did; *ret_opening: how many replies there were when it was open. */
static unsigned live(const struct trouble *trouble, uint64_t at, const char *retries, bool after_another,
		     uint64_t *ret_opening)
{
	const struct proxy_trouble plan[PROXY_TROUBLES] = {{.at = at, .reply = trouble->reply}, cluster[0], cluster[1]};
	struct session s = {.honest = trouble->honest, .what = trouble->name, .at = at};

	if (after_another)
		leave_keys_behind();
	redis_proxy_plan(&proxy, plan);
	if (open_instance(&s, retries)) {
		*ret_opening = atomic_load(&proxy.replies);
		write_keys(&s);
		read_keys(&s);
		walk(&s, KEYS - 1);
		purge(&s);
		walk(&s, KEYS / 2 - 1);
		instance_close(s.instance);
	}
	forget_connections();
	return s.failed;
}

/* Whoever comes next finds the place free and leaves nothing. */
static void expect_a_clean_place(const struct trouble *trouble, uint64_t at)
{
	const struct proxy_trouble plan[PROXY_TROUBLES] = {cluster[0], cluster[1]};
	struct session s = {.what = trouble->name, .at = at};
	char *size;

	redis_proxy_plan(&proxy, plan);
	cr_assert(open_instance(&s, "retries=2"), "%s, reply %llu: the next one", trouble->name,
		  (unsigned long long)at);
	instance_close(s.instance);
	size = redis_ask(&server, "DBSIZE");
	cr_assert_str_eq(size, "0", "%s, reply %llu: %s keys are left", trouble->name, (unsigned long long)at, size);
	free(size);
	forget_connections();
}

/* The replies from first to last, of lives behind another owner's or on an empty server. */
static void try_replies(const struct trouble *trouble, const char *retries, bool heals, bool after_another)
{
	const unsigned from = (unsigned)(trouble - troubles) % trouble->step;
	uint64_t opening, ignored, total;

	cr_assert_eq(live(trouble, REPLIES_MAX, retries, after_another, &opening), 0, "without a trouble");
	total = atomic_load(&proxy.replies);
	cr_assert(opening > 6 && total > opening + 20 && total < REPLIES_MAX);
	for (uint64_t at = from + (after_another ? 1 : opening + 1); at <= (after_another ? opening : total);
	     at += trouble->step) {
		unsigned failed = live(trouble, at, retries, after_another, &ignored);

		cr_assert(atomic_load(&proxy.hit), "%s: there is no reply %llu", trouble->name, (unsigned long long)at);
		cr_assert(!heals || failed == 0, "%s, reply %llu: %u calls failed", trouble->name,
			  (unsigned long long)at, failed);
		/* A lie about what lies there may be believed, and keys stay: the server's own doing. */
		if (trouble->honest && at % 3 == 0)
			expect_a_clean_place(trouble, at);
		else
			free(redis_ask(&server, "FLUSHALL"));
	}
}

static void try_each_reply(const struct trouble *trouble, const char *retries, bool heals)
{
	try_replies(trouble, retries, heals, true);
	try_replies(trouble, retries, heals, false);
}

/* --- the ground ---------------------------------------------------------------------- */

static void set_up(bool as_cluster)
{
	char path[96];
	sb_error err = ERROR_INIT;
	struct io io;

	io_init_system(&io);
	redis_start(&server);
	snprintf(path, sizeof(path), "%s/proxy", server.dir);
	redis_proxy_start(&proxy, as_cluster ? NULL : path, server.socket);
	cr_assert_eq(plugin_load(&io, "redis", SB_PLUGIN_DIR, &plugin, &err), SB_OK, "%s", err.message);
	cr_assert_eq(plugin_find_component(plugin, SB_KIND_BACKEND, &component, &err), SB_OK, "%s", err.message);
	if (!as_cluster)
		return;
	snprintf(slots, sizeof(slots), ONE_NODE_HAS_ALL, atoi(strchr(proxy.option, '=') + 1));
	cluster[0] = (struct proxy_trouble){.when = "redis_mode:standalone", .reply = INFO_OF_A_CLUSTER};
	cluster[1] = (struct proxy_trouble){.when = NO_CLUSTER, .reply = slots};
}

static void stop_all(void)
{
	if (!server.dir[0])
		return;
	plugin_free(plugin);
	redis_proxy_stop(&proxy);
	redis_stop(&server);
}

TestSuite(redis_trouble, .fini = stop_all, .timeout = 600);

Test(redis_trouble, each_reply_that_goes_wrong_is_an_error_or_made_good)
{
	NEED_REDIS();
	set_up(false);
	for (size_t i = 0; i < LENGTH(troubles); i++)
		try_each_reply(&troubles[i], "retries=0", false);
}

Test(redis_trouble, each_reply_of_a_cluster_that_goes_wrong_is_an_error_or_made_good)
{
	NEED_REDIS();
	set_up(true);
	for (size_t i = 0; i < LENGTH(troubles); i++)
		try_each_reply(&troubles[i], "retries=0", false);
}

Test(redis_trouble, connection_that_breaks_once_anywhere_costs_nothing)
{
	NEED_REDIS();
	set_up(false);
	try_each_reply(&troubles[0], "retries=1", true);
}

Test(redis_trouble, cluster_that_makes_no_sense_is_refused)
{
	static const char *const senseless[] = {
		"*1\r\n*1\r\n:0\r\n",
		"*1\r\n:5\r\n",
		"*1\r\n*3\r\n:0\r\n:16383\r\n*1\r\n$0\r\n\r\n",
		"*1\r\n*3\r\n:0\r\n:16384\r\n*2\r\n$0\r\n\r\n:1\r\n",
		"*1\r\n*3\r\n:-1\r\n:5\r\n*2\r\n$0\r\n\r\n:1\r\n",
	};

	NEED_REDIS();
	set_up(true);
	for (size_t i = 0; i < LENGTH(senseless); i++) {
		const struct proxy_trouble plan[PROXY_TROUBLES] = {cluster[0],
								   {.when = NO_CLUSTER, .reply = senseless[i]}};
		const char *const pairs[] = {proxy.option, "retries=0"};
		const struct plugin_env env = {0};
		struct option_set options;
		struct instance *instance;
		sb_error err = ERROR_INIT;

		redis_proxy_plan(&proxy, plan);
		cr_assert_eq(option_set_parse(component, "--opt", pairs, 2, &options, &err), SB_OK);
		cr_expect_eq(
			instance_open_backend(component, "backend-0", server.dir, 0, &options, &env, &instance, &err),
			SB_ERR_CORRUPT, "%zu: %s", i, err.message);
		cr_expect_not_null(strstr(err.message, "slots that make no sense"), "%s", err.message);
		option_set_done(&options);
	}
}
