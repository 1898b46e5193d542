/* "sbhost run": options, then the job, then its end as an exit status. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"
#include "cli/command.h"
#include "cli/run_options.h"
#include "host/job.h"

static int exit_status_of(enum job_end end)
{
	static const int statuses[] = {
		[JOB_DONE] = EXIT_DONE,
		[JOB_FAILED] = EXIT_RUN_FAILED,
		[JOB_BAD_CONFIG] = EXIT_BAD_CONFIG,
		[JOB_PLUGIN_REFUSED] = EXIT_PLUGIN_REFUSED,
		[JOB_NO_CHECKPOINT] = EXIT_NO_CHECKPOINT,
		[JOB_DIRECTORY_IN_USE] = EXIT_IN_USE,
	};

	return statuses[end];
}

/* Before any thread exists, so that all of them inherit it; the job takes the signals through a descriptor. */
static void block_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

/* A plugin that calls exit() would end the job with a status of its own choosing, in silence; 0 would mean that all is done. */
static void refuse_exit(int status, void *context)
{
	bool *has_ended = context;

	if (!*has_ended)
		_exit(cli_complain(
			EXIT_RUN_FAILED,
			"sbhost: a plugin ended the process, with status %d; the next start goes on from the last "
			"checkpoint; sbhost plugin check tells what is wrong with the plugin",
			status));
	free(has_ended);
}

/* Where no handler may run any more. */
static void give_up(void)
{
	_exit(EXIT_RUN_FAILED);
}

static int run_guarded(struct run_options *options, sb_error *err)
{
	bool *has_ended = calloc(1, sizeof(*has_ended));
	int status;

	if (!has_ended || on_exit(refuse_exit, has_ended) != 0) {
		free(has_ended);
		error_no_memory(err);
		return EXIT_RUN_FAILED;
	}
	options->job.give_up = give_up;
	status = exit_status_of(job_run(&options->job, err));
	*has_ended = true;
	return status;
}

int command_run(int argc, char **argv)
{
	sb_error err = ERROR_INIT;
	struct run_options options;
	int status = EXIT_BAD_CONFIG;

	if (run_options_parse(argc, argv, &options, &err) == SB_OK) {
		block_signals();
		status = run_guarded(&options, &err);
	}
	run_options_done(&options);
	return status == EXIT_DONE ? EXIT_DONE : cli_fail(status, &err);
}
