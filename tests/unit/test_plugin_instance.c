/* Open instances and what the host does for them. */
#include <criterion/criterion.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "plugin/instance.h"

/* A backend whose open() does what the test says. */
static struct {
	int32_t status;
	const char *message;
	int no_instance;
	int closed;
	sb_backend_config config;
	const sb_option_value *options; /* an operator's */
	uint64_t option_count;
} script;

static int32_t scripted_open(const sb_backend_config *config, sb_backend **ret_backend, sb_error *err)
{
	script.config = *config;
	cr_assert_eq(err->struct_size, sizeof(*err));
	cr_assert_eq(err->message[0], 0, "a message of an earlier failure");
	if (script.message)
		snprintf(err->message, sizeof(err->message), "%s", script.message);
	if (!script.no_instance)
		*ret_backend = (sb_backend *)&script;
	return script.status;
}

static void scripted_close(sb_backend *backend)
{
	cr_assert_eq((void *)backend, (void *)&script);
	script.closed++;
}

static int32_t operator_open(const sb_operator_config *config, sb_operator **ret_operator, sb_error *err)
{
	(void)err;
	cr_assert_str_eq(config->instance, "operator-1");
	script.options = config->options;
	script.option_count = config->option_count;
	*ret_operator = (sb_operator *)config->task;
	return SB_OK;
}

static void operator_close(sb_operator *op)
{
	(void)op;
	script.closed++;
}

static char plugin_path[] = "/p.so", plugin_name[] = "scripted";
static struct plugin plugin = {.path = plugin_path, .name = plugin_name};
static _Atomic uint32_t open_instances;
static struct component component = {
	.plugin = &plugin,
	.kind = SB_KIND_BACKEND,
	.id = "scripted",
	.backend = {.open = scripted_open, .close = scripted_close},
	.operator= {.open = operator_open, .close = operator_close},
	.open_instances = &open_instances,
};

static struct fake_clock fake;
static struct log sink;
static int log_pipe[2];
static _Atomic int64_t horizon_ms;
static struct plugin_env env = {.log = &sink, .clock = &fake.clock, .horizon_ms = &horizon_ms};

static void make_env(void)
{
	fake_clock_init(&fake, INT64_C(5000000000));
	cr_assert_eq(pipe(log_pipe), 0);
	sink = (struct log){.fd = log_pipe[1], .level = SB_LOG_DEBUG, .format = LOG_LOGFMT, .clock = &fake.clock};
}

TestSuite(plugin_instance, .init = make_env, .timeout = 60);

static struct instance *open_scripted(void)
{
	struct instance *instance = NULL;
	sb_error err = ERROR_INIT;

	snprintf(err.message, sizeof(err.message), "left over");
	cr_assert_eq(
		instance_open_backend(&component, "backend-0", "/dir", SB_OPEN_READ_ONLY, NULL, &env, &instance, &err),
		SB_OK, "%s", err.message);
	return instance;
}

static sb_error open_fails(int32_t code)
{
	struct instance *instance = NULL;
	sb_error err = ERROR_INIT;

	cr_assert_eq(instance_open_backend(&component, "backend-0", "/dir", 0, NULL, &env, &instance, &err), code,
		     "%d: %s", err.code, err.message);
	cr_assert_null(instance);
	cr_assert_eq(err.code, code);
	cr_assert_eq(script.closed, 0, "close() after a failed open()");
	cr_assert_eq(open_instances, 0);
	return err;
}

