/* Open instances and their host services.
 *
 * Metrics are a table that only grows, so that the usual call, with a known name, is a scan
 * without a lock: an entry's name and kind are written before metric_count is raised past
 * it (release), and read only below the count that was seen (acquire). Adding an entry takes the
 * mutex and looks again. Values are single atomics; their order among each other means nothing. */
#include "plugin/instance.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "plugin/inner.h"
#include "plugin/plugin_private.h"

#define LOG_FIELDS_MAX 32
#define LOG_MESSAGE_BYTES 512
#define DECIMALS_MAX 17

static struct instance *instance_of(const sb_host *host)
{
	return host->context;
}

/* --- log ------------------------------------------------------------------------ */

/* What a plugin hands over is not believed: a field that cannot be printed is left out. */
static uint64_t copy_fields(sb_log_field *ret_fields, const sb_log_field *fields, uint64_t count)
{
	uint64_t copied = 0;

	for (uint64_t i = 0; fields && i < count && copied < LOG_FIELDS_MAX; i++) {
		const sb_log_field *field = &fields[i];

		if (!field->name || !name_is_identifier(field->name) || field->type < SB_TYPE_STRING ||
		    field->type > SB_TYPE_TIME)
			continue;
		if (field->type == SB_TYPE_STRING && field->value.len != SB_NULL && field->value.len &&
		    !field->value.as.ptr)
			continue;
		ret_fields[copied] = *field;
		if (field->decimals > DECIMALS_MAX)
			ret_fields[copied].decimals = DECIMALS_MAX;
		copied++;
	}
	return copied;
}

static void host_log(const sb_host *host, int32_t level, const char *message, const sb_log_field *fields,
		     uint64_t field_count)
{
	const struct instance *instance = instance_of(host);
	sb_log_field copied[LOG_FIELDS_MAX];
	char line[LOG_MESSAGE_BYTES];

	if (level < SB_LOG_ERROR || level > SB_LOG_TRACE || !log_enabled(instance->env.log, level))
		return;
	snprintf(line, sizeof(line), "%s", message ? message : "(no message)");
	for (char *at = line; *at; at++)
		if ((unsigned char)*at < 0x20 || *at == 0x7f)
			*at = ' ';
	log_write(instance->env.log, level, instance->name, line, copied, copy_fields(copied, fields, field_count));
}

static int32_t host_log_enabled(const sb_host *host, int32_t level)
{
	return level >= SB_LOG_ERROR && level <= SB_LOG_TRACE && log_enabled(instance_of(host)->env.log, level);
}

/* --- clocks --------------------------------------------------------------------- */

static int64_t host_wall_clock_ms(const sb_host *host)
{
	return clock_wall_ms(instance_of(host)->env.clock);
}

static int64_t host_monotonic_ns(const sb_host *host)
{
	return clock_monotonic_ns(instance_of(host)->env.clock);
}

static int64_t host_expiry_horizon_ms(const sb_host *host)
{
	_Atomic int64_t *horizon_ms = instance_of(host)->env.horizon_ms;

	return horizon_ms ? atomic_load_explicit(horizon_ms, memory_order_acquire) : INT64_MIN;
}

/* --- metrics -------------------------------------------------------------------- */

static bool is_metric_name(const char *name)
{
	size_t len = name ? strnlen(name, METRIC_NAME_BYTES) : 0;

	return len && len < METRIC_NAME_BYTES && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == len;
}

static struct metric *find_metric(struct instance *instance, const char *name)
{
	uint32_t count = atomic_load_explicit(&instance->metric_count, memory_order_acquire);

	for (uint32_t i = 0; i < count; i++)
		if (strcmp(instance->metrics[i].name, name) == 0)
			return &instance->metrics[i];
	return NULL;
}

/* With the lock held. NULL when the table is full. */
static struct metric *append_metric(struct instance *instance, uint32_t kind, const char *name)
{
	uint32_t count = atomic_load_explicit(&instance->metric_count, memory_order_relaxed);
	struct metric *metric = &instance->metrics[count];

	if (count == METRICS_PER_INSTANCE)
		return NULL;
	memcpy(metric->name, name, strlen(name) + 1);
	metric->kind = kind;
	atomic_init(&metric->value, 0.0);
	atomic_store_explicit(&instance->metric_count, count + 1, memory_order_release);
	return metric;
}

static struct metric *add_metric(struct instance *instance, uint32_t kind, const char *name)
{
	struct metric *metric;

	pthread_mutex_lock(&instance->metrics_lock);
	metric = find_metric(instance, name);
	if (!metric) /* GCOVR_EXCL_BR_LINE: whether another thread was faster is a race that no test can stage */
		metric = append_metric(instance, kind, name);
	pthread_mutex_unlock(&instance->metrics_lock);
	return metric;
}

