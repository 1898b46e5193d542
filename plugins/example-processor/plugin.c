/* The reference operator: purchases in, user profiles out.
 *
 * Each purchase of a user adds to one struct that the host keeps for that user: how many
 * purchases, how much spent, the last one's time, the category that follows from the sum. The
 * enriched profile is emitted for every purchase. The host decodes, routes by user_id, stores,
 * expires and checkpoints; what is left to write is the business itself.
 *
 * Money is summed in millionths, as integers: sums of doubles drift, and a user whose purchases add up to exactly
 * 1000.00 must not become Premium because 0.1 has no exact double. An amount is rounded to the nearest
 * millionth, and a sum stops at 9.2e12. The double beside it is the sum as people read it. */
#include <math.h>
#include <stdlib.h>

#include "sb_plugin.h"

#define NAME "example-processor"
#define VERSION "1.0.0"

enum category { REGULAR, PREMIUM, VIP };

static const char *const category_names[] = {"Regular", "Premium", "VIP", NULL};

struct profile {
	int64_t total_purchases;
	double total_spent;
	int64_t total_spent_micros;
	int64_t last_purchase_ms;
	uint8_t category;
	uint8_t reserved[7]; /* the struct has no padding, so equal profiles are equal bytes */
};

struct sb_operator {
	const sb_host *host;
	sb_task *task;
	double premium_above;
	double vip_above;
	int log_updates;
};

enum option_index { OPTION_PREMIUM_ABOVE, OPTION_VIP_ABOVE, OPTION_LOG_UPDATES, OPTION_COUNT };

static const sb_option option_premium_above = {
	.struct_size = sizeof(sb_option),
	.type = SB_OPTION_F64,
	.name = "premium_above",
	.default_text = "1000",
	.min_f64 = 0,
	.max_f64 = 1e15,
	.doc = "A user who has spent more than this is Premium.",
};
static const sb_option option_vip_above = {
	.struct_size = sizeof(sb_option),
	.type = SB_OPTION_F64,
	.name = "vip_above",
	.default_text = "10000",
	.min_f64 = 0,
	.max_f64 = 1e15,
	.doc = "A user who has spent more than this is VIP.",
};
static const sb_option option_log_updates = {
	.struct_size = sizeof(sb_option),
	.type = SB_OPTION_BOOL,
	.name = "log_updates",
	.default_text = "false",
	.doc = "Log a line for each updated profile; for a demonstration's pace.",
};
static const sb_option *const options[OPTION_COUNT] = {
	[OPTION_PREMIUM_ABOVE] = &option_premium_above,
	[OPTION_VIP_ABOVE] = &option_vip_above,
	[OPTION_LOG_UPDATES] = &option_log_updates,
};

enum input_index { INPUT_USER_ID, INPUT_AMOUNT, INPUT_TIMESTAMP, INPUT_COUNT };

static const sb_field input_user_id = {
	.struct_size = sizeof(sb_field),
	.type = SB_TYPE_STRING,
	.flags = SB_FIELD_KEY,
	.name = "user_id",
	.doc = "Who bought.",
};
static const sb_field input_amount = {
	.struct_size = sizeof(sb_field),
	.type = SB_TYPE_F64,
	.name = "amount",
	.doc = "What was paid.",
};
static const sb_field input_timestamp = {
	.struct_size = sizeof(sb_field),
	.type = SB_TYPE_TIME,
	.flags = SB_FIELD_EVENT_TIME,
	.name = "timestamp",
	.doc = "When it was bought.",
};
static const sb_field *const inputs[INPUT_COUNT] = {
	[INPUT_USER_ID] = &input_user_id,
	[INPUT_AMOUNT] = &input_amount,
	[INPUT_TIMESTAMP] = &input_timestamp,
};

enum output_index {
	OUTPUT_USER_ID,
	OUTPUT_TOTAL_PURCHASES,
	OUTPUT_TOTAL_SPENT,
	OUTPUT_LAST_PURCHASE,
	OUTPUT_CATEGORY,
	OUTPUT_COUNT
};

static const sb_field output_user_id = {
	.struct_size = sizeof(sb_field), .type = SB_TYPE_STRING, .decimals = -1, .name = "user_id", .doc = "The user."};
static const sb_field output_total_purchases = {.struct_size = sizeof(sb_field),
						.type = SB_TYPE_I64,
						.decimals = -1,
						.name = "total_purchases",
						.doc = "Purchases so far, this one included."};
