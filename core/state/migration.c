/* See migration.h. A plan holds, for each state of the checkpoint, what its new value begins as (zeros, and the defaults
 * of new fields) and a list of steps that carry the surviving fields over. Everything that can be refused by looking at the two
 * schemas is refused while planning, before anything is destroyed; what is left for apply is bytes.
 *
 * A field goes on when every value it can hold has one obvious place in the new type. Nothing is guessed: a
 * narrower field is refused even if today's values would fit, since tomorrow's checkpoint may not. */
#include "state/migration.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/slice.h"
#include "state/schema_private.h"

#define REMEDY "restore with the operator that wrote the checkpoint, or give the new %s another name"

enum step_kind {
	STEP_COPY, /* little-endian, and what to_size has more is zero: so this widens all that is unsigned */
	STEP_SIGNED, /* sign-extended */
	STEP_FLOAT, /* 4 bytes to 8 */
	STEP_NUMBERS, /* an enum's, whose names come in another order */
};

struct step {
	enum step_kind kind;
	uint32_t from, from_size, to, to_size;
	const struct schema_field *field; /* the present one */
	uint32_t *numbers; /* NUMBERS: the present one for each saved one */
	uint64_t number_count;
};

struct state_plan {
	bool saved; /* the checkpoint has this id */
	bool same; /* values stay as they are */
	const struct schema_state *now; /* NULL: dropped */
	uint32_t saved_size; /* of a STRUCT's values */
	uint8_t *start; /* now->value_size bytes */
	struct step *steps;
	uint64_t step_count;
};

struct migration {
	bool identity;
	struct state_plan plans[SCHEMA_STATES_MAX]; /* by saved id */
};

void migration_free(struct migration *migration)
{
	for (uint32_t id = 0; migration && id < SCHEMA_STATES_MAX; id++) {
		struct state_plan *plan = &migration->plans[id];

		for (uint64_t i = 0; i < plan->step_count; i++)
			free(plan->steps[i].numbers);
		free(plan->steps);
		free(plan->start);
	}
	free(migration);
}

bool migration_is_identity(const struct migration *migration)
{
	return migration->identity;
}

/* Planning. */

static void tell(const struct log *log, int32_t level, const char *message, const struct schema_state *state,
		 const struct schema_field *field)
{
	if (field)
		LOG(log, level, message, LOG_S("state", state->name), LOG_S("field", field->name));
	else
		LOG(log, level, message, LOG_S("state", state->name));
}

static const struct schema_field *find_field(const struct schema_state *state, const char *name)
{
	for (uint64_t i = 0; i < state->field_count; i++)
		if (strcmp(state->fields[i].name, name) == 0)
			return &state->fields[i];
	return NULL;
}

/* I64 and F64 are only other words for INT and FLOAT of 8 bytes. */
static uint32_t family(uint32_t type)
{
	if (type == SB_TYPE_I64)
		return SB_TYPE_INT;
	return type == SB_TYPE_F64 ? SB_TYPE_FLOAT : type;
}

/* How was becomes is; false: not at all. Names of enums are looked at elsewhere. */
static bool choose_step(const struct schema_field *was, const struct schema_field *is, enum step_kind *ret_kind)
{
	uint32_t from = family(was->type), to = family(is->type);

	*ret_kind = STEP_COPY;
	if (from == SB_TYPE_BOOL && (to == SB_TYPE_INT || to == SB_TYPE_UINT))
		return true;
	if (from == SB_TYPE_UINT && to == SB_TYPE_INT)
		return is->size > was->size;
	if (from == SB_TYPE_INT && is->size > was->size)
		*ret_kind = STEP_SIGNED;
	if (from == SB_TYPE_FLOAT && is->size > was->size)
		*ret_kind = STEP_FLOAT;
	return from == to && is->size >= was->size;
}

/* Whether every number keeps its name. */
static bool names_go_on(const struct schema_field *was, const struct schema_field *is)
{
	if (was->name_count > is->name_count)
		return false;
	for (uint64_t i = 0; i < was->name_count; i++)
		if (strcmp(is->names[i], was->names[i]) != 0)
			return false;
	return true;
}

/* The number of the one name like this, if a value of the field can hold it. */
static bool find_number(const struct schema_field *field, const char *name, uint32_t *ret_number)
{
	uint64_t found = UINT64_MAX;

	for (uint64_t i = 0; i < field->name_count; i++) {
		if (strcmp(field->names[i], name) != 0)
			continue;
		if (found != UINT64_MAX)
			return false;
		found = i;
	}
	if (found >> 8 * field->size)
		return false;
	*ret_number = (uint32_t)found;
	return true;
}

/* Values stand for names, so they move with them; a name that is gone leaves its values without a meaning. */
static int32_t plan_names(const struct schema_state *now, const struct schema_field *was, struct step *step,
			  sb_error *err)
{
	step->kind = STEP_NUMBERS;
	step->numbers = calloc(was->name_count, sizeof(*step->numbers));
	if (!step->numbers)
		return error_no_memory(err);
	for (; step->number_count < was->name_count; step->number_count++)
		if (!find_number(step->field, was->names[step->number_count], &step->numbers[step->number_count]))
			return error_set(
				err, SB_ERR_INCOMPATIBLE,
				"field %s of state %s has values called %s in the checkpoint, and the operator has "
				"no such name for them, or several: keep the name, " REMEDY,
				was->name, now->name, was->names[step->number_count], "field");
	return SB_OK;
}

