/* An extension counts as there when it is whole: a table that is short, lacks a function, or contradicts its component's flags is as good as none. */
#include <criterion/criterion.h>
#include <string.h>

#include "plugin/extensions.h"

static int32_t any_function(void)
{
	return SB_OK;
}

/* Never called, so their types do not matter. */
#define CALLBACK (void *)any_function

static sb_files_ops files;
static sb_delta_ops delta;
static sb_inplace_ops inplace;
static struct component component;

static const void *extension(const char *id)
{
	if (strcmp(id, SB_EXT_FILES) == 0)
		return &files;
	if (strcmp(id, SB_EXT_DELTA) == 0)
		return &delta;
	return strcmp(id, SB_EXT_INPLACE) == 0 ? &inplace : NULL;
}

static void reset(void)
{
	files = (sb_files_ops){.struct_size = sizeof(files), .create = CALLBACK, .is_immutable = CALLBACK};
	delta = (sb_delta_ops){.struct_size = sizeof(delta),
			       .mark = CALLBACK,
			       .changes_open = CALLBACK,
			       .changes_next = CALLBACK,
			       .changes_close = CALLBACK,
			       .release = CALLBACK};
	inplace = (sb_inplace_ops){
		.struct_size = sizeof(inplace), .find = CALLBACK, .write = CALLBACK, .finish = CALLBACK};
	component = (struct component){
		.kind = SB_KIND_BACKEND, .flags = SB_BACKEND_STABLE_ITER, .backend = {.extension = extension}};
}

TestSuite(plugin_extensions, .init = reset);

static void assert_has(int line, bool has_files, bool has_delta, bool has_inplace)
{
	cr_assert_eq(component_files(&component), has_files ? &files : NULL, "line %d", line);
	cr_assert_eq(component_delta(&component), has_delta ? &delta : NULL, "line %d", line);
	cr_assert_eq(component_inplace(&component), has_inplace ? &inplace : NULL, "line %d", line);
	reset();
}

#define HAS(spoil, ...)                                                                                                \
	do {                                                                                                           \
		spoil;                                                                                                 \
		assert_has(__LINE__, __VA_ARGS__);                                                                     \
	} while (0)

static const void *no_extension(const char *id)
{
	(void)id;
	return NULL;
}

Test(plugin_extensions, a_whole_one_is_there)
{
	HAS((void)0, true, true, true);
	HAS(files.struct_size += 8, true, true, true);
	HAS(component.backend.extension = no_extension, false, false, false);
	HAS(component.backend.extension = NULL, false, false, false);
}

Test(plugin_extensions, one_that_lacks_something_is_not)
{
	HAS(files.struct_size--, false, true, true);
	HAS(files.create = NULL, false, true, true);
	HAS(files.is_immutable = NULL, false, true, true);
	HAS(delta.struct_size--, true, false, true);
	HAS(delta.mark = NULL, true, false, true);
	HAS(delta.changes_open = NULL, true, false, true);
	HAS(delta.changes_next = NULL, true, false, true);
	HAS(delta.changes_close = NULL, true, false, true);
	HAS(delta.release = NULL, true, false, true);
	HAS(inplace.struct_size--, true, true, false);
	HAS(inplace.find = NULL, true, true, false);
	HAS(inplace.write = NULL, true, true, false);
	HAS(inplace.finish = NULL, true, true, false);
}

Test(plugin_extensions, what_walks_beside_the_stream_needs_stable_iterators)
{
	HAS(component.flags = SB_BACKEND_ORDERED, true, false, false);
}
