/* What is called in the place of an optional callback that the plugin lacks, so that no
 * caller has to test a pointer. */
#include "base/error.h"
#include "plugin/plugin_private.h"

static void no_unpin(sb_backend *backend, uint64_t n, sb_pin *pins)
{
	(void)backend;
	(void)n;
	(void)pins;
}

static int32_t no_maintain(sb_backend *backend, uint64_t budget, uint64_t *ret_purged, sb_error *err)
{
	(void)backend;
	(void)budget;
	(void)ret_purged;
	return error_set(err, SB_ERR_UNSUPPORTED, "this backend has no maintain()");
}

static int32_t no_stats(sb_backend *backend, uint64_t capacity, sb_stat *stats, uint64_t *ret_count, sb_error *err)
{
	(void)backend;
	(void)capacity;
	(void)stats;
	(void)ret_count;
	return error_set(err, SB_ERR_UNSUPPORTED, "this backend has no stats()");
}

void stubs_fill_backend(sb_backend_ops *ops)
{
	if (!ops->unpin)
		ops->unpin = no_unpin;
	if (!ops->maintain)
		ops->maintain = no_maintain;
	if (!ops->stats)
		ops->stats = no_stats;
}
