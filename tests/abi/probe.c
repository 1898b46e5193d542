/* SPDX-License-Identifier: Apache-2.0
 * Every struct of the ABI, within reach of an exported function: what abidiff compares, once with a frozen header and once with ours. */
#include "sb_plugin.h"

#define PROBE(type)                                                                                                    \
	SB_EXPORT void probe_##type(const type *value);                                                                \
	SB_EXPORT void probe_##type(const type *value)                                                                 \
	{                                                                                                              \
		(void)value;                                                                                           \
	}

PROBE(sb_plugin)
PROBE(sb_component)
PROBE(sb_option)
PROBE(sb_option_value)
PROBE(sb_field)
PROBE(sb_state)
PROBE(sb_schema_field)
PROBE(sb_event)
PROBE(sb_value)
PROBE(sb_slice)
PROBE(sb_error)
PROBE(sb_host)
PROBE(sb_log_field)
PROBE(sb_backend_config)
PROBE(sb_backend_ops)
PROBE(sb_files_ops)
PROBE(sb_delta_ops)
PROBE(sb_iter_options)
PROBE(sb_pin)
PROBE(sb_op)
PROBE(sb_entry)
PROBE(sb_stat)
PROBE(sb_task)
PROBE(sb_operator_config)
PROBE(sb_operator_ops)
PROBE(sb_writer)
