/* sb_plugin.h first and alone: it includes all it needs. */
#include "sb_plugin.h"
/* Twice does no harm. */
#include "sb_plugin.h"

int header_alone(void);

int header_alone(void)
{
	sb_error err = {sizeof(sb_error), SB_OK, 0, 0, {0}};

	return err.code == SB_OK && SB_NO_EXPIRY == 0 && SB_NULL == UINT64_MAX;
}