static int32_t plan_field(struct state_plan *plan, const struct schema_field *was, const struct schema_field *is,
			  const struct log *log, sb_error *err)
{
	struct step *step = &plan->steps[plan->step_count++];

	*step = (struct step){
		.from = was->offset, .from_size = was->size, .to = is->offset, .to_size = is->size, .field = is};
	if (!choose_step(was, is, &step->kind))
		return error_set(err, SB_ERR_INCOMPATIBLE,
				 "field %s of state %s is %s of %u bytes in the checkpoint and %s of %u bytes in the "
				 "operator, which cannot hold all its values: " REMEDY,
				 was->name, plan->now->name, schema_type_name(was->type), was->size,
				 schema_type_name(is->type), is->size, "field");
	if (!names_go_on(was, is)) {
		TRY(plan_names(plan->now, was, step, err));
		tell(log, SB_LOG_INFO, "Values get the numbers that their names have now", plan->now, is);
	}
	if (family(was->type) != family(is->type) || was->size != is->size)
		tell(log, SB_LOG_INFO, "Field widened", plan->now, is);
	plan->same &= step->kind == STEP_COPY && was->offset == is->offset && was->size == is->size;
	return SB_OK;
}

static void plan_new_field(struct state_plan *plan, const struct schema_field *is, const struct log *log)
{
	plan->same = false;
	if (is->default_value)
		memcpy(plan->start + is->offset, is->default_value, is->size);
	tell(log, SB_LOG_INFO, is->default_value ? "Field added, with its default" : "Field added, with zeros",
	     plan->now, is);
}

static int32_t plan_fields(struct state_plan *plan, const struct schema_state *saved, const struct log *log,
			   sb_error *err)
{
	const struct schema_state *now = plan->now;

	plan->start = calloc(1, now->value_size);
	plan->steps = calloc(saved->field_count + 1, sizeof(*plan->steps));
	if (!plan->start || !plan->steps)
		return error_no_memory(err);
	plan->same = now->value_size == saved->value_size;
	for (uint64_t i = 0; i < saved->field_count; i++) {
		const struct schema_field *was = &saved->fields[i];
		const struct schema_field *is = find_field(now, was->name);

		if (is) {
			TRY(plan_field(plan, was, is, log, err));
			continue;
		}
		plan->same = false;
		tell(log, SB_LOG_WARN, "Field dropped: the operator no longer has it", now, was);
	}
	for (uint64_t i = 0; i < now->field_count; i++)
		if (!find_field(saved, now->fields[i].name))
			plan_new_field(plan, &now->fields[i], log);
	return SB_OK;
}

static int32_t plan_state(struct state_plan *plan, const struct schema_state *saved, const struct log *log,
			  sb_error *err)
{
	const struct schema_state *now = plan->now;

	plan->saved = true;
	plan->saved_size = saved->value_size;
	if (!now) {
		tell(log, SB_LOG_WARN, "State dropped: the operator no longer has it", saved, NULL);
		return SB_OK;
	}
	if (now->kind != saved->kind)
		return error_set(err, SB_ERR_INCOMPATIBLE,
				 "state %s is %s in the checkpoint and %s in the operator: " REMEDY, now->name,
				 saved->kind == SB_STATE_RAW ? "raw" : "a struct",
				 now->kind == SB_STATE_RAW ? "raw" : "a struct", "state");
	if (now->ttl_ms != saved->ttl_ms)
		LOG(log, SB_LOG_INFO, "TTL changed, for later writes only", LOG_S("state", now->name),
		    LOG_I("from_ms", saved->ttl_ms), LOG_I("to_ms", now->ttl_ms));
	plan->same = now->kind == SB_STATE_RAW;
	return plan->same ? SB_OK : plan_fields(plan, saved, log, err);
}

static int32_t plan_states(struct migration *migration, const struct schema *schema, const struct schema *saved,
			   const struct log *log, sb_error *err)
{
	migration->identity = true;
	for (uint64_t i = 0; i < saved->count; i++) {
		const struct schema_state *was = &saved->states[i];
		struct state_plan *plan = &migration->plans[was->id];

		plan->now = schema_find_name(schema, was->name);
		TRY(plan_state(plan, was, log, err));
		migration->identity &= plan->same;
	}
	for (uint64_t i = 0; i < schema->count; i++)
		if (!schema_find_name(saved, schema->states[i].name))
			tell(log, SB_LOG_INFO, "State added", &schema->states[i], NULL);
	return SB_OK;
}

/* An id that no state has. One that a dropped state had comes last: its entries are told from new ones only by going
 * through migration_apply. */
