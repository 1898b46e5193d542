/* What a job is told to do: the command line, parsed and with its defaults in place. Strings are borrowed from argv. */
#ifndef HOST_CONFIG_H
#define HOST_CONFIG_H

#include "base/clock.h"
#include "base/log.h"
#include "checkpoint/writer.h"
#include "host/sandbox.h"
#include "io/io.h"
#include "stream/source.h"

struct job_input {
	enum source_kind kind;
	const char *path; /* SOURCE_FILE */
	struct generator_config generator;
};

enum restore_mode { RESTORE_LATEST, RESTORE_NONE, RESTORE_ID };

struct job_config {
	struct io *io;
	struct clock *clock;
	struct log *log;
	const char *plugin_dir;
	const char *backend; /* path or name */
	const char *const *backend_options;
	uint64_t backend_option_count;
	const char *operator;
	const char *const *operator_options;
	uint64_t operator_option_count;
	struct job_input *inputs;
	uint64_t input_count;
	enum input_format format;
	const char *const *maps;
	uint64_t map_count;
	char delimiter;
	bool has_header;
	const char *output;
	const char *dead_letters;
	bool stop_on_bad_record;
	const char *state_dir;
	const char *checkpoint_dir;
	int64_t checkpoint_interval_ms; /* 0: only the final one */
	uint64_t max_failed_checkpoints; /* in a row */
	enum checkpoint_codec codec;
	uint64_t keep;
	bool full_checkpoints; /* --checkpoint-mode full */
	bool trust_files; /* --restore-verify fast */
	const char *source_plugin; /* path or name; NULL: by the name in the checkpoint */
	enum restore_mode restore;
	const char *restore_id;
	bool allow_fresh_start;
	int64_t ttl_ms; /* 0: off */
	bool event_time;
	uint32_t parallelism;
	uint64_t cache_bytes;
	uint64_t max_events; /* 0: no limit */
	uint64_t metrics_every;
	enum sandbox_mode sandbox;
	int64_t plugin_timeout_ms; /* 0: a plugin may take any time */
	void (*give_up)(void); /* ends the process at once, as one that failed; with plugin_timeout_ms */
	const char *manifest; /* of the plugins that may be loaded; NULL: all */
	const char *manifest_key;
	bool profile; /* tell at the end where the time went */
	bool show_progress;
	bool progress_bar; /* standard error is a terminal */
};

#endif
