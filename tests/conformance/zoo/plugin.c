/* SPDX-License-Identifier: Apache-2.0
 * The zoo's descriptor and entry function, and what breaks rules about the file. */
#include <fcntl.h>

#include "backend.h"

static const sb_option size = {
	.struct_size = sizeof(size),
	.type = SB_OPTION_SIZE,
	.name = "size",
	.default_text = "4KiB",
	.min = 1,
	.max = INT64_C(1) << 40,
};
static const sb_option ratio = {
	.struct_size = sizeof(ratio),
	.type = SB_OPTION_F64,
	.name = "ratio",
	.default_text = "0.5",
	.max_f64 = 1,
};
static const sb_option name = {.struct_size = sizeof(name), .type = SB_OPTION_STRING, .name = "name"};
static const char *const modes[] = {"small", "large", NULL};
static const sb_option mode = {
	.struct_size = sizeof(mode),
	.type = SB_OPTION_CHOICE,
	.name = "mode",
	.default_text = "small",
	.choices = modes,
};
static const sb_option flag = {
	.struct_size = sizeof(flag), .type = SB_OPTION_BOOL, .name = "flag", .default_text = "no"};
static const sb_option wait_for = {
	.struct_size = sizeof(wait_for), .type = SB_OPTION_DURATION, .name = "wait", .default_text = "1s"};

static const sb_option *const options[] = {&size, &ratio, &name, &mode, &flag, &wait_for};

static const sb_component component = {
	.struct_size = sizeof(sb_component),
	.kind = SB_KIND_BACKEND,
	.flags = SB_BACKEND_STABLE_ITER | SB_BACKEND_ORDERED | SB_BACKEND_IN_MEMORY,
#ifdef BREAK_it_is_accepted
	.id = "Not An Id",
#else
	.id = "zoo",
#endif
	.title = "Zoo",
	.doc = "Keeps entries in a sorted list.",
	.options = options,
	.option_count = sizeof(options) / sizeof(options[0]),
	.ops = &zoo_ops,
};

static const sb_component *const components[] = {&component};

#ifdef BREAK_its_note_says_what_it_declares
#define DESCRIPTOR_VERSION "1.0.1"
#else
#define DESCRIPTOR_VERSION "1.0.0"
#endif

static const sb_plugin plugin = {
	.struct_size = sizeof(sb_plugin),
	.abi_major = SB_ABI_MAJOR,
	.abi_minor = SB_ABI_MINOR,
	.name = "zoo",
	.version = DESCRIPTOR_VERSION,
	.vendor = "sbhost",
	.license = "Apache-2.0",
	.doc = "A fixture of sbhost's tests.",
	.components = components,
	.component_count = 1,
};

#ifdef BREAK_all_that_it_needs_is_found
int zoo_that_nobody_has(void);
#endif

#ifdef BREAK_the_entry_is_all_that_it_exports
SB_EXPORT int zoo_helper(void);

SB_EXPORT int zoo_helper(void)
{
	return 1;
}
#endif

#ifdef BREAK_no_symbol_is_unique_in_the_process
__asm__(".pushsection .data\n"
	".globl zoo_unique\n"
	".type zoo_unique, %gnu_unique_object\n"
	".size zoo_unique, 8\n"
	"zoo_unique: .quad 0\n"
	".popsection\n");
#endif

#ifdef BREAK_its_code_is_not_relocated
/* An absolute address among the code: it is right only after the code has been written to. */
__asm__(".pushsection .text\n"
	"zoo_address: .quad sb_plugin_entry_v1\n"
	".popsection\n");
#endif

#ifdef BREAK_it_takes_no_static_tls
static __thread int calls __attribute__((tls_model("initial-exec")));
#endif

SB_EXPORT const sb_plugin *sb_plugin_entry_v1(const sb_host *host, sb_error *err)
{
	static sb_plugin another;

	(void)host;
	(void)err;
#ifdef BREAK_all_that_it_needs_is_found
	if (zoo_that_nobody_has())
		return NULL;
#endif
#ifdef BREAK_it_takes_no_static_tls
	calls++;
#endif
	if (IS(its_entry_starts_nothing) && open("/dev/null", O_RDONLY) < 0)
		return NULL;
	if (IS(its_entry_may_be_called_again) && another.struct_size)
		return &another;
	another = plugin;
	return &plugin;
}
SB_PLUGIN_NOTE("zoo", "1.0.0");
