/* A whole job, as the command line would run it, in a process of its own, over a struct io that fails.
 *
 * It reads a file and a stream. The stream's records come in portions, the next one when the log says that a checkpoint has been created or
 * has failed: so a run has as many attempts at a checkpoint as portions, whatever the machine's speed, and nothing waits for time to pass. */
#ifndef FAULT_FAULT_JOB_H
#define FAULT_FAULT_JOB_H

#include "fault/failing_io.h"
#include "fault/fault_model.h"
#include "host/job.h"

#define FAULT_CHECKPOINTS "checkpoints"
#define FAULT_STATE "state"
#define FAULT_FAILED_MAX 2u /* checkpoints in a row; one more ends the job */
#define FAULT_PORTION 12u /* records */

/* One way to keep checkpoints. */
struct fault_mode {
	const char *name;
	const char *backend; /* path of the plugin */
	bool full; /* even if the backend can do better */
	bool slow; /* takes so long that not everything can be tried with it */
};

struct fault {
	uint64_t nth; /* 0: none */
	int failure; /* see failing_io.h */
	bool sticky;
	bool checkpoints_only; /* only calls on the checkpoint directory count */
	bool power_cut; /* a kill takes what has not been synced, too (loose_disk.h); so does the end when there was none */
};

struct fault_job {
	const struct fault_mode *mode;
	const char *dir; /* where it works; holds FAULT_FILE */
	const struct fault_input *file, *stream;
	uint32_t stream_begin, stream_end; /* the stream's records that come in this run */
	const char *restore_id; /* NULL: the newest */
	const char *backend_option; /* NULL: none */
	uint64_t keep;
	struct fault fault;
	uint64_t starve_at; /* the allocation that fails (starve.h); 0: none */
	bool starve_on; /* and all behind it */
	bool compare; /* behind a good end: fault_compare with the newest checkpoint */
};

struct fault_outcome {
	int wait_status; /* as of waitpid; the child ends by _exit(0) or is killed */
	enum job_end end;
	sb_error error; /* of the job */
	sb_error differs; /* of the comparison */
	bool hit, hit_inside; /* inside: on the checkpoint directory */
	enum io_call hit_call;
	uint64_t calls;
	int descriptors_lost;
	bool starved; /* starve_at has come */
	bool has_leaks; /* of memory; looked for under the address sanitizer only */
	struct buffer log;
	unsigned created, failed; /* checkpoints, by the log */
};

/* A struct io with that fault, whose fsync does not wait for the disk; once in a process. */
void fault_arm(struct failing_io *failing, const struct fault *fault);
/* Whether this process has leaked memory by now. A child that ends by _exit is not asked otherwise. */
bool fault_has_leaks(void);
void fault_job_run(const struct fault_job *job, struct fault_outcome *ret_outcome);
void fault_outcome_done(struct fault_outcome *outcome);
/* The number of the checkpoint in the last line with that message ("Checkpoint created"); 0: none. */
uint64_t fault_logged_id(const struct fault_outcome *outcome, const char *message);

#endif
