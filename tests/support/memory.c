/* See memory.h. */
#include "support/memory.h"

#include <criterion/criterion.h>
#include <dlfcn.h>
#include <string.h>

static int64_t horizon(const sb_host *host)
{
	return ((const struct memory_backend *)host->context)->horizon_ms;
}

int32_t memory_try_open(struct memory_backend *memory, int64_t memory_limit, uint32_t flags)
{
	/* initial_capacity, huge_pages, memory_limit: see plugin.c */
	const sb_option_value options[3] = {{.is_set = 1}, {.is_set = 1}, {.i64 = memory_limit, .is_set = 1}};
	const sb_backend_config config = {.struct_size = sizeof(config),
					  .flags = flags,
					  .host = &memory->host,
					  .instance = "backend-0",
					  .dir = "/nowhere",
					  .options = options,
					  .option_count = 3};
	void *library = dlopen(SB_PLUGIN_DIR "/libmemory_backend.so", RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
	const sb_plugin *(*entry)(const sb_host *, sb_error *);

	cr_assert(library, "%s", dlerror());
	*(void **)&entry = dlsym(library, "sb_plugin_entry_v1");
	*memory = (struct memory_backend){
		.host = {.struct_size = sizeof(sb_host), .context = memory, .expiry_horizon_ms = horizon},
		.horizon_ms = INT64_MIN,
		.err = {.struct_size = sizeof(sb_error)},
	};
	memory->ops = entry(&memory->host, &memory->err)->components[0]->ops;
	memory->delta = memory->ops->extension(SB_EXT_DELTA);
	memory->inplace = memory->ops->extension(SB_EXT_INPLACE);
	cr_assert(memory->delta);
	cr_assert(memory->inplace);
	return memory->ops->open(&config, &memory->backend, &memory->err);
}

void memory_open(struct memory_backend *memory, int64_t memory_limit)
{
	cr_assert_eq(memory_try_open(memory, memory_limit, 0), SB_OK, "%s", memory->err.message);
}

void memory_close(struct memory_backend *memory)
{
	memory->ops->close(memory->backend);
}
