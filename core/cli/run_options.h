/* The command line of "sbhost run": argv in, a job_config with all its defaults out. */
#ifndef CLI_RUN_OPTIONS_H
#define CLI_RUN_OPTIONS_H

#include "host/config.h"

/* A growing list of borrowed texts. */
struct text_list {
	const char **items;
	uint64_t count;
};

struct run_options {
	struct job_config job;
	struct text_list backend_options, operator_options, maps, inputs;
	struct job_input *inputs_parsed;
	char *plugin_dir; /* the default one, owned */
	struct log log;
	struct clock clock;
	struct io io;
	const char *output; /* NULL: not given */
	bool has_metrics_every;
	int progress; /* 0 auto, 1 on, 2 off */
	sb_error *err;
	int32_t status;
};

/* Prints help or a usage error and ends the process by itself where the user asked for it or mistyped an option (status 2), as argp does.
 * A value that does not fit is SB_ERR_CONFIG. */
int32_t run_options_parse(int argc, char **argv, struct run_options *ret_options, sb_error *err);
void run_options_done(struct run_options *options);

#endif
