/* See log.h. */
#include "base/log.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/escape.h"
#include "base/json_write.h"
#include "base/number.h"
#include "base/slice.h"

static const struct level {
	const char *name;
	const char *label; /* five columns */
	const char *color;
} levels[] = {
	{"off", "     ", ""},	       {"error", "ERROR", "\033[31m"}, {"warn", "WARN ", "\033[33m"},
	{"info", "INFO ", "\033[32m"}, {"debug", "DEBUG", "\033[36m"}, {"trace", "TRACE", "\033[90m"},
};

const char *log_level_name(int32_t level)
{
	return level >= 0 && level <= SB_LOG_TRACE ? levels[level].name : "unknown";
}

int32_t log_level_parse(const char *name)
{
	for (int32_t i = 0; i <= SB_LOG_TRACE; i++)
		if (strcmp(name, levels[i].name) == 0)
			return i;
	return -1;
}

sb_value log_text_value(const char *text)
{
	return log_slice_value(text ? slice_of_text(text) : (sb_slice){0});
}

sb_value log_slice_value(sb_slice slice)
{
	return (sb_value){.as = {.ptr = slice.ptr}, .len = slice.len};
}

/* Quotes are needed where a reader who splits at blanks would go wrong. */
static bool is_plain(sb_slice text)
{
	if (text.len == 0)
		return false;
	for (uint64_t i = 0; i < text.len; i++)
		if (text.ptr[i] <= ' ' || text.ptr[i] == '"' || text.ptr[i] == '=' || text.ptr[i] >= 0x7f)
			return false;
	return true;
}

/* JSON has no number for NaN and the infinities: they become strings, so that the line stays valid. */
static void append_f64(struct buffer *line, double value, int decimals, bool json)
{
	const bool quoted = json && !isfinite(value);

	if (quoted)
		buffer_append_byte(line, '"');
	if (decimals >= 0)
		number_append_f64_fixed(line, value, decimals);
	else
		number_append_f64(line, value);
	if (quoted)
		buffer_append_byte(line, '"');
}

static void append_value(struct buffer *line, const sb_log_field *field, bool json)
{
	sb_slice text = slice_of(field->value.as.ptr, field->value.len);

	if (field->value.len == SB_NULL) {
		buffer_append_text(line, "null");
		return;
	}
	switch (field->type) {
	case SB_TYPE_I64:
		number_append_i64(line, field->value.as.i64);
		break;
	case SB_TYPE_F64:
		append_f64(line, field->value.as.f64, field->decimals, json);
		break;
	case SB_TYPE_BOOL:
		buffer_append_text(line, field->value.as.i64 ? "true" : "false");
		break;
	case SB_TYPE_TIME:
		if (json)
			buffer_append_byte(line, '"');
		time_append_rfc3339_ms(line, field->value.as.i64);
		if (json)
			buffer_append_byte(line, '"');
		break;
	default:
		if (!json && is_plain(text))
			buffer_append_slice(line, text);
		else
			json_append_string(line, text);
	}
}

/* Messages are ours or a plugin's constants, but may hold what a plugin calls itself. */
static void append_visible(struct buffer *line, const char *text)
{
	escape_append_visible(line, slice_of_text(text), false);
}

static void append_pairs(struct buffer *line, const sb_log_field *fields, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++) {
		buffer_append_byte(line, ' ');
		append_visible(line, fields[i].name);
		buffer_append_byte(line, '=');
		append_value(line, &fields[i], false);
	}
}

static void format_text(struct buffer *line, const struct log *log, int32_t level, const char *component,
			const char *message, const sb_log_field *fields, uint64_t count)
{
	if (log->color)
		buffer_append_text(line, levels[level].color);
	buffer_append_text(line, levels[level].label);
	if (log->color)
		buffer_append_text(line, "\033[0m");
	buffer_append_byte(line, ' ');
	append_visible(line, message);
	if (count || (component && level != SB_LOG_INFO))
		buffer_append_byte(line, ' ');
	append_pairs(line, fields, count);
	if (component && level != SB_LOG_INFO) {
		buffer_append_text(line, " component=");
		append_visible(line, component);
	}
}

static void format_logfmt(struct buffer *line, const struct log *log, int32_t level, const char *component,
			  const char *message, const sb_log_field *fields, uint64_t count)
{
	buffer_append_text(line, "time=");
	time_append_rfc3339(line, clock_wall_ns(log->clock), 3);
	buffer_printf(line, " level=%s msg=", levels[level].name);
	json_append_string(line, slice_of_text(message));
	append_pairs(line, fields, count);
	if (component) {
		buffer_append_text(line, " component=");
		append_visible(line, component);
	}
}

static void format_json(struct buffer *line, const struct log *log, int32_t level, const char *component,
			const char *message, const sb_log_field *fields, uint64_t count)
{
	buffer_append_text(line, "{\"time\":\"");
	time_append_rfc3339(line, clock_wall_ns(log->clock), 3);
	buffer_printf(line, "\",\"level\":\"%s\",\"msg\":", levels[level].name);
	json_append_string(line, slice_of_text(message));
	for (uint64_t i = 0; i < count; i++) {
		buffer_append_byte(line, ',');
		json_append_string(line, slice_of_text(fields[i].name));
		buffer_append_byte(line, ':');
		append_value(line, &fields[i], true);
	}
	if (component) {
		buffer_append_text(line, ",\"component\":");
		json_append_string(line, slice_of_text(component));
	}
	buffer_append_byte(line, '}');
}

void log_write(const struct log *log, int32_t level, const char *component, const char *message,
	       const sb_log_field *fields, uint64_t field_count)
{
	struct buffer line = BUFFER_INIT;
	ssize_t ignored;

	if (!log_enabled(log, level) || level < SB_LOG_ERROR || level > SB_LOG_TRACE)
		return;
	switch (log->format) {
	case LOG_TEXT:
		format_text(&line, log, level, component, message, fields, field_count);
		break;
	case LOG_LOGFMT:
		format_logfmt(&line, log, level, component, message, fields, field_count);
		break;
	case LOG_JSON:
		format_json(&line, log, level, component, message, fields, field_count);
		break;
	}
	buffer_append_byte(&line, '\n');
	if (!line.failed)
		ignored = write(log->fd, line.data, line.len);
	(void)ignored;
	buffer_done(&line);
}