static void raise_by(struct metric *metric, double value)
{
	double before = atomic_load_explicit(&metric->value, memory_order_relaxed);

	/* GCOVR_EXCL_BR_START: once more when another thread came between, a race that no test can stage */
	while (!atomic_compare_exchange_weak_explicit(&metric->value, &before, before + value, memory_order_relaxed,
						      memory_order_relaxed))
		;
	/* GCOVR_EXCL_BR_STOP */
}

static void drop_metric(const struct instance *instance, const char *why)
{
	const sb_log_field fields[] = {LOG_S("reason", why)};

	log_write(instance->env.log, SB_LOG_DEBUG, instance->name, "A metric of the plugin was dropped", fields, 1);
}

/* A sum that took in one NaN would be lost for the rest of the run. */
static void host_metric(const sb_host *host, uint32_t kind, const char *name, double value)
{
	struct instance *instance = instance_of(host);
	struct metric *metric;

	if ((kind != SB_METRIC_COUNTER && kind != SB_METRIC_GAUGE) || !is_metric_name(name)) {
		drop_metric(instance, "bad kind or name");
		return;
	}
	if (!isfinite(value) || (kind == SB_METRIC_COUNTER && value < 0)) {
		drop_metric(instance, "not a finite number, or a counter that would fall");
		return;
	}
	metric = find_metric(instance, name);
	if (!metric)
		metric = add_metric(instance, kind, name);
	if (!metric)
		drop_metric(instance, "too many metrics");
	else if (metric->kind != kind)
		drop_metric(instance, "one name, two kinds");
	else if (kind == SB_METRIC_COUNTER)
		raise_by(metric, value);
	else
		atomic_store_explicit(&metric->value, value, memory_order_relaxed);
}

static const void *host_extension(const sb_host *host, const char *id)
{
	(void)host;
	return strcmp(id, SB_EXT_BACKEND_OPEN) == 0 ? &inner_backend_ops : NULL;
}

static void init_table(sb_host *ret_host)
{
	*ret_host = (sb_host){
		.struct_size = sizeof(sb_host),
		.abi_major = SB_ABI_MAJOR,
		.abi_minor = SB_ABI_MINOR,
		.name = "sbhost",
		.version = SBHOST_VERSION,
		.log = host_log,
		.log_enabled = host_log_enabled,
		.wall_clock_ms = host_wall_clock_ms,
		.monotonic_ns = host_monotonic_ns,
		.expiry_horizon_ms = host_expiry_horizon_ms,
		.metric = host_metric,
		.extension = host_extension,
	};
}

/* --- the table for the entry function --------------------------------------------- */

static void entry_log(const sb_host *host, int32_t level, const char *message, const sb_log_field *fields,
		      uint64_t field_count)
{
	(void)host;
	(void)level;
	(void)message;
	(void)fields;
	(void)field_count;
}

static int32_t entry_log_enabled(const sb_host *host, int32_t level)
{
	(void)host;
	(void)level;
	return 0;
}

static int64_t entry_wall_clock_ms(const sb_host *host)
{
	struct clock clock;

	(void)host;
	clock_init_system(&clock);
	return clock_wall_ms(&clock);
}

static int64_t entry_monotonic_ns(const sb_host *host)
{
	struct clock clock;

	(void)host;
	clock_init_system(&clock);
	return clock_monotonic_ns(&clock);
}

static int64_t entry_expiry_horizon_ms(const sb_host *host)
{
	(void)host;
	return INT64_MIN;
}

/* Nothing can be opened before there is an instance. */
static const void *entry_extension(const sb_host *host, const char *id)
{
	(void)host;
	(void)id;
	return NULL;
}

static void entry_metric(const sb_host *host, uint32_t kind, const char *name, double value)
{
	(void)host;
	(void)kind;
	(void)name;
	(void)value;
}

void plugin_env_init_host(sb_host *ret_host)
{
	init_table(ret_host);
	ret_host->log = entry_log;
	ret_host->log_enabled = entry_log_enabled;
	ret_host->wall_clock_ms = entry_wall_clock_ms;
	ret_host->monotonic_ns = entry_monotonic_ns;
	ret_host->expiry_horizon_ms = entry_expiry_horizon_ms;
	ret_host->metric = entry_metric;
	ret_host->extension = entry_extension;
}

/* --- open and close ------------------------------------------------------------- */

