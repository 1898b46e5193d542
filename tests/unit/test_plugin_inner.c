/* sb.backend-open/1: a backend within another one, opened for a plugin by the host that it runs in. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "plugin/instance.h"

static int32_t outer_open(const sb_backend_config *config, sb_backend **ret_backend, sb_error *err)
{
	(void)config;
	(void)err;
	*ret_backend = (sb_backend *)ret_backend;
	return SB_OK;
}

static void outer_close(sb_backend *backend)
{
	(void)backend;
}

static char outer_path[512], outer_name[] = "outer", dir[64];
static struct plugin outer_plugin = {.path = outer_path, .name = outer_name};
static _Atomic uint32_t open_instances;
static struct component outer = {.plugin = &outer_plugin,
				 .kind = SB_KIND_BACKEND,
				 .id = "outer",
				 .backend = {.open = outer_open, .close = outer_close},
				 .open_instances = &open_instances};
static struct fake_clock fake;
static struct log silent;
static struct plugin_env env = {.log = &silent, .clock = &fake.clock};
static struct instance *instance;
static const sb_backend_open_ops *ops;

/* An instance of a plugin that lies beside the zoo. */
static void set_up(void)
{
	sb_error err = ERROR_INIT;

	fake_clock_init(&fake, INT64_C(5000000000));
	silent = (struct log){.fd = -1, .clock = &fake.clock};
	snprintf(outer_path, sizeof(outer_path), "%s/libouter.so", SB_TEST_PLUGIN_DIR);
	strcpy(dir, "/tmp/sbhost-inner-XXXXXX");
	cr_assert(mkdtemp(dir));
	cr_assert_eq(instance_open_backend(&outer, "backend-0", dir, 0, NULL, &env, &instance, &err), SB_OK, "%s",
		     err.message);
	ops = instance->host.extension(&instance->host, SB_EXT_BACKEND_OPEN);
	cr_assert_not_null(ops);
}

static void tear_down(void)
{
	sb_error err = ERROR_INIT;
	struct io io;

	instance_close(instance);
	io_init_system(&io);
	io_remove_tree(&io, dir, &err);
}

TestSuite(plugin_inner, .init = set_up, .fini = tear_down, .timeout = 60);

static int32_t open_inner(const char *name, const char *option, sb_inner_backend *inner, sb_error *err)
{
	return ops->open(&instance->host, name, option ? 1 : 0, &option, dir, 0, inner, err);
}

static void assert_refused(const char *name, const char *option, int32_t code, const char *words)
{
	sb_inner_backend inner = {.struct_size = sizeof(inner)};
	sb_error err = ERROR_INIT;

	cr_assert_eq(open_inner(name, option, &inner, &err), code, "not \"%s\", but: %s", words, err.message);
	cr_assert(strstr(err.message, words), "\"%s\" is not in: %s", words, err.message);
	cr_assert_null(inner.owner);
}

Test(plugin_inner, is_found_beside_the_plugin_that_asks_and_is_whole)
{
	sb_inner_backend inner = {.struct_size = sizeof(inner)};
	sb_error err = ERROR_INIT;
	uint64_t purged = 7;

	cr_assert_eq(open_inner("good", "size=8KiB", &inner, &err), SB_OK, "%s", err.message);
	cr_assert_str_eq(inner.id, "zoo");
	cr_assert_eq(inner.flags, 0);
	cr_assert_not_null(inner.backend);
	cr_assert_eq(inner.ops->maintain(inner.backend, 1, &purged, &err), SB_ERR_UNSUPPORTED);
	ops->close(&instance->host, &inner);
	cr_assert_null(inner.owner);
	ops->close(&instance->host, &inner); /* once more does no harm */
}

Test(plugin_inner, what_cannot_be_opened_is_refused_as_it_is_to_a_user)
{
	assert_refused("nowhere", NULL, SB_ERR_NOT_FOUND, "there is no plugin \"nowhere\"");
	assert_refused("counting-operator", NULL, SB_ERR_INVALID, "holds no backend");
	assert_refused("good", "size=0", SB_ERR_CONFIG, "the inner backend's option size=0");
	assert_refused("good-one-instance", NULL, SB_ERR_UNSUPPORTED, "cannot be wrapped: name another one");
}

Test(plugin_inner, a_struct_of_unknown_size_is_not_filled_in)
{
	sb_inner_backend inner = {.struct_size = sizeof(inner) - 8, .flags = 77};
	sb_error err = ERROR_INIT;

	cr_assert_eq(open_inner("good", NULL, &inner, &err), SB_ERR_INVALID);
	cr_assert(strstr(err.message, "set its struct_size before the call"), "%s", err.message);
	cr_assert_eq(inner.flags, 77);
}

/* The fault backend asks for one within itself, in turn. */
Test(plugin_inner, one_whose_open_fails_is_given_back)
{
	snprintf(outer_path, sizeof(outer_path), "%s/libouter.so", SB_PLUGIN_DIR);
	assert_refused("fault", "inner=nowhere", SB_ERR_NOT_FOUND, "open: there is no plugin \"nowhere\"");
}
