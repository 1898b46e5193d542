/* Typed options of a component: "key=value" texts in, checked values out. */
#ifndef PLUGIN_OPTIONS_H
#define PLUGIN_OPTIONS_H

#include "plugin/plugin.h"

struct option_set {
	sb_option_value *values; /* one per declared option, in its order */
	uint64_t count;
	char *storage; /* the texts that values point to */
};

/* pairs: "name=value". Defaults are filled in first. SB_ERR_CONFIG on an unknown name (with the nearest known one),
 * a wrong type, a value out of range; the sentence names flag ("--backend-opt"), the component and the option. */
int32_t option_set_parse(const struct component *component, const char *flag, const char *const *pairs,
			 uint64_t pair_count, struct option_set *ret_set, sb_error *err);
void option_set_done(struct option_set *set);

#endif
