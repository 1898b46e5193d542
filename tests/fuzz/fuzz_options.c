/* libFuzzer on options. The first byte chooses: values of the options of "sbhost run", or "name=value" pairs of a plugin that has an option of every
 * type, separated by zeros. Either is taken, or refused in a sentence. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "cli/run_options.h"
#include "plugin/options.h"
#include "plugin/plugin.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const choices[] = {"one", "two", NULL};

static const sb_option declared[] = {
	{.struct_size = sizeof(sb_option), .type = SB_OPTION_BOOL, .name = "b", .default_text = "true"},
	{.struct_size = sizeof(sb_option), .type = SB_OPTION_I64, .name = "i", .min = -5, .max = INT64_MAX},
	{.struct_size = sizeof(sb_option), .type = SB_OPTION_F64, .name = "f", .min_f64 = -1, .max_f64 = 1e300},
	{.struct_size = sizeof(sb_option), .type = SB_OPTION_SIZE, .name = "s", .min = 1, .max = INT64_MAX},
	{.struct_size = sizeof(sb_option), .type = SB_OPTION_DURATION, .name = "d"},
	{.struct_size = sizeof(sb_option), .type = SB_OPTION_STRING, .flags = SB_OPTION_SECRET, .name = "t"},
	{.struct_size = sizeof(sb_option), .type = SB_OPTION_CHOICE, .name = "c", .choices = choices},
};
#define OPTIONS (sizeof(declared) / sizeof(declared[0]))

static void try_pairs(char *text, size_t len)
{
	sb_option options[OPTIONS];
	const struct component component = {
		.kind = SB_KIND_BACKEND, .id = "fuzz", .options = options, .option_count = OPTIONS};
	const char *pairs[16];
	struct option_set set;
	sb_error err = ERROR_INIT;
	uint64_t count = 0;

	memcpy(options, declared, sizeof(options));
	for (char *at = text; at < text + len && count < 16; at += strlen(at) + 1)
		pairs[count++] = at;
	if (option_set_parse(&component, "--backend-opt", pairs, count, &set, &err) == SB_OK)
		option_set_done(&set);
	else if (!err.message[0])
		abort();
}

static void try_run_option(uint8_t which, const char *value)
{
	static const char *const names[] = {
		"backend-opt",
		"input",
		"format",
		"map",
		"delimiter",
		"output",
		"on-error",
		"keep",
		"restore",
		"ttl",
		"ttl-clock",
		"checkpoint-interval",
		"parallelism",
		"sandbox",
		"cache-size",
		"max-events",
		"checkpoint-compression",
		"max-failed-checkpoints",
		"log-level",
		"metrics-every",
	};
	char program[] = "sbhost run", argument[4200];
	char *argv[] = {program, argument, NULL};
	struct run_options options;
	sb_error err = ERROR_INIT;

	snprintf(argument, sizeof(argument), "--%s=%s", names[which % (sizeof(names) / sizeof(names[0]))], value);
	if (run_options_parse(2, argv, &options, &err) != SB_OK && !err.message[0])
		abort();
	run_options_done(&options);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 2);

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = text[size + 1] = 0;
	if (size > 2 && text[0] & 1)
		try_run_option((uint8_t)text[1], text + 2);
	else if (size > 1)
		try_pairs(text + 1, size - 1);
	free(text);
	return 0;
}
