/* "name=value" texts against a declaration.
 *
 * Everything a user can mend is said in one sentence with the flag, the component and the
 * option in it. The value of a secret option is in none of them, and neither is a text of which it is
 * unclear what it was meant for while the component has secrets. */
#include "plugin/options.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json_write.h"
#include "base/nearest.h"
#include "base/number.h"
#include "plugin/plugin_private.h"

/* --- one value ------------------------------------------------------------------ */

bool option_has_range(const sb_option *option)
{
	switch (option->type) {
	case SB_OPTION_I64:
	case SB_OPTION_SIZE:
	case SB_OPTION_DURATION:
		return option->min != 0 || option->max != 0;
	case SB_OPTION_F64:
		return option->min_f64 != 0 || option->max_f64 != 0;
	default:
		return false;
	}
}

struct unit {
	const char *name;
	int64_t factor;
};

/* The largest unit that divides the number: 65536 is 64KiB, 65537 is 65537. */
static void append_in_units(struct buffer *out, int64_t value, const struct unit *units)
{
	for (; units->factor > 1; units++)
		if (value && value % units->factor == 0)
			break;
	number_append_i64(out, value / units->factor);
	if (value)
		buffer_append_text(out, units->name);
}

static void append_number(struct buffer *out, uint32_t type, int64_t value)
{
	static const struct unit sizes[] = {
		{"TiB", INT64_C(1) << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"", 1}};
	static const struct unit durations[] = {{"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};

	switch (type) {
	case SB_OPTION_SIZE:
		append_in_units(out, value, sizes);
		break;
	case SB_OPTION_DURATION:
		append_in_units(out, value, durations);
		break;
	default:
		number_append_i64(out, value);
	}
}

void option_append_range(const sb_option *option, struct buffer *out)
{
	if (!option_has_range(option))
		return;
	if (option->type == SB_OPTION_F64) {
		number_append_f64(out, option->min_f64);
		buffer_append_text(out, " to ");
		number_append_f64(out, option->max_f64);
		return;
	}
	append_number(out, option->type, option->min);
	if (option->max == INT64_MAX) {
		buffer_append_text(out, " or more");
		return;
	}
	buffer_append_text(out, " to ");
	append_number(out, option->type, option->max);
}

static bool in_range(const sb_option *option, const sb_option_value *value)
{
	if (!option_has_range(option))
		return true;
	if (option->type == SB_OPTION_F64)
		return value->f64 >= option->min_f64 && value->f64 <= option->max_f64;
	return value->i64 >= option->min && value->i64 <= option->max;
}

static bool parse_bool(sb_slice text, int64_t *ret_value)
{
	static const char *const words[] = {"false", "true", "no", "yes", "off", "on", "0", "1"};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (slice_equal_text(text, words[i])) {
			*ret_value = i & 1;
			return true;
		}
	return false;
}

static bool parse_choice(const sb_option *option, sb_slice text, sb_option_value *value)
{
	for (int64_t i = 0; option->choices[i]; i++)
		if (slice_equal_text(text, option->choices[i])) {
			value->i64 = i;
			value->text = slice_of_text(option->choices[i]);
			return true;
		}
	return false;
}

static bool parse_by_type(const sb_option *option, sb_slice text, sb_option_value *value)
{
	switch (option->type) {
	case SB_OPTION_BOOL:
		return parse_bool(text, &value->i64);
	case SB_OPTION_I64:
		return number_parse_i64(text, &value->i64);
	case SB_OPTION_F64:
		return number_parse_f64(text, &value->f64);
	case SB_OPTION_SIZE:
		return number_parse_size(text, &value->i64);
	case SB_OPTION_DURATION:
		return number_parse_duration(text, &value->i64);
	case SB_OPTION_CHOICE:
		return parse_choice(option, text, value);
	default:
		value->text = text;
		return utf8_is_valid(text);
	}
}

static void append_choices(const sb_option *option, struct buffer *out)
{
	for (uint64_t i = 0; option->choices[i]; i++)
		buffer_printf(out, "%s%s", i ? ", " : "", option->choices[i]);
}

static void append_expected(const sb_option *option, sb_slice text, struct buffer *out)
{
	struct nearest near = {.wanted = text};

	switch (option->type) {
	case SB_OPTION_BOOL:
		buffer_append_text(out, "is none of true, false, yes, no, on, off, 1, 0");
		break;
	case SB_OPTION_I64:
		buffer_append_text(out, "is not a whole number of 64 bits");
		break;
	case SB_OPTION_F64:
		buffer_append_text(out, "is not a finite decimal number");
		break;
	case SB_OPTION_SIZE:
		buffer_append_text(out, "is not a size in bytes, such as 4096, 64KiB or 1GiB");
		break;
	case SB_OPTION_DURATION:
		buffer_append_text(out, "is not a duration, such as 250ms, 30s, 24h or 7d");
		break;
	case SB_OPTION_CHOICE:
		buffer_append_text(out, "is none of ");
		append_choices(option, out);
		if (option->flags & SB_OPTION_SECRET)
			break;
		for (uint64_t i = 0; option->choices[i]; i++)
			nearest_offer(&near, option->choices[i]);
		if (near.name)
			buffer_printf(out, "; did you mean \"%s\"?", near.name);
		break;
	default:
		buffer_append_text(out, "is not valid UTF-8");
	}
}

bool option_parse(const sb_option *option, sb_slice text, sb_option_value *ret_value, struct buffer *reason)
{
	sb_option_value value = {.is_set = 1};

	if (!parse_by_type(option, text, &value)) {
		append_expected(option, text, reason);
		return false;
	}
	if (!in_range(option, &value)) {
		buffer_append_text(reason, "is out of range: ");
		option_append_range(option, reason);
		return false;
	}
	*ret_value = value;
	return true;
}

/* --- a set of values ------------------------------------------------------------ */

struct parse {
	const struct component *component;
	const char *flag;
	struct option_set *set;
	char *storage_at; /* where the next text goes */
	sb_error *err;
};

static bool has_secrets(const struct component *component)
{
	for (uint64_t i = 0; i < component->option_count; i++)
		if (component->options[i].flags & SB_OPTION_SECRET)
			return true;
	return false;
}

static int32_t refuse_form(const struct parse *p, const char *pair)
{
	if (has_secrets(p->component))
		return error_set(p->err, SB_ERR_CONFIG, "%s for %s: write it as name=value", p->flag, p->component->id);
	return error_set(p->err, SB_ERR_CONFIG, "%s %.100s for %s: write it as name=value", p->flag, pair,
			 p->component->id);
}

static int32_t refuse_unknown(const struct parse *p, sb_slice name)
{
	struct nearest near = {.wanted = name};
	struct buffer known = BUFFER_INIT;
	int32_t status;

	for (uint64_t i = 0; i < p->component->option_count; i++) {
		nearest_offer(&near, p->component->options[i].name);
		buffer_printf(&known, "%s%s", i ? ", " : "", p->component->options[i].name);
	}
	if (!buffer_text(&known))
		status = error_no_memory(p->err);
	else if (near.name)
		status = error_set(p->err, SB_ERR_CONFIG, "%s: %s has no option \"%.*s\"; did you mean \"%s\"?",
				   p->flag, p->component->id, (int)name.len, (const char *)name.ptr, near.name);
	else if (p->component->option_count)
		status = error_set(p->err, SB_ERR_CONFIG, "%s: %s has no option \"%.*s\"; it has: %.700s", p->flag,
				   p->component->id, (int)name.len, (const char *)name.ptr, (char *)known.data);
	else
		status = error_set(p->err, SB_ERR_CONFIG, "%s: %s has no options, so no \"%.*s\"", p->flag,
				   p->component->id, (int)name.len, (const char *)name.ptr);
	buffer_done(&known);
	return status;
}

static int32_t refuse_value(const struct parse *p, const sb_option *option, sb_slice text, struct buffer *reason)
{
	if (!buffer_text(reason))
		return error_no_memory(p->err);
	if (option->flags & SB_OPTION_SECRET)
		return error_set(p->err, SB_ERR_CONFIG, "%s: the value of option \"%s\" of %s %.700s", p->flag,
				 option->name, p->component->id, (char *)reason->data);
	return error_set(p->err, SB_ERR_CONFIG, "%s %s=%.*s: the value of this option of %s %.700s", p->flag,
			 option->name, (int)(text.len < 100 ? text.len : 100), (const char *)text.ptr, p->component->id,
			 (char *)reason->data);
}

static bool find_option(const struct component *component, sb_slice name, uint64_t *ret_index)
{
	for (uint64_t i = 0; i < component->option_count; i++)
		if (slice_equal_text(name, component->options[i].name)) {
			*ret_index = i;
			return true;
		}
	return false;
}

static sb_slice store_text(struct parse *p, sb_slice text)
{
	char *at = p->storage_at;

	memcpy(at, text.ptr, text.len);
	at[text.len] = 0;
	p->storage_at += text.len + 1;
	return slice_of(at, text.len);
}

static int32_t take_value(struct parse *p, uint64_t index, sb_slice text, bool given)
{
	const sb_option *option = &p->component->options[index];
	struct buffer reason = BUFFER_INIT;
	int32_t status = SB_OK;

	if (option_parse(option, text, &p->set->values[index], &reason))
		p->set->values[index].is_given = given;
	else
		status = refuse_value(p, option, text, &reason);
	buffer_done(&reason);
	return status;
}

static int32_t take_defaults(struct parse *p)
{
	for (uint64_t i = 0; i < p->component->option_count; i++)
		if (p->component->options[i].default_text)
			TRY(take_value(p, i, slice_of_text(p->component->options[i].default_text), false));
	return SB_OK;
}

static int32_t take_pair(struct parse *p, const char *pair)
{
	const char *equals = strchr(pair, '=');
	sb_slice name;
	uint64_t index;

	if (!equals || equals == pair)
		return refuse_form(p, pair);
	name = slice_of(pair, (size_t)(equals - pair));
	if (name.len > 100)
		name.len = 100; /* no option is called so; enough for the sentence */
	if (!find_option(p->component, name, &index))
		return refuse_unknown(p, name);
	if (p->set->values[index].is_given)
		return error_set(p->err, SB_ERR_CONFIG, "%s: option \"%s\" of %s is given twice: keep one", p->flag,
				 p->component->options[index].name, p->component->id);
	return take_value(p, index, store_text(p, slice_of_text(equals + 1)), true);
}

static int32_t allocate_set(const struct component *component, const char *const *pairs, uint64_t pair_count,
			    struct option_set *set, sb_error *err)
{
	size_t size = 1;

	for (uint64_t i = 0; i < pair_count; i++)
		size += strlen(pairs[i]) + 1;
	set->count = component->option_count;
	set->values = calloc(component->option_count + 1, sizeof(*set->values));
	set->storage = malloc(size);
	return set->values && set->storage ? SB_OK : error_no_memory(err);
}

int32_t option_set_parse(const struct component *component, const char *flag, const char *const *pairs,
			 uint64_t pair_count, struct option_set *ret_set, sb_error *err)
{
	AUTO(option_set_done) struct option_set set = {0};
	struct parse p = {.component = component, .flag = flag, .set = &set, .err = err};

	TRY(allocate_set(component, pairs, pair_count, &set, err));
	p.storage_at = set.storage;
	TRY(take_defaults(&p));
	for (uint64_t i = 0; i < pair_count; i++)
		TRY(take_pair(&p, pairs[i]));
	*ret_set = set;
	set = (struct option_set){0};
	return SB_OK;
}

void option_set_done(struct option_set *set)
{
	free(set->values);
	free(set->storage);
	*set = (struct option_set){0};
}
