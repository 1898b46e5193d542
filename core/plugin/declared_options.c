/* Options of a component: the declaration must make sense before any user's value is held
 * against it. A default goes through the same parser as what users write. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "plugin/plugin_private.h"

static int32_t check_choices(const struct declaration *d, const sb_option *option)
{
	if (!option->choices || !option->choices[0])
		return declaration_refuse(d, SB_ERR_INVALID, "option \"%s\" is a choice without choices", option->name);
	for (uint64_t i = 0; option->choices[i]; i++) {
		if (i == COUNT_MAX)
			return declaration_refuse(d, SB_ERR_INVALID, "option \"%s\" has more than %u choices",
						  option->name, COUNT_MAX);
		TRY(declaration_check_text(d, option->name, "choices", option->choices[i]));
		if (!option->choices[i][0])
			return declaration_refuse(d, SB_ERR_INVALID, "option \"%s\" has an empty choice", option->name);
		for (uint64_t j = 0; j < i; j++)
			if (strcmp(option->choices[i], option->choices[j]) == 0)
				return declaration_refuse(d, SB_ERR_INVALID,
							  "option \"%s\" has the choice \"%.64s\" twice", option->name,
							  option->choices[j]);
	}
	return SB_OK;
}

static int32_t check_limits(const struct declaration *d, const sb_option *option)
{
	bool of_f64 = option->type == SB_OPTION_F64;

	if (of_f64 ? !(option->min_f64 <= option->max_f64) : option->min > option->max)
		return declaration_refuse(d, SB_ERR_INVALID,
					  "the lower limit of option \"%s\" is above its upper limit", option->name);
	return SB_OK;
}

/* A secret has no business in a binary, and what it would be must not be shown. */
static int32_t check_default(const struct declaration *d, const sb_option *option)
{
	struct buffer reason = BUFFER_INIT;
	sb_option_value ignored;
	int32_t status = SB_OK;

	if (!option->default_text)
		return SB_OK;
	TRY(declaration_check_text(d, option->name, "default_text", option->default_text));
	if (!option_parse(option, slice_of_text(option->default_text), &ignored, &reason))
		status = buffer_text(&reason) ? declaration_refuse(d, SB_ERR_INVALID, "the default of option \"%s\" %s",
								   option->name, (const char *)reason.data)
					      : declaration_no_memory(d);
	buffer_done(&reason);
	return status;
}

static int32_t check_option(const struct declaration *d, sb_option *option)
{
	if (!option->name)
		return declaration_refuse(d, SB_ERR_INVALID, "an option has no name (NULL)");
	if (!name_is_lower(option->name, "_"))
		return declaration_refuse(d, SB_ERR_INVALID, "option name \"%.64s\" is not of the form [a-z][a-z0-9_]*",
					  option->name);
	if (option->type < SB_OPTION_BOOL || option->type > SB_OPTION_CHOICE)
		return declaration_refuse(d, d->newer ? SB_ERR_INCOMPATIBLE : SB_ERR_INVALID,
					  "option \"%s\" has type %u, which ABI %u.%u does not know", option->name,
					  option->type, SB_ABI_MAJOR, SB_ABI_MINOR);
	TRY(declaration_check_flags(d, "option", option->name, &option->flags, SB_OPTION_SECRET));
	TRY(declaration_check_doc(d, option->name, &option->doc));
	if (option->unit)
		TRY(declaration_check_text(d, option->name, "unit", option->unit));
	if (option->type == SB_OPTION_CHOICE)
		TRY(check_choices(d, option));
	TRY(check_limits(d, option));
	return check_default(d, option);
}

int32_t declare_options(const struct declaration *d, const sb_component *given, struct component *component)
{
	void *array;

	TRY(declaration_copy(d, "option", (const void *const *)given->options, given->option_count, V1_SIZE_OPTION,
			     sizeof(sb_option), &array));
	component->options = array;
	component->option_count = given->option_count;
	for (uint64_t i = 0; i < component->option_count; i++) {
		TRY(check_option(d, &component->options[i]));
		for (uint64_t j = 0; j < i; j++)
			if (strcmp(component->options[j].name, component->options[i].name) == 0)
				return declaration_refuse(d, SB_ERR_INVALID, "two options have the name \"%s\"",
							  component->options[j].name);
	}
	return SB_OK;
}
