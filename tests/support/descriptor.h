/* A plugin's descriptor in memory, good and with something of everything that the header can declare: a backend with options, an operator with fields and
 * states. Tests spoil one member of it, or normalise and describe it while memory runs out. */
#ifndef SUPPORT_DESCRIPTOR_H
#define SUPPORT_DESCRIPTOR_H

#include "plugin/plugin_private.h"

struct descriptor {
	sb_plugin plugin;
	const sb_component *components[2];
	sb_component backend, processor;
	sb_backend_ops backend_ops;
	sb_operator_ops operator_ops;
	const sb_option *options[3];
	sb_option size, choice, ratio;
	const sb_field *inputs[3], *outputs[2];
	sb_field key, amount, time, out_key, out_sum;
	const sb_state *states[2];
	sb_state profile, raw;
	const sb_schema_field *fields[3];
	sb_schema_field count, level, label;
	const char *texts[4]; /* choices of the one, names of the other: "low", "high" */
	uint8_t level_default[4];
	struct plugin_note note;
};

/* Links its parts up, so it stays where it is. */
void descriptor_init(struct descriptor *x);
/* What plugin_load would make of it, as the plugin /x.so. */
int32_t descriptor_normalize(const struct descriptor *x, struct plugin **ret_plugin, sb_error *err);

#endif
