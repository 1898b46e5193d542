/* What the commands that look at things share: "sbhost plugin …", "checkpoint …" and "state …" are tables of commands; one
 * parser knows all their options, and one struct carries what was typed and what every command works with.
 *
 * A command returns an exit status, and has printed its sentence by then. Data goes to standard output through
 * tool->out, which is written in large pieces; progress and sentences go to standard error. */
#ifndef CLI_TOOL_H
#define CLI_TOOL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/clock.h"
#include "base/log.h"
#include "checkpoint/contents.h"
#include "checkpoint/store.h"
#include "checkpoint/writer.h"
#include "cli/command.h"

/* The options of all commands; a command says which of them it has. */
enum tool_option {
	TOOL_JSON = 0x100,
	TOOL_PLUGIN_DIR,
	TOOL_SOURCE_PLUGIN,
	TOOL_CHECKPOINT_DIR,
	TOOL_CHECKPOINT,
	TOOL_STATE,
	TOOL_PREFIX,
	TOOL_LIMIT,
	TOOL_VERIFY,
	TOOL_ALL,
	TOOL_SAMPLES,
	TOOL_EXIT_CODE,
	TOOL_MEMORY,
	TOOL_COMPRESSION,
	TOOL_KEEP,
	TOOL_DRY_RUN,
	TOOL_FILTER,
	TOOL_REPRODUCE,
	TOOL_SEED,
	TOOL_THOROUGH,
	TOOL_TIMEOUT,
	TOOL_OPT,
	TOOL_KIND,
	TOOL_LANG,
	TOOL_DIR,
	TOOL_OPTIONS_END,
};

#define TOOL_OPTION(option) (UINT32_C(1) << ((option)-TOOL_JSON))
/* Whatever reads the content of a checkpoint may need the plugin that wrote its native files. */
#define TOOL_READS_CONTENT                                                                                             \
	(TOOL_OPTION(TOOL_CHECKPOINT_DIR) | TOOL_OPTION(TOOL_PLUGIN_DIR) | TOOL_OPTION(TOOL_SOURCE_PLUGIN) |           \
	 TOOL_OPTION(TOOL_JSON))

#define TOOL_WORDS_MAX 2
#define TOOL_OPTS_MAX 32

struct tool;

struct tool_command {
	const char *name;
	const char *words; /* as help shows them: "ID|latest FILE" */
	unsigned words_min, words_max;
	uint32_t options; /* TOOL_OPTION bits */
	const char *summary; /* for the list of commands */
	const char *doc; /* the rest, for its own help; may be NULL */
	int (*run)(struct tool *tool);
};

struct tool {
	const char *name; /* "sbhost checkpoint list" */
	const struct tool_command *command;
	/* What was typed. */
	const char *words[TOOL_WORDS_MAX];
	unsigned word_count;
	const char *checkpoint_dir, *plugin_dir;
	const char *checkpoint_id, *source_plugin, *state, *prefix; /* NULL: not given */
	uint64_t limit, samples, keep;
	int64_t memory_bytes;
	enum checkpoint_codec codec;
	const char *filter, *reproduce; /* NULL: not given */
	const char *kind, *lang; /* one of those that --kind and --lang know */
	const char *dir; /* NULL: not given */
	const char *opts[TOOL_OPTS_MAX]; /* "name=value", for a component */
	uint64_t opt_count;
	uint64_t seed;
	bool seed_given, thorough;
	int64_t timeout_ms; /* 0: not given */
	bool json, verify, all, exit_code, dry_run;
	/* What it works with. */
	struct io io;
	struct clock clock;
	struct log log;
	struct buffer out;
	bool out_is_terminal, err_is_terminal;
	bool progress_shown;
	struct checkpoint_watch watch; /* shows how far a verification is */
	const char *checked; /* what is being verified */
	uint64_t checked_bytes;
	int64_t progress_ns; /* when it was last drawn */
	char *default_plugin_dir;
	sb_error err; /* of the parser, and at any command's disposal */
	int status; /* of the parser */
};

/* argv[0] is the group's name ("checkpoint"). */
int tool_main(const char *group, const struct tool_command *commands, size_t count, int argc, char **argv);

/* tool_arguments.c: fills in what was typed behind the command's name. Help ends the process, as argp does. */
int tool_arguments_parse(struct tool *tool, int argc, char **argv);

/* --- tool.c: printing, failing ---------------------------------------------------- */

/* The exit status that an error of reading stands for. */
int tool_status_of(const sb_error *err);
/* Takes progress off the terminal, says err's sentence, returns status. */
int tool_fail(struct tool *tool, int status, const sb_error *err);
/* A sentence that is no failure, on standard error. */
void tool_note(struct tool *tool, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Writes tool->out when it has grown large, so that what streams needs a fixed amount of memory. */
int32_t tool_print_if_full(struct tool *tool, sb_error *err);
/* Writes all of it. */
int tool_print(struct tool *tool);
/* On a terminal: how far it is; total 0 when nobody knows. Call as often as you like. */
void tool_progress(struct tool *tool, const char *doing, uint64_t done, uint64_t total);
void tool_progress_clear(struct tool *tool);

/* --- tool_source.c: opening checkpoints -------------------------------------------- */

/* Names what is verified from here on, for progress. Borrowed. */
void tool_begin_check(struct tool *tool, const char *what);

/* The content of one checkpoint, being read. */
struct tool_source {
	struct checkpoint_contents *contents;
	const struct checkpoint_meta *meta; /* the contents' own */
	struct checkpoint_totals totals; /* as its trailer says */
	uint64_t read; /* entries so far */
};

/* An exit status; to look takes no lock. */
int tool_open_store(struct tool *tool, struct checkpoint_store **ret_store);
/* id NULL or "latest": the newest whose digest is right. */
int tool_source_open(struct tool *tool, struct checkpoint_store *store, const char *id, struct tool_source *ret_source);
/* Takes the reader over. store is where parents and shared files are found. */
int tool_source_open_reader(struct tool *tool, struct checkpoint_store *store, struct checkpoint_reader *reader,
			    struct tool_source *ret_source);
int32_t tool_source_next(struct tool *tool, struct tool_source *source, struct checkpoint_item *ret_item,
			 sb_error *err);
void tool_source_close(struct tool_source *source);
/* The state called tool->state, or NULL when none was named; SB_ERR_CONFIG with the nearest name when there is none. */
int32_t tool_find_state(const struct tool *tool, const struct checkpoint_meta *meta,
			const struct schema_state **ret_state, sb_error *err);

static inline bool tool_is_latest(const char *id)
{
	return !id || (id[0] == 'l' && __builtin_strcmp(id, "latest") == 0);
}

#endif