static int32_t count_instance(const struct component *component, sb_error *err)
{
	uint32_t open = atomic_fetch_add(component->open_instances, 1);

	if (open == 0 || component->threads != SB_THREADS_ONE_INSTANCE)
		return SB_OK;
	atomic_fetch_sub(component->open_instances, 1);
	return error_set(err, SB_ERR_UNSUPPORTED,
			 "%s \"%s\" (%s) can be open once in a process, and is open already: use --parallelism 1",
			 kind_name(component->kind), component->id, component->plugin->path);
}

static void free_instance(struct instance *instance)
{
	watchdog_remove(instance->env.watchdog, instance);
	atomic_fetch_sub(instance->component->open_instances, 1);
	pthread_mutex_destroy(&instance->metrics_lock);
	free(instance);
}

static int32_t new_instance(const struct component *component, const char *name, const struct plugin_env *env,
			    struct instance **ret_instance, sb_error *err)
{
	struct instance *instance;

	assert(strlen(name) < sizeof(instance->name));
	TRY(count_instance(component, err));
	instance = calloc(1, sizeof(*instance));
	if (!instance) {
		atomic_fetch_sub(component->open_instances, 1);
		return error_no_memory(err);
	}
	instance->component = component;
	snprintf(instance->name, sizeof(instance->name), "%s", name);
	instance->env = *env;
	init_table(&instance->host);
	instance->host.context = instance;
	pthread_mutex_init(&instance->metrics_lock, NULL);
	watchdog_add(instance->env.watchdog, instance);
	*ret_instance = instance;
	return SB_OK;
}

/* What open() returned, judged: a success without an instance is a failure, too. */
static int32_t finish_open(struct instance *instance, int32_t status, struct instance **ret_instance, sb_error *err)
{
	if (status == SB_OK && !instance->backend && !instance->operator)
		status = error_set(err, SB_ERR_INTERNAL, "it returned SB_OK and no instance");
	if (status != SB_OK) {
		status = instance_fault(instance, "open", status, err);
		free_instance(instance);
		return status;
	}
	*ret_instance = instance;
	return SB_OK;
}

int32_t instance_open_backend(const struct component *component, const char *name, const char *dir, uint32_t flags,
			      const struct option_set *options, const struct plugin_env *env,
			      struct instance **ret_instance, sb_error *err)
{
	sb_backend_config config = {.struct_size = sizeof(config), .flags = flags, .dir = dir};
	struct instance *instance;
	int32_t status;

	assert(component->kind == SB_KIND_BACKEND);
	assert((options ? options->count : 0) == component->option_count);
	TRY(new_instance(component, name, env, &instance, err));
	config.host = &instance->host;
	config.instance = instance->name;
	config.options = options ? options->values : NULL;
	config.option_count = options ? options->count : 0;
	status = CALL_PLUGIN(&instance->calls, "open", err, component->backend.open(&config, &instance->backend, err));
	return finish_open(instance, status, ret_instance, err);
}

int32_t instance_open_operator(const struct component *component, const char *name, const struct option_set *options,
			       sb_task *task, const struct plugin_env *env, struct instance **ret_instance,
			       sb_error *err)
{
	sb_operator_config config = {.struct_size = sizeof(config), .task = task};
	struct instance *instance;
	int32_t status;

	assert(component->kind == SB_KIND_OPERATOR);
	assert((options ? options->count : 0) == component->option_count);
	TRY(new_instance(component, name, env, &instance, err));
	config.host = &instance->host;
	config.instance = instance->name;
	config.options = options ? options->values : NULL;
	config.option_count = options ? options->count : 0;
	status =
		CALL_PLUGIN(&instance->calls, "open", err, component->operator.open(&config, &instance->operator, err));
	return finish_open(instance, status, ret_instance, err);
}

void instance_close(struct instance *instance)
{
	if (!instance)
		return;
	call_mark_enter(&instance->calls, "close");
	if (instance->backend)
		instance->component->backend.close(instance->backend);
	if (instance->operator)
		instance->component->operator.close(instance->operator);
	free_instance(instance);
}

/* --- faults --------------------------------------------------------------------- */

int32_t instance_fault(const struct instance *instance, const char *call, int32_t status, sb_error *err)
{
	int32_t code = status < SB_OK && status >= SB_ERR_INTERNAL ? status : SB_ERR_INTERNAL;

	plugin_tidy_error(err);
	if (!err->message[0])
		error_set(err, code,
			  "it failed with status %d and did not say why: report it to the author of plugin %s", status,
			  instance->component->plugin->name);
	else if (code != status)
		error_prefix(err, "status %d, which does not exist", status);
	error_prefix(err, "%s (%s): %s", instance->name, instance->component->id, call);
	err->code = code;
	return code;
}
