/* See descriptor.h. */
#include "support/descriptor.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"

static int32_t any_function(void)
{
	return SB_OK;
}

/* Never called, so their types do not matter. */
#define CALLBACK (void *)any_function

static void link_options(struct descriptor *x)
{
	x->size = (sb_option){.struct_size = sizeof(sb_option),
			      .type = SB_OPTION_SIZE,
			      .name = "size",
			      .doc = "d",
			      .default_text = "4KiB",
			      .min = 1,
			      .max = 8192};
	x->choice = (sb_option){.struct_size = sizeof(sb_option),
				.type = SB_OPTION_CHOICE,
				.name = "choice",
				.doc = "d",
				.default_text = "low",
				.choices = x->texts};
	x->ratio = (sb_option){.struct_size = sizeof(sb_option),
			       .type = SB_OPTION_F64,
			       .name = "ratio",
			       .doc = "d",
			       .default_text = "0.5",
			       .min_f64 = 0,
			       .max_f64 = 1};
	x->options[0] = &x->size;
	x->options[1] = &x->choice;
	x->options[2] = &x->ratio;
}

static sb_field field(const char *name, uint32_t type, uint32_t flags)
{
	return (sb_field){.struct_size = sizeof(sb_field), .type = type, .flags = flags, .name = name, .doc = "d"};
}

static void link_fields(struct descriptor *x)
{
	x->key = field("user_id", SB_TYPE_STRING, SB_FIELD_KEY);
	x->amount = field("amount", SB_TYPE_F64, SB_FIELD_OPTIONAL);
	x->time = field("time", SB_TYPE_TIME, SB_FIELD_EVENT_TIME);
	x->out_key = field("user_id", SB_TYPE_STRING, 0);
	x->out_sum = field("sum", SB_TYPE_F64, SB_FIELD_OPTIONAL);
	x->inputs[0] = &x->key;
	x->inputs[1] = &x->amount;
	x->inputs[2] = &x->time;
	x->outputs[0] = &x->out_key;
	x->outputs[1] = &x->out_sum;
}

static sb_schema_field schema_field(const char *name, uint32_t type, uint32_t offset, uint32_t size)
{
	return (sb_schema_field){.struct_size = sizeof(sb_schema_field),
				 .type = type,
				 .offset = offset,
				 .size = size,
				 .name = name,
				 .doc = "d"};
}

static void link_states(struct descriptor *x)
{
	memset(x->level_default, 0, sizeof(x->level_default));
	x->count = schema_field("count", SB_TYPE_I64, 0, 8);
	x->level = schema_field("level", SB_TYPE_ENUM, 8, 4);
	x->level.names = x->texts;
	x->level.default_value = x->level_default;
	x->label = schema_field("label", SB_TYPE_CHARS, 12, 4);
	x->fields[0] = &x->count;
	x->fields[1] = &x->level;
	x->fields[2] = &x->label;
	x->profile = (sb_state){.struct_size = sizeof(sb_state),
				.kind = SB_STATE_STRUCT,
				.value_size = 16,
				.name = "profile",
				.ttl_ms = SB_TTL_JOB,
				.fields = x->fields,
				.field_count = 3,
				.doc = "d"};
	x->raw = (sb_state){.struct_size = sizeof(sb_state), .kind = SB_STATE_RAW, .name = "raw-bytes_1", .doc = "d"};
	x->states[0] = &x->profile;
	x->states[1] = &x->raw;
}

static void link_ops(struct descriptor *x)
{
	x->backend_ops = (sb_backend_ops){.struct_size = sizeof(sb_backend_ops),
					  .open = CALLBACK,
					  .close = CALLBACK,
					  .multi_get = CALLBACK,
					  .write_batch = CALLBACK,
					  .iter_open = CALLBACK,
					  .iter_next = CALLBACK,
					  .iter_close = CALLBACK};
	x->operator_ops = (sb_operator_ops){.struct_size = sizeof(sb_operator_ops),
					    .open = CALLBACK,
					    .close = CALLBACK,
					    .process = CALLBACK,
					    .snapshot = CALLBACK,
					    .restore = CALLBACK};
}

void descriptor_init(struct descriptor *x)
{
	memset(x, 0, sizeof(*x));
	x->texts[0] = "low";
	x->texts[1] = "high";
	link_options(x);
	link_fields(x);
	link_states(x);
	link_ops(x);
	x->backend = (sb_component){.struct_size = sizeof(sb_component),
				    .kind = SB_KIND_BACKEND,
				    .id = "store-1",
				    .title = "t",
				    .doc = "d",
				    .options = x->options,
				    .option_count = 3,
				    .ops = &x->backend_ops,
				    .flags = SB_BACKEND_ORDERED};
	x->processor = (sb_component){.struct_size = sizeof(sb_component),
				      .kind = SB_KIND_OPERATOR,
				      .id = "processor",
				      .title = "t",
				      .doc = "d",
				      .ops = &x->operator_ops,
				      .inputs = x->inputs,
				      .input_count = 3,
				      .outputs = x->outputs,
				      .output_count = 2,
				      .states = x->states,
				      .state_count = 2};
	x->components[0] = &x->backend;
	x->components[1] = &x->processor;
	x->plugin = (sb_plugin){.struct_size = sizeof(sb_plugin),
				.abi_major = 1,
				.name = "store",
				.version = "1.0",
				.vendor = "v",
				.license = "l",
				.doc = "d",
				.components = x->components,
				.component_count = 2};
	x->note = (struct plugin_note){.name = "store", .version = "1.0", .abi_major = 1};
}

static void free_plugin(struct plugin **plugin)
{
	plugin_free(*plugin);
}

int32_t descriptor_normalize(const struct descriptor *x, struct plugin **ret_plugin, sb_error *err)
{
	AUTO(free_plugin) struct plugin *plugin = calloc(1, sizeof(*plugin));

	if (!plugin)
		return error_no_memory(err);
	plugin->path = strdup("/x.so");
	if (!plugin->path)
		return error_no_memory(err);
	TRY(normalize_plugin(&x->plugin, &x->note, plugin, err));
	*ret_plugin = TAKE(plugin);
	return SB_OK;
}
