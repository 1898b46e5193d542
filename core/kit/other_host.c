/* Hosts that a plugin may meet: see other_host.h. Called from any thread, so the dice are drawn without touching the host. */
#include "kit/other_host.h"

#include <string.h>

#define CLOCK_MS INT64_C(1700000000000)

static void ignore_log(const sb_host *host, int32_t level, const char *message, const sb_log_field *fields,
		       uint64_t field_count)
{
	(void)host;
	(void)level;
	(void)message;
	(void)fields;
	(void)field_count;
}

/* Some levels are written, some are not. */
static int32_t some_levels(const sb_host *host, int32_t level)
{
	const struct other_host *other = host->context;

	return (int32_t)(other->rng.seed >> (level & 7)) & 1;
}

static int64_t still_wall_clock(const sb_host *host)
{
	(void)host;
	return CLOCK_MS;
}

static int64_t still_monotonic(const sb_host *host)
{
	(void)host;
	return 0;
}

static int64_t no_horizon(const sb_host *host)
{
	(void)host;
	return INT64_MIN;
}

static void ignore_metric(const sb_host *host, uint32_t kind, const char *name, double value)
{
	(void)host;
	(void)kind;
	(void)name;
	(void)value;
}

static const void *no_extension(const sb_host *host, const char *id)
{
	struct other_host *other = host->context;

	(void)id;
	atomic_store(&other->withheld, true);
	return NULL;
}

void other_host_init(struct other_host *host, bool newer, uint64_t seed)
{
	memset(host, 0, sizeof(*host));
	memset(host->later, 0xDB, sizeof(host->later));
	rng_init(&host->rng, seed);
	host->known = (sb_host){
		.struct_size = newer ? sizeof(host->known) + sizeof(host->later) : sizeof(host->known),
		.abi_major = SB_ABI_MAJOR,
		.abi_minor = newer ? 99 : SB_ABI_MINOR,
		.name = "another-host",
		.version = "99.0.0",
		.context = host,
		.log = ignore_log,
		.log_enabled = some_levels,
		.wall_clock_ms = still_wall_clock,
		.monotonic_ns = still_monotonic,
		.expiry_horizon_ms = no_horizon,
		.metric = ignore_metric,
		.extension = no_extension,
	};
}
