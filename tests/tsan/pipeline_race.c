/* The pipeline at parallelism 4 with a checkpoint after the other, under the thread sanitizer. A plain program,
 * because Criterion aborts there. Once over the memory backend, whose iterators are read while tasks go on, once over the same behind
 * a cache, where views are opened behind the barrier, once over a backend without stable iterators, where tasks wait. */
#include <stdio.h>
#include <unistd.h>

#include "base/error.h"
#include "support/pipeline_rig.h"
#include "support/plain_backend.h"

static int run(const char *what, const struct rig_config *config)
{
	struct rig *rig = rig_new(config);
	sb_error err = ERROR_INIT;
	struct rig_counts counts;
	int32_t status = rig_run(rig, &err);

	if (status == SB_OK)
		status = rig_resume(rig, 3, &err);
	rig_get_counts(rig, &counts);
	rig_free(rig);
	if (status != SB_OK) {
		fprintf(stderr, "%s: %s\n", what, err.message);
		return 1;
	}
	printf("%s: %llu events, %llu checkpoints\n", what, (unsigned long long)counts.good,
	       (unsigned long long)counts.checkpoints);
	return 0;
}

static int run_failing(const struct rig_config *config)
{
	struct rig_config failing = *config;
	struct rig *rig;
	sb_error err = ERROR_INIT;
	int32_t status;

	failing.fail_at = 500;
	rig = rig_new(&failing);
	status = rig_run(rig, &err);
	rig_free(rig);
	if (status == SB_ERR_DATA)
		return 0;
	fprintf(stderr, "failing operator: status %d, %s\n", status, err.message);
	return 1;
}

int main(void)
{
	struct rig_config config = {
		.tasks = 4, .partitions = 3, .records = 9000, .seed = 1, .max_events = 13000, .checkpoints = 40};
	const struct component *memory;
	struct option_set options;
	struct component plain, cached;
	struct plugin *plugin;
	sb_error err = ERROR_INIT;
	struct io io;
	int failed = 0;

	alarm(300);
	io_init_system(&io);
	if (plugin_load(&io, "memory", SB_PLUGIN_DIR, &plugin, &err) != SB_OK ||
	    plugin_find_component(plugin, SB_KIND_BACKEND, &memory, &err) != SB_OK ||
	    option_set_parse(memory, "--backend-opt", NULL, 0, &options, &err) != SB_OK) {
		fprintf(stderr, "%s\n", err.message);
		return 1;
	}
	config.backend = memory;
	config.backend_options = &options;
	failed |= run("memory", &config);
	failed |= run_failing(&config);
	cached = *memory;
	cached.flags &= ~SB_BACKEND_IN_MEMORY;
	config.backend = &cached;
	config.cache_bytes = 1 << 20;
	failed |= run("cached", &config);
	failed |= run_failing(&config);
	plain_backend_component(&plain, SB_BACKEND_ORDERED);
	config.backend = &plain;
	config.backend_options = NULL;
	config.cache_bytes = 64 << 10;
	failed |= run("plain", &config);
	if (plain_control.overlapping || plain_control.overtaken) {
		fprintf(stderr, "plain: calls overlapped, or a snapshot was overtaken\n");
		failed = 1;
	}
	option_set_done(&options);
	plugin_free(plugin);
	return failed;
}