static const sb_field output_total_spent = {.struct_size = sizeof(sb_field),
					    .type = SB_TYPE_F64,
					    .decimals = -1,
					    .name = "total_spent",
					    .doc = "Sum of all amounts so far."};
static const sb_field output_last_purchase = {.struct_size = sizeof(sb_field),
					      .type = SB_TYPE_TIME,
					      .decimals = -1,
					      .name = "last_purchase",
					      .doc = "Time of the latest purchase."};
static const sb_field output_category = {.struct_size = sizeof(sb_field),
					 .type = SB_TYPE_STRING,
					 .decimals = -1,
					 .name = "category",
					 .doc = "Regular, Premium or VIP."};
static const sb_field *const outputs[OUTPUT_COUNT] = {
	[OUTPUT_USER_ID] = &output_user_id,	    [OUTPUT_TOTAL_PURCHASES] = &output_total_purchases,
	[OUTPUT_TOTAL_SPENT] = &output_total_spent, [OUTPUT_LAST_PURCHASE] = &output_last_purchase,
	[OUTPUT_CATEGORY] = &output_category,
};

#define PROFILE_FIELD(member, field_type, enum_names)                                                                  \
	{                                                                                                              \
		.struct_size = sizeof(sb_schema_field), .type = (field_type),                                          \
		.offset = offsetof(struct profile, member), .size = sizeof(((struct profile *)0)->member),             \
		.name = #member, .names = (enum_names)                                                                 \
	}

static const sb_schema_field field_total_purchases = PROFILE_FIELD(total_purchases, SB_TYPE_I64, NULL);
static const sb_schema_field field_total_spent = PROFILE_FIELD(total_spent, SB_TYPE_F64, NULL);
static const sb_schema_field field_total_spent_micros = PROFILE_FIELD(total_spent_micros, SB_TYPE_I64, NULL);
static const sb_schema_field field_last_purchase = {
	.struct_size = sizeof(sb_schema_field),
	.type = SB_TYPE_TIME,
	.offset = offsetof(struct profile, last_purchase_ms),
	.size = 8,
	.name = "last_purchase",
};
static const sb_schema_field field_category = PROFILE_FIELD(category, SB_TYPE_ENUM, category_names);
static const sb_schema_field *const profile_fields[] = {
	&field_total_purchases, &field_total_spent, &field_total_spent_micros, &field_last_purchase, &field_category,
};

#define STATE_PROFILE 0u

static const sb_state state_profile = {
	.struct_size = sizeof(sb_state),
	.kind = SB_STATE_STRUCT,
	.value_size = sizeof(struct profile),
	.ttl_ms = SB_TTL_JOB,
	.name = "profile",
	.fields = profile_fields,
	.field_count = sizeof(profile_fields) / sizeof(profile_fields[0]),
	.doc = "One profile per user.",
};
static const sb_state *const states[] = {[STATE_PROFILE] = &state_profile};

static int32_t processor_open(const sb_operator_config *config, sb_operator **ret_operator, sb_error *err)
{
	sb_operator *op;

	if (config->options[OPTION_VIP_ABOVE].f64 < config->options[OPTION_PREMIUM_ABOVE].f64) {
		static const char sentence[] = "vip_above is below premium_above; raise the one or lower the other";

		err->code = SB_ERR_CONFIG;
		__builtin_memcpy(err->message, sentence, sizeof(sentence));
		return SB_ERR_CONFIG;
	}
	op = calloc(1, sizeof(*op));
	if (!op) {
		err->code = SB_ERR_NO_MEMORY;
		__builtin_memcpy(err->message, "out of memory", sizeof("out of memory"));
		return SB_ERR_NO_MEMORY;
	}
	op->host = config->host;
	op->task = config->task;
	op->premium_above = config->options[OPTION_PREMIUM_ABOVE].f64;
	op->vip_above = config->options[OPTION_VIP_ABOVE].f64;
	op->log_updates = (int)config->options[OPTION_LOG_UPDATES].i64;
	*ret_operator = op;
	return SB_OK;
}

static void processor_close(sb_operator *op)
{
	free(op);
}

static enum category category_of(const sb_operator *op, double total_spent)
{
	if (total_spent > op->vip_above)
		return VIP;
	return total_spent > op->premium_above ? PREMIUM : REGULAR;
}

static sb_value text_value(const char *text)
{
	return (sb_value){.as = {.ptr = (const uint8_t *)text}, .len = __builtin_strlen(text)};
}

static sb_value i64_value(int64_t value)
{
	return (sb_value){.as = {.i64 = value}};
}

