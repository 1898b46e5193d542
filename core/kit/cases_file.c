/* The plugin as a file: what can be told before any instance of it is open. */
#include "kit/subject.h"

void case_it_is_accepted(const struct trial *trial)
{
	plugin_free(kit_load(trial));
}
