/* The host service sb.backend-open/1, for instances: see sb_plugin.h. */
#ifndef PLUGIN_INNER_H
#define PLUGIN_INNER_H

#include "plugin/instance.h"

extern const sb_backend_open_ops inner_backend_ops;

#endif