static sb_value f64_value(double value)
{
	return (sb_value){.as = {.f64 = value}};
}

static void log_update(const sb_operator *op, const sb_event *event, const struct profile *profile)
{
	const sb_log_field fields[] = {
		{.name = "user_id", .value = event->values[INPUT_USER_ID], .type = SB_TYPE_STRING},
		{.name = "total_purchases", .value = i64_value(profile->total_purchases), .type = SB_TYPE_I64},
		{.name = "total_spent", .value = f64_value(profile->total_spent), .type = SB_TYPE_F64, .decimals = 2},
		{.name = "category", .value = text_value(category_names[profile->category]), .type = SB_TYPE_STRING},
	};

	op->host->log(op->host, SB_LOG_INFO, "Updated user profile", fields, sizeof(fields) / sizeof(fields[0]));
}

static int32_t emit_profile(const sb_operator *op, const sb_event *event, uint64_t index, const struct profile *profile)
{
	const sb_value record[OUTPUT_COUNT] = {
		[OUTPUT_USER_ID] = event->values[INPUT_USER_ID],
		[OUTPUT_TOTAL_PURCHASES] = i64_value(profile->total_purchases),
		[OUTPUT_TOTAL_SPENT] = f64_value(profile->total_spent),
		[OUTPUT_LAST_PURCHASE] = i64_value(profile->last_purchase_ms),
		[OUTPUT_CATEGORY] = text_value(category_names[profile->category]),
	};

	return op->task->emit(op->task, index, record);
}

static void add_amount(struct profile *profile, double amount)
{
	double micros = nearbyint(amount * 1e6);
	int64_t rounded = fabs(micros) < 9.2e18 ? (int64_t)micros : micros < 0 ? INT64_MIN : INT64_MAX;

	if (__builtin_add_overflow(profile->total_spent_micros, rounded, &profile->total_spent_micros))
		profile->total_spent_micros = rounded < 0 ? INT64_MIN : INT64_MAX;
	profile->total_spent = (double)profile->total_spent_micros / 1e6;
}

static int32_t processor_process(sb_operator *op, const sb_event *events, uint64_t n, sb_error *err)
{
	(void)err; /* the host keeps the cause of its own failures */
	for (uint64_t i = 0; i < n; i++) {
		const sb_value *in = events[i].values;
		int32_t created;
		int32_t status;
		struct profile *profile = op->task->state_upsert(op->task, STATE_PROFILE, i, &created);

		if (!profile)
			return SB_ERR_NO_MEMORY;
		profile->total_purchases++;
		add_amount(profile, in[INPUT_AMOUNT].as.f64);
		if (created || in[INPUT_TIMESTAMP].as.i64 > profile->last_purchase_ms)
			profile->last_purchase_ms = in[INPUT_TIMESTAMP].as.i64;
		profile->category = (uint8_t)category_of(op, profile->total_spent);
		status = emit_profile(op, &events[i], i, profile);
		if (status != SB_OK)
			return status;
		if (op->log_updates)
			log_update(op, &events[i], profile);
	}
	return SB_OK;
}

static const sb_operator_ops operator_ops = {
	.struct_size = sizeof(sb_operator_ops),
	.open = processor_open,
	.close = processor_close,
	.process = processor_process,
};

static const sb_component component = {
	.struct_size = sizeof(sb_component),
	.kind = SB_KIND_OPERATOR,
	.threads = SB_THREADS_INSTANCE,
	.id = NAME,
	.title = "Example processor",
	.doc = "Turns purchases into user profiles: number, sum, last purchase, category.",
	.options = options,
	.option_count = OPTION_COUNT,
	.ops = &operator_ops,
	.inputs = inputs,
	.input_count = INPUT_COUNT,
	.outputs = outputs,
	.output_count = OUTPUT_COUNT,
	.states = states,
	.state_count = sizeof(states) / sizeof(states[0]),
};
static const sb_component *const components[] = {&component};

static const sb_plugin plugin = {
	.struct_size = sizeof(sb_plugin),
	.abi_major = SB_ABI_MAJOR,
	.abi_minor = SB_ABI_MINOR,
	.name = NAME,
	.version = VERSION,
	.vendor = "sbhost",
	.license = "Apache-2.0",
	.doc = "The reference operator: user profiles from purchases.",
	.components = components,
	.component_count = sizeof(components) / sizeof(components[0]),
};

SB_PLUGIN_REGISTER(plugin, NAME, VERSION);