static uint32_t free_id(const struct migration *migration, const bool *taken)
{
	uint32_t dropped = SCHEMA_STATES_MAX;

	for (uint32_t id = 0; id < SCHEMA_STATES_MAX; id++) {
		if (!taken[id] && !migration->plans[id].saved)
			return id;
		if (!taken[id] && dropped == SCHEMA_STATES_MAX)
			dropped = id;
	}
	assert(dropped < SCHEMA_STATES_MAX); /* there are as many ids as there can be states */
	return dropped;
}

static void give_ids(const struct migration *migration, struct schema *schema, const struct schema *saved)
{
	bool taken[SCHEMA_STATES_MAX] = {false};

	for (uint32_t id = 0; id < SCHEMA_STATES_MAX; id++)
		taken[id] = migration->plans[id].now != NULL;
	for (uint64_t i = 0; i < schema->count; i++) {
		const struct schema_state *was = schema_find_name(saved, schema->states[i].name);

		schema->states[i].id = was ? was->id : free_id(migration, taken);
		taken[schema->states[i].id] = true;
	}
}

int32_t migration_plan(struct schema *schema, const struct schema *saved, const struct log *log,
		       struct migration **ret_migration, sb_error *err)
{
	struct migration *migration = calloc(1, sizeof(*migration));
	int32_t status = migration ? plan_states(migration, schema, saved, log, err) : error_no_memory(err);

	if (status != SB_OK) {
		migration_free(migration);
		return status;
	}
	give_ids(migration, schema, saved);
	*ret_migration = migration;
	return SB_OK;
}

/* Applying. */

static uint64_t load_uint(const uint8_t *at, uint32_t size)
{
	uint64_t value = 0;

	for (uint32_t i = 0; i < size; i++)
		value |= (uint64_t)at[i] << 8 * i;
	return value;
}

static void store_uint(uint8_t *at, uint32_t size, uint64_t value)
{
	for (uint32_t i = 0; i < size; i++)
		at[i] = (uint8_t)(value >> 8 * i);
}

static void widen_float(const uint8_t *from, uint8_t *to)
{
	float narrow;
	double wide;

	memcpy(&narrow, from, sizeof(narrow));
	wide = (double)narrow;
	memcpy(to, &wide, sizeof(wide));
}

static int32_t renumber(const struct state_plan *plan, const struct step *step, const uint8_t *from, uint8_t *to,
			sb_error *err)
{
	uint64_t number = load_uint(from, step->from_size);

	if (number >= step->number_count)
		return error_set(
			err, SB_ERR_INCOMPATIBLE,
			"field %s of state %s has a value %llu without a name, and the names come in another order "
			"in the operator: keep their order, " REMEDY,
			step->field->name, plan->now->name, (unsigned long long)number, "field");
	store_uint(to, step->to_size, step->numbers[number]);
	return SB_OK;
}

static int32_t take_step(const struct state_plan *plan, const struct step *step, const uint8_t *from, uint8_t *to,
			 sb_error *err)
{
	unsigned unused = 64 - 8 * step->from_size;

	switch (step->kind) {
	case STEP_COPY:
		memcpy(to, from, step->from_size);
		return SB_OK;
	case STEP_SIGNED:
		store_uint(to, step->to_size,
			   (uint64_t)((int64_t)(load_uint(from, step->from_size) << unused) >> unused));
		return SB_OK;
	case STEP_FLOAT:
		widen_float(from, to);
		return SB_OK;
	case STEP_NUMBERS:
		return renumber(plan, step, from, to, err);
	}
	assert(false);
	return SB_ERR_INTERNAL;
}

static int32_t rebuild(const struct state_plan *plan, sb_slice value, struct buffer *scratch, sb_error *err)
{
	buffer_clear(scratch);
	buffer_append(scratch, plan->start, plan->now->value_size);
	TRY(buffer_check(scratch, err));
	for (uint64_t i = 0; i < plan->step_count; i++) {
		const struct step *step = &plan->steps[i];

		TRY(take_step(plan, step, value.ptr + step->from, scratch->data + step->to, err));
	}
	return SB_OK;
}

int32_t migration_apply(const struct migration *migration, uint32_t saved_state_id, sb_slice value,
			struct buffer *scratch, sb_slice *ret_value, bool *ret_dropped, sb_error *err)
{
	const struct state_plan *plan = saved_state_id < SCHEMA_STATES_MAX ? &migration->plans[saved_state_id] : NULL;

	if (!plan || !plan->saved)
		return error_set(err, SB_ERR_CORRUPT,
				 "an entry belongs to state %u, which the checkpoint does not have", saved_state_id);
	if (plan->now && plan->now->kind == SB_STATE_STRUCT && value.len != plan->saved_size)
		return error_set(err, SB_ERR_CORRUPT, "a value of state %s has %llu bytes, not %u", plan->now->name,
				 (unsigned long long)value.len, plan->saved_size);
	if (plan->now && !plan->same)
		TRY(rebuild(plan, value, scratch, err));
	*ret_dropped = !plan->now;
	*ret_value = plan->now && !plan->same ? buffer_slice(scratch) : value;
	return SB_OK;
}
