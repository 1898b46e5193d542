/* "sbhost state export": the state that a checkpoint holds, one JSON object a line, without any plugin. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/json_write.h"
#include "base/number.h"
#include "base/slice.h"
#include "checkpoint/store.h"
#include "cli/command.h"
#include "state/composed_key.h"

#define PRINT_BYTES ((size_t)256 << 10)

struct state_arguments {
	const char *dir;
	const char *id; /* NULL: the newest that verifies */
};

static void print_help(void)
{
	puts("Usage: sbhost state export [--checkpoint-dir DIR] [--checkpoint ID]\n\n"
	     "Prints each entry of the newest valid checkpoint (or of the one named) as a JSON object on a line of\n"
	     "its own: state, key (bytes that are no printable ASCII as \\xNN), sub_key for raw states, value, and\n"
	     "expiry_ms (milliseconds since 1970, or null).");
}

static int parse(int argc, char **argv, struct state_arguments *ret)
{
	for (int i = 2; i < argc; i++) {
		if (strcmp(argv[i], "--checkpoint-dir") == 0 && i + 1 < argc)
			ret->dir = argv[++i];
		else if (strcmp(argv[i], "--checkpoint") == 0 && i + 1 < argc)
			ret->id = argv[++i];
		else
			return cli_usage("sbhost state", "unexpected argument", argv[i]);
	}
	return EXIT_DONE;
}

static void append_key(struct buffer *line, const char *name, sb_slice bytes)
{
	struct buffer escaped = BUFFER_INIT;

	json_append_escaped_bytes(&escaped, bytes);
	if (escaped.failed)
		line->failed = true;
	buffer_printf(line, ",\"%s\":", name);
	json_append_string(line, buffer_slice(&escaped));
	buffer_done(&escaped);
}

static int32_t append_keys(struct buffer *line, const struct schema_state *state, sb_slice user_part, sb_error *err)
{
	struct buffer key = BUFFER_INIT;
	sb_slice sub_key;
	int32_t status;

	if (state->kind == SB_STATE_STRUCT) {
		append_key(line, "key", user_part);
		return SB_OK;
	}
	status = composed_split_raw(user_part, &key, &sub_key, err);
	if (status == SB_OK) {
		append_key(line, "key", buffer_slice(&key));
		append_key(line, "sub_key", sub_key);
	}
	buffer_done(&key);
	return status;
}

static int32_t append_entry(struct buffer *line, const struct schema *schema, const struct checkpoint_item *item,
			    sb_error *err)
{
	const struct schema_state *state = schema_find_id(schema, item->state_id);

	if (!state)
		return error_set(err, SB_ERR_CORRUPT,
				 "an entry belongs to state %u, which the checkpoint does not declare", item->state_id);
	buffer_append_text(line, "{\"state\":");
	json_append_string(line, slice_of_text(state->name));
	TRY(append_keys(line, state, item->user_part, err));
	buffer_append_text(line, ",\"value\":");
	TRY(schema_value_to_json(state, item->value, line, err));
	buffer_append_text(line, ",\"expiry_ms\":");
	if (item->expiry_ms == SB_NO_EXPIRY)
		buffer_append_text(line, "null");
	else
		number_append_i64(line, item->expiry_ms);
	buffer_append_text(line, "}\n");
	return buffer_check(line, err);
}

static int32_t print_lines(struct io *io, struct buffer *lines, sb_error *err)
{
	TRY(io_write_all(io, STDOUT_FILENO, lines->data, lines->len, "standard output", err));
	buffer_clear(lines);
	return SB_OK;
}

static int32_t export_entries(struct io *io, struct checkpoint_reader *reader, struct buffer *lines, sb_error *err)
{
	const struct schema *schema = &checkpoint_reader_meta(reader)->schema;
	struct checkpoint_item item;

	do {
		TRY(checkpoint_reader_next(reader, &item, err));
		if (item.kind == ITEM_ENTRY)
			TRY(append_entry(lines, schema, &item, err));
		if (lines->len >= PRINT_BYTES)
			TRY(print_lines(io, lines, err));
	} while (item.kind != ITEM_END);
	return print_lines(io, lines, err);
}

/* Tools look only: no lock, no quarantine, and the job may be running. */
static int export(const struct state_arguments *arguments)
{
	struct checkpoint_store *store = NULL;
	struct checkpoint_reader *reader = NULL;
	struct buffer lines = BUFFER_INIT;
	sb_error err = ERROR_INIT;
	uint64_t damaged = 0;
	struct clock clock;
	struct log log = {.fd = STDERR_FILENO, .level = SB_LOG_WARN, .clock = &clock};
	struct io io;
	int status = EXIT_DONE;

	clock_init_system(&clock);
	io_init_system(&io);
	if (checkpoint_store_open(&io, &log, arguments->dir, false, false, &store, &err) != SB_OK)
		status = cli_fail(EXIT_BAD_CONFIG, &err);
	else if (checkpoint_store_open_newest(store, arguments->id, false, &reader, &damaged, &err) != SB_OK)
		status = cli_fail(EXIT_NO_CHECKPOINT, &err);
	else if (export_entries(&io, reader, &lines, &err) != SB_OK)
		status = cli_fail(EXIT_RUN_FAILED, &err);
	buffer_done(&lines);
	checkpoint_reader_close(reader);
	checkpoint_store_close(store);
	return status;
}

int command_state(int argc, char **argv)
{
	struct state_arguments arguments = {.dir = "./checkpoints"};
	int status;

	if (argc >= 2 && strcmp(argv[1], "--help") == 0) {
		print_help();
		return EXIT_DONE;
	}
	if (argc < 2 || strcmp(argv[1], "export") != 0)
		return cli_usage("sbhost state", argc < 2 ? "export?" : "there is no command",
				 argc < 2 ? NULL : argv[1]);
	status = parse(argc, argv, &arguments);
	return status == EXIT_DONE ? export(&arguments) : status;
}
