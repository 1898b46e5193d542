/* Extensions of backends, as far as they are whole: a table that is too short or lacks a function counts as absent. */
#ifndef PLUGIN_EXTENSIONS_H
#define PLUGIN_EXTENSIONS_H

#include "plugin/plugin.h"

/* NULL when the component lacks it. */
const sb_files_ops *component_files(const struct component *component);
const sb_delta_ops *component_delta(const struct component *component);
const sb_inplace_ops *component_inplace(const struct component *component);

#endif