static const char *read_log(void)
{
	static char text[8192];
	ssize_t n;

	log_write(&sink, SB_LOG_ERROR, NULL, "end", NULL, 0);
	n = read(log_pipe[0], text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = 0;
	return text;
}

/* --- open and close ------------------------------------------------------------- */

Test(plugin_instance, hands_the_configuration_over)
{
	struct instance *instance = open_scripted();

	cr_assert_eq(script.config.struct_size, sizeof(sb_backend_config));
	cr_assert_eq(script.config.flags, SB_OPEN_READ_ONLY);
	cr_assert_str_eq(script.config.instance, "backend-0");
	cr_assert_str_eq(script.config.dir, "/dir");
	cr_assert_eq(script.config.host, &instance->host);
	cr_assert_eq(instance->host.struct_size, sizeof(sb_host));
	cr_assert_eq(instance->host.abi_major, SB_ABI_MAJOR);
	cr_assert_str_eq(instance->host.name, "sbhost");
	cr_assert_null(instance->host.extension(&instance->host, "sb.none/1"));
	instance_close(instance);
	cr_assert_eq(script.closed, 1);
	instance_close(NULL);
}

Test(plugin_instance, opens_operators)
{
	struct instance *instance;
	sb_error err = ERROR_INIT;
	sb_task task = {.struct_size = sizeof(task)};

	component.kind = SB_KIND_OPERATOR;
	cr_assert_eq(instance_open_operator(&component, "operator-1", NULL, &task, &env, &instance, &err), SB_OK);
	cr_assert_eq((void *)instance->operator,(void *) & task);
	instance_close(instance);
	cr_assert_eq(script.closed, 1);
}

/* Of a component without them there are none to hand over. */
Test(plugin_instance, options_reach_an_operator)
{
	sb_option_value value = {.i64 = 7, .is_set = 1};
	const struct option_set options = {.values = &value, .count = 1};
	struct instance *instance;
	sb_error err = ERROR_INIT;
	sb_task task = {.struct_size = sizeof(task)};

	component.kind = SB_KIND_OPERATOR;
	component.option_count = 1;
	cr_assert_eq(instance_open_operator(&component, "operator-1", &options, &task, &env, &instance, &err), SB_OK);
	cr_assert_eq(script.options, &value);
	cr_assert_eq(script.option_count, 1);
	instance_close(instance);
}

/* One that may be open more than once. */
Test(plugin_instance, several_instances_of_a_component_are_open_at_a_time)
{
	struct instance *first = open_scripted(), *second = open_scripted();

	cr_assert_eq(open_instances, 2);
	instance_close(first);
	instance_close(second);
	cr_assert_eq(open_instances, 0);
}

Test(plugin_instance, a_failed_open_says_who_and_why)
{
	sb_error err;

	script.status = SB_ERR_CONFIG;
	script.message = "the cache is larger than memory";
	err = open_fails(SB_ERR_CONFIG);
	cr_assert_str_eq(err.message, "backend-0 (scripted): open: the cache is larger than memory");
}

Test(plugin_instance, a_failure_without_a_word_is_put_into_words)
{
	script.status = SB_ERR_IO;
	cr_assert(strstr(open_fails(SB_ERR_IO).message, "status -3 and did not say why"));
}

Test(plugin_instance, a_status_that_does_not_exist_is_an_internal_error)
{
	script.status = 5;
	cr_assert(strstr(open_fails(SB_ERR_INTERNAL).message, "status 5"));
	script.message = "half a reason";
	script.status = -99;
	cr_assert(strstr(open_fails(SB_ERR_INTERNAL).message, "status -99, which does not exist: half a reason"));
}

Test(plugin_instance, success_without_an_instance_is_an_internal_error)
{
	script.no_instance = 1;
	cr_assert(strstr(open_fails(SB_ERR_INTERNAL).message, "no instance"));
}

Test(plugin_instance, a_message_is_made_one_line_and_ended)
{
	struct instance *instance = open_scripted();
	sb_error err = ERROR_INIT;

	memset(err.message, '\n', sizeof(err.message));
	cr_assert_eq(instance_fault(instance, "stats", SB_ERR_IO, &err), SB_ERR_IO);
	cr_assert_null(memchr(err.message, '\n', sizeof(err.message)));
	cr_assert_not_null(memchr(err.message, 0, sizeof(err.message)));
	err.message[0] = 0;
	cr_assert_eq(instance_fault(instance, "stats", SB_OK, &err), SB_ERR_INTERNAL);
	instance_close(instance);
}

Test(plugin_instance, one_instance_components_open_once_at_a_time)
{
	struct instance *first, *second = NULL;
	sb_error err = ERROR_INIT;

	component.threads = SB_THREADS_ONE_INSTANCE;
	first = open_scripted();
	cr_assert_eq(instance_open_backend(&component, "backend-1", "/dir", 0, NULL, &env, &second, &err),
		     SB_ERR_UNSUPPORTED);
	cr_assert(strstr(err.message, "once in a process"), "%s", err.message);
	instance_close(first);
	instance_close(open_scripted());
}

Test(plugin_instance, so_do_one_instance_operators)
{
	sb_task task = {.struct_size = sizeof(task)};
	struct instance *first, *second = NULL;
	sb_error err = ERROR_INIT;

	component.kind = SB_KIND_OPERATOR;
	component.threads = SB_THREADS_ONE_INSTANCE;
	cr_assert_eq(instance_open_operator(&component, "operator-1", NULL, &task, &env, &first, &err), SB_OK);
	cr_assert_eq(instance_open_operator(&component, "operator-1", NULL, &task, &env, &second, &err),
		     SB_ERR_UNSUPPORTED);
	cr_assert(strstr(err.message, "operator \"scripted\" (/p.so) can be open once"), "%s", err.message);
	cr_assert_null(second);
	instance_close(first);
}

/* --- host services -------------------------------------------------------------- */

Test(plugin_instance, clocks_and_horizon_are_the_hosts)
{
	struct instance *instance = open_scripted();
	const sb_host *host = &instance->host;

	cr_assert_eq(host->wall_clock_ms(host), 5000);
	cr_assert_eq(host->monotonic_ns(host), clock_monotonic_ns(&fake.clock));
	atomic_store(&horizon_ms, 1234);
	cr_assert_eq(host->expiry_horizon_ms(host), 1234);
	instance->env.horizon_ms = NULL;
	cr_assert_eq(host->expiry_horizon_ms(host), INT64_MIN);
	instance_close(instance);
}

Test(plugin_instance, log_lines_carry_the_instance)
{
	struct instance *instance = open_scripted();
	const sb_log_field fields[] = {LOG_I("entries", 3)};

	cr_assert_eq(instance->host.log_enabled(&instance->host, SB_LOG_DEBUG), 1);
	cr_assert_eq(instance->host.log_enabled(&instance->host, SB_LOG_TRACE), 0);
	cr_assert_eq(instance->host.log_enabled(&instance->host, 99), 0);
	cr_assert_eq(instance->host.log_enabled(&instance->host, -1), 0);
	instance->host.log(&instance->host, SB_LOG_WARN, "Swept", fields, 1);
	cr_assert(strstr(read_log(), "level=warn msg=\"Swept\" entries=3 component=backend-0\n"));
	instance->host.log(&instance->host, SB_LOG_TRACE, "Too fine", fields, 1);
	cr_assert_null(strstr(read_log(), "Too fine"));
	instance_close(instance);
}

Test(plugin_instance, a_log_call_that_makes_no_sense_does_no_harm)
{
	struct instance *instance = open_scripted();
	const sb_host *host = &instance->host;
	sb_log_field fields[40] = {
		{.name = NULL, .type = SB_TYPE_I64},
		{.name = "bad name", .type = SB_TYPE_I64},
		{.name = "blob", .type = SB_TYPE_BYTES},
		{.name = "text", .type = SB_TYPE_STRING, .value = {.len = 5}},
		{.name = "kind", .type = 0},
		{.name = "absent", .type = SB_TYPE_STRING, .value = {.len = SB_NULL}},
		{.name = "empty", .type = SB_TYPE_STRING},
		{.name = "word", .type = SB_TYPE_STRING, .value = {.len = 2, .as.ptr = (const uint8_t *)"ok"}},
		{.name = "wide", .type = SB_TYPE_F64, .value = {.as = {.f64 = 1}}, .decimals = 1000000000},
	};
	const char *text;

	for (size_t i = 9; i < 40; i++)
		fields[i] = (sb_log_field){.name = "n", .type = SB_TYPE_I64};
	host->log(host, SB_LOG_INFO, "Two\nlines\033[0m\177", fields, 40);
	host->log(host, SB_LOG_INFO, NULL, NULL, 3);
	host->log(host, -1, "no level", NULL, 0);
	host->log(host, 99, "no level", NULL, 0);
	text = read_log();
	cr_assert(strstr(text, "msg=\"Two lines [0m \" absent=null empty=\"\" word=ok wide=1.00000000000000000 n=0"),
		  "%s", text);
	cr_assert(strstr(text, "msg=\"(no message)\""), "%s", text);
	cr_assert_null(strstr(text, "no level"));
	instance_close(instance);
}

static double value_of(const struct instance *instance, const char *name)
{
	for (uint32_t i = 0; i < atomic_load(&instance->metric_count); i++)
		if (strcmp(instance->metrics[i].name, name) == 0)
			return atomic_load(&instance->metrics[i].value);
	return NAN;
}

Test(plugin_instance, counters_add_and_gauges_set)
{
	struct instance *instance = open_scripted();
	const sb_host *host = &instance->host;

	host->metric(host, SB_METRIC_COUNTER, "gets", 2);
	host->metric(host, SB_METRIC_COUNTER, "gets", 3);
	host->metric(host, SB_METRIC_GAUGE, "bytes", 7);
	host->metric(host, SB_METRIC_GAUGE, "bytes", 4);
	cr_assert_eq(value_of(instance, "gets"), 5);
	cr_assert_eq(value_of(instance, "bytes"), 4);
	instance_close(instance);
}

Test(plugin_instance, metrics_that_make_no_sense_are_dropped)
{
	struct instance *instance = open_scripted();
	const sb_host *host = &instance->host;
	char name[METRIC_NAME_BYTES + 1];

	memset(name, 'a', METRIC_NAME_BYTES);
	name[METRIC_NAME_BYTES] = 0;
	sink.level = 0;
	host->metric(host, SB_METRIC_COUNTER, "gets", 1);
	host->metric(host, SB_METRIC_COUNTER, "gets", NAN);
	host->metric(host, SB_METRIC_COUNTER, "gets", -1);
	host->metric(host, SB_METRIC_GAUGE, "gets", 9);
	host->metric(host, SB_METRIC_GAUGE, "inf", INFINITY);
	host->metric(host, SB_METRIC_GAUGE, "Upper", 1);
	host->metric(host, SB_METRIC_GAUGE, "", 1);
	host->metric(host, SB_METRIC_GAUGE, NULL, 1);
	host->metric(host, SB_METRIC_GAUGE, name, 1);
	host->metric(host, 3, "third", 1);
	cr_assert_eq(value_of(instance, "gets"), 1);
	cr_assert_eq(atomic_load(&instance->metric_count), 1);
	for (int i = 0; i < METRICS_PER_INSTANCE + 10; i++) {
		snprintf(name, sizeof(name), "m%d", i);
		host->metric(host, SB_METRIC_GAUGE, name, i);
	}
	cr_assert_eq(atomic_load(&instance->metric_count), METRICS_PER_INSTANCE);
	instance_close(instance);
}

#define THREADS 4
#define ROUNDS 2000

static void *count_a_lot(void *arg)
{
	const sb_host *host = arg;
	char name[16];

	for (int i = 0; i < ROUNDS; i++) {
		snprintf(name, sizeof(name), "m%d", i % 40);
		host->metric(host, SB_METRIC_COUNTER, name, 1);
	}
	return NULL;
}

Test(plugin_instance, metrics_of_many_threads_lose_nothing)
{
	struct instance *instance = open_scripted();
	pthread_t threads[THREADS];
	double sum = 0;

	for (int i = 0; i < THREADS; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, count_a_lot, &instance->host), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	cr_assert_eq(atomic_load(&instance->metric_count), 40);
	for (uint32_t i = 0; i < 40; i++)
		sum += atomic_load(&instance->metrics[i].value);
	cr_assert_eq(sum, THREADS * ROUNDS);
	instance_close(instance);
}

Test(plugin_instance, the_entry_functions_host_answers_every_call)
{
	sb_host host;

	plugin_env_init_host(&host);
	host.log(&host, SB_LOG_ERROR, "nobody hears this", NULL, 0);
	host.metric(&host, SB_METRIC_GAUGE, "x", 1);
	cr_assert_eq(host.log_enabled(&host, SB_LOG_ERROR), 0);
	cr_assert_gt(host.wall_clock_ms(&host), 0);
	cr_assert_gt(host.monotonic_ns(&host), 0);
	cr_assert_eq(host.expiry_horizon_ms(&host), INT64_MIN);
	cr_assert_null(host.extension(&host, "sb.none/1"));
}
