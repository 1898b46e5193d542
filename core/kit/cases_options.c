/* Options: whatever value the host lets pass, a component opens with it and works, or refuses it in a sentence. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/number.h"
#include "base/slice.h"
#include "kit/subject.h"

#define VALUES_MAX 64 /* of a choice; the rest is left out */
#define VALUE_BYTES 5000
/* Sizes and counts beyond these could take all memory there is: the machine that checks must survive. */
#define SIZE_BYTES_MAX (INT64_C(1) << 30)
#define COUNT_MAX (INT64_C(1) << 20)

struct values {
	char texts[VALUES_MAX][VALUE_BYTES];
	unsigned count;
};

static void add_i64(struct values *values, int64_t value, const char *unit)
{
	snprintf(values->texts[values->count++], VALUE_BYTES, "%" PRId64 "%s", value, unit);
}

static void add_f64(struct values *values, double value)
{
	struct buffer text = BUFFER_INIT;

	number_append_f64(&text, value);
	if (buffer_text(&text))
		snprintf(values->texts[values->count++], VALUE_BYTES, "%s", buffer_text(&text));
	buffer_done(&text);
}

static void add_text(struct values *values, const char *text)
{
	snprintf(values->texts[values->count++], VALUE_BYTES, "%s", text);
}

static void add_texts(struct values *values)
{
	char *text = values->texts[values->count++];

	memset(text, 'x', VALUE_BYTES - 1);
	text[VALUE_BYTES - 1] = 0;
	add_text(values, "");
	add_text(values, "/nonexistent/\xc3\xa9");
	add_text(values, "%s%n%s");
}

static int64_t highest(const sb_option *option)
{
	const bool limited = option->min || option->max;
	const int64_t bound = option->type == SB_OPTION_SIZE  ? SIZE_BYTES_MAX
			      : option->type == SB_OPTION_I64 ? COUNT_MAX
							      : INT64_MAX / 2;

	return limited && option->max < bound ? option->max : bound;
}

/* The limits of an option, and all choices. */
static void list_values(const sb_option *option, struct values *values)
{
	const char *unit = option->type == SB_OPTION_DURATION ? "ms" : "";

	values->count = 0;
	switch (option->type) {
	case SB_OPTION_BOOL:
		add_text(values, "true");
		add_text(values, "false");
		break;
	case SB_OPTION_CHOICE:
		for (unsigned i = 0; option->choices[i] && values->count < VALUES_MAX; i++)
			add_text(values, option->choices[i]);
		break;
	case SB_OPTION_F64:
		add_f64(values, option->min_f64);
		add_f64(values, option->max_f64);
		break;
	case SB_OPTION_STRING:
		add_texts(values);
		break;
	default:
		add_i64(values, option->min, unit);
		add_i64(values, highest(option), unit);
	}
}

/* What the user gave is what makes it run at all: it stays. */
static bool is_given(const struct trial *trial, const char *name)
{
	const size_t len = strlen(name);

	for (uint64_t i = 0; i < trial->option_count; i++)
		if (strncmp(trial->options[i], name, len) == 0 && trial->options[i][len] == '=')
			return true;
	return false;
}

static void open_with(struct subject *s, const char *pair)
{
	const uint64_t given = s->trial->option_count;
	const char **pairs = malloc((given + 1) * sizeof(*pairs));
	sb_error err = ERROR_INIT;
	int32_t status;

	CHECK(s, pairs, "out of memory");
	for (uint64_t i = 0; i < given; i++)
		pairs[i] = s->trial->options[i];
	pairs[given] = pair;
	option_set_done(&s->options);
	status = option_set_parse(s->component, "--opt", pairs, given + 1, &s->options, &err);
	free(pairs);
	if (status != SB_OK)
		FAIL(s, "the host itself refuses what should be allowed: %s", err.message);
}

static void try_value(struct subject *s, const sb_option *option, const char *text)
{
	char pair[VALUE_BYTES + 100];
	sb_error err = ERROR_INIT;
	uint8_t key[64];
	int32_t status;

	snprintf(pair, sizeof(pair), "%s=%s", option->name, text);
	open_with(s, pair);
	snprintf(s->instance_dir, sizeof(s->instance_dir), "%.3900s/instance-%u", s->dir, s->opened++);
	if (io_mkdir_p(&s->io, s->instance_dir, &err) != SB_OK)
		FAIL(s, "%s", err.message);
	status = subject_open_at(s, s->instance_dir, 0, &err);
	s->keeps_dir = false;
	if (status != SB_OK) {
		CHECK(s, strstr(err.message, "did not say why") == NULL, "open with %.200s: %s", pair, err.message);
		CHECK(s, err.code != SB_ERR_INTERNAL && err.code != SB_ERR_INVALID,
		      "open with %.200s fails as if it were a bug (status %d): %s", pair, err.code, err.message);
		return;
	}
	subject_put(s, key_of(key, 1, "key"), slice_of_text("value"), SB_NO_EXPIRY);
	subject_check_all(s);
	subject_close(s);
	model_clear(&s->model);
}

static void restore_options(struct subject *s)
{
	sb_error err = ERROR_INIT;

	option_set_done(&s->options);
	if (option_set_parse(s->component, "--opt", s->trial->options, s->trial->option_count, &s->options, &err) !=
	    SB_OK)
		FAIL(s, "%s", err.message);
	subject_open(s);
}

void case_values_within_limits_open_or_are_refused(struct subject *s)
{
	struct values *values = malloc(sizeof(*values));

	CHECK(s, values, "out of memory");
	subject_close(s);
	for (uint64_t i = 0; i < s->component->option_count; i++) {
		if (is_given(s->trial, s->component->options[i].name))
			continue;
		list_values(&s->component->options[i], values);
		for (unsigned v = 0; v < values->count; v++)
			try_value(s, &s->component->options[i], values->texts[v]);
	}
	free(values);
	restore_options(s);
}
